"""releasetag.registry.network: answers that trickle, stall, or are no HTTP."""

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from releasetag.errors import PushError, ReleasetagError, TransientError
from releasetag.reference import Repository
from releasetag.registry import Registries, network
from tests.support.fake_registry import CONFIG, LAYER, Waits, at, descriptor, image, open_registries
from tests.support.registry import IMAGE_MANIFEST, RegistryServer
from tests.support.tcp_server import listening, plain_registry


@dataclass
class Beat:
    """A clock on which a second passes with every look at it, and the server sends a piece.

    There are a few looks for every piece that is read and written again.
    """

    now: float = 0.0
    turns: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __call__(self) -> float:
        self.now += 1
        self.turns.release()
        return self.now

    def send(self, connection: socket.socket, data: bytes, size: int = 1) -> None:
        """Send a piece of this size at every look at the clock."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), size):
            assert self.turns.acquire(timeout=60)
            connection.sendall(data[start : start + size])


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
BLANKS = b" " * 5000


def test_an_answer_whose_headers_trickle_times_out() -> None:
    beat = Beat()

    def trickle(connection: socket.socket, _: str) -> None:
        beat.send(connection, b"HTTP/1.1 200 OK\r\nX-Long: " + BLANKS)

    assert_times_out(beat, trickle)


def test_an_answer_whose_body_trickles_times_out() -> None:
    beat = Beat()

    def trickle(connection: socket.socket, _: str) -> None:
        connection.sendall(HEAD % len(BLANKS))
        beat.send(connection, BLANKS)

    assert_times_out(beat, trickle)


def test_an_error_whose_body_trickles_times_out() -> None:
    beat = Beat()

    def trickle(connection: socket.socket, _: str) -> None:
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        beat.send(connection, BLANKS)

    assert_times_out(beat, trickle)


def assert_times_out(beat: Beat, answer: Callable[[socket.socket, str], None]) -> None:
    with (
        listening(plain_registry(answer)) as address,
        open_registries(clock=beat) as registries,
        pytest.raises(TransientError, match="did not answer in time"),
    ):
        registries.tags(Repository(address, "app"))
    # Each of two tries, of which the second starts within 30 s after the first.
    assert beat.now < 2 * 2 * network.ANSWER_SECONDS + 60


BLOB = bytes(range(256)) * 1024  # 256 KiB


@contextmanager
def source(
    send_blob: Callable[[socket.socket], None], *, clock: Callable[[], float]
) -> Iterator[tuple[Registries, Repository]]:
    """A registry that sends the one layer of its one image as it likes."""
    config = b"{}"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "config": descriptor(CONFIG, config),
            "layers": [descriptor(LAYER, BLOB)],
        }
    ).encode()

    def answer(connection: socket.socket, line: str) -> None:
        if "/referrers/" in line or "/manifests/sha256-" in line:
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        elif "/manifests/" in line:
            kind = f"HTTP/1.1 200 OK\r\nContent-Type: {IMAGE_MANIFEST}\r\n".encode()
            connection.sendall(kind + b"Content-Length: %d\r\n\r\n" % len(manifest) + manifest)
        elif hashlib.sha256(config).hexdigest() in line:
            connection.sendall(HEAD % len(config) + config)
        else:
            connection.sendall(HEAD % len(BLOB))
            send_blob(connection)

    with (
        listening(plain_registry(answer)) as address,
        open_registries(clock=clock) as registries,
    ):
        yield registries, Repository(address, "app")


def test_a_blob_may_take_long_as_long_as_it_makes_progress(registry: RegistryServer) -> None:
    beat = Beat()
    with source(lambda c: beat.send(c, BLOB, 2048), clock=beat) as (registries, repository):
        registries.copy(repository.tagged("1"), at(registry))
    assert beat.now > 2 * network.ANSWER_SECONDS


def test_a_blob_that_trickles_is_given_up(registry: RegistryServer) -> None:
    beat = Beat()
    with (
        source(lambda c: beat.send(c, BLOB, 32), clock=beat) as (registries, repository),
        pytest.raises(TransientError, match="did not answer in time"),
    ):
        registries.copy(repository.tagged("1"), at(registry))


def test_an_upload_that_nobody_reads_is_given_up(
    registry: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time limit is short here, since it has to pass: the kernel waits for the peer."""
    monkeypatch.setattr(network, "ANSWER_SECONDS", 0.5)
    ended = threading.Event()

    def answer(connection: socket.socket, line: str) -> None:
        if line.startswith("POST"):
            connection.sendall(
                b"HTTP/1.1 202 Accepted\r\nLocation: /v2/app/up?x=1\r\nContent-Length: 0\r\n\r\n"
            )
        elif line.startswith("PUT"):
            ended.wait(60)
        else:
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    layer = bytes(16 * 1024 * 1024)  # more than the kernel's buffers hold
    image(registry, "app", "1", layer)
    with (
        listening(plain_registry(answer)) as address,
        open_registries() as registries,
        pytest.raises(TransientError, match="did not answer in time"),
    ):
        registries.copy(Repository(registry.address, "app").tagged("1"), Repository(address, "app"))
    ended.set()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Any: \xff\xfe\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: \xe9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: \xe9=\xe9; Path=\xe9\r\n\r\n{}",
        b"HTTP/1.1 200 \xff\xfe\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_odd_answers_are_read(answer: bytes) -> None:
    with (
        raw_registry(answer) as (registries, repository),
        pytest.raises(PushError, match=r"neither an image nor an index|is incomplete"),
    ):
        registries.manifest(repository.tagged("1"))


@pytest.mark.parametrize(
    ("answer", "is_transient"),
    [
        (b"HTTP/1.1 403 \xff\r\nContent-Length: 1\r\nWWW-Authenticate: \xff\r\n\r\n\xff", False),
        (b"HTTP/1.1 401 \xff\r\nContent-Length: 0\r\nWWW-Authenticate: \xff\r\n\r\n", False),
        (b"HTTP/1.1 429 \xff\r\nContent-Length: 0\r\nRetry-After: \xb2\r\n\r\n", True),
        (b"HTTP/1.1 307 x\r\nContent-Length: 0\r\nLocation: \xff://\xff\r\n\r\n", False),
        (b"HTTP/1.1 307 x\r\nContent-Length: 0\r\nLocation: https://a..b/\r\n\r\n", False),
        (b"HTTP/1.1 307 x\r\nContent-Length: 0\r\nLocation: https://xn--/\r\n\r\n", False),
        (b"HTTP/1.1 307 x\r\nContent-Length: 0\r\nLocation: https://[::1\r\n\r\n", True),
        (b"HTTP/1.1 307 x\r\nContent-Length: 0\r\nLocation: https://a:99999/\r\n\r\n", False),
        (
            b"HTTP/1.1 307 x\r\nContent-Length: 0\r\nLocation: https://a:"
            + b"9" * 30
            + b"\r\n\r\n",
            False,
        ),
        (b"HTTP/1.1 307 x\r\nContent-Length: 0\r\nLocation: ftp://a/\r\n\r\n", False),
        (b"HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", True),
        (b"HTTP/1.1 2000 OK\r\n\r\n", True),
        (b"SSH-2.0-OpenSSH_9.2\r\n", True),
        (b"\x00\x01\x02\r\n\r\n", True),
        (b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, True),
    ],
)
def test_what_is_no_answer_is_an_error(answer: bytes, is_transient: bool) -> None:
    with raw_registry(answer) as (registries, repository), pytest.raises(ReleasetagError) as caught:
        registries.manifest(repository.tagged("1"))
    assert isinstance(caught.value, TransientError) == is_transient
    assert repository.registry in caught.value.message


PIECES = [
    b"HTTP/1.1 200 OK", b"HTTP/1.1 401 x", b"HTTP/1.1 307 x", b"HTTP/1.1 100 x", b"HTTP/1.0 204 ",
    b"\r\n", b"\n", b":", b" ", b"\xff", b"\x00", b",", b"=", b'"', b"0", b"2", b"{}", b"[",
    b"Content-Length: ", b"Transfer-Encoding: chunked", b"Content-Type: application/json",
    b"Location: ", b"https://", b"http://", b"/v2/", b"localhost", b"WWW-Authenticate: ",
    b"Bearer realm=", b"Basic realm=", b"Link: </v2/x>; rel=next", b"Retry-After: ",
    b"Docker-Content-Digest: sha256:", b"Connection: close", b"Set-Cookie: a=b", b'{"tags": ["1"]}',
]  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)), max_size=12))
@example([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"])
def test_any_bytes_are_an_answer_or_an_error(pieces: list[bytes]) -> None:
    with raw_registry(b"".join(pieces)) as (registries, repository):
        for operation in (
            lambda: registries.tags(repository),
            lambda: registries.manifest(repository.tagged("1")),
        ):
            with suppress(ReleasetagError):
                operation()


@contextmanager
def raw_registry(answer: bytes) -> Iterator[tuple[Registries, Repository]]:
    """A registry that answers every request with these bytes, and closes the connection.

    Not after a complete redirect: the next request might be on its way over the same connection.
    """

    def send(connection: socket.socket, _: str) -> None:
        connection.sendall(answer)
        redirect = b"HTTP/1.1 307 x\r\nContent-Length: 0\r\n"
        if not (answer.startswith(redirect) and answer.endswith(b"\r\n\r\n")):
            connection.shutdown(socket.SHUT_RDWR)

    with (
        listening(plain_registry(send)) as address,
        open_registries(sleep=Waits()) as registries,
    ):
        yield registries, Repository(address, "app")


@pytest.mark.parametrize("registry", ["a..b", "x" * 70 + ".lan", "xn--.lan", "registry.lan:99999"])
def test_what_cannot_be_a_host_is_an_error(registry: str) -> None:
    with open_registries() as registries, pytest.raises(PushError) as caught:
        registries.tags(Repository(registry, "app"))
    assert registry in caught.value.message
