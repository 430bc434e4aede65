"""A publish as it goes, for a person: live on a terminal, as lines in a log."""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from releasetag.events import PushRetried
from releasetag.publish import Provenance
from releasetag.report.console import is_live, print_line, print_warning
from releasetag.report.plain import PlainFormatter
from releasetag.report.record import Record
from releasetag.report.workflow import LogGroup, without_commands
from releasetag.tagging import TagResult
from releasetag.text import printable

# rich is imported for a terminal alone.
if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from releasetag.events import BuildEvent, PushEvent
    from releasetag.report.console import Console
    from releasetag.report.live import LiveView


class ConsoleReport(Record):
    """Tells a publish as it goes; the tables come at its end, from what this keeps.

    What builds and gates print is drawn live on a terminal, stands in a group on GitHub Actions,
    and comes in plain lines elsewhere.

    Args:
        console: on standard error, where it disturbs no program.
        environ: the environment, which tells of GitHub Actions.
        clock: seconds that only grow.
        quiet: warnings alone.
        verbose: every line and every layer, in place of what is drawn live.
        tables: whether a table comes at the end, so that references need no lines of their own.
    """

    def __init__(
        self,
        console: "Console",
        environ: Mapping[str, str],
        clock: Callable[[], float],
        *,
        quiet: bool = False,
        verbose: bool = False,
        tables: bool = True,
    ) -> None:
        super().__init__()
        self._console = console
        self._quiet = quiet
        self._verbose = verbose
        self._tables = tables and not verbose
        self._on_github = environ.get("GITHUB_ACTIONS") == "true"
        self._group: LogGroup | None = None
        self._plain = PlainFormatter()
        is_drawn = not (quiet or verbose or self._on_github)
        self._live = _live_view(console, clock) if is_drawn and is_live(console) else None
        self._out = threading.RLock()

    @property
    def shows_logs(self) -> bool:
        """Whether the whole log of a step that failed stands right above."""
        return self._live is not None

    def step(self, text: str, *, prints: bool = False) -> None:
        """A line for every step; what others print in it is kept apart from what this says."""
        self.end()
        if prints and self._on_github:
            self._group = LogGroup(text)
            self._write(*self._group.start)
        elif not self._quiet:
            self._write(without_commands(printable(text)), style="bold")

    def building(self, event: "BuildEvent") -> None:
        """The build's output as it comes."""
        if self._live is not None:
            self._live.building(event)
        elif not self._quiet:
            with self._out:  # builds for several platforms run side by side
                self._write(*self._plain.lines(event))

    def pushing(self, event: "PushEvent") -> None:
        """How far a push is, on a terminal; every layer, if verbose."""
        if isinstance(event, PushRetried):
            self.warn(f"pushing {event.reference} again: {event.reason}")
        elif self._live is not None:
            self._live.pushing(event)
        elif self._verbose and event.layer and not event.total:
            said = f"{event.reference}: {event.layer} {event.status}"
            self._write(without_commands(said))

    def published(self, item: TagResult) -> None:
        """A line for every reference, if no table comes."""
        before = {known.reference: known.status for known in self.items}
        super().published(item)
        if self._live is not None:
            self._live.pushed(str(item.reference))
        if self._tables or self._quiet or before.get(item.reference) == item.status:
            return
        said = printable(item.reason or item.error)
        line = f"{item.status:9} {item.reference}{f': {said}' if said else ''}"
        self._write(without_commands(line))

    def made(self, build: Provenance) -> None:
        """A line when a published image is found in place of a build."""
        self.end()
        if build.reused and not self._quiet and (self.build is None or not self.build.reused):
            self._write("Published already: nothing is built")
        super().made(build)

    def warn(self, text: str) -> None:
        """A warning, even where nothing else is wanted."""
        with self._out:
            print_warning(self._console, text)

    def end(self) -> None:
        """End what is drawn, or the group; what is said next stands below it."""
        if self._live is not None:
            self._live.stop()
        if self._group is not None:
            lines, self._group = self._group.end, None
            self._write(*lines)

    def close(self) -> None:
        """As `end`, for good: threads that are not waited for may still have something to tell."""
        if self._live is not None:
            self._live.close()
        self.end()

    def _write(self, *lines: str, style: str = "") -> None:
        with self._out:
            for line in lines:
                print_line(self._console, (line, style))


def _live_view(console: "RichConsole", clock: Callable[[], float]) -> "LiveView":
    from releasetag.report.live import LiveView

    return LiveView(console, clock)
