"""``releasetag --version``."""


def print_version() -> None:
    """Print the version that is installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        print(f"releasetag {version('releasetag')}")
    except PackageNotFoundError:
        print("releasetag (not installed)")
