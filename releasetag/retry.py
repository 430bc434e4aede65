"""Trying again what failed for a passing reason. For the engine and for registries."""

from collections.abc import Callable
from typing import TypeVar

from releasetag.errors import PassingError, ReleasetagError

TRIES = 5
PATIENCE = 30.0
"""Seconds that the waits of one operation may take together."""

T = TypeVar("T")


def retried(
    operation: Callable[[], T],
    *,
    sleep: Callable[[float], object],
    random: Callable[[], float],
    passing: tuple[type[ReleasetagError], ...] = (PassingError,),
    again: Callable[[ReleasetagError], object] = lambda _: None,
) -> T:
    """What the operation returns; it is tried again for as long as it raises a passing error.

    At most five tries, with waits that double from about a second and are spread by up to a half,
    or as long as the registry asks for; no more than 30 s of waiting in all.

    Args:
        operation: can be done more than once.
        sleep: takes seconds.
        random: gives a number from 0 up to 1.
        passing: what is worth trying again.
        again: told of every failure that is.

    Raises:
        ReleasetagError: the last one.
    """
    # Not stamina: it sleeps by itself and draws its jitter from the global generator, so a test
    # could hand in neither, and a wait that a registry asks for escapes its limits.
    left = PATIENCE
    for tried in range(1, TRIES):
        try:
            return operation()
        except passing as error:
            if left <= 0:
                raise
            again(error)
            wait = error.retry_after if isinstance(error, PassingError) else None
            if wait is None:
                wait = 2 ** (tried - 1) * (1 - random() / 2)
            wait = min(wait, left)
        sleep(wait)
        left -= wait
    return operation()
