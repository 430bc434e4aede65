"""A git work tree and the questions that are asked of it. Nothing else runs git.

Git decides by itself where to look: by variables, configuration, and flags in its index. Every
answer here is about the work tree that was named:

- Variables of one repository (``GIT_DIR``, ``GIT_INDEX_FILE``, …) are taken out of git's
  environment. They belong to whatever started this program, such as a hook.
- `changed_files` sees through whatever tells git not to look at a file.
- No hook, alias, pager or external diff runs. Filters do: they define what a file's content is.
"""

import os
import re
import selectors
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from releasetag.errors import HistoryError, NoReleaseError, ReleasetagError, UsageError
from releasetag.remote_url import without_credentials
from releasetag.text import printable

if TYPE_CHECKING:
    from git import Git

LOCAL_HINT = (
    "make the remote readable, or say that the local tags are all there are: --history local"
)

_TAGS = "refs/tags/"
_REMOTE_TAG = re.compile(rf"([0-9a-f]{{40}}|[0-9a-f]{{64}})\t{_TAGS}(.+)")
_REMOTE_SECONDS = 15
_LONGEST_ANSWER = 256 * 1024**2  # a million tags have half of it
_LONGEST_MESSAGE = 64 * 1024
_POLL_SECONDS = 0.05
_YEAR_10000 = 253_402_300_800

# `git rev-parse --local-env-vars`, less the variables that hold configuration (CI systems hand on
# credentials in them), and more that are about one repository.
_ELSEWHERE = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_ATTR_SOURCE",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",  # looking changes nothing
    "GIT_NO_REPLACE_OBJECTS": "1",  # a revision names what every other clone has under it
    "GIT_NO_LAZY_FETCH": "1",  # a partial clone asks its remote for nothing
    "GIT_TERMINAL_PROMPT": "0",
}
# What hides a change: a monitor that is asked in place of the files, and ways to look less closely.
_LOOK_CLOSELY = {
    "core.fsmonitor": "",
    "core.ignoreStat": "false",
    "core.checkStat": "default",
    "core.trustctime": "true",
    "core.symlinks": "true",
    "core.splitIndex": "false",
    "core.hooksPath": os.devnull,  # post-index-change
}


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
        """Return the commit at HEAD.

        Raises:
            NoReleaseError: there is no commit yet.
        """
        head = self._run("rev-parse", "--verify", "--quiet", "HEAD^{commit}", ok=(0, 1)).strip()
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
            seconds, _, _ = self._run("rev-list", *words, ok=(0, 128)).partition(" ")
            # A commit may claim any time; no calendar has years of five digits.
            known = seconds and int(seconds) < _YEAR_10000
            self._commit_times[revision] = int(seconds) if known else None
        return self._commit_times[revision]

    def nearest(self, revision: str, commits: Container[str]) -> tuple[str, int] | None:
        """Return the nearest of some commits behind a revision, and how many lie between."""
        with _started(self.root, "rev-list", revision, "--") as process:
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
        # parses every object, where this reads packed-refs and looks up the kinds.
        listed = self._run("show-ref", "--tags", "--dereference", ok=(0, 1))
        words = listed.replace("\n", " ").split(" ")  # a name may hold any other white space
        tags = {
            # An annotated tag is listed twice, and the second line names what it points at.
            name.removeprefix(_TAGS).removesuffix("^{}"): target
            for target, name in zip(words[:-1:2], words[1::2], strict=True)
        }
        others = {target for target, kind in self._kinds(tags.values()) if kind != "commit"}
        if others:
            tags = {name: target for name, target in tags.items() if target not in others}
        return tags, others

    def _kinds(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        objects = list(dict.fromkeys(names))
        if not objects:
            return
        stdin = "\n".join(objects).encode("ascii")
        kinds = self._run("cat-file", "--buffer", "--batch-check=%(objecttype)", stdin=stdin)
        for name, kind in zip(objects, kinds.splitlines(), strict=True):
            if kind.endswith("missing"):
                raise HistoryError(
                    f"a git tag points at {name}, which is not in this clone",
                    "see `git fsck`: the tag may be that of a newer release",
                )
            yield name, kind

    def remotes(self) -> list[str]:
        """Return the names of the remotes that have a URL, sorted."""
        keys = (re.fullmatch(r"remote\.(.*)\.url", key) for key in self._config)
        return sorted(key[1] for key in keys if key)

    def remote_url(self, remote: str) -> str | None:
        """Return the URL that a remote is read from, as configured; None if there is none."""
        return self._config.get(f"remote.{remote}.url")

    def remote_tags(self, remote: str) -> dict[str, str]:
        """Return what every tag of a remote points at; which are commits, it does not say.

        Fetches no objects, never prompts, and takes at most 15 s.

        Raises:
            HistoryError: the remote does not answer, or not with tags.
        """
        tags: dict[str, str] = {}
        for line in filter(None, self._ask(remote).split("\n")):
            tag = _REMOTE_TAG.fullmatch(line)
            if tag is None:
                raise _unreadable(remote, f"{printable(line[:60])!r} is no line of `git ls-remote`")
            tags[tag[2].removesuffix("^{}")] = tag[1]  # twice if annotated, see local_tags
        return tags

    def _ask(self, remote: str) -> str:
        words = ("ls-remote", "--tags", "--", remote)
        # A session of its own has no terminal that git, ssh or a helper could prompt on.
        with _started(self.root, *words, environ=self._batch(), start_new_session=True) as process:
            try:
                out, err = _output(process, _REMOTE_SECONDS)
            except _NoAnswerError as error:
                raise _unreadable(remote, str(error)) from None
            finally:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode != 0:
            # As url.*.insteadOf has it: credentials may stand there.
            used = self._run("ls-remote", "--get-url", "--", remote, ok=range(256)).strip("\n")
            urls = (self.remote_url(remote) or "", used)
            raise _unreadable(remote, _reason(err, urls))
        return out.decode("utf-8", "surrogateescape")

    def _batch(self) -> dict[str, str]:
        """Return the environment in which neither git nor what it starts prompts."""
        ssh = (
            self.environ.get("GIT_SSH_COMMAND")
            or self._config.get("core.sshcommand")
            or shlex.quote(self.environ.get("GIT_SSH") or "ssh")
        )
        return {
            "GIT_ASKPASS": "true",
            "SSH_ASKPASS": "true",
            "SSH_ASKPASS_REQUIRE": "never",
            "GCM_INTERACTIVE": "never",
            "GIT_SSH_COMMAND": f"{ssh} -o BatchMode=yes -o ConnectTimeout=10",
        }

    def changed_files(self) -> list[str]:
        """Return the tracked files that differ from HEAD, those of submodules too.

        Unlike plain `git status`, see through what hides changes: files that are flagged
        (``--assume-unchanged``, ``--skip-worktree``), ``core.fileMode``, ``core.symlinks``,
        ``submodule.*.ignore``, a monitor. What a sparse checkout leaves out has not changed.
        """
        listed = self._run("ls-files", "--stage", "-v", "-z", settings=_LOOK_CLOSELY)
        entries = [_Entry(entry) for entry in listed.split("\0") if entry]
        modes = "true" if self._has_modes(entries) else "false"
        settings = {**_LOOK_CLOSELY, "core.fileMode": modes}
        words = ("--porcelain", "-z", "--untracked-files=no", "--no-renames")
        with self._unflagged(entries) as environ:
            status = self._run(
                "status", *words, "--ignore-submodules=dirty", settings=settings, environ=environ
            )
        changed = [line[3:] for line in status.split("\0") if line]
        return changed + [file for entry in entries for file in self._changed_inside(entry)]

    @contextmanager
    def _unflagged(self, entries: Iterable["_Entry"]) -> Iterator[dict[str, str]]:
        """Provide an environment with an index in which no file is flagged."""
        sparse = _is_true(self._config.get("core.sparsecheckout", "false"))
        flagged = [
            entry
            for entry in entries
            if entry.is_flagged
            and not (sparse and entry.is_skipped and not os.path.lexists(self.root / entry.path))
        ]
        if not flagged:
            yield {}
            return
        with tempfile.TemporaryDirectory(prefix="releasetag-") as directory:
            index = Path(directory, "index")
            # With its time: files that changed in the same moment are looked at again.
            shutil.copy2(self._index, index)
            environ = {"GIT_INDEX_FILE": str(index)}
            stdin = "".join(f"{entry.info}\0" for entry in flagged)
            self._run(
                "update-index",
                "-z",
                "--index-info",
                stdin=stdin.encode("utf-8", "surrogateescape"),
                settings=_LOOK_CLOSELY,
                environ=environ,
            )
            yield environ

    def _has_modes(self, entries: Iterable["_Entry"]) -> bool:
        """Whether executable bits are to be compared.

        Git sets ``core.fileMode`` to false on a file system that has none; there all files are
        alike. A person can set it anywhere.
        """
        if _is_true(self._config.get("core.filemode", "true")):
            return True
        files = [self._index, *(self.root / entry.path for entry in entries if entry.is_file)]
        seen: set[bool] = set()
        for file in files:
            with suppress(OSError):
                seen.add(bool(file.lstat().st_mode & stat.S_IXUSR))
            if len(seen) == 2:
                return True
        return False

    def _changed_inside(self, entry: "_Entry") -> Iterator[str]:
        submodule = self.root / entry.path
        if not entry.is_submodule or not os.path.lexists(submodule / ".git"):
            return
        tree = open_work_tree(submodule, self.environ)
        if tree.root == submodule:  # or git does not take it for one either
            yield from (f"{entry.path}/{file}" for file in tree.changed_files())

    @cached_property
    def _index(self) -> Path:
        return self.root / self._run("rev-parse", "--git-path", "index").removesuffix("\n")

    @cached_property
    def _config(self) -> Mapping[str, str]:
        """What is configured of remotes and of the few settings that are heeded here."""
        keys = r"^(remote\..*\.url|core\.(sshcommand|filemode|sparsecheckout))$"
        found: dict[str, str] = {}
        for line in self._run("config", "-z", "--get-regexp", keys, ok=(0, 1)).split("\0")[:-1]:
            key, has_value, value = line.partition("\n")
            # Git reads from the first of several URLs; of other settings the last counts.
            if not (key.endswith(".url") and key in found):
                found[key] = value if has_value else "true"
        return found

    def _run(
        self,
        *words: str,
        stdin: bytes = b"",
        ok: Container[int] = (0,),
        settings: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> str:
        given = (settings or {}).items()
        options = [word for key, value in given for word in ("-c", f"{key}={value}")]
        return _run(self.root, *options, *words, stdin=stdin, ok=ok, environ=environ)


@dataclass(frozen=True)
class _Entry:
    """A line of `git ls-files --stage -v`, such as ``H 100644 4b825d… 0\tfile``.

    The letter is ``H``, ``S`` if the file is to be skipped, ``M`` if it is not merged; small if
    the file is to be taken for unchanged.
    """

    line: str

    @property
    def info(self) -> str:
        """What `git update-index --index-info` makes the entry of, without flags."""
        return self.line[2:]

    @property
    def path(self) -> str:
        return self.line.partition("\t")[2]

    @property
    def is_flagged(self) -> bool:
        return self.line[0] not in "HM"

    @property
    def is_skipped(self) -> bool:
        return self.line[0] in "Ss"

    @property
    def is_file(self) -> bool:
        return self.info.startswith("100")

    @property
    def is_submodule(self) -> bool:
        return self.info.startswith("160000")


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
    answer = _run(path, "rev-parse", "--show-toplevel", "--is-shallow-repository")
    root, shallow = answer.removesuffix("\n").rsplit("\n", 1)
    here = path.resolve()
    if not any(parent.samefile(root) for parent in (here, *here.parents)):
        raise UsageError(
            f"the repository that {here} is in has its work tree elsewhere, in {root}"
            " (core.worktree)",
            "name that one, or: git config --unset core.worktree",
        )
    return WorkTree(Path(root), shallow == "true", environ)


def _run(
    directory: Path,
    *words: str,
    stdin: bytes = b"",
    ok: Container[int] = (0,),
    environ: Mapping[str, str] | None = None,
) -> str:
    """Return what a git command prints; it fails unless its exit code is one of `ok`."""
    with _started(directory, *words, environ=environ, has_stdin=bool(stdin)) as process:
        out, err = process.communicate(stdin or None)
    if process.returncode not in ok:
        raise _refused_error(directory, err)
    return out.decode("utf-8", "surrogateescape")


@contextmanager
def _started(
    directory: Path,
    *words: str,
    environ: Mapping[str, str] | None = None,
    has_stdin: bool = False,
    start_new_session: bool = False,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start git, and see that it has ended and its pipes are closed whatever happens."""
    environ = {**_ENVIRONMENT, **(environ or {})}
    # The library adds variables to those of this process and takes none away.
    unset = [name for name in _ELSEWHERE if name in os.environ and name not in environ]
    handle = _library()().execute(
        # By -C: the library runs git somewhere else where it cannot enter a directory.
        [*_without(unset), "git", "-C", str(directory), *words],
        istream=subprocess.PIPE if has_stdin else None,
        as_process=True,
        env=environ,
        shell=False,
        start_new_session=start_new_session,
    )
    with cast("subprocess.Popen[bytes]", handle.proc) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _without(variables: Iterable[str]) -> list[str]:
    return ["env", *(word for name in variables for word in ("-u", name))] if variables else []


@cache
def _library() -> "type[Git]":
    """Import the part of GitPython that runs git.

    ``import git`` runs `git version` twice and imports the rest of the library, which takes longer
    than all that a plan does. The copy is private: whoever else imports the library gets it whole.
    """
    if "git" in sys.modules:
        from git import Git
    else:
        spec = find_spec("git")
        if spec is None:
            raise ModuleNotFoundError("GitPython is not installed", name="git")
        sys.modules["git"] = module_from_spec(spec)
        try:
            from git.cmd import Git
        finally:
            for name in [name for name in sys.modules if name.split(".")[0] == "git"]:
                del sys.modules[name]
    return Git


class _NoAnswerError(Exception):
    """A command took too long or printed too much."""


def _output(process: "subprocess.Popen[bytes]", seconds: float) -> tuple[bytes, bytes]:
    """Return what a process prints until it exits.

    Not until its pipes are closed: what it leaves behind, such as git's credential cache, may hold
    them open for ever.

    Raises:
        _NoAnswerError: it goes on for too long.
    """
    deadline = time.monotonic() + seconds
    out, err = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for pipe, kept in ((process.stdout, out), (process.stderr, err)):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, kept)
        while selector.get_map():
            exited = process.poll() is not None  # asked before reading, so that nothing is missed
            left = deadline - time.monotonic()
            ready = selector.select(0 if exited else min(left, _POLL_SECONDS))
            if left <= 0 or (exited and not ready):
                break
            for key, _ in ready:
                data = os.read(key.fd, 64 * 1024)
                if not data:
                    selector.unregister(key.fileobj)
                key.data.extend(data)
            if len(out) > _LONGEST_ANSWER:
                raise _NoAnswerError(f"more than {_LONGEST_ANSWER} bytes of answer")
            del err[_LONGEST_MESSAGE:]
    try:
        process.wait(max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _NoAnswerError(f"no answer in {seconds} s") from None
    return bytes(out), bytes(err)


def _unreadable(remote: str, why: str) -> HistoryError:
    return HistoryError(
        f"the tags of the git remote {printable(remote, 100)!r} cannot be read: {why}", LOCAL_HINT
    )


def _refused_error(directory: Path, err: bytes) -> ReleasetagError:
    text = err.decode("utf-8", "replace")
    if owner := re.search(r"(?:dubious ownership|unsafe repository).*?'(.*)'", text):
        return UsageError(
            f"git does not trust {owner[1]}: it belongs to another user (dubious ownership)",
            f"if you do: git config --global --add safe.directory {shlex.quote(owner[1])}",
        )
    if tag := re.search(rf"bad ref {_TAGS}(.*) \(", text):
        return HistoryError(
            f"the git tag {printable(tag[1], 100)!r} is broken, and may be that of a newer release",
            "see `git fsck`; delete the tag and fetch it again",
        )
    if "not a git repository (or any" in text:
        return UsageError(
            f"{directory.resolve()} is not in a git repository",
            "run in a git work tree, or name one: releasetag COMMAND PATH",
        )
    if "must be run in a work tree" in text:
        return UsageError(
            f"{directory.resolve()} is a bare repository, or in the inside of one",
            "name a work tree, such as a clone of it",
        )
    return UsageError(f"git cannot read the repository: {_reason(err)}", "see `git status`")


def _reason(err: bytes, urls: Iterable[str] = ()) -> str:
    """Return the line in which git says why, fit for a terminal and without credentials."""
    lines = [line.strip() for line in err.decode("utf-8", "replace").splitlines() if line.strip()]
    why = [line for line in lines if line.startswith(("fatal:", "error:", "ssh:"))]
    line = (why or lines or ["no message"])[0]
    return printable(without_credentials(line, urls)[:1000])


def _is_true(value: str) -> bool:
    """Read a boolean of git's configuration."""
    return value.lower() not in {"false", "no", "off", "0", ""}
