"""The live view on a terminal: running build steps and pushes.

A completed step is collapsed to one line above; below, running ones are redrawn several times a
second, with their durations. All output of a failed step stays.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.filesize import decimal
from rich.live import Live
from rich.text import Text

from releasetag.events import (
    LayerPushed,
    StepCached,
    StepDone,
    StepFailed,
    StepLog,
    StepStarted,
    StepStatus,
    StepWarning,
)

if TYPE_CHECKING:
    from releasetag.events import BuildEvent

LOG_LINES = 20_000
"""How many lines of a step's output are kept in case it fails."""

# Seconds after which a completed step does not run again: BuildKit reports some steps as completed
# a moment before they start.
_SETTLED = 0.3

# Seconds after which a transfer has a rate.
_RATE_AFTER = 1.0

_TAIL = 4
_TIME_WIDTH = 8
_INDENT = " " * (_TIME_WIDTH + 2)


@dataclass
class _Running:
    """A build step or a push.

    Attributes:
        transfers: by name: the bytes so far and in total, 0 if unknown.
    """

    name: str
    started: float
    printed: int = 0
    log: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))
    transfers: dict[str, tuple[int, int]] = field(default_factory=dict)

    def tail(self, now: float) -> list[str]:
        """Return the last lines of its output and its transfers, with their rate since it began."""
        sizes = [
            f"{name} {_transfer(current, total, now - self.started)}".lstrip()
            for name, (current, total) in self.transfers.items()
        ]
        return [*list(self.log)[-_TAIL:], *sizes][-_TAIL:]


@dataclass(frozen=True)
class _Ended:
    """A completed step, and the line that stays."""

    step: _Running
    at: float
    line: Text


class LiveView:
    """Draw running steps and pushes, from events of any thread.

    Args:
        console: a terminal.
        clock: monotonic seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._steps: dict[int, _Running] = {}
        self._pushes: dict[str, _Running] = {}
        self._layers: dict[tuple[str, str], tuple[int, int]] = {}
        self._names: dict[int, str] = {}
        self._ended: dict[int, _Ended] = {}
        # Never held while something is printed: printing draws, and drawing takes it.
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._switch = threading.Lock()
        self._is_closed = False

    def building(self, event: "BuildEvent") -> None:
        """Handle an event of a build."""
        with self._lock:
            lines = self._handle(event)
        self._start()
        self._print(lines)

    def pushing(self, event: LayerPushed) -> None:
        """Handle the progress of a layer's push; draw the sum of all layers."""
        with self._lock:
            key = event.reference, event.layer
            if event.total:
                self._layers[key] = min(event.current, event.total), event.total
            elif key in self._layers:  # "Pushed": the last progress event may be missing
                _, total = self._layers[key]
                self._layers[key] = total, total
            new = _Running(f"pushing {event.reference}", self._clock())
            push = self._pushes.setdefault(event.reference, new)
            sizes = [size for (name, _), size in self._layers.items() if name == event.reference]
            if sizes:
                push.transfers[""] = sum(size[0] for size in sizes), sum(size[1] for size in sizes)
        self._start()

    def pushed(self, reference: str) -> None:
        """Remove a push that has ended, successfully or not."""
        with self._lock:
            self._pushes.pop(reference, None)
            for key in [key for key in self._layers if key[0] == reference]:
                del self._layers[key]

    def stop(self) -> None:
        """Stop drawing until the next event; the lines of completed steps stay."""
        with self._lock:
            lines = self._completed(after=0.0)
            self._steps.clear()
            self._pushes.clear()
            self._layers.clear()
        self._print(lines)
        with self._switch:
            if self._live is not None:
                self._live.stop()
                self._live = None

    def close(self) -> None:
        """Stop for good: no later event may restart it and hide the cursor."""
        with self._switch:
            self._is_closed = True
        self.stop()

    def _print(self, lines: list[Text]) -> None:
        if lines:
            # The terminal itself wraps lines that are longer than it is wide.
            self._console.print(Group(*lines), crop=False)

    def _start(self) -> None:
        with self._switch:
            if self._live is None and not self._is_closed:
                self._live = Live(
                    self,
                    console=self._console,
                    refresh_per_second=8,
                    transient=True,
                    redirect_stdout=False,
                    vertical_overflow="crop",
                )
                self._live.start()

    # Events ---------------------------------------------------------------------------------------

    def _handle(self, event: "BuildEvent") -> list[Text]:
        """Return the lines that stay."""
        stay = self._completed(after=_SETTLED)
        match event:
            case StepStarted(number=number, name=name):
                self._names[number] = name
                self._steps[number] = _Running(name, self._clock())
            case StepWarning(text=text):
                stay.append(_line("warning", text, "magenta", cropped=False))
            case StepLog(number=number, text=text):
                step = self._running(number)
                step.log.append(text)
                step.printed += 1
            case StepStatus(number=number, name=name, is_done=False):
                if event.current:
                    self._running(number).transfers[name] = event.current, event.total
            case StepStatus(number=number, name=name):
                if number in self._steps:
                    self._steps[number].transfers.pop(name, None)
            case StepFailed(number=number, is_canceled=False):
                failed = self._failed(number)
                stay += [*self._completed(after=0.0), *failed]
            case StepFailed(number=number):
                self._end(number, "canceled", "")
            case StepCached(number=number):
                self._end(number, "cached", "cyan")
            case StepDone(number=number, seconds=seconds):
                self._end(number, _time(seconds), "green")
        return stay

    def _running(self, number: int) -> _Running:
        """Return a running step; one that was completed runs again."""
        if number not in self._steps:
            ended = self._ended.pop(number, None)
            new = _Running(self._names.get(number, ""), self._clock())
            self._steps[number] = ended.step if ended else new
        return self._steps[number]

    def _end(self, number: int, mark: str, style: str) -> None:
        if step := self._steps.pop(number, None):
            self._ended[number] = _Ended(step, self._clock(), _line(mark, step.name, style))

    def _failed(self, number: int) -> list[Text]:
        step = self._running(number)
        del self._steps[number]
        line = _line("failed", step.name, "bold red", cropped=False)
        return [line, _whole_log(step)] if step.printed else [line]

    def _completed(self, after: float) -> list[Text]:
        """Remove steps completed at least so long ago; return their lines."""
        until = self._clock() - after
        over = [number for number, ended in self._ended.items() if ended.at <= until]
        return [self._ended.pop(number).line for number in over]

    # Drawing --------------------------------------------------------------------------------------

    def __rich__(self) -> Group:
        """Return what rich draws, in no more lines than the terminal has."""
        room = max(self._console.size.height - 2, 1)
        now = self._clock()
        with self._lock:
            running = [*self._steps.values(), *self._pushes.values()]
            heads = [ended.line for ended in self._ended.values()]
            tails: list[list[Text]] = [[] for _ in heads]
            heads += [_line(_time(now - each.started), each.name, "bold") for each in running]
            tails += [[_tail_line(text) for text in each.tail(now)] for each in running]
        if len(heads) + sum(map(len, tails)) > room:
            tails = [[] for _ in tails]
        if len(heads) > room:
            more = _tail_line(f"and {len(heads) - room + 1} more")
            heads, tails = [*heads[: room - 1], more], [[]] * room
        return Group(
            *(line for head, tail in zip(heads, tails, strict=True) for line in (head, *tail))
        )


def _line(mark: str, name: str, style: str, *, cropped: bool = True) -> Text:
    """Return a line about a step, cut at the terminal's width if cropped."""
    line = Text.assemble((f"{mark:>{_TIME_WIDTH}}", style), f"  {name.expandtabs(4)}")
    line.no_wrap, line.overflow = True, "ellipsis" if cropped else "ignore"
    return line


def _tail_line(text: str) -> Text:
    shown = f"{_INDENT}{text.expandtabs(4)}"
    return Text(shown, no_wrap=True, overflow="ellipsis")


def _whole_log(step: _Running) -> Text:
    dropped = step.printed - len(step.log)
    lines = [f"({dropped} earlier lines are omitted)"] if dropped else []
    log = "\n".join(f"{_INDENT}{text}" for text in (*lines, *step.log))
    return Text(log, no_wrap=True, overflow="ignore")


def _transfer(current: int, total: int, seconds: float) -> str:
    of = f" of {decimal(total)}" if total else ""
    # The rate of the first moments says nothing.
    rate = f", {decimal(int(current / seconds))}/s" if seconds >= _RATE_AFTER else ""
    return f"{decimal(current)}{of}{rate}"


def _time(seconds: float) -> str:
    return f"{seconds:.1f}s"
