"""A git repository for one test, made with the git command."""

import contextlib
import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from releasetag.git import WorkTree, open_work_tree
from tests.support.image import write_files

_ISOLATED = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
}
_CONFIG = """\
[user]
	name = Alice
	email = alice@example.com
[commit]
	gpgSign = false
[tag]
	gpgSign = false
[gc]
	auto = 0
[maintenance]
	auto = false
"""
# Before any commit of a test that says when, and the same in every run.
DATE = "2026-01-02T03:04:05+00:00"


class GitRepository:
    """A new git repository, or the clone that is already in `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        if not (path / ".git").exists():
            write_files(path / ".git", _empty_repository())
            for name in ("objects", "refs/heads", "refs/tags"):
                (path / ".git" / name).mkdir(parents=True)
        # By hand, as five commands would take longer than many a test.
        name = ".git/config"
        if not (path / ".git").is_dir():  # a linked work tree or a submodule
            name = self.git("rev-parse", "--git-path", "config")
        with (path / name).open("r+") as config:
            if _CONFIG not in config.read():
                config.write(_CONFIG)

    def git(self, *args: str | Path, env: Mapping[str, str] | None = None) -> str:
        """What `git ARGS` prints, without the line end.

        Raises:
            AssertionError: git failed; with what it said.
        """
        return _git(self.path, *args, env=env)

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files, by path in the work tree."""
        write_files(self.path, files)

    def commit(self, message: str = "change", *, date: str = DATE) -> str:
        """Commit everything in the work tree, even nothing; the commit's object name.

        Args:
            date: of author and committer, ISO 8601.
        """
        self.git("add", "--all")
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        self.git("commit", "--quiet", "--allow-empty", "--message", message, env=dates)
        return self.head

    def tag(self, name: str, *, annotated: bool = False, commit: str = "HEAD") -> None:
        """Tag a commit, with a tag object of its own if annotated."""
        dates = {"GIT_COMMITTER_DATE": DATE}
        message = ("--annotate", "--message", name) if annotated else ()
        self.git("tag", *message, name, commit, env=dates)

    @property
    def head(self) -> str:
        """The object name of the commit at HEAD."""
        with contextlib.suppress(OSError):  # detached, packed, or not in here
            branch = (self.path / ".git/HEAD").read_text().removeprefix("ref: ").strip()
            return (self.path / ".git" / branch).read_text().strip()
        return self.git("rev-parse", "HEAD")

    def bare_remote(self, name: str = "origin") -> Path:
        """Make a bare repository beside this one, its remote, with all branches and tags pushed."""
        path = self.path.with_name(f"{self.path.name}-{name}.git")
        # Copied, as `git init`, `git remote` and `git push` are ten processes.
        write_files(path, _empty_repository())
        write_files(path, {"config": "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"})
        with (self.path / ".git/config").open("a") as config:
            fetch = f"+refs/heads/*:refs/remotes/{name}/*"
            config.write(f'[remote "{name}"]\n\turl = {path.as_uri()}\n\tfetch = {fetch}\n')
        self._copy_to(path)
        branches = self.path / ".git/refs/heads"
        shutil.copytree(branches, self.path / ".git/refs/remotes" / name, dirs_exist_ok=True)
        return path

    def push(self, name: str = "origin") -> None:
        """Push all branches and tags to a remote."""
        self.git("push", "--quiet", name, "--all")
        self.git("push", "--quiet", name, "--tags")

    def _copy_to(self, bare: Path) -> None:
        for name in ("objects", "refs/heads", "refs/tags", "packed-refs"):
            source = self.path / ".git" / name
            if source.is_dir():
                shutil.copytree(source, bare / name, dirs_exist_ok=True)
            elif source.exists():
                shutil.copy(source, bare / name)

    def copy(self, path: Path) -> "GitRepository":
        """Copy the directory: faster than the same git commands again."""
        shutil.copytree(self.path, path, symlinks=True)
        return GitRepository(path)

    def clone(self, path: Path, *, depth: int | None = None, tag: str = "") -> "GitRepository":
        """Clone the remote `origin`, as CI systems do.

        Args:
            depth: how many commits; then no tags come along but `tag`.
            tag: what to check out in place of the main branch.
        """
        shallow = () if depth is None else (f"--depth={depth}", "--no-tags")
        source = self.git("remote", "get-url", "origin")
        branch = ("--branch", tag) if tag else ()
        _git(path.parent, "clone", "--quiet", *shallow, *branch, source, path)
        return GitRepository(path)


def git_commands(trace: Path) -> list[str]:
    """The names of the git commands that were run, from the file that GIT_TRACE2_EVENT names."""
    events = map(json.loads, trace.read_text().splitlines())
    return [event["name"] for event in events if event["event"] == "cmd_name"]


@functools.cache
def _empty_repository() -> dict[str, str | bytes]:
    """The files of a repository that was just made. Git is asked once: most tests need one."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        _git(directory, "init", "--quiet", "--initial-branch=main", "--template=")
        files = [path for path in directory.joinpath(".git").rglob("*") if path.is_file()]
        return {str(path.relative_to(directory / ".git")): path.read_bytes() for path in files}


def _git(directory: Path, *args: str | Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        ["git", "-c", "advice.detachedHead=false", *args],
        cwd=directory,
        env=os.environ | _ISOLATED | dict(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"git {args}: {done.stdout}{done.stderr}"
    return done.stdout.rstrip("\n")


def open_tree(repository: GitRepository, environ: Mapping[str, str] | None = None) -> WorkTree:
    return open_work_tree(repository.path, environ or {})


def write_script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path
