"""The build context: what of a directory the engine may have.

Source: github.com/tonistiigi/fsutil (``filter.go``: the walk with which ``docker build`` chooses
files for BuildKit). The walk is BuildKit's also where Docker's older client differs: that one does
not look into an ignored directory for what ``!**/*.go`` would bring back, BuildKit does.
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

from releasetag.context.dockerignore import Rule, judge, may_hold_exceptions, parse_rules
from releasetag.errors import BuildError, UsageError

IGNORE_FILE = ".dockerignore"


@dataclass(frozen=True)
class BuildContext:
    """A directory that an image is built from.

    Attributes:
        root: the directory, absolute, symbolic links resolved.
        dockerfile: the Dockerfile, absolute, as the user named it.
        dockerfile_name: its name inside the archive, which is what the engine is told.
        rules: the ignore file's patterns in their order.
        added: the Dockerfile's content, if it is not among the context's files (it lies outside
            or is ignored) and ``archive`` has to add it; else None.
    """

    root: Path
    dockerfile: Path
    dockerfile_name: str
    rules: tuple[Rule, ...] = field(repr=False)
    added: bytes | None = field(repr=False)


def open_context(root: Path, dockerfile: Path | None) -> BuildContext:
    """Check a context directory, its Dockerfile and its ignore file.

    Args:
        root: the context directory.
        dockerfile: the Dockerfile, in the context or not; ``None`` is ``root / "Dockerfile"``.

    Raises:
        UsageError: one of the three is missing, cannot be read or is not fit.
    """
    shown = repr(str(root))
    try:
        real_root = root.resolve(strict=True)
        is_directory = real_root.is_dir()
    except (OSError, RuntimeError):  # RuntimeError: a loop of links, before Python 3.13
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
        return BuildContext(real_root, path, name, rules, added=None)
    # Docker's own client takes a random name. The content's digest keeps the stream the same.
    reserved = f".dockerfile.{hashlib.sha256(content).hexdigest()[:12]}"
    return BuildContext(real_root, path, reserved, rules, added=content)


def walk(
    context: BuildContext, is_asked: Callable[[str], bool] = lambda _: True
) -> Iterator[tuple[str, os.stat_result]]:
    """What belongs to the context, directories before what is in them, in the order of names.

    The order is that of the bytes of the names: a directory's own order differs from one checkout
    to the next, and the same commit shall give the same stream.

    Args:
        is_asked: whether a name is wanted; a directory that is not is not entered.

    Raises:
        UsageError, BuildError: a file or directory cannot be read.
    """
    rules = context.rules
    # A stack and not recursion: a path may have more levels than Python has frames.
    todo = [(name, (False,) * len(rules)) for name in _children(context.root, "")]
    held: list[tuple[str, os.stat_result]] = []  # ignored directories above, not sent so far
    while todo:
        name, above = todo.pop()
        while held and not name.startswith(f"{held[-1][0]}/"):
            held.pop()
        if not is_asked(name):
            continue
        ignored, results = judge(rules, name, above)
        if ignored and not may_hold_exceptions(rules, name):
            continue
        try:
            status = on_disk(context.root, name).lstat()
        except OSError as error:
            raise lost(name, error) from error
        is_directory = stat.S_ISDIR(status.st_mode)
        if not ignored:
            yield from held
            held.clear()
            yield name, status
        elif is_directory:
            held.append((name, status))
        if is_directory:
            children = _children(context.root, name, ignored=ignored)
            todo.extend((child, results) for child in children)


def on_disk(root: Path, name: str) -> Path:
    """The file of a name: the inverse of ``to_name``."""
    return root / os.fsdecode(name.encode("utf-8", "surrogateescape"))


def to_name(path: str) -> str:
    """A path as the archive and the ignore file have it: UTF-8, whatever the locale says."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def levels(name: str) -> Iterator[str]:
    """The directories above a name, the topmost first, and the name itself."""
    return itertools.accumulate(name.split("/"), posixpath.join)


def ignore_file_of(dockerfile: Path) -> Path:
    """The ignore file that is a Dockerfile's own, and takes the place of ``.dockerignore``."""
    return dockerfile.with_name(f"{dockerfile.name}.dockerignore")


def read_file(path: Path, name: str, size: int, piece_size: int) -> Iterator[bytes]:
    """The content of a regular file, in pieces: what it was in the walk, or an error.

    Args:
        name: the file's in the context, for messages.
        size: that it had in the walk.
        piece_size: how many bytes a piece has at most.

    Raises:
        UsageError, BuildError: it cannot be read, or changed since the walk, or while it is read.
    """
    # A pipe or a link may have taken the file's place since: wait for no writer, follow no link.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise lost(name, error) from error
    try:
        opened = os.fstat(descriptor)
        if not stat.S_ISREG(opened.st_mode) or opened.st_size != size:
            raise changed(name)
        left = size
        while left:
            piece = os.read(descriptor, min(left, piece_size))
            if not piece:
                raise changed(name)
            left -= len(piece)
            yield piece
        read = os.fstat(descriptor)
        if (read.st_size, read.st_mtime_ns) != (size, opened.st_mtime_ns):
            raise changed(name)
    except OSError as error:
        raise lost(name, error) from error
    finally:
        os.close(descriptor)


def link_target(path: Path, name: str) -> str:
    """What a symbolic link says, as the archive has names."""
    try:
        return to_name(os.readlink(path))  # noqa: PTH115  Path tidies "./a/" up
    except OSError as error:
        raise lost(name, error) from error


def read_capability(path: Path) -> bytes:
    """A file's capabilities, as the kernel stores them; empty if it has none."""
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


def lost(name: str, error: OSError) -> UsageError | BuildError:
    """A file or directory that was there when its directory was listed cannot be read."""
    if isinstance(error, PermissionError):
        return UsageError(
            f"{name!r} in the context cannot be read: {error.strerror}",
            "make it readable, or name it in .dockerignore if the image does not need it",
        )
    # ELOOP and ENXIO: a link or a socket has taken the place of a file.
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
        return changed(name)
    return BuildError(
        f"{name!r} in the context cannot be read: {error.strerror}",
        "check the file and the disk it is on, or name it in .dockerignore",
    )


def changed(name: str) -> BuildError:
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
    if not stat.S_ISREG(mode):
        what = "is a directory" if stat.S_ISDIR(mode) else "is not a regular file"
        raise UsageError(f"the Dockerfile {shown} {what}", "name the file itself with --file")
    if not content.strip():
        raise UsageError(
            f"the Dockerfile {shown} is empty", "write one, or name another with --file"
        )
    return content


def _name_inside(root: Path, dockerfile: Path, rules: tuple[Rule, ...]) -> str | None:
    """The name under which the walk sends the Dockerfile, or None if it does not."""
    # Resolved, since an archive cannot follow a link that leads out of it.
    real = dockerfile.resolve()
    if not real.is_relative_to(root):
        return None
    name = to_name(real.relative_to(root).as_posix())
    if any("\udc80" <= char <= "\udcff" for char in name):  # not UTF-8: the engine is told text
        return None
    ignored, results = False, (False,) * len(rules)
    for level in levels(name):
        ignored, results = judge(rules, level, results)
    return None if ignored else name


def _read_rules(root: Path, dockerfile: Path) -> tuple[Rule, ...]:
    """The rules of ``<Dockerfile>.dockerignore`` if there is one, else of ``.dockerignore``."""
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
    """The names in a directory, relative to the context, last first."""
    try:
        with os.scandir(on_disk(root, directory)) as entries:
            names = sorted((os.fsencode(entry.name) for entry in entries), reverse=True)
    except OSError as error:
        if ignored and isinstance(error, PermissionError):
            return []  # nobody asked for it: it was only to be searched for exceptions
        raise lost(directory or ".", error) from error
    return [posixpath.join(directory, name.decode("utf-8", "surrogateescape")) for name in names]
