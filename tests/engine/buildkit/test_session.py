"""Sessions with a real engine that builds, and with a played one for what it does not do."""

import asyncio
import base64
import gc
import gzip
import hashlib
import io
import json
import logging
import os
import re
import secrets
import socket
import ssl
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from releasetag.context.tree import BuildContext
from releasetag.credentials import Credentials, CredentialStore
from releasetag.engine.buildkit import session
from releasetag.engine.buildkit import upgrade as transport
from releasetag.engine.buildkit.filesync import ContextFiles
from releasetag.engine.buildkit.session import (
    MAX_SECRET_BYTES,
    Secret,
    SshAgent,
    open_session,
    parse_secret,
    parse_ssh,
)
from releasetag.engine.connect import Engine, connect
from releasetag.errors import AuthError, EngineError, UsageError
from tests.conftest import StartRegistry
from tests.support import engine as support
from tests.support.certificates import make_authority, make_server_identity
from tests.support.credentials import NO_CREDENTIALS, StoreThatFinds, store_of
from tests.support.image import busybox_files

# --------------------------------------------------------------------------- the options


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "token"
    path.write_bytes(b"from the file\n")
    (tmp_path / "a,b").write_bytes(b"comma")
    return path


@pytest.mark.usefixtures("token_file")
@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("id=x,src=token", "x", b"from the file\n"),
        ("id=x,source=token", "x", b"from the file\n"),
        ("src=token,ID=x", "x", b"from the file\n"),
        ("type=file,id=x,src=token", "x", b"from the file\n"),
        ("id=x,env=TOKEN", "x", b"from the environment"),
        ("type=env,id=x,env=TOKEN", "x", b"from the environment"),
        ("type=env,id=x,src=TOKEN", "x", b"from the environment"),
        ("id=TOKEN", "TOKEN", b"from the environment"),
        ("type=env,id=TOKEN", "TOKEN", b"from the environment"),
        ("id=token", "token", b"from the file\n"),
        ("type=file,id=token", "token", b"from the file\n"),
        ('id=x,"src=a,b"', "x", b"comma"),
        ("id=x,env=EQUALS", "x", b"a=b=="),
        ("id=x,env=EMPTY", "x", b""),
        ("id=x,env=BYTES", "x", b"\xff\xfe"),
    ],
)
def test_a_secret_is_read_as_the_docker_command_reads_it(
    text: str, name: str, value: bytes
) -> None:
    environ = {
        "TOKEN": "from the environment",
        "EQUALS": "a=b==",
        "EMPTY": "",
        "BYTES": os.fsdecode(b"\xff\xfe"),
    }
    assert parse_secret(text, environ) == Secret(name, value)


@pytest.mark.usefixtures("token_file")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no id"),
        ("hunter2", "not written as key=value"),
        ("hunter2==", "not written as key=value"),
        ("id=x,password=hunter2", "not written as key=value"),
        ("src=token", "has no id"),
        ("id=,src=token", "has no id"),
        ("id=x,type=hunter2", "the secret 'x' has an unknown type"),
        ("id=x,src=token,env=hunter2", "the secret 'x' has a file and a variable"),
        ("id=x,type=file,env=hunter2", "the secret 'x' has a file and a variable"),
        ("id=x,env=hunter2", "the variable of the secret 'x' is not set"),
        ("id=x,type=env", "the variable of the secret 'x' is not set"),
        ("id=x,src=hunter2", "the file of the secret 'x' cannot be read: No such file"),
        ("id=x", "the file of the secret 'x' cannot be read: No such file"),
        ("id=x,src=.", "the file of the secret 'x' cannot be read: Is a directory"),
        ("id=x,src=hunter2\0", "the file of the secret 'x' cannot be read: not a file name"),
        ('id=x,src="hunter2"', "stray quote"),
        ('id=x,"src=hunter2', "stray quote"),
        ("id=x\nsrc=hunter2", "stray quote or line break"),
    ],
)
def test_a_wrong_secret_is_refused_without_repeating_what_may_be_its_value(
    text: str, message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        parse_secret(text, {})
    assert message in raised.value.message
    assert "hunter2" not in raised.value.message + raised.value.hint
    assert raised.value.__cause__ is None


def test_a_secret_may_be_as_large_as_buildkit_takes_it_and_no_larger(token_file: Path) -> None:
    token_file.write_bytes(b"x" * MAX_SECRET_BYTES)
    assert len(parse_secret("id=token", {}).value) == MAX_SECRET_BYTES
    token_file.write_bytes(b"x" * (MAX_SECRET_BYTES + 1))
    with pytest.raises(UsageError, match="'token' is larger than 500 KiB"):
        parse_secret("id=token", {})


def test_a_secret_does_not_show_its_value() -> None:
    assert repr(Secret("x", b"hunter2")) == "Secret(id='x')"


@pytest.fixture
def agent_socket(tmp_path: Path) -> Iterator[Path]:
    # Not in tmp_path as a whole name: a Unix socket's is at most 107 bytes long.
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        yield path


@pytest.mark.parametrize(
    ("text", "name", "named"),
    [
        ("default", "default", False),
        ("", "default", False),
        ("deploy", "deploy", False),
        ("default={}", "default", True),
        ("deploy={}", "deploy", True),
    ],
)
def test_an_ssh_option_names_an_agent(
    text: str, name: str, named: bool, agent_socket: Path
) -> None:
    environ = {} if named else {"SSH_AUTH_SOCK": str(agent_socket)}
    assert parse_ssh(text.format(agent_socket), environ) == SshAgent(name, agent_socket)


@pytest.mark.usefixtures("token_file")
@pytest.mark.parametrize(
    ("text", "environ", "message"),
    [
        ("default", {}, "SSH_AUTH_SOCK is not set"),
        ("default", {"SSH_AUTH_SOCK": ""}, "SSH_AUTH_SOCK is not set"),
        ("default", {"SSH_AUTH_SOCK": "gone"}, "'default' has no socket: No such file"),
        ("deploy=", {"SSH_AUTH_SOCK": "gone"}, "'deploy' has no socket"),
        ("deploy=gone", {}, "'deploy' has no socket: No such file"),
        ("deploy=token", {}, "'deploy' is given by a file, but the socket of an agent is wanted"),
    ],
)
def test_an_ssh_option_without_an_agent_is_refused(
    text: str, environ: Mapping[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_ssh(text, environ)


def test_options_are_parsed_without_loading_grpc_and_protobuf() -> None:
    code = (
        "import sys, releasetag.engine.buildkit.session as session\n"
        "session.parse_secret('id=x,env=X', {'X': 'x'})\n"
        "print([name for name in ('docker', 'google.protobuf', 'grpclib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --------------------------------------------------------------------------- builds


@pytest.fixture
def connected(engine: support.Engine) -> Iterator[Engine]:
    with _connected(engine.environ) as found:
        yield found


@pytest.fixture
def tag(engine: support.Engine) -> Iterator[str]:
    name = f"releasetag-session-{secrets.token_hex(4)}:test"
    yield name
    engine.request("DELETE", f"/images/{name}?force=true")


def test_a_secret_reaches_its_step_and_is_nowhere_afterwards(any_engine: support.Engine) -> None:
    value = secrets.token_hex(16).encode()
    tag = f"releasetag-session-{secrets.token_hex(4)}:test"
    # The step lasts long enough for processes to be looked at while it runs.
    steps = "RUN --mount=type=secret,id=x,required=true sha256sum /run/secrets/x && sleep 1.25\n"
    with _connected(any_engine.environ) as engine:
        if not engine.has_buildkit:
            with pytest.raises(EngineError, match="opens no build session"), _session(engine):
                pass
            return
        with (
            _session(engine, secrets=[Secret("x", value)]) as session_id,
            _watched_commands() as commands,
        ):
            output = _build(engine, session_id, busybox_files(steps), tag)
        image = engine.client.get_image(tag, chunk_size=None)
        saved = b"".join(_contents(b"".join(image)))
    history = any_engine.get(f"/images/{tag}/history")
    any_engine.request("DELETE", f"/images/{tag}?force=true")
    assert hashlib.sha256(value).hexdigest().encode() in output
    assert b"sleep 1.25 " in commands
    assert b"sha256sum /run/secrets/x" in saved
    for place in (output, saved, history, *commands):
        assert value not in place


@pytest.mark.parametrize("size", [1, MAX_SECRET_BYTES])
def test_a_secret_of_any_size_arrives_whole(connected: Engine, tag: str, size: int) -> None:
    value = secrets.token_bytes(size)
    steps = "RUN --mount=type=secret,id=x,required=true sha256sum /run/secrets/x\n"
    with _session(connected, secrets=[Secret("x", value)]) as session_id:
        output = _build(connected, session_id, busybox_files(steps), tag)
    assert hashlib.sha256(value).hexdigest().encode() in output


def test_an_unknown_secret_fails_only_the_step_that_requires_it(
    connected: Engine, tag: str
) -> None:
    steps = "RUN --mount=type=secret,id=y{} test ! -e /run/secrets/y\n"
    with _session(connected, secrets=[Secret("x", b"x")]) as session_id:
        _build(connected, session_id, busybox_files(steps.format("")), tag)
        with pytest.raises(AssertionError, match=r"secret y:? not found"):
            _build(connected, session_id, busybox_files(steps.format(",required=true")), tag)


@pytest.fixture
def ssh_agent(tmp_path: Path) -> Iterator[SshAgent]:
    """An agent with one key, whose public half is tmp_path/key.pub."""
    path = tmp_path / "s"
    # In the foreground, so that it is ours to end.
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # it listens from here on
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True
    )
    environ = {**os.environ, "SSH_AUTH_SOCK": str(path)}
    subprocess.run(["ssh-add", "-q", tmp_path / "key"], env=environ, check=True)
    yield SshAgent("default", path)
    process.terminate()
    process.wait()
    process.stdout.close()


def test_a_step_signs_with_the_ssh_agent_but_cannot_change_it(
    connected: Engine, tag: str, ssh_agent: SshAgent, tmp_path: Path
) -> None:
    steps = (
        "COPY root /\n"
        "RUN --mount=type=ssh ssh-add -l && ssh-add -T /key.pub && echo it signs"
        " && ! ssh-add -D && ! ssh-add -x </dev/null && ssh-add -L\n"
    )
    files = busybox_files(steps) | _with_libraries("ssh-add")
    files["root/key.pub"] = (tmp_path / "key.pub").read_bytes()
    files["root/etc/passwd"] = "root:x:0:0::/:/bin/sh\n"
    with _session(connected, agents=[ssh_agent]) as session_id:
        output = _build(connected, session_id, files, tag)
    fingerprint = _run("ssh-keygen", "-l", "-f", tmp_path / "key.pub").split()[1]
    assert fingerprint in output
    assert b"it signs" in output
    environ = {**os.environ, "SSH_AUTH_SOCK": str(ssh_agent.socket)}
    assert fingerprint in _run("ssh-add", "-l", env=environ)


def test_a_step_that_wants_another_ssh_agent_is_told_that_there_is_none(
    connected: Engine, tag: str, ssh_agent: SshAgent
) -> None:
    steps = "RUN --mount=type=ssh,id=deploy{} true\n"
    with _session(connected, agents=[ssh_agent]) as session_id:
        with pytest.raises(AssertionError, match='no SSH key "deploy" forwarded'):
            _build(connected, session_id, busybox_files(steps.format(",required=true")), tag)
        _build(connected, session_id, busybox_files(steps.format("")), tag)


@pytest.mark.parametrize(
    ("auth", "grant"), [("htpasswd", ""), ("token", ""), ("token", "refresh_token")]
)
def test_a_private_base_image_is_pulled_with_credentials_from_the_session(
    connected: Engine,
    tag: str,
    start_registry: StartRegistry,
    auth: Literal["htpasswd", "token"],
    grant: str,
) -> None:
    registry = start_registry(auth=auth)
    registry.put_image("acme/base", "1", {"base": "private"})
    credentials = Credentials(registry.username, registry.password)
    if grant and registry.token_server:
        credentials = Credentials("<token>", identity_token=registry.token_server.refresh_token)
    asked: list[str] = []

    def find(name: str) -> Credentials:
        asked.append(name)
        return credentials

    with _session(connected, credentials=StoreThatFinds(find)) as session_id:
        output = _build(connected, session_id, _on_base(registry.address), tag)
    (image,) = connected.client.images(tag)
    assert image["Labels"] == {"base": "private"}
    assert set(asked) == {registry.address}
    assert registry.password.encode() not in output
    if registry.token_server:
        # Anyone may have a token that pulls: what counts is that the engine did not ask as anyone.
        last = registry.token_server.requests[-1]
        assert (last.account, last.grant_type) == ("" if grant else registry.username, grant)


def test_a_private_base_image_without_credentials_fails_the_build(
    connected: Engine, tag: str, start_registry: StartRegistry
) -> None:
    registry = start_registry(auth="htpasswd")
    registry.put_image("acme/base", "1")
    with _session(connected) as session_id, pytest.raises(AssertionError, match="auth"):
        _build(connected, session_id, _on_base(registry.address), tag)


@pytest.mark.parametrize("way", ["tcp", "tls", "ssh"])
def test_a_session_goes_the_way_that_leads_to_the_engine(
    engine: support.Engine, tag: str, tmp_path: Path, way: Literal["tcp", "tls", "ssh"]
) -> None:
    steps = "RUN --mount=type=secret,id=x,required=true sha256sum /run/secrets/x\n"
    value = secrets.token_bytes(MAX_SECRET_BYTES)
    path = Path(engine.host.removeprefix("unix://"))
    with (
        _way_to(path, way, tmp_path) as environ,
        _connected(environ) as far,
        _session(far, secrets=[Secret("x", value)]) as session_id,
    ):
        output = _build(far, session_id, busybox_files(steps), tag)
    assert hashlib.sha256(value).hexdigest().encode() in output


def test_nothing_is_left_of_a_session(connected: Engine, tag: str, ssh_agent: SshAgent) -> None:
    steps = "RUN --mount=type=ssh --mount=type=secret,id=x test -e $SSH_AUTH_SOCK\n"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        connected.client.close()  # which keeps its connections for the next request
        before = (set(threading.enumerate()), _open_files())
        with _session(connected, agents=[ssh_agent], secrets=[Secret("x", b"x")]) as session_id:
            _build(connected, session_id, busybox_files(steps), tag)
        connected.client.close()
        gc.collect()
        assert (set(threading.enumerate()), _open_files()) == before
    assert [str(warning.message) for warning in warned] == []


# --------------------------------------------------------------------------- a played engine


def test_docker_hub_is_asked_for_by_its_name_and_tokens_go_as_secrets(connected: Engine) -> None:
    known = {
        "docker.io": Credentials("alice", "hunter2"),
        "ghcr.io": Credentials("<token>", identity_token="refresh"),
    }
    hosts = ("registry-1.docker.io", "ghcr.io", "quay.io")
    with _played(connected) as (engine, calls), _session(engine, credentials=store_of(known)):
        answers = [calls("/moby.filesync.v1.Auth/Credentials", Host=host) for host in hosts]
    assert [(answer.Username, answer.Secret) for answer in answers] == [
        ("alice", "hunter2"),
        ("", "refresh"),
        ("", ""),
    ]


@pytest.mark.parametrize("method", ["FetchToken", "GetTokenAuthority", "VerifyTokenAuthority"])
def test_registry_tokens_are_declined_so_that_the_engine_asks_for_credentials(
    connected: Engine, method: str
) -> None:
    with _played(connected) as (engine, calls), _session(engine):
        with pytest.raises(GRPCError) as raised:
            calls(f"/moby.filesync.v1.Auth/{method}")
        assert raised.value.status is Status.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AuthError("the helper failed", "run it by hand"), "the helper failed"),
        (ValueError("hunter2"), "ValueError"),
    ],
)
def test_a_failure_tells_the_engine_and_the_log_nothing_secret(
    connected: Engine,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    error: Exception,
    said: str,
) -> None:
    def fail(registry: str) -> Credentials:
        raise error

    caplog.set_level(logging.DEBUG)
    with _played(connected) as (engine, calls), _session(engine, credentials=StoreThatFinds(fail)):
        with pytest.raises(GRPCError) as raised:
            calls("/moby.filesync.v1.Auth/Credentials", Host="ghcr.io")
        # And it is still there for the next question.
        assert calls("health").status == HealthCheckResponse.SERVING
    assert raised.value.message == said
    assert "hunter2" not in caplog.text
    assert [record for record in caplog.records if record.name.startswith("grpclib")] == []
    assert capfd.readouterr() == ("", "")


def test_a_slow_credential_helper_does_not_make_the_session_look_dead(connected: Engine) -> None:
    release = threading.Event()

    def slow(registry: str) -> None:
        release.wait(10)

    with (
        _played(connected) as (engine, calls),
        _session(engine, credentials=StoreThatFinds(slow)),
        ThreadPoolExecutor() as pool,
    ):
        asking = pool.submit(calls, "/moby.filesync.v1.Auth/Credentials", Host="ghcr.io")
        assert calls("health").status == HealthCheckResponse.SERVING
        assert not asking.done()
        release.set()
        assert asking.result().Secret == ""


def test_an_engine_that_goes_away_holds_nothing_up_and_leaves_no_traceback(
    connected: Engine, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    begun = time.monotonic()
    release = threading.Event()

    def slow(registry: str) -> None:
        release.wait(10)

    with _played(connected) as (engine, calls), _session(engine, credentials=StoreThatFinds(slow)):
        with ThreadPoolExecutor() as pool:
            asking = pool.submit(calls, "/moby.filesync.v1.Auth/Credentials", Host="ghcr.io")
            assert calls("health").status == HealthCheckResponse.SERVING
            calls("hang up")
            with pytest.raises(StreamTerminatedError):
                asking.result()
        release.set()
    assert time.monotonic() - begun < 5
    assert [thread.name for thread in threading.enumerate() if "buildkit" in thread.name] == []
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


def test_a_credential_helper_that_hangs_does_not_keep_the_build_from_ending(
    connected: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_CLOSE_SECONDS", 0.1)
    release = threading.Event()

    def hang(registry: str) -> None:
        release.wait(10)

    with _played(connected) as (engine, calls), ThreadPoolExecutor() as pool:
        with _session(engine, credentials=StoreThatFinds(hang)):
            asking = pool.submit(calls, "/moby.filesync.v1.Auth/Credentials", Host="ghcr.io")
            assert calls("health").status == HealthCheckResponse.SERVING
            begun = time.monotonic()
        assert time.monotonic() - begun < 5
        release.set()
        with pytest.raises(StreamTerminatedError):
            asking.result()
    for thread in threading.enumerate():
        if thread.name == "buildkit-session":
            thread.join(10)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "it answered 404"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "it answered 200"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "it answered no HTTP status"),
        (b"HTTP/1.1 101 Switching" + b"x" * 70_000, "it answered no HTTP status"),
        (b"", "closed the connection"),
        (b"HTTP/1.1 101 Switch", "closed the connection"),
    ],
)
def test_an_engine_that_opens_no_session_is_an_error(
    connected: Engine, tmp_path: Path, answer: bytes, message: str
) -> None:
    with (
        _listener(tmp_path) as (path, listener),
        _thread(_answer_once, listener, answer),
        pytest.raises(EngineError, match=message),
        _session(replace(connected, address=f"unix://{path}")),
    ):
        pass
    assert "buildkit-session" not in {thread.name for thread in threading.enumerate()}


def test_an_engine_that_does_not_answer_is_an_error(
    connected: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "PING_TIMEOUT", 0.1)
    with (
        _listener(tmp_path) as (path, _),
        pytest.raises(EngineError, match="was lost"),
        _session(replace(connected, address=f"unix://{path}")),
    ):
        pass


def test_an_engine_that_has_gone_is_an_error(connected: Engine, tmp_path: Path) -> None:
    with (
        pytest.raises(EngineError, match="no such file"),
        _session(replace(connected, address=f"unix://{tmp_path}/gone")),
    ):
        pass


_UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")


def test_the_first_bytes_of_http2_may_come_together_with_the_answer(
    connected: Engine, tmp_path: Path
) -> None:
    ping = bytes.fromhex("000008060000000000") + b"releaset"
    received = bytearray()

    def play(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            received.extend(_read_head(peer))
            peer.sendall(_UPGRADED + _PREFACE + ping)
            while b"releaset" not in received.partition(b"\r\n\r\n")[2]:
                received.extend(peer.recv(4096))

    with (
        _listener(tmp_path) as (path, listener),
        _thread(play, listener) as player,
        _session(replace(connected, address=f"unix://{path}")) as session_id,
    ):
        player.join(10)
    request = bytes(received).partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert request[0] == f"POST /v{connected.api_version}/session HTTP/1.1"
    assert f"X-Docker-Expose-Session-Uuid: {session_id}" in request
    # Of a key of their own, or two builds would take each other's files for the same.
    assert f"X-Docker-Expose-Session-Sharedkey: {session_id}" in request
    methods = [line.partition(": ")[2] for line in request if "Grpc-Method" in line]
    assert "/moby.filesync.v1.FileSync/DiffCopy" in methods
    assert "/moby.buildkit.secrets.v1.Secrets/GetSecret" in methods
    assert "/moby.sshforward.v1.SSH/ForwardAgent" in methods


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"not HTTP/2 at all, and long enough for that to be plain", id="no preface"),
        pytest.param(_PREFACE + bytes.fromhex("000000fe0000000000"), id="unknown frame"),
        pytest.param(_PREFACE + bytes.fromhex("ffffff000000000001"), id="frame too large"),
    ],
)
def test_an_engine_that_does_not_speak_http2_leaves_no_traceback(
    connected: Engine,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    data: bytes,
) -> None:
    with (
        _listener(tmp_path) as (path, listener),
        _thread(_answer_once, listener, _UPGRADED + data, True) as player,
        _session(replace(connected, address=f"unix://{path}")),
    ):
        player.join(10)
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("chunks", "requests"),
    [
        ([b"\0\0\0\1\x0b"], [b"\0\0\0\1\x0b"]),
        ([b"\0", b"\0\0\1", b"\x0b"], [b"\0\0\0\1\x0b"]),
        ([b"\0\0\0\1\x0b\0\0\0\2\x0dx\0"], [b"\0\0\0\1\x0b", b"\0\0\0\2\x0dx"]),
        ([b"\0\0\0\0"], [b"\0\0\0\0"]),
    ],
)
def test_agent_requests_are_told_apart_however_they_are_cut(
    chunks: list[bytes], requests: list[bytes]
) -> None:
    found, rest = [], b""
    for chunk in chunks:
        whole, rest = session._split_agent_requests(rest + chunk)
        found += whole
    assert found == requests


def test_an_agent_request_larger_than_openssh_takes_is_not_gathered() -> None:
    with pytest.raises(ValueError, match="too long"):
        session._split_agent_requests(b"\xff\xff\xff\xff")


# --------------------------------------------------------------------------- helpers


# The builds here bring their context along: what is asked for over a session is then all else.
_NO_FILES = ContextFiles(BuildContext(Path("/gone"), Path("/gone/Dockerfile"), "", (), None), 0)


def _on_base(registry: str) -> dict[str, str | bytes]:
    return {"Dockerfile": f"FROM {registry}/acme/base:1\nCOPY hello /\n", "hello": ""}


@contextmanager
def _connected(environ: Mapping[str, str]) -> Iterator[Engine]:
    found = connect(environ)
    yield found
    found.client.close()


@contextmanager
def _session(
    engine: Engine,
    *,
    secrets: list[Secret] | None = None,
    agents: list[SshAgent] | None = None,
    credentials: CredentialStore = NO_CREDENTIALS,
) -> Iterator[str]:
    with open_session(
        engine,
        files=_NO_FILES,
        secrets=secrets or [],
        agents=agents or [],
        credentials=credentials,
    ) as session_id:
        yield session_id


def _build(
    engine: Engine,
    session_id: str,
    files: Mapping[str, str | bytes],
    tag: str,
) -> bytes:
    """Build, and give all that the engine said.

    Raises:
        AssertionError: the build failed; the engine's error.
    """
    with engine.client.post(
        f"{engine.client.base_url}/v{engine.api_version}/build",
        params={
            "version": "2",
            "session": session_id,
            "t": tag,
            "networkmode": "none",
            "nocache": "1",
        },
        data=_tar(files),
        headers={"Content-Type": "application/x-tar"},
        stream=True,
        timeout=120,
    ) as answer:
        said = b""
        for line in answer.iter_lines():
            message = json.loads(line)
            if message.get("id") == "moby.buildkit.trace":
                said += base64.b64decode(message["aux"])
            else:
                said += line
            assert "error" not in message, message["error"]
    return said


def _tar(files: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = 0o755
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _contents(archive: bytes) -> Iterator[bytes]:
    """The archive, and whatever in it is compressed as well, uncompressed."""
    yield archive
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        for member in members:
            content = members.extractfile(member)
            data = content.read() if content else b""
            if data.startswith(b"\x1f\x8b"):
                yield gzip.decompress(data)


@contextmanager
def _watched_commands() -> Iterator[list[bytes]]:
    """The command lines of all processes of this machine, looked at again and again."""
    seen: list[bytes] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(path.read_bytes().replace(b"\0", b" "))
                except OSError:
                    continue  # it has just ended

    with _thread(watch):
        try:
            yield seen
        finally:
            stop.set()


def _open_files() -> set[tuple[str, str]]:
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        try:
            found.add((path.name, str(path.readlink())))
        except OSError:
            continue  # the listing's own
    return found


def _run(*command: str | Path, env: Mapping[str, str] | None = None) -> bytes:
    return subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True).stdout


def _with_libraries(program: str) -> dict[str, str | bytes]:
    """A dynamic program and what it loads, for a context folder `root`."""
    path = _run("sh", "-c", 'command -v "$0"', program).decode().strip()
    listed = _run("ldd", path).decode()
    libraries = re.findall(r"(/\S+) \(0x", listed)
    found: dict[str, str | bytes] = {f"root/bin/{program}": Path(path).read_bytes()}
    return found | {f"root{library}": Path(library).read_bytes() for library in libraries}


@contextmanager
def _thread(target: Callable[..., object], *args: object) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    yield thread
    thread.join(10)
    assert not thread.is_alive()


@contextmanager
def _listener(directory: Path) -> Iterator[tuple[Path, socket.socket]]:
    path = directory / "l"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield path, listener


def _read_head(peer: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += peer.recv(1)
    return head


def _answer_once(listener: socket.socket, answer: bytes, listen: bool = False) -> None:
    """Accept, answer and close; with `listen` not before the other side has said all it will."""
    peer, _ = listener.accept()
    with peer:
        _read_head(peer)
        peer.sendall(answer)
        peer.settimeout(0.2)
        with suppress(TimeoutError):
            while listen and peer.recv(4096):
                pass


class _Turned(Channel):
    """A gRPC client on a connection that somebody else opened: the engine's side of a session."""

    def __init__(self, peer: socket.socket) -> None:
        super().__init__()
        self._peer = peer

    async def _create_connection(self) -> Any:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.connect_accepted_socket(self._protocol_factory, self._peer)
        return protocol


@contextmanager
def _played(engine: Engine) -> Iterator[tuple[Engine, Callable[..., Any]]]:
    """An engine that accepts one session, and a function that calls a method on that session.

    The function takes the path of a method and the fields of its request, or "health", or
    "hang up", which closes the connection.
    """
    channels: list[_Turned] = []

    def accept(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        _read_head(peer)
        peer.sendall(_UPGRADED)
        loop.call_soon_threadsafe(lambda: channels.append(_Turned(peer)))

    async def call(path: str, fields: dict[str, str]) -> Any:
        channel = channels[0]
        if path == "hang up":
            return channel.close()
        if path == "health":
            return await HealthStub(channel).Check(HealthCheckRequest(), timeout=10)
        types = session._messages()
        name = path.rpartition("/")[2]
        request, reply = types[f"{name}Request"], types[f"{name}Response"]
        return await UnaryUnaryMethod(channel, path, request, reply)(request(**fields))

    def calls(path: str, **fields: str) -> Any:
        accepting.join(10)
        return asyncio.run_coroutine_threadsafe(call(path, fields), loop).result(10)

    with (
        tempfile.TemporaryDirectory() as directory,
        _event_loop() as loop,
        _listener(Path(directory)) as (path, listener),
        _thread(accept, listener) as accepting,
    ):
        yield replace(engine, address=f"unix://{path}"), calls
        accepting.join(10)
        loop.call_soon_threadsafe(channels[0].close)


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread; what still runs on it at the end is cancelled."""
    loop = asyncio.new_event_loop()

    async def wind_up() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):  # transports close in the rounds after
            await asyncio.sleep(0)

    with _thread(loop.run_forever):
        try:
            yield loop
        finally:
            asyncio.run_coroutine_threadsafe(wind_up(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
    loop.close()


@contextmanager
def _way_to(
    engine: Path, way: Literal["tcp", "tls", "ssh"], directory: Path
) -> Iterator[dict[str, str]]:
    """The environment that leads to the engine's socket by TCP, by TLS or by an ssh command."""
    if way == "ssh":
        # What `docker system dial-stdio` does at the other end, without the other end.
        program = directory / "ssh"
        program.write_text(_SSH.format(python=sys.executable, engine=str(engine)))
        program.chmod(0o755)
        yield {
            "DOCKER_HOST": "ssh://alice@engine.test",
            "PATH": f"{directory}:{os.environ['PATH']}",
        }
        return
    environ = {}
    context = None
    if way == "tls":
        authority = make_authority("releasetag test authority")
        identity = make_server_identity(authority)
        for name, content in {
            "ca.pem": authority.certificate_pem,
            "cert.pem": identity.certificate_pem,
            "key.pem": identity.key_pem,
        }.items():
            (directory / name).write_bytes(content)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        context.load_verify_locations(directory / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED  # as a dockerd with --tlsverify
        environ = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(directory)}
    with _event_loop() as loop:
        starting = asyncio.start_server(partial(_relay, engine), "127.0.0.1", 0, ssl=context)
        server = asyncio.run_coroutine_threadsafe(starting, loop).result(10)
        port = server.sockets[0].getsockname()[1]
        yield environ | {"DOCKER_HOST": f"tcp://127.0.0.1:{port}"}
        loop.call_soon_threadsafe(server.close)


async def _relay(engine: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    far_reader, far_writer = await asyncio.open_unix_connection(engine)
    await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # the other side hung up
    finally:
        writer.close()


_SSH = """\
#!{python}
import os, socket, sys, threading
assert sys.argv[-5:] == ["-l", "alice", "--", "engine.test", "docker system dial-stdio"], sys.argv
engine = socket.socket(socket.AF_UNIX)
engine.connect({engine!r})

def send():
    while data := os.read(0, 65536):
        engine.sendall(data)
    engine.shutdown(socket.SHUT_WR)

threading.Thread(target=send, daemon=True).start()
while data := engine.recv(65536):
    while data:
        data = data[os.write(1, data):]
"""
