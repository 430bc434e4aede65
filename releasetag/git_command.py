"""Run git, through GitPython. Nothing else runs git.

Git looks at the directory that it is given: variables that name a repository (``GIT_DIR``,
``GIT_INDEX_FILE``, …) are removed from its environment. They belong to whatever started this
program, such as a hook.
"""

import os
import re
import selectors
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from releasetag.errors import HistoryError, ReleasetagError, UsageError
from releasetag.remote_url import without_credentials
from releasetag.text import printable

if TYPE_CHECKING:
    from git import Git

# `git rev-parse --local-env-vars` but for the variables that hold configuration, with which CI
# systems pass credentials; and others that are about one repository.
ELSEWHERE = (
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
    "GIT_OPTIONAL_LOCKS": "0",  # `git status` does not write the index
    "GIT_NO_REPLACE_OBJECTS": "1",  # a revision names what it names in every other clone
    "GIT_NO_LAZY_FETCH": "1",  # no network but for `git ls-remote`, from git 2.44 on
    "GIT_TERMINAL_PROMPT": "0",
}
_LONGEST_ANSWER = 256 * 1024**2  # a million tags have half of it
_LONGEST_MESSAGE = 64 * 1024
_POLL_SECONDS = 0.05
_DRAIN_SECONDS = 1
_importing = threading.Lock()


def run(
    directory: Path,
    *words: str,
    stdin: bytes = b"",
    ok: Container[int] = (0,),
    settings: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> str:
    """Return what a git command prints.

    Args:
        ok: the exit codes with which it has not failed.
        settings: configuration for this command.
        environ: further variables.

    Raises:
        ReleasetagError: it failed.
    """
    given = (settings or {}).items()
    options = [word for key, value in given for word in ("-c", f"{key}={value}")]
    with started(directory, *options, *words, environ=environ, has_stdin=bool(stdin)) as process:
        out, err = process.communicate(stdin or None)
    if process.returncode not in ok:
        raise _refused_error(directory, err)
    return out.decode("utf-8", "surrogateescape")


@contextmanager
def started(
    directory: Path,
    *words: str,
    environ: Mapping[str, str] | None = None,
    has_stdin: bool = False,
    start_new_session: bool = False,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start git; end it and close its pipes whatever happens."""
    environ = {**_ENVIRONMENT, **(environ or {})}
    # The library adds variables to those of this process and takes none away.
    unset = [name for name in ELSEWHERE if name in os.environ and name not in environ]
    with _importing:
        git = _library()
    handle = git().execute(
        # With -C, as the library runs git elsewhere if it cannot enter a directory.
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
    """Import the module of GitPython that runs git, without the rest of it.

    ``import git`` imports all of it, its database as well, and runs `git version` twice, which
    takes longer than a plan. The modules are private to this one: another ``import git`` in this
    process gets its own.
    """
    if "git" in sys.modules:
        from git import Git
    else:
        before = set(sys.modules)
        for name in {"git", "gitdb"} - before:
            spec = find_spec(name)
            if spec is None:
                raise ModuleNotFoundError("GitPython is not installed", name=name)
            sys.modules[name] = module_from_spec(spec)
        try:
            from git.cmd import Git
        finally:
            for name in sys.modules.keys() - before:
                if name.split(".")[0] in {"git", "gitdb"}:
                    del sys.modules[name]
    return Git


class NoAnswerError(Exception):
    """A command took too long or printed too much."""


def output(process: "subprocess.Popen[bytes]", seconds: float) -> tuple[bytes, bytes]:
    """Return what a process prints until it exits.

    Do not wait until its pipes are closed: a process that it leaves behind, such as git's
    credential cache, may hold them open for ever.

    Raises:
        NoAnswerError: it runs or prints for too long.
    """
    deadline = time.monotonic() + seconds
    out, err = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for pipe, kept in ((process.stdout, out), (process.stderr, err)):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, kept)
        while selector.get_map():
            exited = process.poll() is not None  # asked before reading, so that nothing is missed
            if exited:
                deadline = min(deadline, time.monotonic() + _DRAIN_SECONDS)
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
                raise NoAnswerError(f"more than {_LONGEST_ANSWER} bytes of answer")
            del err[_LONGEST_MESSAGE:]
    try:
        process.wait(max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise NoAnswerError(f"no answer in {seconds} s") from None
    return bytes(out), bytes(err)


def _refused_error(directory: Path, err: bytes) -> ReleasetagError:
    text = err.decode("utf-8", "replace")
    if owner := re.search(r"(?:dubious ownership|unsafe repository).*?'(.*)'", text):
        return UsageError(
            f"git does not trust {owner[1]}: it belongs to another user (dubious ownership)",
            f"if you do: git config --global --add safe.directory {shlex.quote(owner[1])}",
        )
    if tag := re.search(r"bad ref refs/tags/(.*) \(", text):
        return HistoryError(
            f"the git tag {printable(tag[1], 100)!r} is broken, and may be that of a newer release",
            "see `git fsck`; delete the tag and fetch it again",
        )
    if "not a git repository (or any" in text:
        unheeded = "GIT_DIR is not heeded: " if "GIT_DIR" in os.environ else ""
        return UsageError(
            f"{directory.resolve()} is not in a git repository",
            f"{unheeded}run in a git work tree, or name one: releasetag COMMAND PATH",
        )
    if "must be run in a work tree" in text:
        return UsageError(
            f"{directory.resolve()} is a bare repository, or in the inside of one",
            "name a work tree, such as a clone of it",
        )
    return UsageError(f"git cannot read the repository: {reason(err)}", "see `git status`")


def reason(err: bytes, url: str = "") -> str:
    """Return the line in which git says why, fit for a terminal and without credentials.

    Args:
        url: of the remote that git was to ask.
    """
    lines = [line.strip() for line in err.decode("utf-8", "replace").splitlines() if line.strip()]
    why = [line for line in lines if line.startswith(("fatal:", "error:", "ssh:"))]
    line = (why or lines or ["no message"])[0]
    return printable(without_credentials(line, url)[:1000])
