"""Locate the engine: DOCKER_HOST, docker context, default sockets.

The SDK's ContextAPI is not used: it reads ``os.environ`` and HOME by itself, treats a context that
does not exist as the default one, and drops TLS material unless it is all of CA, certificate and
key. The store is two small files, described in the docker command's ``cli/context/store``.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from releasetag.errors import EngineError
from releasetag.json_text import InvalidJsonError, parse_json


@dataclass(frozen=True)
class Tls:
    """Paths of PEM files; without ``verify`` any certificate is accepted."""

    ca: Path | None
    cert: Path | None
    key: Path | None
    verify: bool


@dataclass(frozen=True)
class Endpoint:
    """An address where an engine may listen.

    Attributes:
        address: ``unix:///path``, ``tcp://host:port`` or ``ssh://[user@]host[:port][/socket]``.
        named_by: for messages: ``DOCKER_HOST``, ``the docker context 'x'`` or ``default``.
        tls: for tcp only.
    """

    address: str
    named_by: str
    tls: Tls | None = None


def endpoints(environ: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """Return the endpoints to try, in order; only one if the user names it.

    Raises:
        EngineError: DOCKER_HOST is no address, or the context is unknown or invalid.
    """
    folder = config_folder(environ)
    if host := environ.get("DOCKER_HOST", "").strip():
        return (_checked(Endpoint(host, "DOCKER_HOST", _tls_from_environment(environ, folder))),)
    name = environ.get("DOCKER_CONTEXT") or _current_context(folder)
    if name and name != "default":
        return (_checked(_from_context(folder, name)),)
    return tuple(Endpoint(f"unix://{path}", "default") for path in _default_sockets(environ))


def config_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the docker command's ``config.json``."""
    if folder := environ.get("DOCKER_CONFIG"):
        return Path(folder)
    return Path(environ.get("HOME") or "/", ".docker")


def _default_sockets(environ: Mapping[str, str]) -> list[Path]:
    """Return the default sockets of Docker, then Podman.

    Root's Docker comes before rootless, as in the docker command.
    """
    paths = [Path("/var/run/docker.sock")]
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime:
        paths.append(Path(runtime, "docker.sock"))
    if home := environ.get("HOME"):
        paths.append(Path(home, ".docker/run/docker.sock"))
    if runtime:
        paths.append(Path(runtime, "podman/podman.sock"))
    paths.append(Path("/run/podman/podman.sock"))
    return paths


def _tls_from_environment(environ: Mapping[str, str], folder: Path) -> Tls | None:
    """Return the environment's TLS; a path alone means: do not verify."""
    # An empty DOCKER_TLS_VERIFY means no.
    verify = bool(environ.get("DOCKER_TLS_VERIFY"))
    path = environ.get("DOCKER_CERT_PATH")
    if not verify and not path:
        return None
    return _tls_from_folder(Path(path) if path else folder, verify=verify)


def _tls_from_folder(folder: Path, *, verify: bool) -> Tls:
    def existing(name: str) -> Path | None:
        path = folder / name
        return path if path.is_file() else None

    return Tls(existing("ca.pem"), existing("cert.pem"), existing("key.pem"), verify)


def _current_context(folder: Path) -> str:
    try:
        config = parse_json((folder / "config.json").read_bytes())
    except (OSError, InvalidJsonError):
        # The docker command ignores this, too; reading credentials from it raises an error.
        return ""
    current = config.get("currentContext") if isinstance(config, dict) else None
    return current if isinstance(current, str) else ""


def _from_context(folder: Path, name: str) -> Endpoint:
    # A context is stored under the SHA-256 of its name.
    identity = hashlib.sha256(os.fsencode(name)).hexdigest()
    try:
        meta: Any = parse_json((folder / "contexts/meta" / identity / "meta.json").read_bytes())
        docker: dict[str, Any] = meta["Endpoints"]["docker"]
        address = str(docker["Host"])
    except FileNotFoundError:
        known = ", ".join(_known_contexts(folder))
        raise EngineError(
            f"there is no docker context {name!r}",
            f"the contexts here are: {known}; set DOCKER_CONTEXT or run docker context use",
        ) from None
    except OSError as error:
        raise _context_error(folder, name, str(error.strerror)) from error
    except InvalidJsonError as error:
        raise _context_error(folder, name, f"its file {error}") from error
    except (KeyError, TypeError):
        raise _context_error(folder, name, "its file names no engine") from None
    named_by = f"the docker context {name!r}"
    material = folder / "contexts/tls" / identity / "docker"
    skip = bool(docker.get("SkipTLSVerify"))
    if not material.is_dir() and not skip:
        return Endpoint(address, named_by)
    return Endpoint(address, named_by, _tls_from_folder(material, verify=not skip))


def _context_error(folder: Path, name: str, reason: str) -> EngineError:
    return EngineError(
        f"the docker context {name!r} cannot be read: {reason}",
        f"create it anew with docker context create, or choose another (in {folder})",
    )


def _known_contexts(folder: Path) -> list[str]:
    names = []
    for path in folder.glob("contexts/meta/*/meta.json"):
        try:
            meta: Any = parse_json(path.read_bytes())
            names.append(str(meta["Name"]))
        except (OSError, InvalidJsonError, KeyError, TypeError):
            continue
    return ["default", *sorted(names)]


def _checked(endpoint: Endpoint) -> Endpoint:
    """Check an endpoint's address, and add the default port."""
    try:
        parts = urlsplit(endpoint.address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _address_error(endpoint) from None
    is_tcp = parts.scheme in {"tcp", "http", "https"}
    is_ssh = parts.scheme == "ssh" and not host.startswith("-")
    fits = parts.path if parts.scheme == "unix" else host if is_tcp or is_ssh else ""
    if not fits or parts.password or "\0" in endpoint.address:
        raise _address_error(endpoint)
    if not is_tcp:
        return endpoint
    tls = endpoint.tls
    if parts.scheme == "https" and tls is None:
        tls = Tls(None, None, None, verify=True)
    # Docker's ports as registered with the Internet Assigned Numbers Authority.
    netloc = parts.netloc if port else f"{parts.netloc}:{2376 if tls else 2375}"
    return replace(endpoint, address=f"tcp://{netloc}", tls=tls)


def _address_error(endpoint: Endpoint) -> EngineError:
    # Not repeated: an address may hold a password.
    return EngineError(
        f"{endpoint.named_by} does not hold an address of a Docker Engine",
        "write it as unix:///var/run/docker.sock, tcp://host:2376 or ssh://user@host",
    )
