"""The build context: what of a directory is sent to the engine, and the tar stream that carries it.

The ignore file is read by code of our own, because no library reads it as Docker does. The
``PatternMatcher`` of the docker SDK lowers the case of names and patterns, knows no escapes, looks
at one parent directory only, and always sends ``.dockerignore`` and the Dockerfile; ``pathspec``
implements ``.gitignore``, whose rules are others (there ``foo`` means ``**/foo``).

Sources: github.com/moby/patternmatcher (``ignorefile.ReadAll``, ``New``, ``Pattern.compile`` and
``MatchesUsingParentResults``), github.com/tonistiigi/fsutil (``filter.go``: the walk with which
``docker build`` chooses files for BuildKit) and github.com/moby/go-archive (the tar entries). The
walk is BuildKit's also where Docker's older client differs: that one does not look into an ignored
directory for what ``!**/*.go`` would bring back, BuildKit does.
"""

import errno
import hashlib
import os
import posixpath
import re
import stat
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from releasetag.errors import BuildError, UsageError

_CHUNK = 1 << 20
_PIECE = 1 << 17
_BLOCK = tarfile.BLOCKSIZE
_IGNORE_FILE = ".dockerignore"

# What Go's strings.TrimSpace removes. str.strip() would remove U+001C to U+001F as well.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
# What Go's filepath.Match takes up to the second "*", which is how far Docker has it check. A
# surrogate is a byte that is not UTF-8.
_LITERAL = r"(?:\\[^\udc80-\udcff]|[^\]\\\-\udc80-\udcff])"
_VALID = re.compile(
    rf"\**+(?:\[\^?(?:{_LITERAL}(?:-{_LITERAL})?)+\]|\\.|[^\[\\*])*+(?:\*|\Z)", re.DOTALL
)
_TOKEN = re.compile(r"\*\*/?|\\.|.", re.DOTALL)
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_SPECIAL = re.compile(r"[*?\[\]\\^]")


@dataclass(frozen=True)
class Rule:
    """One pattern of an ignore file.

    Attributes:
        pattern: without the ``!``, cleaned.
        exception: whether it began with ``!``, so brings back what earlier rules ignore.
        base: the leading directories without wildcards and a ``/``; only below them can it match.
        matches: tells for a path relative to the context whether the pattern matches it.
    """

    pattern: str
    exception: bool
    base: str
    matches: Callable[[str], bool] = field(repr=False, compare=False)


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


def archive(context: BuildContext, mtime: int, *, classic: bool = False) -> Iterator[bytes]:
    """The context as a PAX tar stream, in chunks of at most 1 MiB.

    Files belong to uid and gid 0, keep their mode (git records the executable bit of it, the
    umask at checkout gives the rest), and come in the order of their names. Sockets are left
    out; hard links are sent as separate files. An ignored directory is sent if something in it
    is not ignored, so that it keeps its mode.

    A Dockerfile that is outside the context or ignored is added under a reserved name. A builder
    sees it as a file of the context. With ``classic`` the archive's ``.dockerignore`` names it,
    and the classic builder removes it once it is read, as it does for Docker's own client.
    BuildKit does not read the ignore file of an archive: there ``COPY . /`` copies the reserved
    file too.

    Args:
        context: from ``open_context``.
        mtime: the time of every entry, in seconds since 1970: the commit's.
        classic: whether the stream is for the classic builder.

    Raises:
        UsageError: a file or directory cannot be read.
        BuildError: a file changed while it was being read. The stream ends without an end marker
            in both cases, so that no engine can take it for a whole one.
    """
    return _chunks(_pieces(context, mtime, classic=classic))


# The Dockerfile


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
    name = _to_name(real.relative_to(root).as_posix())
    if _NOT_UTF8.search(name):  # the engine is told the name as text
        return None
    ignored, results = False, (False,) * len(rules)
    for end in [i for i, char in enumerate(name) if char == "/"] + [len(name)]:
        ignored, results = _judge(rules, name[:end], results)
    return None if ignored else name


# The ignore file


def _read_rules(root: Path, dockerfile: Path) -> tuple[Rule, ...]:
    """The rules of ``<Dockerfile>.dockerignore`` if there is one, else of ``.dockerignore``."""
    for path in (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), root / _IGNORE_FILE):
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise UsageError(
                f"the ignore file {str(path)!r} cannot be read: {error.strerror}",
                "make it a readable file, or remove it",
            ) from error
        return _parse(content, str(path))
    return ()


def _parse(content: bytes, file: str) -> tuple[Rule, ...]:
    """The rules of an ignore file, each line cleaned in the two steps in which Docker does it."""
    rules = []
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("#"):
            continue
        # First ignorefile.ReadAll …
        pattern = line.strip(_SPACE)
        if not pattern:
            continue
        mark = "!" if pattern.startswith("!") else ""
        pattern = pattern[len(mark) :].strip(_SPACE)
        if pattern:
            pattern = _clean(pattern)
            if len(pattern) > 1:
                pattern = pattern.removeprefix("/")
        # … then patternmatcher.New, to which "/!a" is an exception by now.
        pattern = (mark + pattern).strip(_SPACE)
        if not pattern:
            continue
        pattern = _clean(pattern)
        try:
            rules.append(_rule(pattern))
        except (ValueError, re.error):
            raise UsageError(
                f"{file!r}, line {number}: {line.strip(_SPACE)!r} is not a valid pattern",
                "correct it or remove it; the syntax is that of Go's filepath.Match, and **",
            ) from None
    return tuple(rules)


def _clean(path: str) -> str:
    """Go's ``filepath.Clean``. POSIX, and so normpath, keeps exactly two leading slashes."""
    return posixpath.normpath(re.sub("^//+", "/", path))


def _rule(pattern: str) -> Rule:
    exception = pattern.startswith("!")
    pattern = pattern[1:] if exception else pattern
    if not pattern or not _VALID.match(pattern):
        raise ValueError(pattern)
    special = _SPECIAL.search(pattern)
    fixed = pattern[: special.start()].rpartition("/")[0] if special else pattern
    return Rule(pattern, exception, f"{fixed}/" if fixed else "", _matcher(pattern))


def _matcher(pattern: str) -> Callable[[str], bool]:
    """What Docker's ``Pattern.compile`` makes of a pattern, its corners included.

    Only a pattern with a wildcard becomes a regular expression, and ``**`` at one end of an
    otherwise plain pattern does not: ``**foo`` matches ``a/barfoo``.

    Raises:
        ValueError: Docker refuses the pattern, or takes it in a way that is not supported here
            (POSIX classes, octal and hexadecimal escapes, ``\\p`` and ``\\Q``).
        re.error: likewise.
    """
    kind, regex, in_class = "exact", "", False
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if text.startswith("**"):
            at_end = token.end() == len(pattern)
            regex += ".*" if at_end else "(.*/)?"
            kind = "prefix" if at_end and kind == "exact" else "regex"
            if token.start() == 0:
                kind = "suffix"
        elif text in ("*", "?"):
            # Docker does so inside a class too; the "]" then closes it.
            regex += (r"\[" if in_class else "[") + "^/]" + text.replace("?", "")
            kind, in_class = "regex", False
        elif text.startswith("\\"):
            regex += _escape(text, in_class)
            kind = "regex"
        elif text in ("[", "]"):
            regex += r"\[" if text == "[" and in_class else text
            kind, in_class = "regex", text == "["
        else:
            regex += f"\\{text}" if text in ".+()|{}$&~" else text
    if kind == "exact":
        return pattern.__eq__
    if kind == "prefix":
        return lambda path: path.startswith(pattern[:-2])
    if kind == "suffix":
        return lambda path: f"/{path}".endswith(pattern[2:])
    if re.search(r"\[:.*:\]", pattern):
        raise ValueError(pattern)
    # Go reads each byte that is not UTF-8 as U+FFFD, in the pattern and in the path.
    compiled = re.compile(_NOT_UTF8.sub("\ufffd", regex), re.ASCII)
    return lambda path: compiled.fullmatch(_NOT_UTF8.sub("\ufffd", path)) is not None


def _escape(text: str, in_class: bool) -> str:
    """A backslash and a character as Go's regular expressions read them, written for ``re``."""
    char = text[1:]
    if not char.isascii() or not char:
        raise ValueError(text)
    if char.isalnum() and char not in "afnrtvdswDSW" + ("" if in_class else "AbBz"):
        raise ValueError(text)
    return r"\Z" if char == "z" else text


def _judge(
    rules: Sequence[Rule], name: str, above: Sequence[bool]
) -> tuple[bool, tuple[bool, ...]]:
    """Whether a path is ignored, and which rules matched it or a directory above it.

    Args:
        name: the path, relative to the context.
        above: which rules matched the directory that it is in.
    """
    ignored = False
    results = []
    for rule, inherited in zip(rules, above, strict=True):
        # A rule that would change nothing is not asked, so it does not count below either: with
        # "a/b" and then "!a", a/b stays ignored. That is what Docker does.
        matched = inherited or (rule.exception == ignored and rule.matches(name))
        results.append(matched)
        if matched:
            ignored = not rule.exception
    return ignored, tuple(results)


def _may_hold_exceptions(rules: Sequence[Rule], directory: str) -> bool:
    """Whether a ``!`` pattern may match below an ignored directory, so that it must be entered."""
    inside = f"{directory}/"
    return any(
        rule.exception and (inside.startswith(rule.base) or rule.base.startswith(inside))
        for rule in rules
    )


# The walk


def _walk(context: BuildContext) -> Iterator[tuple[str, os.stat_result]]:
    """What belongs to the context, directories before what is in them, in the order of names.

    The order is that of the bytes of the names: a directory's own order differs from one checkout
    to the next, and the same commit shall give the same stream.
    """
    rules = context.rules
    # A stack and not recursion: a path may have more levels than Python has frames.
    todo = [(name, (False,) * len(rules)) for name in _children(context.root, "")]
    held: list[tuple[str, os.stat_result]] = []  # ignored directories above, not sent so far
    while todo:
        name, above = todo.pop()
        while held and not name.startswith(f"{held[-1][0]}/"):
            held.pop()
        ignored, results = _judge(rules, name, above)
        if ignored and not _may_hold_exceptions(rules, name):
            continue
        try:
            status = _on_disk(context.root, name).lstat()
        except OSError as error:
            raise _lost(name, error) from error
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


def _children(root: Path, directory: str, *, ignored: bool = False) -> list[str]:
    """The names in a directory, relative to the context, last first."""
    try:
        with os.scandir(_on_disk(root, directory)) as entries:
            names = sorted((os.fsencode(entry.name) for entry in entries), reverse=True)
    except OSError as error:
        if ignored and isinstance(error, PermissionError):
            return []  # nobody asked for it: it was only to be searched for exceptions
        raise _lost(directory or ".", error) from error
    return [posixpath.join(directory, name.decode("utf-8", "surrogateescape")) for name in names]


def _to_name(path: str) -> str:
    """A path as the archive and the ignore file have it: UTF-8, whatever the locale says."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def _on_disk(root: Path, name: str) -> Path:
    """The file of a name: the inverse of ``_to_name``."""
    return root / os.fsdecode(name.encode("utf-8", "surrogateescape"))


# The stream


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in chunks of at most 1 MiB, so that small files do not go one by one."""
    chunk = bytearray()
    for piece in pieces:
        if len(chunk) + len(piece) > _CHUNK:
            yield bytes(chunk)
            chunk.clear()
        chunk += piece
    yield bytes(chunk)


def _pieces(context: BuildContext, mtime: int, *, classic: bool) -> Iterator[bytes]:
    """The entries of the archive, and the two zero blocks at its end."""
    hide = classic and context.added is not None
    ignore_file, ignore_mode = _IGNORE_FILE.encode(), 0o600  # as Docker's client writes it
    for name, status in _walk(context):
        if hide and name == _IGNORE_FILE and not stat.S_ISDIR(status.st_mode):
            ignore_file, ignore_mode = _read_ignore_file(context.root), status.st_mode
        else:
            yield from _entry(context.root, name, status, mtime)
    if hide:
        ignore_file += f"\n{context.dockerfile_name}\n".encode()
        yield from _added(_IGNORE_FILE, ignore_file, ignore_mode, mtime)
    if context.added is not None:
        yield from _added(context.dockerfile_name, context.added, 0o600, mtime)
    yield bytes(2 * _BLOCK)


def _read_ignore_file(root: Path) -> bytes:
    """The content of ``.dockerignore``, to add to."""
    try:
        return (root / _IGNORE_FILE).read_bytes()
    except OSError as error:
        raise _lost(_IGNORE_FILE, error) from error


def _added(name: str, content: bytes, mode: int, mtime: int) -> Iterator[bytes]:
    """A file that is not on the disk like that."""
    info = tarfile.TarInfo(name)
    info.mode, info.mtime, info.size = stat.S_IMODE(mode), mtime, len(content)
    yield _header(info)
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]
    yield bytes(-len(content) % _BLOCK)


def _entry(root: Path, name: str, status: os.stat_result, mtime: int) -> Iterator[bytes]:
    """The header of a file, and what is in it."""
    info = tarfile.TarInfo(name)
    # One time for all: a checkout gives every file the time at which it was checked out, and the
    # layer that COPY makes of it would have another digest each time.
    info.mtime = mtime
    info.mode = stat.S_IMODE(status.st_mode)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFREG:
        yield from _file(info, _on_disk(root, name))
        return
    if kind == stat.S_IFSOCK:
        return
    if kind == stat.S_IFDIR:
        info.type = tarfile.DIRTYPE
    elif kind == stat.S_IFLNK:
        info.type = tarfile.SYMTYPE
        try:
            target = os.readlink(_on_disk(root, name))  # noqa: PTH115  Path tidies "./a/" up
        except OSError as error:
            raise _lost(name, error) from error
        info.linkname = _to_name(target)
    elif kind == stat.S_IFIFO:
        info.type = tarfile.FIFOTYPE
    else:
        info.type = tarfile.CHRTYPE if kind == stat.S_IFCHR else tarfile.BLKTYPE
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    yield _header(info)


def _file(info: tarfile.TarInfo, path: Path) -> Iterator[bytes]:
    """A regular file, of the size that it has when it is opened."""
    # A pipe or a link may have taken the file's place since: wait for no writer, follow no link.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise _lost(info.name, error) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _changed(info.name)
        info.mode, info.size = stat.S_IMODE(status.st_mode), status.st_size
        if capability := _capability(descriptor):
            info.pax_headers = {"SCHILY.xattr.security.capability": capability}
        yield _header(info)
        yield from _content(descriptor, info)
    except OSError as error:
        raise _lost(info.name, error) from error
    finally:
        os.close(descriptor)
    yield bytes(-info.size % _BLOCK)


def _content(descriptor: int, info: tarfile.TarInfo) -> Iterator[bytes]:
    """Exactly the bytes that the header promised."""
    left = info.size
    while left:
        piece = os.read(descriptor, min(left, _PIECE))
        if not piece:
            raise _changed(info.name)
        left -= len(piece)
        yield piece
    if os.read(descriptor, 1):
        raise _changed(info.name)


def _capability(descriptor: int) -> str:
    """A file's capabilities, as text for a PAX record; empty if it has none."""
    if sys.platform != "linux":
        return ""
    try:
        value = os.getxattr(descriptor, "security.capability")
    except OSError:
        return ""
    # Revision 3 adds the root user of a user namespace, which means nothing elsewhere: Docker
    # sends revision 2, the same without it (linux/capability.h).
    if len(value) > 20 and value[3] == 3:
        value = value[:3] + b"\x02" + value[4:20]
    return value.decode("utf-8", "surrogateescape")


def _header(info: tarfile.TarInfo) -> bytes:
    """The blocks before the content: a PAX record for what the old header cannot hold."""
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


# What goes wrong


def _lost(name: str, error: OSError) -> UsageError | BuildError:
    """A file or directory that was there when its directory was listed cannot be read."""
    if isinstance(error, PermissionError):
        return UsageError(
            f"{name!r} in the context cannot be read: {error.strerror}",
            "make it readable, or name it in .dockerignore if the image does not need it",
        )
    # ELOOP and ENXIO: a link or a socket has taken the place of a file.
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
        return _changed(name)
    return BuildError(
        f"{name!r} in the context cannot be read: {error.strerror}",
        "check the file and the disk it is on, or name it in .dockerignore",
    )


def _changed(name: str) -> BuildError:
    return BuildError(
        f"{name!r} in the context changed while it was sent",
        "wait until nothing writes there and run again, or name it in .dockerignore",
    )
