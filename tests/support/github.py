"""Read what GitHub Actions reads."""


def parse_outputs(written: str) -> dict[str, str]:
    """Read the file as GitHub's documentation describes it."""
    values: dict[str, str] = {}
    lines = iter(written.split("\n"))
    for line in lines:
        if not line:
            continue
        name, mark, end = line.partition("<<")
        assert mark, f"not the start of a value: {line!r}"
        value = []
        for inner in lines:
            if inner == end:
                break
            value.append(inner)
        else:
            raise AssertionError(f"{name} has no end")
        values[name] = "\n".join(value)
    return values
