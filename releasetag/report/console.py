"""Results as tables, for a terminal or a log.

All text is printed as it is, never as markup: names of tags and messages of registries come from
elsewhere.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO, TypeAlias, TypeGuard

from releasetag.report.record import Row, shorten
from releasetag.report.workflow import without_commands
from releasetag.text import printable

# Types alone: a plan imports no registry's client, and rich only for a terminal.
if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from releasetag.errors import ReleasetagError
    from releasetag.explain import Explanation
    from releasetag.findings import Finding
    from releasetag.fix import Fixes
    from releasetag.plan import Plan
    from releasetag.publish import Provenance
    from releasetag.release_tree import ListedRelease, ReleaseTree
    from releasetag.report.record import PromoteResult, PublishResult
    from releasetag.snapshot.plan import SnapshotPlan
    from releasetag.verify import VerifiedRepository, VerifiedTag

    Console: TypeAlias = "RichConsole | PlainConsole"

Line = tuple[tuple[str, str], ...]
"""The parts of a line, each with its style."""

# Readable on a light and on a dark terminal: no yellow, no white, and nothing faint.
_STYLES = {
    "push": "green",
    "pushed": "green",
    "tagged": "green",
    "ok": "green",
    "unchanged": "cyan",
    "keep": "magenta",
    "kept": "magenta",
    "drift": "red",
    "broken": "red",
    "mismatch": "red",
    "differs": "red",
    "failed": "red",
    "missing": "red",
    "not done": "red",
    "note": "magenta",
    "problem": "red",
}

# The least columns for a reason beside its name; with fewer it stands below.
_LEAST = 30


class PlainConsole:
    """A log, a file or a pipe: lines without colour, and without the time to import rich."""

    def __init__(self, file: TextIO) -> None:
        self.file = file


def open_console(*, stderr: bool) -> "Console":
    """Return a console that prints text as it is: no markup, no emoji, no guessed colours."""
    file = sys.stderr if stderr else sys.stdout
    # As rich decides what is a terminal.
    if not (file.isatty() or os.environ.get("FORCE_COLOR") or "TTY_COMPATIBLE" in os.environ):
        return PlainConsole(file)
    from releasetag.report.terminal import Terminal

    # Some CI systems give their jobs a terminal: all that is drawn ends up in a log.
    is_log = os.environ.get("CI", "") not in {"", "false"}
    return Terminal(
        stderr=stderr,
        markup=False,
        emoji=False,
        highlight=False,
        force_interactive=False if is_log else None,
    )


def is_live(console: "Console") -> "TypeGuard[RichConsole]":
    """Whether the console is a terminal, on which lines can be folded and redrawn.

    FORCE_COLOR makes rich take any log for a terminal: colours do no harm there.
    """
    if isinstance(console, PlainConsole):
        return False
    return console.file.isatty() and console.is_interactive and not console.is_dumb_terminal


def print_line(console: "Console", *parts: tuple[str, str]) -> None:
    """Print a line, which is not wrapped."""
    if isinstance(console, PlainConsole):
        console.file.write(_plain(parts))
        console.file.flush()
        return
    from rich.text import Text

    console.print(Text.assemble(*parts), soft_wrap=True)


class Tables:
    """Format results as tables, in the width and the colours of a console."""

    def __init__(self, console: "Console") -> None:
        self._console = console

    def format_plan(self, plan: "Plan") -> str:
        """Format a plan: which tags move, which stay, and why."""
        release, count = plan.release, len(plan.history)
        known = f"{count} release{'s' * (count != 1)} known ({plan.git_tags.source})"
        headline = (
            f"{release.git_tag} at {release.revision[:7]}: version {release.version}, {known}"
        )
        tags: list[Line] = []
        for each in plan.images:
            if each.settings.variant:
                tags.append(_line(each.settings.variant, "bold"))
            tags += self._table(Row(tag.action, tag.name, reason=tag.reason) for tag in each.tags)
        repositories = _repositories(plan)
        return self._render(
            _line(headline, "bold"),
            (),
            *tags,
            *([()] if repositories else []),
            *repositories,
        )

    def format_plans(self, plans: "Iterable[Plan]") -> str:
        """Format the plans of all components, one below the other."""
        return "\n".join(map(self.format_plan, plans))

    def format_publish(self, result: "PublishResult") -> str:
        """Format what became of every tag, and why; in a dry run, what would."""
        if result.plan is None:
            return ""
        lines: list[Line] = []
        plans: Sequence[Plan | SnapshotPlan] = result.plan.images
        for plan, each in zip(plans, result.variants or (result,), strict=True):
            lines += self._published(plan, each)
        if result.plan.settings.dry_run:
            lines += _repositories(result.plan)
        return self._render(*lines)

    def _published(self, plan: "Plan | SnapshotPlan", result: "PublishResult") -> list[Line]:
        build = result.build
        lines: list[Line] = []
        variant = f" {plan.settings.variant}" if plan.settings.variant else ""
        what = f"{plan.title}{variant}"
        if build is not None and plan.settings.dry_run:
            lines = self._digest(f"dry run: would {_action(plan, build)}", build.digest)
        elif build is not None and build.missing:
            lines = [_line(f"{what} waits for {', '.join(build.missing)}", "bold")]
        elif build is not None and build.digest:
            done = "reused" if build.reused else "published"
            lines = self._digest(f"{what} {done} as", build.digest)
        elif build is not None and build.image_id:
            lines = self._digest(f"{what} built as", build.image_id)
        return lines + self._table(result.rows)

    def format_verify(
        self,
        repositories: "Iterable[VerifiedRepository]",
        fixes: "Fixes | None" = None,
        error: "ReleasetagError | None" = None,  # noqa: ARG002 (stands on standard error)
    ) -> str:
        """Format what every tag names and should name, below what was moved for it."""
        lines: list[Line] = []
        if fixes is not None and fixes.moved:
            moved = fixes.moved.values()
            rows = [
                Row(each.status, str(each.reference), each.digest, each.reason or each.error,
                    each.previous)
                for each in moved
            ]  # fmt: skip
            lines += [_line("moved", "bold"), *self._table(rows)]
        for each in repositories:
            rows = [Row(tag.status, tag.name, reason=_comparison(tag)) for tag in each.tags]
            lines += [_line(str(each.repository), "bold"), *self._table(rows)]
            if not rows:
                lines.append(_line("  no release has a floating tag"))
        return self._render(*lines)

    def format_promote(self, result: "PromoteResult") -> str:
        """Format what became of every floating tag; in a dry run, what would."""
        version = result.release.version
        became = {item.reference: item for item in result.items}
        rows = []
        for own, each in [(plan, move) for plan in result.plans for move in plan.moves]:
            name = str(each.reference)
            if item := became.get(each.reference):
                rows.append(Row(item.status, name, reason=item.reason or item.error))
            elif result.error is not None:
                rows.append(Row("not done", name))
            elif each.digest == own.manifest.digest:
                rows.append(Row("unchanged", name, reason=f"names {version}"))
            elif each.digest:
                rows.append(Row("push", name, reason=f"names {each.now or each.digest} now"))
            else:
                rows.append(Row("push", name, reason="is missing"))
        dry = "" if became or result.error else "dry run: would "
        return self._render(_line(f"{dry}promote {version}", "bold"), *self._table(rows))

    def format_history(self, trees: "Iterable[ReleaseTree]") -> str:
        """Format the releases by lines."""
        return self._render(*self.history_lines(trees))

    def history_lines(self, trees: "Iterable[ReleaseTree]") -> list[Line]:
        """Return the lines of `format_history`."""
        lines: list[Line] = []
        for tree in trees:
            lines += [_line(str(repository), "bold") for repository in tree.repositories]
            rows = [Row(each.status, each.release.git_tag, reason=_tags(each))
                    for each in tree.releases]  # fmt: skip
            line = ""
            for each, shown in zip(tree.releases, self._table(rows), strict=True):
                if each.line != line:
                    line = each.line
                    lines.append(_line(f"{line}", "bold"))
                lines.append(shown)
            if not rows:
                lines.append(_line("  no release is known"))
        return lines

    def format_explain(self, explanations: "Iterable[Explanation]") -> str:
        """Format why tags name what they name."""
        lines: list[Line] = []
        for each in explanations:
            lines += [_line(str(each.reference), "bold"), *self._findings(each.findings)]
        return self._render(*lines)

    def format_doctor(self, findings: "Iterable[Finding]") -> str:
        """Format what was checked, and what to do."""
        return self._render(*self._findings(findings))

    def _findings(self, findings: "Iterable[Finding]") -> list[Line]:
        return self._table(
            Row(each.status, each.subject, reason=f"{each.text}{_to_do(each.hint)}")
            for each in findings
        )

    def _render(self, *lines: Line) -> str:
        if isinstance(self._console, PlainConsole):
            return "".join(map(_plain, lines))
        with self._console.capture() as printed:
            for line in lines:
                print_line(self._console, *line)
        return printed.get()

    def _table(self, rows: Iterable[Row]) -> list[Line]:
        """Align rows; on a terminal, fold reasons into their column.

        Not by rich's grid: there a long name without a reason narrows the column of all reasons,
        and a reason cannot stand below its name.
        """
        shown = [row._replace(reason=without_commands(printable(_why(row)))) for row in rows]
        first = max((len(row.decision) for row in shown), default=0) + 4
        second = self._second_column(shown, first)
        lines: list[Line] = []
        for row in shown:
            decision = f"  {row.decision:<{first - 2}}", _STYLES.get(row.decision, "")
            reason = self._reason(row, first, second) if row.reason else ""
            lines.append((decision, (row.name, ""), (reason, "")))
        return lines

    def _second_column(self, rows: Sequence[Row], first: int) -> int:
        """Return the width of names, of which a long one does not narrow all reasons."""
        found = [row for row in rows if row.reason]
        widths = [_width(row.name) for row in found]
        second = max(widths, default=0) + 2
        if is_live(self._console):
            room = self._console.width - first - second
            if any(_width(row.reason) > room for row in found):
                narrow = [width for width in widths if width <= self._console.width // 3]
                second = max(narrow or widths) + 2
        return second

    def _reason(self, row: Row, first: int, second: int) -> str:
        """A reason beside its name, or below where there is too little room."""
        padding = " " * max(second - _width(row.name), 2)
        if not is_live(self._console):
            return padding + row.reason
        start = first + _width(row.name) + len(padding)
        longest = max(map(_width, row.reason.split(" ")))
        if _width(row.reason) <= self._console.width - start:
            return padding + row.reason
        from rich.text import Text

        fits = _width(row.name) <= second - 2
        is_beside = fits and self._console.width - start >= max(longest, _LEAST)
        indent = start if is_beside else first + 2
        if longest > self._console.width - indent:  # a digest
            indent = 4
        folded = Text(row.reason).wrap(
            self._console, max(self._console.width - indent, longest, 10)
        )
        line_break = f"\n{' ' * indent}"
        text = line_break.join(line.plain.rstrip() for line in folded)
        return (padding if is_beside else line_break) + text

    def _digest(self, text: str, digest: str) -> list[Line]:
        """A line with a digest, which stands below where it would be folded."""
        line = f"{text} {digest}".rstrip()
        if is_live(self._console) and _width(line) > self._console.width:
            return [_line(text, "bold"), _line(f"  {digest}", "bold")]
        return [_line(line, "bold")]


def _why(row: Row) -> str:
    if row.decision == "pushed" and row.previous and not row.reason:
        return f"was {shorten(row.previous)}"
    return row.reason


def _line(text: str, style: str = "") -> Line:
    return ((without_commands(text), style),)


def _plain(line: Line) -> str:
    return f"{''.join(text for text, _ in line)}\n"


def _width(text: str) -> int:
    """Return the columns of a text; CJK letters have two each."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _repositories(plan: "Plan | SnapshotPlan") -> list[Line]:
    return [_line(f"  to {repository}") for repository in plan.repositories]


def _action(plan: "Plan | SnapshotPlan", build: "Provenance") -> str:
    if build.reused:
        return "reuse the published image"
    if plan.settings.from_image:
        return f"publish the image {plan.settings.from_image}{' as' if build.digest else ''}"
    if plan.settings.from_snapshot:
        return "publish the snapshot of the commit"
    if plan.settings.from_version is not None:
        return f"publish the image of {plan.settings.from_version}"
    if plan.settings.from_container:
        return f"commit the container {plan.settings.from_container}"
    return f"build {build.variant} with {build.builder}".replace("  ", " ")


def _tags(listed: "ListedRelease") -> str:
    wrong = [f"{name} ({status})" for name, status in listed.wrong]
    return ", ".join([*listed.tags, *wrong])


def _to_do(hint: str) -> str:
    return f" ({hint})" if hint else ""


def _comparison(tag: "VerifiedTag") -> str:
    if tag.reason:
        return tag.reason
    match tag.status:
        case "ok":
            return f"names {tag.expected}"
        case "drift":
            return f"names {tag.actual} and should name {tag.expected}"
        case "missing":
            return f"is missing and should name {tag.expected}"
    return f"the image of {tag.expected} was never pushed"
