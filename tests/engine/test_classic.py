"""What the classic builder prints becomes events."""

import itertools
from collections.abc import Callable

from releasetag.engine.classic import ClassicLog
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


def ticking() -> Callable[[], float]:
    """A clock that is one second later at every look."""
    return map(float, itertools.count()).__next__


def read(*texts: str, error: str = "") -> list[BuildEvent]:
    log = ClassicLog(ticking())
    events = [event for text in texts for event in log.read({"stream": text})]
    return [*events, *log.end(error)]


def test_steps_are_cached_or_done() -> None:
    assert read(
        "Step 1/2 : COPY a /",
        "\n",
        " ---> Using cache\n",
        " ---> 22d14a337838\n",
        "Step 2/2 : RUN make",
        "\n",
        " ---> Running in c3ad712b202d\n",
        "par",
        "tial\n",
        "\x1b[91merr\n\x1b[0m",
        "Removing intermediate container c3ad712b202d\n",
        " ---> ddac1335b46f\n",
        "Successfully built ddac1335b46f\n",
    ) == [
        StepStarted(1, "[1/2] COPY a /"),
        StepCached(1),
        StepStarted(2, "[2/2] RUN make"),
        StepLog(2, 1.0, "partial"),
        StepLog(2, 2.0, "err"),
        StepDone(2, 3.0),
    ]


def test_the_last_step_is_the_one_that_failed() -> None:
    log = ClassicLog(ticking())
    list(log.read({"stream": "Step 1/1 : RUN x\nwhy"}))
    assert list(log.end("code: 3")) == [StepLog(1, 1.0, "why"), StepFailed(1, "code: 3")]
    assert log.failed_step_log() == ("why",)


def test_output_that_looks_like_a_step_or_a_cache_hit_is_output() -> None:
    events = read(
        "Step 1/2 : RUN x\n", "Step 9/9 : evil\n", " ---> Using cache\n", "Step 2/2 : RUN y\n"
    )
    assert [type(event) for event in events] == [
        StepStarted,
        StepLog,
        StepDone,
        StepStarted,
        StepDone,
    ]


def test_podmans_lines_are_read_as_well() -> None:
    assert read("STEP 1/1: RUN x\n", "--> Using cache abc\n", "--> abc\n") == [
        StepStarted(1, "[1/1] RUN x"),
        StepCached(1),
    ]


def test_the_pull_of_a_base_image_is_a_transfer_of_its_step() -> None:
    log = ClassicLog(ticking())
    list(log.read({"stream": "Step 1/1 : FROM app\n"}))
    detail = {"current": 5, "total": 9}
    pulling = {"id": "ab", "status": "Downloading", "progressDetail": detail}
    assert list(log.read(pulling)) == [StepStatus(1, "ab Downloading", 5, 9, None, False)]
    done = {"id": "ab", "status": "Pull complete", "progressDetail": {}}
    assert list(log.read(done)) == [StepStatus(1, "ab Pull complete", 0, 0, None, True)]


def test_a_warning_is_a_warning() -> None:
    events = read("Step 1/1 : RUN x\n", "[Warning] One or more build-args were not consumed\n")
    assert events[1] == StepWarning(1, "One or more build-args were not consumed")


def test_output_before_the_first_step_is_omitted() -> None:
    assert read("Sending build context\n", error="dockerfile parse error") == []


def test_the_argument_of_every_build_is_no_warning() -> None:
    template = "One or more build-args [{}] were not consumed"
    events = read(
        "Step 1/1 : FROM scratch\n",
        f"[Warning] {template.format('SOURCE_DATE_EPOCH')}\n",
        f"[Warning] {template.format('TYPO')}\n",
    )
    warnings = [event for event in events if isinstance(event, StepWarning)]
    assert warnings == [StepWarning(1, template.format("TYPO"))]
