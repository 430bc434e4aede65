"""releasetag.fanout: the rule, in tables and against a second reading of it."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.errors import UsageError
from releasetag.fanout import PlannedTag, fan_out, floating_holders, higher_releases
from releasetag.policy import TagPolicy
from releasetag.template import parse_template
from releasetag.version import Release, Scheme, parse_version, version_of
from tests import oracle


def sha(git_tag: str) -> str:
    """A commit for a git tag; the same for two names of one version."""
    return hashlib.sha1(git_tag.removeprefix("v").encode(), usedforsecurity=False).hexdigest()


def policy(templates: Iterable[str], ignore: Collection[str] = ()) -> TagPolicy:
    ignored = frozenset(v for v in map(parse_version, ignore) if v is not None)
    return TagPolicy(tuple(map(parse_template, templates)), ignored)


def release(git_tag: str) -> Release:
    version = version_of(git_tag)
    assert version is not None, git_tag
    return Release(git_tag, version, sha(git_tag))


def releases(git_tags: Iterable[str]) -> list[Release]:
    """As history gives them: what is no version is left out."""
    return [release(name) for name in git_tags if version_of(name) is not None]


def planned(
    git_tag: str, history: Iterable[str], templates: Sequence[str]
) -> tuple[PlannedTag, ...]:
    return fan_out(release(git_tag), releases(history), policy(templates))


def decisions(git_tag: str, history: Iterable[str], templates: Sequence[str]) -> dict[str, str]:
    """The action for every tag, with the version that holds it: ``keep 2.0.1``."""
    return {
        tag.name: f"{tag.action} {tag.held_by}" if tag.held_by else tag.action
        for tag in planned(git_tag, history, templates)
    }


DEFAULT = ["{version}", "{major}.{minor}", "latest"]

TABLE: list[tuple[str, list[str], list[str], dict[str, str]]] = [
    # The hotfix of an older line that began it all.
    (
        "v1.9.1",
        ["v1.9.0", "v2.0.0", "v2.0.1"],
        DEFAULT,
        {"1.9.1": "push", "1.9": "push", "latest": "keep 2.0.1"},
    ),
    ("v1.0.0", [], DEFAULT, {"1.0.0": "push", "1.0": "push", "latest": "push"}),
    # The release itself in its history, once or twice, is no rival.
    ("v1.0.0", ["v1.0.0", "1.0.0"], ["latest"], {"latest": "push"}),
    ("v1.2.3", ["v1.2.4"], DEFAULT, {"1.2.3": "push", "1.2": "keep 1.2.4", "latest": "keep 1.2.4"}),
    # A prerelease moves no tag of stable releases, and holds none.
    (
        "v2.0.0-rc.1",
        ["v1.0.0"],
        DEFAULT,
        {"2.0.0-rc.1": "push", "2.0": "skip", "latest": "skip"},
    ),
    ("v1.0.0", ["v2.0.0-rc.1"], ["latest", "{major}.{minor}"], {"latest": "push", "1.0": "push"}),
    ("v2.0.0-rc.2", ["v2.0.0-rc.1"], ["{channel}"], {"rc": "push"}),
    ("v2.0.0-rc.2", ["v2.0.0-rc.10"], ["{channel}"], {"rc": "keep 2.0.0-rc.10"}),
    ("v2.0.0-rc.2", ["v3.0.0-beta.1", "v3.0.0"], ["{channel}"], {"rc": "push"}),
    ("v2.0.0", ["v2.0.0-rc.1"], ["{channel}"], {"{channel}": "skip"}),
    # Without a channel "1-" would be a tag, and says nothing: the template stands for it.
    ("v1.0.0", [], ["{major}-{channel}"], {"{major}-{channel}": "skip"}),
    ("v1.0.0-rc.1", [], ["{build}"], {"{build}": "skip"}),
    ("v2.0.0-1", [], ["{channel}"], {"{channel}": "skip"}),
    (
        "v1.5.0-rc.1",
        ["v2.0.0-rc.1"],
        ["{major}-{channel}", "{channel}"],
        {"1-rc": "push", "rc": "keep 2.0.0-rc.1"},
    ),
    # 0.x has no major tag, but has every other, and that of its channel too.
    ("v0.3.0", [], ["{major}"], {"0": "skip"}),
    ("v0.3.0", ["v0.2.0"], ["{major}.{minor}", "latest"], {"0.3": "push", "latest": "push"}),
    ("v0.3.0", [], ["{major}-alpine"], {"0-alpine": "skip"}),
    ("v0.3.0-rc.1", [], ["{major}-{channel}"], {"0-rc": "push"}),
    ("v1.0.0", ["v0.9.0"], ["{major}"], {"1": "push"}),
    # Build metadata decide between versions of equal precedence, numbers as numbers.
    ("v1.0.0+9", ["v1.0.0"], ["{version}", "latest"], {"1.0.0_9": "push", "latest": "push"}),
    ("v1.0.0+9", ["v1.0.0+10"], ["latest"], {"latest": "keep 1.0.0+10"}),
    ("v1.0.0", ["v1.0.0+1"], ["latest"], {"latest": "keep 1.0.0+1"}),
    # A prerelease has a git tag of its own.
    ("v1.2.3-rc.1+5", ["v2.0.0"], ["{git_tag}"], {"v1.2.3-rc.1_5": "push"}),
    ("1.2.3", [], ["{git_tag}", "{version}"], {"1.2.3": "push"}),
    # What names a commit names no version.
    ("v1.0.0-rc.1", ["v2.0.0"], ["sha-{short_sha}"], {f"sha-{sha('v1.0.0-rc.1')[:7]}": "push"}),
    # A prerelease is not what its numbers name.
    ("v1.2.3-rc.1", [], ["{major}.{minor}.{patch}"], {"1.2.3": "skip"}),
    # The scope goes by name: both 1.11 and 11.1 are 111.
    ("v1.11.0", ["v11.1.0"], ["{major}{minor}"], {"111": "keep 11.1.0"}),
    ("v11.1.0", ["v1.11.0"], ["{major}{minor}"], {"111": "push"}),
    ("v1.1.0", ["v2.1.0"], ["{minor}"], {"1": "keep 2.1.0"}),
    # Numbers are numbers.
    ("v1.10.0", ["v1.9.0"], ["latest"], {"latest": "push"}),
    ("v1.9.0", ["v1.10.0"], ["{major}"], {"1": "keep 1.10.0"}),
    # Templates that render alike are one tag.
    ("v1.2.3", [], ["{version}", "{major}.{minor}.{patch}"], {"1.2.3": "push"}),
    ("v1.2.3", [], ["latest", "latest"], {"latest": "push"}),
]


@pytest.mark.parametrize(("git_tag", "history", "templates", "expected"), TABLE)
def test_every_tag_of_a_release_is_decided_by_the_table(
    git_tag: str, history: list[str], templates: list[str], expected: dict[str, str]
) -> None:
    assert decisions(git_tag, history, templates) == expected


@pytest.mark.parametrize(
    ("git_tag", "history", "follows", "expected"),
    [
        ("v1.2.0-b.1", ["v1.1.0"], "any", ("push", "highest release")),
        ("v1.2.0-b.1", ["v1.1.0"], "prerelease", ("push", "highest prerelease")),
        (
            "v1.2.0-b.1",
            ["v1.2.0-b.2", "v9.0.0"],
            "prerelease",
            ("keep", "stays at 1.2.0-b.2, which is higher"),
        ),
        ("v1.2.0-b.1", ["v1.2.0"], "any", ("keep", "stays at 1.2.0, which is higher")),
        ("v1.1.1", ["v1.2.0-b.1"], "any", ("keep", "stays at 1.2.0-b.1, which is higher")),
        ("v1.2.0", ["v1.2.0-b.1"], "any", ("push", "highest release")),
        ("v1.2.0", ["v1.3.0-b.1"], "stable", ("push", "highest stable release")),
        ("v1.2.0", [], "prerelease", ("skip", "a stable release does not move it")),
    ],
)
def test_a_floating_tag_chooses_from_the_versions_that_it_follows(
    git_tag: str, history: list[str], follows: str, expected: tuple[str, str]
) -> None:
    rules = TagPolicy((parse_template("beta", follows),))
    (tag,) = fan_out(release(git_tag), releases(history), rules)

    assert (tag.action, tag.reason) == expected


def test_what_a_tag_follows_does_not_change_its_scope() -> None:
    rules = TagPolicy((parse_template("{major}-beta", "any"),))

    (tag,) = fan_out(release("v1.2.0-b.1"), releases(["v2.0.0", "v1.1.0"]), rules)
    assert (tag.name, tag.action, tag.reason) == ("1-beta", "push", "highest release of 1")
    (tag,) = fan_out(release("v0.2.0-b.1"), [], rules)
    assert (tag.name, tag.action) == ("0-beta", "skip")


@pytest.mark.parametrize(
    ("git_tag", "history", "template", "action", "reason"),
    [
        ("v1.2.3", [], "{version}", "push", "names this version"),
        ("v1.2.3", [], "{short_sha}", "push", "names this commit"),
        ("v1.2.3", [], "latest", "push", "highest stable release"),
        ("v1.2.3", [], "{major}", "push", "highest stable release of 1"),
        ("v1.2.3", [], "{major}.{minor}", "push", "highest stable release of 1.2"),
        ("v2.0.0-rc.1", [], "{channel}", "push", "highest prerelease of channel rc"),
        ("v1.9.1", ["v2.0.1"], "latest", "keep", "stays at 2.0.1, which is higher"),
        ("v2.0.0-rc.1", [], "latest", "skip", "a prerelease does not move it"),
        (
            "v2.0.0-rc.1",
            [],
            "{major}.{minor}.{patch}",
            "skip",
            "a prerelease is not what its numbers name",
        ),
        ("v0.1.0", [], "{major}", "skip", "0.x releases promise no compatibility"),
        ("v2.0.0", [], "{channel}", "skip", "a stable release has no channel"),
        ("v2.0.0-1", [], "{channel}", "skip", "1 names no channel"),
        ("v2.0.0", [], "{build}", "skip", "this version lacks the field"),
    ],
)
def test_every_decision_says_why(
    git_tag: str, history: list[str], template: str, action: str, reason: str
) -> None:
    (tag,) = planned(git_tag, history, [template])

    assert (tag.action, tag.reason) == (action, reason)
    assert (tag.template, tag.kind) == (parse_template(template), parse_template(template).kind)


def test_a_tag_that_lacks_its_field_is_shown_as_its_template() -> None:
    (tag,) = planned("v2.0.0", [], ["{build}"])

    assert tag.name == "{build}"


def test_of_two_templates_that_decide_alike_the_first_is_shown() -> None:
    (tag,) = planned("v2.2.0", [], ["{major}", "{minor}"])

    assert tag.template.text == "{major}"


def test_tags_are_listed_in_the_order_of_their_templates() -> None:
    tags = planned("v1.2.3", [], ["latest", "{version}", "{major}", "{major}.{minor}"])

    assert [tag.name for tag in tags] == ["latest", "1.2.3", "1", "1.2"]
    assert [tag.template.text for tag in tags] == [
        "latest",
        "{version}",
        "{major}",
        "{major}.{minor}",
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_templates_that_render_alike_the_careful_decision_stands(order: int) -> None:
    # The channel would move the tag, `latest` would not.
    templates = ["{channel}", "latest"][::order]
    assert decisions("v2.0.0-latest.1", [], templates) == {"latest": "skip"}

    # The minor line would move the tag, the major line would not.
    templates = ["{major}", "{minor}"][::order]
    assert decisions("v2.2.0", ["v2.3.0"], templates) == {"2": "keep 2.3.0"}


@pytest.mark.parametrize(
    ("git_tag", "templates", "name"),
    [
        ("v1.2.3", ["{version}", "1.2.0"], "1.2.0"),
        ("v1.2.3", ["{version}", "{major}.{minor}.0"], "1.2.0"),
        ("v1.2.3", ["{major}.{minor}.{patch}", "{major}.{minor}.9"], "1.2.9"),
        ("v1.2.3", ["{version}-alpine", "{major}.{minor}.0-alpine"], "1.2.0-alpine"),
        ("v1.2.3", ["{version}", "1.2.0-alpine"], "1.2.0-alpine"),
        ("v1.2.3+5", ["{version}", "{major}.{minor}.{build}"], "1.2.5"),
        # It would be skipped, and is wrong all the same.
        ("v1.2.3-rc.1", ["{version}", "{major}.{minor}.0"], "1.2.0"),
        ("v1.2.3", ["1.2.0", "v{version}", "{version}"], "1.2.0"),
        ("v1.2.3", ["{git_tag}", "v{major}.{minor}.0"], "v1.2.0"),
    ],
)
def test_a_floating_tag_that_could_be_an_exact_one_is_a_usage_error(
    git_tag: str, templates: list[str], name: str
) -> None:
    with pytest.raises(UsageError, match=f"floating tag '{name}'") as error:
        planned(git_tag, [], templates)

    assert "exact tags never move" in error.value.hint


@pytest.mark.parametrize(
    "templates",
    [
        ["{version}", "{major}.{minor}", "{major}", "latest"],
        ["v{version}", "v{major}.{minor}", "1.2.0"],
        ["{version}-alpine", "{major}.{minor}-alpine", "alpine", "1.2.0"],
        ["{version}", "sha-{short_sha}", "edge"],
    ],
)
def test_a_floating_tag_that_is_no_exact_one_is_none(templates: list[str]) -> None:
    assert all(tag.action == "push" for tag in planned("v1.2.3", [], templates))


def test_an_exact_template_without_its_field_is_a_usage_error() -> None:
    with pytest.raises(UsageError) as error:
        planned("v1.2.3", [], ["{prerelease}-{version}"])

    assert str(error.value) == "the tag template '{prerelease}-{version}' gives no tag for 1.2.3"
    assert error.value.hint == "it needs a field that this version lacks: choose another template"


def test_one_version_at_two_commits_is_a_usage_error_that_names_both() -> None:
    twin = Release("1.2.3", release("v1.2.3").version, "f" * 40)

    with pytest.raises(UsageError) as error:
        fan_out(release("v1.2.3"), [release("v1.2.3"), twin], policy(DEFAULT))

    assert str(error.value) == (
        "1.2.3 is tagged twice, at different commits:"
        f" v1.2.3 at {sha('v1.2.3')[:12]} and 1.2.3 at {'f' * 12}"
    )
    assert error.value.hint == (
        "delete the wrong one, here and in the remote: git push --delete origin TAG"
    )


@pytest.mark.parametrize(
    ("ignore", "expected"),
    [
        (["2.0.0"], ["v1.0.0", "v2.0.0+hotfix", "v2.1.0"]),
        (["2.0.0", "2.1.0"], ["v1.0.0", "v2.0.0+hotfix"]),
        (["2.0.0+hotfix"], ["v1.0.0", "v2.0.0", "2.0.0", "v2.1.0"]),
        (["9.9.9"], ["v1.0.0", "v2.0.0", "2.0.0", "v2.0.0+hotfix", "v2.1.0"]),
        ([], ["v1.0.0", "v2.0.0", "2.0.0", "v2.0.0+hotfix", "v2.1.0"]),
    ],
)
def test_ignored_releases_do_not_count(ignore: list[str], expected: list[str]) -> None:
    history = releases(["v1.0.0", "v2.0.0", "2.0.0", "v2.0.0+hotfix", "v2.1.0"])

    assert [each.git_tag for each in policy(DEFAULT, ignore).counted(history)] == expected


def test_an_ignored_release_holds_no_tag() -> None:
    rules = policy(["latest"], ["2.0.0"])
    history = rules.counted(releases(["v1.0.0", "v2.0.0"]))

    (tag,) = fan_out(release("v1.0.1"), history, rules)

    assert tag.action == "push"


# Other schemes ------------------------------------------------------------------------------------


def planned_by(
    scheme: Scheme, git_tag: str, history: Iterable[str], templates: Sequence[str]
) -> dict[str, str]:
    """The decisions for a release whose versions are of a scheme."""
    rules = TagPolicy(tuple(map(parse_template, templates)), scheme=scheme)
    known = [
        Release(name, version, sha(name))
        for name in (git_tag, *history)
        if (version := version_of(name, None, scheme))
    ]
    return {
        tag.name: f"{tag.action} {tag.held_by}" if tag.held_by else tag.action
        for tag in fan_out(known[0], known, rules)
    }


@pytest.mark.parametrize(
    ("scheme", "git_tag", "history", "templates", "expected"),
    [
        # The default templates do for versions of three numbers, and for some more.
        (
            "pep440",
            "v1.9.1",
            ["v2.0.1"],
            DEFAULT,
            {"1.9.1": "push", "1.9": "push", "latest": "keep 2.0.1"},
        ),
        (
            "loose",
            "v1.9.1",
            ["v2.0.1"],
            DEFAULT,
            {"1.9.1": "push", "1.9": "push", "latest": "keep 2.0.1"},
        ),
        (
            "loose",
            "1.2.3-2",
            ["1.2.3-10"],
            DEFAULT,
            {"1.2.3-2": "push", "1.2": "keep 1.2.3-10", "latest": "keep 1.2.3-10"},
        ),
        (
            "loose",
            "2024.01.05",
            ["2024.1.4", "nightly", "1.2.3-rc.1"],
            DEFAULT,
            {"2024.01.05": "push", "2024.01": "push", "latest": "push"},
        ),
        (
            "loose",
            "2024.01",
            ["2023.12"],
            ["{version}", "{major}"],
            {"2024.01": "push", "2024": "push"},
        ),
        # What it lacks it has no tag for.
        (
            "loose",
            "5",
            ["4.9.9"],
            ["{version}", "v{major}.{minor}", "latest"],
            {"5": "push", "v{major}.{minor}": "skip", "latest": "push"},
        ),
        (
            "loose",
            "1.2",
            [],
            ["{version}", "{major}.{minor}.{patch}"],
            {"1.2": "push", "{major}.{minor}.{patch}": "skip"},
        ),
        (
            "loose",
            "1.2",
            [],
            ["{version}", "{patch}-{sha}"],
            {"1.2": "push", "{patch}-{sha}": "skip"},
        ),
        # Its numbers are not all of it.
        (
            "loose",
            "1.2.3-1",
            ["1.2.3"],
            ["{version}", "{major}.{minor}.{patch}"],
            {"1.2.3-1": "push", "1.2.3": "skip"},
        ),
        (
            "pep440",
            "1.2.3.post1",
            [],
            ["{version}", "{major}.{minor}.{patch}"],
            {"1.2.3.post1": "push", "1.2.3": "skip"},
        ),
        (
            "pep440",
            "1!1.2.3",
            ["9.0.0"],
            DEFAULT,
            {"1-1.2.3": "push", "1.2": "push", "latest": "push"},
        ),
        (
            "pep440",
            "1.2.3+5",
            ["1.2.3"],
            ["{version}", "latest"],
            {"1.2.3_5": "push", "latest": "push"},
        ),
        (
            "pep440",
            "v2.0.0-RC.2",
            ["v2.0.0rc10"],
            ["{version}", "{channel}", "latest"],
            {"2.0.0rc2": "push", "rc": "keep 2.0.0rc10", "latest": "skip"},
        ),
        (
            "pep440",
            "v2.0.0.dev3",
            ["v2.0.0a1"],
            ["{version}", "{channel}"],
            {"2.0.0.dev3": "push", "dev": "push"},
        ),
        (
            "pep440",
            "v2.0.0.post1",
            ["v2.0.0"],
            DEFAULT,
            {"2.0.0.post1": "push", "2.0": "push", "latest": "push"},
        ),
        ("pep440", "v0.3.0", [], ["{version}", "{major}"], {"0.3.0": "push", "0": "skip"}),
        ("loose", "00.3", [], ["{version}", "{major}"], {"00.3": "push", "00": "skip"}),
        # On one commit, two spellings are one version.
        ("loose", "v1.2.3", ["1.2.3"], ["latest"], {"latest": "push"}),
    ],
)
def test_other_versions_are_decided_by_the_same_table(
    scheme: Scheme, git_tag: str, history: list[str], templates: list[str], expected: dict[str, str]
) -> None:
    assert planned_by(scheme, git_tag, history, templates) == expected


@pytest.mark.parametrize(
    ("git_tag", "template", "reason"),
    [
        ("5", "{major}.{minor}", "5 has no minor number"),
        ("1.2", "{major}.{minor}.{patch}", "1.2 has no patch number"),
        ("1.2.3-4", "{major}.{minor}.{patch}", "1.2.3-4 is not what its numbers name"),
    ],
)
def test_what_a_loose_version_lacks_is_said(git_tag: str, template: str, reason: str) -> None:
    version = version_of(git_tag, None, "loose")
    assert version is not None

    rules = TagPolicy((parse_template(template),), scheme="loose")
    (tag,) = fan_out(Release(git_tag, version, "a" * 40), [], rules)

    assert (tag.action, tag.reason) == ("skip", reason)


@pytest.mark.parametrize(
    ("scheme", "git_tag", "history", "templates", "name", "owner"),
    [
        ("loose", "v1.2.3", ["v1.2"], DEFAULT, "1.2", "v1.2"),
        ("loose", "v1.2", [], DEFAULT, "1.2", "v1.2"),
        ("pep440", "v1.2.1", ["v1.2"], DEFAULT, "1.2", "v1.2"),
        ("pep440", "v1.2.1", ["v1!1.2"], ["{version}", "1-{major}.{minor}"], "1-1.2", "v1!1.2"),
        ("loose", "v1.2.3", ["v1"], ["{git_tag}", "v{major}"], "v1", "v1"),
    ],
)
def test_a_floating_tag_that_is_the_exact_tag_of_a_release_is_a_usage_error(
    scheme: Scheme, git_tag: str, history: list[str], templates: list[str], name: str, owner: str
) -> None:
    with pytest.raises(UsageError) as error:
        planned_by(scheme, git_tag, history, templates)

    assert str(error.value).startswith(f"the floating tag {name!r} from template ")
    assert str(error.value).endswith(f" is the exact tag of {owner}")
    assert error.value.hint == "exact tags never move: choose another name for the floating tag"


@pytest.mark.parametrize(
    ("scheme", "git_tag", "history", "templates"),
    [
        ("loose", "v1.3.0", ["v1.2", "v1.2.3"], DEFAULT),  # 1.2 is another line's
        ("pep440", "v1.2.1rc1", ["v1.2"], DEFAULT),  # which does not move it
        ("loose", "v1.2.3", ["v1.2"], ["{git_tag}", "{major}.{minor}"]),  # whose tag is v1.2
        ("loose", "v1.2", ["v1.1"], ["{git_tag}", "{major}.{minor}"]),
    ],
)
def test_a_floating_tag_that_only_could_be_an_exact_one_is_none(
    scheme: Scheme, git_tag: str, history: list[str], templates: list[str]
) -> None:
    assert planned_by(scheme, git_tag, history, templates)


@pytest.mark.parametrize(
    ("scheme", "one", "other"), [("pep440", "v1.2", "v1.2.0"), ("loose", "01.2", "1.2")]
)
def test_two_spellings_at_two_commits_are_a_usage_error_that_names_both(
    scheme: Scheme, one: str, other: str
) -> None:
    with pytest.raises(UsageError) as error:
        planned_by(scheme, one, [other], ["{version}", "latest"])

    assert f": {one} at {sha(one)[:12]} and {other} at {sha(other)[:12]}" in str(error.value)


def test_two_spellings_at_one_commit_are_one_version_of_which_neither_is_higher() -> None:
    known = [
        Release(name, version, "a" * 40)
        for name in ("v1.2.0", "v1.2")
        if (version := version_of(name, None, "pep440"))
    ]
    rules = TagPolicy(tuple(map(parse_template, ["{version}", "latest"])), scheme="pep440")

    for each in known:
        assert [tag.action for tag in fan_out(each, known, rules)] == ["push", "push"]
    # 1.2.0 is the one that counts, whatever the order.
    for order in (known, known[::-1]):
        assert floating_holders(rules, order)["latest"].git_tag == "v1.2.0"


LOOSE_GIT_TAGS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["v", ""]),
    st.lists(st.sampled_from(["0", "1", "2", "10", "01"]), min_size=1, max_size=5).map(".".join),
    st.sampled_from(["", "", "-1", "-10", "-rc.1"]),
)
PEP440_GIT_TAGS = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["v", "", "1!"]),
    st.lists(st.sampled_from(["0", "1", "2", "10"]), min_size=1, max_size=4).map(".".join),
    st.sampled_from(["", "", "rc1", "-rc.2", "a1", ".dev1"]),
    st.sampled_from(["", "", ".post1"]),
    st.sampled_from(["", "", "+5"]),
)
SCHEME_TEMPLATES = ("{version}", "{major}.{minor}.{patch}", "{major}.{minor}", "r{major}", "latest",
                    "{channel}", "v{minor}-{patch}")  # fmt: skip


@pytest.mark.parametrize(
    ("scheme", "names"), [("loose", LOOSE_GIT_TAGS), ("pep440", PEP440_GIT_TAGS)]
)
@given(data=st.data())
def test_no_tag_goes_down_and_every_tag_ends_at_the_highest_in_any_scheme(
    scheme: Scheme, names: st.SearchStrategy[str], data: st.DataObject
) -> None:
    git_tags = data.draw(st.lists(names, max_size=12, unique=True))
    rules = TagPolicy(tuple(map(parse_template, SCHEME_TEMPLATES)), scheme=scheme)
    known: list[Release] = []
    read: dict[str, oracle.Version] = {}
    for git_tag in git_tags:
        version = version_of(git_tag, None, scheme)
        # Twins are the subject of tests of their own.
        if version is not None and all(version != each.version for each in known):
            known.append(Release(git_tag, version, sha(git_tag)))
            read[git_tag] = oracle.read_version(git_tag.removeprefix("v"), scheme)
    exact = {oracle.name_of("{version}", each): each for each in read.values()}
    named: dict[str, oracle.Version] = {}
    refused: list[oracle.Version] = []
    for release in known:
        own = read[release.git_tag]
        floats = oracle.floating_names(SCHEME_TEMPLATES, own)
        published = known[: known.index(release) + 1]
        taken = {oracle.name_of("{version}", read[each.git_tag]) for each in published}
        if floats & taken:
            with pytest.raises(UsageError, match="is the exact tag of"):
                fan_out(release, published, rules)
            refused.append(own)
            continue
        for tag in fan_out(release, published, rules):
            if tag.action == "push" and tag.kind == "floating":
                assert tag.name in floats
                assert tag.name not in named or named[tag.name].order < own.order
                named[tag.name] = own
            elif tag.action == "push":
                assert exact.get(tag.name) == own
    everything = [read[each.git_tag] for each in known]
    for name, version_at in named.items():
        top = oracle.holder(name, SCHEME_TEMPLATES, everything)
        # A release that was refused holds its tags all the same: it is in the history.
        assert version_at == top or top in refused


# Properties ---------------------------------------------------------------------------------------

# Small numbers, so that histories hold rivals, twins and lines maintained side by side.
numbers = st.integers(0, 3) | st.sampled_from([9, 10])
prereleases = st.sampled_from(
    ["", "", "", "-rc.1", "-rc.2", "-rc.10", "-rc", "-rc1", "-beta.1", "-alpha", "-alpha.beta",
     "-alpha.1.2", "-1", "-0a", "--x", "-RC.1"]
)  # fmt: skip
builds = st.sampled_from(["", "", "", "+a", "+b.7", "+001"])
versions = st.builds("{}.{}.{}{}{}".format, numbers, numbers, numbers, prereleases, builds)
git_tags = st.builds("{}{}".format, st.sampled_from(["v", "v", ""]), versions)
odd_tags = st.sampled_from(["nightly", "v1.2", "v01.2.3", "api/v9.9.9", "latest", "v", "v1.2.3-"])
histories = st.lists(git_tags | odd_tags, max_size=25)

TEMPLATES = [
    "{version}",
    "{version}-alpine",
    "c-{short_sha}",
    "{major}.{minor}",
    "{major}.{minor}-alpine",
    "{major}",
    "latest",
    "{channel}",
    "{major}.{minor}-{channel}",
    "{major}-{channel}",
    # These give names that others give, too: 111, 1 and "latest".
    "{major}{minor}",
    "{minor}",
    "rc",
]
FLOATING = [template for template in TEMPLATES if oracle.kind(template) == "floating"]
templates_lists = st.lists(st.sampled_from(TEMPLATES), min_size=1, unique=True)


def reads(git_tags: Iterable[str]) -> list[oracle.Read]:
    """As the second reading has them."""
    return [read for name in git_tags if (read := oracle.read_git_tag(name)) is not None]


def read(git_tag: str) -> oracle.Read:
    found = oracle.read_git_tag(git_tag)
    assert found is not None, git_tag
    return found


@given(git_tags, histories, st.sampled_from(["stable", "prerelease", "any"]))
def test_a_tag_that_follows_names_the_highest_of_those(
    git_tag: str, history: list[str], follows: str
) -> None:
    rules = TagPolicy((parse_template("beta", follows),))
    (tag,) = fan_out(release(git_tag), releases(history), rules)

    def is_followed(version: oracle.Read) -> bool:
        return follows == "any" or bool(version.prerelease) is (follows == "prerelease")

    mine = read(git_tag)
    higher = [r for r in reads(history) if is_followed(r) and r.order > mine.order]
    if not is_followed(mine):
        assert tag.action == "skip"
    elif higher:
        assert str(tag.held_by) == max(higher, key=lambda r: r.order).text
    else:
        assert tag.action == "push"


@given(git_tags, histories, templates_lists, st.lists(versions, max_size=3))
def test_decisions_are_those_of_the_second_reading(
    git_tag: str, history: list[str], templates: list[str], ignore: list[str]
) -> None:
    rules = policy(templates, ignore)
    tags = fan_out(release(git_tag), rules.counted(releases(history)), rules)

    mine = read(git_tag)
    counting = [r for r in reads(history) if r.text not in ignore]
    for tag in tags:
        template = tag.template.text
        action, held_by = oracle.decide(template, templates, mine, counting)
        assert tag.action == action, tag
        assert tag.kind == oracle.kind(template)
        if action != "skip":
            assert tag.name == template.format(**mine.fields(sha(git_tag)))
        assert str(tag.held_by or "") == (held_by.text if held_by else "")
        assert held_by is None or held_by.text in tag.reason
    # A tag that is pushed by one of several templates is in the list once.
    pushed = {t for t in templates if oracle.decide(t, templates, mine, counting)[0] == "push"}
    assert {t.name for t in tags if t.action == "push"} == {
        template.format(**mine.fields(sha(git_tag))) for template in pushed
    }


@given(git_tags, histories, templates_lists, st.randoms(use_true_random=False))
def test_the_order_of_the_history_and_repetitions_in_it_do_not_matter(
    git_tag: str, history: list[str], templates: list[str], random: Random
) -> None:
    shuffled = history + history[: len(history) // 2]
    random.shuffle(shuffled)

    assert planned(git_tag, shuffled, templates) == planned(git_tag, history, templates)


@given(git_tags, histories, templates_lists)
def test_a_release_is_no_rival_of_itself(
    git_tag: str, history: list[str], templates: list[str]
) -> None:
    assert planned(git_tag, [*history, git_tag], templates) == planned(git_tag, history, templates)


@given(st.lists(git_tags, min_size=1, max_size=20), st.data())
def test_no_floating_tag_goes_backwards_in_whatever_order_releases_are_published(
    history: list[str], data: st.DataObject
) -> None:
    published = data.draw(st.permutations(history))
    # Some are published again, and some are tagged long before they are published.
    published += data.draw(st.lists(st.sampled_from(history), max_size=5))
    tagged = data.draw(st.lists(st.sampled_from(history), max_size=3))
    names: dict[str, oracle.Read] = {}
    for git_tag in published:
        tagged.append(git_tag)
        for tag in planned(git_tag, tagged, FLOATING):
            if tag.action == "push":
                before = names.get(tag.name)
                assert before is None or before.order <= read(git_tag).order
                names[tag.name] = read(git_tag)

    everyone = reads(history)
    expected = {name for version in everyone for name in oracle.floating_names(FLOATING, version)}
    assert {name: top.text for name, top in names.items()} == {
        name: top.text for name in expected if (top := oracle.holder(name, FLOATING, everyone))
    }


@given(histories, templates_lists)
def test_holders_are_those_of_the_second_reading(history: list[str], templates: list[str]) -> None:
    """What verify expects, and what publish and promote yield to."""
    everyone = reads(history)

    holders = floating_holders(policy(templates), releases(history))

    names = {name for version in everyone for name in oracle.floating_names(templates, version)}
    assert {name: str(each.version) for name, each in holders.items()} == {
        name: top.text for name in names if (top := oracle.holder(name, templates, everyone))
    }
    lowest = min((each.version for each in releases(history)), default=None)
    for name, holder in holders.items():
        assert lowest is not None
        above = higher_releases(name, lowest, releases(history), policy(templates))
        assert [each.version for each in above[:1]] == [holder.version] * (holder.version > lowest)
