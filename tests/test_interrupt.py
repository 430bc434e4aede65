"""Ctrl-C and SIGTERM in moments that may last: the program ends at once and says how far it is."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from tests.conftest import StartProxy
from tests.support.engine import Engine
from tests.support.fault import Decide, Fault, Hold
from tests.support.git import GitRepository
from tests.support.image import busybox_files
from tests.support.promises import digests
from tests.support.registry import RegistryServer
from tests.support.run import Finished, run_cli, start_cli

# A bound against hanging, not a measurement: what is interrupted would go on for minutes.
SECONDS = 50.0
SIGNALS = pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)


Moment = Callable[["subprocess.Popen[str]"], object]


class Interrupt(Protocol):
    """Starts a publish, waits for a moment, and sends a signal; what the program left behind."""

    def __call__(self, number: int, moment: Moment, *args: str) -> Finished: ...


@pytest.fixture
def interrupt(app: GitRepository, engine: Engine, home: Path) -> Interrupt:
    def interrupt(number: int, moment: Moment, *args: str) -> Finished:
        with start_cli(*args, cwd=app.path, home=home, env=engine.environ) as process:
            moment(process)
            process.send_signal(number)
            try:
                stdout, stderr = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                pytest.fail(f"it did not end in {SECONDS} s: {process.communicate()}")
        return Finished(args, process.returncode, stdout, stderr)

    return interrupt


def holding(pattern: str, reached: threading.Event, released: threading.Event) -> Decide:
    def decide(_index: int, method: str, path: str) -> Fault | None:
        if not re.match(pattern, f"{method} {path}"):
            return None
        reached.set()
        return Hold(released)

    return decide


@SIGNALS
@pytest.mark.parametrize(
    ("pattern", "said", "published"),
    [
        ("PUT .*/manifests/1.2.3", "nothing was pushed", {}),
        ("PUT .*/manifests/1.2$", "what was done is listed", {"1.2.3": "pushed"}),
        (
            "PUT .*/manifests/latest",
            "what was done is listed",
            {"1.2.3": "pushed", "1.2": "pushed"},
        ),
    ],
    ids=["engine", "first move", "last move"],
)
def test_while_a_push_hangs(
    interrupt: Interrupt,
    app: GitRepository,
    engine: Engine,
    home: Path,
    registry: RegistryServer,
    start_proxy: StartProxy,
    number: int,
    code: int,
    pattern: str,
    said: str,
    published: dict[str, str],
) -> None:
    reached, released = threading.Event(), threading.Event()
    proxy = start_proxy(registry, holding(pattern, reached, released))
    image = f"{proxy.address}/acme/app"
    try:
        done = interrupt(number, lambda _: reached.wait(60), "publish", "-i", image, "--json")
    finally:
        released.set()
    assert reached.is_set()
    assert done.returncode == code, done
    assert done.json["error"]["code"] == code
    assert done.json["error"]["kind"] == "interrupted"
    assert said in done.json["error"]["message"]
    told = {e["reference"].rpartition(":")[2]: e["status"] for e in done.json["published"]}
    assert told == published
    assert "Traceback" not in done.stderr
    again = run_cli("publish", "-i", image, cwd=app.path, home=home, env=engine.environ)
    assert again.returncode == 0, again
    assert set(digests(registry, "acme/app")) == {"1.2.3", "1.2", "latest"}


@SIGNALS
def test_while_a_step_of_the_build_runs(
    interrupt: Interrupt,
    app: GitRepository,
    registry: RegistryServer,
    tmp_path: Path,
    number: int,
    code: int,
) -> None:
    step = f'RUN ["/bin/busybox", "sh", "-c", "echo {tmp_path.name} asleep; sleep 600"]\n'
    app.write(busybox_files(step))
    app.commit("slow")
    app.tag("v1.2.4")
    seen: list[str] = []

    def runs(process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        for line in process.stderr:
            seen.append(line)
            if line.endswith(f"{tmp_path.name} asleep\n") and "echo" not in line:
                return

    image = f"{registry.address}/acme/app"
    done = interrupt(number, runs, "publish", "-i", image, "--network", "none", "--json")
    assert done.returncode == code, (seen, done)
    assert done.json["error"]["kind"] == "interrupted"
    assert "nothing was pushed" in done.json["error"]["message"]
    assert done.json["build"] is None
    assert done.json["tags"], "the plan was made before"
    assert registry.tags("acme/app") == []


@SIGNALS
def test_while_a_gate_runs(
    interrupt: Interrupt, registry: RegistryServer, tmp_path: Path, number: int, code: int
) -> None:
    os.mkfifo(tmp_path / "fifo")
    script = tmp_path / "gate"
    # It says its number when it is at work, and would then go on for a minute.
    script.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/fifo\nexec sleep 600\n")
    script.chmod(0o755)
    gates: list[int] = []

    def runs(_: object) -> None:
        gates.append(int((tmp_path / "fifo").read_text()))

    image = f"{registry.address}/acme/app"
    done = interrupt(number, runs, "publish", "-i", image, "--gate", str(script), "--json")
    assert done.returncode == code, done
    assert done.json["error"]["kind"] == "interrupted"
    assert [each["status"] for each in done.json["published"]] == ["pushed"]
    assert registry.tags("acme/app") == ["1.2.3"]
    with pytest.raises(ProcessLookupError):
        os.kill(gates[0], 0)  # it must not go on by itself


@SIGNALS
def test_without_json_a_person_is_told_what_was_done(
    interrupt: Interrupt,
    registry: RegistryServer,
    start_proxy: StartProxy,
    number: int,
    code: int,
) -> None:
    reached, released = threading.Event(), threading.Event()
    proxy = start_proxy(registry, holding("PUT .*/manifests/latest", reached, released))
    image = f"{proxy.address}/acme/app"
    try:
        done = interrupt(number, lambda _: reached.wait(60), "publish", "-i", image)
    finally:
        released.set()
    assert done.returncode == code, done
    assert done.stdout == ""
    *above, message, hint = done.stderr.splitlines()
    assert message.startswith("error: interrupted"), done
    assert hint.startswith("hint: run again"), done
    assert any(f"{image}:1.2.3" in line and "pushed" in line for line in above), done
