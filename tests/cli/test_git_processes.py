"""How often a command starts git: no command line twice in one run."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support.engine import Engine
from tests.support.git import GitRepository
from tests.support.image import scratch_files
from tests.support.registry import RegistryServer

IMAGE = ("-i", "127.0.0.1:1/acme/app")
RELEASE = ("--git-tag", "v1.2.3")


@pytest.fixture
def git_calls(tmp_path: Path) -> Callable[[], Counter[str]]:
    """Make a git that records its arguments, and a docker without buildx; return a reader."""
    git = shutil.which("git")
    log, wrapper = tmp_path / "git.log", tmp_path / "recording" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>"{log}"\nexec {git} "$@"\n')
    wrapper.chmod(0o755)
    no_docker = wrapper.parent / "docker"
    no_docker.write_text("#!/bin/sh\nexit 1\n")
    no_docker.chmod(0o755)
    return lambda: Counter(log.read_text().splitlines())


@pytest.fixture
def app(git_repository: GitRepository, tmp_path: Path) -> GitRepository:
    """A release with a Dockerfile, and a remote that has its tag."""
    git_repository.write(scratch_files())
    git_repository.commit()
    git_repository.tag("v1.2.3")
    remote = tmp_path / "remote.git"
    git_repository.git("clone", "--quiet", "--bare", git_repository.path, remote)
    git_repository.git("remote", "add", "origin", remote)
    return git_repository


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("words", "code", "count"),
    [
        (("plan",), 0, 6),
        (("plan", *RELEASE), 0, 5),
        # There is no engine, which ends the run when everything has been asked of git.
        (("publish", "--dry-run"), 5, 9),
        (("publish", "--dry-run", *RELEASE), 5, 9),
        (("publish", "--dry-run", "--no-push"), 5, 9),
        (("publish", "--dry-run", "--allow-dirty"), 5, 7),
        (("publish", "--dry-run", "--platform", "linux/amd64,linux/arm64"), 5, 9),
        (("publish", "--dry-run", "--builder", "buildx"), 5, 9),
        (("publish", "--dry-run", "--from-container", "app"), 5, 6),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_no_git_command_is_run_twice(
    app: GitRepository,
    run_here: Run,
    git_calls: Callable[[], Counter[str]],
    tmp_path: Path,
    words: tuple[str, ...],
    code: int,
    count: int,
) -> None:
    path = f"{tmp_path}/recording:{os.environ['PATH']}"
    done = run_here(*words, *IMAGE, cwd=app.path, env={"PATH": path})
    calls = git_calls()
    assert done.returncode == code, done
    assert {line: times for line, times in calls.items() if times > 1} == {}
    assert calls.total() == count, calls


def test_a_whole_dry_run_asks_git_no_more(
    app: GitRepository,
    engine: Engine,
    registry: RegistryServer,
    run_here: Run,
    git_calls: Callable[[], Counter[str]],
    tmp_path: Path,
) -> None:
    path = f"{tmp_path}/recording:{os.environ['PATH']}"
    image = ("-i", f"{registry.address}/acme/app")
    env = {**engine.environ, "PATH": path}
    done = run_here("publish", "--dry-run", *image, cwd=app.path, env=env)
    calls = git_calls()
    assert done.returncode == 0, done
    assert set(calls.values()) == {1}, calls
    assert calls.total() == 9
