"""What is tried again, how often, and how long it waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.errors import EngineError, PassingError, PushError, ReleasetagError
from releasetag.retry import PATIENCE, TRIES, retried


class Operation:
    """Fails so many times, and counts."""

    def __init__(self, *errors: ReleasetagError) -> None:
        self.errors = list(errors)
        self.tries = 0

    def __call__(self) -> str:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def passing(retry_after: float | None = None) -> PassingError:
    return PassingError("busy", "wait", retry_after)


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=8), st.floats(0, 0.999))
def test_the_tries_and_the_waits_are_bounded(waits: list[float | None], random: float) -> None:
    operation = Operation(*map(passing, waits))
    slept: list[float] = []
    try:
        assert retried(operation, sleep=slept.append, random=lambda: random) == "done"
    except PassingError:
        assert operation.tries == TRIES or sum(slept) == pytest.approx(PATIENCE)
    assert operation.tries <= TRIES
    assert sum(slept) <= PATIENCE + 1e-9


def test_waits_grow_and_what_the_registry_asks_for_is_kept() -> None:
    slept: list[float] = []
    operation = Operation(passing(), passing(), passing(7), passing())
    assert retried(operation, sleep=slept.append, random=lambda: 0.0) == "done"
    assert slept == [1, 2, 7, 8]


def test_a_lasting_failure_is_not_tried_again() -> None:
    operation = Operation(PushError("denied", "log in"))
    with pytest.raises(PushError, match="denied"):
        retried(operation, sleep=lambda _: pytest.fail("it waited"), random=lambda: 0.0)
    assert operation.tries == 1


def test_what_is_passing_can_be_said_and_is_told() -> None:
    told: list[ReleasetagError] = []
    operation = Operation(EngineError("gone", "start it"))
    done = retried(
        operation,
        sleep=lambda _: None,
        random=lambda: 0.0,
        passing=(EngineError,),
        again=told.append,
    )
    assert (done, [error.message for error in told]) == ("done", ["gone"])
