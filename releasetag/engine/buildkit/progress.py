"""Translate BuildKit's progress into events.

Source: ``api/services/control/control.proto`` and ``solver/pb/ops.proto`` of
github.com/moby/buildkit; the engine sends the messages in base64, one per line, as the ``aux`` of
``moby.buildkit.trace``. Steps are BuildKit's vertices.
"""

import base64
import binascii
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from releasetag.engine.buildkit.protobuf import define
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
from releasetag.text import Lines, clean

# Seconds of another run from which on it is reported.
_NOTICEABLE = 0.1

# Seconds below which a step has done nothing.
_NOTHING = 0.001

LOG_LINES = 20
"""Lines of a step's output that are kept for the error."""

StatusResponse = define(
    "moby.buildkit.v1",
    {
        "StatusResponse": {
            "vertexes": (1, "Vertex*"),
            "statuses": (2, "VertexStatus*"),
            "logs": (3, "VertexLog*"),
            "warnings": (4, "VertexWarning*"),
        },
        "Vertex": {
            "digest": (1, "string"),
            "name": (3, "string"),
            "cached": (4, "bool"),
            "started": (5, "Timestamp"),
            "completed": (6, "Timestamp"),
            "error": (7, "string"),
            "progressGroup": (8, "ProgressGroup"),
        },
        "ProgressGroup": {"id": (1, "string"), "name": (2, "string")},
        "VertexStatus": {
            "ID": (1, "string"),
            "vertex": (2, "string"),
            "current": (4, "int64"),
            "total": (5, "int64"),
            "timestamp": (6, "Timestamp"),
            "started": (7, "Timestamp"),
            "completed": (8, "Timestamp"),
        },
        "VertexLog": {
            "vertex": (1, "string"),
            "timestamp": (2, "Timestamp"),
            "stream": (3, "int64"),
            "msg": (4, "bytes"),
        },
        "VertexWarning": {"vertex": (1, "string"), "short": (3, "bytes")},
    },
)["StatusResponse"]


@dataclass(eq=False)
class _Step:
    """A vertex, or a group of vertices that is shown as one step.

    ``runs`` holds when each vertex started and, if it has, completed: one may run again.
    """

    name: str
    number: int = 0
    runs: dict[tuple[str, float], float | None] = field(default_factory=dict)
    cached: dict[str, bool] = field(default_factory=dict)
    error: str = ""
    is_reported: bool = False
    reported_seconds: float = 0.0
    last_log: float = 0.0
    output: dict[int, Lines] = field(default_factory=dict)
    log: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))

    @property
    def started(self) -> float:
        return max((start for _, start in self.runs), default=0.0)

    @property
    def seconds(self) -> float:
        """The duration; overlapping runs count once."""
        total, until = 0.0, 0.0
        ended = ((start, stop) for (_, start), stop in self.runs.items() if stop is not None)
        for start, stop in sorted(ended):
            total += max(0.0, stop - max(start, until))
            until = max(until, stop)
        return total

    @property
    def did_nothing(self) -> bool:
        """Whether it completed and left no trace."""
        is_short = self.seconds < _NOTHING and not self.output
        return is_short and not self.error and not all(self.cached.values())


class Trace:
    """Translator of the messages of one build, in order."""

    def __init__(self) -> None:
        self._steps: dict[str, _Step] = {}
        self._key_of: dict[str, str] = {}
        self._last_number = 0
        self._pending: list[_Step] = []

    def read(self, line: Mapping[str, Any]) -> Iterator[BuildEvent]:
        """Yield the events of one object of the engine's response."""
        if line.get("id") != "moby.buildkit.trace":
            return
        message: Any = StatusResponse()
        try:
            message.ParseFromString(base64.b64decode(str(line.get("aux")), validate=True))
        except (binascii.Error, DecodeError):
            return
        yield from self.handle(message)

    def handle(self, message: Any) -> Iterator[BuildEvent]:
        """Yield the events of one message, a `StatusResponse`."""
        begins: list[BuildEvent] = []
        ends: list[BuildEvent] = []
        pending = self._pending
        over = [*pending]
        for vertex in message.vertexes:
            begins += self._begin(vertex, over)
        between = [*self._statuses(message.statuses), *self._warnings(message.warnings)]
        between += self._logs(message.logs)
        # BuildKit reports some steps as started and completed a moment before they really start.
        ended = [step for step in dict.fromkeys(over) if None not in step.runs.values()]
        self._pending = [step for step in ended if step.did_nothing and step not in pending]
        for step in ended:
            if step not in self._pending:
                ends += self._end(step)
        yield from _by_step(begins, between, ends)

    def end(self, error: str = "") -> Iterator[BuildEvent]:  # noqa: ARG002 # its step has reported it
        """Yield the last events of the build."""
        for step in self._pending:
            yield from self._end(step)

    def failed_step_log(self) -> tuple[str, ...]:
        """Return the last lines of the first failed step, if any."""
        failed = (step for step in self._steps.values() if step.error)
        first = min(
            (step for step in failed if not _is_canceled(step.error)),
            key=lambda step: step.number,
            default=None,
        )
        return tuple(first.log) if first else ()

    def _begin(self, vertex: Any, over: list[_Step]) -> list[BuildEvent]:
        """Record a vertex; add its step to those that may be completed."""
        group = vertex.progressGroup
        key = group.id or vertex.digest
        step = self._steps.setdefault(key, _Step(clean(group.name or vertex.name)))
        self._key_of[vertex.digest] = key
        if not vertex.HasField("started"):
            return []
        run = (vertex.digest, _seconds(vertex.started))
        stop = _seconds(vertex.completed) if vertex.HasField("completed") else None
        step.runs[run] = stop
        step.cached[vertex.digest] = vertex.cached
        begins: list[BuildEvent] = []
        if step.number == 0:
            self._last_number += 1
            step.number = self._last_number
            begins.append(StepStarted(step.number, step.name))
        if vertex.error and not step.error:
            step.error = vertex.error
            step.is_reported = False  # perhaps as done
        over.append(step)
        return begins

    def _end(self, step: _Step) -> Iterator[BuildEvent]:
        # BuildKit repeats a completed vertex with meaningless other times. One may also really run
        # again, which is reported if it took time or printed something.
        if step.is_reported and step.seconds < step.reported_seconds + _NOTICEABLE:
            return
        step.is_reported = True
        step.reported_seconds = step.seconds
        for lines in step.output.values():
            for line in lines.end():
                step.log.append(line)
                yield StepLog(step.number, step.last_log, line)
        if step.error:
            yield StepFailed(step.number, clean(step.error), _is_canceled(step.error))
        elif all(step.cached.values()):
            yield StepCached(step.number)
        else:
            yield StepDone(step.number, step.seconds)

    def _known(self, digest: str) -> _Step | None:
        step = self._steps.get(self._key_of.get(digest, ""))
        return step if step and step.number else None

    def _statuses(self, statuses: Iterable[Any]) -> Iterator[BuildEvent]:
        for status in statuses:
            if step := self._known(status.vertex):
                is_done = status.HasField("completed")
                until = status.completed if is_done else status.timestamp
                step.is_reported = False
                begun = status.HasField("started")
                yield StepStatus(
                    step.number,
                    clean(status.ID),
                    status.current,
                    status.total,
                    _seconds(until) - _seconds(status.started) if begun else None,
                    is_done,
                )

    def _warnings(self, warnings: Iterable[Any]) -> Iterator[BuildEvent]:
        for warning in warnings:
            if step := self._known(warning.vertex):
                yield StepWarning(step.number, clean(warning.short))

    def _logs(self, logs: Iterable[Any]) -> Iterator[BuildEvent]:
        for log in logs:
            if step := self._known(log.vertex):
                step.is_reported = False
                step.last_log = max(0.0, _seconds(log.timestamp) - step.started)
                for line in step.output.setdefault(log.stream, Lines()).feed(log.msg):
                    step.log.append(line)
                    yield StepLog(step.number, step.last_log, line)


def _by_step(*parts: list[BuildEvent]) -> Iterator[BuildEvent]:
    """Group the events of one message by step, completed steps first."""
    numbers = dict.fromkeys(event.number for part in reversed(parts) for event in part)
    for number in numbers:
        for part in parts:
            yield from (event for event in part if event.number == number)


def _seconds(timestamp: Any) -> float:
    return float(timestamp.seconds) + float(timestamp.nanos) / 1e9


def _is_canceled(error: str) -> bool:
    return error.endswith("context canceled")
