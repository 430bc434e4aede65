"""A signal ends the main thread's wait, whichever thread the system delivers it to."""

import signal
import subprocess
import sys

import pytest

# The main thread, which waits for bytes that do not come, blocks signals, so the system delivers
# them to the other thread, as it may at any time.
WAITS = """
import signal, socket, threading
from releasetag.cli.signals import Stopped, listen

listen()
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
mine, other = socket.socketpair()
try:
    print("waits", flush=True)
    mine.recv(1)
except Stopped as stop:
    print("stopped", stop.signal_number)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_another_thread_ends_what_the_main_thread_waits_for(number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "waits\n"
            process.send_signal(number)
            output, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    assert output == f"stopped {int(number)}\n"
