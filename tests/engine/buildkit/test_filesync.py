"""The context over a session, with real engines: what arrives is what was there."""

import asyncio
import hashlib
import io
import json
import os
import socket
import stat
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from multidict import MultiDict

from releasetag.build_secrets import Secret, SshAgent
from releasetag.context.tree import open_context, read_file
from releasetag.credentials import Credentials
from releasetag.engine.build import build, choose_builder
from releasetag.engine.buildkit import filesync
from releasetag.engine.buildkit.filesync import ContextFiles
from releasetag.engine.connect import Engine, connect
from releasetag.errors import BuildError, UsageError
from releasetag.events import BuildEvent, StepCached, StepLog
from tests.conftest import StartRegistry
from tests.support.build import COMMIT_TIME, build_inputs
from tests.support.context import make_context, make_tree
from tests.support.credentials import NO_CREDENTIALS, store_of
from tests.support.engine import Engine as RealEngine

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")


@pytest.fixture(scope="module")
def docker(engine: RealEngine) -> Iterator[Engine]:
    with connected(engine) as found:
        yield found


@contextmanager
def connected(engine: RealEngine) -> Iterator[Engine]:
    found = connect(engine.environ)
    yield found
    found.client.close()


def run(
    docker: Engine, root: Path, dockerfile: Path | None = None, **inputs: Any
) -> tuple[str, list[BuildEvent]]:
    events: list[BuildEvent] = []
    image_id = build(
        docker,
        build_inputs(open_context(root, dockerfile), **inputs),
        builder="buildkit",
        credentials=NO_CREDENTIALS,
        progress=events.append,
    )
    return image_id, events


def image_files(docker: Engine, image_id: str) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """The files of an image, its layers on one another, by their path."""
    found = {}
    saved = b"".join(docker.client.get_image(image_id, chunk_size=None))
    with tarfile.open(fileobj=io.BytesIO(saved)) as image:

        def content(archive: tarfile.TarFile, member: str | tarfile.TarInfo) -> bytes:
            file = archive.extractfile(member)
            return file.read() if file else b""

        for layer in json.loads(content(image, "manifest.json"))[0]["Layers"]:
            with tarfile.open(fileobj=io.BytesIO(content(image, layer))) as members:
                for member in members:
                    data = content(members, member) if member.isreg() else b""
                    found[member.name.strip("/")] = (member, data)
    return found


def copied(docker: Engine, root: Path, dockerfile: Path | None = None) -> set[str]:
    """The regular files that an image has below /x."""
    found = image_files(docker, run(docker, root, dockerfile)[0])
    return {name.removeprefix("x/") for name, (file, _) in found.items() if file.isreg()}


def test_every_kind_of_file_arrives_as_it_is(docker: Engine, tmp_path: Path) -> None:
    root = make_tree(tmp_path, "dir/plain", "run", "setuid", "closed", "n\nl", "é/日本")
    (root / "Dockerfile").write_text("FROM scratch\nCOPY . /x/\n")
    for name, mode in {"run": 0o750, "setuid": 0o6711, "closed": 0, "dir": 0o1777}.items():
        (root / name).chmod(mode)
    (root / "empty").touch()
    (root / "nothing").mkdir()
    (root / "link").symlink_to("./../nowhere//x/")
    (root / "hard").hardlink_to(root / "run")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "socket"))  # the path of a socket must be short
    if os.geteuid() != 0:
        (root / "closed").chmod(0o400)
    found = image_files(docker, run(docker, root, no_cache=True)[0])
    assert set(found) == {
        *("x", "x/Dockerfile", "x/closed", "x/dir", "x/dir/plain", "x/empty", "x/hard", "x/link"),
        *("x/n\nl", "x/nothing", "x/run", "x/setuid", "x/é", "x/é/日本"),
    }
    for path in root.rglob("*"):
        if path.is_socket():
            continue
        name = f"x/{path.relative_to(root)}"
        file, content = found[name]
        status = path.lstat()
        assert stat.S_IMODE(file.mode) == stat.S_IMODE(status.st_mode), name
        assert (file.uid, file.gid) == (0, 0)
        assert file.isdir() or file.mtime == COMMIT_TIME
        if path.is_symlink():
            assert file.linkname == os.readlink(path)  # noqa: PTH115  Path tidies it up
        elif path.is_file():
            assert file.isreg()
            assert content == path.read_bytes()


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        # Go's fs.FileMode, whose high bits are its own.
        ("file", 0o640),
        ("setuid", 1 << 23 | 1 << 22 | 0o711),
        ("directory", 1 << 31 | 1 << 20 | 0o777),
        ("link", 1 << 27 | 0o777),
        ("pipe", 1 << 25 | 0o600),
        ("/dev/null", 1 << 26 | 1 << 21 | 0o666),
    ],
)
def test_mode_is_written_as_go_has_it(tmp_path: Path, kind: str, mode: int) -> None:
    path = tmp_path / kind
    match kind:
        case "file" | "setuid":
            path.touch()
            path.chmod(0o6711 if kind == "setuid" else 0o640)
        case "directory":
            path.mkdir()
            path.chmod(0o1777)
        case "link":
            path.symlink_to("file")
        case "pipe":
            os.mkfifo(path, 0o600)
    metadata = filesync._metadata(kind, path, path.lstat(), COMMIT_TIME)
    assert metadata.mode == mode
    assert metadata.modTime == COMMIT_TIME * 1_000_000_000
    assert (metadata.devmajor, metadata.devminor) == ((1, 3) if kind == "/dev/null" else (0, 0))
    assert metadata.linkname == ("file" if kind == "link" else "")


def test_capability_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Setting the attribute takes a privilege, and some file systems have none. The engines that
    # are tested here lose it, with Docker's own client too.
    monkeypatch.setattr(os, "getxattr", lambda *_, **__: CAPABILITY)
    (tmp_path / "file").touch()
    status = (tmp_path / "file").stat()
    metadata = filesync._metadata("file", tmp_path / "file", status, COMMIT_TIME)
    assert dict(metadata.xattrs) == {"security.capability": CAPABILITY}


def test_more_files_than_go_in_one_batch_arrive_with_their_own_content(
    docker: Engine, tmp_path: Path
) -> None:
    names = [f"d{number % 7}/{number}" for number in range(3 * filesync._BATCH)]
    root = make_tree(tmp_path, *names)
    (root / "large").write_bytes(os.urandom(3 * filesync._PIECE + 1))
    (root / "Dockerfile").write_text("FROM scratch\nCOPY . /x/\n")
    found = image_files(docker, run(docker, root)[0])
    assert all(found[f"x/{name}"][1].decode() == name for name in names)
    assert found["x/large"][1] == (root / "large").read_bytes()


FILES = ("a", "d/b", "d/e/c", "x y", "a+b%41", "café/ü", "one/p.json", "two/p.json")


@pytest.mark.parametrize(
    ("copy", "expected"),
    [
        ("COPY a /x/", {"a"}),
        ("COPY ./d /x/", {"b", "e/c"}),
        ("COPY /d/ /x/", {"b", "e/c"}),
        ("COPY ../d/../d/e /x/", {"c"}),
        ("COPY d/e a /x/", {"a", "c"}),
        ('COPY ["x y", "/x/"]', {"x y"}),
        ("COPY a+b%41 /x/", {"a+b%41"}),
        ("COPY café a+b%41 /x/", {"ü", "a+b%41"}),
        ("COPY d/* /x/", {"b", "c"}),
        ("COPY */p.json /x/", {"p.json"}),
        ("COPY [a] /x/", {"a"}),
        ("COPY link/e /x/", {"c"}),
        ("COPY lin? /x/", {"b", "e/c"}),
        ("COPY absolute /x/", {"absolute"}),
        ("COPY .dockerignore /x/", {".dockerignore"}),
        ("ADD t.tar /x/", {"packed"}),
        ("COPY a /in/\nFROM scratch\nCOPY --from=0 /in /x/", {"a"}),
        ("COPY a /in/\nFROM scratch AS context\nCOPY --from=0 /in /x/", {"a"}),
    ],
)
def test_the_engine_receives_the_files_that_it_requests(
    docker: Engine, tmp_path: Path, copy: str, expected: set[str]
) -> None:
    root = make_tree(tmp_path, *FILES, ignore="ignored\n")
    (root / "link").symlink_to("one/../d")
    (root / "absolute").symlink_to("/d/b")
    with tarfile.open(root / "t.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("packed"))
    (root / "Dockerfile").write_text(f"FROM scratch\n{copy}\n")
    assert copied(docker, root) == expected


@pytest.mark.parametrize(
    ("requested", "wanted", "unwanted"),
    [
        ([], {"a", "d", "d/b"}, set()),
        (["a"], {"a"}, {"d", "ab"}),
        (["d/e"], {"d", "d/e", "d/e/c"}, {"d/b", "d/ef", "a"}),
        (["d/*.c"], {"d", "d/b"}, {"a"}),
        (["d/e*/c", "a"], {"d", "d/e/c", "a"}, {"b"}),
        (["*"], {"a", "d/b"}, set()),
        (["link/e"], {"a", "d/b"}, set()),
    ],
)
def test_only_requested_files_are_read(
    tmp_path: Path, requested: list[str], wanted: set[str], unwanted: set[str]
) -> None:
    (tmp_path / "link").symlink_to("d")
    is_requested = filesync._chooser(tmp_path, requested)
    assert {name for name in wanted | unwanted if is_requested(name)} == wanted


@pytest.mark.parametrize("copy", ["COPY missing /x/", "COPY A /x/", "COPY ignored /x/"])
def test_a_missing_file_is_the_builders_own_error(
    docker: Engine, tmp_path: Path, copy: str
) -> None:
    root = make_tree(tmp_path, "a", "ignored", ignore="ignored\n")
    (root / "Dockerfile").write_text(f"FROM scratch\n{copy}\n")
    with pytest.raises(BuildError, match=f'"/{copy.split()[1]}"'):
        run(docker, root)


@pytest.mark.parametrize("name", ["Outer", "Öuter", "a b", "new\nline", os.fsdecode(b"\xff")])
def test_dockerfile_outside_does_not_become_a_file(
    docker: Engine, tmp_path: Path, name: str
) -> None:
    root = make_tree(tmp_path / "context", "a")
    (root / "Dockerfile").write_text("the wrong one\n")
    (tmp_path / name).write_text("FROM scratch\nCOPY . /x/\n")
    assert copied(docker, root, tmp_path / name) == {"a", "Dockerfile"}


def test_ignored_dockerfile_does_not_become_a_file(docker: Engine, tmp_path: Path) -> None:
    root = make_tree(tmp_path, "a", "b", ignore="*\n!a\n")
    (root / "Dockerfile").write_text("FROM scratch\nCOPY . /x/\n")
    assert copied(docker, root) == {"a"}


def test_ignore_file_of_the_dockerfile_is_the_one_that_counts(
    docker: Engine, tmp_path: Path
) -> None:
    # The other one is not even valid: neither we nor the engine may look at it.
    root = make_tree(tmp_path, "a", "b", ignore="[\n")
    (root / "Dockerfile").write_text("FROM scratch\nCOPY . /x/\n")
    (root / "Dockerfile.dockerignore").write_text("b\n.d*\n*.dockerignore\nDockerfile\n")
    assert copied(docker, root) == {"a"}


def test_long_ignore_file_with_names_of_any_script_is_read(docker: Engine, tmp_path: Path) -> None:
    lines = [f"directory/with/a/long/name/é{number}" for number in range(4000)]
    root = make_tree(tmp_path, "a", "é", ignore="\n".join([*lines, "é", ".d*", "Dockerfile"]))
    (root / "Dockerfile").write_text("FROM scratch\nCOPY . /x/\n")
    assert copied(docker, root) == {"a"}


def test_name_that_is_not_utf8_is_refused_only_if_it_is_requested(
    docker: Engine, tmp_path: Path
) -> None:
    root = make_tree(tmp_path, "a")
    (root / os.fsdecode(b"\xff")).touch()
    (root / "Dockerfile").write_text("FROM scratch\nCOPY a /x/\n")
    assert copied(docker, root) == {"a"}
    (root / "Dockerfile").write_text("FROM scratch\nCOPY . /x/\n")
    with pytest.raises(UsageError, match="is not UTF-8") as caught:
        run(docker, root)
    assert caught.value.exit_code == 2


def disappear(path: Path) -> None:
    path.unlink()


def shrink(path: Path) -> None:
    path.write_bytes(b"")


def grow(path: Path) -> None:
    path.write_bytes(b"longer than before")


@pytest.mark.parametrize("change", [disappear, shrink, grow])
def test_file_that_changes_before_it_is_sent_is_named(
    docker: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
) -> None:
    root = make_tree(tmp_path, "before", "changing")
    (root / "Dockerfile").write_text("FROM scratch\nCOPY . /x/\n")

    def change_first(path: Path, name: str, size: int, piece_size: int) -> Iterator[bytes]:
        if name == "changing":
            change(path)
        return read_file(path, name, size, piece_size)

    monkeypatch.setattr(filesync, "read_file", change_first)
    with pytest.raises(BuildError) as caught:
        run(docker, root)
    assert caught.value.message == "'changing' in the context changed while it was sent"


def test_file_that_cannot_be_read_is_a_usage_error(
    docker: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_tree(tmp_path, "secret")
    (root / "Dockerfile").write_text("FROM scratch\nCOPY . /x/\n")
    real = os.open

    def refuse(path: Any, *args: Any, **options: Any) -> int:
        if str(path).endswith("secret"):  # root can read everything
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UsageError) as caught:
        run(docker, root)
    assert caught.value.message == "'secret' in the context cannot be read: Permission denied"


def test_files_of_the_same_name_size_and_time_are_never_mixed_up(
    docker: Engine, tmp_path: Path
) -> None:
    def content_of(project: str, content: str) -> str:
        root = make_tree(tmp_path / project, "file")
        (root / "file").write_text(content)
        os.utime(root / "file", (COMMIT_TIME, COMMIT_TIME))
        (root / "Dockerfile").write_text("FROM scratch\nCOPY file /x/\n")
        return image_files(docker, run(docker, root)[0])["x/file"][1].decode()

    for content in ("aaaa", "bbbb", "aaaa"):
        assert content_of("one", content) == content
        assert content_of("two", content[::-1].upper()) == content.upper()
    projects = ("three", "four")
    contents = [f"{index:04}" for index in range(4)]
    with ThreadPoolExecutor() as pool:  # side by side
        for content in contents:
            found = pool.map(lambda p, c=content: content_of(p, p[0] + c), projects)
            assert list(found) == [project[0] + content for project in projects]


def test_unchanged_context_is_cached(docker: Engine, tmp_path: Path) -> None:
    root = make_tree(tmp_path, "a", str(time.time_ns()))
    (root / "Dockerfile").write_text("FROM scratch\nCOPY . /x/\n")
    first, events = run(docker, root)
    assert not any(isinstance(event, StepCached) for event in events)
    os.utime(root / "a", (1, 1))  # as another checkout
    again, events = run(docker, root)
    assert any(isinstance(event, StepCached) for event in events)
    assert again == first


class Call:
    """A call of DiffCopy by a fake engine: what it sends, and what was sent to it."""

    def __init__(self, metadata: dict[str, str], messages: list[Any]) -> None:
        self.metadata = MultiDict(metadata)
        self.sent: list[Any] = []
        self._messages = iter(messages)

    async def send_message(self, message: Any) -> None:
        self.sent.append(message)

    def __aiter__(self) -> "Call":
        return self

    async def __anext__(self) -> Any:
        message = next(self._messages)
        if isinstance(message, Exception):
            raise message
        return message


@pytest.mark.parametrize(
    ("folder", "message", "error"),
    [
        ("context", ValueError("not a packet"), ValueError),
        ("context", filesync.packet_type()(type=1, ID=99), KeyError),
        ("elsewhere", filesync.packet_type()(type=3), UsageError),
    ],
)
def test_engine_that_breaks_the_protocol_gets_no_answer_and_no_wait(
    tmp_path: Path, folder: str, message: Any, error: type[Exception]
) -> None:
    files = ContextFiles(open_context(make_tree(tmp_path, "a"), None), COMMIT_TIME)
    call = Call({"dir-name": folder}, [message])
    with pytest.raises(error):
        asyncio.run(asyncio.wait_for(files.serve(call), 10))
    assert filesync.packet_type()(type=3) not in call.sent


@pytest.mark.parametrize(
    ("metadata", "names"),
    [
        ([], []),
        ([("followpaths", "a+b"), ("followpaths", "%41")], ["a+b", "%41"]),
        ([("followpaths", "caf\u00c3\u00a9")], ["café"]),
        ([("followpaths", "a%2Bb+caf%C3%A9"), ("followpaths-encoded", "1")], ["a+b café"]),
        ([("include-patterns", "%FF"), ("include-patterns-encoded", "1")], ["\udcff"]),
        ([("followpaths", "\u00ff")], ["\udcff"]),
    ],
)
def test_names_are_read_as_every_version_of_buildkit_writes_them(
    metadata: list[tuple[str, str]], names: list[str]
) -> None:
    assert filesync._requested(MultiDict(metadata)) == names


def test_health_checks_are_answered_during_a_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = threading.Event()
    beaten = threading.Event()

    async def beat() -> None:
        while not found.is_set():
            await asyncio.sleep(0)
        beaten.set()

    def search(*_: object) -> Iterator[tuple[str, os.stat_result]]:
        found.set()
        assert beaten.wait(60)
        return iter(())

    async def both() -> None:
        files = ContextFiles(open_context(make_tree(tmp_path), None), COMMIT_TIME)
        monkeypatch.setattr(filesync, "walk", search)
        call = Call({"dir-name": "context"}, [filesync.packet_type()(type=3)])
        await asyncio.gather(beat(), files.serve(call))

    asyncio.run(both())
    assert beaten.is_set()


def test_files_secret_agent_and_private_base_in_one_build(
    any_engine: RealEngine, tmp_path: Path, start_registry: StartRegistry, ssh_agent: SshAgent
) -> None:
    registry = start_registry(auth="htpasswd")
    registry.put_image("acme/base", "1", {"base": "private"})
    secret = os.urandom(16).hex().encode()
    dockerfile = f"""FROM {registry.address}/acme/base:1
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "/bin"]
RUN --mount=type=secret,id=x,required=true --mount=type=ssh,required=true \\
    sha256sum /run/secrets/x && test -S "$SSH_AUTH_SOCK" && echo agent
COPY . /x/
"""
    files = {".dockerignore": b"busy*\n!busybox\nignored\nDockerfile\n", "ignored": b"", "é": b""}
    context = make_context(tmp_path / "context", dockerfile, files)
    known = {registry.address: Credentials(registry.username, registry.password)}
    events: list[BuildEvent] = []
    secrets = (Secret("x", secret),)
    inputs = build_inputs(context, pull=True, no_cache=True, secrets=secrets, agents=(ssh_agent,))
    with connected(any_engine) as docker:

        def build_it() -> str:
            return build(
                docker,
                inputs,
                builder=choose_builder(docker, "buildkit", inputs),
                credentials=store_of(known),
                progress=events.append,
            )

        if not docker.has_buildkit:
            with pytest.raises(UsageError, match="has no BuildKit"):
                build_it()
            return
        image_id = build_it()
        found = image_files(docker, image_id)
        labels = docker.client.inspect_image(image_id)["Config"]["Labels"]  # type: ignore[no-untyped-call]
    logs = {event.text for event in events if isinstance(event, StepLog)}
    assert f"{hashlib.sha256(secret).hexdigest()}  /run/secrets/x" in logs
    assert "agent" in logs
    assert labels == {"base": "private"}
    assert {"x/.dockerignore", "x/busybox", "x/é"} == {
        name for name, (file, _) in found.items() if name.startswith("x/") and file.isreg()
    }
    assert not any(secret in content for _, content in found.values())
