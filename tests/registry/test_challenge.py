"""releasetag.registry.challenge: WWW-Authenticate headers, and scopes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.registry.challenge import (
    Challenge,
    choose_challenge,
    merge_scopes,
    parse_challenges,
)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], []),
        ([""], []),
        (["Basic"], [("basic", {})]),
        (['Basic realm="a"'], [("basic", {"realm": "a"})]),
        (
            ['Bearer realm="https://a/t",service="r",scope="repository:a/b:pull,push"'],
            [
                (
                    "bearer",
                    {"realm": "https://a/t", "service": "r", "scope": "repository:a/b:pull,push"},
                )
            ],
        ),
        (
            ['bEaReR Realm = "a" , SERVICE=b ,, error="invalid_token"'],
            [("bearer", {"realm": "a", "service": "b", "error": "invalid_token"})],
        ),
        ([r'Bearer realm="a\"b\\c, d=e"'], [("bearer", {"realm": r'a"b\c, d=e'})]),
        (
            ['Negotiate, Basic realm="x, y", Bearer realm="z"'],
            [("negotiate", {}), ("basic", {"realm": "x, y"}), ("bearer", {"realm": "z"})],
        ),
        (
            ["Negotiate abc/def==, Basic realm=x"],
            [("negotiate", {}), ("basic", {"realm": "x"})],
        ),
        (
            ['Basic realm="a"', 'Bearer realm="b"'],
            [("basic", {"realm": "a"}), ("bearer", {"realm": "b"})],
        ),
        (['Bearer realm="a",realm="b"'], [("bearer", {"realm": "a"})]),
        (['Bearer realm="unclosed'], [("bearer", {})]),
        (["\x00\x01"], []),
        (["," * 5000], []),
    ],
)
def test_challenges_are_read(
    headers: list[str], expected: list[tuple[str, dict[str, str]]]
) -> None:
    found = parse_challenges(headers)
    assert found[: len(expected)] == [Challenge(*pair) for pair in expected]
    assert len(found) == len(expected) or "unclosed" in headers[0]


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ([], []),
        (["repository:a:pull"], ["repository:a:pull"]),
        (["repository:a:pull,push", "repository:a:pull"], ["repository:a:pull,push"]),
        (["repository:a:pull", "repository:a:push,pull"], ["repository:a:pull,push"]),
        (
            ["repository:b:pull", "repository:a:pull", "repository:b:push"],
            ["repository:b:pull,push", "repository:a:pull"],
        ),
        (["repository:h:5/a:pull"], ["repository:h:5/a:pull"]),
    ],
)
def test_scopes_on_one_resource_are_one(scopes: list[str], expected: list[str]) -> None:
    assert merge_scopes(scopes) == expected


@pytest.mark.parametrize(
    ("header", "scheme"),
    [
        ('Basic realm="a", Bearer realm="b"', "bearer"),
        ('Negotiate, Basic realm="a"', "basic"),
        ("Negotiate", None),
        ("", None),
    ],
)
def test_bearer_is_preferred(header: str, scheme: str | None) -> None:
    chosen = choose_challenge([header])
    assert (chosen.scheme if chosen else None) == scheme


@given(st.lists(st.text(max_size=60) | st.text('Bearer ="\\,scope:;', max_size=60), max_size=3))
def test_no_challenge_is_an_internal_error(headers: list[str]) -> None:
    assert isinstance(parse_challenges(headers), list)
