"""Translate the output of the classic builder into events.

Source: ``builder/dockerfile`` of github.com/moby/moby: ``Step 2/3 : RUN make``, then
`` ---> Using cache`` or the output of the step, then `` ---> IMAGE``. Podman, which answers the
same request with a builder of its own, prints ``STEP 2/3: RUN make`` and ``--> IMAGE``.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

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

LOG_LINES = 20

_STEP = re.compile(r"(?:Step|STEP) (\d+)/(\d+) ?: (.*)")
_CACHED = re.compile(r"(?: ---|--)> Using cache.*")
_NOISE = re.compile(
    r"(?: ---|--)>.*|(Removing intermediate container|Successfully built) [0-9a-f]+|"
    # Every build has it as an argument, and few Dockerfiles declare it.
    r"\[Warning\] One or more build-args \[SOURCE_DATE_EPOCH\] were not consumed|"
)


class ClassicLog:
    """Parser of the output of one build, line by line.

    Args:
        clock: seconds, monotonic; the builder reports no times.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lines = Lines()
        self._number = 0
        self._started = 0.0
        self._is_cached = False
        self._log: deque[str] = deque(maxlen=LOG_LINES)

    def read(self, line: Mapping[str, Any]) -> Iterator[BuildEvent]:
        """Yield the events of one object of the engine's response."""
        if isinstance(text := line.get("stream"), str):
            for each in self._lines.feed(text.encode()):
                yield from self._read_line(each)
        elif line.get("id") and self._number:
            # The pull of a base image.
            detail = line.get("progressDetail") or {}
            yield StepStatus(
                self._number,
                clean(f"{line['id']} {line.get('status', '')}"),
                int(detail.get("current") or 0),
                int(detail.get("total") or 0),
                None,
                not detail,
            )

    def end(self, error: str) -> Iterator[BuildEvent]:
        """Yield the events with which the build ends."""
        for each in self._lines.end():
            yield from self._read_line(each)
        if self._number and error:
            yield StepFailed(self._number, clean(error))
        else:
            yield from self._end_step()

    def failed_step_log(self) -> tuple[str, ...]:
        """Return the last lines that the last step printed."""
        return tuple(self._log)

    def _read_line(self, line: str) -> Iterator[BuildEvent]:
        found = _STEP.fullmatch(line)
        # A program that prints such a line has the right number only on purpose.
        if found and int(found[1]) == self._number + 1:
            yield from self._end_step()
            self._number = int(found[1])
            self._started = self._clock()
            self._is_cached = False
            self._log.clear()
            yield StepStarted(self._number, f"[{found[1]}/{found[2]}] {found[3]}")
        elif _CACHED.fullmatch(line) and not self._log:
            self._is_cached = True
        elif _NOISE.fullmatch(line):
            return
        elif line.startswith("[Warning] ") and self._number:
            yield StepWarning(self._number, line.removeprefix("[Warning] "))
        elif self._number:
            self._log.append(line)
            yield StepLog(self._number, self._clock() - self._started, line)

    def _end_step(self) -> Iterator[BuildEvent]:
        if not self._number:
            return
        if self._is_cached:
            yield StepCached(self._number)
        else:
            yield StepDone(self._number, self._clock() - self._started)
