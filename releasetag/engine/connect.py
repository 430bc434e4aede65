"""Finds the Docker Engine and learns what it can do.

Source: the Docker Engine API, ``/_ping`` and ``/version``.
"""

import errno
import socket
import ssl
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException
from docker.tls import TLSConfig
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InsecureRequestWarning
from urllib3.util.ssl_ import create_urllib3_context

from releasetag.engine.endpoint import Endpoint, Tls, config_folder, endpoints
from releasetag.engine.ssh import SshAdapter
from releasetag.errors import EngineError, causes
from releasetag.text import printable

PING_TIMEOUT = 10.0
"""Seconds that an engine may take to say that it is there."""

# Calls that the engine answers from its own database. Builds and pushes may be quiet for as long
# as they like, and pass no time-out at all.
_CALL_TIMEOUT = 60

# Connections that are kept: one for every push at the same time. More are closed after use, with a
# warning by urllib3 that means nothing.
_POOL_SIZE = 64

# The API versions between which nothing that is used here changed; an engine is spoken to in the
# newest of them that it knows.
_OLDEST_API = (1, 24)
_NEWEST_API = (1, 52)


@dataclass(frozen=True)
class Engine:
    """A Docker Engine that answered.

    Attributes:
        client: the SDK's client, at the API version ``api_version``.
        address: where it is, for messages: ``unix:///var/run/docker.sock``.
        version: of the engine: ``28.5.2``.
        os, arch: of the engine's platform, as in ``linux`` and ``amd64``.
        has_buildkit: whether ``/build`` takes ``version=2``.
    """

    client: docker.APIClient = field(repr=False)
    address: str
    version: str
    api_version: str
    kind: Literal["docker", "podman"]
    os: str
    arch: str
    has_buildkit: bool

    def url(self, path: str) -> str:
        """The URL of a path of the API, of which every part must be quoted."""
        return f"{self.client.base_url}/v{self.api_version}{path}"


def connect(environ: Mapping[str, str]) -> Engine:
    """The engine that the environment names, else the first usual socket that one answers on.

    Raises:
        EngineError: none answered (says what was tried and why it failed), or none can be named.
    """
    candidates = endpoints(environ)
    failures = []
    for endpoint in candidates:
        try:
            return _connect(endpoint, environ)
        except _Unreachable as error:
            failures.append((endpoint, error))
    # The reason worth acting on: a socket that is there but closed to us says more than the
    # usual places where there is none.
    endpoint, worst = next((pair for pair in failures if not pair[1].absent), failures[0])
    if len(failures) == 1:
        message = f"the Docker Engine at {endpoint.address} (from {endpoint.named_by}) {worst}"
    else:
        tried = "; ".join(f"{e.address} {f}" for e, f in failures)
        message = f"no Docker Engine found: {tried}"
    raise EngineError(message, worst.hint)


def lost(engine: Engine, error: BaseException) -> EngineError:
    """The error for an engine that answered before and now does not."""
    return EngineError(
        f"the connection to the Docker Engine at {engine.address} was lost: {_reason(error)[0]}",
        "see whether the engine still runs (its log says why it stopped), then run this again",
    )


class _Unreachable(Exception):  # noqa: N818 # a reason, not an error that leaves this module
    """Why an endpoint does not answer; ``absent`` if nothing is there at all."""

    def __init__(self, reason: str, hint: str, *, absent: bool = False) -> None:
        super().__init__(reason)
        self.hint = hint
        self.absent = absent


def _connect(endpoint: Endpoint, environ: Mapping[str, str]) -> Engine:
    client = _client(endpoint, environ)
    try:
        ping = _ping(client)
        about = client.version(api_version=False)
        api_version = _api_version(about)
        # Given to the constructor, it would have to be known before the first connection.
        client._version = api_version  # type: ignore[attr-defined] # the SDK has no setter
        return _engine(client, endpoint.address, ping, about)
    except (OSError, requests.RequestException, DockerException) as error:
        unreachable = _unreachable(endpoint, client, error)
        client.close()
        raise unreachable from error
    except _Unreachable:
        client.close()
        raise


def _ping(client: docker.APIClient) -> Mapping[str, str]:
    """The headers of the answer: they say what the engine can do."""
    answer = client.get(f"{client.base_url}/_ping", timeout=PING_TIMEOUT)
    if not answer.ok or "Api-Version" not in answer.headers:
        raise _Unreachable(
            f"answers {answer.status_code} to a ping and is no Docker Engine",
            "point DOCKER_HOST at the engine's API, not at a registry or a web server",
        )
    return answer.headers


def _client(endpoint: Endpoint, environ: Mapping[str, str]) -> docker.APIClient:
    """A client that has not spoken yet: ``version`` is given so that it does not ask."""
    is_ssh = endpoint.address.startswith("ssh://")
    is_tcp = endpoint.address.startswith("tcp://")
    try:
        client = docker.APIClient(
            # The adapter of the address is exchanged for our own below.
            base_url="unix:///ssh" if is_ssh else endpoint.address,
            version=".".join(map(str, _OLDEST_API)),
            timeout=_CALL_TIMEOUT,
            tls=_tls(endpoint.tls) if endpoint.tls and is_tcp else False,
            max_pool_size=_POOL_SIZE,
        )
    except (OSError, DockerException) as error:
        raise _Unreachable(
            f"cannot be dialled: {error}", f"see the address in {endpoint.named_by}"
        ) from error
    except (AttributeError, RecursionError, TypeError, ValueError):
        # The SDK reads the file on its way and assumes that it is well-formed. Its own errors hold
        # what is in it.
        raise EngineError(
            f"{config_folder(environ) / 'config.json'} is not as Docker writes it",
            "correct its auths and proxies, or move it away",
        ) from None
    # Proxies, .netrc and CA bundles of the environment are for the web, not for the engine.
    client.trust_env = False
    if is_ssh:
        client.mount("http+docker://", SshAdapter(endpoint.address, environ, _POOL_SIZE))
    elif is_tcp:
        for scheme in ("http://", "https://"):
            client.mount(scheme, _KeepAliveAdapter(endpoint.tls))
    return client


def _tls(material: Tls) -> TLSConfig:
    if not material.verify:
        # What the user chose; urllib3 would say so on standard error at every request.
        warnings.filterwarnings("ignore", category=InsecureRequestWarning)
    has_pair = material.cert and material.key
    return TLSConfig(
        client_cert=(str(material.cert), str(material.key)) if has_pair else None,
        ca_cert=str(material.ca) if material.ca else None,
        verify=material.verify,
    )


class _KeepAliveAdapter(HTTPAdapter):
    """Notices a machine that has gone within two minutes, though a quiet build has no time-out."""

    def __init__(self, tls: Tls | None) -> None:
        self._tls = tls
        super().__init__(pool_maxsize=_POOL_SIZE)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        options = [
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        ]
        for name, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):  # TCP_KEEPIDLE is called otherwise on macOS
                options.append((socket.IPPROTO_TCP, getattr(socket, name), seconds))
        if self._tls is not None and self._tls.verify:
            kwargs["ssl_context"] = lenient(create_urllib3_context())
        super().init_poolmanager(*args, socket_options=options, **kwargs)


def lenient(context: ssl.SSLContext) -> ssl.SSLContext:
    """The context, which believes the authorities that Docker believes.

    Python 3.13 and later want extensions that authorities made as Docker's documentation has it
    (docs.docker.com/engine/security/protect-access) do not have.
    """
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _api_version(about: Mapping[str, Any]) -> str:
    """The newest API version that both sides know."""
    newest = _pair(about.get("ApiVersion"))
    oldest = _pair(about.get("MinAPIVersion"))
    if newest < _OLDEST_API:
        raise _Unreachable(
            f"is of version {about.get('Version')}, which is too old",
            "use Docker Engine 20.10 or newer",
        )
    return ".".join(map(str, max(min(newest, _NEWEST_API), oldest)))


def _pair(version: object) -> tuple[int, int]:
    major, _, minor = str(version or "0.0").partition(".")
    try:
        return int(major), int(minor)
    except ValueError:
        return 0, 0


def _engine(
    client: docker.APIClient,
    address: str,
    ping: Mapping[str, str],
    about: Mapping[str, Any],
) -> Engine:
    is_podman = "Libpod-API-Version" in ping
    system = str(about.get("Os") or "")
    # 20.10 has BuildKit and sends no such header yet; BuildKit came to Linux with API 1.39.
    has_buildkit = ping.get("Builder-Version") == "2" or (
        _pair(about.get("ApiVersion")) >= (1, 39) and not is_podman and system == "linux"
    )
    return Engine(
        client=client,
        address=address,
        version=str(about.get("Version") or ""),
        api_version=client.api_version,
        kind="podman" if is_podman else "docker",
        os=system,
        arch=str(about.get("Arch") or ""),
        has_buildkit=has_buildkit,
    )


def _unreachable(
    endpoint: Endpoint, client: docker.APIClient, error: BaseException
) -> _Unreachable:
    if endpoint.address.startswith("ssh://"):
        adapter = client.get_adapter(client.base_url)
        said = adapter.said() if isinstance(adapter, SshAdapter) else ""
        return _Unreachable(
            f"cannot be reached: {said or _reason(error)[0]}",
            "make sure that ssh gets there without asking, and that docker is installed there",
        )
    reason, number = _reason(error)
    if number == errno.ENOENT:
        return _Unreachable(
            "does not exist", "start Docker, or set DOCKER_HOST to where it listens", absent=True
        )
    if number in {errno.EACCES, errno.EPERM}:
        return _Unreachable(
            "does not let us in: permission denied",
            "add yourself to the docker group and log in again, or run this with sudo",
        )
    if number == errno.ECONNREFUSED:
        return _Unreachable("refuses the connection", "start the engine: systemctl start docker")
    return _Unreachable(f"cannot be reached: {reason}", "see whether the engine runs there")


def _reason(error: BaseException) -> tuple[str, int | None]:
    """What is at the bottom of a chain of wrapped errors, in words and as an errno."""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {getattr(cause, 'verify_message', '') or cause.reason or cause}", None
        if isinstance(cause, TimeoutError | requests.Timeout):
            return "it did not answer in time", errno.ETIMEDOUT
        if isinstance(cause, socket.gaierror):
            return "the name of the host cannot be resolved", None
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            return cause.strerror.lower(), cause.errno
    last = list(causes(error))[-1]
    if isinstance(last, APIError):
        return printable(str(last.explanation)), None
    if isinstance(last, requests.RequestException | urllib3.exceptions.HTTPError):
        # Their words hold the URL and with it the build arguments.
        return type(last).__name__, None
    return printable(str(last)) or type(last).__name__, None
