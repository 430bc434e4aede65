"""Errors and warnings on standard error, and on GitHub Actions on the page of the run."""

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from releasetag.errors import BuildError, ReleasetagError
from releasetag.report import workflow
from releasetag.report.console import open_console, print_line
from releasetag.text import clean, printable

if TYPE_CHECKING:
    from releasetag.report.console import Console

_LIMIT = 2000


class Messages:
    """Print errors and warnings, from any thread.

    Args:
        console: for standard error; opened when there is something to print, unless it is given.
    """

    def __init__(self, environ: Mapping[str, str], console: "Console | None" = None) -> None:
        self._console = console
        self._annotates = workflow.runs_here(environ)
        self._annotated: set[str] = set()
        self._held: list[str] | None = None
        self._lock = threading.Lock()

    def error(self, error: ReleasetagError, *, with_log: bool = True) -> None:
        """Print an error in two lines, below the end of the log if a build failed.

        Args:
            with_log: False if the whole log stands right above.
        """
        if isinstance(error, BuildError) and with_log:
            for line in error.log:
                self._print((workflow.without_commands(f"  | {clean(line)}"), ""))
        # Two lines are two lines: a terminal folds them, and a program can count on them.
        self._print(("error: ", "bold red"), (_clean(error.message), ""))
        self._print(("hint: ", "bold"), (_clean(error.hint), ""))
        self._annotate("error", f"releasetag: {error.kind}", f"{error.message}\n{error.hint}")

    def warning(self, text: str) -> None:
        """Print what the user should know and the command can go on with."""
        self._print(("warning: ", "bold magenta"), (_clean(text), ""))
        self._annotate("warning", "releasetag", text)

    def note(self, text: str) -> None:
        """Print what is right and may still surprise."""
        self._print(("note: ", "bold"), (_clean(text), ""))
        self.notice(text)

    def notice(self, text: str) -> None:
        """Annotate a run on GitHub Actions with a note that the user sees without it elsewhere."""
        self._annotate("notice", "releasetag", text)

    def alert(self, title: str, text: str) -> None:
        """Annotate a run on GitHub Actions with an error that the user sees elsewhere without."""
        self._annotate("error", title, text)

    def hold(self) -> None:
        """Keep annotations back, as long as the log takes no workflow commands."""
        with self._lock:
            self._held = self._held or []

    def release(self) -> None:
        """Print the annotations that were kept back."""
        with self._lock:
            held, self._held = self._held or [], None
            for line in held:
                self._print((line, ""))

    def _annotate(self, level: workflow.Level, title: str, text: str) -> None:
        if not self._annotates:
            return
        text = "\n".join(map(_clean, text.splitlines()))
        line = workflow.annotation(level, title, text)
        with self._lock:
            if line in self._annotated:  # the page of a run shows ten of a kind
                return
            self._annotated.add(line)
            if self._held is None:
                self._print((line, ""))
            else:
                self._held.append(line)

    def _print(self, *parts: tuple[str, str]) -> None:
        if self._console is None:
            self._console = open_console(stderr=True)
        print_line(self._console, *parts)


def _clean(text: str) -> str:
    return workflow.without_commands(printable(text, _LIMIT))
