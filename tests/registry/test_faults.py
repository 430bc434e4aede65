"""What a registry's faults come to: tried again or not, and what the user is told.

A real registry answers everything but the faults themselves, which it would not give when asked;
they are put between (see parts.Faulty).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest

from releasetag.errors import AuthError, PushError, ReleasetagError
from releasetag.reference import Repository
from releasetag.registry import Manifest, Registries
from tests.conftest import StartRegistry
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
)
from tests.support.registry import IMAGE_MANIFEST, RegistryServer

PASSING: dict[str, Fault] = {
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
        assert registries.tags(at(self.target, path)) == ["latest"]


@pytest.fixture
def places(start_registry: StartRegistry) -> Places:
    source = start_registry()
    return Places(
        source, start_registry(auth="token"), image(source, "acme/app", "1.2.3", b"layer")
    )


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


@pytest.mark.parametrize("kind", KINDS)
def test_a_passing_fault_is_got_over_at_every_kind_of_request(places: Places, kind: str) -> None:
    for number, fault in enumerate(PASSING.values()):
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_that_stays_ends_after_five_tries(places: Places, kind: str) -> None:
    for number, fault in enumerate(PASSING.values()):
        network, waits = Faulty(matching(KINDS[kind]), fault, times=-1), Waits()
        with (
            open_registries(places.target, transport=network, sleep=waits) as registries,
            pytest.raises(PushError) as caught,
        ):
            places.publish(registries, f"acme/app{number}")
        assert (network.met, waits.seconds) == (5, [1, 2, 4, 8])
        assert "acme/app" in caught.value.message or kind == "token"
        assert "again" in caught.value.hint


LASTING: list[tuple[int, str, type[ReleasetagError]]] = [
    (401, "UNAUTHORIZED: authentication required", AuthError),
    (403, "DENIED: requested access to the resource is denied", AuthError),
    (400, "TAG_INVALID: cannot be overwritten because it is immutable", PushError),
    (403, "DENIED: this tag is immutable", PushError),
    (405, "UNSUPPORTED: the operation is unsupported", PushError),
    (412, "PRECONDITION: due to 'app:1.2' configured as immutable.", PushError),
    (413, "SIZE_INVALID: too large", PushError),
]


# The others: HEAD of a manifest is followed by GET (see below), a token server's by
# test_auth.py.
@pytest.mark.parametrize("kind", [k for k in KINDS if k not in {"HEAD of a manifest", "token"}])
def test_a_lasting_refusal_is_not_tried_again(places: Places, kind: str) -> None:
    for number, (status, error, expected) in enumerate(LASTING):
        fault = answers(status, error)
        network, waits = Faulty(matching(KINDS[kind]), fault, times=-1), Waits()
        with (
            open_registries(places.target, transport=network, sleep=waits) as registries,
            pytest.raises(expected) as caught,
        ):
            places.publish(registries, f"acme/app{number}")
        assert waits.seconds == []
        assert f"answered {status} ({error})" in caught.value.message
        assert "acme/app" in caught.value.message
        assert ("releasetag login" in caught.value.hint) == (expected is AuthError)


def test_a_token_that_ends_before_the_upload_is_replaced(places: Places) -> None:
    network, waits = Faulty(matching(KINDS["upload"]), answers(401)), Waits()
    with open_registries(places.target, transport=network, sleep=waits) as registries:
        places.publish(registries)
    assert (network.met, waits.seconds) == (1, [])


@pytest.mark.parametrize("status", [400, 401, 403, 405, 501])
def test_where_head_is_refused_the_manifest_is_read(places: Places, status: int) -> None:
    network = Faulty(lambda r: r.method == "HEAD", answers(status), times=-1)
    with open_registries(transport=network) as registries:
        assert registries.digest(at(places.source).tagged("1.2.3")) == places.digest
        assert registries.digest(at(places.source).tagged("1.2.4")) is None


@pytest.mark.parametrize("stated", ["", "latest", "sha256:short"])
def test_where_head_gives_no_digest_it_is_computed(places: Places, stated: str) -> None:
    network = Faulty(
        lambda r: r.method == "HEAD", answers(200, Docker_Content_Digest=stated), times=-1
    )
    with open_registries(transport=network) as registries:
        assert registries.digest(at(places.source).tagged("1.2.3")) == places.digest


@pytest.mark.parametrize("code", ["MANIFEST_UNKNOWN", "NAME_UNKNOWN"])
def test_unknown_is_none_whatever_the_status(places: Places, code: str) -> None:
    network = Faulty(lambda r: "/v2/acme" in r.url.path, answers(400, f"{code}: ?"), times=-1)
    with open_registries(transport=network) as registries:
        assert registries.manifest(at(places.source).tagged("1.2.3")) is None
        assert registries.digest(at(places.source).tagged("1.2.3")) is None
        assert registries.tags(at(places.source)) == []


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
def test_the_wait_that_a_registry_asks_for_is_kept_within_bounds(
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
            assert registries.tags(Repository("registry.example.com", "app")) == ["1"]
    assert waited.seconds == waits


@pytest.mark.parametrize("drawn", [0.0, 0.5, 0.999])
def test_waits_are_spread_but_grow(drawn: float) -> None:
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


def test_a_push_whose_answer_was_lost_is_done_though_tags_are_immutable(
    registry: RegistryServer,
) -> None:
    expected = image(registry, "acme/app", "1.2.3")
    said = iter(["lost", "refused"])
    network = httpx.HTTPTransport(trust_env=False)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method != "PUT":
            return network.handle_request(request)
        if next(said) == "refused":
            return httpx.Response(412, json={"errors": [{"message": "configured as immutable"}]})
        network.handle_request(request).read()
        raise httpx.ReadError("connection reset")

    with open_registries(transport=httpx.MockTransport(answer)) as registries:
        manifest = registries.manifest(at(registry).tagged("1.2.3"))
        assert manifest is not None
        assert registries.put_manifest(at(registry).tagged("1.3"), manifest) == expected


REPOSITORY = Repository("registry.example.com", "acme/app")
DIGEST = "sha256:" + "0" * 64
WITH_CONFIG = b'{"config": {"mediaType": "c", "digest": "%s", "size": 1}}' % DIGEST.encode()


@pytest.mark.parametrize(
    ("title", "answer", "ask", "words"),
    [
        (
            "another digest for a push",
            answers(201, Docker_Content_Digest=DIGEST),
            lambda r: r.put_manifest(REPOSITORY.tagged("1"), Manifest(IMAGE_MANIFEST, b"{}")),
            f"as {DIGEST}",
        ),
        (
            "other bytes for a digest",
            lambda _: httpx.Response(200, content=b"{}"),
            lambda r: r.manifest(REPOSITORY.at(DIGEST)),
            "other bytes",
        ),
        (
            "a manifest too large",
            lambda _: httpx.Response(200, content=b" " * (4 * 1024 * 1024 + 1)),
            lambda r: r.manifest(REPOSITORY.tagged("1")),
            "longer than",
        ),
        (
            "a page of tags too large",
            lambda _: httpx.Response(200, content=b" " * (4 * 1024 * 1024 + 1)),
            lambda r: r.tags(REPOSITORY),
            "longer than",
        ),
        (
            "a configuration too large",
            lambda _: httpx.Response(200, content=b" " * (8 * 1024 * 1024 + 1)),
            lambda r: r.image_config(REPOSITORY, Manifest(IMAGE_MANIFEST, WITH_CONFIG)),
            "longer than",
        ),
        (
            "other bytes for a configuration",
            lambda _: httpx.Response(200, content=b"{}"),
            lambda r: r.image_config(REPOSITORY, Manifest(IMAGE_MANIFEST, WITH_CONFIG)),
            "other bytes",
        ),
        (
            "an image of schema 1",
            lambda _: httpx.Response(200, json={"schemaVersion": 1, "fsLayers": []}),
            lambda r: r.manifest(REPOSITORY.tagged("1")),
            "neither an image nor an index",
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
    words: str,
) -> None:
    waits = Waits()
    network = httpx.MockTransport(answer)
    with (
        open_registries(transport=network, sleep=waits) as registries,
        pytest.raises(PushError, match=words) as caught,
    ):
        ask(registries)
    assert waits.seconds == [], title
    assert "registry.example.com" in caught.value.message or "acme/app" in caught.value.message


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b"[]",
        b"{}",
        b'{"mediaType": 7}',
        b'{"manifests": 7}',
        b'{"manifests": [7]}',
        b'{"manifests": [{"mediaType": "a", "digest": "../../x", "size": 1}]}',
        b'{"manifests": [{"mediaType": "a", "digest": "md5:00", "size": 1}]}',
        b'{"config": {}, "layers": []}',
        b'{"config": {"mediaType": "a", "digest": null, "size": 1}, "layers": []}',
        b"[" * 100_000,
    ],
)
def test_a_malformed_manifest_is_an_error_of_the_users_kind(content: bytes) -> None:
    network = httpx.MockTransport(lambda _: httpx.Response(200, content=content))

    def labels(registries: Registries) -> object:
        manifest = registries.manifest(REPOSITORY.tagged("1"))
        assert manifest is not None
        return registries.image_config(REPOSITORY, manifest)

    with open_registries(transport=network) as registries, pytest.raises(PushError):
        labels(registries)


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
def test_the_registrys_own_words_are_quoted_made_fit_to_print(body: bytes, shown: str) -> None:
    network = httpx.MockTransport(lambda _: httpx.Response(400, content=body))
    with open_registries(transport=network) as registries, pytest.raises(PushError) as caught:
        registries.tags(REPOSITORY)
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
        registries.tags(REPOSITORY)
    assert read <= 64 * 1024 + 1024


def pages(last: int) -> Fault:
    """A registry that lists a tag a page, and counts on for ever from the last page."""

    def answer(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("page", "0"))
        # The host is that behind some proxy: path and query are what counts.
        link = f'<http://inside:5000{request.url.path}?page={min(page + 1, last)}>; rel="next"'
        return httpx.Response(200, json={"tags": [f"t{page}"]}, headers={"Link": link})

    return answer


def test_pages_of_tags_are_followed_until_they_repeat() -> None:
    with open_registries(transport=httpx.MockTransport(pages(3))) as registries:
        assert registries.tags(REPOSITORY) == ["t0", "t1", "t2", "t3"]


def test_pages_of_tags_without_end_are_an_error() -> None:
    network = httpx.MockTransport(pages(10**9))
    with open_registries(transport=network) as registries, pytest.raises(PushError, match="pages"):
        registries.tags(REPOSITORY)


@pytest.mark.parametrize(
    "body", [b'{"tags": null}', b"{}", b'{"tags": 7}', b"[]", b'{"tags": [7]}']
)
def test_a_list_without_tags_is_empty(body: bytes) -> None:
    network = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    with open_registries(transport=network) as registries:
        assert registries.tags(REPOSITORY) == []
