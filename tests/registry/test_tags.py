"""releasetag.registry.tags: a whole list of tags, or none at all."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.errors import PushError
from releasetag.registry import TagList
from releasetag.registry.links import UnreadableLinkError, next_link
from tests.support.fake_registry import Waits, at, image, open_registries
from tests.support.registry import RegistryServer
from tests.support.scripted import Answer, Asked, Scripted, refusal, scripted

LIST = "GET /v2/acme/app/tags/list"
TWO = "/v2/acme/app/tags/list?n=1000&last=b"


def page(*names: object, link: str | bytes = "") -> Answer:
    """A page of tags."""
    headers = (("Link", link),) if link else ()
    return Answer(200, json.dumps({"name": "acme/app", "tags": names}).encode(), headers)


UNKNOWN = TagList(frozenset(), is_known=False)


def tags(*names: str) -> TagList:
    return TagList(frozenset(names))


def listed(server: Scripted, waits: Waits | None = None) -> TagList | None:
    with open_registries(sleep=waits) as registries:
        return registries.tags(server.repository)


def test_tags_are_all_there_however_many(registry: RegistryServer) -> None:
    expected = image(registry, "acme/app", "0")
    with open_registries() as registries:
        manifest = registries.manifest(at(registry).at(expected))
        assert manifest is not None
        for number in range(1, 12):
            registries.put_manifest(at(registry).tagged(str(number)), manifest)
        assert registries.tags(at(registry)) == tags(*map(str, range(12)))
        assert registries.tags(at(registry, "acme/nowhere")) == UNKNOWN


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refusal(404, "NAME_UNKNOWN"), UNKNOWN),
        (refusal(400, "NAME_UNKNOWN"), UNKNOWN),
        (refusal(404, "NAME_UNKNOWN", "DENIED"), None),
        (refusal(404, "UNAUTHORIZED"), None),
        (refusal(404), None),
        (refusal(404, "UNSUPPORTED"), None),
        (refusal(401), None),
        (refusal(401, challenge="Basic"), None),
        (refusal(401, "NAME_UNKNOWN"), None),
        (refusal(403, "DENIED"), None),
        (refusal(400), None),
        (refusal(405), None),
        (refusal(410), None),
        (refusal(501), None),
        (Answer(204), None),
        (page("a", "b"), tags("a", "b")),
        (page("a", "b", "a"), tags("a", "b")),
        (page("no tag!", "a"), tags("a")),
        (page(), tags()),
        (Answer(body=b'{"name": "acme/app", "tags": null}'), tags()),
        (Answer(body=b'{"tags": null}'), tags()),
        (Answer(body=b'{"name": "acme/app"}'), tags()),
        (Answer(body=b'{"tags": []}'), tags()),
        (Answer(body=b"{}"), None),
        (Answer(body=b'{"token": "t"}'), None),
        (Answer(body=b'{"tags": 7}'), None),
        (Answer(body=b'{"tags": {"a": 1}}'), None),
        (page("a", 7), None),
        (Answer(body=b"[]"), None),
        (Answer(body=b"<html>"), None),
        (Answer(body=b"[" * 100_000), None),
        (Answer(), None),
        (Answer(body=b" " * (4 * 1024 * 1024 + 1)), None),
    ],
)
def test_a_list_is_none_where_the_registry_does_not_list(
    answer: Answer, expected: TagList | None
) -> None:
    waits = Waits()
    with scripted(lambda _: answer) as server:
        assert listed(server, waits) == expected
    assert waits.seconds == []


def test_a_list_that_is_refused_for_now_is_an_error() -> None:
    waits = Waits()
    with scripted(lambda _: refusal(503)) as server, pytest.raises(PushError):
        listed(server, waits)
    assert waits.seconds == [1, 2, 4, 8]


@pytest.mark.parametrize(
    "link",
    [
        f'<{TWO}>; rel="next"',
        f"<{TWO}>; rel=next",
        f'<{TWO}>; REL="NEXT"',
        f"<{TWO}>;Rel=Next",
        f'<{TWO}>; rel="prev next"',
        f'<{TWO}>; title="a, b; rel=prev"; rel="next"',
        f'<{TWO}>; rel="next"; title="a, b"',
        f"< {TWO} > ; rel = next",
        f'</v2/acme/app/tags/list?last=a>; rel="prev", <{TWO}>; rel="next"',
        f'<{TWO}>; rel="next", </v2/acme/app/tags/list?last=a>; rel="prev"',
        '<?n=1000&last=b>; rel="next"',
        '<list?n=1000&last=b>; rel="next"',
        f'<//elsewhere.example.com{TWO}>; rel="next"',
        f'<https://elsewhere.example.com{TWO}>; rel="next"',
        f'<http://elsewhere.example.com:1/{TWO}>; rel="next"',
        f'<{TWO}&x=é>; rel="next"'.encode(),
        f'<{TWO}&x=é>; rel="next"'.encode("latin-1"),
        f'<{TWO}>; rel="next"; title="é"'.encode("latin-1"),
    ],
)
def test_the_next_page_is_read_from_this_registry_however_it_is_announced(
    link: str | bytes,
) -> None:
    def answer(asked: Asked) -> Answer:
        return page("c") if asked.query.get("last") == ["b"] else page("a", "b", link=link)

    with scripted(answer) as server:
        assert listed(server) == tags("a", "b", "c")
    assert server.lines == [LIST, LIST]


@pytest.mark.parametrize(
    "link",
    ["", '</v2/acme/app/tags/list?last=a>; rel="prev"', "<next>", "<x>; title=next", "\xff;=<>,"],
)
def test_what_announces_no_next_page_is_the_end(link: str) -> None:
    with scripted(lambda _: page("a", link=link.encode("latin-1"))) as server:
        assert listed(server) == tags("a")
    assert server.lines == [LIST]


@pytest.mark.parametrize(
    "link",
    [
        '<>; rel="next"',
        f'{TWO}; rel="next"',
        "rel=next",
        f'<{TWO}; rel="next"',
        '<http://[/>; rel="next"',
        '<https://x:port/>; rel="next"',
        '<mailto:a@example.com>; rel="next"',
        '<#>; rel="next"',
        '</v2/acme/app/tags/list?n=1000>; rel="next"',
    ],
)
def test_a_next_page_that_cannot_be_found_makes_the_list_none(link: str) -> None:
    def answer(asked: Asked) -> Answer:
        return page("a", "b", link=link) if asked.line == LIST else refusal(404)

    with scripted(answer) as server:
        assert listed(server) is None


@pytest.mark.parametrize(
    "second",
    [
        refusal(401),
        refusal(403),
        refusal(404),
        refusal(404, "NAME_UNKNOWN"),
        refusal(400),
        refusal(405),
        Answer(body=b""),
        Answer(body=b'{"tags": 7}'),
        Answer(body=b" " * (4 * 1024 * 1024 + 1)),
    ],
)
def test_a_page_that_is_missing_makes_the_list_none(second: Answer) -> None:
    def answer(asked: Asked) -> Answer:
        return second if "last" in asked.query else page("a", "b", link=f"<{TWO}>; rel=next")

    with scripted(answer) as server:
        assert listed(server) is None


def test_a_list_without_end_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("releasetag.registry.tags.PAGES", 20)
    numbers = itertools.count()

    def answer(_: Asked) -> Answer:
        number = next(numbers)
        return page(f"t{number}", link=f"<{TWO}{number}>; rel=next")

    with scripted(answer) as server:
        assert listed(server) is None
    assert len(server.asked) == 20


@given(st.binary(max_size=60) | st.text('<>;="next, rel\\', max_size=40).map(str.encode))
def test_no_link_is_an_internal_error(value: bytes) -> None:
    import httpx

    try:
        link = next_link(httpx.Headers([(b"Link", value)]))
    except UnreadableLinkError:
        return
    assert link.isascii()
