"""What a person sees, on a terminal and in a log.

All text goes out as it is, never as markup: names of tags and messages of registries are
somebody else's.
"""

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO, TypeAlias, TypeGuard

from releasetag.errors import BuildError, ReleasetagError
from releasetag.report.workflow import without_commands
from releasetag.text import clean, printable

# Types alone: a plan imports no registry's client, and rich only for a terminal.
if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from releasetag.plan import Plan
    from releasetag.promote import PromotionPlan
    from releasetag.publish import Provenance
    from releasetag.report.record import Record
    from releasetag.tagging import TagResult
    from releasetag.verify import VerifiedRepository, VerifiedTag

    Console: TypeAlias = "RichConsole | PlainConsole"

Row = tuple[str, str, str]
"""What is done, to what, and why; the last may be empty."""

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
    "skip": "dim",
    "unpublished": "dim",
}

# Columns that a reason needs at least to stand beside the name and not below it.
_LEAST = 30


class PlainConsole:
    """A log, a file or a pipe: lines without colour, and without the time to import rich."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def print(self, text: object = "", **_options: object) -> None:
        """Print a line; rich's options change nothing here."""
        self.file.write(f"{text}\n")
        self.file.flush()


def people_console(*, stderr: bool) -> "Console":
    """Return a console that prints what it is given: no markup, no emoji, no guessed colours."""
    file = sys.stderr if stderr else sys.stdout
    # As rich decides what is a terminal.
    if not (file.isatty() or os.environ.get("FORCE_COLOR") or "TTY_COMPATIBLE" in os.environ):
        return PlainConsole(file)
    from releasetag.report.terminal import Terminal

    return Terminal(stderr=stderr, markup=False, emoji=False, highlight=False)


def is_live(console: "Console") -> "TypeGuard[RichConsole]":
    """Whether somebody looks at it, so that lines can be collapsed and drawn again.

    FORCE_COLOR makes rich take any log for a terminal: colours do no harm there.
    """
    if isinstance(console, PlainConsole):
        return False
    return console.file.isatty() and not console.is_dumb_terminal


# Tables -------------------------------------------------------------------------------------------


def print_plan(console: "Console", plan: "Plan") -> None:
    """Print a plan: what moves, what stays, and why."""
    _print(console, _headline(plan), "bold")
    _print(console)
    print_rows(console, ((t.action, t.name, t.reason) for t in plan.tags))
    if plan.repositories:
        _print(console)
        _print_repositories(console, plan)


def print_publish(console: "Console", record: "Record") -> None:
    """Print what became of every tag, and why."""
    plan, build = record.plan, record.build
    if plan is None:
        return
    if build is not None and build.digest:
        done = "reused" if build.reused else "published"
        _print_digest(console, f"{plan.release.git_tag} {done} as", build.digest)
    elif build is not None and build.image_id:
        _print_digest(console, f"{plan.release.git_tag} built as", build.image_id)
    rows: list[Row] = [(i.status, str(i.reference), i.reason or i.error) for i in record.items]
    if build is not None and not plan.settings.push:
        rows += [("tagged", str(reference), "") for reference in plan.references]
    rows += [(t.action, t.name, t.reason) for t in plan.tags if t.action != "push"]
    print_rows(console, rows)


def print_dry_run(console: "Console", record: "Record") -> None:
    """Print what a publish would do."""
    plan, build = record.plan, record.build
    if plan is None or build is None:
        return
    _print_digest(console, f"dry run: would {_doing(plan, build)}", build.digest)
    print_rows(console, ((t.action, t.name, t.reason) for t in plan.tags))
    _print_repositories(console, plan)


def print_references(console: "Console", record: "Record") -> None:
    """Print what names the release now, a reference a line: all that a quiet publish says."""
    plan = record.plan
    if plan is None or plan.settings.dry_run:
        return
    named = [item.reference for item in record.items if item.status in {"pushed", "unchanged"}]
    for reference in named if plan.settings.push else plan.references:
        _print(console, str(reference))


def print_verified(
    console: "Console", verified: "Iterable[VerifiedRepository]", *, quiet: bool
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
        _print(console, str(each.repository), "bold")
        print_rows(console, rows)
        if not rows:
            _print(console, "  no release is known")


def print_promotion(
    console: "Console", plan: "PromotionPlan", results: "Iterable[TagResult]"
) -> None:
    """Print what became of every floating tag; in a dry run, what would."""
    became = {item.reference: item for item in results}
    release = plan.release
    rows: list[Row] = []
    for each in plan.moves:
        item = became.get(each.reference)
        if item is not None:
            rows.append((item.status, str(each.reference), item.reason or item.error))
        elif each.digest == plan.manifest.digest:
            rows.append(("unchanged", str(each.reference), f"names {release.version}"))
        else:
            named = f"names {each.now or each.digest} now" if each.digest else "is not there yet"
            rows.append(("push", str(each.reference), named))
    said = f"promote {release.version}"
    _print(console, said if became else f"dry run: would {said}", "bold")
    print_rows(console, rows)


def print_rows(console: "Console", rows: Iterable[Row]) -> None:
    """Print a table; on a terminal, reasons are folded into their column, never cut."""
    known = [(word, name, _shown(why)) for word, name, why in rows]
    first = max((len(word) for word, _, _ in known), default=0) + 4
    second = max((_width(name) for _, name, why in known if why), default=0) + 2
    for word, name, why in known:
        reason = _reason(console, name, why, first, second) if why else ""
        print_line(
            console,
            (f"  {word:<{first - 2}}", _STYLES.get(word, "")),
            (name, ""),
            (reason, "dim"),
        )


def print_line(console: "Console", *parts: tuple[str, str]) -> None:
    """Print a line, which is not wrapped.

    Args:
        parts: of the line, each with its style.
    """
    if isinstance(console, PlainConsole):
        console.print("".join(text for text, _ in parts))
        return
    from rich.text import Text

    console.print(Text.assemble(*parts), soft_wrap=True)


def _reason(console: "Console", name: str, why: str, first: int, second: int) -> str:
    """A reason beside its name, or below where there is too little room."""
    beside_it = f"{' ' * (second - _width(name))}{why}"
    if not is_live(console):
        return beside_it
    room = console.width - first - second
    if _width(why) <= room:
        return beside_it
    from rich.text import Text

    beside = room >= _LEAST
    indent = first + (second if beside else 2)
    lines = Text(why).wrap(console, max(console.width - indent, 10))
    text = f"\n{' ' * indent}".join(line.plain.rstrip() for line in lines)
    before = " " * (second - _width(name)) if beside else f"\n{' ' * indent}"
    return before + text


def _width(text: str) -> int:
    """Return the columns of a text; CJK letters have two each."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _headline(plan: "Plan") -> str:
    release, count = plan.release, len(plan.history)
    known = f"{count} release{'s' * (count != 1)} known ({plan.git_tags.source})"
    return f"{release.git_tag} at {release.revision[:7]}: version {release.version}, {known}"


def _print_digest(console: "Console", said: str, digest: str) -> None:
    """A digest is long: where it would be folded, it stands on a line of its own."""
    line = f"{said} {digest}".rstrip()
    if is_live(console) and _width(line) > console.width:
        line = f"{said}\n  {digest}"
    _print(console, line, "bold")


def _print_repositories(console: "Console", plan: "Plan") -> None:
    for repository in plan.repositories:
        _print(console, f"  to {repository}")


def _doing(plan: "Plan", build: "Provenance") -> str:
    if build.reused:
        return "reuse the published image"
    if plan.settings.from_image:
        return f"publish the image {plan.settings.from_image}{' as' if build.digest else ''}"
    if plan.settings.from_container:
        return f"commit the container {plan.settings.from_container}"
    return f"build with {build.builder}"


def _why_verified(tag: "VerifiedTag") -> str:
    if tag.reason:
        return tag.reason
    match tag.status:
        case "ok":
            return f"names {tag.expected}"
        case "drift":
            return f"names {tag.actual} and should name {tag.expected}"
        case "missing":
            return f"is not there and should name {tag.expected}"
    return f"the image of {tag.expected} was never pushed"


# Lines --------------------------------------------------------------------------------------------


def print_error(console: "Console", error: ReleasetagError, *, with_log: bool = True) -> None:
    """Print an error in two lines, behind the end of the log if a build failed.

    Args:
        with_log: whether that log was not printed whole a moment ago.
    """
    if isinstance(error, BuildError) and with_log:
        for line in error.log:
            _print(console, f"  | {clean(line)}", "dim")
    # Two lines are two lines: a terminal folds them, and a program can count on them.
    _print_marked(console, "error: ", "bold red", error.message)
    _print_marked(console, "hint: ", "bold", error.hint)


def print_warning(console: "Console", text: str) -> None:
    """Print what a person should know and the command can live with."""
    _print_marked(console, "warning: ", "bold yellow", text)


def _print_marked(console: "Console", mark: str, style: str, text: str) -> None:
    print_line(console, (mark, style), (_shown(text, 2000), ""))


def _print(console: "Console", text: str = "", style: str = "") -> None:
    print_line(console, (without_commands(text), style))


def _shown(text: str, limit: int = 300) -> str:
    return without_commands(printable(text, limit))
