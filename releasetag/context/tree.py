"""The build context: which files of a directory the engine is sent.

Source: github.com/tonistiigi/fsutil (``filter.go``: the walk with which ``docker build`` chooses
files for BuildKit). The walk is BuildKit's also where Docker's older client differs: that one does
not search an ignored directory for what ``!**/*.go`` would re-include, BuildKit does.
"""

import errno
import hashlib
import itertools
import os
import posixpath
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from releasetag.context.dockerignore import Rule, match_rules, may_hold_exceptions, parse_rules
from releasetag.errors import BuildError, UsageError

IGNORE_FILE = ".dockerignore"


@dataclass(frozen=True)
class BuildContext:
    """A directory that an image is built from.

    Attributes:
        root: the directory, absolute, symbolic links resolved.
        dockerfile: the Dockerfile, absolute, as the user named it.
        dockerfile_name: its name inside the archive, which the engine is given.
        rules: the ignore file's patterns in their order.
        injected: the Dockerfile's content, if it is not among the context's files (it is outside
            or ignored) and ``archive`` has to add it; else None.
    """

    root: Path
    dockerfile: Path
    dockerfile_name: str
    rules: tuple[Rule, ...] = field(repr=False)
    injected: bytes | None = field(repr=False)


def open_context(root: Path, dockerfile: Path | None) -> BuildContext:
    """Check a context directory, its Dockerfile and its ignore file.

    Args:
        root: the context directory.
        dockerfile: the Dockerfile, in the context or not; ``None`` is ``root / "Dockerfile"``.

    Raises:
        UsageError: one of the three is missing, unreadable or invalid.
    """
    shown = repr(str(root))
    try:
        real_root = root.resolve(strict=True)
        is_directory = real_root.is_dir()
    # RuntimeError: a loop of links, before Python 3.13. ValueError: a NUL character.
    except (OSError, RuntimeError, ValueError):
        raise UsageError(
            f"the context {shown} does not exist or cannot be reached",
            "name the directory to build from with --context",
        ) from None
    if not is_directory:
        raise UsageError(
            f"the context {shown} is not a directory",
            "name the directory to build from with --context",
        )
    path = (root / "Dockerfile" if dockerfile is None else dockerfile).absolute()
    if dockerfile == Path("-"):
        raise UsageError(
            "a Dockerfile on standard input is not supported",
            "write it to a file and name that with --file",
        )
    content = _read_dockerfile(path)
    rules = _read_rules(real_root, path)
    name = _name_inside(real_root, path, rules)
    if name is not None:
        return BuildContext(real_root, path, name, rules, injected=None)
    # Docker's own client takes a random name. The content's digest keeps the stream the same.
    reserved = f".dockerfile.{hashlib.sha256(content).hexdigest()[:12]}"
    return BuildContext(real_root, path, reserved, rules, injected=content)


def walk(
    context: BuildContext, is_wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files of a context by name, a directory before what is in it.

    Names are ordered by their bytes: the order of a directory differs from one checkout to the
    next, and the same commit has to make the same stream.

    Args:
        is_wanted: whether a name is wanted; an unwanted directory is not entered.

    Raises:
        UsageError, BuildError: a file or directory cannot be read.
    """
    rules = context.rules
    # A stack and not recursion: a path may have more levels than Python has frames.
    todo = [(name, (False,) * len(rules)) for name in _children(context.root, "")]
    pending: list[tuple[str, os.stat_result]] = []  # ignored parent directories, not yielded yet
    while todo:
        name, parent_matches = todo.pop()
        while pending and not name.startswith(f"{pending[-1][0]}/"):
            pending.pop()
        if not is_wanted(name):
            continue
        ignored, matches = match_rules(rules, name, parent_matches)
        if ignored and not may_hold_exceptions(rules, name):
            continue
        try:
            status = to_path(context.root, name).lstat()
        except OSError as error:
            raise read_error(name, error) from error
        is_directory = stat.S_ISDIR(status.st_mode)
        if not ignored:
            yield from pending
            pending.clear()
            yield name, status
        elif is_directory:
            pending.append((name, status))
        if is_directory:
            children = _children(context.root, name, ignored=ignored)
            todo.extend((child, matches) for child in children)


def to_path(root: Path, name: str) -> Path:
    """The path of a file: the inverse of ``to_archive_name``."""
    return root / os.fsdecode(name.encode("utf-8", "surrogateescape"))


def to_archive_name(path: str) -> str:
    """A path as archives and ignore files have it: UTF-8, whatever the locale is."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def ancestors(name: str) -> Iterator[str]:
    """Yield the parent directories of a name, the topmost first, and the name."""
    return itertools.accumulate(name.split("/"), posixpath.join)


def ignore_file_of(dockerfile: Path) -> Path:
    """The ignore file of one Dockerfile, which replaces ``.dockerignore``."""
    return dockerfile.with_name(f"{dockerfile.name}.dockerignore")


def read_file(path: Path, name: str, size: int, piece_size: int) -> Iterator[bytes]:
    """Read a regular file in pieces, and raise an error if it has changed since the walk.

    Args:
        name: its name in the context, for messages.
        size: its size in the walk.
        piece_size: the most bytes of one piece.

    Raises:
        UsageError, BuildError: it cannot be read, or has changed, also while it is read.
    """
    # A pipe or a link may have replaced the file since: wait for no writer, follow no link.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise read_error(name, error) from error
    try:
        opened = os.fstat(descriptor)
        if not stat.S_ISREG(opened.st_mode) or opened.st_size != size:
            raise changed_error(name)
        left = size
        while left:
            piece = os.read(descriptor, min(left, piece_size))
            if not piece:
                raise changed_error(name)
            left -= len(piece)
            yield piece
        read = os.fstat(descriptor)
        if (read.st_size, read.st_mtime_ns) != (size, opened.st_mtime_ns):
            raise changed_error(name)
    except OSError as error:
        raise read_error(name, error) from error
    finally:
        os.close(descriptor)


def link_target(path: Path, name: str) -> str:
    """The target of a symbolic link, as archives have names."""
    try:
        return to_archive_name(os.readlink(path))  # noqa: PTH115  Path normalizes "./a/"
    except OSError as error:
        raise read_error(name, error) from error


def read_capability(path: Path) -> bytes:
    """Read a file's capabilities, as the kernel stores them; empty if it has none."""
    if sys.platform != "linux":
        return b""
    try:
        value = os.getxattr(path, "security.capability", follow_symlinks=False)
    except OSError:
        return b""
    # Revision 3 adds the root user of a user namespace, which means nothing elsewhere: Docker
    # sends revision 2, the same without it (linux/capability.h).
    if len(value) > 20 and value[3] == 3:
        value = value[:3] + b"\x02" + value[4:20]
    return value


def read_error(name: str, error: OSError) -> UsageError | BuildError:
    """The error for a file or directory that was listed and cannot be read."""
    if isinstance(error, PermissionError):
        return UsageError(
            f"{name!r} in the context cannot be read: {error.strerror}",
            "make it readable, or name it in .dockerignore if the image does not need it",
        )
    # ELOOP and ENXIO: a link or a socket has replaced a file.
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
        return changed_error(name)
    return BuildError(
        f"{name!r} in the context cannot be read: {error.strerror}",
        "check the file and its disk, or name it in .dockerignore",
    )


def changed_error(name: str) -> BuildError:
    return BuildError(
        f"{name!r} in the context changed while it was sent",
        "wait until nothing writes there and run again, or name it in .dockerignore",
    )


def _read_dockerfile(path: Path) -> bytes:
    shown = repr(str(path))
    try:
        mode = path.stat().st_mode
        content = path.read_bytes() if stat.S_ISREG(mode) else b""
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"there is no Dockerfile at {shown}",
            "name one with --file; without it, CONTEXT/Dockerfile is used",
        ) from None
    except OSError as error:
        raise UsageError(
            f"the Dockerfile {shown} cannot be read: {error.strerror}",
            "make it readable, or name another with --file",
        ) from error
    except ValueError:
        raise UsageError(
            f"the Dockerfile {shown} has a NUL character in its name", "name another with --file"
        ) from None
    if not stat.S_ISREG(mode):
        what = "is a directory" if stat.S_ISDIR(mode) else "is not a regular file"
        raise UsageError(f"the Dockerfile {shown} {what}", "name the file itself with --file")
    if not content.strip():
        raise UsageError(
            f"the Dockerfile {shown} is empty", "write one, or name another with --file"
        )
    return content


def _name_inside(root: Path, dockerfile: Path, rules: tuple[Rule, ...]) -> str | None:
    """The name under which the walk yields the Dockerfile, or None if it does not."""
    # Resolved, since an archive cannot follow a link that leads out of it.
    real = dockerfile.resolve()
    if not real.is_relative_to(root):
        return None
    name = to_archive_name(real.relative_to(root).as_posix())
    if any("\udc80" <= char <= "\udcff" for char in name):  # not UTF-8, which the engine takes
        return None
    ignored, matches = False, (False,) * len(rules)
    for each in ancestors(name):
        ignored, matches = match_rules(rules, each, matches)
    return None if ignored else name


def _read_rules(root: Path, dockerfile: Path) -> tuple[Rule, ...]:
    """Read ``<Dockerfile>.dockerignore`` if there is one, else ``.dockerignore``."""
    for path in (ignore_file_of(dockerfile), root / IGNORE_FILE):
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise UsageError(
                f"the ignore file {str(path)!r} cannot be read: {error.strerror}",
                "make it a readable file, or remove it",
            ) from error
        return parse_rules(content, str(path))
    return ()


def _children(root: Path, directory: str, *, ignored: bool = False) -> list[str]:
    """List a directory: names relative to the context, the last one first."""
    try:
        with os.scandir(to_path(root, directory)) as entries:
            names = sorted((os.fsencode(entry.name) for entry in entries), reverse=True)
    except OSError as error:
        if ignored and isinstance(error, PermissionError):
            return []  # it was only to be searched for exceptions
        raise read_error(directory or ".", error) from error
    return [posixpath.join(directory, name.decode("utf-8", "surrogateescape")) for name in names]
