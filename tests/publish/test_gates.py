"""releasetag.publish.gates: commands that check what was pushed."""

import os
import queue
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest

from releasetag.errors import GateError, UsageError
from releasetag.publish import gates
from releasetag.publish.gates import parse_gate, run_gate


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("test sign --yes", ["test", "sign", "--yes"]),
        ("sh -c 'test -n \"$X\"'", ["sh", "-c", 'test -n "$X"']),
        ("\"t\"'es't a\\ b", ["test", "a b"]),
        # There is no shell that would see these.
        ("test && b; c > $D | `e`", ["test", "&&", "b;", "c", ">", "$D", "|", "`e`"]),
        ("/bin/sh # all", ["/bin/sh", "#", "all"]),
    ],
)
def test_a_gate_is_split_as_a_shell_splits_words(command: str, words: list[str]) -> None:
    assert parse_gate(command, {"PATH": os.environ["PATH"]}) == words


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "^a gate has no command$"),
        ("  ", "no command"),
        ("sh -c 'x", "quot"),
        ("a\0b", "no command"),
        ("no-such-gate secret", "^gate command not found: 'no-such-gate'$"),
        ("/ secret", "^gate command not found: '/'$"),
        ("PASSWORD=secret sign", "^a gate begins with a variable instead of a program$"),
    ],
)
def test_a_gate_that_cannot_be_split_is_a_usage_error(command: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        parse_gate(command, {"PATH": os.environ["PATH"]})

    assert error.value.exit_code == 2


def test_a_gate_that_agrees_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    run_gate(["true"], {"PATH": os.environ["PATH"]})

    assert capfd.readouterr() == ("", "")


def test_a_gate_has_the_environment_that_it_is_given_and_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HIDDEN", "1")
    code = f"import json, os; json.dump(dict(os.environ), open({str(tmp_path / 'out')!r}, 'w'))"

    run_gate([sys.executable, "-c", code], {"RELEASETAG_VERSION": "1.2.3"})

    seen = (tmp_path / "out").read_text()
    assert '"RELEASETAG_VERSION": "1.2.3"' in seen
    assert "HIDDEN" not in seen


def test_what_a_gate_prints_goes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    run_gate(["sh", "-c", "echo out; echo err >&2"], {"PATH": os.environ["PATH"]})

    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == "out\nerr\n"


def test_a_gate_has_no_input_to_wait_for() -> None:
    run_gate(["sh", "-c", "! read line"], {"PATH": os.environ["PATH"]})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sh", "-c", "exit 3", "secret"], r"'sh' refused \(exit code 3\)"),
        (["sh", "-c", "kill -9 $$", "secret"], "'sh' was killed by signal 9"),
        (["no-such-gate", "secret"], "'no-such-gate' cannot be run: No such file"),
        (["/", "secret"], "'/' cannot be run: Permission denied"),
    ],
)
def test_a_gate_that_refuses_is_an_error_without_its_arguments(
    words: list[str], message: str
) -> None:
    with pytest.raises(GateError, match=message) as error:
        run_gate(words, {"PATH": os.environ["PATH"]})

    assert error.value.exit_code == 10
    assert "no floating tag moved" in error.value.hint
    assert "secret" not in error.value.message + error.value.hint


# What a gate starts -------------------------------------------------------------------------------


class Processes:
    """What the processes of a gate write to a FIFO that all of them hold open."""

    def __init__(self, fifo: Path) -> None:
        os.mkfifo(fifo)
        self.fifo = fifo
        self._lines = queue.SimpleQueue[str]()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with self.fifo.open() as file:
            for line in file:
                self._lines.put(line.strip())
        self._lines.put("all have ended")

    def next(self) -> str:
        """The next line; ``all have ended`` when nobody holds the FIFO open any more."""
        return self._lines.get(timeout=60)


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path / "fifo")


# A program that runs a gate as the command line does.
PROGRAM = (
    sys.executable,
    "-c",
    """
import os, signal, sys
from releasetag.cli.signals import Stopped, listen
from releasetag.publish import gates

gates._GRACE_SECONDS = float(sys.argv[1])
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # with nohup it would be ignored
listen()
try:
    gates.run_gate(sys.argv[2:], os.environ)
except Stopped as stop:
    print("stopped by", stop.signal_number)
""",
)


# A gate that says which signals it gets.
SIGNALLED = """
import signal, sys

sys.stdout = open(sys.argv[1], "w", buffering=1)
# Waited for and not handled: a handler could not print while "ready" is still being printed.
numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
print("ready")
while True:
    print(signal.Signals(signal.sigwait(numbers)).name)
"""


SHORT = "0.2"
LONG = "600"  # more than a test waits for


def start(grace: str, *gate: str | Path) -> "subprocess.Popen[str]":
    """Start the program with a grace period and a gate."""
    return subprocess.Popen([*PROGRAM, grace, *gate], stdout=subprocess.PIPE, text=True)


BACKGROUND = "sleep 600 & echo ready; wait"


@pytest.mark.parametrize(
    ("number", "script"),
    [
        (signal.SIGTERM, BACKGROUND),
        (signal.SIGINT, BACKGROUND),
        (signal.SIGHUP, BACKGROUND),
        (signal.SIGQUIT, BACKGROUND),
        (signal.SIGTERM, "{ echo ready; sleep 600; } | cat | cat"),
        (signal.SIGTERM, "(sleep 600 & echo ready); sleep 600"),
        (signal.SIGTERM, "(trap '' TERM; echo ready; sleep 600; sleep 600) & wait"),
        (signal.SIGINT, "trap '' INT TERM; echo ready; sleep 600; sleep 600"),
    ],
)
def test_a_signal_ends_all_processes_of_a_gate(
    number: int, script: str, processes: Processes
) -> None:
    with start(SHORT, "sh", "-c", f"exec > {processes.fifo}; {script}") as program:
        assert processes.next() == "ready"
        program.send_signal(number)
        assert program.communicate(timeout=60)[0] == f"stopped by {int(number)}\n"
    assert processes.next() == "all have ended"


def test_a_signal_ends_a_gate_that_has_only_just_been_started(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Starter(ThreadPoolExecutor):
        def submit(self, *args: Any, **options: Any) -> NoReturn:
            super().submit(*args, **options)
            assert processes.next() == "ready"
            raise KeyboardInterrupt  # as the handler of a signal does, before it is known here

    monkeypatch.setattr(gates, "ThreadPoolExecutor", Starter)
    with pytest.raises(KeyboardInterrupt):
        run_gate(["sh", "-c", f"exec > {processes.fifo}; {BACKGROUND}"], os.environ)
    assert processes.next() == "all have ended"


def test_a_second_signal_ends_a_gate_that_takes_its_time(processes: Processes) -> None:
    with start(LONG, sys.executable, "-c", SIGNALLED, processes.fifo) as program:
        assert processes.next() == "ready"
        program.send_signal(signal.SIGINT)
        assert processes.next() == "SIGTERM"
        program.send_signal(signal.SIGHUP)
        program.communicate(timeout=60)
    assert processes.next() == "all have ended"


def test_ctrl_c_at_a_terminal_reaches_a_gate_once(processes: Processes) -> None:
    gate = (sys.executable, "-c", SIGNALLED, processes.fifo)
    terminal, other_end = os.openpty()
    with (
        os.fdopen(terminal, "r+b", buffering=0) as terminal_file,
        os.fdopen(other_end, "r+b", buffering=0) as standard_file,
        subprocess.Popen(
            # The first process of a session gets the terminal that it opens.
            ["sh", "-c", 'exec "$@" < "$0"', os.ttyname(other_end), *PROGRAM, SHORT, *gate],
            stdin=subprocess.DEVNULL,
            stdout=standard_file,
            stderr=standard_file,
            start_new_session=True,
        ) as program,
    ):
        assert processes.next() == "ready"
        terminal_file.write(b"\x03")
        program.wait(60)
        assert terminal_file.read(100).endswith(b"stopped by 2\r\n")
    assert processes.next() == "SIGTERM"
    assert processes.next() == "all have ended"


@pytest.mark.parametrize("left", ["sleep 600", "sh -c \"trap '' TERM HUP; sleep 600; sleep 600\""])
def test_what_a_gate_leaves_running_does_not_hold_standard_error_open(left: str) -> None:
    gate = ("sh", "-c", f"{left} & echo done")
    done = subprocess.run(
        [*PROGRAM, SHORT, *gate],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert done.stderr == "done\n"


def test_a_last_line_on_its_way_through_a_pipe_is_not_lost(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # `exec > >(tee log)`, in which the shell does not wait for tee.
    os.mkfifo(tmp_path / "pipe")
    tee = f"{{ read line; echo $line; }} < {tmp_path}/pipe"
    run_gate(["sh", "-c", f"{tee} & echo last > {tmp_path}/pipe"], {"PATH": os.environ["PATH"]})
    assert capfd.readouterr().err == "last\n"
