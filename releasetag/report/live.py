"""What runs now, on a terminal: build steps and pushes, with their times.

A step that is done is folded to one line and stays above; below, what still runs is drawn anew
several times a second. Of a step that fails, all that it printed stays.
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
"""Lines of a step's output that are kept in case it fails."""

# Seconds after which a step that is done does not run again any more: BuildKit tells some steps
# as done a moment before they begin.
_SETTLED = 0.3

_TAIL = 4
_TIME_WIDTH = 8
_INDENT = " " * (_TIME_WIDTH + 2)


@dataclass
class _Running:
    """A build step or a push; what it transfers by name: bytes so far, and all of them or 0."""

    name: str
    started: float
    printed: int = 0
    log: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))
    transfers: dict[str, tuple[int, int]] = field(default_factory=dict)

    def tail(self) -> list[str]:
        """The last of what it does."""
        sizes = [
            f"{name} {decimal(current)}{f' of {decimal(total)}' if total else ''}".lstrip()
            for name, (current, total) in self.transfers.items()
        ]
        return [*list(self.log)[-_TAIL:], *sizes][-_TAIL:]


@dataclass(frozen=True)
class _Ended:
    """A step that is done, and the line that is to stay."""

    step: _Running
    at: float
    line: Text


class LiveView:
    """Draws what runs, from events of any thread.

    Args:
        console: a terminal.
        clock: seconds that only grow.
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
        """Take up what happened in a build."""
        with self._lock:
            lines = self._take_up(event)
        self._start()
        self._print(lines)

    def pushing(self, event: LayerPushed) -> None:
        """Take up how far the push of a layer is; what is told is the sum of all layers."""
        with self._lock:
            key = event.reference, event.layer
            if event.total:
                self._layers[key] = min(event.current, event.total), event.total
            elif key in self._layers:  # "Pushed": it may have been told of too seldom to be full
                self._layers[key] = (self._layers[key][1],) * 2
            new = _Running(f"pushing {event.reference}", self._clock())
            push = self._pushes.setdefault(event.reference, new)
            mine = [size for (name, _), size in self._layers.items() if name == event.reference]
            if mine:
                push.transfers[""] = sum(size[0] for size in mine), sum(size[1] for size in mine)
        self._start()

    def pushed(self, reference: str) -> None:
        """A push has ended, however it did."""
        with self._lock:
            self._pushes.pop(reference, None)

    def stop(self) -> None:
        """Draw no more; what is done stays."""
        with self._lock:
            lines = self._settle(after=0.0)
            self._steps.clear()
            self._pushes.clear()
            self._layers.clear()
        self._print(lines)
        with self._switch:
            if self._live is not None:
                self._live.stop()
                self._live = None

    def close(self) -> None:
        """As `stop`, and nothing that happens later is drawn: it would leave the cursor hidden."""
        with self._switch:
            self._is_closed = True
        self.stop()

    def _print(self, lines: list[Text]) -> None:
        if lines:
            # Lines that are not folded go on at the edge of the terminal, as it has them.
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

    # What happened: each gives the lines that stay ------------------------------------------------

    def _take_up(self, event: "BuildEvent") -> list[Text]:
        stay = self._settle(after=_SETTLED)
        match event:
            case StepStarted(number=number, name=name):
                self._names[number] = name
                self._steps[number] = _Running(name, self._clock())
            case StepWarning(text=text):
                stay.append(_line("warning", text, "yellow", folded=False))
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
                stay += [*self._settle(after=0.0), *failed]
            case StepFailed(number=number):
                self._end(number, "canceled", "dim")
            case StepCached(number=number):
                self._end(number, "cached", "cyan")
            case StepDone(number=number, seconds=seconds):
                self._end(number, _time(seconds), "green")
        return stay

    def _running(self, number: int) -> _Running:
        """A step that runs, if again after it was done."""
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
        line = _line("failed", step.name, "bold red", folded=False)
        return [line, _whole_log(step)] if step.printed else [line]

    def _settle(self, after: float) -> list[Text]:
        """The lines of steps that have been done for so many seconds."""
        until = self._clock() - after
        over = [number for number, ended in self._ended.items() if ended.at <= until]
        return [self._ended.pop(number).line for number in over]

    # What runs ------------------------------------------------------------------------------------

    def __rich__(self) -> Group:
        """What rich draws: what runs, in as many lines as there are."""
        room = max(self._console.size.height - 2, 1)
        now = self._clock()
        with self._lock:
            running = [*self._steps.values(), *self._pushes.values()]
            heads = [ended.line for ended in self._ended.values()]
            tails: list[list[Text]] = [[] for _ in heads]
            heads += [_line(_time(now - each.started), each.name, "bold") for each in running]
            tails += [[_tail_line(text) for text in each.tail()] for each in running]
        if len(heads) + sum(map(len, tails)) > room:
            tails = [[] for _ in tails]
        if len(heads) > room:
            more = _tail_line(f"and {len(heads) - room + 1} more")
            heads, tails = [*heads[: room - 1], more], [[]] * room
        return Group(
            *(line for head, tail in zip(heads, tails, strict=True) for line in (head, *tail))
        )


def _line(mark: str, name: str, style: str, *, folded: bool = True) -> Text:
    """A line about a step: in as many columns as there are, if it is folded."""
    line = Text.assemble((f"{mark:>{_TIME_WIDTH}}", style), f"  {name.expandtabs(4)}")
    line.no_wrap, line.overflow = True, "ellipsis" if folded else "ignore"
    return line


def _tail_line(text: str) -> Text:
    shown = f"{_INDENT}{text.expandtabs(4)}"
    return Text(shown, "dim", no_wrap=True, overflow="ellipsis")


def _whole_log(step: _Running) -> Text:
    dropped = step.printed - len(step.log)
    lines = [f"({dropped} earlier lines are left out)"] if dropped else []
    log = "\n".join(f"{_INDENT}{text}" for text in (*lines, *step.log))
    return Text(log, no_wrap=True, overflow="ignore")


def _time(seconds: float) -> str:
    return f"{seconds:.1f}s"
