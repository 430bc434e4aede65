"""releasetag.history: releases by git tags, from real repositories and remotes."""

from pathlib import Path

import pytest

from releasetag.errors import HistoryError, UsageError
from releasetag.git import open_work_tree
from releasetag.history import (
    GitTags,
    HistoryMode,
    read_git_tags,
    require_known,
    reread_git_tags,
)
from releasetag.version import Release, version_of
from tests.support.git import GitRepository


def read(repository: GitRepository, mode: HistoryMode = "auto", remote: str = "origin") -> GitTags:
    return read_git_tags(open_work_tree(repository.path, {}), mode, remote)


def reread(repository: GitRepository, tags: GitTags) -> GitTags:
    return reread_git_tags(open_work_tree(repository.path, {}), tags)


# Releases -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (None, ["1.0.0", "v1.0.0", "v2.0.0-rc.1"]),
        ("v", ["v1.0.0", "v2.0.0-rc.1"]),
        ("", ["1.0.0"]),
        ("api/v", ["api/v1.0.0"]),
        ("web/", []),
    ],
)
def test_releases_are_the_tags_behind_a_prefix(
    repository: GitRepository, prefix: str | None, expected: list[str]
) -> None:
    for name in ["1.0.0", "v2.0.0-rc.1", "v1.0", "api/v1.0.0", "nightly"]:
        repository.tag(name)

    releases = read(repository).releases(prefix, "semver")

    assert sorted(release.git_tag for release in releases) == expected
    assert all(release.revision == repository.head for release in releases)
    assert all(version_of(r.git_tag, prefix) == r.version for r in releases)


def test_the_releases_of_one_commit_are_those_at_it(repository: GitRepository) -> None:
    first = repository.head
    for name in ("v2.0.0", "api/v3.0.0", "nightly"):
        repository.tag(name, annotated=True)
    repository.commit("second")
    repository.tag("v3.0.0")
    tags = read(repository)

    at_first = {release.git_tag for release in tags.releases_at(first, None, "semver")}

    assert at_first == {"v1.0.0", "v2.0.0"}
    assert at_first == {r.git_tag for r in tags.releases(None, "semver") if r.revision == first}
    assert [r.git_tag for r in tags.releases_at(first, "api/v", "semver")] == ["api/v3.0.0"]
    assert tags.releases_at("0" * 40, None, "semver") == ()


@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("what", ["HEAD^{tree}", "HEAD:file"])
@pytest.mark.parametrize("mode", ["local", "auto", "remote"])
def test_a_tag_of_a_tree_or_a_file_is_no_release(
    repository: GitRepository, annotated: bool, what: str, mode: HistoryMode
) -> None:
    repository.write({"file": "text"})
    repository.commit()
    repository.tag("v9.9.9", annotated=annotated, commit=what)
    repository.bare_remote()

    assert set(read(repository, mode).commits) == {"v1.0.0"}


@pytest.mark.parametrize("mode", ["local", "auto", "remote"])
def test_names_that_no_one_expects_are_no_releases(
    repository: GitRepository, mode: HistoryMode
) -> None:
    for name in (
        "v1\u2028.0",
        "v2\u0085.0.0",
        "größe",
        "-v3.0.0",
        "a'b\"c$(id)",
        "HEAD",
        "v4.0.0-ö",
    ):
        repository.git("update-ref", f"refs/tags/{name}", "HEAD")
    repository.bare_remote()

    assert [release.git_tag for release in read(repository, mode).releases(None, "semver")] == [
        "v1.0.0"
    ]


# Remote tags --------------------------------------------------------------------------------------


@pytest.fixture
def clone(repository: GitRepository, tmp_path: Path) -> GitRepository:
    """A clone that knows nothing of v2.0.0 and v2.1.0, which came to its remote later."""
    repository.bare_remote()
    clone = repository.clone(tmp_path / "clone")
    repository.commit("second")
    repository.tag("v2.0.0")
    repository.tag("v2.1.0", annotated=True)
    repository.push()
    clone.tag("v1.0.1-local")
    return clone


@pytest.mark.parametrize(
    ("mode", "source", "expected"),
    [
        ("auto", "remote", {"v1.0.0", "v1.0.1-local", "v2.0.0", "v2.1.0"}),
        ("remote", "remote", {"v1.0.0", "v2.0.0", "v2.1.0"}),
        ("local", "local", {"v1.0.0", "v1.0.1-local"}),
    ],
)
def test_the_mode_says_whose_tags_count(
    clone: GitRepository, mode: HistoryMode, source: str, expected: set[str]
) -> None:
    tags = read(clone, mode)

    assert set(tags.commits) == expected
    assert (tags.source, tags.unknown, tags.shallow) == (source, "", False)


def test_remote_tags_name_commits_and_fetch_none(
    clone: GitRepository, repository: GitRepository
) -> None:
    before = clone.git("count-objects", "-v")

    tags = read(clone)

    assert tags.commits["v2.0.0"] == repository.head
    assert tags.commits["v2.1.0"] == repository.head  # and not the tag object
    assert clone.git("count-objects", "-v") == before
    assert "v2.0.0" not in clone.git("tag")


@pytest.mark.parametrize(("mode", "expected"), [("auto", "local"), ("remote", "remote")])
def test_of_a_tag_that_was_moved_the_local_one_counts_unless_only_the_remote_does(
    clone: GitRepository, repository: GitRepository, mode: HistoryMode, expected: str
) -> None:
    clone.commit("other")
    clone.tag("v2.0.0")
    heads = {"local": clone.head, "remote": repository.head}

    assert read(clone, mode).commits["v2.0.0"] == heads[expected]


def test_another_remote_can_be_asked(repository: GitRepository) -> None:
    repository.bare_remote("upstream")
    repository.git("tag", "--delete", "v1.0.0")

    assert set(read(repository, remote="upstream").commits) == {"v1.0.0"}


def test_the_only_remote_is_asked_whatever_its_name(repository: GitRepository) -> None:
    repository.bare_remote("upstream")
    assert read(repository).source == "remote"


def test_several_remotes_of_which_none_is_origin_leave_the_history_unknown(
    repository: GitRepository,
) -> None:
    for name in ("upstream", "fork"):
        repository.bare_remote(name)
    tags = read(repository)
    assert (tags.source, bool(tags.unknown)) == ("local", True)
    assert "fork, upstream" in tags.unknown


def test_a_remote_s_name_is_shown_harmless(repository: GitRepository) -> None:
    with (repository.path / ".git" / "config").open("a") as config:
        config.writelines(f'[remote "{name}\x1b[31m"]\n\turl = ../x\n' for name in ("a", "b"))

    unknown = read(repository).unknown

    assert unknown.isprintable()
    assert "'" not in unknown
    assert read(repository, remote="a\x1b[31m").unknown.isprintable()


def test_a_clone_of_depth_1_knows_all_releases(
    repository: GitRepository, clone: GitRepository, tmp_path: Path
) -> None:
    shallow = clone.clone(tmp_path / "shallow", depth=1, tag="v1.0.0")

    tags = read(shallow)

    assert set(read(shallow, "local").commits) == {"v1.0.0"}
    assert set(tags.commits) == {"v1.0.0", "v2.0.0", "v2.1.0"}
    assert (tags.source, tags.unknown, tags.shallow) == ("remote", "", True)


def test_without_a_remote_the_local_tags_are_all_there_are(repository: GitRepository) -> None:
    tags = read(repository)

    assert (set(tags.commits), tags.source, tags.unknown) == ({"v1.0.0"}, "local", "")


def test_a_shallow_clone_without_a_remote_does_not_know_its_history(
    repository: GitRepository, tmp_path: Path
) -> None:
    repository.bare_remote()
    shallow = repository.clone(tmp_path / "shallow", depth=1, tag="v1.0.0")
    shallow.git("remote", "remove", "origin")

    assert read(shallow).unknown == "there is no git remote to ask"
    assert read(shallow, "local").unknown == ""


@pytest.mark.parametrize(("mode", "remote"), [("remote", "origin"), ("auto", "upstream")])
def test_a_remote_that_was_asked_for_must_be_there(
    repository: GitRepository, mode: HistoryMode, remote: str
) -> None:
    with pytest.raises(UsageError, match=f"no git remote '{remote}'") as error:
        read(repository, mode, remote)

    assert "--history local" in error.value.hint


@pytest.mark.parametrize(
    "remote",
    ["up\0stream", "\0", "", "new\nline", "\udcff", "\x1b[31m", "x" * 300_000, "*", "origin.url"],
)
@pytest.mark.parametrize("mode", ["auto", "remote"])
def test_a_remote_that_cannot_be_is_a_usage_error(
    repository: GitRepository, mode: HistoryMode, remote: str
) -> None:
    repository.bare_remote()

    with pytest.raises(UsageError, match="there is no git remote") as error:
        read(repository, mode, remote)

    assert error.value.message.isprintable()
    assert len(error.value.message) < 200


def test_a_url_in_place_of_a_remote_does_not_show_its_credentials(
    repository: GitRepository,
) -> None:
    for url in ("https://alice:hunter2@git.example/a", "https://alice:hunter2/x@git.example/a"):
        with pytest.raises(UsageError, match="no git remote 'https://") as error:
            read(repository, remote=url)

        assert "hunter2" not in error.value.message


def test_a_remote_that_is_gone_leaves_the_local_tags_and_says_so(clone: GitRepository) -> None:
    clone.git("remote", "set-url", "origin", "file:///nowhere/app.git")

    tags = read(clone)

    assert set(tags.commits) == {"v1.0.0", "v1.0.1-local"}
    assert (tags.source, tags.shallow) == ("local", False)
    assert tags.unknown.startswith("the tags of the git remote 'origin' cannot be read: ")
    assert "/nowhere/app.git" in tags.unknown
    with pytest.raises(HistoryError, match="cannot be read") as error:
        read(clone, "remote")
    assert "--history local" in error.value.hint
    assert error.value.exit_code == 9


def test_reading_again_sees_a_release_that_appeared_meanwhile(
    clone: GitRepository, repository: GitRepository
) -> None:
    before = read(clone)
    repository.tag("v3.0.0")
    repository.push()

    again = reread(clone, before)

    assert set(again.commits) - set(before.commits) == {"v3.0.0"}
    assert (again.mode, again.remote) == (before.mode, before.remote)


def test_reading_again_is_no_use_if_the_remote_is_gone_meanwhile(clone: GitRepository) -> None:
    before = read(clone)
    clone.git("remote", "set-url", "origin", "file:///nowhere/app.git")

    with pytest.raises(HistoryError, match="newer release cannot be ruled out") as error:
        reread(clone, before)

    assert "no floating tag moved" in error.value.hint


@pytest.mark.parametrize("mode", ["local", "auto"])
def test_reading_again_asks_no_more_than_the_first_time(
    clone: GitRepository, mode: HistoryMode
) -> None:
    clone.git("remote", "set-url", "origin", "file:///nowhere/app.git")
    before = read(clone, mode)

    assert reread(clone, before) == before


# May it be relied on? -----------------------------------------------------------------------------


def tags_of(unknown: str, *, shallow: bool = False) -> GitTags:
    return GitTags({}, "local", unknown, shallow, "auto", "origin")


def releases_of(*names: str) -> list[Release]:
    versions = ((name, version_of(name)) for name in names)
    return [Release(name, version, "0" * 40) for name, version in versions if version]


@pytest.mark.parametrize("shallow", [False, True])
@pytest.mark.parametrize("names", [[], ["v1.0.0"], ["v1.0.0", "v2.0.0"]])
def test_a_history_that_was_read_whole_is_relied_on(names: list[str], shallow: bool) -> None:
    require_known(tags_of("", shallow=shallow), releases_of(*names), "it", pytest.fail)


@pytest.mark.parametrize(
    ("names", "shallow", "why"),
    [
        (["v1.0.0", "v2.0.0"], True, "the clone is shallow"),
        (["v1.0.0"], False, "this clone knows no other release"),
        (["v1.0.0", "1.0.0"], False, "this clone knows no other release"),  # one version twice
        ([], False, "this clone knows no other release"),
    ],
)
def test_a_history_that_may_lack_releases_is_not_relied_on(
    names: list[str], shallow: bool, why: str
) -> None:
    git_tags, releases = tags_of("no answer", shallow=shallow), releases_of(*names)

    with pytest.raises(HistoryError) as error:
        require_known(git_tags, releases, "whether latest may move", pytest.fail)

    assert error.value.exit_code == 9
    assert error.value.message == f"no answer, and {why}: whether latest may move cannot be known"
    assert "--history local" in error.value.hint

    warnings: list[str] = []
    require_known(git_tags, releases, "", warnings.append)
    assert warnings == ["no answer; going on with the local tags"]


def test_a_complete_clone_of_several_releases_is_relied_on_with_a_warning() -> None:
    warnings: list[str] = []

    require_known(tags_of("no answer"), releases_of("v1.0.0", "v1.0.0+1"), "it", warnings.append)

    assert warnings == ["no answer; going on with the local tags"]
