"""releasetag.version: git tag name, version, Docker tag text."""

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import InvalidVersion
from packaging.version import Version as Parsed

from releasetag.reference import is_tag
from releasetag.version import (
    Release,
    Releases,
    Scheme,
    Version,
    at_least,
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


def version(text: str, scheme: Scheme = "semver") -> Version:
    parsed = parse_version(text, scheme)
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


# Lowest first.
LOOSE = ["0", "00.1", "1", "1-0", "1-2", "1-10", "1.0", "1.2", "1.2-1", "1.2.3", "1.2.3-2",
         "1.2.3.0", "1.2.3.0-1", "1.2.10", "01.10", "2", "2024.01.05", "2024.1.10"]  # fmt: skip
PEP440 = ["0.9", "1.0.dev1", "1.0a1.dev1", "1.0a1", "1.0a2", "1.0b1", "1.0rc1", "1.0rc1.post1",
          "1.0", "1.0+abc", "1.0+abc.5", "1.0+5", "1.0.post1.dev2", "1.0.post1", "1.0.post2",
          "1.0.0.0.1", "1.0.1", "1.10", "2024.1.5", "1!0.1", "1!1.0"]  # fmt: skip


@pytest.mark.parametrize(
    ("scheme", "lower", "higher"),
    [
        (scheme, *pair)
        for scheme, order in (("loose", LOOSE), ("pep440", PEP440))
        for pair in itertools.combinations(order, 2)
    ],
)
def test_each_scheme_has_one_order(scheme: Scheme, lower: str, higher: str) -> None:
    assert version(lower, scheme) < version(higher, scheme)
    assert version(lower, scheme) != version(higher, scheme)


@pytest.mark.parametrize(
    ("scheme", "one", "other"),
    [
        ("loose", "01.2", "1.2"),
        ("loose", "2024.01.05", "2024.1.5"),
        ("loose", "1.2-01", "1.2-1"),
        ("pep440", "1.2", "1.2.0"),
        ("pep440", "1.2rc1", "1.2.0-RC.1"),
        ("pep440", "1.2-1", "1.2.post1"),
        ("pep440", "1.0+ubuntu-1", "1.0+ubuntu.1"),
    ],
)
def test_two_spellings_are_one_version(scheme: Scheme, one: str, other: str) -> None:
    assert version(one, scheme) == version(other, scheme)
    assert hash(version(one, scheme)) == hash(version(other, scheme))


def test_more_numbers_come_after_fewer_where_versions_are_loose() -> None:
    assert version("1.2", "loose") < version("1.2.0", "loose")


@pytest.mark.parametrize(
    ("scheme", "text", "expected"),
    [
        ("semver", "1.2.3-rc.1+a.5", ("1.2.3-rc.1+a.5", "1", "2", "3", "rc.1", "rc", "a.5")),
        ("semver", "1.2.3", ("1.2.3", "1", "2", "3", "", "", "")),
        ("loose", "2024.01.05", ("2024.01.05", "2024", "01", "05", "", "", "")),
        ("loose", "1.2.3.4-5", ("1.2.3.4-5", "1", "2", "3", "", "", "")),
        ("loose", "007", ("007", "007", "", "", "", "", "")),
        ("loose", "1.2", ("1.2", "1", "2", "", "", "", "")),
        ("pep440", "1.2", ("1.2", "1", "2", "", "", "", "")),
        ("pep440", "01.02.03", ("1.2.3", "1", "2", "3", "", "", "")),
        ("pep440", "1.2.3-alpha.1", ("1.2.3a1", "1", "2", "3", "a1", "a", "")),
        ("pep440", "1.2.3c4.dev5", ("1.2.3rc4.dev5", "1", "2", "3", "rc4.dev5", "rc", "")),
        ("pep440", "1.2.dev0", ("1.2.dev0", "1", "2", "", "dev0", "dev", "")),
        ("pep440", "1.2.post4", ("1.2.post4", "1", "2", "", "", "", "")),
        ("pep440", "1.2.post4.dev1", ("1.2.post4.dev1", "1", "2", "", "dev1", "dev", "")),
        ("pep440", "3!1.2.3.4+Local_1", ("3!1.2.3.4+local.1", "1", "2", "3", "", "", "local.1")),
    ],
)
def test_the_parts_of_a_version(scheme: Scheme, text: str, expected: tuple[str, ...]) -> None:
    found = version(text, scheme)

    assert (
        *(str(found), found.major, found.minor, found.patch),
        *(found.prerelease, channel(found), found.build),
    ) == expected
    assert found.scheme == scheme


@pytest.mark.parametrize(
    ("scheme", "text", "expected"),
    [
        ("semver", "1.2.3", True),
        ("semver", "1.2.3+5", True),
        ("semver", "1.2.3-rc.1", False),
        ("loose", "01.2.3", True),
        ("loose", "1.2.3-1", False),
        ("loose", "1.2.3.4", False),
        ("loose", "1.2", False),
        ("pep440", "1.2.3", True),
        ("pep440", "1.2.3+5", False),
        ("pep440", "1!1.2.3", False),
        ("pep440", "1.2.3.post1", False),
        ("pep440", "1.2.3rc1", False),
    ],
)
def test_whether_its_numbers_name_a_version(scheme: Scheme, text: str, expected: bool) -> None:
    assert version(text, scheme).is_its_numbers is expected


@pytest.mark.parametrize(
    ("scheme", "texts"),
    [
        (
            "loose",
            [
                "",
                "v1",
                "1.2.3.4.5",
                "1.",
                ".1",
                "1..2",
                "1-",
                "1-a",
                "1-1-1",
                "1.2.3-rc.1",
                "1+1",
                " 1",
                "1\n",
                "1_2",
                "١.٢",
                "1." + "9" * 1000,
            ],
        ),
        (
            "pep440",
            [
                "",
                "v1",
                "V1.2",
                "1.",
                "1..2",
                "1-a-b",
                "1.2.3-foo",
                " 1.2",
                "1.2 ",
                "1.2\n",
                "1.2+",
                "١.٢",
                "nightly",
                "1!",
                "1." + "9" * 1000,
            ],
        ),
    ],
)
def test_what_is_no_version_of_a_scheme_is_none(scheme: Scheme, texts: list[str]) -> None:
    assert [text for text in texts if parse_version(text, scheme) is not None] == []


@given(st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,4}(-[0-9]{1,2})?", fullmatch=True))
def test_a_loose_version_is_read_and_written_as_it_was(text: str) -> None:
    expected = oracle.read_loose(text)
    found = parse_version(text, "loose")

    assert str(found or "") == (expected.text if expected else "")
    assert (expected is None) == (text.count(".") > 3)


@given(st.lists(st.sampled_from(LOOSE), min_size=3, max_size=3))
def test_the_order_of_loose_versions_is_the_oracles(texts: list[str]) -> None:
    found = sorted(texts, key=lambda text: version(text, "loose"))

    assert found == sorted(texts, key=lambda text: oracle.read_version(text, "loose").order)


PEP440_TEXTS = st.builds(
    "{}{}{}{}{}{}".format,
    st.sampled_from(["", "", "0!", "1!"]),
    st.lists(st.integers(0, 2), min_size=1, max_size=4).map(lambda ns: ".".join(map(str, ns))),
    st.sampled_from(["", "a1", "-alpha.1", "b0", "rc1", "c2", ".pre3", "RC"]),
    st.sampled_from(["", ".post1", "-2", ".rev", "post0"]),
    st.sampled_from(["", ".dev1", "dev", "-dev2"]),
    st.sampled_from(["", "+5", "+abc", "+ABC-5", "+abc.05"]),
)


@given(PEP440_TEXTS, PEP440_TEXTS)
def test_versions_of_pep_440_are_those_of_its_library(one: str, other: str) -> None:
    a, b = version(one, "pep440"), version(other, "pep440")

    assert (a < b, a == b, a > b) == (
        Parsed(one) < Parsed(other),
        Parsed(one) == Parsed(other),
        Parsed(one) > Parsed(other),
    )
    assert (hash(a) == hash(b)) or a != b
    assert bool(a.prerelease) == Parsed(one).is_prerelease
    # Round trip: by git tag, label and Docker tag.
    assert str(version(str(a), "pep440")) == str(a) == str(Parsed(one))
    assert is_tag(docker_text(str(a)))
    assert (docker_text(str(a)) == docker_text(str(b))) == (str(a) == str(b))


@given(PEP440_TEXTS, PEP440_TEXTS)
def test_the_order_of_pep_440_is_the_oracles(one: str, other: str) -> None:
    a, b = (oracle.read_version(text, "pep440") for text in (one, other))

    assert a.text == str(version(one, "pep440"))
    assert (a.order < b.order) == (version(one, "pep440") < version(other, "pep440"))
    assert (a.order == b.order) == (version(one, "pep440") == version(other, "pep440"))


@given(st.text(alphabet="0123.-+!vrcab_ \ndevpost", max_size=10))
def test_what_is_a_version_of_pep_440_is_what_its_library_says(text: str) -> None:
    try:
        expected = str(Parsed(text))
    except InvalidVersion:
        expected = ""
    # A "v" and spaces around it are for its users' comfort; git tags and labels have none.
    if text[:1] == "v" or text != text.strip():
        expected = ""

    assert str(parse_version(text, "pep440") or "") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1!2.0", "1-2.0"), ("1.0+a.b", "1.0_a.b"), ("api/v1.2+5", "api-v1.2_5"), ("1.2-3", "1.2-3")],
)
def test_what_a_docker_tag_cannot_hold_is_replaced(text: str, expected: str) -> None:
    assert docker_text(text) == expected


@pytest.mark.parametrize(
    ("git_tag", "prefix", "scheme", "expected"),
    [
        ("v1.2", None, "loose", "1.2"),
        ("1.2", None, "pep440", "1.2"),
        ("vv1.2", None, "pep440", None),
        ("v1.2", "", "pep440", None),
        ("api/1.2-rc1", "api/", "pep440", "1.2rc1"),
        ("api/1.2-rc1", "api/", "loose", None),
        ("web/1.2", "api/", "loose", None),
        ("v1.2", None, "semver", None),
    ],
)
def test_a_git_tag_is_read_by_the_scheme(
    git_tag: str, prefix: str | None, scheme: Scheme, expected: str | None
) -> None:
    found = version_of(git_tag, prefix, scheme)

    assert (None if found is None else str(found)) == expected


# Releases of a history ----------------------------------------------------------------------------

HISTORY = (
    *(
        "v1.2.3",
        "1.2.3",
        "v1.2.3+9",
        "v1.2.3+10",
        "v1.2.4-rc.2",
        "v1.2.4-rc.10",
        "v2.0.0",
        "v10.0.0",
    ),
    *("v1.2.0", "v1.2", "v1", "v1.2.3-4", "v01.2.3", "v1.0rc1", "v1!1.0", "v1.2.post1"),
    *("api/v1.2.3", "api/v2.0.0-rc.1", "nightly", "v\u0661.2.3", f"v{'1' * 1001}.0.0", "vv1.2.3"),
)


@given(
    names=st.lists(st.sampled_from(HISTORY), unique=True),
    prefix=st.sampled_from([None, "", "v", "api/v", "web/"]),
    scheme=st.sampled_from(get_args(Scheme)),
    yanked=st.sets(st.sampled_from(["1.2.3", "1.2.3+9", "2.0.0", "1.0rc1", "1.2"])),
    bound=st.sampled_from(["1.2.3", "1.2.3+9", "1.2.4-rc.9", "2.0.0", "0.0.1", "11.0.0"]),
)
def test_releases_are_the_tags_that_are_versions_and_not_yanked(
    names: list[str], prefix: str | None, scheme: Scheme, yanked: set[str], bound: str
) -> None:
    """However much of them was looked at before."""
    ignored = frozenset(filter(None, (parse_version(text, scheme) for text in yanked)))
    commits = {name: f"{number:040x}" for number, name in enumerate(names)}
    expected = [
        Release(name, found, commits[name])
        for name in names
        if (found := version_of(name, prefix, scheme)) is not None and found not in ignored
    ]
    least = parse_version(bound, scheme) or version("1", scheme)
    above = [release for release in expected if release.version >= least]

    releases = Releases(commits, prefix, scheme, ignored)

    assert releases.at_least(least) == at_least(expected, least) == above
    assert len(releases) == len(expected)
    assert list(releases) == expected
    assert releases == expected
    assert releases != [*expected, release("v9.9.9")]
    assert releases[:2] == tuple(expected[:2])
    assert [releases[number] for number in range(len(expected))] == expected
    assert at_least(releases, least) == above
