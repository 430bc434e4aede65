"""Ctrl-C, SIGTERM and a closed terminal as an exception in the main thread, though it waits."""

import os
import signal
import threading
import time
from types import FrameType
from typing import NoReturn

# What a terminal sends comes to this program alone: gates have a session of their own.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

# Ignored by default, so that it does no harm; Go's runtime interrupts its threads with it, too.
_WAKE = signal.SIGURG
_WAKE_SECONDS = 0.05


class Stopped(BaseException):
    """One of these signals, as an exception in the main thread.

    Typer ends a program without a message when it sees a KeyboardInterrupt.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__()
        self.signal_number = signal_number


def listen() -> None:
    """Have signals raise Stopped in the main thread, which calls this.

    Python runs a handler between two steps of the main thread. For a signal that comes just before
    the main thread waits for the engine, or for another thread, that is when the wait is over:
    after a build step of an hour, say. So the interpreter reports every signal to a thread, which
    interrupts the main thread until its handler has run.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(_WAKE, lambda *_: None)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _stop)
    main = threading.get_ident()
    threading.Thread(target=_wake, args=(reader, main), name="signals", daemon=True).start()


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    # A second one ends the program at once, and does not break into its last lines.
    signal.signal(number, signal.SIG_DFL)
    raise Stopped(number)


def _wake(reader: int, main: int) -> NoReturn:
    """Interrupt the main thread until its handler of a signal has run.

    More than once, as an interrupt can come just before a wait, too: no event tells of that.

    Args:
        reader: a pipe; every byte that comes is the number of a signal.
        main: the main thread's identifier.
    """
    while True:
        number = os.read(reader, 1)[0]
        while number in _SIGNALS and signal.getsignal(number) is _stop:
            signal.pthread_kill(main, _WAKE)
            time.sleep(_WAKE_SECONDS)
