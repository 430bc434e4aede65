"""``releasetag login`` and ``releasetag logout``."""

import os
import sys
from typing import Annotated

import typer

from releasetag.cli.options import Shared
from releasetag.errors import UsageError

Registry = Annotated[
    str, typer.Argument(metavar="[REGISTRY]", help="A registry. Default: Docker Hub.")
]


def login(
    shared: Shared,
    *,
    registry: Registry = "docker.io",
    username: Annotated[
        str | None, typer.Option("--username", "-u", metavar="NAME", help="The user to log in as.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> int:
    """Check credentials with a registry and store them as docker does.

    Asks for what is not given. Only checked credentials are stored.
    """
    from releasetag.credentials import Credentials, CredentialStore
    from releasetag.image import open_tools

    name = _registry_name(registry)
    credentials = Credentials(*_ask(username, password_stdin=password_stdin))
    insecure = os.environ.get("RELEASETAG_INSECURE_REGISTRIES", "").replace(",", " ").split()
    with open_tools(os.environ, insecure) as tools:
        tools.registries.check(name, credentials)
    where = CredentialStore(os.environ).store(name, credentials)
    _print_result(
        shared,
        {"registry": name, "stored": where},
        f"logged in to {name}, stored in {where}",
    )
    return 0


def logout(shared: Shared, *, registry: Registry = "docker.io") -> int:
    """Remove stored credentials."""
    from releasetag.credentials import CredentialStore

    name = _registry_name(registry)
    erased = CredentialStore(os.environ).erase(name)
    line = f"logged out of {name}" if erased else f"not logged in to {name}"
    _print_result(shared, {"registry": name, "erased": erased}, line)
    return 0


def _registry_name(text: str) -> str:
    """Return the registry that a name means, or a URL, which people paste."""
    from releasetag.reference import parse_registry

    host = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    if "@" in host:
        # Not repeated: a password may stand in it.
        raise UsageError(
            "the registry holds a user name", "give that with --username, and the registry alone"
        )
    if host in {"docker.io", "hub.docker.com", "index.docker.io/v1"}:
        return "docker.io"
    return parse_registry(host.partition("/")[0])


def _ask(username: str | None, *, password_stdin: bool) -> tuple[str, str]:
    if password_stdin:
        if not username:
            raise UsageError("--password-stdin needs a user name", "give one with --username")
        try:
            password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
            password.encode()  # the C locale reads any bytes
        except UnicodeError:
            raise UsageError(
                "the password is not text in UTF-8", "give it as the registry gave it to you"
            ) from None
    elif sys.stdin.isatty():
        username = username or typer.prompt("Username", err=True)
        password = typer.prompt("Password", hide_input=True, err=True)
    else:
        raise UsageError(
            "there is no terminal to ask for the password on",
            "pass it with --password-stdin, as in: printenv TOKEN | releasetag login … ",
        )
    if not password:
        raise UsageError("the password is empty", "give the registry's password or token")
    return username, password


def _print_result(shared: Shared, result: dict[str, str | bool], line: str) -> None:
    from releasetag.report.json import format_object
    from releasetag.report.messages import Messages

    if shared.json:
        print(format_object(result), end="")
    elif not shared.quiet:
        print(line)
    if os.environ.get("DOCKER_AUTH_CONFIG"):
        Messages(os.environ).warning(
            "DOCKER_AUTH_CONFIG is set and takes precedence over what is stored"
        )
