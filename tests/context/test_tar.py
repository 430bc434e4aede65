"""The tar stream for the classic builder, against the standard library's tar reader."""

import io
import os
import socket
import stat
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from releasetag.context.tar import archive
from releasetag.context.tree import BuildContext, open_context
from releasetag.errors import BuildError
from tests.support.context import make_tree

COMMIT_TIME = 1_700_000_000


def read(context: BuildContext) -> tarfile.TarFile:
    stream = b"".join(archive(context, COMMIT_TIME))
    return tarfile.open(fileobj=io.BytesIO(stream), mode="r:")


@pytest.mark.parametrize("ignore", ["Dockerfile", "*", "*file\n!a"])
def test_ignored_dockerfile_is_added_under_a_reserved_name(tmp_path: Path, ignore: str) -> None:
    context = open_context(make_tree(tmp_path, "a", ignore=ignore), None)
    with read(context) as tar:
        added = tar.extractfile(context.dockerfile_name)
        assert added is not None
        assert added.read() == (tmp_path / "Dockerfile").read_bytes()
        assert tar.getmember(context.dockerfile_name).mtime == COMMIT_TIME
        assert "Dockerfile" not in tar.getnames()


@pytest.mark.parametrize(
    ("ignore", "before"),
    [
        (None, ".dockerignore"),
        ("a\n", "a\n"),
        ("a", "a"),
        (".*\n", ".dockerignore"),
    ],
)
def test_builder_is_told_to_remove_the_reserved_name(
    tmp_path: Path, ignore: str | None, before: str
) -> None:
    root = make_tree(tmp_path / "context", "a", ignore=ignore)
    (tmp_path / "Outer").write_text("FROM scratch\nLABEL a=b\n")
    context = open_context(root, tmp_path / "Outer")
    with read(context) as tar:
        assert tar.getnames().count(".dockerignore") == 1
        sent = tar.extractfile(".dockerignore")
        assert sent is not None
        assert sent.read().decode() == f"{before}\n{context.dockerfile_name}\n"
        if ignore in ("a\n", "a"):
            mode = (root / ".dockerignore").stat().st_mode
            assert tar.getmember(".dockerignore").mode == stat.S_IMODE(mode)


def test_archive_holds_every_kind_of_file(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "dir/plain", "run", "setuid")
    (root / "run").chmod(0o750)
    (root / "setuid").chmod(0o4711)
    (root / "dir").chmod(0o1777)
    (root / "empty").touch()
    (root / "link").symlink_to("./../nowhere//x/")
    (root / "directory-link").symlink_to("dir")
    (root / "hard").hardlink_to(root / "run")
    os.mkfifo(root / "pipe", 0o600)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "socket"))  # the path of a socket must be short
        with read(open_context(root, None)) as tar:
            members = {member.name: member for member in tar}
            content = tar.extractfile("hard")
            assert content is not None
            assert content.read() == b"run"
    assert list(members) == [
        *("Dockerfile", "dir", "dir/plain", "directory-link", "empty", "hard", "link"),
        *("pipe", "run", "setuid"),
    ]
    assert members["dir"].isdir()
    assert members["dir"].mode == 0o1777
    assert members["run"].mode == 0o750
    assert members["setuid"].mode == 0o4711
    assert members["link"].issym()
    assert members["link"].linkname == "./../nowhere//x/"
    assert members["directory-link"].issym()
    assert members["hard"].isreg()
    assert members["pipe"].isfifo()
    for member in members.values():
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
        assert member.mtime == COMMIT_TIME


@pytest.mark.parametrize(
    "name",
    [
        b"a" * 101,
        b"/".join([b"d" * 90] * 5),
        b"caf\xc3\xa9",
        b"\xff\xfe",
        b"caf\xe9/" + b"n" * 200,
        b"new\nline",
    ],
)
def test_long_and_odd_names_survive(tmp_path: Path, name: bytes) -> None:
    root = make_tree(tmp_path)
    path = root / os.fsdecode(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(name)
    (root / "link").symlink_to(os.fsdecode(name))
    with read(open_context(root, None)) as tar:
        sent = tar.extractfile(os.fsdecode(name))
        assert sent is not None
        assert sent.read() == name
        assert os.fsencode(tar.getmember("link").linkname) == name


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1 << 17, (1 << 20) + 1, 3_000_000])
def test_content_of_any_size_arrives_in_chunks_of_a_mebibyte(tmp_path: Path, size: int) -> None:
    root = make_tree(tmp_path, "z")
    content = os.urandom(size)
    (root / "data").write_bytes(content)
    chunks = list(archive(open_context(root, None), 0))
    assert max(map(len, chunks)) <= 1 << 20
    assert len(chunks) <= size // (1 << 20) + 2
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        sent = tar.extractfile("data")
        assert sent is not None
        assert sent.read() == content
        assert tar.getnames() == ["Dockerfile", "data", "z"]


def test_two_checkouts_give_the_same_stream(tmp_path: Path) -> None:
    names = [f"{letter}/{letter}.go" for letter in "cabé"] + ["a.go", "a-b"]
    first = make_tree(tmp_path / "one", *names, ignore="Dockerfile\n")
    second = make_tree(tmp_path / "two", *reversed(names), ignore="Dockerfile\n")
    for index, path in enumerate(sorted(second.rglob("*"))):
        os.utime(path, (index, index))
    streams = [b"".join(archive(open_context(root, None), 5)) for root in (first, second)]
    assert streams[0] == streams[1]
    with tarfile.open(fileobj=io.BytesIO(streams[0])) as tar:
        assert [n for n in tar.getnames() if "/" not in n] == [
            *("a", "a-b", "a.go", "b", "c", "é", ".dockerignore"),
            open_context(first, None).dockerfile_name,
        ]


def test_memory_stays_flat(tmp_path: Path) -> None:
    root = make_tree(tmp_path)
    with (root / "sparse").open("wb") as file:
        file.truncate(300 << 20)
    context = open_context(root, None)
    tracemalloc.start()
    try:
        total = sum(map(len, archive(context, 0)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total > 300 << 20
    assert peak < 16 << 20


def stopped(root: Path) -> Iterator[bytes]:
    """A stream that has sent the start of ``big`` and has ``late`` to come."""
    (root / "big").write_bytes(b"x" * (4 << 20))
    (root / "late").write_text("late")
    stream = archive(open_context(root, None), 0)
    next(stream)
    return stream


def shrink(root: Path) -> None:
    os.truncate(root / "big", 2 << 20)


def grow(root: Path) -> None:
    with (root / "big").open("ab") as file:
        file.write(b"x")


def remove(root: Path) -> None:
    (root / "late").unlink()


@pytest.mark.parametrize(("change", "name"), [(shrink, "big"), (grow, "big"), (remove, "late")])
def test_file_that_changes_meanwhile_stops_the_stream(
    tmp_path: Path, change: Callable[[Path], None], name: str
) -> None:
    stream = stopped(make_tree(tmp_path))
    change(tmp_path)
    received: list[bytes] = []
    with pytest.raises(BuildError) as caught:
        received.extend(stream)
    assert caught.value.message == f"{name!r} in the context changed while it was sent"
    assert not b"".join(received).endswith(bytes(1024))


def test_capability_is_an_extended_attribute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = bytes.fromhex("0100000200200000ff0000000000000000000000")
    # Setting the attribute takes a privilege, and some file systems have none.
    monkeypatch.setattr(os, "getxattr", lambda *_, **__: stored)
    with read(open_context(make_tree(tmp_path), None)) as tar:
        value = tar.getmember("Dockerfile").pax_headers["SCHILY.xattr.security.capability"]
    assert value.encode("utf-8", "surrogateescape") == stored
