"""releasetag.registry.client and errors: what is retried, and what error a fault becomes.

A real registry answers everything but the faults themselves, which it would not give when asked;
they are put between (see Faulty).
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from releasetag.errors import AuthError, PushError, ReleasetagError
from releasetag.reference import Repository
from releasetag.registry import Manifest, Registries
from tests.conftest import StartRegistry
from tests.support.examples import examples, mostly_slow
from tests.support.fake_registry import (
    Fault,
    Faulty,
    Waits,
    answers,
    at,
    breaks,
    cuts,
    image,
    open_registries,
    tag_names,
)
from tests.support.registry import IMAGE_MANIFEST, RegistryServer
from tests.support.scripted import Answer, Asked, MemoryRegistry, refusal, scripted

TRANSIENT: dict[str, Fault] = {
    **{str(status): answers(status) for status in (408, 429, 500, 502, 503, 504)},
    "refused": breaks(httpx.ConnectError, "[Errno 111] Connection refused"),
    "reset": breaks(httpx.ReadError, "[Errno 104] Connection reset by peer"),
    "reset while sending": breaks(httpx.WriteError, "[Errno 32] Broken pipe"),
    "closed": breaks(httpx.RemoteProtocolError, "Server disconnected without a response."),
    "no answer": breaks(httpx.ReadTimeout, "timed out"),
    "no connection": breaks(httpx.ConnectTimeout, "timed out"),
}


@dataclass(frozen=True)
class Places:
    """Where the image is, where it is to be, and what is done to bring it there."""

    source: RegistryServer
    target: RegistryServer
    digest: str

    def publish(self, registries: Registries, path: str = "acme/app") -> None:
        """Ask for everything that there is to ask for, once."""
        registries.copy(at(self.source).tagged("1.2.3"), at(self.target, path))
        manifest = registries.manifest(at(self.source).tagged("1.2.3"))
        assert manifest is not None
        registries.image_config(at(self.source), manifest)
        registries.put_manifest(at(self.target, path).tagged("latest"), manifest)
        assert registries.digest(at(self.target, path).tagged("latest")) == self.digest
        assert tag_names(registries, at(self.target, path)) == ["latest"]


@pytest.fixture
def places(start_registry: StartRegistry) -> Places:
    source = start_registry()
    # With one blob there is one request of a kind at a time.
    return Places(source, start_registry(auth="token"), image(source, "acme/app", "1.2.3"))


KINDS: dict[str, str] = {
    "HEAD of a manifest": r"HEAD /v2/acme/app\d*/manifests/latest",
    "GET of a manifest": r"GET /v2/acme/app\d*/manifests/1.2.3",
    "PUT of a manifest": r"PUT /v2/acme/app\d*/manifests/latest",
    "list of tags": r"GET /v2/acme/app\d*/tags/list",
    "HEAD of a blob": r"HEAD /v2/acme/app\d*/blobs/",
    "GET of a blob": r"GET /v2/acme/app\d*/blobs/",
    "start of an upload": r"POST /v2/acme/app\d*/blobs/uploads/",
    "upload": r"PUT /v2/acme/app\d*/blobs/uploads/",
    "token": r"GET /token",
}


def matching(pattern: str) -> Callable[[httpx.Request], bool]:
    return lambda r: re.match(pattern, f"{r.method} {r.url.path}") is not None


@pytest.mark.parametrize("kind", mostly_slow(KINDS, "HEAD of a manifest", "upload", "token"))
def test_a_transient_fault_is_retried_at_every_kind_of_request(places: Places, kind: str) -> None:
    for number, fault in enumerate(TRANSIENT.values()):
        network, waits = Faulty(matching(KINDS[kind]), fault, times=2), Waits()
        with open_registries(places.target, transport=network, sleep=waits) as registries:
            places.publish(registries, f"acme/app{number}")
        assert (network.met, waits.seconds) == (2, [1, 2])
        assert places.target.digest(f"acme/app{number}", "latest") == places.digest


@pytest.mark.parametrize("kind", ["GET of a manifest", "list of tags", "GET of a blob", "token"])
def test_a_body_that_breaks_off_is_read_again(places: Places, kind: str) -> None:
    network, waits = Faulty(matching(KINDS[kind]), cuts), Waits()
    with open_registries(places.target, transport=network, sleep=waits) as registries:
        places.publish(registries)
    assert (network.met, waits.seconds) == (1, [1])


@pytest.mark.parametrize("kind", mostly_slow(KINDS, "HEAD of a manifest", "upload", "token"))
def test_a_transient_fault_that_stays_is_an_error_after_five_attempts(
    places: Places, kind: str
) -> None:
    for number, fault in enumerate(TRANSIENT.values()):
        network, waits = Faulty(matching(KINDS[kind]), fault, times=-1), Waits()
        with (
            open_registries(places.target, transport=network, sleep=waits) as registries,
            pytest.raises(PushError) as caught,
        ):
            places.publish(registries, f"acme/app{number}")
        assert (network.met, waits.seconds) == (5, [1, 2, 4, 8])
        assert "acme/app" in caught.value.message or kind == "token"
        assert "again" in caught.value.hint


PERMANENT: list[tuple[int, str, type[ReleasetagError]]] = [
    (401, "UNAUTHORIZED: authentication required", AuthError),
    (403, "DENIED: requested access to the resource is denied", AuthError),
    (400, "TAG_INVALID: cannot be overwritten because it is immutable", PushError),
    (403, "DENIED: this tag is immutable", PushError),
    (405, "UNSUPPORTED: the operation is unsupported", PushError),
    (412, "PRECONDITION: due to 'app:1.2' configured as immutable.", PushError),
    (413, "SIZE_INVALID: too large", PushError),
]


# The others: HEAD is followed by GET, a token server's refusals are in test_auth.py, those to list
# tags in test_tags.py.
@pytest.mark.parametrize(
    "kind",
    ["GET of a manifest", "PUT of a manifest", "GET of a blob", "start of an upload", "upload"],
)
def test_a_permanent_refusal_is_not_retried(places: Places, kind: str) -> None:
    for number, (status, error, expected) in enumerate(PERMANENT):
        fault = answers(status, error)
        network, waits = Faulty(matching(KINDS[kind]), fault, times=-1), Waits()
        with (
            open_registries(places.target, transport=network, sleep=waits) as registries,
            pytest.raises(expected) as caught,
        ):
            places.publish(registries, f"acme/app{number}")
        # What the registry has by its own account may be late, and the origin of an image.
        assert sum(waits.seconds) in ({0, 7.75} if kind.endswith("of a manifest") else {0})
        assert f"answered {status} ({error})" in caught.value.message
        assert "acme/app" in caught.value.message
        assert ("releasetag login" in caught.value.hint) == (expected is AuthError)


def test_a_token_that_expires_before_the_upload_is_replaced(places: Places) -> None:
    network, waits = Faulty(matching(KINDS["upload"]), answers(401)), Waits()
    with open_registries(places.target, transport=network, sleep=waits) as registries:
        places.publish(registries)
    assert (network.met, waits.seconds) == (1, [])


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        ({"Retry-After": "7"}, [7, 2]),
        ({"Retry-After": "0"}, [0, 2]),
        ({"Retry-After": "3600"}, []),
        (
            {
                "Retry-After": "Wed, 21 Oct 2026 07:28:09 GMT",
                "Date": "Wed, 21 Oct 2026 07:28:00 GMT",
            },
            [9, 2],
        ),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:09 GMT"}, [1, 2]),
        ({"Retry-After": "soon"}, [1, 2]),
        ({"Retry-After": f"Wed, 21 Oct {10**12} 07:28:09 GMT"}, [1, 2]),
        ({"Retry-After": "-5"}, [1, 2]),
    ],
)
def test_the_wait_that_a_registry_asks_for_is_kept_within_the_budget(
    headers: dict[str, str], waits: list[float]
) -> None:
    rest = iter([httpx.Response(429, headers=headers), httpx.Response(503)])
    network = httpx.MockTransport(lambda _: next(rest, httpx.Response(200, json={"tags": ["1"]})))
    waited = Waits()
    with open_registries(transport=network, sleep=waited) as registries:
        if not waits:
            with pytest.raises(PushError, match=r"429 .*; it asks to wait \d+ s"):
                registries.tags(Repository("registry.example.com", "app"))
        else:
            assert tag_names(registries, Repository("registry.example.com", "app")) == ["1"]
    assert waited.seconds == waits


@pytest.mark.parametrize("drawn", [0.0, 0.5, 0.999])
def test_waits_grow_and_have_jitter(drawn: float) -> None:
    waits = Waits()
    network = httpx.MockTransport(answers(503))
    registries = Registries(
        lambda _: None, {}, sleep=waits, random=lambda: drawn, transport=network
    )
    with registries, pytest.raises(PushError):
        registries.tags(Repository("registry.example.com", "app"))
    assert len(waits.seconds) == 4
    assert waits.seconds == sorted(waits.seconds)
    assert waits.seconds[0] == 1 - drawn / 2
    assert sum(waits.seconds) <= 30


def test_a_registry_that_comes_back_is_waited_for(registry: RegistryServer) -> None:
    expected = image(registry, "acme/app", "1.2.3")
    registry.stop()
    with open_registries(sleep=lambda _: registry.start()) as registries:
        assert registries.digest(at(registry).tagged("1.2.3")) == expected


def test_a_registry_that_stays_away_is_a_push_error(registry: RegistryServer) -> None:
    registry.stop()
    waits = Waits()
    with open_registries(sleep=waits) as registries, pytest.raises(PushError) as caught:
        registries.digest(at(registry).tagged("1.2.3"))
    assert len(waits.seconds) == 4
    assert "Connection refused" in caught.value.message


REPOSITORY = Repository("registry.example.com", "acme/app")
DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("title", "answer", "ask", "message"),
    [
        (
            "a manifest too large",
            lambda _: httpx.Response(200, content=b" " * (4 * 1024 * 1024 + 1)),
            lambda r: r.manifest(REPOSITORY.tagged("1")),
            "longer than",
        ),
        (
            "redirects without end",
            lambda q: httpx.Response(307, headers={"Location": str(q.url)}),
            lambda r: r.manifest(REPOSITORY.tagged("1")),
            "redirects",
        ),
        (
            "a redirect to plain HTTP",
            lambda _: httpx.Response(307, headers={"Location": "http://store.example.com/x"}),
            lambda r: r.manifest(REPOSITORY.tagged("1")),
            "over http, not https",
        ),
        (
            "a redirect to a file",
            lambda _: httpx.Response(307, headers={"Location": "file:///etc/passwd"}),
            lambda r: r.manifest(REPOSITORY.tagged("1")),
            "cannot be used",
        ),
    ],
)
def test_what_a_registry_must_not_do_is_an_error_at_once(
    title: str,
    answer: Fault,
    ask: Callable[[Registries], object],
    message: str,
) -> None:
    waits = Waits()
    network = httpx.MockTransport(answer)
    with (
        open_registries(transport=network, sleep=waits) as registries,
        pytest.raises(PushError, match=message) as caught,
    ):
        ask(registries)
    assert waits.seconds == [], title
    assert "registry.example.com" in caught.value.message or "acme/app" in caught.value.message


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (
            b'{"errors": [{"code": "DENIED", "message": "\\u001b[31mno\\n\\nno"}]}',
            "DENIED: [31mno no",
        ),
        (b'{"errors": [{"code": "A"}, {"message": "b"}, 7]}', "A; b"),
        (b'{"errors": "x"}', "Bad Request"),
        (b"<html>proxy</html>", "Bad Request"),
        (b"\xff\xfe", "Bad Request"),
        (b'{"errors": [{"message": "at https://r/up?_state=s3cret now"}]}', "at https://r/up now"),
    ],
)
def test_the_registrys_own_message_is_quoted_in_one_printable_line(body: bytes, shown: str) -> None:
    network = httpx.MockTransport(lambda _: httpx.Response(400, content=body))
    with open_registries(transport=network) as registries, pytest.raises(PushError) as caught:
        registries.manifest(REPOSITORY.tagged("1"))
    assert caught.value.message.endswith(f"registry.example.com answered 400 ({shown})")


def test_no_more_of_an_error_is_read_than_is_of_use() -> None:
    read = 0

    class Endless(httpx.SyncByteStream):
        def __iter__(self):  # type: ignore[no-untyped-def] # httpx's own says enough
            nonlocal read
            while read < 10**8:
                read += 1024
                yield b"x" * 1024

    network = httpx.MockTransport(lambda _: httpx.Response(400, stream=Endless()))
    with open_registries(transport=network) as registries, pytest.raises(PushError):
        registries.manifest(REPOSITORY.tagged("1"))
    assert read <= 64 * 1024 + 1024


HEADERS = (
    "Content-Length",
    "Content-Type",
    "Date",
    "Docker-Content-Digest",
    "Link",
    "Location",
    "Retry-After",
    "Set-Cookie",
    "Transfer-Encoding",
    "WWW-Authenticate",
    "X-Nobody-Asked",
)
VALUES = st.sampled_from(
    [
        b"",
        b"\xff\xfe",
        "é".encode(),
        "é".encode("latin-1"),
        b"0",
        b"-1",
        b"1e9",
        b"99999999999999999999",
        "²".encode(),
        b"Wed, 21 Oct 99999 07:28:00 GMT",
        b'Bearer realm="http://127.0.0.1:1/\xe9",service="\xff",scope="\xe9"',
        b'Bearer realm="https://\xff/t"',
        b"Basic \xff",
        b'</v2/\xff>; rel="next"',
        b"http://\xff/",
        b"https://xn--a/",
        b"https://" + b"a" * 300 + b"/",
        b"//[",
        b"\xe9=\xe9; path=\xff",
        b"chunked",
        b"identity, \xff",
    ]
) | st.binary(max_size=40).map(lambda value: re.sub(rb"[\r\n\0]", b"", value))
ANSWERS = st.fixed_dictionaries(
    {
        "status": st.none() | st.sampled_from([200, 201, 202, 204, 302, 307, 400, 401, 404, 503]),
        "headers": st.lists(st.tuples(st.sampled_from(HEADERS), VALUES), max_size=3),
        "body": st.none() | st.binary(max_size=40) | st.just(b"[" * 3000),
    }
)


@settings(max_examples=examples(60))
@given(st.dictionaries(st.integers(0, 16), ANSWERS, min_size=1, max_size=4))
@example(
    {
        n: {"status": None, "headers": [(h, b"\xff") for h in HEADERS[1:6]], "body": None}
        for n in range(16)
    }
)
def test_no_answer_is_an_internal_error(changes: dict[int, dict[str, Any]]) -> None:
    memory = MemoryRegistry(mount=lambda _: refusal(405))
    name = memory.put_image(b"layer")

    def answer(asked: Asked) -> Answer:
        usual = memory(asked)
        change = changes.get(len(server.asked))
        if change is None:
            return usual
        return Answer(
            usual.status if change["status"] is None else change["status"],
            usual.body if change["body"] is None else change["body"],
            (*usual.headers, *change["headers"]),
        )

    with scripted(answer) as server, open_registries() as registries:
        new = Repository(server.address, "acme/new")
        image = Manifest(IMAGE_MANIFEST, memory.held["acme/app"][name])
        for act in (
            lambda: registries.copy(server.repository.at(name), new),
            lambda: registries.put_manifest(new.tagged("1"), image),
            lambda: registries.digest(server.repository.at(name), denied_is_absent=True),
            lambda: registries.image_config(server.repository, image),
            lambda: registries.missing(server.repository, image),
            lambda: registries.tags(server.repository),
        ):
            with suppress(AuthError, PushError):
                act()


@pytest.mark.parametrize(
    "value", [b"\xff\xfe", "é".encode(), "é".encode("latin-1"), b"", b"a;\x80"]
)
def test_bytes_that_are_not_ascii_in_headers_change_nothing(value: bytes) -> None:
    memory = MemoryRegistry(mount=lambda _: refusal(405))
    name = memory.put_image(b"layer")
    odd = ("Content-Type", "Date", "Link", "Set-Cookie", "Server", "X-Nobody-Asked")

    def answer(asked: Asked) -> Answer:
        usual = Answer(body=b'{"tags": ["1"]}') if "tags" in asked.line else memory(asked)
        return replace(usual, headers=(*usual.headers, *((header, value) for header in odd)))

    with scripted(answer) as server, open_registries() as registries:
        new = Repository(server.address, "acme/new")
        image = registries.manifest(server.repository.at(name))
        assert image is not None
        registries.copy(server.repository.at(name), new)
        assert registries.put_manifest(new.at(name), image) == name
        assert registries.digest(new.at(name)) == name
        assert registries.image_config(new, image).labels == {}
        assert registries.missing(new, image) == []
        assert tag_names(registries, new) == ["1"]
    assert memory.held["acme/new"] == memory.held["acme/app"]
