"""What of a directory is the context, against temporary directories."""

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from releasetag.context.tree import (
    BuildContext,
    ancestors,
    link_target,
    open_context,
    read_capability,
    read_file,
    walk,
)
from releasetag.errors import BuildError, UsageError
from tests.support.context import files_in, make_tree

DOCKERFILE = "FROM scratch\nCOPY . /\n"


def names(context: BuildContext) -> list[str]:
    return [name for name, _ in walk(context)]


# What is left out


def test_ignored_directory_is_not_entered_without_an_exception_below(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "big/file", "kept/a", ignore="big\nkept\n!kept/a\n")
    entered = []
    real = os.scandir

    def scandir(path: Path) -> object:
        entered.append(Path(path).name)
        return real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        files_in(root)
    assert "kept" in entered
    assert "big" not in entered


def test_directory_above_an_exception_is_sent_with_its_mode(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "a/b/kept", "a/other", "c/file", ignore="*\n!a/b/kept\n")
    (root / "a").chmod(0o710)
    found = dict(walk(open_context(root, None)))
    assert list(found) == ["a", "a/b", "a/b/kept"]
    assert stat.S_IMODE(found["a"].st_mode) == 0o710


def test_ignore_file_of_the_dockerfile_takes_the_place_of_the_other(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "context", "a", "b", ignore="a\n")
    (root / "build").mkdir()
    for directory in (root / "build", tmp_path):
        (directory / "My.Dockerfile").write_text(DOCKERFILE)
        (directory / "My.Dockerfile.dockerignore").write_text("b\n")
        found = names(open_context(root, directory / "My.Dockerfile"))
        assert "a" in found
        assert "b" not in found
    assert files_in(root) == {"b", "build/My.Dockerfile", "build/My.Dockerfile.dockerignore"}


def test_ignore_file_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    root = make_tree(tmp_path)
    (root / ".dockerignore").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        open_context(root, None)


# The Dockerfile


@pytest.mark.parametrize("name", ["Dockerfile", "docker/Dockerfile.prod", "docker/é"])
def test_dockerfile_in_the_context_keeps_its_name(tmp_path: Path, name: str) -> None:
    root = make_tree(tmp_path, name)
    context = open_context(root, root / name)
    assert context.dockerfile_name == name
    assert context.dockerfile == root / name
    assert context.injected is None
    assert names(context).count(name) == 1


def test_dockerfile_is_found_from_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tmp_path / "context", "docker/Dockerfile")
    monkeypatch.chdir(tmp_path)
    context = open_context(Path("context"), Path("context/docker/Dockerfile"))
    assert context.root == tmp_path / "context"
    assert context.dockerfile_name == "docker/Dockerfile"


def test_links_to_context_and_dockerfile_are_resolved(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "real", "docker/prod")
    (tmp_path / "link").symlink_to(root)
    (root / "Containerfile").symlink_to("docker/prod")
    context = open_context(tmp_path / "link", tmp_path / "link" / "Containerfile")
    assert context.root == root
    assert context.dockerfile_name == "docker/prod"


def reserved(content: str) -> str:
    return f".dockerfile.{hashlib.sha256(content.encode()).hexdigest()[:12]}"


@pytest.mark.parametrize("ignore", ["Dockerfile", "*", "*file\n!a"])
def test_ignored_dockerfile_has_a_reserved_name(tmp_path: Path, ignore: str) -> None:
    context = open_context(make_tree(tmp_path, "a", ignore=ignore), None)
    assert context.dockerfile_name == reserved(DOCKERFILE)
    assert context.injected == DOCKERFILE.encode()
    assert "Dockerfile" not in names(context)


def outside(tmp_path: Path) -> Path:
    path = tmp_path / "Outer"
    path.write_text("FROM scratch\nLABEL a=b\n")
    return path


def test_dockerfile_outside_or_behind_a_link_has_a_reserved_name(tmp_path: Path) -> None:
    root, outer = make_tree(tmp_path / "context"), outside(tmp_path)
    (root / "link").symlink_to("../Outer")
    for dockerfile in (outer, root / "link"):
        context = open_context(root, dockerfile)
        assert context.dockerfile_name == reserved(outer.read_text())
        assert context.injected == outer.read_bytes()


@pytest.mark.parametrize("name", [b"\xff", "😀".encode() + b"\xff"])
def test_dockerfile_whose_name_is_not_utf8_has_a_reserved_name(tmp_path: Path, name: bytes) -> None:
    root = make_tree(tmp_path)
    path = root / os.fsdecode(name)
    path.write_text("FROM scratch\n")
    assert open_context(root, path).dockerfile_name == reserved("FROM scratch\n")


def test_what_is_no_context_or_dockerfile_is_refused(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "context", "a")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "bare").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "blank").write_text(" \n\n")
    os.mkfifo(tmp_path / "pipe")
    cases: list[tuple[Path, Path | None, str]] = [
        (tmp_path / "none", None, "does not exist"),
        (tmp_path / "loop", None, "does not exist"),
        (root / "a" / "b", None, "does not exist"),
        (root / "a", None, "is not a directory"),
        (tmp_path / "con\0text", None, "con\\x00text' does not exist"),
        (root, root / "Docker\0file", "Docker\\x00file' has a NUL character"),
        (root, tmp_path / "con\0text" / "Dockerfile", "has a NUL character"),
        (tmp_path / "bare", None, "there is no Dockerfile"),
        (root, tmp_path / "none", "there is no Dockerfile"),
        (root, root / "a" / "b", "there is no Dockerfile"),
        (root, tmp_path / "loop", "cannot be read"),
        (root, tmp_path / ("n" * 300), "cannot be read"),
        (root, tmp_path, "is a directory"),
        (root, tmp_path / "pipe", "is not a regular file"),
        (root, tmp_path / "empty", "is empty"),
        (root, tmp_path / "blank", "is empty"),
        (root, Path("-"), "standard input is not supported"),
    ]
    for directory, dockerfile, message in cases:
        with pytest.raises(UsageError) as caught:
            open_context(directory, dockerfile)
        assert message in caught.value.message
        assert caught.value.exit_code == 2
    with pytest.raises(UsageError) as caught:
        open_context(tmp_path / "bare", None)
    assert "--file" in caught.value.hint
    assert "CONTEXT/Dockerfile" in caught.value.hint


# Files


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A directory of our own, and the rights of a user whom modes can stop."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        uid = os.geteuid()
        if uid == 0:
            os.chown(root, 65534, -1)
            os.seteuid(65534)
        yield root
        os.seteuid(uid)
        for path in root.rglob("*"):
            path.chmod(0o700)


def test_deep_directories_do_not_exhaust_the_stack(tmp_path: Path) -> None:
    root = make_tree(tmp_path)
    levels = [root]
    try:
        for _ in range(1200):
            levels.append(levels[-1] / "d")
            levels[-1].mkdir()
        assert len(names(open_context(root, None))) == 1201
    finally:  # pytest would run out of stack when it cleans up
        for level in reversed(levels[1:]):
            level.rmdir()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a", ["a"]), ("a/b/c", ["a", "a/b", "a/b/c"])],
)
def test_the_ancestors_of_a_name_end_with_it(name: str, expected: list[str]) -> None:
    assert list(ancestors(name)) == expected


def test_names_come_in_the_order_of_their_bytes_below_their_directory(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "a/é", "a/z", "a-b", "a.b", "B", "é", "a0")
    expected = ["B", "Dockerfile", "a", "a/z", "a/é", "a-b", "a.b", "a0", "é"]
    assert names(open_context(root, None)) == expected


def test_directory_that_is_not_asked_for_is_not_entered(as_nobody: Path) -> None:
    root = make_tree(as_nobody, "closed/file", "open/file")
    (root / "closed").chmod(0)
    asked = {"open", "open/file"}
    assert [name for name, _ in walk(open_context(root, None), asked.__contains__)] == [
        "open",
        "open/file",
    ]


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def shrink(path: Path) -> None:
    path.write_bytes(b"x" * 9)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"y")
    os.utime(path, (1, 1))


CHANGES = [shrink, grow, Path.unlink, replace_by_link, replace_by_pipe, replace_by_directory]


@pytest.mark.parametrize("change", CHANGES)
def test_file_that_changed_since_the_walk_is_not_read(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    change(path)
    with pytest.raises(BuildError) as caught:
        list(read_file(path, "file", 10, 4))
    assert caught.value.message == "'file' in the context changed while it was sent"


@pytest.mark.parametrize("change", [shrink, grow, rewrite])
def test_file_that_changes_while_it_is_read_is_an_error(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    pieces = read_file(path, "file", 10, 4)
    assert next(pieces) == b"xxxx"
    change(path)
    with pytest.raises(BuildError, match="'file' in the context changed"):
        list(pieces)


def test_file_is_read_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert list(read_file(tmp_path / "file", "file", 10, 4)) == [b"0123", b"4567", b"89"]


def test_link_says_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("./a//b/")
    assert link_target(tmp_path / "link", "link") == "./a//b/"


def test_unreadable_file_or_directory_is_named(as_nobody: Path) -> None:
    root = make_tree(as_nobody, "secret", "dir/file")
    (root / "secret").chmod(0)
    with pytest.raises(UsageError) as caught:
        list(read_file(root / "secret", "secret", 6, 6))
    assert caught.value.message == "'secret' in the context cannot be read: Permission denied"
    (root / "dir").chmod(0)
    with pytest.raises(UsageError) as caught:
        names(open_context(root, None))
    assert caught.value.message == "'dir' in the context cannot be read: Permission denied"
    (root / "Dockerfile").chmod(0)
    with pytest.raises(UsageError, match=r"the Dockerfile .* cannot be read"):
        open_context(root, None)


def test_unreadable_files_that_are_ignored_do_no_harm(as_nobody: Path) -> None:
    root = make_tree(as_nobody, "secret", "dir/file", "a", ignore="secret\ndir\n!dir/x\n")
    for name in ("secret", "dir"):
        (root / name).chmod(0)
    assert files_in(root) == {"a"}
    (root / "dir").chmod(0o700)


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ("0100000200200000000000000000000000000000", "0100000200200000000000000000000000000000"),
        (
            "010000030020000000000000000000000000000000000100",
            "0100000200200000000000000000000000000000",
        ),
        ("010000020020000000000000ff00000000000000", "010000020020000000000000ff00000000000000"),
    ],
)
def test_capabilities_are_kept_without_the_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: str, sent: str
) -> None:
    # Setting the attribute takes a privilege, and some file systems have none.
    monkeypatch.setattr(os, "getxattr", lambda *_, **__: bytes.fromhex(stored))
    assert read_capability(tmp_path).hex() == sent
