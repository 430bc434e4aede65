"""releasetag.version: git tag name, version, Docker tag text."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.reference import is_tag
from releasetag.version import (
    Release,
    Version,
    channel,
    docker_text,
    highest,
    parse_version,
    version_of,
)
from tests import oracle

# The specification's own examples, and what its grammar excludes.
VALID = [
    "0.0.0",
    "1.2.3",
    "10.20.30",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-0.3.7",
    "1.0.0-x.7.z.92",
    "1.0.0-x-y-z.--",
    "1.0.0-0A.is.legal",
    "1.0.0+20130313144700",
    "1.0.0-beta+exp.sha.5114f85",
    "1.0.0+21AF26D3---117B344092BD",
    "1.0.0+001",
    "99999999999999999999999.999999999999999999.99999999999999999",
]
INVALID = [
    "",
    "1",
    "1.2",
    "1.2.3.4",
    "01.2.3",
    "1.02.3",
    "1.2.03",
    "1.2.3-",
    "1.2.3+",
    "1.2.3-01",
    "1.2.3-rc..1",
    "1.2.3-rc_1",
    "1.2.3+a+b",
    "-1.2.3",
    "v1.2.3",
    " 1.2.3",
    "1.2.3 ",
    "1.2.3\n",
    "١.٢.٣",  # digits, but not ASCII's
    "1٢.2.3",
    "1.2.3-1٢",
    "1.2.3-é",
    "nightly",
]
# Section 11's own chain, lowest first.
ORDER = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "2.0.0",
    "2.1.0",
    "2.1.1",
    "2.1.10",
]


def version(text: str) -> Version:
    parsed = parse_version(text)
    assert parsed is not None, text
    return parsed


def release(git_tag: str) -> Release:
    found = version_of(git_tag)
    assert found is not None, git_tag
    return Release(git_tag, found, "0" * 40)


@pytest.mark.parametrize("text", VALID)
def test_a_semantic_version_is_read_and_written_as_it_was(text: str) -> None:
    assert str(version(text)) == text


@pytest.mark.parametrize("text", INVALID)
def test_what_is_no_semantic_version_is_none(text: str) -> None:
    assert parse_version(text) is None


@given(st.text(alphabet="0123456789.-+vrca_ \n", max_size=14))
def test_what_is_a_version_is_what_the_grammar_says(text: str) -> None:
    expected = oracle.read(text)
    found = parse_version(text)

    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        numbers = expected.major, expected.minor, expected.patch
        assert (found.major, found.minor, found.patch) == tuple(map(str, numbers))
        assert (found.prerelease or "", found.build or "") == (expected.prerelease, expected.build)


def test_a_name_without_end_is_no_version_and_no_error() -> None:
    # Python refuses to turn more than 4,300 digits into an integer.
    assert parse_version("1." + "9" * 5000 + ".0") is None
    assert parse_version("1.2.3-" + "x" * 994)
    assert parse_version("1.2.3-" + "x" * 995) is None


@pytest.mark.parametrize(
    ("git_tag", "prefix", "expected"),
    [
        ("v1.2.3", None, "1.2.3"),
        ("1.2.3", None, "1.2.3"),
        ("v2.0.0-rc.1", None, "2.0.0-rc.1"),
        ("vv1.2.3", None, None),
        ("V1.2.3", None, None),
        ("v.1.2.3", None, None),
        ("v1.2", None, None),
        ("v01.2.3", None, None),
        ("nightly", None, None),
        ("api/v1.2.3", None, None),
        ("api/v1.2.3", "api/v", "1.2.3"),
        ("api/1.2.3", "api/v", None),
        ("v1.2.3", "api/v", None),
        ("api/vv1.2.3", "api/v", None),
        ("v1.2.3", "", None),
        ("1.2.3", "", "1.2.3"),
        ("1.2.3", "v", None),
        # A prefix is text and no pattern.
        ("rel.1.2.3", "rel.", "1.2.3"),
        ("relx1.2.3", "rel.", None),
    ],
)
def test_a_git_tag_is_a_release_if_a_version_stands_behind_the_prefix(
    git_tag: str, prefix: str | None, expected: str | None
) -> None:
    found = version_of(git_tag, prefix)

    assert (None if found is None else str(found)) == expected


@pytest.mark.parametrize(("lower", "higher"), list(itertools.combinations(ORDER, 2)))
def test_versions_are_ordered_as_section_11_orders_them(lower: str, higher: str) -> None:
    assert version(lower) < version(higher)
    assert highest([release(higher), release(lower)]) == release(higher)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2.3", "1.2.3"),
        ("1.2.3+build.5", "1.2.3_build.5"),
        ("2.0.0-rc.1+a-b", "2.0.0-rc.1_a-b"),
    ],
)
def test_a_docker_tag_writes_build_metadata_behind_an_underscore(text: str, expected: str) -> None:
    assert docker_text(text) == expected


@pytest.mark.parametrize("text", VALID)
def test_every_version_is_a_docker_tag(text: str) -> None:
    assert is_tag(docker_text(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2.3", ""),
        ("2.0.0-rc.1", "rc"),
        ("2.0.0-rc1", "rc"),
        ("2.0.0-beta", "beta"),
        ("2.0.0-alpha-2.1", "alpha"),
        ("2.0.0-1", ""),
        ("2.0.0-0rc", ""),
        ("2.0.0--rc", ""),
        ("2.0.0-RC.1", "RC"),
        ("2.0.0+rc.1", ""),
    ],
)
def test_the_channel_is_the_leading_letters_of_the_prerelease(text: str, expected: str) -> None:
    assert channel(version(text)) == expected


def test_no_release_is_highest_of_none() -> None:
    assert highest([]) is None


@pytest.mark.parametrize(
    "names",
    [
        ["v1.2.3+a", "v1.2.3+b", "v1.2.3", "v1.2.2+z"],
        ["v1.2.3", "1.2.3"],
        ["v1.2.3-rc.1+1", "v1.2.3-rc.1+2"],
    ],
)
def test_among_releases_of_equal_precedence_the_highest_is_always_the_same(
    names: list[str],
) -> None:
    found = {highest(map(release, order)) for order in itertools.permutations(names)}

    assert len(found) == 1
    top = found.pop()
    assert top is not None
    assert all(release(name).version <= top.version for name in names)
