"""The build context as a tar stream, for the classic builder.

Source: github.com/moby/go-archive (the entries that Docker's own client makes).
"""

import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from releasetag.context.tree import (
    IGNORE_FILE,
    BuildContext,
    link_target,
    read_capability,
    read_error,
    read_file,
    to_path,
    walk,
)

_CHUNK = 1 << 20
_PIECE = 1 << 17
_BLOCK = tarfile.BLOCKSIZE


def archive(context: BuildContext, mtime: int) -> Iterator[bytes]:
    """Archive a context as a PAX tar stream, in chunks of at most 1 MiB.

    Files belong to uid and gid 0, keep their mode (git records its executable bit, the umask at
    checkout sets the rest), and are ordered by name. Sockets are omitted; hard links are separate
    files. An ignored directory is included if something in it is not ignored, so that it keeps its
    mode.

    A Dockerfile that is outside the context or ignored is added under a reserved name, and named
    in the archive's ``.dockerignore``: the classic builder removes it once it is read, as it does
    for Docker's own client.

    Args:
        context: from ``open_context``.
        mtime: the time of every entry, in seconds since 1970: the commit's.

    Raises:
        UsageError: a file or directory cannot be read.
        BuildError: a file changed while it was being read. In both cases the stream has no end
            marker, so that no engine can take it for complete.
    """
    return _chunks(_pieces(context, mtime))


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join pieces to chunks of at most 1 MiB, so that small files share one."""
    chunk = bytearray()
    for piece in pieces:
        if len(chunk) + len(piece) > _CHUNK:
            yield bytes(chunk)
            chunk.clear()
        chunk += piece
    yield bytes(chunk)


def _pieces(context: BuildContext, mtime: int) -> Iterator[bytes]:
    """Yield the entries of the archive, and the two zero blocks at its end."""
    hides_dockerfile = context.injected is not None
    ignore_file, ignore_mode = IGNORE_FILE.encode(), 0o600  # as Docker's client writes it
    for name, status in walk(context):
        if hides_dockerfile and name == IGNORE_FILE and not stat.S_ISDIR(status.st_mode):
            ignore_file, ignore_mode = _read_ignore_file(context.root), status.st_mode
        else:
            yield from _entry(context.root, name, status, mtime)
    if context.injected is not None:
        ignore_file += f"\n{context.dockerfile_name}\n".encode()
        yield from _injected(IGNORE_FILE, ignore_file, ignore_mode, mtime)
        yield from _injected(context.dockerfile_name, context.injected, 0o600, mtime)
    yield bytes(2 * _BLOCK)


def _read_ignore_file(root: Path) -> bytes:
    """Read ``.dockerignore``, to add a line to it."""
    try:
        return (root / IGNORE_FILE).read_bytes()
    except OSError as error:
        raise read_error(IGNORE_FILE, error) from error


def _injected(name: str, content: bytes, mode: int, mtime: int) -> Iterator[bytes]:
    """Yield the entry of a file that is not on the disk, or has other content there."""
    info = tarfile.TarInfo(name)
    info.mode, info.mtime, info.size = stat.S_IMODE(mode), mtime, len(content)
    yield _header(info)
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]
    yield bytes(-len(content) % _BLOCK)


def _entry(root: Path, name: str, status: os.stat_result, mtime: int) -> Iterator[bytes]:
    """Yield the entry of a file: its header, and its content."""
    info = tarfile.TarInfo(name)
    # A checkout sets every file's time to its own, and the layer that COPY makes of it would have
    # another digest each time.
    info.mtime = mtime
    info.mode = stat.S_IMODE(status.st_mode)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFREG:
        yield from _file(info, to_path(root, name), status)
        return
    if kind == stat.S_IFSOCK:
        return
    if kind == stat.S_IFDIR:
        info.type = tarfile.DIRTYPE
    elif kind == stat.S_IFLNK:
        info.type = tarfile.SYMTYPE
        info.linkname = link_target(to_path(root, name), name)
    elif kind == stat.S_IFIFO:
        info.type = tarfile.FIFOTYPE
    else:
        info.type = tarfile.CHRTYPE if kind == stat.S_IFCHR else tarfile.BLKTYPE
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    yield _header(info)


def _file(info: tarfile.TarInfo, path: Path, status: os.stat_result) -> Iterator[bytes]:
    """Yield the entry of a regular file, of the size that it had in the walk."""
    info.size = status.st_size
    if capability := read_capability(path):
        value = capability.decode("utf-8", "surrogateescape")
        info.pax_headers = {"SCHILY.xattr.security.capability": value}
    yield _header(info)
    yield from read_file(path, info.name, info.size, _PIECE)
    yield bytes(-info.size % _BLOCK)


def _header(info: tarfile.TarInfo) -> bytes:
    """The blocks before the content; a PAX record holds what the old header cannot."""
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
