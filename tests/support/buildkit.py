"""BuildKit's own API on a TCP port, as a builder elsewhere has it.

Docker Engine offers its BuildKit at `POST /grpc`, on an upgraded connection. No buildkitd is in
Debian; this is what one listens with, in front of the same BuildKit.
"""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

from tests.support.engine import Engine

_UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextlib.contextmanager
def buildkit_of(engine: Engine) -> Iterator[str]:
    """The address of the engine's BuildKit, as buildx's driver `remote` takes it.

    Args:
        engine: one that listens at a Unix socket.
    """

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as upstream:
                upstream.connect(engine.host.removeprefix("unix://"))
                upstream.sendall(_UPGRADE)
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    byte = upstream.recv(1)
                    assert byte, f"the engine does not give its BuildKit away: {head!r}"
                    head += byte
                back = threading.Thread(target=_pass_on, args=(upstream, self.request))
                back.start()
                _pass_on(self.request, upstream)
                back.join()

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"tcp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Forward data until either end is closed."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
