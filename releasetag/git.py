"""A git work tree and the questions that are asked of it.

Every answer is about the work tree that was named, whatever git's variables, its configuration or
the flags in its index say. No hook, alias, pager or external diff runs. Filters do: they define
what the content of a file is.
"""

import os
import re
import shlex
import shutil
import signal
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from releasetag.errors import HistoryError, NoReleaseError, UsageError
from releasetag.git_command import NoAnswerError, output, reason, run, started
from releasetag.text import printable

TagSignature = Literal["valid", "invalid", "none", "absent"]
"""Whether a git tag is signed; ``absent``: the clone does not have it."""

LOCAL_HINT = (
    "make the remote readable, or say that the local tags are all there are: --history local"
)

CLONE_HINT = "make the remote readable, or fetch the whole history (fetch-depth: 0)"

_TAGS = "refs/tags/"
_HEADS = "refs/heads/"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Settings that say how a remote is read.
_OF_REMOTES = re.compile(
    r"(?:remote|url|http|credential|protocol|ssh)\.|core\.(?:askpass|gitproxy)$"
)
_REMOTE_TAG = re.compile(rf"^([0-9a-f]{{40}}|[0-9a-f]{{64}})\t{_TAGS}(.+)$", re.MULTILINE)
_REMOTE_SECONDS = 15
_FETCH_SECONDS = 120
_YEAR_10000 = 253_402_300_800


@dataclass(frozen=True)
class WorkTree:
    """A git work tree. What cannot change during a run is asked of git once.

    Attributes:
        root: the top level.
        shallow: whether the clone is shallow, so that its tags say nothing of the others.
        environ: where the user's choice of ssh is looked up.
    """

    root: Path
    shallow: bool
    environ: Mapping[str, str] = field(repr=False, compare=False)
    _commit_times: dict[str, int | None] = field(default_factory=dict, repr=False, compare=False)

    def head(self) -> str:
        """Return the commit that was at HEAD when this was first asked.

        Raises:
            NoReleaseError: there is no commit yet.
        """
        return self._head

    @cached_property
    def _head(self) -> str:
        words = ("--verify", "--quiet", "HEAD^{commit}")
        head = run(self.root, "rev-parse", *words, ok=(0, 1)).strip()
        if not head:
            raise NoReleaseError(
                "the repository has no commit yet", "commit, then tag the commit: git tag v0.1.0"
            )
        return head

    def commit_time(self, revision: str) -> int | None:
        """Return the committer's time in seconds since 1970; None if the clone lacks the commit."""
        if revision not in self._commit_times:
            # Not by `git show` or `git log`, which print more where a person's settings say so.
            words = ("--max-count=1", "--timestamp", "--end-of-options", revision, "--")
            seconds, _, _ = run(self.root, "rev-list", *words, ok=(0, 128)).partition(" ")
            # A commit may claim any time; no calendar has years of five digits.
            known = seconds and int(seconds) < _YEAR_10000
            self._commit_times[revision] = int(seconds) if known else None
        return self._commit_times[revision]

    def nearest(self, revision: str, commits: Container[str]) -> tuple[str, int] | None:
        """Return the nearest of some commits behind a revision, and how many lie between."""
        with started(self.root, "rev-list", revision, "--") as process:
            for distance, line in enumerate(process.stdout or ()):
                if (commit := line.decode("ascii").strip()) in commits:
                    return commit, distance
        return None

    def local_tags(self) -> tuple[dict[str, str], set[str]]:
        """Return the commit of every tag, and the objects that other tags name.

        Raises:
            HistoryError: a tag is broken, and may be that of a higher release.
        """
        # Two commands, as `git for-each-ref` takes four times as long to say what tags point at: it
        # parses every object, where this reads packed-refs and looks up the types.
        listed = run(self.root, "show-ref", "--tags", "--dereference", ok=(0, 1))
        # An annotated tag is listed twice, and the second line names what it points at. A name
        # holds no blank and no ^, though it may hold what else Python takes for white space.
        lines = listed.replace(f" {_TAGS}", " ").replace("^{}\n", "\n")
        words = lines.replace("\n", " ").split(" ")
        tags = dict(zip(words[1::2], words[:-1:2], strict=True))
        others = self._without_commits(list(dict.fromkeys(tags.values())))
        if others:
            tags = {name: target for name, target in tags.items() if target not in others}
        return tags, others

    def _without_commits(self, objects: Sequence[str]) -> set[str]:
        if not objects:
            return set()
        words = ("--buffer", "--batch-check=%(objecttype)")
        answer = run(self.root, "cat-file", *words, stdin="\n".join(objects).encode("ascii"))
        types = answer.splitlines()
        for kind in set(types):
            name, _, problem = kind.partition(" ")
            if problem:  # "missing"
                raise HistoryError(
                    f"a git tag points at {name}, which is not in this clone",
                    "see `git fsck`: the tag may be that of a newer release",
                )
        return {name for name, kind in zip(objects, types, strict=True) if kind != "commit"}

    def tag_signature(self, name: str) -> TagSignature:
        """Look at the signature of a git tag, by gpg or ssh-keygen as git has it."""
        ref = f"{_TAGS}{name}"
        found = run(self.root, "for-each-ref", "--format=%(contents:signature)end", ref)
        if not found:
            return "absent"
        if found.startswith("end"):
            return "none"
        # No program that a configuration names.
        programs = {"gpg.program": "gpg", "gpg.ssh.program": "ssh-keygen"}
        options = [word for key, value in programs.items() for word in ("-c", f"{key}={value}")]
        with started(self.root, *options, "verify-tag", "--", name) as process:
            process.communicate()
        return "invalid" if process.returncode else "valid"

    def files(self) -> list[str]:
        """Return the files that git has, and those that it would add; see `.gitignore`."""
        words = ("--cached", "--others", "--exclude-standard", "-z")
        found = run(self.root, "ls-files", *words).split("\0")
        return [name for name in dict.fromkeys(found) if name and name.isprintable()]

    def remotes(self) -> list[str]:
        """Return the names of the remotes that have a URL, sorted."""
        keys = (re.fullmatch(r"remote\.(.*)\.url", key) for key in self.config)
        return sorted(key[1] for key in keys if key)

    def remote_url(self, remote: str) -> str | None:
        """Return the URL that a remote is read from, as configured; None if there is none."""
        return self.config.get(f"remote.{remote}.url")

    def remote_tags(self, remote: str) -> dict[str, str]:
        """Return what every tag of a remote points at; which are commits, it does not say.

        Fetches no objects, never prompts, and takes at most 15 s.

        Raises:
            HistoryError: the remote does not answer, or not with tags.
        """
        answer = self._ask(remote, "tags", "ls-remote", "--tags", "--", remote)
        lines = answer.removesuffix("\n").split("\n") if answer else []
        listed = _REMOTE_TAG.findall(answer)
        if len(listed) != len(lines):
            raise _unreadable(
                remote, "tags", f"{printable(answer[:200], 60)!r} does not list git tags"
            )
        # Annotated tags are listed twice, as in local_tags.
        return {name.removesuffix("^{}"): target for target, name in listed}

    def remote_refs(self, remote: str, *names: str) -> tuple[dict[str, str], str]:
        """Return what some refs of a remote point at, and the name of its default branch.

        Fetches no objects, never prompts, and takes at most 15 s.

        Args:
            names: whole ones, such as ``refs/heads/main``; those that the remote lacks are left
                out.

        Returns:
            The default branch is empty if the remote does not name one.

        Raises:
            HistoryError: the remote does not answer.
        """
        words = ("ls-remote", "--symref", "--", remote, "HEAD", *names)
        refs, default = {}, ""
        for line in self._ask(remote, "branches", *words).split("\n"):
            target, _, name = line.partition("\t")
            if name == "HEAD" and target.startswith(f"ref: {_HEADS}"):
                default = target.removeprefix(f"ref: {_HEADS}")
            elif name in names and _COMMIT.fullmatch(target):
                refs[name] = target
        return refs, default

    def branch(self) -> str:
        """Return the branch that is checked out; empty if there is none."""
        words = ("--quiet", "--short", "HEAD")
        return run(self.root, "symbolic-ref", *words, ok=(0, 1)).removesuffix("\n")

    def known_default_branch(self, remote: str) -> str:
        """Return a remote's default branch as it was when it was cloned; empty if not known."""
        ref = f"refs/remotes/{remote}/HEAD"
        found = run(self.root, "symbolic-ref", "--quiet", ref, ok=(0, 1, 128)).removesuffix("\n")
        return found.removeprefix(f"refs/remotes/{remote}/")

    def parents(self, *revisions: str) -> dict[str, list[str]] | None:
        """Return the parents of every commit behind some; None if the clone lacks any of them."""
        if self.shallow:
            return None
        words = ("--parents", "--end-of-options", *revisions, "--")
        listed = run(self.root, "rev-list", *words, ok=(0, 128))
        return _parse_parents(listed) if listed else None

    def fetch_parents(self, remote: str, ref: str) -> dict[str, list[str]]:
        """Fetch the commits behind a ref of a remote, and return the parents of each.

        The clone stays as it is. No file or directory is fetched where the remote can leave them
        out.

        Raises:
            HistoryError: the remote does not answer, or has no such ref.
        """
        import tempfile

        with tempfile.TemporaryDirectory(prefix="releasetag-") as directory:
            init = ("init", "--quiet", "--bare", "--template=")
            is_sha256 = len(self.head()) == 64
            run(self.root, *init, *(["--object-format=sha256"] if is_sha256 else []), directory)
            # In the clone's directory, which the URL of a remote may be relative to.
            there = ("-c", f"core.hooksPath={os.devnull}", f"--git-dir={directory}")
            fetch = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--filter=tree:0")
            self._ask(
                remote,
                "commits",
                *("-c", "gc.auto=0", "-c", "maintenance.auto=false", *there, *fetch),
                *("--", remote, f"+{ref}:refs/fetched"),
                environ=self._remote_settings(),
                seconds=_FETCH_SECONDS,
            )
            return _parse_parents(run(self.root, *there, "rev-list", "--parents", "refs/fetched"))

    def _remote_settings(self) -> dict[str, str]:
        """Return the environment that has what the clone's own settings say of remotes.

        In the environment, as there may be credentials in them.
        """
        listed = run(self.root, "config", "-z", "--local", "--includes", "--list", ok=(0, 1))
        number = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
        environ = {}
        for line in listed.split("\0")[:-1]:
            key, has_value, value = line.partition("\n")
            if _OF_REMOTES.match(key):
                environ[f"GIT_CONFIG_KEY_{number}"] = key
                environ[f"GIT_CONFIG_VALUE_{number}"] = value if has_value else "true"
                number += 1
        return {**environ, "GIT_CONFIG_COUNT": str(number)}

    def _ask(
        self,
        remote: str,
        what: str,
        *words: str,
        environ: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> str:
        """Return what a git command prints that asks a remote.

        Args:
            what: is asked for.
        """
        environ = {**self._batch(), **(environ or {})}
        # A session of its own has no terminal that git, ssh or a helper could prompt on.
        with started(self.root, *words, environ=environ, start_new_session=True) as process:
            try:
                out, err = output(process, seconds or _REMOTE_SECONDS)
            except NoAnswerError as error:
                raise _unreadable(remote, what, str(error)) from None
            finally:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode != 0:
            # As url.*.insteadOf has it: credentials may stand there.
            used = run(self.root, "ls-remote", "--get-url", "--", remote, ok=range(256)).strip("\n")
            raise _unreadable(remote, what, reason(err, used))
        return out.decode("utf-8", "surrogateescape")

    def _batch(self) -> dict[str, str]:
        """Return the environment in which neither git nor what it starts prompts."""
        ssh = (
            self.environ.get("GIT_SSH_COMMAND")
            or self.config.get("core.sshcommand")
            or shlex.quote(self.environ.get("GIT_SSH") or "ssh")
        )
        return {
            "GIT_ASKPASS": "true",
            "SSH_ASKPASS": "true",
            "SSH_ASKPASS_REQUIRE": "never",
            "GCM_INTERACTIVE": "never",
            "GIT_SSH_COMMAND": f"{ssh} -o BatchMode=yes -o ConnectTimeout=10",
        }

    @cached_property
    def config(self) -> Mapping[str, str]:
        """What is configured of remotes and of the few settings that are heeded here."""
        keys = r"^(remote\..*\.url|core\.(sshcommand|filemode|sparsecheckout))$"
        found: dict[str, str] = {}
        listed = run(self.root, "config", "-z", "--get-regexp", keys, ok=(0, 1))
        for line in listed.split("\0")[:-1]:
            key, has_value, value = line.partition("\n")
            # Git reads from the first of several URLs; of other settings the last counts.
            if not (key.endswith(".url") and key in found):
                found[key] = value if has_value else "true"
        return found


def open_work_tree(path: Path, environ: Mapping[str, str]) -> WorkTree:
    """Find the git work tree that a directory is in.

    Raises:
        UsageError: there is none, it is bare, or git does not trust or find it.
    """
    if shutil.which("git") is None:
        raise UsageError("git is not installed", "install git and run again")
    try:
        is_directory = path.is_dir()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be looked at: {error.strerror}", "name a git work tree"
        ) from None
    if not is_directory:
        raise UsageError(f"{path} is not a directory", "name a git work tree")
    answer = run(path, "rev-parse", "--show-toplevel", "--is-shallow-repository")
    root, shallow = answer.removesuffix("\n").rsplit("\n", 1)
    here = path.resolve()
    if not any(parent.samefile(root) for parent in (here, *here.parents)):
        raise UsageError(
            f"the repository that {here} is in has its work tree elsewhere, in {root}"
            " (core.worktree)",
            "name that one, or: git config --unset core.worktree",
        )
    return WorkTree(Path(root), shallow == "true", environ)


def _parse_parents(listed: str) -> dict[str, list[str]]:
    """Parse what ``git rev-list --parents`` prints."""
    lines = (line.split(" ") for line in listed.split("\n") if line)
    return {commit: parents for commit, *parents in lines}


def _unreadable(remote: str, what: str, why: str) -> HistoryError:
    hint = LOCAL_HINT if what == "tags" else CLONE_HINT
    return HistoryError(
        f"the {what} of the git remote {printable(remote, 100)!r} cannot be read: {why}", hint
    )
