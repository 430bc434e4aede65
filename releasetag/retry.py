"""Retries of what failed for a transient reason. For the engine and for registries."""

from collections.abc import Callable
from typing import TypeVar

from releasetag.errors import ReleasetagError, TransientError

MAX_TRIES = 5

RETRY_BUDGET = 30.0
"""Seconds after its first failure in which an operation may be tried again."""

T = TypeVar("T")


def with_retries(
    operation: Callable[[], T],
    *,
    sleep: Callable[[float], object],
    random: Callable[[], float],
    clock: Callable[[], float],
    transient: tuple[type[ReleasetagError], ...] = (TransientError,),
    on_retry: Callable[[ReleasetagError], object] = lambda _: None,
) -> T:
    """Return what the operation returns, retrying it after transient errors.

    It is tried five times at most, and no later than 30 s after its first failure. The waits back
    off exponentially from 1 s, with up to 50 % jitter, unless the registry asks for its own.

    Args:
        operation: idempotent.
        random: yields numbers in [0, 1), for the jitter.
        clock: seconds, monotonic.
        transient: the errors that are worth a retry.
        on_retry: called with every error that is retried.

    Raises:
        ReleasetagError: the last one.
    """
    # Not stamina: it sleeps by itself and draws its jitter from the global generator, so a test
    # could hand in neither, and a wait that a registry asks for escapes its limits.
    tries = 0
    deadline = float("inf")
    while True:
        try:
            return operation()
        except transient as error:
            now = clock()
            deadline = min(deadline, now + RETRY_BUDGET)
            asked = error.retry_after if isinstance(error, TransientError) else None
            tries += error.tries if isinstance(error, TransientError) else 1
            wait = 2 ** (tries - 1) * (1 - random() / 2) if asked is None else asked
            if tries >= MAX_TRIES or now > deadline:
                raise
            if now + wait > deadline:
                raise error if asked is None else _wait_too_long_error(error, asked) from error
            on_retry(error)
        sleep(wait)


def _wait_too_long_error(error: ReleasetagError, wait: float) -> TransientError:
    return TransientError(
        f"{error.message}; it asks to wait {wait:.0f} s",
        f"run the same command again after {wait:.0f} s: it finishes what is left",
        wait,
    )
