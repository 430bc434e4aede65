"""Docker's client configuration: config.json and ``DOCKER_AUTH_CONFIG``.

No value of a configuration is in an error: the file and the key are named, which is enough to find
it. Source: ``cli/config`` of github.com/docker/cli (28.3).
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from releasetag.credentials.encodings import Credentials, decode_basic_auth, server_address
from releasetag.credentials.helper import Helper
from releasetag.errors import UsageError
from releasetag.json_text import InvalidJsonError, parse_json
from releasetag.text import printable

_MAX_BYTES = 16 << 20
_HELPER_NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_BEARER_TOKEN = re.compile(r"[!-~]*")  # what a header can hold


@dataclass(frozen=True)
class DockerConfig:
    """A configuration.

    Attributes:
        name: for messages.
        settings: the whole of it.
    """

    name: str
    settings: Mapping[str, object] = field(repr=False)

    def table(self, key: str) -> dict[str, object]:
        """The object under a key, empty if there is none.

        Raises:
            UsageError: there is something else.
        """
        value = self.settings.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._type_error(key, "an object")
        return value

    def find_in_auths(self, server: str) -> Credentials | None:
        """The credentials for a server address in ``auths``.

        Raises:
            UsageError: they are broken.
        """
        auths = self.table("auths")
        for key in spellings(auths, server):
            found = self._decode_entry(auths[key], f'auths["{key}"]')
            if found:
                return found
        return None

    def helper(self, server: str, timeout: float) -> Helper | None:
        """The helper for a server address: its own in credHelpers, else credsStore.

        An empty name in credHelpers exempts the registry from credsStore, as it does for Docker.

        Raises:
            UsageError: the setting does not name a helper.
        """
        helpers = self.table("credHelpers")
        key, name = "credsStore", self.settings.get("credsStore")
        for spelling in spellings(helpers, server)[:1]:
            key, name = f'credHelpers["{spelling}"]', helpers[spelling]
        if name is None or name == "":
            return None
        if not isinstance(name, str) or not _HELPER_NAME.fullmatch(name):
            raise self._type_error(key, "the name of a credential helper")
        setting = f"{key} in {self.name}"
        return Helper(f"docker-credential-{name}", setting, key == "credsStore", timeout)

    def _decode_entry(self, entry: object, key: str) -> Credentials | None:
        """Decode a value of auths; None for an empty one, which marks a helper's."""
        if entry is None:
            return None
        if not isinstance(entry, dict):
            raise self._type_error(key, "an object")

        def string(name: str) -> str:
            value = entry.get(name)
            if value is not None and not isinstance(value, str):
                raise self._type_error(f"{key}.{name}", "a string")
            return value or ""

        username, password = string("username"), string("password")
        if string("auth"):
            decoded = decode_basic_auth(string("auth"))
            if decoded is None:
                raise self._type_error(f"{key}.auth", "base64 of USER:PASSWORD")
            username, password = decoded
        if not _BEARER_TOKEN.fullmatch(string("registrytoken")):
            raise self._type_error(f"{key}.registrytoken", "a token")
        found = Credentials(username, password, string("identitytoken"), string("registrytoken"))
        return found if found != Credentials("") else None

    def _type_error(self, key: str, wanted: str) -> UsageError:
        return UsageError(f"{key} in {self.name} is not {wanted}", "correct it, or remove the key")


@dataclass(frozen=True)
class DockerConfigFile(DockerConfig):
    """The configuration in config.json."""

    path: Path

    def write_auths(self, auths: Mapping[str, object]) -> None:
        """Replace ``auths``; who reads the file meanwhile gets the old or the new one.

        Raises:
            UsageError: the file cannot be written.
        """
        text = json.dumps({**self.settings, "auths": auths}, indent="\t") + "\n"
        # Through a link to its target: dotfile managers keep config.json elsewhere.
        target = Path(os.path.realpath(self.path))
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(target, text.encode())
        except OSError as error:
            raise UsageError(
                f"{self.name} cannot be written: {error.strerror}",
                "make its directory writable, or set DOCKER_CONFIG to one that is",
            ) from None


def configs(environ: Mapping[str, str]) -> Iterator[DockerConfig]:
    """Yield the environment's configuration, then the file's, which is read only if needed.

    Raises:
        UsageError: one cannot be read or is broken.
    """
    text = environ.get("DOCKER_AUTH_CONFIG", "")
    if text:
        # GitLab allows helpers here too; the docker command line reads auths alone.
        yield DockerConfig("DOCKER_AUTH_CONFIG", _parse(text, "DOCKER_AUTH_CONFIG"))
    config = config_file(environ)
    if config:
        yield config


def config_file(environ: Mapping[str, str]) -> DockerConfigFile | None:
    """Read config.json; empty if it does not exist, None if the environment names no place for it.

    Raises:
        UsageError: it cannot be read or is broken.
    """
    home = environ.get("HOME", "")
    directory = environ.get("DOCKER_CONFIG", "") or (home and str(Path(home, ".docker")))
    if not directory:
        return None
    path = Path(directory, "config.json")
    is_at_home = home and path.is_relative_to(home)
    name = printable(f"~/{path.relative_to(home)}" if is_at_home else str(path))
    text = b""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise UsageError(
            f"{name} cannot be read: {error.strerror}", "make it readable, or move it away"
        ) from None
    if len(text) > _MAX_BYTES:
        raise UsageError(f"{name} is larger than {_MAX_BYTES >> 20} MiB", "move it away")
    return DockerConfigFile(name, _parse(text, name), path)


def spellings(table: Mapping[str, object], server: str) -> list[str]:
    """The keys that mean a server address: Docker's own first, the others in the file's order."""
    same = (key for key in table if server_address(key) == server)
    return sorted(same, key=lambda key: key != server)


def _parse(text: bytes | str, name: str) -> dict[str, object]:
    """Parse a JSON object; an empty text is an empty one, as it is for Docker."""
    if not text.strip():
        return {}
    try:
        settings = parse_json(text)
    except InvalidJsonError as error:
        raise _syntax_error(name, str(error)) from None
    if not isinstance(settings, dict):
        raise _syntax_error(name, "is not a JSON object")
    return settings


def _syntax_error(name: str, fault: str) -> UsageError:
    return UsageError(f"{name} {fault}", 'correct it: it looks like {"auths": {…}}')


def _replace(target: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:  # mkstemp made it with mode 0600
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        with suppress(OSError):
            # Under sudo a new file would be root's, and its owner could no longer read it.
            owner = target.stat()
            os.chown(temporary, owner.st_uid, owner.st_gid)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
