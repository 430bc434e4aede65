"""releasetag.parallel: the same thing for several repositories."""

import threading

import pytest

from releasetag.parallel import map_parallel


def test_results_come_in_the_order_of_the_items() -> None:
    second_done = threading.Event()

    def do(item: int) -> int:
        if item == 1:
            assert second_done.wait(60)
        else:
            second_done.set()
        return item * 10

    assert map_parallel(do, [1, 2], jobs=2) == [(1, 10), (2, 20)]


def test_nothing_is_done_for_no_items() -> None:
    assert map_parallel(lambda item: item, [], jobs=4) == []


def test_items_are_done_map_parallel() -> None:
    together = threading.Barrier(3)

    map_parallel(lambda _: together.wait(60), "abc", jobs=3)


def test_no_more_are_under_way_than_jobs() -> None:
    lock = threading.Lock()
    pairs = threading.Barrier(2)
    now = 0
    most = 0

    def do(_: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        pairs.wait(60)
        with lock:
            now -= 1
        pairs.wait(60)

    map_parallel(do, range(8), jobs=2)

    assert most == 2


def test_the_first_failure_in_the_order_of_the_items_is_raised_when_all_have_ended() -> None:
    done: list[int] = []
    last_done = threading.Event()

    def do(item: int) -> None:
        if item == 1:
            assert last_done.wait(60)  # fails last, but is named first
            raise ValueError(item)
        if item == 2:
            raise KeyError(item)
        done.append(item)
        if item == 4:
            last_done.set()

    with pytest.raises(ValueError, match="1"):
        map_parallel(do, [1, 2, 3, 4], jobs=4)

    assert done == [3, 4]
