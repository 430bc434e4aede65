"""What a person sees, on a terminal and in a log.

All text goes out as it is, never as markup: names of tags and messages of registries are
somebody else's.
"""

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from releasetag.engine.plain import PlainFormatter
from releasetag.errors import BuildError, ReleasetagError
from releasetag.failure import printable
from releasetag.floating import Published
from releasetag.plan import Plan
from releasetag.promote import Promotion
from releasetag.publish import Build
from releasetag.report.record import Record
from releasetag.verify import VerifiedRepository, VerifiedTag
from releasetag.version import Release

if TYPE_CHECKING:
    from releasetag.engine.events import BuildEvent, PushEvent

_STYLES = {
    "push": "green",
    "pushed": "green",
    "ok": "green",
    "unchanged": "cyan",
    "keep": "yellow",
    "kept": "yellow",
    "drift": "red",
    "failed": "red",
    "missing": "red",
    "skip": "dim",
    "unpublished": "dim",
}


def people_console(*, stderr: bool) -> Console:
    """A console that prints what it is given: no markup, no emoji, no guessed colours."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def print_plan(console: Console, plan: Plan) -> None:
    """Print a plan: what moves, what stays, and why."""
    console.print(Text(_headline(plan), style="bold"))
    console.print()
    console.print(table((t.action, t.name, t.reason) for t in plan.tags))
    if plan.repositories:
        console.print()
        for repository in plan.repositories:
            console.print(Text(f"  to {repository}"), overflow="fold")


def print_publish(console: Console, record: Record) -> None:
    """Print what became of every tag, and why."""
    plan, build = record.plan, record.build
    if plan is None:
        return
    items = record.items
    rows: list[tuple[str, str, str]] = [
        (item.status, str(item.reference), item.reason or item.error) for item in items
    ]
    rows += [(t.action, t.name, t.reason) for t in plan.tags if t.action != "push"]
    console.print()
    if build is not None and build.digest:
        done = "reused" if build.reused else "published"
        line = Text(f"{plan.release.git_tag} {done} as {build.digest}", style="bold")
        console.print(line, soft_wrap=True)
    elif build is not None and build.image_id:
        line = Text(f"{plan.release.git_tag} built as {build.image_id}", style="bold")
        console.print(line, soft_wrap=True)
    if rows:
        console.print(table(rows))


def print_dry_run(console: Console, record: Record) -> None:
    """Print what a publish would do."""
    plan, build = record.plan, record.build
    if plan is None or build is None:
        return
    console.print()
    if build.digest:
        doing = f"would take up the published image {build.digest}"
    else:
        doing = f"would make the image ({build.builder})"
    console.print(Text(f"dry run: {doing}", style="bold"))
    rows = [(t.action, t.name, t.reason) for t in plan.tags]
    console.print(table(rows))
    for repository in plan.repositories:
        console.print(Text(f"  to {repository}"), overflow="fold")


def print_verified(
    console: Console, verified: Iterable[VerifiedRepository], *, quiet: bool
) -> None:
    """Print what every repository serves, or if quiet only what is not as it should be."""
    for each in verified:
        rows = [
            (tag.status, tag.name, _why_verified(tag))
            for tag in each.tags
            if not quiet or tag.status in {"drift", "missing"}
        ]
        if quiet and not rows:
            continue
        console.print(Text(str(each.repository), style="bold"), overflow="fold")
        console.print(table(rows) if rows else Text("  no release is known"))


def _why_verified(tag: VerifiedTag) -> str:
    match tag.status:
        case "ok":
            return f"names {tag.expected}"
        case "drift":
            return f"names {tag.actual} and should name {tag.expected}"
        case "missing":
            return f"is not there and should name {tag.expected}"
    return f"the image of {tag.expected} was never pushed"


def print_promotion(
    console: Console, release: Release, moves: Iterable[Promotion], done: Iterable[Published]
) -> None:
    """Print what became of every floating tag; in a dry run, what would."""
    became = {item.reference: item for item in done}
    rows = []
    for each in moves:
        item = became.get(each.reference)
        why = (item.reason or item.error) if item else "would name it"
        rows.append((item.status if item else "push", str(each.reference), why))
    console.print(Text(f"{release.version}", style="bold"))
    console.print(table(rows))


def print_error(console: Console, error: ReleasetagError) -> None:
    """Print an error in two lines, behind the end of the log if a build failed."""
    if isinstance(error, BuildError):
        for line in error.log:
            console.print(Text(f"  | {line}", style="dim"), soft_wrap=True)
    # Two lines are two lines: a terminal folds them, and a program can count on them.
    message, hint = Text("error: ", style="bold red"), Text("hint: ", style="bold")
    console.print(message + Text(printable(error.message, 2000), style="default"), soft_wrap=True)
    console.print(hint + Text(printable(error.hint, 2000), style="default"), soft_wrap=True)


def print_warning(console: Console, text: str) -> None:
    """Print what a person should know and the command can live with."""
    line = Text("warning: ", style="bold yellow") + Text(printable(text, 1000))
    console.print(line, soft_wrap=True)


def table(rows: Iterable[tuple[str, str, str]]) -> Table:
    """A table of what is done, to what, and why; long texts are folded, never cut."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=6)
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold")
    for word, name, why in rows:
        style = _STYLES.get(word, "")
        grid.add_row(Text(f"  {word}", style=style), Text(name), Text(printable(why), style="dim"))
    return grid


def _headline(plan: Plan) -> str:
    release, count = plan.release, len(plan.history)
    known = f"{count} release{'s' * (count != 1)} known ({plan.git_tags.source})"
    return f"{release.git_tag} at {release.revision[:7]}: version {release.version}, {known}"


class ConsoleReport(Record):
    """Tells a publish as it goes; the tables come at the end, from what it keeps.

    Args:
        console: on standard error, where it disturbs no program.
        verbose: every layer, not only every image.
    """

    def __init__(self, console: Console, *, quiet: bool, verbose: bool) -> None:
        super().__init__()
        self._console = console
        self._quiet = quiet
        self._verbose = verbose
        self._out = threading.RLock()
        self._layers: dict[tuple[str, str], tuple[int, int]] = {}
        self._tasks: dict[str, TaskID] = {}
        self._progress: Progress | None = None
        self._build = PlainFormatter()

    def step(self, text: str) -> None:
        """A line for every step."""
        self.end_progress()
        self._line(text, "bold")

    def building(self, event: "BuildEvent") -> None:
        """The build's output as it comes."""
        for line in self._build.lines(event):
            self._line(line)

    def pushing(self, event: "PushEvent") -> None:
        """A bar for every reference on a terminal, lines elsewhere."""
        from releasetag.engine.events import PushRetried

        if isinstance(event, PushRetried):
            self.warn(f"pushing {event.reference} again: {event.reason}")
            return
        if self._verbose and event.layer and not event.total:
            self._line(f"{event.reference}: {event.layer} {event.status}")
        if self._quiet or not self._console.is_terminal or not event.total:
            return
        with self._out:
            self._layers[event.reference, event.layer] = (event.current, event.total)
            mine = [size for (name, _), size in self._layers.items() if name == event.reference]
            done, total = (sum(numbers) for numbers in zip(*mine, strict=True))
            bars = self._bars()
            if event.reference not in self._tasks:
                self._tasks[event.reference] = bars.add_task(event.reference, total=total)
            bars.update(self._tasks[event.reference], completed=done, total=total)

    def published(self, item: Published) -> None:
        """A line for every reference."""
        before = {known.reference: known.status for known in self.items}
        super().published(item)
        if before.get(item.reference) != item.status:
            said = item.reason or printable(item.error)
            self._line(f"{item.status:9} {item.reference}{f': {said}' if said else ''}")

    def made(self, build: Build) -> None:
        """A line when a published image is found in place of a build."""
        if build.reused and (self.build is None or not self.build.reused):
            self._line(f"already published as {build.digest}: nothing is built")
        super().made(build)

    def warn(self, text: str) -> None:
        """A warning, even where nothing else is wanted."""
        with self._out:
            print_warning(self._console, text)

    def end_progress(self) -> None:
        """Leave the bars as they are and go on below them."""
        with self._out:
            if self._progress is not None:
                self._progress.stop()
                self._progress = None
                self._tasks.clear()

    def _bars(self) -> Progress:
        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                DownloadColumn(),
                console=self._console,
            )
            self._progress.start()
        return self._progress

    def _line(self, text: str, style: str = "") -> None:
        if not self._quiet:
            with self._out:
                self._console.print(Text(text, style=style), soft_wrap=True)
