"""Do the same for several items concurrently."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_parallel(do: Callable[[T], R], items: Iterable[T], jobs: int) -> list[tuple[T, R]]:
    """Do something for every item, at most so many at a time.

    Returns:
        Every item with its result, in the order of the items.

    Raises:
        Exception: the first failure in the order of the items, after all others have ended.
    """
    items = list(items)
    executor = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="releasetag")
    futures = [executor.submit(do, item) for item in items]
    try:
        wait(futures)
    finally:
        # Interrupted, do not wait for what is running: the process is about to end.
        executor.shutdown(wait=False, cancel_futures=True)
    return [(item, future.result()) for item, future in zip(items, futures, strict=True)]
