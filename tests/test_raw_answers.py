"""Publish, verify and promote while any answer of a registry is any other answer.

It is the raw answers that matter here, so most of these run over a transport in memory: status,
headers and body of one answer are changed, or of all answers from some point on. A smaller part
changes the bytes on a real socket. 1.9.1 is to be published while 2.0.0 is there, and `latest`
names it.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from releasetag.errors import ConflictError, ReleasetagError
from tests.support.misbehaving import PASSWORD
from tests.support.raw_answers import Memory, World, on_sockets

pytestmark = pytest.mark.slow

COMMANDS: dict[str, tuple[str, ...]] = {
    "publish": (),
    "verify": ("1.9.1",),
    "verify_deep": ("1.9.1",),
    "promote": ("1.9.1",),
    "promote_down": ("1.9.1",),
    "login": (),
}
MOST_REQUESTS = 3000  # a list of tags may have 1000 pages, and is read more than once
PATIENCE = 300.0
HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large]

# What an answer may be changed to ---------------------------------------------------------------

STATUSES = (
    *(200, 201, 202, 204, 206, 226, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404),
    *(405, 406, 407, 408, 409, 410, 412, 413, 415, 416, 418, 421, 422, 425, 426, 428, 429, 431),
    *(451, 499, 500, 501, 502, 503, 504, 505, 507, 511, 520, 599, 600, 999),
)
DIGEST = "sha256:" + "0" * 64
NASTY: Mapping[str, tuple[bytes, ...]] = {
    "Docker-Content-Digest": (
        DIGEST.encode(),
        b"sha256:" + b"A" * 64,
        b"sha512:" + b"0" * 128,
        b"md5:" + b"0" * 32,
        b"sha256:../../../etc/passwd",
        b"sha256:" + b"0" * 64 + b"\xe9",
    ),
    "Content-Type": (
        b"text/html; charset=\xff",
        b"application/vnd.docker.distribution.manifest.v1+prettyjws",
        b"application/vnd.oci.image.index.v1+json",
        b"text/plain; charset=utf-16",
        b";;;,",
    ),
    "Content-Length": (b"0", b"-1", b"99999999999999999999", b"abc", b"1, 2"),
    "Content-Encoding": (b"gzip", b"br", b"zstd, gzip", b"\xff"),
    "Transfer-Encoding": (b"chunked", b"gzip, chunked"),
    "Location": (
        b"",
        b"http://[::1",
        b"//",
        b"https://elsewhere.test/v2/",
        b"http://one.test/v2/",
        b"/v2/acme/app/manifests/latest",
        b"https://one.test:99999/",
        b"file:///etc/passwd",
        b"https://user:secret@one.test/",
        b"/\xff\xfe?\x80=\xe9",
        b"?" * 9000,
        b"https://one.test/" + b"a/" * 40000,
    ),
    "Link": (
        b'<>; rel="next"',
        b"next",
        b'</v2/acme/app/tags/list?last=1.9.0>; REL="NEXT"',
        b'<http://[::1>; rel="next"',
        b'<https://elsewhere.test/v2/acme/app/tags/list>; rel="next"',
        b"<?\xff>; rel=\"next\"; title*=UTF-8''%FF",
        b"<" * 5000,
        b'<a>; rel="next", <b>; rel="next"',
    ),
    "WWW-Authenticate": (
        b"Bearer",
        b'Bearer realm=""',
        b'Bearer realm="http://elsewhere.test/token"',
        b'Bearer realm="https://elsewhere.test/token"',
        b'Bearer realm="https://[",service="x"',
        b'Bearer realm="https://one.test/token",scope="repository:acme/app:*"',
        b'Bearer realm="\xff"',
        b"Basic",
        b'Digest realm="x", nonce="\xe9"',
        b"Negotiate oRQwEqADCgEDoQsGCSqGSIb3EgECAg==",
        b'Basic realm="' + b"\\" * 3000,
        b"," * 3000,
    ),
    "Retry-After": (b"0", b"-1", b"1e9", b"99999999999", b"soon", b"\xb2", b"nan", b"inf"),
    "Date": (b"yesterday", b"Thu, 99 Foo 99999 99:99:99 GMT", b"\xff"),
    "Set-Cookie": (b"a=b; Domain=one.test", b"\xff=\xfe"),
    "X-Other": (b"\xe9", b"\x00", b"a" * 70000),
}
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 10**30, 1e300, float("inf"), float("nan"), 1.5])
    | st.sampled_from(["", "latest", "2.0.0", "1.9.1", DIGEST, "\x00", "\ud800", "a" * 3000, "é"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["mediaType", "digest", "size", "token", "tags", "config", "errors", "é"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=4,
)
BODIES = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"0",
    b"{" * 3,
    b"[" * 60000,
    b'{"a":' * 30000,
    b"\xff\xfe\x00",
    b"\xef\xbb\xbf{}",
    b"\x1f\x8b\x08\x00",
    b"<html><h1>Sign in</h1></html>",
    b"x" * 70000,
    b" " * (9 * 1024 * 1024),
    b"1" * 5000,
    b'{"errors": null}',
    b'{"errors": [null, 1, {"code": {}, "message": []}]}',
    b'{"errors": [{"code": "DENIED", "message": "\\u001b[2J\\u202e\\u0000::error::x"}]}',
    b'{"tags": null}',
    b'{"tags": [null, 1, "\\u0000", "-", "latest"]}',
    b'{"token": ""}',
    b'{"token": "caf\\u00e9\\n"}',
    b'{"token": "t", "expires_in": -1, "issued_at": "yesterday"}',
    b'{"token": "t", "expires_in": 1e999}',
    b'{"access_token": 1}',
    b'{"schemaVersion": 1, "fsLayers": []}',
    b'{"schemaVersion": 2, "manifests": []}',
    b'{"schemaVersion": 2, "manifests": [{"digest": "sha256:..", "size": "1"}]}',
    b'{"schemaVersion": 2, "config": null, "layers": null}',
)
ERRORS: tuple[type[httpx.TransportError], ...] = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ReadTimeout,
    httpx.WriteTimeout,
    httpx.PoolTimeout,
    httpx.ReadError,
    httpx.WriteError,
    httpx.RemoteProtocolError,
    httpx.LocalProtocolError,
    httpx.ProxyError,
    httpx.DecodingError,  # type: ignore[assignment]  # a RequestError all the same
)


class Cut(httpx.SyncByteStream):
    """A body that breaks off."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Any:
        yield self._content[: len(self._content) // 2]
        raise httpx.ReadError("[Errno 104] Connection reset by peer")


@dataclass(frozen=True)
class Mutation:
    """What becomes of an answer.

    Attributes:
        status: in place of its own; None keeps it.
        dropped: names of headers that are left out.
        headers: that replace its own.
        body: changes the body.
        cut: whether the body breaks off.
        error: raised in place of an answer.
        arrives: whether the registry does what an answer that says no is about.
    """

    status: int | None = None
    dropped: tuple[str, ...] = ()
    headers: tuple[tuple[str, bytes], ...] = ()
    body: Callable[[bytes], bytes] | None = None
    cut: bool = False
    error: type[httpx.TransportError] | None = None
    arrives: bool = True

    def apply(self, request: httpx.Request, answer: Callable[[], httpx.Response]) -> httpx.Response:
        """Answer a request with what becomes of its answer."""
        says_no = self.error is not None or (self.status is not None and self.status >= 400)
        plain = answer() if self.arrives or not says_no else httpx.Response(400)
        if self.error is not None:
            raise self.error("it broke", request=request)
        replaced = {name.lower() for name, _ in self.headers} | {
            name.lower() for name in self.dropped
        }
        headers = [
            (name, value)
            for name, value in plain.headers.raw
            if name.decode("latin-1").lower() not in replaced
        ]
        headers += [(name.encode(), value) for name, value in self.headers]
        content = b"".join(plain.stream)  # type: ignore[arg-type]  # it is in memory
        if self.body is not None:
            content = self.body(content)
        return httpx.Response(
            plain.status_code if self.status is None else self.status,
            headers=headers,
            stream=Cut(content) if self.cut else httpx.ByteStream(content),
        )


def replace_node(value: Any, path: int, new: Any) -> Any:
    """Return a JSON value in which the node at some place of its walk is another."""
    count = -1

    def walk(node: Any) -> Any:
        nonlocal count
        count += 1
        if count == path:
            return new
        if isinstance(node, dict):
            return {key: walk(each) for key, each in node.items()}
        if isinstance(node, list):
            return [walk(each) for each in node]
        return node

    return walk(value)


def with_node(path: int, new: Any) -> Callable[[bytes], bytes]:
    """Change a body by one node of its JSON; what is none is left."""

    def change(content: bytes) -> bytes:
        with suppress(ValueError):
            return json.dumps(replace_node(json.loads(content), path, new)).encode()
        return content

    return change


headers = st.one_of(
    *(st.tuples(st.just(name), st.sampled_from(values)) for name, values in NASTY.items()),
    st.tuples(st.sampled_from(sorted(NASTY)), st.binary(max_size=40)),
)
bodies = st.one_of(
    st.sampled_from(BODIES).map(lambda body: lambda _: body),
    st.integers(0, 400).map(lambda size: lambda content: content[:size]),
    st.builds(with_node, st.integers(0, 25), json_values),
    st.binary(max_size=60).map(lambda more: lambda content: more + content),
)
mutations = st.builds(
    Mutation,
    status=st.none() | st.sampled_from(STATUSES),
    dropped=st.lists(st.sampled_from(sorted(NASTY)), max_size=2).map(tuple),
    headers=st.lists(headers, max_size=2).map(tuple),
    body=st.none() | bodies,
    cut=st.integers(0, 9).map(lambda number: number == 0),
    error=st.integers(0, 9).flatmap(
        lambda number: st.sampled_from(ERRORS) if number == 0 else st.none()
    ),
    arrives=st.booleans(),
)


@dataclass(frozen=True)
class At:
    """Changes the answer number `index`, or all from there on."""

    index: int
    mutation: Mutation
    lasts: bool

    def __call__(
        self, index: int, request: httpx.Request, answer: Callable[[], httpx.Response]
    ) -> httpx.Response:
        """See raw_answers.Change."""
        if index == self.index or (self.lasts and index > self.index):
            return self.mutation.apply(request, answer)
        return answer()


# What holds -------------------------------------------------------------------------------------


def outcome(world: World, command: str) -> ReleasetagError | None:
    """Run a command; whatever it raises that is no ReleasetagError is a failure of the test."""
    error = failure(world, command)
    if error is not None:
        assert error.kind != "internal"
        assert error.exit_code in {2, 3, 4, 6, 8, 9}, error
        for text in (error.message, error.hint):
            assert text
            assert text.isprintable(), text
            assert PASSWORD not in text
    return error


def failure(world: World, command: str) -> ReleasetagError | None:
    """Return the error that a command ends with, if it is one of the program's."""
    try:
        world.run(command)
    except ReleasetagError as error:
        return error
    return None


def assert_promises(world: World) -> None:
    """`latest` is not below 2.0.0; no exact tag is replaced; 1.9.1 is 1.9.1."""
    for before, tags in zip(world.before, world.tags(), strict=True):
        assert tags["latest"] == world.digests["2.0.0"], "latest is below 2.0.0"
        for name in ("1.9.0", "2.0.0", "2.0"):
            assert tags.get(name) == before[name], f"{name} is replaced"
        assert tags.get("1.9.1") in {None, world.digests["1.9.1"]}, "1.9.1 is another image"
        assert tags["1.9"] in {world.digests["1.9.0"], world.digests["1.9.1"]}


def assert_done(world: World) -> None:
    """1.9.1 is where it should be."""
    for tags in world.tags():
        named = {tags.get("1.9.1"), tags["1.9"]}
        assert named == {world.digests["1.9.1"]}, "success, and it is not done"


@cache
def count(command: str) -> int:
    """Return how many requests a command makes when nothing is changed."""
    memory = Memory()
    failure(memory.world(COMMANDS[command]), command)
    return len(memory.seen)


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_change_everything_is_right(command: str) -> None:
    world = Memory().world(COMMANDS[command])
    error = outcome(world, command)
    assert isinstance(error, ConflictError) == (command == "promote_down"), error
    assert_promises(world)
    if command in {"publish", "promote"}:
        assert_done(world)
    assert world.clock.now() == 0
    # What the indexes below are about.
    assert count(command) >= {"login": 3}.get(command, 15)


@pytest.mark.parametrize("command", COMMANDS)
@given(data=st.data(), mutation=mutations, lasts=st.booleans())
@settings(max_examples=300, suppress_health_check=HEALTH)
def test_any_answer_may_be_any_other(
    command: str, data: st.DataObject, mutation: Mutation, lasts: bool
) -> None:
    index = data.draw(st.integers(0, count(command) - 1), label="index")
    memory = Memory(At(index, mutation, lasts))
    world = memory.world(COMMANDS[command])
    error = outcome(world, command)
    assert len(memory.seen) < MOST_REQUESTS, "it has no end"
    assert world.clock.now() <= PATIENCE, f"it waited {world.clock.now()} s"
    if command.startswith("promote") and lasts:
        # A registry that says for ever that a tag is not there, or is another's, is believed.
        return
    assert_promises(world)
    if error is None and not lasts and command in {"publish", "promote"}:
        assert_done(world)


@given(data=st.data(), mutation=mutations)
@settings(max_examples=300, suppress_health_check=HEALTH)
def test_no_answer_that_is_broken_takes_latest_down_where_git_does_not_know_the_release(
    data: st.DataObject, mutation: Mutation
) -> None:
    """The second witness alone keeps it.

    What a registry says in so many words is believed: that a tag, a manifest or a configuration is
    not there, that nobody may see it, or that it is another digest's.
    """
    assume(mutation.status not in {401, 403, 404, 410})
    assume("Docker-Content-Digest" not in {name for name, _ in mutation.headers})
    index = data.draw(st.integers(0, count("publish") - 1), label="index")
    world = Memory(At(index, mutation, lasts=False)).world(knows=("1.9.0", "1.9.1"))
    outcome(world, "publish")
    assert_promises(world)


# What a proxy or a gateway on the way may answer with status 200.
OTHER_BODIES = {
    "nothing": b"",
    "a page": b"<html><h1>Sign in</h1></html>",
    "an object": b"{}",
    "an error": b'{"errors": [{"code": "UNAVAILABLE", "message": "try again"}]}',
    "another manifest": b'{"schemaVersion": 2, "manifests": []}',
    "schema 1": b'{"schemaVersion": 1, "fsLayers": []}',
    "too much": b" " * (5 * 1024 * 1024),
}


@pytest.mark.parametrize("indexes", [(), ("2.0.0",)], ids=["image", "index"])
@pytest.mark.parametrize("body", OTHER_BODIES)
def test_no_other_body_takes_latest_down_where_git_does_not_know_the_release(
    body: str, indexes: tuple[str, ...]
) -> None:
    """Each answer once: what does not have its digest is no word on what the registry has."""
    down = []
    for index in range(count("publish")):
        memory = Memory(At(index, Mutation(body=lambda _: OTHER_BODIES[body]), lasts=False))
        world = memory.world(knows=("1.9.0", "1.9.1"), indexes=indexes)
        outcome(world, "publish")
        if any(tags["latest"] != world.digests["2.0.0"] for tags in world.tags()):
            down.append(memory.seen[index])
    assert down == []


# On a real socket -------------------------------------------------------------------------------

PIECES = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\x00",
        b"\xff",
        b":",
        b" ",
        b"\t",
        b"0",
        b"9",
        b"\r\n ",
    ),
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/0.9 99 \r\n",
    b"HTTP/1.1 1000 Many\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x15\x03\x01\x00\x02\x02\x50",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 5, 6\r\n",
    b"Connection: close, upgrade\r\nUpgrade: h2c\r\n",
    b"X: " + b"a" * 200_000 + b"\r\n",
    b"X: 1\r\n" * 3000,
)


@dataclass(frozen=True)
class Edit:
    """Replaces some bytes of an answer."""

    start: int
    size: int
    piece: bytes

    def __call__(self, content: bytes) -> bytes:
        """Return the answer as it is sent."""
        start = min(self.start, len(content))
        return content[:start] + self.piece + content[start + self.size :]


edits = st.builds(
    Edit,
    start=st.integers(0, 300),
    size=st.sampled_from((0, 1, 2, 5, 50, 10_000)),
    piece=st.sampled_from(PIECES) | st.binary(max_size=8),
)


@pytest.mark.parametrize("command", COMMANDS)
@given(
    index=st.integers(0, 30), changes=st.lists(edits, min_size=1, max_size=3), lasts=st.booleans()
)
@settings(max_examples=25, suppress_health_check=HEALTH)
def test_any_bytes_may_come_from_a_socket(
    command: str, index: int, changes: list[Edit], lasts: bool
) -> None:
    def mangle(number: int, content: bytes) -> bytes:
        if number == index or (lasts and number > index):
            for change in changes:
                content = change(content)
        return content

    with on_sockets(mangle, COMMANDS[command]) as world:
        outcome(world, command)
        assert world.clock.now() <= PATIENCE, f"it waited {world.clock.now()} s"
        if not (command.startswith("promote") and lasts):
            assert_promises(world)
