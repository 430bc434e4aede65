"""A signal ends the main thread's wait, whichever thread the system delivers it to."""

import signal
import subprocess
import sys

import pytest

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]

# The main thread, which waits for bytes that do not come, blocks signals, so the system delivers
# them to the other thread, as it may at any time.
WAITS = """
import signal, socket, threading
from releasetag.cli.signals import Stopped, listen

listen()
threading.Thread(target=threading.Event().wait, daemon=True).start()
of_interest = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
signal.pthread_sigmask(signal.SIG_BLOCK, of_interest)
mine, other = socket.socketpair()
try:
    print("waits", flush=True)
    mine.recv(1)
except Stopped as stop:
    print("stopped", stop.signal_number)
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_to_another_thread_ends_what_the_main_thread_waits_for(number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "waits\n"
            process.send_signal(number)
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert output == f"stopped {int(number)}\n"


def test_a_closed_terminal_does_not_end_what_nohup_runs() -> None:
    script = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{WAITS}"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "waits\n"
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert output == f"stopped {int(signal.SIGTERM)}\n"
