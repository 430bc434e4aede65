"""`releasetag promote`: inside the registry, with no engine and no blob moved."""

import json
import signal
import threading
from pathlib import Path

import pytest

from tests.conftest import Run, StartProxy
from tests.support.cli import LABEL, assert_refused, put_release, writes
from tests.support.fault import Hold
from tests.support.git import GitRepository
from tests.support.image import scratch_files
from tests.support.registry import RegistryServer
from tests.support.run import Finished, start_cli


@pytest.fixture
def app(git_repository: GitRepository) -> GitRepository:
    """The releases v1.9.0, v1.9.1, v2.0.0 and, at HEAD, the prerelease v2.1.0-rc.1."""
    git_repository.write(scratch_files())
    for name in ("v1.9.0", "v1.9.1", "v2.0.0", "v2.1.0-rc.1"):
        git_repository.commit(name)
        git_repository.tag(name)
    return git_repository


class Promote:
    """Runs the command on one repository, where no engine is."""

    def __init__(self, app: GitRepository, run: Run, registry: RegistryServer) -> None:
        self.app, self.run, self.registry = app, run, registry
        self.image = f"{registry.address}/acme/app"

    def __call__(self, *args: str) -> Finished:
        """Run `promote ARGS`, and see that it moved no blob."""
        before = writes(self.registry)
        done = self.run("promote", *args, "-i", self.image, cwd=self.app.path)
        own = writes(self.registry)[len(before) :]
        assert not [request for request in own if "/manifests/" not in request], own
        return done

    def tags(self) -> dict[str, str]:
        """What every tag names."""
        found = self.registry.tags("acme/app")
        return {tag: self.registry.digest("acme/app", tag) or "" for tag in found}


@pytest.fixture
def promote(app: GitRepository, run_here: Run, registry: RegistryServer) -> Promote:
    """The command, with 1.9.0, 1.9.1 and 2.0.0 published."""
    put_release(registry, "1.9.0", "1.9", "latest")
    put_release(registry, "1.9.1")
    put_release(registry, "2.0.0")
    return Promote(app, run_here, registry)


def test_all_floating_tags_that_apply_move_up(promote: Promote) -> None:
    done = promote("2.0.0")
    assert done.returncode == 0, done
    assert done.stderr == ""
    assert done.stdout == (
        f"promote 2.0.0\n  pushed  {promote.image}:2.0\n  pushed  {promote.image}:latest\n"
    )
    tags = promote.tags()
    assert tags["2.0"] == tags["latest"] == tags["2.0.0"]
    assert tags["1.9"] == tags["1.9.0"]
    again = promote("2.0.0", "--json")
    assert [each["status"] for each in again.json["published"]] == ["unchanged", "unchanged"]


def test_a_git_tag_means_its_version(promote: Promote) -> None:
    assert promote("v1.9.1").returncode == 0
    assert promote.tags()["1.9"] == promote.tags()["1.9.1"]


def test_down_is_refused_and_nothing_moves(promote: Promote) -> None:
    promote("2.0.0")
    before = promote.tags()
    done = promote("1.9.1", "--json", "--quiet")
    assert_refused(done, 4, "conflict", "latest names 2.0.0", "--allow-downgrade")
    assert promote.tags() == before, "1.9 moved, though latest was refused"


def test_an_image_without_labels_is_not_moved_down_either(promote: Promote) -> None:
    for tag in ("2.0.0", "latest"):
        promote.registry.put_image("acme/app", tag, {"other": "image"})
    done = promote("1.9.1", "--json", "--quiet")
    assert_refused(done, 4, "conflict", "latest names 2.0.0")


def test_a_rollback_moves_down_what_it_is_told_to(promote: Promote) -> None:
    promote("2.0.0")
    done = promote("1.9.1", "--allow-downgrade", "--json")
    assert done.returncode == 0, done
    assert [each["reference"] for each in done.json["published"]] == [
        f"{promote.image}:1.9",
        f"{promote.image}:latest",
    ]
    assert promote.tags()["latest"] == promote.tags()["1.9.1"]


@pytest.mark.parametrize("pick", ["latest", "stable", "{major}.x"])
def test_tag_picks_what_moves(pick: str, promote: Promote) -> None:
    before = promote.tags()
    done = promote("2.0.0", "-t", pick, "--quiet")
    name = pick.replace("{major}", "2")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{promote.image}:{name}\n", "")
    assert promote.tags() == before | {name: before["2.0.0"]}


@pytest.mark.parametrize("pick", ["{version}", "2.0.0", "1.9.0", "9.9.9"])
def test_an_exact_tag_is_never_moved(pick: str, promote: Promote) -> None:
    before = promote.tags()
    done = promote("2.0.0", "-t", pick, "--allow-downgrade", "--json", "--quiet")
    assert_refused(done, 2, "usage", "no floating tag", "exact tags never move")
    assert promote.tags() == before


def test_a_dry_run_says_what_would_move_and_moves_nothing(promote: Promote) -> None:
    promote("2.0.0", "-t", "2.0")
    before, asked = promote.tags(), writes(promote.registry)
    done = promote("2.0.0", "--dry-run")
    assert done.returncode == 0, done
    assert done.stdout == (
        "dry run: would promote 2.0.0\n"
        f"  unchanged  {promote.image}:2.0     names 2.0.0\n"
        f"  push       {promote.image}:latest  names 1.9.0 now\n"
    )
    assert promote("2.0.0", "--dry-run", "--json").json["published"] == []
    assert (promote.tags(), writes(promote.registry)) == (before, asked)


def test_an_index_keeps_all_its_platforms(promote: Promote) -> None:
    registry, labels = promote.registry, {f"{LABEL}version": "2.0.0"}
    platforms = {
        platform: registry.put_image("acme/app", f"tmp-{number}", labels, platform=platform)
        for number, platform in enumerate(("linux/amd64", "linux/arm64", "linux/s390x"))
    }
    digest = registry.put_index("acme/app", "2.0.0", platforms)
    assert promote("2.0.0").returncode == 0
    assert promote.tags()["latest"] == digest
    index = json.loads(registry.manifest("acme/app", "latest") or b"")
    assert [each["digest"] for each in index["manifests"]] == list(platforms.values())


def test_a_version_that_is_not_published(promote: Promote) -> None:
    before = promote.tags()
    done = promote("3.0.0", "--json", "--quiet")
    assert_refused(done, 3, "no-release", "3.0.0 is not published", "git has no release of this")
    assert promote.tags() == before


def test_nothing_moves_anywhere_if_one_repository_lacks_the_version(
    promote: Promote, second_registry: RegistryServer
) -> None:
    before = promote.tags()
    other = f"{second_registry.address}/acme/app"
    done = promote("2.0.0", "-i", other, "--json", "--quiet")
    assert_refused(done, 3, "no-release", f"{other}:2.0.0 is not published")
    assert promote.tags() == before


def test_a_prerelease_moves_only_what_is_picked(promote: Promote) -> None:
    put_release(promote.registry, "2.1.0-rc.1")
    done = promote("2.1.0-rc.1", "--json", "--quiet")
    assert_refused(done, 2, "usage", "no floating tag applies to 2.1.0-rc.1", "--tag")
    assert promote("2.1.0-rc.1", "-t", "next").returncode == 0
    assert promote.tags()["next"] == promote.tags()["2.1.0-rc.1"]
    assert promote.tags()["latest"] == promote.tags()["1.9.0"]


def test_a_publish_after_a_rollback_moves_up_again(
    app: GitRepository, run: Run, run_here: Run, registry: RegistryServer
) -> None:
    promote = Promote(app, run_here, registry)
    for name in ("v1.9.1", "v2.0.0"):
        app.git("checkout", "--quiet", name)
        assert run("publish", "-i", promote.image, cwd=app.path).returncode == 0
    assert promote("1.9.1", "--allow-downgrade").returncode == 0
    assert promote.tags()["latest"] == promote.tags()["1.9.1"]
    app.git("checkout", "--quiet", "main")
    app.commit("fix")
    app.tag("v2.0.1")
    done = run("publish", "-i", promote.image, "--json", cwd=app.path)
    assert done.returncode == 0, done
    assert promote.tags()["latest"] == promote.tags()["2.0.1"] == done.json["digest"]


GATE = """\
#!/bin/sh
echo "$RELEASETAG_VERSION $RELEASETAG_REFERENCES" >> {log}
echo looking
exit {code}
"""


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("code", [0, 3])
def test_gates_run_before_any_tag_moves(
    promote: Promote, tmp_path: Path, code: int, in_file: bool
) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    gate.write_text(GATE.format(log=log, code=code))
    gate.chmod(0o755)
    before = promote.tags()
    promote.app.write({"releasetag.toml": f'gates = ["{gate}"]\n'} if in_file else {})
    given = () if in_file else ("--gate", str(gate))

    dry = promote("2.0.0", "--dry-run", *given)
    assert (dry.returncode, log.exists()) == (0, False)
    done = promote("2.0.0", *given)

    assert done.returncode == (10 if code else 0), done
    digest = promote.registry.digest("acme/app", "2.0.0")
    assert log.read_text() == f"2.0.0 {promote.image}@{digest}\n"
    assert done.stderr.startswith(f"Running the gate {gate}\n")
    if code:
        assert promote.tags() == before
        assert "refused (exit code 3)" in done.stderr
        assert "not done" in done.stdout
    else:
        assert promote.tags()["latest"] == digest
        assert promote("2.0.0", *given).returncode == 0
        assert len(log.read_text().splitlines()) == 1  # nothing is left to move


def test_an_interrupted_promotion_says_what_it_has_moved(
    promote: Promote, home: Path, start_proxy: StartProxy
) -> None:
    arrived, released = threading.Event(), threading.Event()

    def decide(_index: int, method: str, path: str) -> Hold | None:
        if method != "PUT" or not path.endswith("/manifests/latest"):
            return None
        arrived.set()
        return Hold(released)

    image = f"{start_proxy(promote.registry, decide).address}/acme/app"
    process = start_cli("promote", "2.0.0", "-i", image, "--json", cwd=promote.app.path, home=home)
    assert arrived.wait(60)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=60)
    released.set()
    assert process.returncode == 143, stderr
    told = json.loads(stdout)
    assert told["error"]["kind"] == "interrupted"
    moved = [(each["reference"], each["status"]) for each in told["published"]]
    assert moved == [(f"{image}:2.0", "pushed")]


def test_a_dry_run_can_be_set_in_the_environment(promote: Promote) -> None:
    before = promote.tags()
    done = promote.run(
        "promote", "2.0.0", "-i", promote.image,
        cwd=promote.app.path, env={"RELEASETAG_DRY_RUN": "true"},
    )  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "dry run: would promote 2.0.0")
    assert promote.tags() == before
