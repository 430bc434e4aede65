"""Standard input, output and error, which may be closed, full, or of another encoding."""

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _LogFile(io.FileIO):
    """Standard error. What it cannot take is lost: no publish stops half-way for a full log."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def open_streams() -> None:
    """Replace `sys.stdin`, `sys.stdout` and `sys.stderr` by ones that work whatever is behind."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed, as in `releasetag … >&-`
            os.open(os.devnull, os.O_RDWR)  # or the next connection would get this number
    encoding = getattr(sys.stdout, "encoding", "utf-8")
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    # Buffered, whatever PYTHONUNBUFFERED says: what cannot be written fails again when flushed.
    sys.stdout = _text_stream(io.FileIO(1, "w", closefd=False), encoding)
    sys.stderr = _text_stream(_LogFile(2, "w", closefd=False), encoding)


def _text_stream(raw: io.FileIO, encoding: str) -> io.TextIOWrapper:
    # A letter that a terminal lacks is no failure.
    by_line = isinstance(raw, _LogFile) or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "replace", line_buffering=by_line)


def stop_output() -> None:
    """Have nothing more written to standard output, not even when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
