"""Print a publish while it runs: live on a terminal, as lines in a log."""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from releasetag.events import PushRetried
from releasetag.report import workflow
from releasetag.report.console import is_live, print_line
from releasetag.report.messages import Messages
from releasetag.report.plain import PlainFormatter
from releasetag.report.record import Record
from releasetag.text import printable

# rich is imported for a terminal alone.
if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from releasetag.events import BuildEvent, PushEvent
    from releasetag.plan import Plan
    from releasetag.publish import Provenance
    from releasetag.report.console import Console
    from releasetag.report.live import LiveView
    from releasetag.snapshot.plan import SnapshotPlan
    from releasetag.tagging import TagResult


class ConsoleReport:
    """Print a publish while it runs; a `releasetag.publish.Report`.

    The output of builds and gates is drawn live on a terminal, is a group on GitHub Actions, and is
    plain lines elsewhere.

    Args:
        console: for standard error.
        environ: the environment, to detect GitHub Actions.
        clock: monotonic seconds.
        quiet: print warnings only.
        verbose: print every line and every layer, instead of the live view.
        tables: a table follows at the end, so that references need no lines of their own.

    Attributes:
        record: what happened so far.
        messages: for errors and warnings.
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
        self.record = Record()
        self.messages = Messages(environ, console)
        self._console = console
        self._quiet = quiet
        self._verbose = verbose
        self._tables = tables and not verbose
        self._on_github = workflow.runs_here(environ)
        self._group: workflow.LogGroup | None = None
        self._plain = PlainFormatter()
        is_drawn = not (quiet or verbose or self._on_github)
        self._live = _live_view(console, clock) if is_drawn and is_live(console) else None
        self._out = threading.RLock()

    @property
    def shows_logs(self) -> bool:
        """Whether the whole log of a failed step has been printed."""
        return self._live is not None

    def planned(self, plan: "Plan | SnapshotPlan") -> None:
        """Record the plan."""
        self.record.planned(plan)

    def step(self, text: str, *, prints: bool = False) -> None:
        """Print a line for a step, or start a group for its output."""
        self.end()
        if prints and self._on_github:
            self.messages.hold()
            self._group = workflow.LogGroup(text)
            self._write(*self._group.start)
        elif not self._quiet:
            self._write(workflow.without_commands(printable(text)), style="bold")

    def building(self, event: "BuildEvent") -> None:
        """Print a build's output as it arrives."""
        if self._live is not None:
            self._live.building(event)
        elif not self._quiet:
            with self._out:  # builds for several platforms run in parallel
                self._write(*self._plain.lines(event))

    def pushing(self, event: "PushEvent") -> None:
        """Print a push's progress, on a terminal or if verbose, and retries."""
        if isinstance(event, PushRetried):
            self.warn(f"pushing {event.reference} again: {event.reason}")
        elif self._live is not None:
            self._live.pushing(event)
        elif self._verbose and event.layer and not event.total:
            line = f"{event.reference}: {event.layer} {event.status}"
            self._write(workflow.without_commands(line))

    def published(self, item: "TagResult") -> None:
        """Print a line for every reference, if no table follows."""
        before = {known.reference: known.status for known in self.record.items}
        self.record.published(item)
        if self._live is not None:
            self._live.pushed(str(item.reference))
        if self._tables or self._quiet or before.get(item.reference) == item.status:
            return
        why = printable(item.reason or item.error)
        line = f"{item.status:9} {item.reference}{f': {why}' if why else ''}"
        self._write(workflow.without_commands(line))

    def made(self, build: "Provenance") -> None:
        """Print a line if the published image is reused."""
        self.end()
        before = self.record.builds.get(build.variant)
        if build.reused and not (before and before.reused) and not self._quiet:
            what = f"{build.variant} is published" if build.variant else "Published"
            self._write(f"{what} already: nothing is built")
        self.record.made(build)

    def warn(self, text: str) -> None:
        """Print a warning, even if quiet."""
        self.messages.warning(text)

    def end(self) -> None:
        """End the live view or the group, before the next line."""
        if self._live is not None:
            self._live.stop()
        if self._group is not None:
            lines, self._group = self._group.end, None
            self._write(*lines)
            self.messages.release()

    def close(self) -> None:
        """End for good: threads that are not joined may still report."""
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
