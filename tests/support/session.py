"""BuildKit sessions: with a real engine that builds, and with a played one."""

import asyncio
import base64
import gzip
import io
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest

from releasetag.build_secrets import Secret, SshAgent
from releasetag.context.tree import BuildContext
from releasetag.credentials import CredentialStore
from releasetag.engine.buildkit import services
from releasetag.engine.buildkit.filesync import ContextFiles
from releasetag.engine.buildkit.session import open_session
from releasetag.engine.connect import Engine, connect
from tests.support.certificates import make_authority, make_server_identity
from tests.support.credentials import NO_CREDENTIALS

UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")

# The builds here send their context as a tar body: the session serves everything else.
NO_FILES = ContextFiles(BuildContext(Path("/gone"), Path("/gone/Dockerfile"), "", (), None), 0)


def files_on_base(registry: str) -> dict[str, str | bytes]:
    return {"Dockerfile": f"FROM {registry}/acme/base:1\nCOPY hello /\n", "hello": ""}


@contextmanager
def connected_to(environ: Mapping[str, str]) -> Iterator[Engine]:
    found = connect(environ)
    yield found
    found.client.close()


@contextmanager
def session_on(
    engine: Engine,
    *,
    secrets: list[Secret] | None = None,
    agents: list[SshAgent] | None = None,
    credentials: CredentialStore = NO_CREDENTIALS,
) -> Iterator[str]:
    with open_session(
        engine,
        files=NO_FILES,
        secrets=secrets or [],
        agents=agents or [],
        credentials=credentials,
    ) as session_id:
        yield session_id


def build_in_session(
    engine: Engine,
    session_id: str,
    files: Mapping[str, str | bytes],
    tag: str,
) -> bytes:
    """Build; return all output of the engine.

    Raises:
        AssertionError: the build failed; the engine's error.
    """
    with engine.client.post(
        f"{engine.client.base_url}/v{engine.api_version}/build",
        params={
            "version": "2",
            "session": session_id,
            "t": tag,
            "networkmode": "none",
            "nocache": "1",
        },
        data=_tar(files),
        headers={"Content-Type": "application/x-tar"},
        stream=True,
        timeout=120,
    ) as answer:
        output = b""
        for line in answer.iter_lines():
            message = json.loads(line)
            if message.get("id") == "moby.buildkit.trace":
                output += base64.b64decode(message["aux"])
            else:
                output += line
            assert "error" not in message, message["error"]
    return output


def _tar(files: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = 0o755
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def contents_of(archive: bytes) -> Iterator[bytes]:
    """The archive, and whatever in it is compressed as well, uncompressed."""
    yield archive
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        for member in members:
            content = members.extractfile(member)
            data = content.read() if content else b""
            if data.startswith(b"\x1f\x8b"):
                yield gzip.decompress(data)


@contextmanager
def watched_commands() -> Iterator[list[bytes]]:
    """The command lines of all processes of this machine, sampled repeatedly."""
    seen: list[bytes] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(path.read_bytes().replace(b"\0", b" "))
                except OSError:
                    continue  # it has just ended

    with in_thread(watch):
        try:
            yield seen
        finally:
            stop.set()


def open_files() -> set[tuple[str, str]]:
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        try:
            found.add((path.name, str(path.readlink())))
        except OSError:
            continue  # the listing's own
    return found


def output_of(*command: str | Path, env: Mapping[str, str] | None = None) -> bytes:
    return subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True).stdout


def with_libraries(program: str) -> dict[str, str | bytes]:
    """A dynamic program and what it loads, for a context folder `root`."""
    path = output_of("sh", "-c", 'command -v "$0"', program).decode().strip()
    listed = output_of("ldd", path).decode()
    libraries = re.findall(r"(/\S+) \(0x", listed)
    found: dict[str, str | bytes] = {f"root/bin/{program}": Path(path).read_bytes()}
    return found | {f"root{library}": Path(library).read_bytes() for library in libraries}


@contextmanager
def in_thread(target: Callable[..., object], *args: object) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    yield thread
    thread.join(60)
    assert not thread.is_alive()


@contextmanager
def listening_socket(directory: Path) -> Iterator[tuple[Path, socket.socket]]:
    path = directory / "l"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield path, listener


def read_head(peer: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += peer.recv(1)
    return head


def answer_once(listener: socket.socket, answer: bytes, listen: bool = False) -> None:
    """Accept, answer and close; with `listen` not before the other side has sent everything."""
    peer, _ = listener.accept()
    with peer:
        read_head(peer)
        peer.sendall(answer)
        peer.settimeout(0.2)
        with suppress(TimeoutError):
            while listen and peer.recv(4096):
                pass


class _Turned(Channel):
    """A gRPC client on a connection that the other side opened: the engine's side of a session."""

    def __init__(self, peer: socket.socket) -> None:
        super().__init__()
        self._peer = peer

    async def _create_connection(self) -> Any:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.connect_accepted_socket(self._protocol_factory, self._peer)
        return protocol


@contextmanager
def played_engine(engine: Engine) -> Iterator[tuple[Engine, Callable[..., Any]]]:
    """An engine that accepts one session, and a function that calls a method on that session.

    The function takes the path of a method and the fields of its request, or "health", or
    "hang up", which closes the connection.
    """
    channels: list[_Turned] = []

    def accept(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        read_head(peer)
        peer.sendall(UPGRADED)
        loop.call_soon_threadsafe(lambda: channels.append(_Turned(peer)))

    async def call(path: str, fields: dict[str, str]) -> Any:
        channel = channels[0]
        if path == "hang up":
            return channel.close()
        if path == "health":
            return await HealthStub(channel).Check(HealthCheckRequest(), timeout=60)
        types = services._messages()
        name = path.rpartition("/")[2]
        request, reply = types[f"{name}Request"], types[f"{name}Response"]
        return await UnaryUnaryMethod(channel, path, request, reply)(request(**fields))

    def calls(path: str, **fields: str) -> Any:
        accepting.join(60)
        return asyncio.run_coroutine_threadsafe(call(path, fields), loop).result(10)

    with (
        tempfile.TemporaryDirectory() as directory,
        _event_loop() as loop,
        listening_socket(Path(directory)) as (path, listener),
        in_thread(accept, listener) as accepting,
    ):
        yield replace(engine, address=f"unix://{path}"), calls
        accepting.join(60)
        loop.call_soon_threadsafe(channels[0].close)


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread; what still runs on it at the end is cancelled."""
    loop = asyncio.new_event_loop()

    async def wind_up() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):  # transports close in the rounds after
            await asyncio.sleep(0)

    with in_thread(loop.run_forever):
        try:
            yield loop
        finally:
            asyncio.run_coroutine_threadsafe(wind_up(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
    loop.close()


@contextmanager
def environ_for(
    engine: Path, way: Literal["tcp", "tls", "ssh"], directory: Path
) -> Iterator[dict[str, str]]:
    """The environment that leads to the engine's socket by TCP, by TLS or by an ssh command."""
    if way == "ssh":
        # What `docker system dial-stdio` does at the other end, without the other end.
        program = directory / "ssh"
        program.write_text(_SSH.format(python=sys.executable, engine=str(engine)))
        program.chmod(0o755)
        yield {
            "DOCKER_HOST": "ssh://alice@engine.test",
            "PATH": f"{directory}:{os.environ['PATH']}",
        }
        return
    environ = {}
    context = None
    if way == "tls":
        authority = make_authority("releasetag test authority")
        identity = make_server_identity(authority)
        for name, content in {
            "ca.pem": authority.certificate_pem,
            "cert.pem": identity.certificate_pem,
            "key.pem": identity.key_pem,
        }.items():
            (directory / name).write_bytes(content)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        context.load_verify_locations(directory / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED  # as a dockerd with --tlsverify
        environ = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(directory)}
    with _event_loop() as loop:
        starting = asyncio.start_server(partial(_relay, engine), "127.0.0.1", 0, ssl=context)
        server = asyncio.run_coroutine_threadsafe(starting, loop).result(10)
        port = server.sockets[0].getsockname()[1]
        yield environ | {"DOCKER_HOST": f"tcp://127.0.0.1:{port}"}
        loop.call_soon_threadsafe(server.close)


async def _relay(engine: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    far_reader, far_writer = await asyncio.open_unix_connection(engine)
    await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # the other side hung up
    finally:
        writer.close()


_SSH = """\
#!{python}
import os, socket, sys, threading
assert sys.argv[-5:] == ["-l", "alice", "--", "engine.test", "docker system dial-stdio"], sys.argv
engine = socket.socket(socket.AF_UNIX)
engine.connect({engine!r})

def send():
    while data := os.read(0, 65536):
        engine.sendall(data)
    engine.shutdown(socket.SHUT_WR)

threading.Thread(target=send, daemon=True).start()
while data := engine.recv(65536):
    while data:
        data = data[os.write(1, data):]
"""
