"""Parse ``--secret`` and ``--ssh``: what RUN instructions may mount.

Source: the reference of ``docker buildx build``, and BuildKit's ``session/secrets``.
"""

import csv
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from releasetag.errors import UsageError

MAX_SECRET_BYTES = 500 * 1024
"""BuildKit's own limit (``session/secrets/secretsprovider``)."""

DEFAULT_AGENT = "default"
"""The id of an SSH agent without one."""

_SYNTAX = "write it as id=ID,src=FILE or id=ID,env=VARIABLE"
_SSH_SYNTAX = "write it as default, ID or ID=SOCKET"
_CSV_FIELD = r'(?:"(?:[^"]|"")*"|[^",\r\n]*)'
_CSV = re.compile(f"{_CSV_FIELD}(?:,{_CSV_FIELD})*")


@dataclass(frozen=True)
class Secret:
    """A build secret and its id, which ``RUN --mount=type=secret`` names."""

    id: str
    value: bytes = field(repr=False)


@dataclass(frozen=True)
class SshAgent:
    """An SSH agent's Unix socket and its id, for ``RUN --mount=type=ssh``."""

    id: str
    socket: Path


def parse_secret(text: str, environ: Mapping[str, str]) -> Secret:
    """Parse a ``--secret`` option, and read its value now.

    Args:
        text: as ``docker buildx build --secret`` takes it, comma-separated values with quotes:
            ``id=ID,src=FILE``, ``id=ID,env=VARIABLE``, ``type=file|env``, or ``id=ID`` alone for
            the variable of that name, else the file of that name.
        environ: the environment that variables are looked up in.

    Raises:
        UsageError: invalid syntax, or no such file or variable. The message does not quote the
            option: it may hold the value where a name belongs.
    """
    given = _secret_fields(text)
    name, kind = given.get("id", ""), given.get("type", "")
    variable, path = given.get("env", ""), given.get("src", "")
    if not name:
        raise UsageError("a secret has no id", _SYNTAX)
    if kind not in {"", "file", "env"}:
        raise UsageError(f"the secret {name!r} has an unknown type", "its type is file or env")
    if kind == "env" and not variable:
        variable, path = path, ""
    if variable and (path or kind == "file"):
        raise UsageError(f"the secret {name!r} has a file and a variable", _SYNTAX)
    if not variable and not path:
        if kind == "env" or (not kind and name in environ):
            variable = name
        else:
            path = name
    if variable and variable not in environ:
        raise UsageError(
            f"the variable of the secret {name!r} is not set",
            "env= takes the name of an environment variable that is set and exported",
        )
    value = os.fsencode(environ[variable]) if variable else _read_secret(name, path)
    if len(value) > MAX_SECRET_BYTES:
        raise UsageError(
            f"the secret {name!r} is larger than {MAX_SECRET_BYTES // 1024} KiB",
            "BuildKit has this limit: pass a key, and fetch the rest in the build",
        )
    return Secret(name, value)


def _secret_fields(text: str) -> dict[str, str]:
    try:
        items = next(csv.reader([text]), []) if _CSV.fullmatch(text) else None
    except csv.Error:  # a field of more than 128 KiB
        items = None
    if items is None:
        raise UsageError("a secret has a stray quote or line break, or is too long", _SYNTAX)
    fields: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        key = {"source": "src"}.get(key.lower(), key.lower())
        if not equals or key not in {"type", "id", "src", "env"}:
            raise UsageError(
                "a secret is not written as key=value pairs of id, src, env and type", _SYNTAX
            )
        fields[key] = value
    return fields


def _read_secret(name: str, path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_SECRET_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        raise UsageError(
            f"the file of the secret {name!r} cannot be read: {reason}",
            "src= takes the path of a file, from the current directory",
        ) from None


def parse_ssh(text: str, environ: Mapping[str, str]) -> SshAgent:
    """Parse an ``--ssh`` option.

    Args:
        text: ``ID=SOCKET``, or ``default`` or another ID alone for ``SSH_AUTH_SOCK``'s agent.
        environ: the environment that ``SSH_AUTH_SOCK`` is looked up in.

    Raises:
        UsageError: there is no agent, or a key file is named in its place.
    """
    name, equals, path = text.partition("=")
    name = name or DEFAULT_AGENT
    if equals and not path:
        raise UsageError(f"the SSH agent {name!r} has no socket", _SSH_SYNTAX)
    path = path or environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise UsageError(
            f"there is no SSH agent to forward as {name!r}: SSH_AUTH_SOCK is not set",
            'start one with: eval "$(ssh-agent)" && ssh-add',
        )
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        raise UsageError(f"the SSH agent {name!r} has no socket: {reason}", _SSH_SYNTAX) from None
    if not stat.S_ISSOCK(mode):
        raise UsageError(
            f"the SSH agent {name!r} is a file and not the socket of an agent",
            "load a key into an agent with ssh-add, and pass default or ID=SOCKET",
        )
    return SshAgent(name, Path(path))
