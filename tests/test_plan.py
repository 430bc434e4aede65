"""releasetag.plan: from a work tree and settings to a plan, on real repositories."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from releasetag.config import load
from releasetag.errors import HistoryError, NoReleaseError, UsageError
from releasetag.git import open_work_tree
from releasetag.plan import Plan, ci_git_tag, plan_release
from tests.support.git import GitRepository, git_commands
from tests.support.run import clean_environ


def plan(
    repository: GitRepository,
    environ: Mapping[str, str] | None = None,
    warnings: list[str] | None = None,
    **options: Any,
) -> Plan:
    """The plan of a work tree."""
    tree = open_work_tree(repository.path, environ or {})
    configuration = load(options, environ or {}, repository.path, tree.root)
    return plan_release(
        tree, configuration, environ or {}, pytest.fail if warnings is None else warnings.append
    )


def actions(planned: Plan) -> dict[str, str]:
    return {tag.name: tag.action for tag in planned.tags}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> GitRepository:
    """What every test has a copy of."""
    template = GitRepository(tmp_path_factory.mktemp("template") / "repository")
    for name in ("v1.0.0", "v1.1.0", "v2.0.0"):
        template.commit(name)
        template.tag(name)
    return template


@pytest.fixture
def repository(template: GitRepository, tmp_path: Path) -> GitRepository:
    """Commits tagged v1.0.0, v1.1.0 and v2.0.0, the last of them at HEAD."""
    return template.copy(tmp_path / "repository")


def test_a_plan_holds_the_release_and_what_becomes_of_every_tag(repository: GitRepository) -> None:
    planned = plan(
        repository, images=["ghcr.io/acme/app", "acme/app"], tags=["{version}", "latest"]
    )

    assert planned.release.git_tag == "v2.0.0"
    assert planned.release.revision == repository.head
    assert actions(planned) == {"2.0.0": "push", "latest": "push"}
    assert sorted(release.git_tag for release in planned.history) == ["v1.0.0", "v1.1.0", "v2.0.0"]
    assert [str(reference) for reference in planned.references] == [
        "ghcr.io/acme/app:2.0.0",
        "ghcr.io/acme/app:latest",
        "acme/app:2.0.0",
        "acme/app:latest",
    ]


def test_a_hotfix_of_an_older_line_leaves_latest_alone(repository: GitRepository) -> None:
    repository.git("checkout", "--quiet", "v1.1.0")
    repository.commit("fix")
    repository.tag("v1.1.1")

    planned = plan(repository, images=["acme/app"])

    assert actions(planned) == {"1.1.1": "push", "1.1": "push", "latest": "keep"}
    assert [str(reference) for reference in planned.references] == [
        "acme/app:1.1.1",
        "acme/app:1.1",
    ]
    assert [tag.name for tag in planned.exact] == ["1.1.1"]


def test_floating_tags_are_pushed_narrowest_scope_first(repository: GitRepository) -> None:
    planned = plan(repository, tags=["latest", "{major}", "{version}", "{major}.{minor}"])

    assert [tag.name for tag in planned.floating] == ["2.0", "2", "latest"]
    assert [tag.name for tag in planned.exact] == ["2.0.0"]


# Which release ------------------------------------------------------------------------------------

VARIABLES = [
    ("GITHUB_REF", "refs/tags/"),
    ("CI_COMMIT_TAG", ""),
    ("DRONE_TAG", ""),
    ("CIRCLE_TAG", ""),
    ("TAG_NAME", ""),
    ("BUILD_SOURCEBRANCH", "refs/tags/"),
    ("BITBUCKET_TAG", ""),
    ("BUILDKITE_TAG", ""),
    ("TRAVIS_TAG", ""),
]


@pytest.mark.parametrize(("variable", "prefix"), VARIABLES)
def test_the_ci_system_says_which_release(
    repository: GitRepository, variable: str, prefix: str
) -> None:
    planned = plan(repository, {variable: f"{prefix}v1.0.0"})

    assert planned.release.git_tag == "v1.0.0"
    assert planned.release.revision == repository.git("rev-parse", "v1.0.0")


@pytest.mark.parametrize("index", range(len(VARIABLES) - 1))
def test_ci_systems_are_asked_in_a_fixed_order(index: int) -> None:
    later = VARIABLES[index + 1 :]
    environ = {name: f"{prefix}v9.9.9" for name, prefix in reversed(later)}
    name, prefix = VARIABLES[index]

    assert ci_git_tag({**environ, name: f"{prefix}v1.0.0"}) == (name, "v1.0.0")


@pytest.mark.parametrize(
    "environ",
    [
        {"GITHUB_REF": "refs/heads/v1.0.0"},
        {"GITHUB_REF": "refs/pull/1/merge"},
        {"GITHUB_REF": "refs/tags/"},
        {"BUILD_SOURCEBRANCH": "refs/heads/main"},
        {"CI_COMMIT_TAG": "", "DRONE_TAG": "", "TRAVIS_TAG": ""},
        # GitLab's name of the branch or tag, and GitHub's short one, are not asked.
        {"CI_COMMIT_REF_NAME": "v1.0.0", "GITHUB_REF_NAME": "v1.0.0"},
    ],
)
def test_a_ci_system_that_runs_for_no_tag_leaves_it_to_head(
    repository: GitRepository, environ: dict[str, str]
) -> None:
    assert plan(repository, environ).release.git_tag == "v2.0.0"


@pytest.mark.parametrize("name", ["v1.1.0", "refs/tags/v1.1.0"])
def test_the_git_tag_that_is_asked_for_comes_before_all(
    repository: GitRepository, name: str
) -> None:
    environ = {"GITHUB_REF": "refs/tags/v1.0.0", "CI_COMMIT_TAG": "v1.0.0"}

    assert plan(repository, environ, git_tag=name).release.git_tag == "v1.1.0"
    assert plan(repository, {**environ, "RELEASETAG_GIT_TAG": name}).release.git_tag == "v1.1.0"


def test_the_highest_release_at_head_is_chosen(repository: GitRepository) -> None:
    for name in ("v2.0.0-rc.1", "v1.9.9", "v2.0.1", "v2.0.1-rc.1", "nightly", "v3"):
        repository.tag(name, annotated=name == "v2.0.1")

    assert plan(repository).release.git_tag == "v2.0.1"


def test_a_release_that_is_tagged_twice_is_one(repository: GitRepository) -> None:
    repository.tag("2.0.0")

    planned = plan(repository)

    assert str(planned.release.version) == "2.0.0"
    assert actions(planned) == {"2.0.0": "push", "2.0": "push", "latest": "push"}


@pytest.mark.parametrize(("commits", "where"), [(1, "1 commit back"), (3, "3 commits back")])
def test_no_release_at_head_names_the_nearest_and_what_to_do(
    repository: GitRepository, commits: int, where: str
) -> None:
    for _ in range(commits):
        repository.commit()

    with pytest.raises(NoReleaseError, match="no version tag at HEAD") as error:
        plan(repository)

    assert error.value.exit_code == 3
    assert repository.head[:7] in error.value.message
    assert f"the nearest release is v2.0.0, {where}" in error.value.hint
    assert "git checkout v2.0.0" in error.value.hint


@pytest.mark.parametrize(
    ("environ", "options", "message"),
    [
        ({"GITHUB_REF": "refs/tags/nightly"}, {}, "'nightly' (from GITHUB_REF) is not a version"),
        ({"CI_COMMIT_TAG": "v1.2"}, {}, "'v1.2' (from CI_COMMIT_TAG) is not a version"),
        ({}, {"git_tag": "api/v1.0.0"}, "'api/v1.0.0' (from --git-tag) is not a version"),
        ({}, {"git_tag": "v9.9.9"}, "there is no git tag 'v9.9.9' (from --git-tag)"),
        ({"TAG_NAME": "v9.9.9"}, {}, "there is no git tag 'v9.9.9' (from TAG_NAME)"),
        ({}, {"tag_prefix": "api/v"}, "no version tag at HEAD"),
        ({}, {"git_tag": "v1.0.0", "tag_prefix": "api/v"}, "'v1.0.0' (from --git-tag) is not"),
        ({}, {"ignore": ["2.0.0"]}, "no version tag at HEAD"),
        ({}, {"ignore": ["2.0.0"], "git_tag": "v2.0.0"}, "'v2.0.0' is ignored"),
    ],
)
def test_what_is_no_release_ends_with_exit_code_3(
    repository: GitRepository, environ: dict[str, str], options: dict[str, Any], message: str
) -> None:
    repository.tag("nightly")

    with pytest.raises(NoReleaseError) as error:
        plan(repository, environ, **options)

    assert message in error.value.message
    assert error.value.hint
    assert error.value.exit_code == 3


def test_without_any_release_the_hint_is_to_tag_one(git_repository: GitRepository) -> None:
    git_repository.commit()

    with pytest.raises(NoReleaseError) as error:
        plan(git_repository)

    assert "git tag v0.1.0" in error.value.hint


def test_a_repository_without_a_commit_has_no_release(git_repository: GitRepository) -> None:
    with pytest.raises(NoReleaseError, match="no commit yet"):
        plan(git_repository)


def test_an_ignored_release_holds_no_tag_and_is_not_named(repository: GitRepository) -> None:
    repository.git("checkout", "--quiet", "v1.1.0")

    planned = plan(repository, ignore=["2.0.0"])

    assert actions(planned)["latest"] == "push"
    assert "v2.0.0" not in {release.git_tag for release in planned.history}


def test_an_impossible_tag_is_a_usage_error(repository: GitRepository) -> None:
    with pytest.raises(UsageError, match="characters long"):
        plan(repository, tags=["{version}" + "x" * 126])


# Components ---------------------------------------------------------------------------------------

MONOREPO = """
[[components]]
name = "api"
tag-prefix = "api/v"
images = ["acme/api"]
ignore = ["3.0.0"]
[[components]]
name = "web"
tag-prefix = "web/v"
images = ["acme/web"]
tags = ["{version}", "{major}"]
"""


@pytest.fixture
def monorepo(git_repository: GitRepository) -> GitRepository:
    """A repository of two components, with a release of `api` at HEAD."""
    git_repository.write({"releasetag.toml": MONOREPO})
    for names in (["web/v5.0.0", "api/v3.0.0"], ["api/v1.0.0"]):
        git_repository.commit()
        for name in names:
            git_repository.tag(name)
    return git_repository


def test_a_component_has_its_own_history_and_settings(monorepo: GitRepository) -> None:
    planned = plan(monorepo)

    # Neither the higher release of the other component nor its own yanked one holds a tag.
    assert planned.release.git_tag == "api/v1.0.0"
    assert actions(planned) == {"1.0.0": "push", "1.0": "push", "latest": "push"}
    assert {str(reference.repository) for reference in planned.references} == {"acme/api"}


@pytest.mark.parametrize("given", [{"CI_COMMIT_TAG": "web/v5.0.0"}, {}])
def test_a_component_is_chosen_by_the_prefix_of_its_git_tag(
    monorepo: GitRepository, given: dict[str, str]
) -> None:
    planned = plan(monorepo, given, git_tag=None if given else "web/v5.0.0")

    assert [str(r) for r in planned.references] == ["acme/web:5.0.0", "acme/web:5"]


def test_releases_of_several_components_at_head_are_ambiguous(monorepo: GitRepository) -> None:
    monorepo.tag("web/v5.1.0")

    with pytest.raises(
        UsageError, match=r"several components: api/v1\.0\.0, web/v5\.1\.0"
    ) as error:
        plan(monorepo)

    assert "--git-tag" in error.value.hint
    assert plan(monorepo, git_tag="web/v5.1.0").release.git_tag == "web/v5.1.0"
    assert plan(monorepo, tag_prefix="api/v").release.git_tag == "api/v1.0.0"


def test_an_ignored_release_makes_nothing_ambiguous(monorepo: GitRepository) -> None:
    monorepo.git("checkout", "--quiet", "web/v5.0.0")

    assert plan(monorepo).release.git_tag == "web/v5.0.0"


def test_a_tag_that_is_of_no_component_is_no_release(monorepo: GitRepository) -> None:
    monorepo.commit()
    monorepo.tag("v9.0.0")

    with pytest.raises(NoReleaseError) as error:
        plan(monorepo)

    assert "the nearest release is api/v1.0.0, 1 commit back" in error.value.hint


# A history that cannot be known -------------------------------------------------------------------


@pytest.fixture
def shallow(repository: GitRepository, tmp_path: Path) -> GitRepository:
    """What a CI system checks out for v1.1.0: one commit, one tag."""
    repository.bare_remote()
    return repository.clone(tmp_path / "shallow", depth=1, tag="v1.1.0")


def lose_remote(clone: GitRepository) -> None:
    clone.git("remote", "set-url", "origin", "file:///nowhere/app.git")


def test_a_shallow_clone_does_not_move_latest_backwards(shallow: GitRepository) -> None:
    planned = plan(shallow)

    assert planned.release.git_tag == "v1.1.0"
    assert actions(planned) == {"1.1.0": "push", "1.1": "push", "latest": "keep"}
    assert planned.git_tags.source == "remote"


@pytest.mark.parametrize("others", [[], ["v1.0.0"]])
def test_a_shallow_clone_moves_no_floating_tag_if_the_remote_is_gone(
    shallow: GitRepository, others: list[str]
) -> None:
    # Other releases in a shallow clone do not show that it has them all.
    for name in others:
        shallow.tag(name)
    lose_remote(shallow)

    with pytest.raises(HistoryError, match=r"the clone is shallow: whether 1\.1, latest") as error:
        plan(shallow)

    assert error.value.exit_code == 9
    assert "--history local" in error.value.hint
    assert actions(plan(shallow, history="local"))["latest"] == "push"


def test_a_shallow_clone_without_a_remote_moves_no_floating_tag(shallow: GitRepository) -> None:
    shallow.git("remote", "remove", "origin")

    with pytest.raises(HistoryError, match="shallow"):
        plan(shallow)


def test_a_shallow_clone_publishes_exact_tags_with_a_warning(shallow: GitRepository) -> None:
    lose_remote(shallow)
    warnings: list[str] = []

    planned = plan(shallow, warnings=warnings, tags=["{version}", "{version}-alpine"])

    assert actions(planned) == {"1.1.0": "push", "1.1.0-alpine": "push"}
    assert len(warnings) == 1
    assert "going on with the local tags" in warnings[0]


def test_a_complete_clone_warns_and_goes_on_if_the_remote_is_gone(
    repository: GitRepository, tmp_path: Path
) -> None:
    repository.bare_remote()
    clone = repository.clone(tmp_path / "clone")
    lose_remote(clone)
    warnings: list[str] = []

    planned = plan(clone, warnings=warnings)

    assert actions(planned) == {"2.0.0": "push", "2.0": "push", "latest": "push"}
    assert len(warnings) == 1
    assert "'origin' cannot be read" in warnings[0]
    with pytest.raises(HistoryError, match="cannot be read"):
        plan(clone, history="remote")


@pytest.mark.parametrize("other", ["", "2.0.0", "nightly", "api/v1.0.0"])
def test_a_clone_that_knows_no_other_release_refuses_if_the_remote_is_gone(
    repository: GitRepository, tmp_path: Path, other: str
) -> None:
    repository.bare_remote()
    clone = repository.clone(tmp_path / "clone")
    clone.git("tag", "--delete", "v1.0.0", "v1.1.0")
    if other:
        clone.tag(other)
    lose_remote(clone)

    with pytest.raises(HistoryError, match="knows no other release") as error:
        plan(clone)

    assert error.value.exit_code == 9
    assert actions(plan(clone, history="local"))["latest"] == "push"


def test_the_first_release_of_a_repository_without_a_remote_moves_every_tag(
    git_repository: GitRepository,
) -> None:
    git_repository.commit()
    git_repository.tag("v1.0.0")

    assert set(actions(plan(git_repository)).values()) == {"push"}


# What planning costs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("git_tag", "remote", "expected"),
    [
        ("v1.0.0", False, ["rev-parse", "show-ref", "cat-file", "config"]),
        (None, False, ["rev-parse", "show-ref", "cat-file", "config", "rev-parse"]),
        ("v1.0.0", True, ["rev-parse", "show-ref", "cat-file", "config", "ls-remote"]),
    ],
)
def test_planning_runs_no_git_command_that_it_does_not_need(
    repository: GitRepository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    git_tag: str | None,
    remote: bool,
    expected: list[str],
) -> None:
    if remote:
        repository.bare_remote()
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(tmp_path / "trace"))

    plan(repository, git_tag=git_tag)

    commands = git_commands(tmp_path / "trace")
    assert [name for name in commands if name != "upload-pack"] == expected


# Printed last, as JSON: what of these was imported.
IMPORTED = """
print(json.dumps([name for name in sys.argv[1].split() if name in sys.modules]), file=sys.stderr)
"""
MODULE = f"""
import json, os, sys
from pathlib import Path
from releasetag.config import load
from releasetag.git import open_work_tree
from releasetag.plan import plan_release
path = Path.cwd()
tree = open_work_tree(path, os.environ)
plan_release(tree, load({{}}, os.environ, path, path), os.environ, print)
{IMPORTED}
"""
COMMAND = f"""
import json, sys
from releasetag.cli.main import run
assert run(["plan", *sys.argv[2:]]) == 0
{IMPORTED}
"""
ENGINE_AND_REGISTRY = (
    "docker grpclib google.protobuf httpx stamina requests"
    " releasetag.engine releasetag.registry releasetag.credentials"
)


@pytest.mark.parametrize(
    ("scheme", "expected"), [("semver", []), ("loose", []), ("pep440", ["packaging"])]
)
def test_planning_imports_packaging_for_its_own_versions_alone(
    repository: GitRepository, home: Path, scheme: str, expected: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "packaging", "--versions", scheme],
        cwd=repository.path,
        env=clean_environ(home),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == expected


def test_components_of_several_schemes_are_planned_side_by_side(repository: GitRepository) -> None:
    toml = """
        images = ["acme/app"]
        [[components]]
        tag-prefix = "api/"
        versions = "pep440"
        images = ["acme/api"]
        [[components]]
        tag-prefix = "web/"
        versions = "loose"
        images = ["acme/web"]
        tags = ["{version}", "latest"]
    """
    repository.write({"releasetag.toml": toml})
    commit = repository.commit("several")
    for git_tag in ("v3.0.0", "api/1.2.0rc1", "web/2024.01"):
        repository.tag(git_tag, commit=commit)

    named = [plan(repository, git_tag=name) for name in ("v3.0.0", "api/1.2.0rc1", "web/2024.01")]

    assert [str(each.release.version) for each in named] == ["3.0.0", "1.2.0rc1", "2024.01"]
    assert [tag.name for each in named for tag in each.exact] == ["3.0.0", "1.2.0rc1", "2024.01"]
    # The nearest release is looked for in all of them.
    repository.commit("more")
    with pytest.raises(NoReleaseError) as error:
        plan(repository)
    assert "the nearest release is web/2024.01, 1 commit back" in error.value.hint


@pytest.mark.parametrize(
    ("code", "args", "unwanted"),
    [
        (MODULE, [], f"{ENGINE_AND_REGISTRY} rich typer"),
        (COMMAND, [], ENGINE_AND_REGISTRY),
        (COMMAND, ["--json"], ENGINE_AND_REGISTRY),
        (COMMAND, ["--quiet"], ENGINE_AND_REGISTRY),
    ],
    ids=["module", "command", "command --json", "command --quiet"],
)
def test_planning_imports_neither_engine_nor_registry(
    repository: GitRepository, home: Path, code: str, args: list[str], unwanted: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code, unwanted, *args],
        cwd=repository.path,
        env=clean_environ(home),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == []


SHARED = """
    images = ["acme/app"]
    [[components]]
    tag-prefix = "api/v"
    [[components]]
    tag-prefix = "web/v"
    tags = ["{version}-web", "web"]
"""


def test_two_components_that_share_a_tag_are_refused(git_repository: GitRepository) -> None:
    """The one would take the other's image for its own: version and commit are the same."""
    git_repository.write({"releasetag.toml": SHARED})
    git_repository.commit()
    for name in ("v1.2.3", "api/v1.2.3", "web/v1.2.3"):
        git_repository.tag(name)
    for name in ("v1.2.3", "api/v1.2.3"):
        with pytest.raises(UsageError, match="would both publish acme/app:latest"):
            plan(git_repository, git_tag=name)
    # Tags that nobody else has do no harm.
    found = plan(git_repository, git_tag="web/v1.2.3")
    assert [str(each) for each in found.references] == ["acme/app:1.2.3-web", "acme/app:web"]
    alone = plan(git_repository, git_tag="api/v1.2.3", tag_prefix="api/v")
    assert str(alone.references[0]) == "acme/app:1.2.3"
