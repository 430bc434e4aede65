"""The build context, against temporary directories and the standard library's tar reader.

The tables of patterns were checked with github.com/moby/patternmatcher and with what the docker
command sends.
"""

import hashlib
import io
import os
import socket
import stat
import tarfile
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releasetag.engine import context as context_module
from releasetag.engine.context import BuildContext, archive, open_context
from releasetag.errors import BuildError, UsageError

COMMIT_TIME = 1_700_000_000
DOCKERFILE = "FROM scratch\nCOPY . /\n"


def make(root: Path, *names: str, ignore: str | bytes | None = None) -> Path:
    """A context with a Dockerfile and the named files, each holding its own name."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "Dockerfile").write_text(DOCKERFILE)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    if ignore is not None:
        content = ignore if isinstance(ignore, bytes) else ignore.encode()
        (root / ".dockerignore").write_bytes(content)
    return root


def read(context: BuildContext, *, classic: bool = False) -> tarfile.TarFile:
    stream = b"".join(archive(context, COMMIT_TIME, classic=classic))
    return tarfile.open(fileobj=io.BytesIO(stream), mode="r:")


def files_sent(root: Path) -> set[str]:
    """The regular files in the archive, without those that every test has."""
    with read(open_context(root, None)) as tar:
        names = {member.name for member in tar if member.isreg()}
    return {name for name in names if not name.lower().startswith((".docker", "dockerfile"))}


# The ignore file


@pytest.mark.parametrize(
    ("ignore", "ignored"),
    [
        # plain names, and the directory of a name
        ("a", {"a"}),
        ("dir", {"dir/a", "dir/sub/b.go"}),
        ("dir/a", {"dir/a"}),
        ("b.go", {"b.go"}),
        ("sub", set()),
        ("A", set()),
        # cleaning
        ("/a", {"a"}),
        ("//a", {"a"}),
        ("./a", {"a"}),
        ("dir/", {"dir/a", "dir/sub/b.go"}),
        ("dir/../a", {"a"}),
        ("../a", set()),
        (".", set()),
        ("/", set()),
        ("  a\t", {"a"}),
        ("\u00a0a\u2003", {"a"}),
        ("a\r\nb.go\r\n", {"a", "b.go"}),
        # comments, blank lines, byte order mark
        ("# a\n\n  \n", set()),
        ("#a", set()),
        (" #a", {"#a"}),
        ("\ufeffa", {"a"}),
        ("\ufeff# a\nb.go", {"b.go"}),
        ("a\n\ufeffb.go", {"a"}),
        # wildcards
        ("*.go", {"b.go"}),
        ("*/a", {"dir/a"}),
        ("?", {"a"}),
        ("[a-c]", {"a"}),
        ("[^b]", {"a"}),
        ("[!a]", {"a"}),
        ("*", {"a", "b.go", "#a", "!a", "[a]", "dir/a", "dir/sub/b.go"}),
        ("**", {"a", "b.go", "#a", "!a", "[a]", "dir/a", "dir/sub/b.go"}),
        ("**/a", {"a", "dir/a"}),
        ("**/b.go", {"b.go", "dir/sub/b.go"}),
        ("**/*.go", {"b.go", "dir/sub/b.go"}),
        ("dir/**", {"dir/a", "dir/sub/b.go"}),
        ("dir/**/b.go", {"dir/sub/b.go"}),
        ("**.go", {"b.go", "dir/sub/b.go"}),
        ("**/sub/*", {"dir/sub/b.go"}),
        # regular expressions have no say
        ("b+go\n(a|b)\na{1}\n.*\n^a$", set()),
        # escapes
        ("\\a", set()),
        ("\\[a\\]", {"[a]"}),
        ("[a]", {"a"}),
        ("\\*", set()),
        ("\\#a", {"#a"}),
        ("\\!a", {"!a"}),
        # exceptions and order
        ("*\n!a", {"b.go", "#a", "!a", "[a]", "dir/a", "dir/sub/b.go"}),
        ("!a\n*", {"a", "b.go", "#a", "!a", "[a]", "dir/a", "dir/sub/b.go"}),
        ("dir\n! dir/a", {"dir/sub/b.go"}),
        ("dir\n!/dir/a", {"dir/sub/b.go"}),
        ("dir\n/!dir/a", {"dir/sub/b.go"}),
        ("dir\n!dir/sub", {"dir/a"}),
        ("dir\n!dir/sub\ndir/sub/*.go", {"dir/a", "dir/sub/b.go"}),
        ("**/*.go\n!**/sub/*.go", {"b.go"}),
        ("dir\n!**/*.go", {"dir/a"}),
        ("dir\n!d*/sub/**", {"dir/a"}),
        ("!!a", set()),
        ("*\n!!a", {"a", "b.go", "#a", "[a]", "dir/a", "dir/sub/b.go"}),
        # an exception for a directory brings nothing back that only a deeper rule ignores
        ("dir/sub\n!dir", {"dir/sub/b.go"}),
    ],
)
def test_ignores_what_docker_ignores(tmp_path: Path, ignore: str, ignored: set[str]) -> None:
    names = {"a", "b.go", "#a", "!a", "[a]", "dir/a", "dir/sub/b.go"}
    root = make(tmp_path / "context", *names, ignore=ignore)
    assert names - files_sent(root) == ignored


@pytest.mark.parametrize(
    ("ignore", "line"),
    [
        ("[", 1),
        ("a\n\n# b\n[]a]\n", 4),
        ("a[b-\n", 1),
        ("[-a]", 1),
        ("[b-a]", 1),
        ("a\\", 1),
        ("a*\\", 1),
        ("**/[", 1),
        ("a\n!\n", 2),
        ("!  ", 1),
        ("a\\q*", 1),
        ("[[:alpha:]]", 1),
        ("[\\b]", 1),
        (b"[\xff]", 1),
    ],
)
def test_invalid_pattern_names_file_and_line(
    tmp_path: Path, ignore: str | bytes, line: int
) -> None:
    root = make(tmp_path, ignore=ignore)
    with pytest.raises(UsageError) as caught:
        open_context(root, None)
    assert f".dockerignore', line {line}: " in caught.value.message


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (b"caf?", b"caf\xc3\xa9", b"cafe\xcc\x81"),
        (b"caf\xe9", b"caf\xe9", b"caf\xe8"),
        (b"caf\xe9*", b"caf\xe9s", b"cafes"),
        (b"a?b", b"a\nb", b"ab"),
    ],
)
def test_names_are_matched_as_utf8_and_other_bytes_do_not_crash(
    tmp_path: Path, pattern: bytes, matching: bytes, other: bytes
) -> None:
    root = make(tmp_path, ignore=pattern)
    for name in (matching, other):
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).touch()
    assert {os.fsencode(name) for name in files_sent(root)} == {other}


PATHS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4).map("/".join)
PATTERNS = st.lists(st.sampled_from(["a", "b", "ab", "*", "?"]), min_size=1, max_size=3)
RULES = st.lists(st.tuples(st.booleans(), PATTERNS), max_size=6)


def sent_naively(rules: list[tuple[bool, list[str]]], name: str) -> bool:
    """The definition, without regular expressions, for one path from the top down."""
    took_effect: set[int] = set()
    ignored = False
    parts = name.split("/")
    for level in range(1, len(parts) + 1):
        ignored = False
        for index, (exception, pattern) in enumerate(rules):
            matches = len(pattern) == level and all(
                wanted in ("*", part) or (wanted == "?" and len(part) == 1)
                for wanted, part in zip(pattern, parts[:level], strict=True)
            )
            if matches and exception == ignored:
                took_effect.add(index)
            if index in took_effect:
                ignored = not exception
    return not ignored


@settings(max_examples=150, deadline=None)
@given(st.sets(PATHS, min_size=1, max_size=8), RULES)
def test_patterns_are_taken_in_order(paths: set[str], rules: list[tuple[bool, list[str]]]) -> None:
    names = {p for p in paths if not any(q.startswith(f"{p}/") for q in paths)}
    lines = [("!" if exception else "") + "/".join(pattern) for exception, pattern in rules]
    with tempfile.TemporaryDirectory() as directory:
        root = make(Path(directory) / "context", *names, ignore="\n".join(lines))
        assert files_sent(root) == {name for name in names if sent_naively(rules, name)}


@given(st.text(st.sampled_from("ab/*?[]^!-\\.# \n\u00e9"), max_size=12))
def test_any_ignore_file_is_read_or_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = make(Path(directory), "a/b", ignore=text)
        try:
            sent, refused = files_sent(root), ""
        except UsageError as error:
            sent, refused = set(), error.message
    assert sent <= {"a/b"}
    assert not refused or "is not a valid pattern" in refused


def test_ignored_directory_is_not_entered_without_an_exception_below(tmp_path: Path) -> None:
    root = make(tmp_path, "big/file", "kept/a", ignore="big\nkept\n!kept/a\n")
    entered = []
    real = os.scandir

    def scandir(path: Path) -> object:
        entered.append(Path(path).name)
        return real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        files_sent(root)
    assert "kept" in entered
    assert "big" not in entered


def test_directory_above_an_exception_is_sent_with_its_mode(tmp_path: Path) -> None:
    root = make(tmp_path, "a/b/kept", "a/other", "c/file", ignore="*\n!a/b/kept\n")
    (root / "a").chmod(0o710)
    with read(open_context(root, None)) as tar:
        members = {member.name: member for member in tar}
    assert list(members)[:3] == ["a", "a/b", "a/b/kept"]
    assert members["a"].mode == 0o710
    assert "c" not in members


def test_ignore_file_of_the_dockerfile_takes_the_place_of_the_other(tmp_path: Path) -> None:
    root = make(tmp_path / "context", "a", "b", ignore="a\n")
    (root / "build").mkdir()
    for directory in (root / "build", tmp_path):
        (directory / "My.Dockerfile").write_text(DOCKERFILE)
        (directory / "My.Dockerfile.dockerignore").write_text("b\n")
        with read(open_context(root, directory / "My.Dockerfile")) as tar:
            assert "a" in tar.getnames()
            assert "b" not in tar.getnames()
    assert files_sent(root) == {"b", "build/My.Dockerfile", "build/My.Dockerfile.dockerignore"}


def test_ignore_file_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / ".dockerignore").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        open_context(root, None)


# The Dockerfile


@pytest.mark.parametrize("name", ["Dockerfile", "docker/Dockerfile.prod", "docker/é"])
def test_dockerfile_in_the_context_keeps_its_name(tmp_path: Path, name: str) -> None:
    root = make(tmp_path, name)
    context = open_context(root, root / name)
    assert context.dockerfile_name == name
    assert context.dockerfile == root / name
    with read(context) as tar:
        assert [member.name for member in tar if member.isreg()].count(name) == 1


def test_dockerfile_is_found_from_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "context", "docker/Dockerfile")
    monkeypatch.chdir(tmp_path)
    context = open_context(Path("context"), Path("context/docker/Dockerfile"))
    assert context.root == tmp_path / "context"
    assert context.dockerfile_name == "docker/Dockerfile"


def test_links_to_context_and_dockerfile_are_resolved(tmp_path: Path) -> None:
    root = make(tmp_path / "real", "docker/prod")
    (tmp_path / "link").symlink_to(root)
    (root / "Containerfile").symlink_to("docker/prod")
    context = open_context(tmp_path / "link", tmp_path / "link" / "Containerfile")
    assert context.root == root
    assert context.dockerfile_name == "docker/prod"


def reserved(content: str) -> str:
    return f".dockerfile.{hashlib.sha256(content.encode()).hexdigest()[:12]}"


@pytest.mark.parametrize("ignore", ["Dockerfile", "*", "*file\n!a"])
def test_ignored_dockerfile_is_added_under_a_reserved_name(tmp_path: Path, ignore: str) -> None:
    context = open_context(make(tmp_path, "a", ignore=ignore), None)
    assert context.dockerfile_name == reserved(DOCKERFILE)
    with read(context) as tar:
        added = tar.extractfile(context.dockerfile_name)
        assert added is not None
        assert added.read().decode() == DOCKERFILE
        assert "Dockerfile" not in tar.getnames()


def outside(tmp_path: Path) -> Path:
    path = tmp_path / "Outer"
    path.write_text("FROM scratch\nLABEL a=b\n")
    return path


def test_dockerfile_outside_or_behind_a_link_is_added(tmp_path: Path) -> None:
    root, outer = make(tmp_path / "context"), outside(tmp_path)
    (root / "link").symlink_to("../Outer")
    for dockerfile in (outer, root / "link"):
        context = open_context(root, dockerfile)
        assert context.dockerfile_name == reserved(outer.read_text())
        with read(context) as tar:
            assert tar.getmember(context.dockerfile_name).mtime == COMMIT_TIME
            assert ".dockerignore" not in tar.getnames()


def test_dockerfile_whose_name_is_not_utf8_is_added(tmp_path: Path) -> None:
    root = make(tmp_path)
    path = root / os.fsdecode(b"\xff")
    path.write_text("FROM scratch\n")
    assert open_context(root, path).dockerfile_name == reserved("FROM scratch\n")


@pytest.mark.parametrize(
    ("ignore", "before"),
    [
        (None, ".dockerignore"),
        ("a\n", "a\n"),
        ("a", "a"),
        (".*\n", ".dockerignore"),
    ],
)
def test_classic_builder_is_told_to_remove_the_reserved_name(
    tmp_path: Path, ignore: str | None, before: str
) -> None:
    root = make(tmp_path / "context", "a", ignore=ignore)
    context = open_context(root, outside(tmp_path))
    with read(context, classic=True) as tar:
        assert tar.getnames().count(".dockerignore") == 1
        sent = tar.extractfile(".dockerignore")
        assert sent is not None
        assert sent.read().decode() == f"{before}\n{context.dockerfile_name}\n"
        if ignore in ("a\n", "a"):
            mode = (root / ".dockerignore").stat().st_mode
            assert tar.getmember(".dockerignore").mode == stat.S_IMODE(mode)


def test_classic_changes_nothing_for_a_dockerfile_in_the_context(tmp_path: Path) -> None:
    context = open_context(make(tmp_path, "a", ignore="b\n"), None)
    streams = [b"".join(archive(context, 0, classic=classic)) for classic in (True, False)]
    assert streams[0] == streams[1]


def test_what_is_no_context_or_dockerfile_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path / "context", "a")
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


# The stream


def test_archive_holds_every_kind_of_file(tmp_path: Path) -> None:
    root = make(tmp_path, "dir/plain", "run", "setuid")
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
    root = make(tmp_path)
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
    root = make(tmp_path, "z")
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
    first = make(tmp_path / "one", *names, ignore="Dockerfile\n")
    second = make(tmp_path / "two", *reversed(names), ignore="Dockerfile\n")
    for index, path in enumerate(sorted(second.rglob("*"))):
        os.utime(path, (index, index))
    streams = [b"".join(archive(open_context(root, None), 5)) for root in (first, second)]
    assert streams[0] == streams[1]
    with tarfile.open(fileobj=io.BytesIO(streams[0])) as tar:
        assert [n for n in tar.getnames() if "/" not in n] == [
            *(".dockerignore", "a", "a-b", "a.go", "b", "c", "é"),
            reserved(DOCKERFILE),
        ]


def test_memory_stays_flat(tmp_path: Path) -> None:
    root = make(tmp_path)
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


def test_deep_directories_do_not_exhaust_the_stack(tmp_path: Path) -> None:
    root = make(tmp_path)
    levels = [root]
    try:
        for _ in range(1200):
            levels.append(levels[-1] / "d")
            levels[-1].mkdir()
        assert len(read(open_context(root, None)).getnames()) == 1201
    finally:  # pytest would run out of stack when it cleans up
        for level in reversed(levels[1:]):
            level.rmdir()


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
    stream = stopped(make(tmp_path))
    change(tmp_path)
    received: list[bytes] = []
    with pytest.raises(BuildError) as caught:
        received.extend(stream)
    assert caught.value.message == f"{name!r} in the context changed while it was sent"
    assert not b"".join(received).endswith(bytes(1024))


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_file_that_something_else_replaced_is_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(BuildError, match="'file' in the context changed"):
        list(context_module._file(tarfile.TarInfo("file"), path))


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


def test_unreadable_file_or_directory_is_named(as_nobody: Path) -> None:
    root = make(as_nobody, "secret", "dir/file")
    for name in ("secret", "dir"):
        mode = (root / name).stat().st_mode
        (root / name).chmod(0)
        with pytest.raises(UsageError) as caught:
            files_sent(root)
        assert caught.value.message == f"'{name}' in the context cannot be read: Permission denied"
        (root / name).chmod(mode)
    (root / "Dockerfile").chmod(0)
    with pytest.raises(UsageError, match=r"the Dockerfile .* cannot be read"):
        open_context(root, None)


def test_unreadable_files_that_are_ignored_do_no_harm(as_nobody: Path) -> None:
    root = make(as_nobody, "secret", "dir/file", "a", ignore="secret\ndir\n!dir/x\n")
    for name in ("secret", "dir"):
        (root / name).chmod(0)
    assert files_sent(root) == {"a"}
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
    monkeypatch.setattr(os, "getxattr", lambda file, name: bytes.fromhex(stored))
    with read(open_context(make(tmp_path), None)) as tar:
        value = tar.getmember("Dockerfile").pax_headers["SCHILY.xattr.security.capability"]
    assert value.encode("utf-8", "surrogateescape").hex() == sent
