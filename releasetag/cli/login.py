"""``releasetag login`` and ``releasetag logout``."""

import os
import sys
from typing import Annotated

import typer

from releasetag.cli.options import Json, Quiet, Verbose

Registry = Annotated[
    str, typer.Argument(metavar="[REGISTRY]", help="A registry. Default: Docker Hub.")
]


def login(
    registry: Registry = "docker.io",
    username: Annotated[
        str | None, typer.Option("--username", "-u", metavar="NAME", help="The user to log in as.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Check credentials with a registry and store them as docker does.

    Asks for what is not given. Only checked credentials are stored.
    """
    from releasetag.cli.prepare import log_requests
    from releasetag.credentials import Credentials, store_credentials
    from releasetag.registry import Registries

    if verbose:
        log_requests()
    name = _registry(registry)
    credentials = Credentials(*_ask(username, password_stdin=password_stdin))
    with Registries(lambda _: credentials, os.environ) as registries:
        registries.check(name, credentials)
    where = store_credentials(name, credentials, os.environ)
    _tell(
        {"registry": name, "stored": where}, f"logged in to {name}, stored in {where}", json, quiet
    )
    return 0


def logout(
    registry: Registry = "docker.io",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001 (as every command has it; there is no more to tell)
) -> int:
    """Remove stored credentials."""
    from releasetag.credentials import erase_credentials

    name = _registry(registry)
    erased = erase_credentials(name, os.environ)
    said = f"logged out of {name}" if erased else f"not logged in to {name}"
    _tell({"registry": name, "erased": erased}, said, json, quiet)
    return 0


def _registry(text: str) -> str:
    """The registry that a name or, as people paste them, a URL means."""
    from releasetag.errors import UsageError
    from releasetag.reference import parse_registry

    host = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    if "@" in host:
        # Not repeated: a password may stand in it.
        raise UsageError(
            "the registry holds a user name", "give that with --username, and the registry alone"
        )
    if host in {"", "docker.io", "hub.docker.com", "index.docker.io/v1"}:
        return "docker.io"
    return parse_registry(host.partition("/")[0])


def _ask(username: str | None, *, password_stdin: bool) -> tuple[str, str]:
    from releasetag.errors import UsageError

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


def _tell(told: dict[str, str | bool], said: str, json: bool, quiet: bool) -> None:
    from releasetag.report.console import people_console
    from releasetag.report.json import SCHEMA, dumps

    if json:
        print(dumps({"schema": SCHEMA, **told}))
    elif not quiet:
        people_console(stderr=False).print(said, soft_wrap=True)
    if os.environ.get("DOCKER_AUTH_CONFIG"):
        from releasetag.report.console import print_warning

        print_warning(
            people_console(stderr=True),
            "DOCKER_AUTH_CONFIG is set and counts before what is stored",
        )
