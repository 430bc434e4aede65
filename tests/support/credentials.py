"""A machine with docker's configuration and credential helpers, and stores of known credentials."""

import base64
import json
import shlex
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import httpx

from releasetag.credentials import Credentials, CredentialStore
from releasetag.credentials.encodings import (
    basic_auth,
    docker_auth_config,
    registry_auth,
    registry_config,
)
from releasetag.errors import ReleasetagError

HUB = "https://index.docker.io/v1/"
FILE = "~/.docker/config.json"
SECRET = "s3cr3t-Zq9"
ANN = Credentials("ann", SECRET)
ANN_AUTH = {"auth": base64.b64encode(f"ann:{SECRET}".encode()).decode()}
BOB_AUTH = {"auth": base64.b64encode(b"bob:other").decode()}

# Speaks the protocol of docker-credential-helpers, keeps what it is given in a file beside itself,
# and writes down how it was called.
KEEPER = f"""#!{sys.executable} -IS
import json, os, pathlib, sys
here = pathlib.Path(__file__)
kept_file = here.with_name(here.name + ".kept")
kept = json.loads(kept_file.read_text()) if kept_file.exists() else {{}}
action, text = sys.argv[1], sys.stdin.read()
server = json.loads(text)["ServerURL"] if action == "store" else text
with here.with_name(here.name + ".calls").open("a") as calls:
    call = [sys.argv[1:], server, os.isatty(0), os.environ.get("KEEPER_SETTING")]
    calls.write(json.dumps(call) + chr(10))
if action == "store":
    kept[server] = json.loads(text)
elif server not in kept:
    print("credentials not found in native keychain")
    sys.exit(1)
elif action == "get":
    print(json.dumps(kept[server]))
else:
    del kept[server]
kept_file.write_text(json.dumps(kept))
"""


@dataclass(frozen=True)
class Helper:
    """A helper program in the machine's PATH, and what it keeps and was asked."""

    program: Path

    def keep(self, server: str, username: str, secret: str) -> None:
        entry = {"ServerURL": server, "Username": username, "Secret": secret}
        self._file("kept").write_text(json.dumps({**self.kept(), server: entry}))

    def kept(self) -> dict[str, dict[str, str]]:
        file = self._file("kept")
        kept: dict[str, dict[str, str]] = json.loads(file.read_text()) if file.exists() else {}
        return kept

    def calls(self) -> list[list[object]]:
        file = self._file("calls")
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def _file(self, what: str) -> Path:
        return self.program.with_name(f"{self.program.name}.{what}")


@dataclass(frozen=True)
class Machine:
    """A home directory, a PATH of its own, and the environment that says so."""

    environ: dict[str, str]

    @property
    def config(self) -> Path:
        return Path(self.environ["HOME"], ".docker", "config.json")

    def configure(self, config: object) -> None:
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(json.dumps(config))

    def configured(self) -> dict[str, object]:
        config: dict[str, object] = json.loads(self.config.read_bytes())
        return config

    def helper(self, name: str, script: str = KEEPER) -> Helper:
        program = Path(self.environ["PATH"], f"docker-credential-{name}")
        program.write_text(script)
        program.chmod(0o755)
        return Helper(program)


def machine_in(directory: Path) -> Machine:
    home, programs = directory / "home", directory / "bin"
    home.mkdir()
    programs.mkdir()
    return Machine({"HOME": str(home), "PATH": str(programs)})


def answer(text: str, status: int = 0) -> str:
    """A helper that prints one text, on both outputs, and does not read its input."""
    said = f"printf %s {shlex.quote(text)}"
    return f"#!/bin/sh\n{said}\n{said} >&2\nexit {status}\n"


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def find(registry: str, environ: Mapping[str, str]) -> Credentials | None:
    return CredentialStore(environ).find(registry)


def store(registry: str, credentials: Credentials, environ: Mapping[str, str]) -> str:
    return CredentialStore(environ).store(registry, credentials)


def erase(registry: str, environ: Mapping[str, str]) -> bool:
    return CredentialStore(environ).erase(registry)


def store_ann(environ: dict[str, str]) -> object:
    return store("ghcr.io", ANN, environ)


def find_ghcr(environ: dict[str, str]) -> object:
    return find("ghcr.io", environ)


def erase_ghcr(environ: dict[str, str]) -> object:
    return erase("ghcr.io", environ)


ACTIONS: list[Callable[[dict[str, str]], object]] = [find_ghcr, store_ann, erase_ghcr]


def everything_said_by(error: ReleasetagError) -> str:
    """All that any handler could print of an error, causes and their documents as well."""
    said = [error.message, error.hint, repr(error), *traceback.format_exception(error)]
    cause: BaseException | None = error
    while cause is not None:
        said.append(f"{cause!r} {vars(cause)}")
        cause = cause.__cause__ or cause.__context__
    return "\n".join(said)


def check_outcome(act: Callable[[], object]) -> None:
    """See that an action ends with credentials that can be sent, none, or an error without them."""
    try:
        found = act()
    except ReleasetagError as error:
        found = error
    if isinstance(found, ReleasetagError):
        assert "\n" not in found.message + found.hint
        assert SECRET not in everything_said_by(found)
        assert ANN_AUTH["auth"] not in everything_said_by(found)
    elif isinstance(found, Credentials):
        assert basic_auth(found.username, found.password).isascii()
        assert docker_auth_config("ghcr.io", found).isascii()
        assert registry_config({"ghcr.io": found}).isascii()
        assert urlencode({"refresh_token": found.identity_token}).isascii()
        assert httpx.Headers({"Authorization": f"Bearer {found.registry_token}"})
        assert registry_auth("ghcr.io", found).isascii()


NO_CREDENTIALS = CredentialStore({})


def store_of(known: Mapping[str, Credentials]) -> CredentialStore:
    """A store that finds these, by registry."""
    auths = {
        registry: {
            "username": each.username,
            "password": each.password,
            "identitytoken": each.identity_token,
            "registrytoken": each.registry_token,
        }
        for registry, each in known.items()
    }
    return CredentialStore({"DOCKER_AUTH_CONFIG": json.dumps({"auths": auths})})


class StoreThatFinds(CredentialStore):
    """A store whose `find` is a test's own."""

    def __init__(self, find: Callable[[str], Credentials | None]) -> None:
        super().__init__({})
        self._find_instead = find

    def find(self, registry: str) -> Credentials | None:
        return self._find_instead(registry)
