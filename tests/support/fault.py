"""A proxy in front of a registry that goes wrong on demand.

Of another make than the program and the engine: it shares no HTTP code with either of them.
"""

import contextlib
import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase

from tests.support.http_server import QuietHTTPServer

HOLD_SECONDS = 60.0
_PIECE = 1 << 16
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "te", "upgrade"}


@dataclass(frozen=True)
class Disconnect:
    """Close the connection without an answer; the registry hears nothing."""


@dataclass(frozen=True)
class Reset:
    """Reset the connection (RST) without an answer.

    Attributes:
        forward: let the registry do what it is asked first, so that only its answer is lost.
    """

    forward: bool = False


@dataclass(frozen=True)
class CutRequest:
    """Pass so many bytes of the request's body on, then reset both connections."""

    after: int


@dataclass(frozen=True)
class CutAnswer:
    """Pass the whole head and so many bytes of the answer's body back, then reset."""

    after: int


@dataclass(frozen=True)
class Answer:
    """Answer in place of the registry, which hears nothing."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Hold:
    """Wait for the event (HOLD_SECONDS at most), then go on as if nothing had been."""

    released: threading.Event


@dataclass(frozen=True)
class Call:
    """Call a function before the request goes to the registry, which it then does."""

    function: Callable[[], object]


Fault = Disconnect | Reset | CutRequest | CutAnswer | Answer | Hold | Call
Decide = Callable[[int, str, str], Fault | None]


def never(index: int, method: str, path: str) -> None:
    """No fault."""


class FaultProxy:
    """An HTTP/1.1 proxy on loopback in front of a plain registry.

    Args:
        upstream: the registry's address, host and port.
        decide: what goes wrong with a request: gets its index, counted from 0, its method and its
            path with the query, and is called by several threads, one call at a time.

    Attributes:
        address: to be used in place of the registry's.
        decide: may be changed at any time.
        requests: what was asked so far, faults and all: `PUT /v2/app/manifests/1.2.3`.
    """

    def __init__(self, upstream: str, decide: Decide = never) -> None:
        self.upstream = upstream
        self.decide = decide
        self.requests: list[str] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listen(0)

    def _listen(self, port: int) -> None:
        self._server = _Server(("127.0.0.1", port), self)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        """Stop, and close the connections that are open."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "FaultProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse connections (ECONNREFUSED) meanwhile."""
        port = self._server.server_port
        self.close()
        yield
        self._listen(port)

    def receive(self, method: str, path: str) -> Fault | None:
        """Record a request and say what goes wrong with it."""
        with self._lock:
            self.requests.append(f"{method} {path}")
            return self.decide(len(self.requests) - 1, method, path)

    @contextlib.contextmanager
    def connected(self, connection: socket.socket) -> Iterator[None]:
        """Know of a client's connection while it is open."""
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)


class _Server(QuietHTTPServer):
    def __init__(self, address: tuple[str, int], proxy: FaultProxy) -> None:
        self.proxy = proxy
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or small answers wait for the client's delayed ACK
    server: _Server

    def handle(self) -> None:
        with self.server.proxy.connected(self.connection):
            super().handle()

    def handle_expect_100(self) -> bool:
        """Not yet: only when the request's body is wanted, see _forward."""
        return True

    def do_GET(self) -> None:
        """Serve a request, of whatever method."""
        fault = self.server.proxy.receive(self.command, self.path)
        match fault:
            case Disconnect():
                self.close_connection = True
                return
            case Reset(forward=False):
                self._reset()
                return
            case Answer():
                self._answer(fault)
                return
            case Hold():
                fault.released.wait(HOLD_SECONDS)
            case Call():
                fault.function()
            case _:
                pass
        self._forward(fault)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the base class's names

    def _forward(self, fault: Fault | None) -> None:
        upstream = http.client.HTTPConnection(self.server.proxy.upstream, timeout=HOLD_SECONDS)
        try:
            limit = fault.after if isinstance(fault, CutRequest) else None
            if not self._send_request(upstream, limit):
                self._reset()  # and the registry sees its connection end, too
                return
            if limit is not None:
                raise ValueError(f"{self.command} {self.path} has no more than {limit} bytes")
            answer = upstream.getresponse()
            if isinstance(fault, Reset):
                answer.read()
                self._reset()
                return
            self._send_answer(answer, fault.after if isinstance(fault, CutAnswer) else None)
        finally:
            upstream.close()

    def _send_request(self, upstream: http.client.HTTPConnection, limit: int | None) -> bool:
        """Send the request on; False if `limit` bytes of the body were sent and then no more."""
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        # Host as it came: a registry makes its Location headers of it, and they lead back here.
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                upstream.putheader(name, value)
        if chunked:
            upstream.putheader("Transfer-Encoding", "chunked")
        upstream.endheaders()
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        for piece in self._body(chunked):
            kept = piece if limit is None else piece[:limit]
            try:
                upstream.send(b"%x\r\n%b\r\n" % (len(kept), kept) if chunked and kept else kept)
            except (BrokenPipeError, ConnectionResetError):
                # The registry answered, 401 say, and closed before it had read everything.
                self.close_connection = True
                return True
            if limit is not None:
                limit -= len(kept)
                if limit == 0:
                    return False
        if chunked:
            upstream.send(b"0\r\n\r\n")
        return True

    def _body(self, chunked: bool) -> Iterator[bytes]:
        if not chunked:
            yield from _pieces(self.rfile, int(self.headers.get("Content-Length", "0")))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield from _pieces(self.rfile, size)
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b"\n", b""):
            pass  # trailers

    def _send_answer(self, answer: http.client.HTTPResponse, limit: int | None) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        bodiless = self.command == "HEAD" or answer.status in (204, 304)
        chunked = not bodiless and answer.getheader("Content-Length") is None
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not bodiless and (piece := answer.read(_PIECE)):
            kept = piece if limit is None else piece[:limit]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(kept), kept) if chunked and kept else kept)
            if limit is not None:
                limit -= len(kept)
                if limit == 0:
                    self._reset()
                    return
        if limit is not None:
            raise ValueError(f"the answer to {self.path} is shorter than where to cut it")
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _answer(self, fault: Answer) -> None:
        # The body is read first: a client that cannot get rid of it would not see the answer.
        if self.headers.get("Expect", "").lower() != "100-continue":
            chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
            for _ in self._body(chunked):
                pass
        else:
            self.close_connection = True
        self.send_response_only(fault.status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(fault.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(fault.body)

    def _reset(self) -> None:
        self.close_connection = True
        _make_close_reset(self.connection)
        # Closed here, not by the server, which would say goodbye (FIN) first.
        self.connection.close()

    def log_message(self, *_: object) -> None:
        pass


def _pieces(stream: BufferedIOBase, size: int) -> Iterator[bytes]:
    while size > 0:
        piece = stream.read(min(size, _PIECE))
        if not piece:
            raise ConnectionResetError("the client went away")
        size -= len(piece)
        yield piece


def _make_close_reset(connection: socket.socket) -> None:
    """Have close() send RST: with unread or unsent data lost, and no FIN (linger of 0 s)."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
