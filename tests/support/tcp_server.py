"""A TCP server for what no well-behaved HTTP server does."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

TLS_HANDSHAKE = 0x16
"""The first byte of a connection that speaks TLS."""


@contextlib.contextmanager
def listening(handle: Callable[[socket.socket], None], host: str = "127.0.0.1") -> Iterator[str]:
    """Call a function with every connection, in a thread each; yields host and port."""
    server = socket.create_server((host, 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:  # closed
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def serve(connection: socket.socket) -> None:
        connection.settimeout(30)
        with contextlib.suppress(OSError), connection:
            handle(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"{host}:{server.getsockname()[1]}"
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(60)


def request_line(connection: socket.socket) -> str:
    """Read a request without a body; its first line, empty where TLS or nothing is spoken."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        if not chunk or chunk[0] == TLS_HANDSHAKE:
            return ""
        received += chunk
    return received.partition(b"\r\n")[0].decode("ascii")


def plain_registry(answer: Callable[[socket.socket, str], None]) -> Callable[[socket.socket], None]:
    """A handler that speaks no TLS, answers ``GET /v2/``, and leaves the rest to a function."""

    def handle(connection: socket.socket) -> None:
        while line := request_line(connection):
            if line.startswith("GET /v2/ "):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            else:
                answer(connection, line)

    return handle
