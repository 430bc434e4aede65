"""Events look as docker build --progress=plain shows them."""

import pytest

from releasetag.events import (
    BuildEvent,
    StepCached,
    StepDone,
    StepFailed,
    StepLog,
    StepStarted,
    StepStatus,
    StepWarning,
)
from releasetag.report.plain import PlainFormatter


def shown(*events: BuildEvent) -> list[str]:
    formatter = PlainFormatter()
    return [line for event in events for line in formatter.lines(event)]


def test_steps_one_after_the_other() -> None:
    assert shown(
        StepStarted(1, "[1/2] COPY . /"),
        StepCached(1),
        StepStarted(2, "[2/2] RUN make"),
        StepLog(2, 0.3124, "cc -c a.c"),
        StepLog(2, 12.345, "cc -c b.c"),
        StepLog(2, 123.45, ""),
        StepDone(2, 123.46),
    ) == [
        "#1 [1/2] COPY . /",
        "#1 CACHED",
        "",
        "#2 [2/2] RUN make",
        "#2 0.312 cc -c a.c",
        "#2 12.35 cc -c b.c",
        "#2 123.5 ",
        "#2 DONE 123.5s",
    ]


def test_steps_in_parallel_are_told_apart() -> None:
    assert shown(
        StepStarted(1, "[a 1/1] RUN a"),
        StepStarted(2, "[b 1/1] RUN b"),
        StepLog(1, 0.1, "from a"),
        StepFailed(1, "exit code: 1"),
        StepFailed(2, "context canceled", is_canceled=True),
    ) == [
        "#1 [a 1/1] RUN a",
        "#1 ...",
        "",
        "#2 [b 1/1] RUN b",
        "#2 ...",
        "",
        "#1 [a 1/1] RUN a",
        "#1 0.100 from a",
        "#1 ERROR: exit code: 1",
        "",
        "#2 [b 1/1] RUN b",
        "#2 CANCELED",
    ]


def test_a_warning_is_a_line_of_its_step() -> None:
    lines = shown(StepStarted(1, "x"), StepWarning(1, "JSONArgsRecommended"))
    assert lines[1:] == ["#1 WARN: JSONArgsRecommended"]


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (StepStatus(1, "sha256:ab", 5_240_000, 27_100_000, 0.3, False), "5.24MB / 27.10MB 0.3s"),
        (StepStatus(1, "sha256:ab", 32, 0, 0.001, True), "32B done"),
        (StepStatus(1, "sha256:ab", 1_500, 2 * 10**9, 1.26, True), "1.50kB / 2.00GB 1.3s done"),
        (StepStatus(1, "sha256:ab", 3 * 10**12, 0, 0.0, False), "3.00TB"),
        (StepStatus(1, "sha256:ab", 0, 0, 0.2, True), "0.2s done"),
    ],
)
def test_a_transfer_has_sizes_and_time(status: StepStatus, line: str) -> None:
    assert shown(StepStarted(1, "x"), status)[1:] == [f"#1 sha256:ab {line}".rstrip()]


def test_a_transfer_has_another_line_after_a_twentieth_or_five_seconds_or_at_its_end() -> None:
    def at(current: int, seconds: float, *, done: bool = False) -> StepStatus:
        return StepStatus(1, "x", current, 1000, seconds, done)

    lines = shown(
        StepStarted(1, "pull"),
        at(0, 0.0),
        at(49, 1.0),
        at(50, 1.5),
        at(51, 6.4),
        at(52, 6.6),
        at(53, 6.7, done=True),
        at(53, 6.7, done=True),
    )
    assert lines[1:] == [
        "#1 x 0B / 1.00kB",
        "#1 x 50B / 1.00kB 1.5s",
        "#1 x 52B / 1.00kB 6.6s",
        "#1 x 53B / 1.00kB 6.7s done",
    ]


def test_a_transfer_that_never_started_has_no_line() -> None:
    assert shown(StepStarted(1, "x"), StepStatus(1, "y", 1, 2, None, False)) == ["#1 x"]


def test_a_part_without_sizes_has_a_line_when_it_is_done() -> None:
    begun = StepStatus(1, "exporting layers", 0, 0, 0.0, False)
    assert shown(StepStarted(1, "x"), begun) == ["#1 x"]
