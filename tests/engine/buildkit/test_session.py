"""The connection of a session, to a real engine and to a played one."""

import gc
import hashlib
import logging
import secrets
import socket
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from grpclib.exceptions import StreamTerminatedError
from grpclib.health.v1.health_pb2 import HealthCheckResponse

from releasetag.build_secrets import (
    MAX_SECRET_BYTES,
    Secret,
    SshAgent,
)
from releasetag.engine.buildkit import session, upgrade
from releasetag.engine.connect import Engine
from releasetag.errors import EngineError
from tests.support import engine as support
from tests.support.credentials import StoreThatFinds
from tests.support.image import busybox_files
from tests.support.session import (
    PREFACE,
    UPGRADED,
    answer_once,
    build_in_session,
    connected_to,
    environ_for,
    in_thread,
    listening_socket,
    open_files,
    played_engine,
    read_head,
    session_on,
)


@pytest.mark.parametrize("way", ["tcp", "tls", "ssh"])
def test_a_session_uses_the_transport_of_the_engine(
    engine: support.Engine, tag: str, tmp_path: Path, way: Literal["tcp", "tls", "ssh"]
) -> None:
    steps = "RUN --mount=type=secret,id=x,required=true sha256sum /run/secrets/x\n"
    value = secrets.token_bytes(MAX_SECRET_BYTES)
    path = Path(engine.host.removeprefix("unix://"))
    with (
        environ_for(path, way, tmp_path) as environ,
        connected_to(environ) as far,
        session_on(far, secrets=[Secret("x", value)]) as session_id,
    ):
        output = build_in_session(far, session_id, busybox_files(steps), tag)
    assert hashlib.sha256(value).hexdigest().encode() in output


def test_nothing_is_left_of_a_session(connected: Engine, tag: str, ssh_agent: SshAgent) -> None:
    steps = "RUN --mount=type=ssh --mount=type=secret,id=x test -e $SSH_AUTH_SOCK\n"
    connected.client.close()  # which keeps its connections for the next request
    gc.collect()  # what other tests left
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        threads, files = set(threading.enumerate()), open_files()
        with session_on(connected, agents=[ssh_agent], secrets=[Secret("x", b"x")]) as session_id:
            build_in_session(connected, session_id, busybox_files(steps), tag)
        connected.client.close()
        gc.collect()
        # What other tests left may end meanwhile.
        assert set(threading.enumerate()) - threads == set()
        assert open_files() - files == set()
    assert [str(warning.message) for warning in warned] == []


def test_an_engine_that_stops_blocks_nothing_and_leaves_no_traceback(
    connected: Engine, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    begun = time.monotonic()
    release = threading.Event()

    def slow(registry: str) -> None:
        release.wait(60)

    with (
        played_engine(connected) as (engine, calls),
        session_on(engine, credentials=StoreThatFinds(slow)),
    ):
        with ThreadPoolExecutor() as pool:
            asking = pool.submit(calls, "/moby.filesync.v1.Auth/Credentials", Host="ghcr.io")
            assert calls("health").status == HealthCheckResponse.SERVING
            calls("hang up")
            with pytest.raises(StreamTerminatedError):
                asking.result()
        release.set()
    assert time.monotonic() - begun < 50
    assert [thread.name for thread in threading.enumerate() if "buildkit" in thread.name] == []
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


def test_a_credential_helper_that_hangs_does_not_keep_the_build_from_ending(
    connected: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_CLOSE_SECONDS", 0.1)
    release = threading.Event()

    def hang(registry: str) -> None:
        release.wait(60)

    with played_engine(connected) as (engine, calls), ThreadPoolExecutor() as pool:
        with session_on(engine, credentials=StoreThatFinds(hang)):
            asking = pool.submit(calls, "/moby.filesync.v1.Auth/Credentials", Host="ghcr.io")
            assert calls("health").status == HealthCheckResponse.SERVING
            begun = time.monotonic()
        assert time.monotonic() - begun < 50
        release.set()
        with pytest.raises(StreamTerminatedError):
            asking.result()
    for thread in threading.enumerate():
        if thread.name == "buildkit-session":
            thread.join(60)


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
        listening_socket(tmp_path) as (path, listener),
        in_thread(answer_once, listener, answer),
        pytest.raises(EngineError, match=message),
        session_on(replace(connected, address=f"unix://{path}")),
    ):
        pass
    assert "buildkit-session" not in {thread.name for thread in threading.enumerate()}


def test_an_engine_that_does_not_answer_is_an_error(
    connected: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "PING_TIMEOUT", 0.1)
    with (
        listening_socket(tmp_path) as (path, _),
        pytest.raises(EngineError, match="was lost"),
        session_on(replace(connected, address=f"unix://{path}")),
    ):
        pass


def test_an_engine_that_has_gone_is_an_error(connected: Engine, tmp_path: Path) -> None:
    with (
        pytest.raises(EngineError, match="no such file"),
        session_on(replace(connected, address=f"unix://{tmp_path}/gone")),
    ):
        pass


def test_the_first_bytes_of_http2_may_come_together_with_the_answer(
    connected: Engine, tmp_path: Path
) -> None:
    ping = bytes.fromhex("000008060000000000") + b"releaset"
    received = bytearray()

    def play(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            received.extend(read_head(peer))
            peer.sendall(UPGRADED + PREFACE + ping)
            while b"releaset" not in received.partition(b"\r\n\r\n")[2]:
                received.extend(peer.recv(4096))

    with (
        listening_socket(tmp_path) as (path, listener),
        in_thread(play, listener) as player,
        session_on(replace(connected, address=f"unix://{path}")) as session_id,
    ):
        player.join(60)
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
        pytest.param(PREFACE + bytes.fromhex("000000fe0000000000"), id="unknown frame"),
        pytest.param(PREFACE + bytes.fromhex("ffffff000000000001"), id="frame too large"),
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
        listening_socket(tmp_path) as (path, listener),
        in_thread(answer_once, listener, UPGRADED + data, True) as player,
        session_on(replace(connected, address=f"unix://{path}")),
    ):
        player.join(60)
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""
