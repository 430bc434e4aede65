"""releasetag.snapshot.names: a snapshot never has the name of a release."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.errors import UsageError
from releasetag.policy import TagPolicy
from releasetag.reference import is_tag
from releasetag.snapshot.names import branch_tag, check_own_name, pull_request_tag
from releasetag.template import parse_template
from releasetag.version import Release, Scheme, commit_tags, parse_version

DEFAULT = TagPolicy(tuple(map(parse_template, ("{version}", "{major}.{minor}", "latest"))))


def policy(*templates: str) -> TagPolicy:
    return TagPolicy(tuple(map(parse_template, templates)))


@pytest.mark.parametrize(
    ("branch", "scheme"),
    [("2026.01", "loose"), ("39", "loose"), ("1.2.3.4", "loose"), ("1.0b1", "pep440")],
)
def test_a_branch_has_no_name_of_a_version_that_is_not_semver(branch: str, scheme: Scheme) -> None:
    with pytest.raises(UsageError):
        branch_tag(branch, "edge", [""], replace(policy("{version}"), scheme=scheme))


@pytest.mark.parametrize(
    ("branch", "expected"),
    [
        ("develop", "develop"),
        ("feature/x", "feature-x"),
        ("feature/#12 & more", "feature-12-more"),
        ("-x", "x"),
        ("..x", "x"),
        ("_x", "_x"),
        ("release/1.2", "release-1.2"),
        ("1.x", "1.x"),
        ("v1.2.x", "v1.2.x"),
        ("x" * 200, "x" * 128),
        ("größe", "gr-e"),
    ],
)
def test_the_tag_of_a_branch(branch: str, expected: str) -> None:
    assert branch_tag(branch, "edge", [""], DEFAULT) == expected


@pytest.mark.parametrize(
    ("branch", "templates"),
    [
        ("1", ()),
        ("v1", ()),
        ("1.2", ()),
        ("v1.2", ()),
        ("1.2.3", ()),
        ("v1.2.3", ()),
        ("1.2.3-linux-arm64", ()),
        ("-1.2", ()),
        ("latest", ()),
        ("edge", ()),
        ("nightly", ()),
        ("pr-12", ()),
        ("pr/12", ()),
        ("sha-0123456", ()),
        ("sha-0123456-alpine", ()),
        ("日本", ()),
        ("", ()),
        ("stable", ("{version}", "stable")),
        ("1.2-alpine", ("{version}", "{major}.{minor}-alpine")),
        ("rc", ("{version}", "{channel}")),
        ("develop", ("{version}", "{channel}")),
        ("next-rc", ("{version}", "next-{channel}")),
        ("app-1.2.3", ("{git_tag}",)),
    ],
)
def test_a_branch_has_no_tag_that_is_anothers(branch: str, templates: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        branch_tag(branch, "edge", [""], policy(*templates) if templates else DEFAULT)


@pytest.mark.parametrize("name", ["edge-alpine", "nightly-alpine", "pr-12-alpine", "edge"])
def test_a_branch_has_no_tag_that_is_that_of_a_variant(name: str) -> None:
    with pytest.raises(UsageError):
        branch_tag(name, "edge", ["", "-alpine"], DEFAULT)
    if name != "edge":
        assert branch_tag(name, "edge", ["", "-slim"], DEFAULT) == name


def test_a_template_of_commits_takes_no_branch() -> None:
    assert (
        branch_tag("x-abcdef0", "edge", [""], policy("{version}", "x-{short_sha}")) == "x-abcdef0"
    )


TEMPLATES = st.lists(
    st.sampled_from(
        ["{major}", "{channel}", "{major}.{minor}-{channel}", "latest", "a{prerelease}", "{build}"]
    ),
    max_size=3,
    unique=True,
)
VERSIONS = st.from_regex(
    r"(0|[1-9][0-9]?)\.(0|[1-9])\.(0|[1-9])(-[a-z]{1,6}(\.[1-9])?)?(\+[a-z]{1,3})?", fullmatch=True
)
BRANCHES = (
    st.text(max_size=8)
    | st.text("abrc019.-/v", max_size=8)
    | st.from_regex(r"[a-z]{2,9}(-[0-9a-z]{1,3})?", fullmatch=True)
    | VERSIONS
)


@given(BRANCHES, TEMPLATES, VERSIONS)
def test_no_release_has_the_tag_of_a_branch(branch: str, more: list[str], text: str) -> None:
    templates = policy("{version}", "{major}.{minor}", *more)
    try:
        name = branch_tag(branch, "edge", [""], templates)
    except UsageError:
        return  # as it is a release's, or no tag
    version = parse_version(text)
    assert version is not None

    assert is_tag(name)
    assert name not in templates.floating_tags(version, "0" * 40)
    assert name not in templates.exact_tags(version, "0" * 40)


@given(VERSIONS, TEMPLATES)
def test_the_tags_of_a_release_are_refused_as_branches(text: str, more: list[str]) -> None:
    templates = policy("{version}", "{major}.{minor}", *more)
    version = parse_version(text)
    assert version is not None
    for name in (
        *templates.floating_tags(version, "0" * 40),
        *templates.exact_tags(version, "0" * 40),
    ):
        with pytest.raises(UsageError):
            branch_tag(name, "edge", [""], templates)


def release(text: str) -> Release:
    version = parse_version(text)
    assert version is not None
    return Release(f"v{text}", version, "0" * 40)


@pytest.mark.parametrize(
    ("name", "templates", "history", "is_refused"),
    [
        ("edge", ("{version}", "latest"), ("1.2.3",), False),
        ("edge", ("{version}", "{channel}"), ("2.0.0-rc.1",), False),
        ("edge", ("{version}", "{channel}"), ("2.0.0-edge.1",), True),
        ("edge", ("{version}", "edge"), (), True),
        ("main", ("{version}", "{channel}"), ("2.0.0-main.1",), True),
        ("latest", ("{version}",), (), True),
        ("1", ("{version}",), (), True),
        ("nightly", ("{version}", "{channel}"), ("2.0.0-nightly.20260102",), True),
        ("pr-12", ("{version}", "pr-{major}"), (), True),
    ],
)
def test_the_other_tags_are_refused_where_a_release_has_them(
    name: str, templates: tuple[str, ...], history: tuple[str, ...], is_refused: bool
) -> None:
    def check() -> None:
        check_own_name(name, policy(*templates), lambda: map(release, history))

    if is_refused:
        with pytest.raises(UsageError, match=name):
            check()
    else:
        check()


def test_the_history_is_asked_only_where_it_decides() -> None:
    def history() -> list[Release]:
        raise AssertionError

    check_own_name("edge", DEFAULT, history)


def test_commits_and_pull_requests() -> None:
    assert commit_tags("0123456789" * 4) == ("sha-0123456", f"sha-{'0123456789' * 4}")
    assert pull_request_tag("12") == "pr-12"
