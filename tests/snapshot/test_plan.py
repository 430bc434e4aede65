"""releasetag.snapshot.plan: what git, its remote and the CI system say."""

import json
from pathlib import Path
from typing import Any

import pytest

from releasetag.config import load
from releasetag.errors import HistoryError, ReleasetagError, UsageError
from releasetag.git import open_work_tree
from releasetag.snapshot.plan import SnapshotPlan, plan_snapshot, read_order
from tests.support.git import GitRepository


@pytest.fixture
def repository(git_repository: GitRepository) -> GitRepository:
    git_repository.commit()
    return git_repository


def plan(repository: GitRepository, environ: dict[str, str] | None = None, **options: Any) -> Any:
    tree = open_work_tree(repository.path, {})
    given = {"images": ["acme/app"], **options}
    configuration = load(given, {}, repository.path, tree.root)
    return plan_snapshot(tree, configuration, environ or {}, pytest.fail)


def look(repository: GitRepository, planned: SnapshotPlan, warnings: list[str]) -> Any:
    assert planned.line is not None
    tree = open_work_tree(repository.path, {})
    return read_order(tree, planned.settings, planned.line, warnings.append)


def names(planned: SnapshotPlan) -> list[str]:
    return [tag.name for tag in planned.tags]


@pytest.mark.parametrize("branch", ["trunk", "master"])
def test_the_default_branch_is_the_remotes(repository: GitRepository, branch: str) -> None:
    repository.git("branch", "--move", "main", branch)
    bare = repository.bare_remote()
    repository.git("symbolic-ref", "HEAD", f"refs/heads/{branch}", env={"GIT_DIR": str(bare)})
    assert names(plan(repository))[0] == "edge"
    repository.git("switch", "--quiet", "--create", "other")
    assert names(plan(repository))[0] == "other"
    # Asked once, and remembered by the clone.
    repository.git("remote", "set-head", "origin", branch)
    repository.git("remote", "set-url", "origin", "/gone")
    assert names(plan(repository))[0] == "other"
    repository.git("switch", "--quiet", branch)
    assert names(plan(repository))[0] == "edge"


def test_without_a_remote_main_and_master_are_default_branches(repository: GitRepository) -> None:
    assert names(plan(repository))[0] == "edge"
    repository.git("branch", "--move", "main", "trunk")
    assert names(plan(repository))[0] == "trunk"


def test_github_says_what_the_default_branch_is(repository: GitRepository, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"repository": {"default_branch": "trunk"}}))
    environ = {"GITHUB_REF": "refs/heads/trunk", "GITHUB_EVENT_PATH": str(event)}

    assert names(plan(repository, environ))[0] == "edge"
    assert names(plan(repository, {**environ, "GITHUB_REF": "refs/heads/main"}))[0] == "main"


@pytest.mark.parametrize("content", [None, "", "[]", "{", '{"repository": []}'])
def test_an_event_that_cannot_be_read_says_nothing(
    repository: GitRepository, tmp_path: Path, content: str | None
) -> None:
    event = tmp_path / "event.json"
    if content is not None:
        event.write_text(content)
    environ = {"GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_PATH": str(event)}

    assert names(plan(repository, environ))[0] == "edge"


def test_a_plan_has_one_floating_tag_and_the_commits(repository: GitRepository) -> None:
    planned = plan(repository, {"GITHUB_REF": "refs/heads/feature/x"})

    assert [(tag.name, tag.kind, tag.action) for tag in planned.tags] == [
        ("feature-x", "floating", "push"),
        (f"sha-{repository.head[:7]}", "commit", "push"),
    ]
    assert (planned.subject.version, planned.subject.revision) == ("feature-x", repository.head)
    assert list(map(str, planned.references)) == [
        "acme/app:feature-x",
        f"acme/app:sha-{repository.head[:7]}",
    ]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"remote": "upstream"}, UsageError),
        ({"history": "remote"}, UsageError),
    ],
)
def test_a_remote_that_is_asked_for_has_to_be_there(
    repository: GitRepository, options: dict[str, Any], error: type[ReleasetagError]
) -> None:
    with pytest.raises(error):
        plan(repository, **options)


def test_a_lone_remote_of_another_name_is_asked(repository: GitRepository) -> None:
    repository.bare_remote("upstream")
    planned = plan(repository)

    assert look(repository, planned, []).tip == repository.head


def test_the_remote_is_not_asked_if_the_local_history_is_all(repository: GitRepository) -> None:
    repository.git("remote", "add", "origin", "/gone")

    assert look(repository, plan(repository, history="local"), []).tip is None


def test_a_remote_that_does_not_answer(repository: GitRepository) -> None:
    """A complete clone goes on with a warning; who wants the remote gets an error."""
    repository.git("remote", "add", "origin", "/gone")
    warnings: list[str] = []

    assert look(repository, plan(repository), warnings).tip is None
    assert len(warnings) == 1
    with pytest.raises(HistoryError):
        look(repository, plan(repository, history="remote"), warnings)
    pull = plan(repository, {"GITHUB_REF": "refs/pull/12/merge"})
    with pytest.raises(HistoryError):
        look(repository, pull, warnings)


def test_a_branch_that_the_remote_does_not_have(repository: GitRepository) -> None:
    repository.bare_remote()
    repository.git("switch", "--quiet", "--create", "local")

    assert look(repository, plan(repository), []).tip == ""


def test_commits_of_a_complete_clone_are_not_fetched(repository: GitRepository) -> None:
    first = repository.head
    second = repository.commit()
    bare = repository.bare_remote()
    repository.git("checkout", "--quiet", first)
    order = look(repository, plan(repository, {"GITHUB_REF": "refs/heads/main"}), [])
    bare.rename(bare.with_name("gone"))

    assert order.tip == second
    assert order.decide(first, second) == (False, f"names {second[:7]}, which is newer")


def test_commits_that_the_clone_lacks_are_fetched(
    repository: GitRepository, tmp_path: Path
) -> None:
    """In a complete clone, too: the branch has gone on since."""
    repository.bare_remote()
    clone = repository.clone(tmp_path / "clone")
    later = [repository.commit(), repository.commit()]
    repository.push()
    order = look(clone, plan(clone, {"GITHUB_REF": "refs/heads/main"}), [])

    assert order.decide(clone.head, later[0]) == (False, f"names {later[0][:7]}, which is newer")
    assert list(order.newer()) == later[::-1]


def test_a_shallow_clone_without_a_remote_cannot_know(
    repository: GitRepository, tmp_path: Path
) -> None:
    repository.commit()
    repository.bare_remote()
    clone = repository.clone(tmp_path / "clone", depth=1)
    order = look(clone, plan(clone, {"GITHUB_REF": "refs/heads/main"}, history="local"), [])

    assert order.decide(clone.head, "") == (True, "")
    with pytest.raises(HistoryError, match="the clone is shallow"):
        order.decide(clone.head, "f" * 40)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (
            '[[variants]]\nname = "a"\nsuffix = ""\n[[variants]]\nname = "b"\nsuffix = ""',
            "two variants would both have the tag acme/app:",
        ),
        (
            '[[variants]]\nname = "a"\ndefault = true\n[[variants]]\nname = "b"\nsuffix = ""',
            "two variants would both have the tag acme/app:",
        ),
    ],
)
def test_images_that_would_have_one_tag_are_refused(
    repository: GitRepository, toml: str, message: str
) -> None:
    repository.write({"releasetag.toml": f'images = ["acme/app"]\n{toml}\n'})
    with pytest.raises(UsageError, match=message):
        plan(repository)


@pytest.mark.parametrize("edge", ["nightly", "pr-7", "sha-0123abc"])
def test_the_default_branch_has_the_tag_of_no_other_snapshot(
    repository: GitRepository, edge: str
) -> None:
    with pytest.raises(UsageError, match=f"would have the tag '{edge}'"):
        plan(repository, edge=edge)
