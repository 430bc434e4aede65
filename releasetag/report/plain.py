"""Build events as lines, in the form of ``docker build --progress=plain``.

Source: ``util/progress/progressui`` of github.com/moby/buildkit. There, a step with much output
delays that of others; here every line is printed when its event comes.
"""

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

# A transfer gets another line after this share of it, or this long.
_STATUS_SHARE = 0.05
_STATUS_SECONDS = 5.0


class PlainFormatter:
    """Format the events of one build, in their order."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._current = 0
        self._is_open = False
        self._printed: dict[tuple[int, str], StepStatus] = {}

    def lines(self, event: BuildEvent) -> list[str]:
        """Return the lines that an event adds, without line feeds."""
        if isinstance(event, StepStarted):
            self._names[event.number] = event.name
            text = ""
        else:
            text = self._text(event)
            if not text:
                return []
        lines = self._switch(event.number)
        if text:
            lines.append(f"#{event.number} {text}")
        if isinstance(event, StepCached | StepDone | StepFailed):
            self._is_open = False
        return lines

    def _switch(self, number: int) -> list[str]:
        """Return the lines that lead to a step, if the last line was another's."""
        if number == self._current and self._is_open:
            return []
        lines = []
        if self._is_open:
            lines.append(f"#{self._current} ...")
        if self._current:
            lines.append("")
        self._current, self._is_open = number, True
        return [*lines, f"#{number} {self._names.get(number, '')}".rstrip()]

    def _text(self, event: BuildEvent) -> str:
        match event:
            case StepLog(seconds=seconds, text=text):
                digits = 3 if seconds < 10 else 2 if seconds < 100 else 1
                return f"{seconds:.{digits}f} {text}"
            case StepStatus():
                return self._status(event)
            case StepWarning(text=text):
                return f"WARN: {text}"
            case StepCached():
                return "CACHED"
            case StepDone(seconds=seconds):
                return f"DONE {seconds:.1f}s"
            case StepFailed(is_canceled=True):
                return "CANCELED"
            case StepFailed(error=error):
                return f"ERROR: {error}"
        return ""

    def _status(self, status: StepStatus) -> str:
        if status.seconds is None:
            return ""
        if not (status.is_done or status.current or status.total):
            return ""  # only started: the line at its end says more
        key = (status.number, status.name)
        last = self._printed.get(key)
        if last and not status.is_done:
            share = (status.current - last.current) / status.total if status.total else 0.0
            passed = status.seconds - (last.seconds or 0.0)
            if share < _STATUS_SHARE and passed < _STATUS_SECONDS:
                return ""
        if last and last.is_done and status.is_done:
            return ""
        self._printed[key] = status
        text = status.name
        if status.total:
            text += f" {_bytes(status.current)} / {_bytes(status.total)}"
        elif status.current:
            text += f" {_bytes(status.current)}"
        if status.seconds > 0.01:
            text += f" {status.seconds:.1f}s"
        return f"{text} done" if status.is_done else text


def _bytes(count: int) -> str:
    """Decimal units: ``512B``, ``1.50kB``."""
    if count < 1000:
        return f"{count}B"
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.2f}{unit}"
    return f"{size / 1000:.2f}TB"
