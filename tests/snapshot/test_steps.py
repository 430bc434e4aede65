"""`releasetag snapshot` with a real engine and registry."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.conftest import Run, StartRegistry
from tests.support.git import GitRepository
from tests.support.promises import REVISION, VERSION
from tests.support.registry import RegistryServer
from tests.support.run import Finished


class Clone:
    """A clone of the app with a registry, in which branches are pushed and snapshots made."""

    def __init__(self, app: GitRepository, run: Run, registry: RegistryServer) -> None:
        self.app, self.registry, self.run = app, registry, run
        self.remote = app.bare_remote()
        self.image = f"{registry.address}/acme/app"

    def commit(self, text: str, *, push: bool = True) -> str:
        self.app.write({"hello.txt": text})
        commit = self.app.commit(text)
        if push:
            self.app.git("push", "--quiet", "--force", "origin", "HEAD")
        return commit

    def snapshot(
        self, *args: str, tree: GitRepository | None = None, env: dict[str, str] | None = None
    ) -> Finished:
        where = (tree or self.app).path
        return self.run("snapshot", "-i", self.image, *args, cwd=where, env=env)

    def named(self, tag: str) -> str:
        """The commit that a tag names."""
        return self.registry.labels("acme/app", tag)[REVISION]

    @property
    def tags(self) -> set[str]:
        return set(self.registry.tags("acme/app"))


@pytest.fixture
def clone(app: GitRepository, run_in_process: Run, registry: RegistryServer) -> Clone:
    return Clone(app, run_in_process, registry)


def test_the_default_branch_has_edge_and_the_commit_its_own_tag(clone: Clone) -> None:
    head = clone.app.head
    done = clone.snapshot()

    assert done.returncode == 0, done
    digest = clone.registry.digest("acme/app", "edge")
    assert done.stdout == (
        f"edge at {head[:7]} published as {digest}\n"
        f"  pushed  {clone.image}:edge\n"
        f"  pushed  {clone.image}:sha-{head[:7]}\n"
    )
    assert clone.tags == {"edge", f"sha-{head[:7]}"}
    assert clone.registry.digest("acme/app", f"sha-{head[:7]}") == digest
    labels = clone.registry.labels("acme/app", "edge")
    assert (labels[VERSION], labels[REVISION]) == ("edge", head)


def test_a_commit_is_built_once(clone: Clone) -> None:
    first = clone.snapshot("--json")
    clone.app.git("switch", "--quiet", "--create", "feature/x")
    second = clone.snapshot("--json")

    assert second.json["build"]["reused"], second
    assert second.json["digest"] == first.json["digest"]
    assert [each["status"] for each in second.json["published"]] == ["pushed", "unchanged"]
    assert "feature-x" in clone.tags
    assert second.json["version"] == "feature-x"


def test_a_newer_commit_moves_the_tag_and_an_older_one_does_not(clone: Clone) -> None:
    first = clone.app.head
    second = clone.commit("second")
    clone.snapshot()
    clone.app.git("checkout", "--quiet", first)

    done = clone.snapshot("--json", env=github("push", "refs/heads/main"))

    assert done.returncode == 0, done
    assert clone.named("edge") == second
    edge, commit = done.json["published"]
    assert (edge["status"], commit["status"]) == ("kept", "pushed")
    assert edge["reason"] == f"names {second[:7]}, which is newer"


def github(
    event: str, ref: str, payload: dict[str, object] | None = None, file: Path | None = None
) -> dict[str, str]:
    """The environment of a workflow's step."""
    if file is not None:
        file.write_text(json.dumps(payload))
    variables = {"GITHUB_EVENT_NAME": event, "GITHUB_REF": ref}
    return {**variables, **({"GITHUB_EVENT_PATH": str(file)} if file else {})}


def pull_request(head: str, *, repository: str = "acme/app") -> dict[str, object]:
    return {
        "pull_request": {
            "number": 12,
            "head": {"sha": head, "repo": {"full_name": repository}},
            "base": {"repo": {"full_name": "acme/app"}},
        }
    }


def test_a_shallow_checkout_asks_the_remote_which_commit_is_newer(
    clone: Clone, tmp_path: Path
) -> None:
    """Three merges one after the other: the runs of the first two are late."""
    commits = [clone.commit(f"{number}") for number in range(3)]
    environ = github("push", "refs/heads/main")
    trees = []
    for number, commit in enumerate(commits):
        clone.app.git("push", "--quiet", "--force", "origin", f"{commit}:refs/heads/main")
        trees.append(clone.app.clone(tmp_path / f"clone-{number}", depth=1))

    # The middle one is not the branch's tip, and comes after the first.
    for number, expected in ((0, 0), (1, 1), (0, 1), (2, 2), (1, 2)):
        done = clone.snapshot(tree=trees[number], env=environ)
        assert done.returncode == 0, done
        assert clone.named("edge") == commits[expected], (number, done)
    # The clone is as it was.
    assert trees[1].git("rev-parse", "--is-shallow-repository") == "true"
    assert trees[1].git("rev-list", "--count", "--all") == "1"
    assert "promisor" not in trees[1].git("config", "--list")


def test_a_shallow_checkout_without_its_remote_cannot_know(clone: Clone, tmp_path: Path) -> None:
    clone.snapshot()
    clone.commit("second")
    tree = clone.app.clone(tmp_path / "clone", depth=1)
    tree.git("remote", "set-url", "origin", (tmp_path / "gone").as_uri())

    done = clone.snapshot("--json", tree=tree, env=github("push", "refs/heads/main"))

    assert done.returncode == 9, done
    assert "fetch-depth: 0" in done.json["error"]["hint"]
    assert clone.tags == {"edge", f"sha-{clone.named('edge')[:7]}"}


def test_a_complete_clone_goes_on_with_what_it_knows(clone: Clone, tmp_path: Path) -> None:
    clone.snapshot()
    second = clone.commit("second")
    clone.app.git("remote", "set-url", "origin", (tmp_path / "gone").as_uri())

    done = clone.snapshot(env=github("push", "refs/heads/main"))

    assert done.returncode == 0, done
    assert "going on with the commits of this clone" in done.stderr
    assert clone.named("edge") == second


@pytest.mark.parametrize("depth", [None, 1])
def test_a_branch_that_was_rewritten_moves_its_tag(
    clone: Clone, tmp_path: Path, depth: int | None
) -> None:
    clone.app.git("switch", "--quiet", "--create", "feature/x")
    clone.commit("before")
    clone.snapshot()
    clone.app.git("reset", "--quiet", "--hard", "HEAD~1")
    rewritten = clone.commit("after")
    clone.commit("later")
    environ = github("push", "refs/heads/feature/x")

    tree = clone.app.clone(tmp_path / "clone", depth=depth, tag="feature/x")
    if depth:
        tree.git("fetch", "--quiet", "--depth=1", "origin", rewritten)
    tree.git("checkout", "--quiet", rewritten)
    done = clone.snapshot("--json", tree=tree, env=environ)

    assert done.returncode == 0, done
    assert clone.named("feature-x") == rewritten
    assert "which is not on feature/x any more" in done.json["published"][0]["reason"]


def test_a_late_run_of_what_was_rewritten_leaves_the_tag(clone: Clone) -> None:
    clone.app.git("switch", "--quiet", "--create", "feature/x")
    before = clone.commit("before")
    clone.app.git("reset", "--quiet", "--hard", "HEAD~1")
    after = clone.commit("after")
    clone.snapshot()
    clone.app.git("checkout", "--quiet", before)

    done = clone.snapshot("--json", env=github("push", "refs/heads/feature/x"))

    assert clone.named("feature-x") == after
    reason = f"{before[:7]} is not on feature/x, which is at {after[:7]}"
    assert done.json["published"][0]["reason"] == reason


def test_what_a_workflow_has_checked_out_beside_its_branch_moves_nothing(clone: Clone) -> None:
    """As workflow_run may: the code of a pull request, for the default branch."""
    clone.commit("not pushed", push=False)

    done = clone.snapshot("--json", env=github("workflow_run", "refs/heads/main"))

    assert done.returncode == 0, done
    assert clone.tags == {f"sha-{clone.app.head[:7]}"}
    assert done.json["published"][0]["status"] == "kept"


def test_a_person_may_be_ahead_of_the_remote(clone: Clone) -> None:
    clone.snapshot()
    ahead = clone.commit("not pushed", push=False)

    assert clone.snapshot().returncode == 0
    assert clone.named("edge") == ahead


def test_a_pull_request_is_built_and_pushed_until_it_has_a_newer_commit(
    clone: Clone, tmp_path: Path
) -> None:
    clone.app.git("switch", "--quiet", "--create", "topic")
    head = clone.commit("topic")
    clone.app.git("push", "--quiet", "origin", f"{head}:refs/pull/12/head")
    clone.app.git("switch", "--quiet", "main")
    clone.app.git("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    merge = clone.app.head
    event = github("pull_request", "refs/pull/12/merge", pull_request(head), tmp_path / "event")

    done = clone.snapshot("--json", env=event)
    assert done.json["version"] == "pr-12", done
    assert clone.tags == {"pr-12", f"sha-{merge[:7]}"}
    assert clone.named("pr-12") == merge

    clone.app.git("push", "--quiet", "--force", "origin", f"{merge}:refs/pull/12/head")
    clone.app.write({"hello.txt": "again"})
    clone.app.commit("another merge of the old head")
    late = clone.snapshot("--json", env=event)
    assert clone.named("pr-12") == merge
    assert late.json["published"][0]["reason"] == (f"the pull request 12 is at {merge[:7]} by now")


def test_a_pull_request_from_a_fork_is_built_and_not_pushed(clone: Clone, tmp_path: Path) -> None:
    payload = pull_request(clone.app.head, repository="mallory/app")
    event = github("pull_request_target", "refs/heads/main", payload, tmp_path / "event")

    done = clone.snapshot("--json", env=event)

    assert done.returncode == 0, done
    assert clone.tags == set()
    assert (done.json["digest"], done.json["published"]) == (None, [])
    assert done.json["image_id"]
    assert done.json["tags"][0]["reason"].startswith("the pull request is from a fork")


def test_a_schedule_is_nightly_and_a_merge_queue_its_commit(clone: Clone) -> None:
    commit_tag = f"sha-{clone.app.head[:7]}"
    queue = "refs/heads/gh-readonly-queue/main/pr-12-abc"

    assert clone.snapshot(env=github("merge_group", queue)).returncode == 0
    assert clone.tags == {commit_tag}
    assert clone.snapshot(env=github("schedule", "refs/heads/main")).returncode == 0
    assert clone.tags == {commit_tag, "nightly"}


@pytest.mark.parametrize(
    ("branch", "tags"),
    [
        ("1.2", None),
        ("1", None),
        ("v1.2.3", None),
        ("latest", None),
        ("rc", "{version},{channel}"),
        ("stable", "{version},stable"),
        ("edge", None),
        ("nightly", None),
        ("pr-12", None),
    ],
)
def test_a_branch_that_has_the_name_of_another_tag_is_refused(
    clone: Clone, branch: str, tags: str | None
) -> None:
    environ = github("push", f"refs/heads/{branch}")
    done = clone.snapshot("--json", env={**environ, "RELEASETAG_TAGS": tags or ""})

    assert done.returncode == 2, done
    assert done.json["error"]["kind"] == "usage"
    assert len(done.stderr.splitlines()) == 2, done
    assert clone.registry.requests() == []


def test_edge_is_refused_where_a_release_has_that_channel(clone: Clone) -> None:
    environ = {"RELEASETAG_TAGS": "{version},{channel}"}
    assert clone.snapshot("--dry-run", env=environ).returncode == 0
    clone.app.tag("v2.0.0-edge.1")

    assert clone.snapshot("--dry-run", env=environ).returncode == 2
    assert clone.snapshot("--dry-run", "--edge", "main", env=environ).returncode == 0
    assert clone.snapshot("--dry-run", "--edge", "latest").returncode == 2


def test_a_dry_run_changes_nothing_and_says_what_would_be(clone: Clone) -> None:
    first = clone.app.head
    second = clone.commit("second")
    clone.snapshot()
    before = clone.tags
    clone.app.git("checkout", "--quiet", first)

    done = clone.snapshot("--dry-run", "--json", env=github("push", "refs/heads/main"))

    assert done.returncode == 0, done
    assert clone.tags == before
    edge, commit = done.json["tags"]
    assert (edge["action"], commit["action"]) == ("keep", "push")
    assert edge["reason"] == f"names {second[:7]}, which is newer"
    assert done.json["references"] == [f"{clone.image}:sha-{first[:7]}"]


def test_without_a_push_the_engine_has_the_tags(clone: Clone) -> None:
    done = clone.snapshot("--no-push")

    assert done.returncode == 0, done
    assert f"  tagged  {clone.image}:edge\n" in done.stdout
    assert clone.registry.requests() == []


def test_changed_files_are_refused_unless_they_are_wanted(clone: Clone) -> None:
    clone.app.write({"hello.txt": "changed"})

    assert clone.snapshot().returncode == 2
    assert clone.snapshot("--allow-dirty").returncode == 0


def test_what_is_not_built_is_no_snapshot(clone: Clone) -> None:
    done = clone.snapshot("--json", env={"RELEASETAG_FROM_IMAGE": "acme/app:dev"})

    assert done.returncode == 2, done


def test_overwrite_builds_the_commit_again(clone: Clone) -> None:
    clone.snapshot()
    args = ("--overwrite", "--label", "again=1", "--json")

    done = clone.snapshot(*args)

    assert not done.json["build"]["reused"]
    assert clone.registry.labels("acme/app", "edge")["again"] == "1"
    assert clone.registry.digest("acme/app", "edge") == done.json["digest"]
    assert clone.registry.digest("acme/app", f"sha-{clone.app.head[:7]}") == done.json["digest"]


def test_a_tag_of_another_commit_with_the_same_first_digits_stays(clone: Clone) -> None:
    head = clone.app.head
    taken = clone.registry.put_image("acme/app", f"sha-{head[:7]}", {REVISION: "f" * 40})

    done = clone.snapshot()

    assert done.returncode == 0, done
    assert clone.tags == {"edge", f"sha-{head[:7]}", f"sha-{head}"}
    assert clone.registry.digest("acme/app", f"sha-{head[:7]}") == taken
    assert clone.snapshot("--json").json["build"]["reused"]


def test_all_repositories_have_one_digest(clone: Clone, start_registry: StartRegistry) -> None:
    second = start_registry()
    images = ("-i", f"{second.address}/team/app")

    done = clone.snapshot(*images, "--json")

    assert done.returncode == 0, done
    assert second.digest("team/app", "edge") == clone.registry.digest("acme/app", "edge")
    assert set(second.tags("team/app")) == clone.tags
    # One that is new gets what the first one has.
    third = start_registry()
    again = clone.snapshot("-i", f"{third.address}/x", "--json")
    assert again.json["build"]["reused"]
    assert third.digest("x", "edge") == done.json["digest"]


def test_several_platforms_are_one_index(clone: Clone) -> None:
    head = clone.app.head
    done = clone.snapshot("--platform", "linux/amd64,linux/arm64", "--json")

    assert done.returncode == 0, done
    index = json.loads(clone.registry.manifest("acme/app", "edge") or b"")
    assert len(index["manifests"]) == 2
    assert index["annotations"][REVISION] == head
    assert index["annotations"][VERSION] == "edge"
    assert clone.snapshot("--platform", "linux/amd64,linux/arm64", "--json").json["build"]["reused"]


def test_fields_of_labels_and_arguments_are_those_of_a_snapshot(clone: Clone) -> None:
    args = ("--label", "a={version} {short_sha} {major}|{git_tag}", "--label", "b={other}")
    assert clone.snapshot(*args).returncode == 0

    labels = clone.registry.labels("acme/app", "edge")
    assert labels["a"] == f"edge {clone.app.head[:7]} |"
    assert labels["b"] == "{other}"


def test_a_step_has_the_outputs_of_a_publish(clone: Clone, tmp_path: Path) -> None:
    output, summary = tmp_path / "output", tmp_path / "summary"
    files = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}

    done = clone.snapshot("--json", env=files)

    parts = output.read_text().split("end_")
    assert "version<<" in parts[0]
    text = output.read_text()
    assert "\nedge\n" in text
    assert f"{clone.image}:edge\n{clone.image}:sha-{clone.app.head[:7]}\n" in text
    assert f"{REVISION}={clone.app.head}\n" in text
    assert f"{VERSION}=edge\n" in text
    assert f"={done.json['digest']}\n" in text  # of the platform
    assert re.search(r"^complete<<end_\w+\ntrue$", text, re.M)
    assert summary.read_text().startswith(f"### `edge at {clone.app.head[:7]}`\n")
    assert set(done.json) == {
        *("schema", "version", "revision", "tags", "images", "references"),
        *("image_id", "digest", "build", "published", "seconds"),
    }
    assert done.json["tags"][0] == {
        "name": "edge",
        "kind": "floating",
        "action": "push",
        "reason": "the newest of main, the default branch",
    }


def test_what_cannot_be_read_is_replaced_with_a_warning(clone: Clone) -> None:
    clone.registry.put_image("acme/app", "edge", {})

    done = clone.snapshot()

    assert done.returncode == 0, done
    assert "does not say what commit it was built from, and is replaced" in done.stderr
    assert clone.named("edge") == clone.app.head


def test_a_detached_head_has_the_tag_of_its_commit_alone(clone: Clone) -> None:
    clone.app.git("checkout", "--quiet", "--detach")

    assert clone.snapshot().returncode == 0
    assert clone.tags == {f"sha-{clone.app.head[:7]}"}


DOCKER = """\
#!/bin/sh
echo "$@" >> "$0.log"
"""


def test_a_pull_request_from_a_fork_leaves_no_cache_with_buildx_either(
    clone: Clone, tmp_path: Path
) -> None:
    """The docker command is a script that writes down what it is to do."""
    docker = tmp_path / "programs" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    payload = pull_request(clone.app.head, repository="mallory/app")
    event = github("pull_request", "refs/pull/12/merge", payload, tmp_path / "event")
    environ = {**event, "PATH": f"{docker.parent}:{os.environ['PATH']}"}

    done = clone.snapshot("--cache", "registry", "--cache-to", "type=gha", "--json", env=environ)

    assert done.returncode == 0, done
    version, build = Path(f"{docker}.log").read_text().splitlines()
    assert version == "buildx version"
    assert f"--tag {clone.image}:sha-" in build
    assert f"--cache-from type=registry,ref={clone.image}:buildcache-image" in build
    assert "--push" not in build
    assert "--cache-to" not in build
    assert (done.json["digest"], done.json["build"]["builder"]) == (None, "buildx")
    assert clone.registry.requests() == []


@pytest.mark.parametrize("included", [False, True])
def test_the_clones_own_settings_count_where_commits_are_fetched(
    clone: Clone, tmp_path: Path, included: bool
) -> None:
    """Such as credentials, which actions/checkout puts into a file that the clone includes."""
    commits = [clone.commit(f"{number}") for number in range(3)]
    clone.app.git("checkout", "--quiet", commits[0])
    assert clone.snapshot(env=github("push", "refs/heads/main")).returncode == 0
    clone.app.git("push", "--quiet", "--force", "origin", f"{commits[1]}:refs/heads/main")
    tree = clone.app.clone(tmp_path / "clone", depth=1)
    clone.app.git("push", "--quiet", "origin", f"{commits[2]}:refs/heads/main")
    url = "https://git.invalid/acme/app.git"
    tree.git("remote", "set-url", "origin", url)
    setting = (f"url.{clone.remote.as_uri()}.insteadOf", url)
    if included:
        file = tmp_path / "included.config"
        tree.git("config", "--file", file, *setting)
        tree.git("config", f"includeIf.gitdir:{tree.path}/.git.path", str(file))
    else:
        tree.git("config", *setting)

    done = clone.snapshot("--json", tree=tree, env=github("push", "refs/heads/main"))

    assert done.returncode == 0, done
    assert clone.named("edge") == commits[1]


VARIANTS = """
[[variants]]
name = "debian"
default = true
build.args = { BASE = "debian" }
[[variants]]
name = "alpine"
build.labels = { of = "alpine" }
"""


def test_every_variant_has_its_own_tags(clone: Clone) -> None:
    clone.app.write({"releasetag.toml": VARIANTS})
    head = clone.commit("variants")

    done = clone.snapshot("--json")

    assert done.returncode == 0, done
    commit = f"sha-{head[:7]}"
    plain, alpine = {"edge", commit}, {"edge-alpine", f"{commit}-alpine"}
    assert clone.tags == plain | alpine | {"edge-debian", f"{commit}-debian"}
    assert {clone.registry.digest("acme/app", tag) for tag in alpine} == {
        done.json["variants"][1]["digest"]
    }
    assert clone.registry.labels("acme/app", "edge-alpine")["of"] == "alpine"
    assert clone.registry.digest("acme/app", "edge") == done.json["digest"]
    again = clone.snapshot("--json")
    assert [each["build"]["reused"] for each in again.json["variants"]] == [True, True]
    # The bare name is what latest is for a release.
    assert clone.snapshot(env=github("push", "refs/heads/alpine")).returncode == 2
    assert clone.snapshot(env=github("push", "refs/heads/edge-alpine")).returncode == 2
    one = clone.snapshot("--variant", "alpine", env=github("schedule", "refs/heads/main"))
    assert one.returncode == 0, one
    assert clone.tags - plain - alpine >= {"nightly-alpine"}


def test_who_is_last_of_the_runners_moves_the_tag(clone: Clone) -> None:
    platforms = ("--platform", "linux/amd64,linux/arm64", "--json")

    first = clone.snapshot("--part", "linux/arm64", *platforms)
    assert first.returncode == 0, first
    assert first.json["missing"] == ["linux/amd64"]
    assert clone.tags == {f"sha-{clone.app.head[:7]}-linux-arm64"}
    last = clone.snapshot("--part", "linux/amd64", *platforms)

    assert last.json["complete"], last
    index = json.loads(clone.registry.manifest("acme/app", "edge") or b"")
    assert len(index["manifests"]) == 2
    assert clone.named("edge") == clone.app.head
    assert clone.snapshot("--part", "linux/386", *platforms).returncode == 2


def test_each_runner_builds_its_platform_of_a_fork(clone: Clone, tmp_path: Path) -> None:
    payload = pull_request(clone.app.head, repository="mallory/app")
    event = github("pull_request", "refs/pull/12/merge", payload, tmp_path / "event")
    platforms = ("--platform", "linux/amd64,linux/arm64", "--part", "linux/amd64")

    done = clone.snapshot(*platforms, "--json", env=event)

    assert done.returncode == 0, done
    assert done.json["image_id"]
    assert clone.tags == set()


def test_a_component_is_named_by_its_prefix(clone: Clone) -> None:
    clone.app.write(
        {
            "releasetag.toml": "".join(
                f"[[components]]\nname = '{name}'\ntag-prefix = '{name}/v'\n"
                f"images = ['{clone.image}-{name}']\n"
                for name in ("api", "web")
            )
        }
    )
    clone.commit("components")
    tree = clone.app

    done = clone.run("snapshot", "--json", cwd=tree.path)
    assert done.returncode == 2, done
    assert done.json["error"]["hint"] == "name one with --tag-prefix: api/v, web/v"
    done = clone.run("snapshot", "--tag-prefix", "web/v", "--json", cwd=tree.path)
    assert done.returncode == 0, done
    assert done.json["images"] == [f"{clone.image}-web"]
