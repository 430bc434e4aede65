"""Gives BuildKit the build context over a session, as Docker's own client does.

The engine asks for two folders: the Dockerfile's and the context. So a Dockerfile may lie outside
the context, or be ignored, and does not become a file of it. What the ignore file leaves out is
left out here: the engine is shown no ignore file when it looks for one.

Source: ``session/filesync`` of github.com/moby/buildkit, and the protocol of
github.com/tonistiigi/fsutil (``send.go``, ``types/wire.proto``, ``types/stat.proto``): a packet for
every file's metadata in order, an empty one, then the content of the files that are asked for.
"""

import asyncio
import functools
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from releasetag.engine.context import (
    BuildContext,
    link_target,
    lost,
    on_disk,
    read_capability,
    read_file,
    walk,
)
from releasetag.errors import ReleasetagError, UsageError

METHOD = "/moby.filesync.v1.FileSync/DiffCopy"

_STAT, _REQUEST, _DATA, _FINISHED, _ERROR = range(5)

# Well below the 4 MiB that gRPC takes for one message.
_PIECE = 1 << 18

# Bits of a file's mode as Go has them (io/fs.FileMode).
_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
}
_FLAGS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


@dataclass(frozen=True)
class _File:
    name: str  # relative to its folder
    path: Path
    status: os.stat_result


@functools.cache
def packet_type() -> Any:
    """The class of the protocol's one message."""
    from releasetag.engine.messages import define

    return define(
        "fsutil.types",
        {
            "Stat": {
                "path": (1, "string"),
                "mode": (2, "uint32"),
                "uid": (3, "uint32"),
                "gid": (4, "uint32"),
                "size": (5, "int64"),
                "modTime": (6, "int64"),
                "linkname": (7, "string"),
                "devmajor": (8, "int64"),
                "devminor": (9, "int64"),
                "xattrs": (10, "map<string,bytes>"),
            },
            "Packet": {
                "type": (1, "int32"),
                "stat": (2, "Stat"),
                "ID": (3, "uint32"),
                "data": (4, "bytes"),
            },
        },
    )["Packet"]


class ContextFiles:
    """The files of one build.

    Args:
        context: what the engine may have.
        mtime: the time of every file, in seconds since 1970: the commit's. A checkout gives every
            file the time at which it was checked out, and the layer that COPY makes of it would
            have another digest each time.

    Attributes:
        error: why a file could not be given; the engine's own message tells less.
    """

    def __init__(self, context: BuildContext, mtime: int) -> None:
        self._context = context
        self._mtime = mtime
        self.error: ReleasetagError | None = None

    async def serve(self, stream: Any) -> None:
        """Answer one call of DiffCopy, whose metadata says for which folder and which files."""
        folder = stream.metadata.get("dir-name", "")
        if folder == "dockerfile":
            files = self._dockerfile()
        elif folder == "context":
            asked = [*stream.metadata.getall("include-patterns", [])]
            asked += stream.metadata.getall("followpaths", [])
            files = self._files(asked)
        else:
            raise UsageError(f"no folder {folder!r} is shared", "name files of the build context")
        try:
            await _send(stream, files, self._mtime)
        except ReleasetagError as error:
            self.error = error
            data = error.message.encode("utf-8", "replace")
            await stream.send_message(packet_type()(type=_ERROR, data=data))

    def _dockerfile(self) -> Iterator[_File]:
        path = self._context.dockerfile
        try:
            yield _File(path.name, path.resolve(), path.stat())
        except OSError as error:
            raise lost(path.name, error) from error

    def _files(self, asked: list[str]) -> Iterator[_File]:
        only = _paths(self._context.root, asked)
        for name, status in walk(self._context):
            if stat.S_ISSOCK(status.st_mode) or (only and not _is_asked(name, only)):
                continue
            yield _File(name, on_disk(self._context.root, name), status)


def _paths(root: Path, asked: list[str]) -> tuple[str, ...]:
    """The plain paths that were asked for; none if all files have to be sent.

    A wildcard may match anything, and a symbolic link may lead anywhere in the context: there the
    engine gets more than it needs.
    """
    paths = tuple(path.strip("/") for path in asked)
    for path in paths:
        if not path or re.search(r"[*?\[\\]", path):
            return ()
        parts = path.split("/")
        if any(root.joinpath(*parts[:end]).is_symlink() for end in range(1, len(parts) + 1)):
            return ()
    return paths


def _is_asked(name: str, paths: tuple[str, ...]) -> bool:
    """Whether a file is one that was asked for, or in one, or a directory above one."""
    return any(
        name == path or name.startswith(f"{path}/") or path.startswith(f"{name}/") for path in paths
    )


async def _send(stream: Any, files: Iterator[_File], mtime: int) -> None:
    Packet = packet_type()  # noqa: N806 (a class)
    wanted: asyncio.Queue[int | None] = asyncio.Queue()
    reader = asyncio.create_task(_read_requests(stream, wanted))
    try:
        sent: dict[int, _File] = {}
        for number, file in enumerate(files):
            if stat.S_ISREG(file.status.st_mode):
                sent[number] = file
            await stream.send_message(Packet(type=_STAT, stat=_stat(file, mtime)))
        await stream.send_message(Packet(type=_STAT))
        while (request := await wanted.get()) is not None:
            for piece in read_file(sent[request].path, sent[request].name, _PIECE):
                await stream.send_message(Packet(type=_DATA, ID=request, data=piece))
            await stream.send_message(Packet(type=_DATA, ID=request))
        await stream.send_message(Packet(type=_FINISHED))
    finally:
        reader.cancel()


async def _read_requests(stream: Any, wanted: "asyncio.Queue[int | None]") -> None:
    """Put the numbers of the files that the engine asks for into a queue, and None at the end."""
    async for packet in stream:
        if packet.type == _REQUEST:
            wanted.put_nowait(packet.ID)
        elif packet.type in {_FINISHED, _ERROR}:
            break
    wanted.put_nowait(None)


def _stat(file: _File, mtime: int) -> dict[str, Any]:
    """A file's metadata; it belongs to the image's root user, as Docker's client has it."""
    mode = file.status.st_mode
    kind = stat.S_IFMT(mode)
    bits = _KINDS.get(kind, 0) | mode & 0o777
    for flag, bit in _FLAGS.items():
        bits |= bit if mode & flag else 0
    values: dict[str, Any] = {
        "path": _text(file.name),
        "mode": bits,
        "modTime": mtime * 1_000_000_000,
    }
    if kind == stat.S_IFREG:
        values["size"] = file.status.st_size
        if capability := read_capability(file.path):
            values["xattrs"] = {"security.capability": capability}
    elif kind == stat.S_IFLNK:
        values["linkname"] = _text(link_target(file.path, file.name))
    elif kind in {stat.S_IFCHR, stat.S_IFBLK}:
        values["devmajor"] = os.major(file.status.st_rdev)
        values["devminor"] = os.minor(file.status.st_rdev)
    return values


def _text(name: str) -> str:
    """A name that the protocol can carry: its texts are UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the name {name!r} in the context is not UTF-8, which BuildKit does not take",
            "rename it, or name it in .dockerignore",
        ) from None
    return name
