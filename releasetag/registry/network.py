"""Connections: their pools, and the time that a request and its whole answer may take.

Not httpx's own transport, which limits the time of every read: an answer that trickles has no
limit there.
"""

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial
from ssl import SSLContext
from typing import Any, TypeVar

import httpcore
import httpx

from releasetag.registry.proxy import ProxyFault
from releasetag.registry.tls import system_context

ANSWER_SECONDS = 60.0
"""Seconds that the network may take for a request and its whole answer."""

LOW_SPEED = 1024
"""Bytes a second, on average over ANSWER_SECONDS, below which a blob's transfer is given up."""

_CONNECTIONS = 100
_KEEPALIVE = 5.0  # seconds

_PIECE = 16 * 1024  # bytes that are written within one time limit

_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)

T = TypeVar("T")


class Pool:
    """The connections to one host. Thread-safe.

    Args:
        context: for TLS with the host.
        proxy: through which it is reached; None if directly.
        accept: whether the host may be at an address; asked before anything is sent there.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        context: SSLContext,
        proxy: httpx.Proxy | None,
        accept: Callable[[str], bool],
        clock: Callable[[], float],
    ) -> None:
        self._proxy = proxy
        self._clock = clock
        self._pool: httpcore.ConnectionPool
        if proxy is None:
            self._pool = httpcore.ConnectionPool(
                ssl_context=context,
                max_connections=_CONNECTIONS,
                keepalive_expiry=_KEEPALIVE,
                network_backend=_Network("", accept),
            )
        else:
            scheme = proxy.url.scheme
            self._pool = httpcore.HTTPProxy(
                _core_url(proxy.url),
                proxy_auth=proxy.raw_auth,
                ssl_context=context,
                proxy_ssl_context=system_context() if scheme == "https" else None,
                max_connections=_CONNECTIONS,
                keepalive_expiry=_KEEPALIVE,
                network_backend=_Network(scheme, lambda _: True),
            )

    def send(self, request: httpx.Request, *, is_transfer: bool) -> httpx.Response:
        """Send a request; the body of the answer is still to be read.

        Args:
            is_transfer: whether it moves a blob, which may take as long as it makes progress.

        Raises:
            httpx.TransportError: there is no answer.
        """
        exchange = _Exchange(self._clock, is_transfer=is_transfer)
        with exchange.running(), self._errors(exchange):
            answer = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=_core_url(request.url),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
            if self._proxy is not None and answer.status == 407:  # to a request in plaintext
                answer.close()
                raise httpcore.ProxyError("407 Proxy Authentication Required")
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer, exchange, self._errors),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    @contextmanager
    def _errors(self, exchange: "_Exchange") -> Iterator[None]:
        """Turn httpcore's errors into httpx's, and those of a proxy into ProxyFault."""
        try:
            yield
        except _ERRORS as error:
            if self._proxy is not None and exchange.at_proxy:
                raise ProxyFault(self._proxy, error) from error
            raise getattr(httpx, type(error).__name__)(str(error)) from error


class _Body(httpx.SyncByteStream):
    def __init__(
        self,
        answer: httpcore.Response,
        exchange: "_Exchange",
        errors: Callable[["_Exchange"], AbstractContextManager[None]],
    ) -> None:
        self._answer = answer
        self._exchange = exchange
        self._errors = errors

    def __iter__(self) -> Iterator[bytes]:
        chunks = self._answer.iter_stream()
        while True:
            # Between two chunks, the thread may be at another exchange.
            with self._exchange.running(), self._errors(self._exchange):
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    def close(self) -> None:
        self._answer.close()


def _core_url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


class _Exchange:
    """A request and its answer, for the time limits of their network operations.

    Attributes:
        at_proxy: whether the proxy is being connected to or asked, rather than the host.
    """

    def __init__(self, clock: Callable[[], float], *, is_transfer: bool) -> None:
        self._clock = clock
        self._is_transfer = is_transfer
        self._left = ANSWER_SECONDS
        self._moved = 0
        self.at_proxy = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Have this thread's network operations belong to this exchange."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def limit(
        self,
        operation: Callable[[float], T],
        timeout: float | None,
        expired: type[httpcore.TimeoutException],
    ) -> T:
        """Run an operation with what is left of the time.

        Waiting elsewhere does not count: a blob is read as fast as it can be written.
        """
        if self._left <= 0:
            raise expired("timed out")
        started = self._clock()
        try:
            return operation(min(self._left, timeout or self._left))
        finally:
            self._left -= self._clock() - started

    def progress(self, size: int) -> None:
        """Note bytes that were sent or received."""
        self._moved += size
        if self._is_transfer and self._moved >= LOW_SPEED * ANSWER_SECONDS:
            self._moved = 0
            self._left = ANSWER_SECONDS


_current: ContextVar[_Exchange] = ContextVar("exchange")


class _Network(httpcore.NetworkBackend):
    def __init__(self, proxy_scheme: str, accept: Callable[[str], bool]) -> None:
        self._proxy_scheme = proxy_scheme
        self._accept = accept
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        exchange = _current.get()
        exchange.at_proxy = bool(self._proxy_scheme)
        # Not every resolver knows the names that are reserved for this machine (RFC 6761).
        name = "localhost" if host.endswith(".localhost") else host
        with _invalid_names():
            stream = exchange.limit(
                lambda left: self._inner.connect_tcp(
                    name, port, left, local_address, socket_options
                ),
                timeout,
                httpcore.ConnectTimeout,
            )
        address = str(stream.get_extra_info("server_addr")[0])
        if not self._accept(address):
            stream.close()
            raise httpcore.ConnectError(f"it is at {address} now, which is not insecure")
        return _Stream(stream, is_tunnel=self._proxy_scheme != "https")


class _Stream(httpcore.NetworkStream):
    """A connection of which every operation is limited.

    Args:
        is_tunnel: whether it leads to the host itself, once the proxy has opened a tunnel.
    """

    def __init__(self, inner: httpcore.NetworkStream, *, is_tunnel: bool) -> None:
        self._inner = inner
        self._is_tunnel = is_tunnel

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        exchange = _current.get()
        received = exchange.limit(
            lambda left: self._inner.read(max_bytes, left), timeout, httpcore.ReadTimeout
        )
        exchange.progress(len(received))
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        exchange = _current.get()
        # httpcore's time limit is for each of the system calls that it takes.
        for start in range(0, len(buffer), _PIECE):
            piece = buffer[start : start + _PIECE]
            exchange.limit(partial(self._inner.write, piece), timeout, httpcore.WriteTimeout)
            exchange.progress(len(piece))

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        exchange = _current.get()
        if self._is_tunnel:
            exchange.at_proxy = False
        with _invalid_names():
            stream = exchange.limit(
                lambda left: self._inner.start_tls(ssl_context, server_hostname, left),
                timeout,
                httpcore.ConnectTimeout,
            )
        return _Stream(stream, is_tunnel=True)

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


@contextmanager
def _invalid_names() -> Iterator[None]:
    """Treat what cannot be a host name or a port as a host that is not known."""
    try:
        try:
            yield
        except (ValueError, OverflowError) as error:  # UnicodeError, of a label's length, is one
            raise socket.gaierror(socket.EAI_NONAME, "this is not a host name") from error
    except socket.gaierror as unknown:
        raise httpcore.ConnectError(str(unknown)) from unknown
