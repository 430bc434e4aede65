"""The live view on a terminal: what stays, what is drawn, and that it ends."""

import re
import threading

import pytest
from rich.cells import cell_len
from rich.text import Text

from releasetag.events import (
    BuildEvent,
    LayerPushed,
    StepCached,
    StepDone,
    StepFailed,
    StepLog,
    StepStarted,
    StepStatus,
    StepWarning,
)
from releasetag.report.live import LOG_LINES, LiveView
from tests.support.records import Clock, terminal, text


def stays(*events: BuildEvent, width: int = 80, at_once: bool = False) -> list[str]:
    """The lines that a build leaves behind."""
    clock = Clock()
    view = LiveView(terminal(width), clock)
    lines: list[str] = []
    # What is printed for good; the drawing in between is another matter, see `drawn`.
    for event in events:
        lines += [line.plain for line in view._handle(event)]
        clock.now += 0.001 if at_once else 10.0
    lines += [line.plain for line in view._completed(after=0.0)]
    return "\n".join(lines).splitlines()


def drawn(
    *events: BuildEvent | LayerPushed, clock: Clock, width: int = 80, height: int = 24
) -> list[str]:
    """The lines that are drawn after some events."""
    console = terminal(width, height)
    view = LiveView(console, clock)
    for event in events:
        if isinstance(event, LayerPushed):
            view.pushing(event)
        else:
            view.building(event)
    picture = terminal(width, height)
    picture.print(view)
    view.stop()
    return text(picture).splitlines()


def test_a_completed_step_is_one_line_with_its_time() -> None:
    assert stays(
        StepStarted(1, "[1/3] FROM scratch"),
        StepCached(1),
        StepStarted(2, "[2/3] RUN make"),
        StepLog(2, 0.1, "compiling"),
        StepDone(2, 12.34),
    ) == [
        "  cached  [1/3] FROM scratch",
        "   12.3s  [2/3] RUN make",
    ]


def test_all_output_of_a_failed_step_stays() -> None:
    assert stays(
        StepStarted(1, "[1/2] RUN make"),
        StepStarted(2, "[2/2] RUN sleep"),
        *(StepLog(1, 0.1, f"line {n}") for n in range(3)),
        StepFailed(1, "exit code: 2"),
        StepFailed(2, "context canceled", is_canceled=True),
    ) == [
        "  failed  [1/2] RUN make",
        "          line 0",
        "          line 1",
        "          line 2",
        "canceled  [2/2] RUN sleep",
    ]


def test_a_step_that_was_reported_as_completed_can_still_fail_with_all_its_output() -> None:
    start, printed = StepStarted(1, "RUN make"), StepLog(1, 0.1, "broken")
    assert stays(start, printed, StepDone(1, 1.0), StepFailed(1, "no"), at_once=True) == [
        "  failed  RUN make",
        "          broken",
    ]


def test_the_end_of_too_much_output_stays() -> None:
    lines = stays(
        StepStarted(1, "RUN yes"),
        *(StepLog(1, 0.1, str(n)) for n in range(LOG_LINES + 7)),
        StepFailed(1, "exit code: 2"),
    )
    assert lines[:3] == [
        "  failed  RUN yes",
        "          (7 earlier lines are omitted)",
        " " * 10 + "7",
    ]
    assert len(lines) == LOG_LINES + 2


def test_warnings_stay() -> None:
    assert stays(StepStarted(1, "x"), StepWarning(1, "JSON arguments recommended")) == [
        " warning  JSON arguments recommended"
    ]


def test_a_step_that_is_reported_as_completed_twice_is_one_line() -> None:
    assert len(stays(StepStarted(1, "x"), StepDone(1, 0.1), StepDone(1, 0.1))) == 1


def test_a_step_that_runs_again_has_another_line() -> None:
    again = stays(StepStarted(1, "x"), StepDone(1, 0.0), StepLog(1, 1.0, "more"), StepDone(1, 2.0))
    assert again == ["    0.0s  x", "    2.0s  x"]


def test_a_step_that_is_reported_as_completed_before_it_starts_is_one_line() -> None:
    lines = stays(
        StepStarted(1, "load build context"),
        StepDone(1, 0.0),
        StepStarted(2, "load .dockerignore"),
        StepStatus(1, "transferring context:", 105_000_000, 0, 1.0, is_done=False),
        StepDone(2, 0.1),
        StepDone(1, 2.0),
        at_once=True,
    )
    assert lines == ["    0.1s  load .dockerignore", "    2.0s  load build context"]


def test_a_running_step_is_drawn_with_its_time_and_the_last_it_printed() -> None:
    clock = Clock(100.0)
    console = terminal()
    view = LiveView(console, clock)
    view.building(StepStarted(1, "RUN make"))
    for n in range(10):
        view.building(StepLog(1, 0.1, f"line {n}"))
    clock.now = 103.21
    picture = terminal()
    picture.print(view)
    view.stop()
    assert text(picture).splitlines() == [
        "    3.2s  RUN make",
        *(f"          line {n}" for n in range(6, 10)),
    ]


def test_a_transfer_is_drawn_until_it_is_done() -> None:
    start, clock = StepStarted(1, "load build context"), Clock()
    some = StepStatus(1, "transferring context:", 105_000_000, 0, 1.0, is_done=False)
    done = StepStatus(1, "transferring context:", 209_000_000, 0, 2.0, is_done=True)
    assert drawn(start, some, clock=clock)[1:] == ["          transferring context: 105.0 MB"]
    assert drawn(start, some, done, clock=clock)[1:] == []


def test_a_push_is_the_sum_of_its_layers() -> None:
    def layer(name: str, current: int, total: int, status: str = "Pushing") -> LayerPushed:
        return LayerPushed("acme/app:1.2.3", name, status, current, total)

    assert drawn(
        layer("a", 5_000_000, 10_000_000),
        layer("b", 1_000_000, 30_000_000),
        layer("", 0, 0, "The push refers to repository"),
        layer("a", 0, 0, "Pushed"),
        clock=Clock(),
    ) == ["    0.0s  pushing acme/app:1.2.3", "          11.0 MB of 40.0 MB"]


def test_a_transfer_that_takes_longer_has_a_rate() -> None:
    clock = Clock()
    view, picture = LiveView(terminal(), clock), terminal()
    view.pushing(LayerPushed("acme/app:1.2.3", "a", "Copying", 0, 40_000_000))
    clock.now += 2.0
    view.pushing(LayerPushed("acme/app:1.2.3", "a", "Copying", 10_000_000, 40_000_000))
    picture.print(view)
    view.stop()
    assert text(picture).splitlines()[1] == "          10.0 MB of 40.0 MB, 5.0 MB/s"


def test_a_push_that_is_over_counts_for_no_later_one() -> None:
    view, picture = LiveView(terminal(), Clock()), terminal()
    view.pushing(LayerPushed("acme/app:1.2.3", "a", "Pushing", 9_000_000, 9_000_000))
    view.pushed("acme/app:1.2.3")
    view.pushing(LayerPushed("acme/app:1.2.3", "b", "Copying", 1_000_000, 4_000_000))
    picture.print(view)
    view.stop()
    assert text(picture).splitlines()[1] == "          1.0 MB of 4.0 MB"


@pytest.mark.parametrize(("width", "height"), [(20, 5), (50, 10), (80, 24), (200, 60)])
def test_the_view_never_exceeds_the_terminal(width: int, height: int) -> None:
    events: list[BuildEvent] = []
    for n in range(1, 201):
        events.append(StepStarted(n, f"[{n}/200] RUN \t{'漢字 long ' * 40}"))
        events += [StepLog(n, 0.1, "printed " * 50) for _ in range(10)]
    lines = drawn(*events, clock=Clock(), width=width, height=height)
    assert len(lines) < height
    assert all(cell_len(line) <= width for line in lines)
    assert re.match(r" +and 1\d\d m", lines[-1])


def test_output_is_omitted_before_a_step_is() -> None:
    events: list[BuildEvent] = []
    for n in range(1, 6):
        events += [StepStarted(n, f"step {n}"), StepLog(n, 0.1, "printed"), StepLog(n, 0.1, "more")]
    lines = drawn(*events, clock=Clock(), height=10)
    assert lines == [f"    0.0s  step {n}" for n in range(1, 6)]


def test_ten_thousand_lines_in_no_time_from_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    view = LiveView(terminal(), Clock())
    kept: list[str] = []  # for good; a step may also be drawn for a moment before its line is kept
    show = view._print

    def keep(lines: list[Text]) -> None:
        kept.extend(line.plain for line in lines)
        show(lines)

    monkeypatch.setattr(view, "_print", keep)

    def build(number: int) -> None:
        view.building(StepStarted(number, f"step {number}"))
        for n in range(2500):
            view.building(StepLog(number, 0.1, f"line {n}"))
        view.building(StepDone(number, 1.0))

    def push(number: int) -> None:
        for n in range(500):
            view.pushing(LayerPushed(f"acme/app:{number}", "a", "Pushing", n, 500))
        view.pushed(f"acme/app:{number}")

    threads = [threading.Thread(target=build, args=(n,), daemon=True) for n in range(1, 5)]
    threads += [threading.Thread(target=push, args=(n,), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "it stands still"
    view.stop()
    assert sorted(kept) == [f"    1.0s  step {n}" for n in range(1, 5)]
    picture = terminal()
    picture.print(view)
    assert text(picture).strip() == ""


def test_it_goes_on_after_it_was_stopped() -> None:
    console = terminal()
    view = LiveView(console, Clock())
    view.building(StepStarted(1, "one"))
    view.building(StepDone(1, 1.0))
    view.stop()
    view.stop()
    view.pushing(LayerPushed("acme/app:1", "a", "Pushing", 1, 2))
    view.pushed("acme/app:1")
    view.stop()
    assert "\x1b[?25h" in text(console), "the cursor is hidden for good"
    assert text(console).rindex("\x1b[?25h") > text(console).rindex("\x1b[?25l")


def test_a_push_that_goes_on_after_the_end_is_not_drawn() -> None:
    console = terminal()
    view = LiveView(console, Clock())
    view.close()
    view.pushing(LayerPushed("acme/app:1", "a", "Pushing", 1, 2))
    assert text(console) == "", "the cursor would stay hidden"
