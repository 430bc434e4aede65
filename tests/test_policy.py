"""releasetag.policy: the tags of a version, and the versions that count."""

import pytest

from releasetag.errors import UsageError
from releasetag.policy import TagPolicy
from releasetag.template import parse_template
from releasetag.version import Release, Version, parse_version

REVISION = "0123456789abcdef0123456789abcdef01234567"


def version(text: str) -> Version:
    found = parse_version(text)
    assert found is not None
    return found


def release(text: str) -> Release:
    return Release(f"v{text}", version(text), REVISION)


def policy(*templates: str, ignored: tuple[str, ...] = ()) -> TagPolicy:
    return TagPolicy(tuple(map(parse_template, templates)), frozenset(map(version, ignored)))


@pytest.mark.parametrize(
    ("templates", "text", "expected"),
    [
        (["{version}", "latest", "v{version}"], "1.2.3", ["1.2.3", "v1.2.3"]),
        (["{version}", "{major}.{minor}.{patch}"], "1.2.3", ["1.2.3"]),
        (["{version}", "{major}.{minor}.{patch}"], "1.2.3-rc.1", ["1.2.3-rc.1"]),
        (["{version}", "{version}-{short_sha}"], "1.2.3+5", ["1.2.3_5", "1.2.3_5-0123456"]),
        (["sha-{short_sha}", "{channel}"], "1.2.3", []),
        # Too long for a tag, as a label may be.
        (["{version}"], f"1.2.3-{'x' * 200}", []),
        (["{prerelease}-{version}"], "1.2.3", []),
    ],
)
def test_the_exact_tags_of_a_version(templates: list[str], text: str, expected: list[str]) -> None:
    assert policy(*templates).exact_tags(version(text), REVISION) == expected


@pytest.mark.parametrize(
    ("prefix", "git_tag", "expected"),
    [
        (None, "v1.2.3+5", ["v1.2.3_5"]),
        (None, "1.2.3+5", ["1.2.3_5"]),
        # An image says its version, and not what its git tag was called.
        (None, "", ["v1.2.3_5", "1.2.3_5"]),
        ("api/v", "", ["api-v1.2.3_5"]),
        ("", "", ["1.2.3_5"]),
    ],
)
def test_the_exact_tags_of_a_git_tag(prefix: str | None, git_tag: str, expected: list[str]) -> None:
    rules = TagPolicy((parse_template("{git_tag}"),), prefix=prefix)

    assert rules.exact_tags(version("1.2.3+5"), REVISION, git_tag) == expected


@pytest.mark.parametrize(
    ("templates", "text", "expected"),
    [
        (["{version}", "{major}.{minor}", "latest"], "1.2.3", ["1.2", "latest"]),
        (["latest", "{major}", "latest"], "1.2.3", ["latest", "1"]),
        (["{major}", "{major}.{minor}"], "0.2.3", ["0.2"]),
        (["{channel}", "latest"], "1.2.3-rc.1", ["rc"]),
        (["{channel}", "rc"], "1.2.3-rc.1", []),  # "rc" follows stable releases
        (["{channel}", "rc"], "1.2.3", ["rc"]),
        (["{build}"], "1.2.3", []),
        (["{channel}", "{major}-{channel}"], f"1.2.3-{'x' * 128}", ["x" * 128]),  # too long
        # What could be an exact tag of some version is no floating one.
        (["{version}", "1.2.0", "latest"], "1.2.3", ["latest"]),
        (["{version}", "sha-{short_sha}"], "1.2.3", []),
    ],
)
def test_the_floating_tags_that_choose_from_a_version(
    templates: list[str], text: str, expected: list[str]
) -> None:
    found = policy(*templates).floating_tags(version(text), REVISION)

    assert list(found) == expected
    assert all(template.kind == "floating" for template in found.values())


def test_of_two_templates_for_one_tag_the_first_is_named() -> None:
    found = policy("{minor}", "{major}").floating_tags(version("2.2.0"), REVISION)

    assert {name: template.text for name, template in found.items()} == {"2": "{minor}"}


def test_a_floating_tag_that_could_be_exact_is_refused_where_it_is_planned() -> None:
    policy("{version}", "{major}.{minor}", "latest").check([release("1.2.3")], [])
    with pytest.raises(UsageError) as error:
        policy("{version}", "latest", "{major}.{minor}.0").check([release("1.2.3")], [])

    assert str(error.value) == (
        "the floating tag '1.2.0' from template '{major}.{minor}.0' could be the exact tag of a"
        " version"
    )
    assert error.value.hint == "exact tags never move: choose another name for the floating tag"


@pytest.mark.parametrize(
    ("name", "expected"), [("1.2.3", True), ("v1.2.3", False), ("latest", False), ("1.2", False)]
)
def test_a_name_is_exact_if_an_exact_template_could_give_it(name: str, expected: bool) -> None:
    assert policy("{version}", "latest", "{major}.{minor}").may_be_exact(name) is expected


def test_yanked_versions_do_not_count() -> None:
    rules = policy("{version}", ignored=("1.2.3+1",))

    assert not rules.counts(version("1.2.3+1"))
    assert rules.counts(version("1.2.3"))


def loose(*templates: str, prefix: str | None = None) -> TagPolicy:
    return TagPolicy(tuple(map(parse_template, templates)), prefix=prefix, scheme="loose")


def loose_release(git_tag: str) -> Release:
    found = parse_version(git_tag.removeprefix("v"), "loose")
    assert found is not None
    return Release(git_tag, found, REVISION)


def test_under_semver_alone_is_a_name_reserved_for_exact_tags() -> None:
    assert policy("{version}").is_reserved("1.2.3")
    assert not policy("{version}").is_reserved("1.2")
    assert loose("{version}").may_be_exact("1.2")
    assert not loose("{version}").is_reserved("1.2")


def test_whether_a_name_may_be_exact_goes_by_the_prefix() -> None:
    assert loose("{git_tag}", prefix="api/").may_be_exact("api-1.2")
    assert not loose("{git_tag}", prefix="api/").may_be_exact("1.2")


@pytest.mark.parametrize(
    ("templates", "git_tag", "expected"),
    [
        (["{version}", "{major}.{minor}", "latest"], "v1.2.3", ["1.2", "latest"]),
        # Its own exact tag is no floating one.
        (["{version}", "{major}.{minor}", "latest"], "v1.2", ["latest"]),
        (["{git_tag}", "{major}.{minor}", "latest"], "v1.2", ["1.2", "latest"]),
        (["{git_tag}", "v{major}.{minor}"], "v1.2", []),
        (["{version}", "{major}.{minor}"], "v5", []),
    ],
)
def test_the_floating_tags_of_a_loose_version(
    templates: list[str], git_tag: str, expected: list[str]
) -> None:
    release = loose_release(git_tag)

    assert list(loose(*templates).floating_tags(release.version, REVISION)) == expected


def test_every_exact_tag_has_an_owner() -> None:
    releases = [loose_release("v1.2"), loose_release("v1.2.3")]

    assert loose("{version}-{short_sha}", "{git_tag}", "latest").exact_owners(releases) == {
        f"1.2-{REVISION[:7]}": releases[0],
        "v1.2": releases[0],
        f"1.2.3-{REVISION[:7]}": releases[1],
        "v1.2.3": releases[1],
    }


@pytest.mark.parametrize("others", [[], ["v1.3"], ["v1.2", "v1.3"]])
def test_a_floating_tag_that_is_an_exact_one_is_refused_where_it_is_planned(
    others: list[str],
) -> None:
    rules = loose("{version}", "{major}.{minor}")
    history = [loose_release(each) for each in others]

    if "v1.2" not in others:
        rules.check([loose_release("v1.2.3")], history)
        return
    with pytest.raises(UsageError) as error:
        rules.check([loose_release("v1.4.0"), loose_release("v1.2.3")], history)
    assert str(error.value) == (
        "the floating tag '1.2' from template '{major}.{minor}' is the exact tag of v1.2"
    )


def test_a_release_without_a_git_tag_is_named_by_its_version() -> None:
    found = loose_release("1.2")

    with pytest.raises(UsageError, match=r"is the exact tag of 1\.2$"):
        loose("{version}", "{major}.{minor}").check([Release("", found.version, "")], [])
