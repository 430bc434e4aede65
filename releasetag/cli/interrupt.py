"""Ctrl-C, SIGTERM and a closed terminal, heard at once wherever the program is."""

import signal
import socket
import threading
import time
from types import FrameType
from typing import NoReturn

# What a terminal sends comes to this program alone: gates have a session of their own.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

# Ignored by default, so that it harms nobody; Go's runtime wakes its threads with it as well.
_WAKE = signal.SIGURG
_WAKE_SECONDS = 0.05


class Stopped(BaseException):
    """One of these signals, as an exception in the main thread.

    Typer ends a program without a word when it sees a KeyboardInterrupt.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__()
        self.signal_number = signal_number


def listen() -> None:
    """Raise Stopped in the main thread, which calls this, when a signal comes.

    Python runs a handler between two steps of the main thread. A signal that comes just before the
    main thread waits for the engine, or to another thread, would be heard when that wait is over,
    which a build step may make an hour. So a thread is told of every signal by the interpreter, and
    wakes the main thread until it has heard.
    """
    told, tells = socket.socketpair()
    tells.setblocking(False)
    # Detached: it stays open for as long as the process lives.
    signal.set_wakeup_fd(tells.detach(), warn_on_full_buffer=False)
    signal.signal(_WAKE, lambda *_: None)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _stop)
    main = threading.get_ident()
    threading.Thread(target=_wake, args=(told, main), name="signals", daemon=True).start()


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    # The next one ends the program on the spot, and not what it says with a traceback.
    signal.signal(number, signal.SIG_DFL)
    raise Stopped(number)


def _wake(told: socket.socket, main: int) -> NoReturn:
    """Wake the main thread as long as it has not heard of a signal that came.

    More than once, as any of these can come just before a wait, too: no event tells of that.

    Args:
        told: every byte that comes here is the number of a signal.
        main: the main thread's identifier.
    """
    while True:
        number = told.recv(1)[0]
        while number in _SIGNALS and signal.getsignal(number) is _stop:
            signal.pthread_kill(main, _WAKE)
            time.sleep(_WAKE_SECONDS)
