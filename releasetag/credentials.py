"""Who we are, per registry, as the docker command line understands it.

Sources: ``cli/config`` of github.com/docker/cli (28.3) for config.json, its keys and
``DOCKER_AUTH_CONFIG``; the README of github.com/docker/docker-credential-helpers for the protocol.

No secret and nothing else that a configuration or a helper holds stands in an error: the file, the
key and the helper are named, and that is enough to look. Errors are raised outside the handlers
of what caused them, because a JSON error carries the whole document.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from releasetag.errors import AuthError, UsageError
from releasetag.reference import DOCKER_HUB, DOCKER_HUB_HOST

HUB_SERVER = "https://index.docker.io/v1/"
"""The address under which every Docker tool keeps what it knows about Docker Hub."""

_HUB_HOSTS = frozenset({DOCKER_HUB, "index.docker.io", DOCKER_HUB_HOST})
# What the browser login of the docker command line keeps beside it; logging out takes these along.
_HUB_TOKENS = (f"{HUB_SERVER}access-token", f"{HUB_SERVER}refresh-token")

# No other path than these: registry.example.com/team is what GitLab and Podman call the
# credentials of one team, which are not to be shown to the others.
_KEY = re.compile(r"(?:https?://)?([^/]+)(?:/(?:v[12]/?)?)?", re.IGNORECASE)

_HELPER_NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_HELPER_TIMEOUT = 30.0  # seconds
_NOT_FOUND = b"credentials not found in native keychain"
_TOKEN_USERNAME = "<token>"  # noqa: S105 - a user name that says that the secret is a token


@dataclass(frozen=True)
class Credentials:
    """What a registry lets us in with.

    Attributes:
        username: empty, or ``<token>`` from a helper, where there is only a token.
        password: a password or an access token, for Basic authentication.
        identity_token: an OAuth2 refresh token, to be preferred to the password.
        registry_token: a bearer token to be sent to the registry as it is.
    """

    username: str
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class _Config:
    """A configuration, and what messages call it."""

    name: str
    settings: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True)
class _ConfigFile(_Config):
    path: Path


@dataclass(frozen=True)
class _Helper:
    """A credential helper, and the setting that names it: ``credsStore in FILE``."""

    program: str
    setting: str
    for_all: bool


def find_credentials(registry: str, environ: Mapping[str, str]) -> Credentials | None:
    """The credentials for a registry, or None if there are none.

    The first of these that has some: ``DOCKER_AUTH_CONFIG``, ``config.json`` (in each, a helper
    before ``auths``) and, for ``ghcr.io`` on GitHub Actions, ``GITHUB_TOKEN``.

    Args:
        registry: as in Repository.registry: ``docker.io``, ``ghcr.io``, ``localhost:5000``.
        environ: DOCKER_AUTH_CONFIG, DOCKER_CONFIG, HOME, PATH and, on GitHub Actions,
            GITHUB_ACTIONS, GITHUB_ACTOR and GITHUB_TOKEN. Helpers get all of it.

    Raises:
        UsageError: a configuration cannot be read or is broken.
        AuthError: a helper fails, or one that is configured for this registry is missing.
    """
    server = _server(registry)
    for config in _configs(environ):
        helper = _configured_helper(config, server)
        # A missing credsStore is most often Docker Desktop's, left over in the file, and a registry
        # that wants no credentials must not suffer from it: the docker command line goes on too.
        if helper and not (helper.for_all and _which(helper, environ) is None):
            found = _ask_helper(helper, server, environ)
            if found:
                return found
        # Asked also where a helper has none: CI systems write here without looking for helpers,
        # and the Docker SDK reads it that way. Nothing old can come up, since a login that goes
        # to a helper removes what was here.
        found = _find_in_auths(config, server)
        if found:
            return found
    return _github_token(server, environ)


def store_credentials(registry: str, credentials: Credentials, environ: Mapping[str, str]) -> str:
    """Store a user name with a password or an identity token as ``docker login`` does.

    They go to the helper that config.json names for the registry, else into the file itself.
    ``DOCKER_AUTH_CONFIG`` cannot be written to and goes on winning over them.

    Returns:
        Where they are now: ``docker-credential-pass`` or ``~/.docker/config.json``.

    Raises:
        UsageError: the credentials cannot be stored, or the file is broken or cannot be written.
        AuthError: the helper is missing or fails.
    """
    server = _server(registry)
    _check_storable(server, credentials)
    config = _file_config(environ)
    if config is None:
        raise UsageError(
            "there is no place for credentials: neither DOCKER_CONFIG nor HOME is set",
            "set DOCKER_CONFIG to a directory",
        )
    auths = _table(config, "auths")
    spellings = _spellings(auths, server)
    helper = _configured_helper(config, server)
    if helper:
        is_token = bool(credentials.identity_token)
        stored = {
            "ServerURL": server,
            "Username": _TOKEN_USERNAME if is_token else credentials.username,
            "Secret": credentials.identity_token or credentials.password,
        }
        _run_helper(helper, "store", server, environ, json.dumps(stored))
        if any(auths[key] for key in spellings):
            _write_auths(config, {key: auths[key] for key in auths if key not in spellings})
        return helper.program
    kept = {key: auths[key] for key in auths if key == server or key not in spellings}
    _write_auths(config, {**kept, server: _encode_entry(server, credentials)})
    return config.name


def erase_credentials(registry: str, environ: Mapping[str, str]) -> bool:
    """Remove the credentials for a registry, under every spelling, as ``docker logout`` does.

    Returns:
        False if there were none in config.json and its helper. ``DOCKER_AUTH_CONFIG`` is not
        asked: it cannot be changed from here.

    Raises:
        UsageError: config.json is broken or cannot be written.
        AuthError: the helper is missing or fails; the file is then already free of them.
    """
    server = _server(registry)
    config = _file_config(environ)
    if config is None:
        return False
    # Read before anything is removed, so that a broken setting changes nothing.
    helper = _configured_helper(config, server)
    auths = _table(config, "auths")
    beside = _HUB_TOKENS if server == HUB_SERVER else (f"https://{server}", f"http://{server}")
    gone = [key for key in auths if key in beside or _server(key) == server]
    if gone:
        _write_auths(config, {key: auths[key] for key in auths if key not in gone})
    erased = any(auths[key] for key in gone)
    if helper:
        for address in (server, *beside):
            # Helpers do not agree on what erasing nothing answers.
            if _ask_helper(helper, address, environ):
                erased |= _run_helper(helper, "erase", address, environ) is not None
    return erased


def _server(key: str) -> str:
    """The address that Docker keeps a registry under, from any spelling of the key.

    A key that spells no registry comes back as it is, and so equals no registry's address.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        return key
    host = match[1].lower()
    return HUB_SERVER if host in _HUB_HOSTS else host


def _shown(server: str) -> str:
    return DOCKER_HUB if server == HUB_SERVER else server


def _spellings(table: Mapping[str, object], server: str) -> list[str]:
    """The keys that mean the registry: Docker's own first, the others in the file's order."""
    return sorted((key for key in table if _server(key) == server), key=lambda key: key != server)


# Configurations


def _configs(environ: Mapping[str, str]) -> Iterator[_Config]:
    """The environment's configuration, then the file's, which is not read before it is needed."""
    text = environ.get("DOCKER_AUTH_CONFIG", "")
    if text:
        # GitLab takes helpers here too; the docker command line takes auths alone.
        yield _Config("DOCKER_AUTH_CONFIG", _parse(text, "DOCKER_AUTH_CONFIG"))
    config = _file_config(environ)
    if config:
        yield config


def _file_config(environ: Mapping[str, str]) -> _ConfigFile | None:
    """The config.json that the environment means, empty if it is not there yet."""
    home = environ.get("HOME", "")
    directory = environ.get("DOCKER_CONFIG", "") or (home and str(Path(home, ".docker")))
    if not directory:
        return None
    path = Path(directory, "config.json")
    name = f"~/{path.relative_to(home)}" if home and path.is_relative_to(home) else str(path)
    fault = ""
    text = b""
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        fault = str(error.strerror)
    if fault:
        raise UsageError(f"{name} cannot be read: {fault}", "make it readable, or move it away")
    return _ConfigFile(name, _parse(text, name), path)


def _parse(text: bytes | str, name: str) -> dict[str, object]:
    """The JSON object in a text; an empty text is an empty one, as Docker reads it."""
    if not text.strip():
        return {}
    fault = "is not a JSON object"
    settings: object = None
    try:
        settings = json.loads(text)
    except json.JSONDecodeError as error:
        fault = f"is not JSON (line {error.lineno}, column {error.colno})"
    except (ValueError, RecursionError):
        fault = "is not JSON"
    if isinstance(settings, dict):
        return settings
    raise UsageError(f"{name} {fault}", 'correct it: it looks like {"auths": {…}}')


def _table(config: _Config, key: str) -> dict[str, object]:
    value = config.settings.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong_type(key, "an object", config)
    return value


def _wrong_type(key: str, wanted: str, config: _Config) -> UsageError:
    return UsageError(f"{key} in {config.name} is not {wanted}", "correct it, or remove the key")


def _write_auths(config: _ConfigFile, auths: Mapping[str, object]) -> None:
    """Write the configuration with other auths; whoever reads meanwhile sees the old or the new."""
    text = json.dumps({**config.settings, "auths": auths}, indent="\t") + "\n"
    # Through a link to its target: dotfile managers keep config.json elsewhere.
    target = Path(os.path.realpath(config.path))
    fault = ""
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(target, text.encode())
    except OSError as error:
        fault = str(error.strerror)
    if fault:
        raise UsageError(
            f"{config.name} cannot be written: {fault}",
            "make its directory writable, or set DOCKER_CONFIG to one that is",
        )


def _replace(target: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:  # mkstemp made it with mode 0600
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        with suppress(OSError):
            # Under sudo a new file would be root's, and its owner could not read it any more.
            owner = target.stat()
            os.chown(temporary, owner.st_uid, owner.st_gid)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


# auths


def _find_in_auths(config: _Config, server: str) -> Credentials | None:
    auths = _table(config, "auths")
    for key in _spellings(auths, server):
        found = _decode_entry(auths[key], f'auths["{key}"]', config)
        if found:
            return found
    return None


def _decode_entry(entry: object, where: str, config: _Config) -> Credentials | None:
    """The credentials in one value of auths; None for an empty one, which marks a helper's."""
    if entry is None:
        return None
    if not isinstance(entry, dict):
        raise _wrong_type(where, "an object", config)

    def text(key: str) -> str:
        value = entry.get(key)
        if value is not None and not isinstance(value, str):
            raise _wrong_type(f"{where}.{key}", "text", config)
        return value or ""

    username, password = text("username"), text("password")
    if text("auth"):
        decoded = _decode_auth(text("auth"))
        if decoded is None:
            raise _wrong_type(f"{where}.auth", "base64 of USER:PASSWORD", config)
        username, password = decoded
    found = Credentials(username, password, text("identitytoken"), text("registrytoken"))
    return found if found != Credentials("") else None


def _decode_auth(auth: str) -> tuple[str, str] | None:
    try:
        # Broken into lines is fine, as it is for Docker: base64(1) does that.
        decoded = base64.b64decode("".join(auth.split()), validate=True).decode()
    except ValueError:
        return None
    username, colon, password = decoded.partition(":")
    # Docker cuts off the zero bytes that its early versions wrote.
    return (username, password.strip("\0")) if colon and username else None


def _check_storable(server: str, credentials: Credentials) -> None:
    fault = ""
    if not (credentials.identity_token or (credentials.username and credentials.password)):
        fault = "a user name and a password are needed"
    try:
        f"{credentials.username}{credentials.password}{credentials.identity_token}".encode()
    except UnicodeEncodeError:
        fault = "the user name or the password is not text in UTF-8"
    if fault:
        raise UsageError(
            f"no credentials to store for {_shown(server)}: {fault}",
            "give both as the registry gave them to you",
        )


def _encode_entry(server: str, credentials: Credentials) -> dict[str, str]:
    if ":" in credentials.username:
        raise UsageError(
            f"the user name for {_shown(server)} has a colon, which config.json cannot hold",
            "leave the password out of the user name, or set credsStore to a credential helper",
        )
    entry = {}
    if credentials.username:
        pair = f"{credentials.username}:{credentials.password}"
        entry["auth"] = base64.b64encode(pair.encode()).decode()
    if credentials.identity_token:
        entry["identitytoken"] = credentials.identity_token
    return entry


# Helpers


def _configured_helper(config: _Config, server: str) -> _Helper | None:
    """The helper for a registry: its own in credHelpers, else credsStore.

    An empty name in credHelpers takes the registry out of credsStore, as it does for Docker.
    """
    helpers = _table(config, "credHelpers")
    key, name = "credsStore", config.settings.get("credsStore")
    for spelling in _spellings(helpers, server)[:1]:
        key, name = f'credHelpers["{spelling}"]', helpers[spelling]
    if name is None or name == "":
        return None
    if not isinstance(name, str) or not _HELPER_NAME.fullmatch(name):
        raise _wrong_type(key, "the name of a credential helper", config)
    return _Helper(f"docker-credential-{name}", f"{key} in {config.name}", key == "credsStore")


def _which(helper: _Helper, environ: Mapping[str, str]) -> str | None:
    # Absolute directories alone: the work tree is no place for a program that sees passwords.
    directories = [d for d in environ.get("PATH", "").split(os.pathsep) if Path(d).is_absolute()]
    return shutil.which(helper.program, path=os.pathsep.join(directories))


def _ask_helper(helper: _Helper, address: str, environ: Mapping[str, str]) -> Credentials | None:
    output = _run_helper(helper, "get", address, environ)
    if output is None:
        return None
    answer: object = None
    with suppress(ValueError, RecursionError):
        answer = json.loads(output)
    username = answer.get("Username", "") if isinstance(answer, dict) else None
    secret = answer.get("Secret", "") if isinstance(answer, dict) else None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise _helper_error(helper, address, "did not answer with credentials")
    if not username and not secret:
        return None  # docker-credential-pass says so
    if username == _TOKEN_USERNAME:
        return Credentials(username, identity_token=secret)
    return Credentials(username, secret)


def _run_helper(
    helper: _Helper, action: str, address: str, environ: Mapping[str, str], stored: str = ""
) -> bytes | None:
    """What the helper prints, or None if it has no credentials.

    Not by docker.credentials of the Docker SDK: that one looks for the program in the PATH of this
    process, adds its environment to the one handed in, waits for ever, and puts what the helper
    printed, which may be the secret, into its errors.

    Args:
        action: ``get``, ``store`` or ``erase``.
        address: the server's, as _server gives it.
        stored: for ``store``, what goes to standard input in place of the address.
    """
    program = _which(helper, environ)
    if program is None:
        raise AuthError(
            f"{helper.program}, the credential helper named by {helper.setting}, is not on PATH",
            "install it, or remove that setting",
        )
    try:
        done = subprocess.run(
            [program, action],
            input=(stored or address).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # as little to be trusted with secrets as its output
            env=dict(environ),
            timeout=_HELPER_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        fault = f"did not answer within {_HELPER_TIMEOUT:g} s"
    except OSError as error:
        fault = f"cannot be run: {error.strerror}"
    else:
        if done.returncode == 0:
            return done.stdout
        if action != "store" and _NOT_FOUND in done.stdout:
            return None
        fault = f"failed to {action} credentials (exit status {done.returncode})"
    raise _helper_error(helper, address, fault)


def _helper_error(helper: _Helper, address: str, fault: str) -> AuthError:
    return AuthError(
        f"{helper.program}, the credential helper named by {helper.setting}, {fault}",
        f"see what it says: echo {address} | {helper.program} get",
    )


def _github_token(server: str, environ: Mapping[str, str]) -> Credentials | None:
    token = environ.get("GITHUB_TOKEN", "")
    if server != "ghcr.io" or environ.get("GITHUB_ACTIONS") != "true" or not token:
        return None
    return Credentials(environ.get("GITHUB_ACTOR", "") or "x-access-token", token)
