"""Real builds, with both of the engine's builders."""

import contextlib
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from docker import APIClient

from releasetag.build_inputs import BuildSettings
from releasetag.build_secrets import Secret, SshAgent
from releasetag.context.tar import archive
from releasetag.context.tree import BuildContext
from releasetag.credentials import Credentials, CredentialStore
from releasetag.engine import build as build_module
from releasetag.engine.build import build, choose_builder
from releasetag.engine.connect import Engine, connect
from releasetag.errors import BuildError, EngineError, UsageError
from releasetag.events import (
    BuildEvent,
    StepCached,
    StepDone,
    StepFailed,
    StepLog,
    StepStarted,
)
from tests.conftest import StartRegistry
from tests.support.build import build_inputs
from tests.support.context import SHELL, make_context
from tests.support.credentials import NO_CREDENTIALS, store_of
from tests.support.engine import Engine as RealEngine
from tests.support.engine import PrivateEngine

SECRET = Secret("token", b"hunter2")
AGENT = SshAgent("default", Path("/agent"))
Builder = Literal["buildkit", "classic"]


@pytest.fixture(scope="module")
def docker(engine: RealEngine) -> Iterator[Engine]:
    found = connect(engine.environ)
    yield found
    found.client.close()


@pytest.fixture(params=["buildkit", "classic"])
def builder(request: pytest.FixtureRequest) -> Builder:
    name: Builder = request.param
    return name


def run(
    docker: Engine,
    context: BuildContext,
    builder: Builder,
    *,
    platform: str | None = None,
    credentials: CredentialStore = NO_CREDENTIALS,
    **inputs: Any,
) -> tuple[str, list[BuildEvent]]:
    """Build an image; return its ID and what was reported."""
    events: list[BuildEvent] = []
    image_id = build(
        docker,
        build_inputs(context, **inputs),
        builder=builder,
        platform=platform,
        credentials=credentials,
        progress=events.append,
    )
    return image_id, events


def configuration(docker: Engine, image_id: str) -> dict[str, Any]:
    found: dict[str, Any] = docker.client.inspect_image(image_id)["Config"]  # type: ignore[no-untyped-call]
    return found


def test_options_reach_the_builder(docker: Engine, builder: Builder, tmp_path: Path) -> None:
    dockerfile = f"""{SHELL}
FROM shell AS wanted
ARG GREETING
ARG UNSET=fallback
ENV GREETING=$GREETING UNSET=$UNSET
LABEL own=dockerfile both=dockerfile
RUN cat /etc/hosts; df /dev/shm
FROM wanted AS unwanted
RUN exit 1
"""
    image_id, events = run(
        docker,
        make_context(tmp_path, dockerfile),
        builder,
        target="wanted",
        build_args={"GREETING": "hallo"},
        labels={"org.opencontainers.image.version": "1.2.3", "both": "option"},
        add_hosts=("extra.test:10.9.8.7",),
        shm_size=3 << 20 if builder == "classic" else None,
        no_cache=True,
    )
    found = configuration(docker, image_id)
    assert {"GREETING=hallo", "UNSET=fallback"} <= set(found["Env"])
    assert found["Labels"]["org.opencontainers.image.version"] == "1.2.3"
    assert (found["Labels"]["own"], found["Labels"]["both"]) == ("dockerfile", "option")
    logs = [event.text for event in events if isinstance(event, StepLog)]
    assert any("10.9.8.7" in text and "extra.test" in text for text in logs)
    if builder == "classic":  # the BuildKit of 20.10 cannot size it
        assert any("3072" in text for text in logs)


def test_steps_are_reported_and_numbered(docker: Engine, builder: Builder, tmp_path: Path) -> None:
    context = make_context(tmp_path, f"{SHELL}RUN echo one; printf '\\033[1mtw'; echo o >&2\n")
    run(docker, context, builder)
    _, events = run(docker, context, builder)
    assert any(isinstance(event, StepCached) for event in events)
    _, events = run(docker, context, builder, no_cache=True)
    names = {event.number: event.name for event in events if isinstance(event, StepStarted)}
    number = next(each for each, name in names.items() if "RUN echo one" in name)
    reported = [event for event in events if event.number == number]
    assert "one" in [event.text for event in reported if isinstance(event, StepLog)]
    assert isinstance(reported[-1], StepDone)
    assert list(names) == sorted(names)


def test_a_failed_step_is_named_and_its_last_lines_are_kept(
    docker: Engine, builder: Builder, tmp_path: Path
) -> None:
    context = make_context(tmp_path, f"{SHELL}RUN seq 100; echo last; exit 3\n")
    events: list[BuildEvent] = []
    with pytest.raises(BuildError) as caught:
        build(
            docker,
            build_inputs(context),
            builder=builder,
            credentials=NO_CREDENTIALS,
            progress=events.append,
        )
    assert "seq 100; echo last; exit 3" in caught.value.message
    assert caught.value.message.endswith("code: 3")
    assert caught.value.log == (*map(str, range(82, 101)), "last")
    assert isinstance(events[-1], StepFailed)


@pytest.mark.parametrize(
    ("dockerfile", "options", "message", "hint"),
    [
        ("FRM scratch\n", {}, "dockerfile parse error", "correct the Dockerfile"),
        ("FROM scratch\nCOPY missing /\n", {}, "missing", "files of the context"),
        ("FROM scratch\nCOPY busybox /\n", {"target": "x"}, "(?i)target", "--target"),
        ("FROM scratch\nCOPY busybox /\n", {"platform": "a/b/c/d"}, "a/b/c/d", ""),
        ("FROM 127.0.0.1:1/app\nCOPY busybox /\n", {}, "127.0.0.1:1", "the engine cannot reach"),
    ],
)
def test_an_impossible_build_names_the_reason(
    docker: Engine,
    builder: Builder,
    tmp_path: Path,
    dockerfile: str,
    options: dict[str, Any],
    message: str,
    hint: str,
) -> None:
    with pytest.raises(BuildError, match=message) as caught:
        run(docker, make_context(tmp_path, dockerfile), builder, **options)
    assert "LLB" not in caught.value.message
    assert hint in caught.value.hint


def test_a_program_of_another_platform_is_explained(
    docker: Engine, builder: Builder, tmp_path: Path
) -> None:
    # The head of a 64-bit ELF file for a machine that does not exist.
    program = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x02\0\xff\xff" + b"\0" * 44
    dockerfile = 'FROM scratch\nCOPY --chown=0:0 program /\nRUN ["/program"]\n'
    context = make_context(tmp_path, dockerfile, {"program": program})
    (tmp_path / "program").chmod(0o755)
    with pytest.raises(BuildError) as caught:
        run(docker, context, builder)
    assert "emulators" in caught.value.hint


def test_the_same_context_gives_the_same_image_again(
    docker: Engine, builder: Builder, tmp_path: Path
) -> None:
    dockerfile = f"{SHELL}RUN echo x > /x\nLABEL a=b\n"
    labels = {"org.opencontainers.image.created": "2023-11-14T22:13:20Z"}
    ids = set()
    for name in ("one", "two"):
        context = make_context(tmp_path / name, dockerfile, {"file": b"x"})
        ids.add(run(docker, context, builder, labels=labels)[0])
    assert len(ids) == 1


def test_an_answer_before_the_body_was_read_is_not_lost(
    docker: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def and_zeros(context: BuildContext, mtime: int) -> Iterator[bytes]:
        yield from archive(context, mtime)
        # Trailing zeros are no part of the archive; many more than all buffers hold.
        yield from itertools.repeat(b"\0" * (1 << 20), 64)

    monkeypatch.setattr(build_module, "archive", and_zeros)
    context = make_context(tmp_path, "FROM scratch\nCOPY busybox /\n")
    with pytest.raises(BuildError, match="a/b/c/d"):
        run(docker, context, "classic", platform="a/b/c/d")


def test_an_error_in_the_context_is_reported_as_one(
    docker: Engine, builder: Builder, tmp_path: Path
) -> None:
    context = make_context(tmp_path, "FROM scratch\nCOPY . /\n", {"gone": b"x" * 9})
    with pytest.raises(BuildError) as caught:
        run(docker, replace(context, root=tmp_path / "elsewhere"), builder)
    assert caught.value.message == "'.' in the context changed while it was sent"


def is_running(marker: str) -> bool:
    """Whether a process of this machine has the text among its arguments."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if marker.encode() in path.read_bytes():
                return True
    return False


def test_an_exception_out_of_progress_stops_the_build(
    docker: Engine, builder: Builder, tmp_path: Path
) -> None:
    marker = f"90.{os.getpid()}{builder}"
    was_running = []

    def stop(event: BuildEvent) -> None:
        if isinstance(event, StepLog) and event.text == "running":
            was_running.append(is_running(marker))
            raise KeyboardInterrupt

    dockerfile = f"{SHELL}RUN echo running; sleep 90; : {marker}\n"
    with pytest.raises(KeyboardInterrupt):
        build(
            docker,
            build_inputs(make_context(tmp_path, dockerfile)),
            builder=builder,
            credentials=NO_CREDENTIALS,
            progress=stop,
        )
    assert was_running == [True]
    never = threading.Event()
    assert any(not is_running(marker) or never.wait(0.05) for _ in range(600))


@pytest.mark.parametrize("has_credentials", [True, False])
def test_a_private_base_image_is_pulled_with_credentials(
    docker: Engine,
    builder: Builder,
    tmp_path: Path,
    start_registry: StartRegistry,
    has_credentials: bool,
) -> None:
    registry = start_registry(auth="htpasswd")
    alice = Credentials(registry.username, registry.password)
    registry.put_image("acme/base", "1", {"base": "private"})
    context = make_context(
        tmp_path, f"FROM {registry.address}/acme/base:1\nCOPY busybox /busybox\n"
    )
    known = {registry.address: alice} if has_credentials else {}

    def build_it() -> str:
        return run(docker, context, builder, pull=True, credentials=store_of(known))[0]

    if has_credentials:
        assert configuration(docker, build_it())["Labels"] == {"base": "private"}
        return
    with pytest.raises(BuildError, match=registry.address) as caught:
        build_it()
    assert "releasetag login" in caught.value.hint


def test_an_engine_that_stops_while_it_builds_is_an_engine_error(
    private_engine: PrivateEngine, builder: Builder, tmp_path: Path
) -> None:
    docker = connect(private_engine.environ)
    context = make_context(tmp_path, f"{SHELL}RUN echo running; sleep 60\n")

    def stop(event: BuildEvent) -> None:
        if isinstance(event, StepLog) and event.text == "running":
            private_engine.stop()

    def build_it() -> None:
        inputs = build_inputs(context)
        build(docker, inputs, builder=builder, credentials=NO_CREDENTIALS, progress=stop)

    with pytest.raises((EngineError, BuildError)):
        build_it()
    with pytest.raises(EngineError, match=r"connection to the Docker Engine at unix://.* was lost"):
        build_it()


@pytest.mark.parametrize(
    ("has_buildkit", "wanted", "mounts", "builder"),
    [
        (True, "auto", {}, "buildkit"),
        (False, "auto", {}, "classic"),
        (True, "classic", {}, "classic"),
        (True, "auto", {"secrets": (SECRET,)}, "buildkit"),
        (True, "buildkit", {"agents": (AGENT,)}, "buildkit"),
    ],
)
def test_the_builder_is_chosen(
    docker: Engine,
    tmp_path: Path,
    has_buildkit: bool,
    wanted: str,
    mounts: dict[str, Any],
    builder: str,
) -> None:
    engine = replace(docker, has_buildkit=has_buildkit)
    inputs = build_inputs(make_context(tmp_path, "FROM scratch\n"), **mounts)
    assert choose_builder(engine, wanted, inputs) == builder


@pytest.mark.parametrize(
    ("wanted", "mounts", "message"),
    [
        ("buildkit", {}, "has no BuildKit"),
        ("auto", {"secrets": (SECRET,)}, "neither secrets nor SSH"),
        ("classic", {"agents": (AGENT,)}, "neither secrets nor SSH"),
    ],
)
def test_what_a_builder_does_not_support_is_refused(
    docker: Engine, tmp_path: Path, wanted: str, mounts: dict[str, Any], message: str
) -> None:
    inputs = build_inputs(make_context(tmp_path, "FROM scratch\n"), **mounts)
    with pytest.raises(UsageError, match=message):
        choose_builder(replace(docker, has_buildkit=False), wanted, inputs)


def test_inline_cache_is_for_buildkit_alone(
    docker: Engine, builder: Builder, tmp_path: Path
) -> None:
    dockerfile = "FROM scratch\nARG BUILDKIT_INLINE_CACHE=0\nENV CACHE=$BUILDKIT_INLINE_CACHE\n"
    image_id, _ = run(docker, make_context(tmp_path, dockerfile), builder, inline_cache=True)
    cache = "1" if builder == "buildkit" else "0"
    assert f"CACHE={cache}" in configuration(docker, image_id)["Env"]


def test_the_repr_of_inputs_holds_no_build_argument_and_no_secret(tmp_path: Path) -> None:
    context = make_context(tmp_path, "FROM scratch\n")
    texts = ("id=token,src=hunter2",)
    inputs = build_inputs(context, build_args={"TOKEN": "hunter2"}, secrets=(SECRET,))
    assert "hunter2" not in repr(replace(inputs, settings=BuildSettings(secrets=texts)))


def test_protobuf_is_not_loaded_before_buildkit_builds() -> None:
    program = "import releasetag.engine.build, sys; print('google.protobuf' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"


def test_a_lost_connection_does_not_show_build_arguments(docker: Engine, tmp_path: Path) -> None:
    gone = replace(docker, address="unix:///gone", client=docker_client_at(tmp_path / "gone"))
    context = make_context(tmp_path, "FROM scratch\n")
    inputs = build_inputs(context, build_args={"TOKEN": "hunter2"})
    with pytest.raises(EngineError) as caught:
        build(gone, inputs, builder="classic", credentials=NO_CREDENTIALS, progress=print)
    assert "hunter2" not in caught.value.message


def docker_client_at(path: Path) -> APIClient:
    """A client of an engine that is not there."""
    return APIClient(base_url=f"unix://{path}", version="1.41")
