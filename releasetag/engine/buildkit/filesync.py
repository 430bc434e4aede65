"""Send the build context over a session, as Docker's own client does.

The engine requests two directories: the Dockerfile's and the context. So a Dockerfile may be
outside the context, or ignored, and does not become a file of it. What the ignore file excludes is
excluded here, however the engine reads the ignore file if it looks for one.

Source: ``session/filesync`` of github.com/moby/buildkit, and the protocol of
github.com/tonistiigi/fsutil (``send.go``, ``types/wire.proto``, ``types/stat.proto``): a packet for
every file's metadata in order, an empty one, then the content of the files that are requested.
"""

import asyncio
import functools
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from releasetag.context.tree import (
    BuildContext,
    ancestors,
    ignore_file_of,
    link_target,
    read_capability,
    read_error,
    read_file,
    to_archive_name,
    to_path,
    walk,
)
from releasetag.errors import ReleasetagError, UsageError

METHOD = "/moby.filesync.v1.FileSync/DiffCopy"

HEADER_ENCODING = "latin-1"
"""The encoding of a call's metadata: lossless for any bytes."""

_STAT, _REQUEST, _DATA, _FINISHED, _ERROR = range(5)

# Well below gRPC's limit of 4 MiB for one message.
_PIECE = 1 << 18
# How many files are walked before some are sent.
_BATCH = 256

# Bits of a file's mode in Go (io/fs.FileMode). Devices, pipes and capabilities are not tracked by
# git; they are sent for contexts that another program has made, as Docker's client does.
_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
}
_FLAGS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


@dataclass(frozen=True, slots=True)
class _File:
    name: str  # relative to its directory
    path: Path
    size: int  # zero for all but regular files
    metadata: Any  # the protocol's Stat


@functools.cache
def _messages() -> dict[str, Any]:
    from releasetag.engine.buildkit.protobuf import define

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
    )


def packet_type() -> Any:
    """Return the class of the protocol's only message."""
    return _messages()["Packet"]


class ContextFiles:
    """The files of one build.

    Args:
        context: the build context.
        mtime: the time of every file, in seconds since 1970: the commit's. A checkout sets every
            file's time to its own, and the layer that COPY makes of it would have another digest
            each time.

    Attributes:
        dockerfile_name: the name that the engine has to request.
        error: why a file could not be sent, in more detail than the engine's own message.
    """

    def __init__(self, context: BuildContext, mtime: int) -> None:
        self._context = context
        self._mtime = mtime
        name = to_archive_name(context.dockerfile.name)
        # Neither a URL nor a header, in which it is sent, can hold every file name.
        self.dockerfile_name = name if name.isprintable() else "Dockerfile"
        self.error: ReleasetagError | None = None

    async def serve(self, stream: Any) -> None:
        """Handle a call of DiffCopy; its metadata names directory and files."""
        folder = stream.metadata.get("dir-name", "")
        if folder == "dockerfile":
            files = self._dockerfile()
        elif folder == "context":
            files = self._files(_requested(stream.metadata))
        else:
            raise UsageError(f"there is no {folder!r} to send", "name files of the build context")
        try:
            await _send(stream, files)
        except ReleasetagError as error:
            self.error = error
            data = error.message.encode("utf-8", "replace")
            await stream.send_message(packet_type()(type=_ERROR, data=data))

    def _dockerfile(self) -> Iterator[_File]:
        """Yield the Dockerfile and its ignore file, which the engine requests."""
        path = self._context.dockerfile
        named = {path: self.dockerfile_name}
        ignore_file = ignore_file_of(path)
        if ignore_file.is_file():
            named[ignore_file] = f"{self.dockerfile_name}.dockerignore"
        for file, name in named.items():
            try:
                yield self._file(name, file.resolve(), file.stat())
            except OSError as error:
                raise read_error(name, error) from error

    def _files(self, requested: list[str]) -> Iterator[_File]:
        root = self._context.root
        for name, status in walk(self._context, _chooser(root, requested)):
            if not stat.S_ISSOCK(status.st_mode):
                yield self._file(name, to_path(root, name), status)

    def _file(self, name: str, path: Path, status: os.stat_result) -> _File:
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
        return _File(name, path, size, _metadata(name, path, status, self._mtime))


def _requested(metadata: Any) -> list[str]:
    """Return the requested names, relative to the directory; none: all."""
    names = []
    for key in ("include-patterns", "followpaths"):
        # BuildKit 0.12 and later encode values as in a URL if one is not ASCII. Earlier ones send
        # the bytes as they are.
        encoded = metadata.get(f"{key}-encoded") == "1"
        for value in metadata.getall(key, []):
            raw = value.encode(HEADER_ENCODING)
            text = raw.decode("utf-8", "surrogateescape")
            names.append(unquote_plus(text, errors="surrogateescape") if encoded else text)
    return names


def _chooser(root: Path, requested: list[str]) -> Callable[[str], bool]:
    """Return a predicate: whether a name is requested, or in or above one.

    A symbolic link may lead anywhere in the context, and a wildcard matches anything below its
    directory: there more is sent than the engine needs.
    """
    whole, above = set(), {""}
    for path in requested:
        wildcard = re.search(r"[*?\[\\]", path)
        fixed = path[: wildcard.start()].rpartition("/")[0] if wildcard else path
        parts = tuple(ancestors(fixed.strip("/")))
        if any(to_path(root, part).is_symlink() for part in parts):
            whole.add("")
        whole.add(parts[-1])
        above.update(parts[:-1])
    if not whole or "" in whole:
        return lambda _: True
    return lambda name: name in above or not whole.isdisjoint(ancestors(name))


async def _send(stream: Any, files: Iterable[_File]) -> None:
    Packet = packet_type()  # noqa: N806 (a class)
    requests: asyncio.Queue[int | None] = asyncio.Queue()
    reader = asyncio.create_task(_read_requests(stream, requests))
    try:
        sent: dict[int, tuple[str, Path, int]] = {}
        remaining = enumerate(files)
        # In a thread, so that the engine's health checks are answered during a long walk.
        while batch := await asyncio.to_thread(list, itertools.islice(remaining, _BATCH)):
            for number, file in batch:
                sent[number] = (file.name, file.path, file.size)
                await stream.send_message(Packet(type=_STAT, stat=file.metadata))
        await stream.send_message(Packet(type=_STAT))
        while (request := await requests.get()) is not None:
            name, path, size = sent[request]
            for piece in read_file(path, name, size, _PIECE):
                await stream.send_message(Packet(type=_DATA, ID=request, data=piece))
            await stream.send_message(Packet(type=_DATA, ID=request))
        await reader  # re-raises its exception
        await stream.send_message(Packet(type=_FINISHED))
    finally:
        reader.cancel()


async def _read_requests(stream: Any, requests: "asyncio.Queue[int | None]") -> None:
    """Queue the numbers of the requested files, and None at the end."""
    try:
        async for packet in stream:
            if packet.type == _REQUEST:
                requests.put_nowait(packet.ID)
            elif packet.type in {_FINISHED, _ERROR}:
                break
    finally:
        requests.put_nowait(None)


def _metadata(name: str, path: Path, status: os.stat_result, mtime: int) -> Any:
    """Return a file's metadata, owned by root as with Docker's client."""
    mode = status.st_mode
    kind = stat.S_IFMT(mode)
    bits = _KINDS.get(kind, 0) | mode & 0o777
    for flag, bit in _FLAGS.items():
        bits |= bit if mode & flag else 0
    found = _messages()["Stat"](path=_text(name), mode=bits, modTime=mtime * 1_000_000_000)
    if kind == stat.S_IFREG:
        found.size = status.st_size
        if capability := read_capability(path):
            found.xattrs["security.capability"] = capability
    elif kind == stat.S_IFLNK:
        found.linkname = _text(link_target(path, name))
    elif kind in {stat.S_IFCHR, stat.S_IFBLK}:
        found.devmajor = os.major(status.st_rdev)
        found.devminor = os.minor(status.st_rdev)
    return found


def _text(name: str) -> str:
    """Check that the protocol can carry a name: its strings are UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the name {name!r} in the context is not UTF-8, which BuildKit does not support",
            "rename it, or name it in .dockerignore",
        ) from None
    return name
