"""Which tracked files of a work tree differ from HEAD, whatever hides it.

Filters run: they define what the content of a file is.
"""

import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from releasetag.git import WorkTree, open_work_tree
from releasetag.git_command import run

# What hides a change: a monitor that is asked in place of the files, and ways to look less closely.
_LOOK_CLOSELY = {
    "core.fsmonitor": "",
    "core.ignoreStat": "false",
    "core.checkStat": "default",
    "core.trustctime": "true",
    "core.symlinks": "true",
    "core.hooksPath": os.devnull,  # post-index-change
}


def changed_files(tree: WorkTree) -> list[str]:
    """Return the tracked files that differ from HEAD, those of submodules too.

    Unlike plain `git status`, see through what hides changes: files that are flagged
    (``--assume-unchanged``, ``--skip-worktree``), ``core.fileMode``, ``core.symlinks``,
    ``submodule.*.ignore``, a monitor. What a sparse checkout leaves out has not changed.
    """
    listed = run(tree.root, "ls-files", "--stage", "-v", "-z", settings=_LOOK_CLOSELY)
    lines = listed.split("\0")[:-1]
    # Most files are none of these, and there may be very many.
    entries = [_Entry(e) for e in lines if e[0] != "H" or e.startswith("160000", 2)]
    with _unflagged(tree, entries) as environ:
        changed = _status(tree, environ, modes=True)
        if changed and not _has_modes(tree, map(_Entry, lines)):
            changed = _status(tree, environ, modes=False)
    return changed + [file for entry in entries for file in _changed_inside(tree, entry)]


def _status(tree: WorkTree, environ: Mapping[str, str], *, modes: bool) -> list[str]:
    words = ("--porcelain", "-z", "--untracked-files=no", "--no-renames")
    status = run(
        tree.root,
        "status",
        *words,
        "--ignore-submodules=dirty",
        settings={**_LOOK_CLOSELY, "core.fileMode": str(modes).lower()},
        environ=environ,
    )
    return [line[3:] for line in status.split("\0")[:-1]]


@contextmanager
def _unflagged(tree: WorkTree, entries: Iterable["_Entry"]) -> Iterator[dict[str, str]]:
    """Provide an environment with an index in which no file is flagged."""
    sparse = _is_true(tree.config.get("core.sparsecheckout", "false"))
    flagged = [
        entry
        for entry in entries
        if entry.is_flagged
        and not (sparse and entry.is_skipped and not os.path.lexists(tree.root / entry.path))
    ]
    if not flagged:
        yield {}
        return
    import tempfile  # rarely needed, and slow to import

    with tempfile.TemporaryDirectory(prefix="releasetag-") as directory:
        index = Path(directory, "index")
        # With its time: files that changed in the same moment are looked at again.
        shutil.copy2(_index(tree), index)
        environ = {"GIT_INDEX_FILE": str(index)}
        stdin = "".join(f"{entry.info}\0" for entry in flagged)
        run(
            tree.root,
            "update-index",
            "-z",
            "--index-info",
            stdin=stdin.encode("utf-8", "surrogateescape"),
            settings=_LOOK_CLOSELY,
            environ=environ,
        )
        yield environ


def _has_modes(tree: WorkTree, entries: Iterable["_Entry"]) -> bool:
    """Whether executable bits are to be compared.

    Git sets ``core.fileMode`` to false on a file system that has none; there all files are
    alike. A person can set it anywhere.
    """
    if _is_true(tree.config.get("core.filemode", "true")):
        return True
    files = [_index(tree), *(tree.root / entry.path for entry in entries if entry.is_file)]
    seen: set[bool] = set()
    for file in files:
        with suppress(OSError):
            seen.add(bool(file.lstat().st_mode & stat.S_IXUSR))
        if len(seen) == 2:
            return True
    return False


def _changed_inside(tree: WorkTree, entry: "_Entry") -> Iterator[str]:
    submodule = tree.root / entry.path
    if not entry.is_submodule or not os.path.lexists(submodule / ".git"):
        return
    inside = open_work_tree(submodule, tree.environ)
    if inside.root == submodule:  # or git does not take it for one either
        yield from (f"{entry.path}/{file}" for file in changed_files(inside))


def _index(tree: WorkTree) -> Path:
    return tree.root / run(tree.root, "rev-parse", "--git-path", "index").removesuffix("\n")


@dataclass(frozen=True)
class _Entry:
    """A line of `git ls-files --stage -v`, such as ``H 100644 4b825d… 0\tfile``.

    The letter is ``H`` of a file without flags, ``S`` of one to skip, ``M`` of one that is not
    merged; small of one to take for unchanged.
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
        return self.line[0] != "H"

    @property
    def is_skipped(self) -> bool:
        return self.line[0] in "Ss"

    @property
    def is_file(self) -> bool:
        return self.info.startswith("100")

    @property
    def is_submodule(self) -> bool:
        return self.info.startswith("160000")


def _is_true(value: str) -> bool:
    """Read a boolean of git's configuration."""
    return value.lower() not in {"false", "no", "off", "0", ""}
