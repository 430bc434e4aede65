"""What a session answers: to a real engine that builds, and to a played one."""

import hashlib
import logging
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_pb2 import HealthCheckResponse

from releasetag.build_secrets import (
    MAX_SECRET_BYTES,
    Secret,
)
from releasetag.credentials import Credentials
from releasetag.engine.connect import Engine
from releasetag.errors import AuthError, EngineError
from tests.conftest import StartRegistry
from tests.support import engine as support
from tests.support.credentials import StoreThatFinds, store_of
from tests.support.image import busybox_files
from tests.support.session import (
    build_in_session,
    connected_to,
    contents_of,
    files_on_base,
    played_engine,
    session_on,
    watched_commands,
)


def test_a_secret_reaches_its_step_and_is_nowhere_afterwards(any_engine: support.Engine) -> None:
    value = secrets.token_hex(16).encode()
    tag = f"releasetag-session-{secrets.token_hex(4)}:test"
    # The step lasts long enough for processes to be inspected while it runs.
    steps = "RUN --mount=type=secret,id=x,required=true sha256sum /run/secrets/x && sleep 1.25\n"
    with connected_to(any_engine.environ) as engine:
        if not engine.has_buildkit:
            with pytest.raises(EngineError, match="opens no build session"), session_on(engine):
                pass
            return
        with (
            session_on(engine, secrets=[Secret("x", value)]) as session_id,
            watched_commands() as commands,
        ):
            output = build_in_session(engine, session_id, busybox_files(steps), tag)
        image = engine.client.get_image(tag, chunk_size=None)
        saved = b"".join(contents_of(b"".join(image)))
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
    with session_on(connected, secrets=[Secret("x", value)]) as session_id:
        output = build_in_session(connected, session_id, busybox_files(steps), tag)
    assert hashlib.sha256(value).hexdigest().encode() in output


def test_an_unknown_secret_fails_only_the_step_that_requires_it(
    connected: Engine, tag: str
) -> None:
    steps = "RUN --mount=type=secret,id=y{} test ! -e /run/secrets/y\n"
    with session_on(connected, secrets=[Secret("x", b"x")]) as session_id:
        build_in_session(connected, session_id, busybox_files(steps.format("")), tag)
        with pytest.raises(AssertionError, match=r"secret y:? not found"):
            build_in_session(
                connected, session_id, busybox_files(steps.format(",required=true")), tag
            )


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
    requested: list[str] = []

    def find(name: str) -> Credentials:
        requested.append(name)
        return credentials

    with session_on(connected, credentials=StoreThatFinds(find)) as session_id:
        output = build_in_session(connected, session_id, files_on_base(registry.address), tag)
    (image,) = connected.client.images(tag)
    assert image["Labels"] == {"base": "private"}
    assert set(requested) == {registry.address}
    assert registry.password.encode() not in output
    if registry.token_server:
        # Anyone may have a token that pulls; the engine must not have requested one anonymously.
        last = registry.token_server.requests[-1]
        assert (last.account, last.grant_type) == ("" if grant else registry.username, grant)


def test_a_private_base_image_without_credentials_fails_the_build(
    connected: Engine, tag: str, start_registry: StartRegistry
) -> None:
    registry = start_registry(auth="htpasswd")
    registry.put_image("acme/base", "1")
    with session_on(connected) as session_id, pytest.raises(AssertionError, match="auth"):
        build_in_session(connected, session_id, files_on_base(registry.address), tag)


def test_docker_hub_is_requested_by_name_and_tokens_are_sent_as_secrets(connected: Engine) -> None:
    known = {
        "docker.io": Credentials("alice", "hunter2"),
        "ghcr.io": Credentials("<token>", identity_token="refresh"),
    }
    hosts = ("registry-1.docker.io", "ghcr.io", "quay.io")
    with (
        played_engine(connected) as (engine, calls),
        session_on(engine, credentials=store_of(known)),
    ):
        answers = [calls("/moby.filesync.v1.Auth/Credentials", Host=host) for host in hosts]
    assert [(answer.Username, answer.Secret) for answer in answers] == [
        ("alice", "hunter2"),
        ("", "refresh"),
        ("", ""),
    ]


@pytest.mark.parametrize("method", ["FetchToken", "GetTokenAuthority", "VerifyTokenAuthority"])
def test_registry_tokens_are_declined_so_that_the_engine_requests_credentials(
    connected: Engine, method: str
) -> None:
    with played_engine(connected) as (engine, calls), session_on(engine):
        with pytest.raises(GRPCError) as raised:
            calls(f"/moby.filesync.v1.Auth/{method}")
        assert raised.value.status is Status.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (AuthError("the helper failed", "run it by hand"), "the helper failed"),
        (ValueError("hunter2"), "ValueError"),
    ],
)
def test_a_failure_puts_nothing_secret_into_its_status_or_the_log(
    connected: Engine,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    error: Exception,
    status: str,
) -> None:
    def fail(registry: str) -> Credentials:
        raise error

    caplog.set_level(logging.DEBUG)
    with (
        played_engine(connected) as (engine, calls),
        session_on(engine, credentials=StoreThatFinds(fail)),
    ):
        with pytest.raises(GRPCError) as raised:
            calls("/moby.filesync.v1.Auth/Credentials", Host="ghcr.io")
        # And it is still there for the next question.
        assert calls("health").status == HealthCheckResponse.SERVING
    assert raised.value.message == status
    assert "hunter2" not in caplog.text
    assert [record for record in caplog.records if record.name.startswith("grpclib")] == []
    assert capfd.readouterr() == ("", "")


def test_a_slow_credential_helper_does_not_make_the_session_look_dead(connected: Engine) -> None:
    release = threading.Event()

    def slow(registry: str) -> None:
        release.wait(60)

    with (
        played_engine(connected) as (engine, calls),
        session_on(engine, credentials=StoreThatFinds(slow)),
        ThreadPoolExecutor() as pool,
    ):
        asking = pool.submit(calls, "/moby.filesync.v1.Auth/Credentials", Host="ghcr.io")
        assert calls("health").status == HealthCheckResponse.SERVING
        assert not asking.done()
        release.set()
        assert asking.result().Secret == ""
