"""Open the connection of a BuildKit session.

The engine's ``POST /session`` upgrades a connection to HTTP/2 and reverses it: from then on the
engine is the client. The SDK supports HTTP/1.1 only and does not hand over its connections, so this
module opens its own, to the same engine and with the same TLS settings.

Source: Docker Engine API 1.39 to 1.52, ``POST /session``. From API 1.53 on that is deprecated in
favour of gRPC over h2c on the API socket itself (``moby.buildkit.v1.Control/Session`` carries the
same bytes in a stream of messages). Changing to it concerns this module alone.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from releasetag.engine.connect import PING_TIMEOUT, connection_lost_error, non_strict
from releasetag.engine.ssh import SshAdapter
from releasetag.errors import EngineError

if TYPE_CHECKING:
    import docker

    from releasetag.engine.connect import Engine

_CLOSE_SECONDS = 2
_HEAD_BYTES = 64 * 1024


@asynccontextmanager
async def connect(
    engine: "Engine",
    session_id: str,
    methods: Iterable[str],
    make_protocol: Callable[[], asyncio.Protocol],
) -> AsyncIterator[None]:
    """Open a connection on which the engine calls gRPC methods.

    Args:
        session_id: the build's ``session`` parameter.
        methods: the paths of the methods: ``/package.Service/Method``.
        make_protocol: makes the HTTP/2 server for the upgraded connection.

    Raises:
        EngineError: it cannot be opened, or the engine does not upgrade it.
    """
    connection = _Upgrade(_request(engine, session_id, methods), make_protocol)
    try:
        try:
            async with asyncio.timeout(PING_TIMEOUT):
                await _dial(engine, connection)
                await connection.upgraded
        except OSError as error:
            raise connection_lost_error(engine, error) from error
        yield
    finally:
        await connection.end()


def _request(engine: "Engine", session_id: str, methods: Iterable[str]) -> bytes:
    lines = [
        f"POST /v{engine.api_version}/session HTTP/1.1",
        "Host: docker",  # as in the SDK for sockets; the engine ignores it
        "Connection: Upgrade",
        "Upgrade: h2c",
        f"X-Docker-Expose-Session-Uuid: {session_id}",
        "X-Docker-Expose-Session-Name: releasetag",
        # Sessions with the same key share synchronised files, and compare size and time. All files
        # of a commit have one time, so each session has its own key: no stale file is built.
        f"X-Docker-Expose-Session-Sharedkey: {session_id}",
        *(f"X-Docker-Expose-Session-Grpc-Method: {method}" for method in methods),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


class _Upgrade(asyncio.Protocol):
    """Send the request, parse the response head, forward the rest.

    The engine's first HTTP/2 bytes may arrive together with the head, so the head is read here and
    not by an HTTP client that reads ahead.
    """

    def __init__(self, request: bytes, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        loop = asyncio.get_running_loop()
        self.upgraded: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()
        self._request = request
        self._make_protocol = make_protocol
        self._head = b""
        self._transport: asyncio.Transport | None = None
        self._protocol: asyncio.Protocol | None = None

    async def end(self) -> None:
        """Close, without waiting until the engine has read all data."""
        if self._transport is not None:
            self._transport.abort()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed, _CLOSE_SECONDS)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # a Protocol's always is
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._protocol is not None:
            self._protocol.data_received(data)
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end and len(head) < _HEAD_BYTES:
            return
        status = b"".join(head.split(maxsplit=2)[1:2]) if end else b""
        if status != b"101":
            self._fail(_upgrade_error(status))
            return
        assert self._transport is not None  # noqa: S101  # connection_made comes first
        self._protocol = self._make_protocol()
        self._protocol.connection_made(self._transport)
        if not self.upgraded.done():
            self.upgraded.set_result(None)
        if rest:
            self._protocol.data_received(rest)

    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._protocol is not None:
            self._protocol.connection_lost(exc)
        self._fail(exc or ConnectionResetError("the engine closed the connection"))
        if not self._closed.done():
            self._closed.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self.upgraded.done():
            self.upgraded.set_exception(error)


def _upgrade_error(status: bytes) -> EngineError:
    code = status.decode("ascii") if status.isdigit() else "no HTTP status"
    return EngineError(
        f"the engine opens no build session (it answered {code})",
        "use an engine with BuildKit (Docker Engine 18.09 or later), or --builder classic",
    )


async def _dial(engine: "Engine", connection: _Upgrade) -> None:
    loop = asyncio.get_running_loop()
    adapter = engine.client.get_adapter(engine.client.base_url)
    if isinstance(adapter, SshAdapter):
        await loop.create_unix_connection(lambda: connection, sock=adapter.dial())
    elif engine.address.startswith("unix://"):
        path = engine.address.removeprefix("unix://")
        await loop.create_unix_connection(lambda: connection, path)
    else:
        address = urlsplit(engine.address)
        host, port = address.hostname or "", address.port or 0
        tls = _tls_context(engine.client)
        await loop.create_connection(lambda: connection, host, port, ssl=tls)


def _tls_context(client: "docker.APIClient") -> ssl.SSLContext | None:
    """Return the TLS settings of the SDK's HTTP client, which are requests'."""
    if not client.base_url.startswith("https:"):
        return None
    authorities = client.verify if isinstance(client.verify, str) else None
    context = non_strict(ssl.create_default_context(cafile=authorities))
    if not client.verify:
        # The user has chosen TLS without verification for the engine as a whole.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client.cert:
        context.load_cert_chain(*client.cert)
    return context
