"""Connect to the Docker Engine, and detect its capabilities.

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
"""Seconds that an engine may take to answer a ping."""

# Of calls that the engine answers from its own database. Builds and pushes may be silent for any
# length of time, and pass no timeout at all.
_CALL_TIMEOUT = 60

# Connections that are kept: one for every concurrent push. More are closed after use, with a
# meaningless warning by urllib3.
_POOL_SIZE = 64

# Nothing that is used here changed between these API versions; the newest that the engine supports
# is used.
_OLDEST_API = (1, 24)
_NEWEST_API = (1, 52)


@dataclass(frozen=True)
class Engine:
    """A Docker Engine that answered.

    Attributes:
        client: the SDK's client, at the API version ``api_version``.
        address: for messages: ``unix:///var/run/docker.sock``.
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
        """Return the URL of a path of the API, of which every part must be quoted."""
        return f"{self.client.base_url}/v{self.api_version}{path}"


def connect(environ: Mapping[str, str]) -> Engine:
    """Connect to the engine of the environment, or the first default socket.

    Raises:
        EngineError: none answered (the message lists each attempt); an invalid address.
    """
    candidates = endpoints(environ)
    failures = []
    for endpoint in candidates:
        try:
            return _connect(endpoint, environ)
        except _Unreachable as error:
            failures.append((endpoint, error))
    # The most helpful reason: permission denied, rather than a default socket that does not exist.
    endpoint, worst = next((pair for pair in failures if not pair[1].absent), failures[0])
    if len(failures) == 1:
        message = f"the Docker Engine at {endpoint.address} (from {endpoint.named_by}) {worst}"
    else:
        tried = "; ".join(f"{e.address} {f}" for e, f in failures)
        message = f"no Docker Engine found: {tried}"
    raise EngineError(message, worst.hint)


def connection_lost_error(engine: Engine, error: BaseException) -> EngineError:
    """Return the error for an engine that answered before and no longer does."""
    return EngineError(
        f"the connection to the Docker Engine at {engine.address} was lost: {_reason(error)[0]}",
        "check whether the engine still runs (its log says why it stopped), then run this again",
    )


class _Unreachable(Exception):  # noqa: N818 # a reason, not an error that leaves this module
    """Why an endpoint does not answer; ``absent`` if it does not exist."""

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
        # The constructor would need it before the first connection.
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
    """Ping; return the response headers, which list capabilities."""
    answer = client.get(f"{client.base_url}/_ping", timeout=PING_TIMEOUT)
    if not answer.ok or "Api-Version" not in answer.headers:
        raise _Unreachable(
            f"answers {answer.status_code} to a ping and is no Docker Engine",
            "point DOCKER_HOST at the engine's API, not at a registry or a web server",
        )
    return answer.headers


def _client(endpoint: Endpoint, environ: Mapping[str, str]) -> docker.APIClient:
    """Make a client; with a ``version`` given, it does not connect yet."""
    is_ssh = endpoint.address.startswith("ssh://")
    is_tcp = endpoint.address.startswith("tcp://")
    try:
        client = docker.APIClient(
            # The adapter of the address is replaced below.
            base_url="unix:///ssh" if is_ssh else endpoint.address,
            version=".".join(map(str, _OLDEST_API)),
            timeout=_CALL_TIMEOUT,
            tls=_tls(endpoint.tls) if endpoint.tls and is_tcp else False,
            max_pool_size=_POOL_SIZE,
        )
    except (OSError, DockerException) as error:
        raise _Unreachable(
            f"is not a valid address: {error}", f"check the address in {endpoint.named_by}"
        ) from error
    except (AttributeError, RecursionError, TypeError, ValueError):
        # The SDK reads this file and expects it to be well-formed. Its message would quote it,
        # passwords and all.
        raise EngineError(
            f"{config_folder(environ) / 'config.json'} is not as Docker writes it",
            "fix its auths and proxies, or move it away",
        ) from None
    # Proxies, .netrc and CA bundles of the environment are not for the engine.
    client.trust_env = False
    if is_ssh:
        client.mount("http+docker://", SshAdapter(endpoint.address, environ, _POOL_SIZE))
    elif is_tcp:
        for scheme in ("http://", "https://"):
            client.mount(scheme, _KeepAliveAdapter(endpoint.tls))
    return client


def _tls(material: Tls) -> TLSConfig:
    if not material.verify:
        # The user chose it; urllib3 would warn on standard error at every request.
        warnings.filterwarnings("ignore", category=InsecureRequestWarning)
    has_pair = material.cert and material.key
    return TLSConfig(
        client_cert=(str(material.cert), str(material.key)) if has_pair else None,
        ca_cert=str(material.ca) if material.ca else None,
        verify=material.verify,
    )


class _KeepAliveAdapter(HTTPAdapter):
    """Detect a lost peer in two minutes: silent builds have no timeout."""

    def __init__(self, tls: Tls | None) -> None:
        self._tls = tls
        super().__init__(pool_maxsize=_POOL_SIZE)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        options = [
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        ]
        for name, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):  # TCP_KEEPIDLE has another name on macOS
                options.append((socket.IPPROTO_TCP, getattr(socket, name), seconds))
        if self._tls is not None and self._tls.verify:
            kwargs["ssl_context"] = non_strict(create_urllib3_context())
        super().init_poolmanager(*args, socket_options=options, **kwargs)


def non_strict(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return the context without strict X.509 verification.

    Python 3.13 and later require extensions that CA certificates made after Docker's documentation
    (docs.docker.com/engine/security/protect-access) do not have.
    """
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _api_version(about: Mapping[str, Any]) -> str:
    """Return the newest API version that both sides know."""
    newest = _pair(about.get("ApiVersion"))
    oldest = _pair(about.get("MinAPIVersion"))
    if newest < _OLDEST_API:
        raise _Unreachable(
            f"has version {about.get('Version')}, which is too old",
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
    # 20.10 has BuildKit and does not send the header yet; BuildKit came to Linux with API 1.39.
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
        message = adapter.last_error() if isinstance(adapter, SshAdapter) else ""
        return _Unreachable(
            f"cannot be reached: {message or _reason(error)[0]}",
            "make sure that ssh connects without a prompt, and that docker is installed there",
        )
    reason, number = _reason(error)
    if number == errno.ENOENT:
        return _Unreachable(
            "does not exist", "start Docker, or set DOCKER_HOST to where it listens", absent=True
        )
    if number in {errno.EACCES, errno.EPERM}:
        return _Unreachable(
            "cannot be opened: permission denied",
            "add yourself to the docker group and log in again, or run this with sudo",
        )
    if number == errno.ECONNREFUSED:
        return _Unreachable("refuses the connection", "start the engine: systemctl start docker")
    return _Unreachable(f"cannot be reached: {reason}", "check whether the engine runs there")


def _reason(error: BaseException) -> tuple[str, int | None]:
    """Return the root of a chain of wrapped errors: its message and its errno."""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {getattr(cause, 'verify_message', '') or cause.reason or cause}", None
        if isinstance(cause, TimeoutError | requests.Timeout):
            return "it did not answer in time", errno.ETIMEDOUT
        if isinstance(cause, socket.gaierror):
            return "the host name cannot be resolved", None
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            return cause.strerror.lower(), cause.errno
    last = list(causes(error))[-1]
    if isinstance(last, APIError):
        return printable(str(last.explanation)), None
    if isinstance(last, requests.RequestException | urllib3.exceptions.HTTPError):
        # Their messages contain the URL, and with it the build arguments.
        return type(last).__name__, None
    return printable(str(last)) or type(last).__name__, None
