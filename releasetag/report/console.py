"""Results as tables, for a terminal or a log.

All text is printed as it is, never as markup: names of tags and messages of registries come from
elsewhere.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from releasetag.report.record import Row
from releasetag.report.workflow import without_commands
from releasetag.text import printable

# Types alone: a plan pays for no registry's client.
if TYPE_CHECKING:
    from releasetag.plan import Plan
    from releasetag.publish import Build
    from releasetag.report.record import PromoteResult, PublishResult
    from releasetag.verify import VerifiedRepository, VerifiedTag

_STYLES = {
    "push": "green",
    "pushed": "green",
    "tagged": "green",
    "ok": "green",
    "unchanged": "cyan",
    "keep": "yellow",
    "kept": "yellow",
    "drift": "red",
    "failed": "red",
    "missing": "red",
    "not done": "red",
    "skip": "dim",
    "unpublished": "dim",
}

# The least columns for a reason beside its name; with fewer it stands below.
_LEAST = 30


def open_console(*, stderr: bool) -> Console:
    """Return a console that prints text as it is: no markup, no emoji, no guessed colours."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def is_live(console: Console) -> bool:
    """Whether the console is a terminal, on which lines can be folded and redrawn.

    FORCE_COLOR makes rich take any log for a terminal: colours do no harm there.
    """
    return console.file.isatty() and not console.is_dumb_terminal


class Tables:
    """Format results as tables, in the width and the colours of a console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def format_plan(self, plan: "Plan") -> str:
        """Format a plan: which tags move, which stay, and why."""
        release, count = plan.release, len(plan.history)
        known = f"{count} release{'s' * (count != 1)} known ({plan.git_tags.source})"
        headline = (
            f"{release.git_tag} at {release.revision[:7]}: version {release.version}, {known}"
        )
        tags = self._table(Row(tag.action, tag.name, reason=tag.reason) for tag in plan.tags)
        repositories = _repositories(plan)
        return self._render(
            Text(headline, "bold"),
            Text(),
            *tags,
            *([Text()] if repositories else []),
            *repositories,
        )

    def format_publish(self, result: "PublishResult") -> str:
        """Format what became of every tag, and why; in a dry run, what would."""
        plan, build = result.plan, result.build
        if plan is None:
            return ""
        lines = []
        if build is not None and plan.settings.dry_run:
            lines = self._digest(f"dry run: would {_action(plan, build)}", build.digest)
        elif build is not None and build.digest:
            done = "reused" if build.reused else "published"
            lines = self._digest(f"{plan.release.git_tag} {done} as", build.digest)
        elif build is not None and build.image_id:
            lines = self._digest(f"{plan.release.git_tag} built as", build.image_id)
        lines += self._table(result.rows)
        if plan.settings.dry_run:
            lines += _repositories(plan)
        return self._render(*lines)

    def format_verify(self, repositories: "Iterable[VerifiedRepository]") -> str:
        """Format what every tag names and should name."""
        lines = []
        for each in repositories:
            rows = [Row(tag.status, tag.name, reason=_comparison(tag)) for tag in each.tags]
            lines += [Text(str(each.repository), "bold"), *self._table(rows)]
            if not rows:
                lines.append(Text("  no release is known"))
        return self._render(*lines)

    def format_promote(self, result: "PromoteResult") -> str:
        """Format what became of every floating tag; in a dry run, what would."""
        version = result.release.version
        became = {item.reference: item for item in result.items}
        rows = []
        for each in result.moves:
            name = str(each.reference)
            if item := became.get(each.reference):
                rows.append(Row(item.status, name, reason=item.reason or item.error))
            elif result.error is not None:
                rows.append(Row("not done", name))
            elif each.digest == each.manifest.digest:
                rows.append(Row("unchanged", name, reason=f"names {version}"))
            elif each.digest:
                rows.append(Row("push", name, reason=f"names {each.now or each.digest} now"))
            else:
                rows.append(Row("push", name, reason="is missing"))
        dry = "" if became or result.error else "dry run: would "
        return self._render(Text(f"{dry}promote {version}", "bold"), *self._table(rows))

    def _render(self, *lines: Text) -> str:
        with self._console.capture() as printed:
            for line in lines:
                self._console.print(line, soft_wrap=True)
        return printed.get()

    def _table(self, rows: Iterable[Row]) -> list[Text]:
        """Align rows; on a terminal, fold reasons into their column.

        Not by rich's grid: there a long name without a reason narrows the column of all reasons,
        and a reason cannot stand below its name.
        """
        shown = [row._replace(reason=without_commands(printable(row.reason))) for row in rows]
        first = max((len(row.decision) for row in shown), default=0) + 4
        second = max((cell_len(row.name) for row in shown if row.reason), default=0) + 2
        lines = []
        for row in shown:
            style = _STYLES.get(row.decision, "")
            line = Text.assemble((f"  {row.decision:<{first - 2}}", style), row.name)
            if row.reason:
                line.append(self._reason(row, first, second), "dim")
            lines.append(line)
        return lines

    def _reason(self, row: Row, first: int, second: int) -> str:
        """A reason beside its name, or below where there is too little room."""
        room = self._console.width - first - second
        padding = " " * (second - cell_len(row.name))
        if not is_live(self._console) or cell_len(row.reason) <= room:
            return padding + row.reason
        is_beside = room >= _LEAST
        indent = first + (second if is_beside else 2)
        folded = Text(row.reason).wrap(self._console, max(self._console.width - indent, 10))
        line_break = f"\n{' ' * indent}"
        text = line_break.join(line.plain.rstrip() for line in folded)
        return (padding if is_beside else line_break) + text

    def _digest(self, text: str, digest: str) -> list[Text]:
        """A line with a digest, which stands below where it would be folded."""
        line = without_commands(f"{text} {digest}".rstrip())
        if is_live(self._console) and cell_len(line) > self._console.width:
            return [Text(text, "bold"), Text(f"  {digest}", "bold")]
        return [Text(line, "bold")]


def _repositories(plan: "Plan") -> list[Text]:
    return [Text(f"  to {repository}") for repository in plan.repositories]


def _action(plan: "Plan", build: "Build") -> str:
    if build.reused:
        return "reuse the published image"
    if plan.settings.from_image:
        return f"publish the image {plan.settings.from_image}{' as' if build.digest else ''}"
    if plan.settings.from_container:
        return f"commit the container {plan.settings.from_container}"
    return f"build with {build.builder}"


def _comparison(tag: "VerifiedTag") -> str:
    match tag.status:
        case "ok":
            return f"names {tag.expected}"
        case "drift":
            return f"names {tag.actual} and should name {tag.expected}"
        case "missing":
            return f"is missing and should name {tag.expected}"
    return f"the image of {tag.expected} was never pushed"
