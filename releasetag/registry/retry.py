"""Trying again what failed for a passing reason."""

from collections.abc import Callable
from typing import TypeVar

from releasetag.registry.answers import PassingError

TRIES = 5
PATIENCE = 30.0
"""Seconds that the waits of one operation may take together."""

T = TypeVar("T")


def retried(
    operation: Callable[[], T], *, sleep: Callable[[float], object], random: Callable[[], float]
) -> T:
    """What the operation returns; it is tried again for as long as it raises PassingError.

    At most five tries, with waits that double from about a second and are spread by up to a half,
    or as long as the registry asks for; no more than 30 s of waiting in all.

    Args:
        operation: can be done more than once.
        sleep: takes seconds.
        random: gives a number from 0 up to 1.

    Raises:
        PassingError: the last one.
    """
    # Not stamina: it sleeps by itself and draws its jitter from the global generator, so a test
    # could hand in neither, and a wait that a registry asks for escapes its limits.
    left = PATIENCE
    for tried in range(1, TRIES):
        try:
            return operation()
        except PassingError as error:
            if left <= 0:
                raise
            wait = error.retry_after
            if wait is None:
                wait = 2 ** (tried - 1) * (1 - random() / 2)
            wait = min(wait, left)
        sleep(wait)
        left -= wait
    return operation()
