"""Untrusted text, made fit for a terminal: one printable line."""

import re

# ECMA-48: control sequences, and strings up to their end (window titles, links).
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)

# C0 but the tab, C1, and the marks with which text can show itself in another order.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

LONGEST = 64 * 1024
"""Bytes of one line that are kept; what never ends a line must not fill the memory."""


def clean(raw: bytes | str) -> str:
    """One line without escape sequences and control characters.

    Several become one, with blanks between them. Of a line that was written over with carriage
    returns, as progress bars are, the last state is kept. Bytes that are no UTF-8 become U+FFFD.
    """
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
    text = re.sub(r"\r?\n", " ", _ESCAPES.sub("", text).rstrip("\r\n"))
    return _CONTROLS.sub("", text.rpartition("\r")[2])


def printable(text: str, limit: int = 300) -> str:
    """Words from outside, fit for a person's terminal: one line, no control characters.

    The query of a URL is left out (upload and token URLs hold state there), and what is longer
    than ``limit`` characters is cut.
    """
    # Invisible formatting and bidirectional overrides go as well: they can make a line lie.
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = re.sub(r"(\bhttps?://[^\s?\"']++)(?:\?[^\s\"']*)?", r"\1", line)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


class Lines:
    """Cuts a stream of bytes that comes in any pieces into clean lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that ended with this piece."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-LONGEST:]
        return [clean(line) for line in lines]

    def end(self) -> list[str]:
        """The line that no line feed ended, if there is one."""
        rest, self._rest = self._rest, b""
        return [clean(rest)] if rest else []
