"""What is retried, how often, when, and for how long."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.errors import EngineError, PushError, ReleasetagError, TransientError
from releasetag.retry import MAX_TRIES, RETRY_BUDGET, with_retries


@dataclass
class Operation:
    """Fails with these errors in turn, on a clock of its own that stands still between them.

    Attributes:
        seconds: that each try takes.
        started: when the tries started.
        slept: how long it was waited between them.
    """

    errors: list[ReleasetagError]
    seconds: float = 0.0
    now: float = 1000.0
    started: list[float] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> str:
        self.started.append(self.now)
        self.now += self.seconds
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def run(
        self,
        *,
        random: float = 0.0,
        transient: tuple[type[ReleasetagError], ...] = (TransientError,),
        on_retry: Callable[[ReleasetagError], object] = lambda _: None,
    ) -> str:
        return with_retries(
            self,
            sleep=self.sleep,
            random=lambda: random,
            clock=lambda: self.now,
            transient=transient,
            on_retry=on_retry,
        )


def busy(retry_after: float | None = None, *, tries: int = 1) -> TransientError:
    return TransientError("busy", "wait", retry_after, tries=tries)


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=8),
    st.floats(0, 0.999),
    st.floats(0, 100),
)
def test_no_try_starts_after_the_budget_or_beyond_the_fifth(
    waits: list[float | None], random: float, seconds: float
) -> None:
    operation = Operation([busy(wait) for wait in waits], seconds)
    try:
        assert operation.run(random=random) == "done"
    except TransientError:
        assert waits
    assert len(operation.started) <= MAX_TRIES
    first_failure = operation.started[0] + seconds
    assert operation.started[-1] <= first_failure + RETRY_BUDGET + 1e-6


def test_waits_grow_and_the_wait_that_the_registry_asks_for_is_honoured() -> None:
    operation = Operation([busy(), busy(), busy(7), busy()])
    assert operation.run() == "done"
    assert operation.slept == [1, 2, 7, 8]


def test_slow_tries_use_up_the_budget_as_waits_do() -> None:
    operation = Operation([busy() for _ in range(9)], seconds=12)
    with pytest.raises(TransientError, match="busy"):
        operation.run()
    assert operation.slept == [1, 2]
    assert len(operation.started) == 3


@pytest.mark.parametrize("asked", [30.5, 3600])
def test_a_longer_wait_than_the_budget_fails_at_once_and_is_reported(asked: float) -> None:
    operation = Operation([busy(asked)])
    with pytest.raises(TransientError, match=f"^busy; it asks to wait {asked:.0f} s$") as caught:
        operation.run()
    assert f"after {asked:.0f} s" in caught.value.hint
    assert operation.slept == []


def test_a_wait_that_only_the_rest_of_the_budget_is_too_short_for_fails_at_once() -> None:
    operation = Operation([busy(20), busy(20)])
    with pytest.raises(TransientError, match="asks to wait 20 s"):
        operation.run()
    assert operation.slept == [20]


def test_tries_of_the_engine_itself_count() -> None:
    exhausted = Operation([busy(tries=5)])
    with pytest.raises(TransientError):
        exhausted.run()
    assert exhausted.slept == []
    partly = Operation([busy(tries=3), busy(), busy()])
    with pytest.raises(TransientError):
        partly.run()
    assert len(partly.started) == 3


def test_a_permanent_failure_is_not_retried() -> None:
    operation = Operation([PushError("denied", "log in")])
    with pytest.raises(PushError, match="denied"):
        operation.run()
    assert operation.slept == []


def test_which_errors_are_transient_is_the_callers_choice() -> None:
    retried: list[ReleasetagError] = []
    operation = Operation([EngineError("gone", "start it")])
    assert operation.run(transient=(EngineError,), on_retry=retried.append) == "done"
    assert [error.message for error in retried] == ["gone"]
