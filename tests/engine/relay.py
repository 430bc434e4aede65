"""Puts a real engine behind other addresses: TCP, TLS, and what ``ssh`` would be."""

import contextlib
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def listening(socket_path: str, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """The TCP port of a relay to a unix socket, with TLS in front when given a context."""
    server = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    def answer(client: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(client)
            if tls:
                client = stack.enter_context(tls.wrap_socket(client, server_side=True))
            engine = stack.enter_context(socket.socket(socket.AF_UNIX))
            engine.connect(socket_path)
            there = threading.Thread(target=_copy, args=(client, engine), daemon=True)
            there.start()
            _copy(engine, client)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        ended.set()
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def write_ssh(folder: Path, socket_path: str) -> Path:
    """A program named ssh that notes its arguments in ``arguments`` and dials the engine."""
    folder.mkdir()
    program = folder / "ssh"
    program.write_text(f"""#!{sys.executable}
import pathlib, socket, sys, threading
pathlib.Path({str(folder / "arguments")!r}).write_text("\\n".join(sys.argv[1:]))
engine = socket.socket(socket.AF_UNIX)
engine.connect({socket_path!r})
def there():
    while data := sys.stdin.buffer.raw.read(65536):
        engine.sendall(data)
    engine.shutdown(socket.SHUT_WR)
threading.Thread(target=there, daemon=True).start()
while data := engine.recv(65536):
    sys.stdout.buffer.raw.write(data)
""")
    program.chmod(0o755)
    return folder / "arguments"
