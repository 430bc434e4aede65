"""Releases from local and remote git tags, and what else is asked of git.

History asks and returns values; it decides nothing about tags of images.
"""

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from releasetag.errors import HistoryError, NoReleaseError, ReleasetagError, UsageError
from releasetag.version import Release, version_of

if TYPE_CHECKING:
    import git

HistoryMode = Literal["auto", "local", "remote"]
HISTORY_MODES: tuple[HistoryMode, ...] = get_args(HistoryMode)

_TAGS = "refs/tags/"
_REMOTE_SECONDS = 15


@dataclass(frozen=True)
class WorkTree:
    """A git work tree.

    Attributes:
        root: its top level.
        environ: the environment, in which the user's choice of ssh is looked up.
        repository: the library's handle; only this module talks to it.
    """

    root: Path
    environ: Mapping[str, str] = field(repr=False, compare=False)
    repository: "git.Repo" = field(repr=False, compare=False)


@dataclass(frozen=True)
class GitTags:
    """All git tags, whether or not they are releases.

    Attributes:
        commits: the commit that every tag points at, by the tag's name.
        source: ``remote`` if the remote was asked, else ``local``.
        unknown: why the tags may not be all there are, for a person; empty if they are.
        shallow: whether the clone is shallow, so that local tags say nothing of the others.
        mode: how they were read, so that they can be read again the same way.
        remote: the remote that was, or would have been, asked.
    """

    commits: Mapping[str, str]
    source: Literal["local", "remote"]
    unknown: str
    shallow: bool
    mode: HistoryMode
    remote: str

    def releases(self, prefix: str | None) -> tuple[Release, ...]:
        """The tags that are releases behind a prefix (None: an optional ``v``)."""
        return tuple(
            Release(name, version, commit)
            for name, commit in self.commits.items()
            if (version := version_of(name, prefix)) is not None
        )


def open_work_tree(path: Path, environ: Mapping[str, str]) -> WorkTree:
    """The git work tree that a directory is in.

    Raises:
        UsageError: there is none, it is bare, or git does not trust or find it.
    """
    # Without it the import fails where there is no git, with a page of advice on its own settings.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import git

    try:
        is_directory = path.is_dir()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be looked at: {error.strerror}", "name a git work tree"
        ) from None
    if not is_directory:
        raise UsageError(f"{path} is not a directory", "name a git work tree")
    try:
        repository = git.Repo(path, search_parent_directories=True)
    except (git.InvalidGitRepositoryError, git.NoSuchPathError):
        raise UsageError(
            f"{path.resolve()} is not in a git repository",
            "run in a git work tree, or name one: releasetag COMMAND PATH",
        ) from None
    if repository.working_tree_dir is None:
        raise UsageError(
            f"{path.resolve()} is a bare repository", "name a work tree, such as a clone of it"
        )
    tree = WorkTree(Path(repository.working_tree_dir), environ, repository)
    # The first command of all: here git says whether it trusts the repository.
    _git(tree, "rev-parse", "--git-dir")
    return tree


def head(tree: WorkTree) -> str:
    """The commit at HEAD.

    Raises:
        NoReleaseError: there is no commit yet.
    """
    answer = _git(tree, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", fails="")
    if not answer:
        raise NoReleaseError(
            "the repository has no commit yet", "commit, then tag the commit: git tag v0.1.0"
        )
    return answer


def commit_of(tree: WorkTree, git_tag: str) -> str | None:
    """The commit that a local git tag points at, through any number of tag objects, or None."""
    name = f"{_TAGS}{git_tag}^{{commit}}"
    return _git(tree, "rev-parse", "--verify", "--quiet", "--end-of-options", name, fails="") or (
        None
    )


def commit_time(tree: WorkTree, revision: str) -> int | None:
    """The committer's time in seconds since 1970, or None if the commit is not in this clone."""
    # `git show` and `git log` print more where a person's settings say so; rev-list does not.
    answer = _git(tree, "rev-list", "--max-count=1", "--timestamp", revision, "--", fails="")
    seconds, _, _ = answer.partition(" ")
    return int(seconds) if seconds else None


def changed_files(tree: WorkTree) -> list[str]:
    """The tracked files whose content is not the one at HEAD."""
    answer = _git(tree, "status", "--porcelain", "-z", "--untracked-files=no")
    return [entry[3:] for entry in answer.split("\0") if entry[2:3] == " "]


def origin_url(tree: WorkTree, remote: str) -> str | None:
    """The URL of a remote as git is configured, or None if there is no such remote."""
    return _git(tree, "config", "--get", f"remote.{remote}.url", fails="") or None


def nearest_release(
    tree: WorkTree, commits: Mapping[str, Release], revision: str
) -> tuple[Release, int] | None:
    """The nearest release behind a commit and how many commits lie between, or None.

    Args:
        commits: releases by the commit that they point at.
    """
    log = tree.repository.git.rev_list(revision, "--", as_process=True)
    with _closing(log) as running:
        for distance, line in enumerate(running.stdout or ()):
            if release := commits.get(line.decode("ascii").strip()):
                return release, distance
    return None


def read_git_tags(tree: WorkTree, mode: HistoryMode, remote: str) -> GitTags:
    """Read the git tags, of the remote as well unless it is not to be asked or there is none.

    Asking the remote fetches no objects, never prompts, and takes at most 15 s.

    Raises:
        UsageError: there is no such remote, though one was asked for.
        HistoryError: only the remote counts, and it cannot be read.
    """
    local, no_commits = _local_tags(tree)
    shallow = _git(tree, "rev-parse", "--is-shallow-repository") == "true"
    if mode == "local":
        return GitTags(local, "local", "", shallow, mode, remote)
    others = _git(tree, "remote").splitlines()
    if remote == "origin" and remote not in others and len(others) == 1:
        remote = others[0]  # `git clone --origin upstream`
    if origin_url(tree, remote) is None:
        if mode == "remote" or remote != "origin":
            raise UsageError(
                f"there is no git remote {remote!r}",
                "name one of `git remote` with --remote, or use --history local",
            )
        unknown = "there is no git remote to ask" if shallow else ""
        if others:
            unknown = f"none of the git remotes {', '.join(others)} is called origin"
        return GitTags(local, "local", unknown, shallow, mode, remote)
    try:
        theirs = _remote_tags(tree, remote, no_commits)
    except HistoryError as error:
        if mode == "remote":
            raise
        return GitTags(local, "local", error.message, shallow, mode, remote)
    commits = theirs if mode == "remote" else {**theirs, **local}
    return GitTags(commits, "remote", "", shallow, mode, remote)


def read_again(tree: WorkTree, tags: GitTags) -> GitTags:
    """Read the git tags the same way once more: a release may have appeared meanwhile.

    Raises:
        HistoryError: the remote answered before and does not now.
    """
    again = read_git_tags(tree, tags.mode, tags.remote)
    if tags.source == "remote" and again.source == "local":
        raise HistoryError(
            f"{again.unknown}, so a newer release cannot be ruled out",
            "no floating tag moved; run again when the remote answers",
        )
    return again


def _local_tags(tree: WorkTree) -> tuple[dict[str, str], set[str]]:
    """The commit of every tag, and the objects of those tags that point at no commit."""
    # One command for all: asking the library for each tag's commit takes minutes for thousands.
    form = "%(refname)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)"
    tags: dict[str, str] = {}
    no_commits: set[str] = set()
    listed = _git(tree, "for-each-ref", f"--format={form}", _TAGS.rstrip("/"))
    for line in filter(None, listed.split("\n")):  # a name may hold what else ends a line
        ref, kind, name, peeled_kind, peeled = line.split("\0")
        git_tag = ref.removeprefix(_TAGS)
        if kind == "commit":
            tags[git_tag] = name
        elif peeled_kind == "commit":
            tags[git_tag] = peeled
        elif peeled_kind == "tag" and (commit := commit_of(tree, git_tag)):
            tags[git_tag] = commit
        else:
            no_commits.add(peeled or name)
    return tags, no_commits


def _remote_tags(tree: WorkTree, remote: str, no_commits: Container[str]) -> dict[str, str]:
    """The commit of every tag; the remote does not say which objects are none."""
    # A session of its own has no terminal that git, ssh or a helper could prompt on.
    process = tree.repository.git.execute(
        ["git", "ls-remote", "--tags", "--", remote],
        as_process=True,
        start_new_session=True,
        env=_never_prompt(tree),
    )
    with _closing(process) as running:
        try:
            out, err = running.communicate(timeout=_REMOTE_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            raise _unreadable(remote, f"no answer in {_REMOTE_SECONDS} s") from None
    if running.returncode != 0:
        raise _unreadable(remote, _last_line(err.decode("utf-8", "replace")))
    tags: dict[str, str] = {}
    for line in filter(None, out.decode("utf-8", "surrogateescape").split("\n")):
        commit, _, ref = line.partition("\t")
        # An annotated tag is listed twice, and the second line names what it points at.
        tags[ref.removeprefix(_TAGS).removesuffix("^{}")] = commit
    return {git_tag: commit for git_tag, commit in tags.items() if commit not in no_commits}


def _never_prompt(tree: WorkTree) -> dict[str, str]:
    ssh = (
        tree.environ.get("GIT_SSH_COMMAND")
        or _git(tree, "config", "--get", "core.sshCommand", fails="")
        or shlex.quote(tree.environ.get("GIT_SSH") or "ssh")
    )
    return {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "SSH_ASKPASS_REQUIRE": "never",
        "GCM_INTERACTIVE": "never",
        "GIT_SSH_COMMAND": f"{ssh} -o BatchMode=yes -o ConnectTimeout=10",
    }


def _unreadable(remote: str, why: str) -> HistoryError:
    return HistoryError(
        f"the tags of the git remote {remote!r} cannot be read: {why}",
        "make the remote readable, or say that the local tags are all there are: --history local",
    )


def _git(tree: WorkTree, *arguments: str, fails: str | None = None) -> str:
    """What a git command prints; `fails` is what to return where it fails, if it may."""
    import git

    try:
        return str(tree.repository.git.execute(["git", *arguments], strip_newline_in_stdout=True))
    except git.GitCommandNotFound:
        raise UsageError("git is not installed", "install git and run again") from None
    except git.GitCommandError as error:
        # The library puts this around it.
        stderr = str(error.stderr).strip().removeprefix("stderr: '").removesuffix("'")
        if fails is not None and error.status == 1:
            return fails
        if fails is not None and "dubious ownership" not in stderr:
            return fails
        raise _refused(tree, stderr) from None


def _refused(tree: WorkTree, stderr: str) -> ReleasetagError:
    if "dubious ownership" in stderr:
        return UsageError(
            f"git does not trust {tree.root}: it belongs to another user (dubious ownership)",
            f"if you do: git config --global --add safe.directory {tree.root}",
        )
    return UsageError(f"git cannot read the repository: {_last_line(stderr)}", "see `git status`")


def _last_line(text: str) -> str:
    """The line of git's that says why."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith(("fatal:", "error:", "ssh:"))]
    line = (said or lines or ["no message"])[0]
    # A remote's URL may hold a password.
    return _without_userinfo("".join(c for c in line if c.isprintable())[:300])


def _without_userinfo(text: str) -> str:
    return re.sub(r"://[^/\s]*@", "://", text)


@contextmanager
def _closing(handle: "git.Git.AutoInterrupt") -> Iterator["subprocess.Popen[bytes]"]:
    """Whatever happens, the process has ended and its pipes are closed."""
    process = handle.proc
    assert process is not None  # noqa: S101 (the library's type allows for a handle of no process)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
