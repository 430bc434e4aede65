"""BuildKit's messages, in every order in which it sends them, become events."""

import base64
import itertools
from typing import Any

import pytest

from releasetag.engine.buildkit.progress import LOG_LINES, StatusResponse, Trace
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


def at(seconds: float) -> dict[str, int]:
    return {"seconds": int(seconds), "nanos": round(seconds % 1 * 1e9)}


def vertex(digest: str, started: float = 0, completed: float = 0, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"digest": digest, "name": f"step {digest}", **more}
    if started:
        found["started"] = at(started)
    if completed:
        found["completed"] = at(completed)
    return found


def log(digest: str, seconds: float, msg: bytes, stream: int = 1) -> dict[str, Any]:
    return {"vertex": digest, "timestamp": at(seconds), "stream": stream, "msg": msg}


def line(**message: Any) -> dict[str, Any]:
    """A line as the engine sends it."""
    wire = StatusResponse(**message).SerializeToString()
    return {"id": "moby.buildkit.trace", "aux": base64.b64encode(wire).decode()}


def read(*messages: dict[str, Any], trace: Trace | None = None) -> list[BuildEvent]:
    trace = trace or Trace()
    return list(itertools.chain.from_iterable(trace.read(line(**each)) for each in messages))


def test_a_step_runs_prints_and_is_done() -> None:
    assert read(
        {"vertexes": [vertex("a")]},
        {"vertexes": [vertex("a", 10)]},
        {"logs": [log("a", 10.25, b"one\ntw"), log("a", 10.5, b"o\n")]},
        {"vertexes": [vertex("a", 10, 11.5)]},
    ) == [
        StepStarted(1, "step a"),
        StepLog(1, 0.25, "one"),
        StepLog(1, 0.5, "two"),
        StepDone(1, 1.5),
    ]


def test_the_two_streams_of_a_step_do_not_run_into_each_other() -> None:
    events = read(
        {"vertexes": [vertex("a", 10)]},
        {"logs": [log("a", 10, b"out"), log("a", 10, b"err\n", stream=2), log("a", 10, b"put\n")]},
    )
    assert events[1:] == [StepLog(1, 0.0, "err"), StepLog(1, 0.0, "output")]


def test_a_last_line_without_line_feed_is_not_lost() -> None:
    events = read(
        {"vertexes": [vertex("a", 10)], "logs": [log("a", 10.5, b"half")]},
        {"vertexes": [vertex("a", 10, 11)]},
    )
    assert events[1:] == [StepLog(1, 0.5, "half"), StepDone(1, 1.0)]


def test_all_of_a_step_in_one_message_is_in_order() -> None:
    events = read(
        {
            "vertexes": [vertex("a", 10, 11), vertex("b", 11), vertex("c", 11, 11, cached=True)],
            "logs": [log("b", 11, b"b\n"), log("a", 10, b"a\n")],
        }
    )
    assert events == [
        StepStarted(1, "step a"),
        StepLog(1, 0.0, "a"),
        StepDone(1, 1.0),
        StepStarted(3, "step c"),
        StepCached(3),
        StepStarted(2, "step b"),
        StepLog(2, 0.0, "b"),
    ]


def test_a_step_that_is_done_twice_is_reported_once() -> None:
    events = read(
        {"vertexes": [vertex("a", 10)]},
        {"vertexes": [vertex("a", 10, 11)]},
        {"vertexes": [vertex("a", 10, 11)]},
        {"vertexes": [vertex("a", 12, 12)]},
    )
    assert events == [StepStarted(1, "step a"), StepDone(1, 1.0)]


def test_a_step_that_runs_twice_keeps_its_number_and_adds_its_times() -> None:
    events = read(
        {"vertexes": [vertex("a", 10, 11)]},
        {"vertexes": [vertex("a", 20)]},
        {"vertexes": [vertex("a", 20, 22)]},
    )
    assert events == [StepStarted(1, "step a"), StepDone(1, 1.0), StepDone(1, 3.0)]


def blink(digest: str, started: float) -> dict[str, Any]:
    """A vertex that is reported as done before it began."""
    return vertex(digest, started, started + 1e-5)


@pytest.mark.parametrize(
    "messages",
    [
        [{"vertexes": [blink("a", 10), vertex("a", 11)]}],
        [{"vertexes": [blink("a", 10)]}, {"vertexes": [vertex("a", 11)]}],
    ],
)
def test_a_step_is_not_done_before_it_begins(messages: list[dict[str, Any]]) -> None:
    events = read(*messages, {"vertexes": [vertex("a", 11, 13)]})
    started, done = events
    assert started == StepStarted(1, "step a")
    assert isinstance(done, StepDone)
    assert done.seconds == pytest.approx(2.0, abs=0.001)


def test_a_step_that_turns_out_to_be_cached_is_not_done_before() -> None:
    found = blink("a", 10)
    events = read({"vertexes": [found]}, {"vertexes": [{**found, "cached": True}]})
    assert events == [StepStarted(1, "step a"), StepCached(1)]


def test_a_step_that_took_no_time_is_done_with_the_next_message_or_at_the_end() -> None:
    trace = Trace()
    events = read({"vertexes": [blink("a", 10)]}, {"vertexes": [blink("b", 11)]}, trace=trace)
    assert [type(event) for event in events] == [StepStarted, StepDone, StepStarted]
    assert [(type(event), event.number) for event in trace.end()] == [(StepDone, 2)]


def test_an_error_of_several_lines_is_one() -> None:
    events = read({"vertexes": [vertex("a", 10, 11, error="one\r\ntwo\nthree\n")]})
    assert events[1:] == [StepFailed(1, "one two three", is_canceled=False)]


def test_a_short_second_run_is_reported_only_when_it_printed() -> None:
    events = read(
        {"vertexes": [vertex("a", 10, 11)]},
        {"vertexes": [vertex("a", 20)]},
        {"vertexes": [vertex("a", 20, 20.0625)]},
        {"vertexes": [vertex("a", 30)], "logs": [log("a", 30.5, b"x\n")]},
        {"vertexes": [vertex("a", 30, 30.5)]},
    )
    assert events[2:] == [StepLog(1, 0.5, "x"), StepDone(1, 1.5625)]


def test_vertices_of_a_group_are_one_step() -> None:
    group: dict[str, Any] = {"progressGroup": {"id": "g", "name": "COPY --link . /"}}
    events = read(
        {"vertexes": [vertex("a", 10, **group), vertex("b", 10.5, **group)]},
        {"vertexes": [vertex("a", 10, 11, **group)], "logs": [log("b", 10.5, b"b\n")]},
        {"vertexes": [vertex("b", 10.5, 12, cached=True, **group)]},
    )
    assert events == [
        StepStarted(1, "COPY --link . /"),
        StepLog(1, 0.0, "b"),
        StepDone(1, 2.0),
    ]


@pytest.mark.parametrize(
    ("a", "b", "seconds"),
    [((10.5, 12), (10, 11), 2.0), ((10, 14), (11, 12), 4.0), ((20, 21), (10, 11), 2.0)],
)
def test_time_that_vertices_of_a_group_share_counts_once(
    a: tuple[float, float], b: tuple[float, float], seconds: float
) -> None:
    group: dict[str, Any] = {"progressGroup": {"id": "g", "name": "group"}}
    events = read({"vertexes": [vertex("a", *a, **group), vertex("b", *b, **group)]})
    assert events == [StepStarted(1, "group"), StepDone(1, seconds)]


def test_a_failure_is_reported_from_what_it_canceled() -> None:
    trace = Trace()
    events = read(
        {"vertexes": [vertex("a", 10), vertex("b", 10)]},
        {"logs": [log("a", 10, b"a\n"), log("b", 10, b"why\n")]},
        {
            "vertexes": [
                vertex("a", 10, 11, error="rpc: context canceled"),
                vertex("b", 10, 11, error="exit\x1b[0m code: 2"),
            ]
        },
        trace=trace,
    )
    assert events[-2:] == [
        StepFailed(1, "rpc: context canceled", is_canceled=True),
        StepFailed(2, "exit code: 2"),
    ]
    assert trace.failed_step_log() == ("why",)


def test_the_last_lines_of_the_failed_step_are_kept() -> None:
    trace = Trace()
    text = "".join(f"{n}\n" for n in range(100)).encode()
    read({"vertexes": [vertex("a", 1)], "logs": [log("a", 1, text)]}, trace=trace)
    assert trace.failed_step_log() == ()
    read({"vertexes": [vertex("a", 1, 2, error="exit code: 1")]}, trace=trace)
    assert trace.failed_step_log() == tuple(str(n) for n in range(100 - LOG_LINES, 100))


def test_transfers_and_warnings_belong_to_their_step() -> None:
    status = {"ID": "sha256:ab", "vertex": "a", "current": 5, "total": 9, "started": at(10)}
    events = read(
        {"vertexes": [vertex("a", 10)]},
        {"statuses": [{**status, "timestamp": at(10.5)}]},
        {"statuses": [{**status, "current": 9, "completed": at(12)}]},
        {"statuses": [{"ID": "waiting", "vertex": "a"}]},
        {"warnings": [{"vertex": "a", "short": b"do not"}]},
    )
    assert events[1:] == [
        StepStatus(1, "sha256:ab", 5, 9, 0.5, is_done=False),
        StepStatus(1, "sha256:ab", 9, 9, 2.0, is_done=True),
        StepStatus(1, "waiting", 0, 0, None, is_done=False),
        StepWarning(1, "do not"),
    ]


def test_messages_of_no_running_step_are_ignored() -> None:
    assert (
        read(
            {"vertexes": [vertex("a")], "logs": [log("a", 1, b"x\n"), log("b", 1, b"x\n")]},
            {"statuses": [{"vertex": "b"}], "warnings": [{"vertex": "b"}]},
        )
        == []
    )


@pytest.mark.parametrize(
    "unreadable",
    [
        {},
        {"id": "moby.image.id", "aux": {"ID": "sha256:ab"}},
        {"id": "moby.buildkit.trace"},
        {"id": "moby.buildkit.trace", "aux": "%"},
        {"id": "moby.buildkit.trace", "aux": {"x": 1}},
        {"id": "moby.buildkit.trace", "aux": base64.b64encode(b"\x0a\xff").decode()},
    ],
)
def test_what_is_no_trace_is_no_event(unreadable: dict[str, Any]) -> None:
    assert list(Trace().read(unreadable)) == []


def test_fields_of_a_newer_buildkit_do_no_harm() -> None:
    wire = StatusResponse(vertexes=[vertex("a", 1)]).SerializeToString() + b"\xfa\x01\x01x"
    encoded = {"id": "moby.buildkit.trace", "aux": base64.b64encode(wire).decode()}
    assert list(Trace().read(encoded)) == [StepStarted(1, "step a")]
