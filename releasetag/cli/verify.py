"""``releasetag verify``."""

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from releasetag.cli.options import Shared
from releasetag.cli.prepare import history_of, prepare
from releasetag.config import Settings
from releasetag.errors import ReleasetagError
from releasetag.git import WorkTree
from releasetag.version import Release

if TYPE_CHECKING:
    from releasetag.fix import Fixes
    from releasetag.report.progress import ConsoleReport
    from releasetag.verify import VerifiedRepository


def verify(
    shared: Shared,
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail if the newest release is not published.")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Look for every manifest and blob of every image.")
    ] = False,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Move floating tags up to where they should be, as promote does; then"
            " verify again. Never down.",
        ),
    ] = False,
    all_components: Annotated[  # noqa: ARG001 (it says what is so without it)
        bool, typer.Option("--all", help="Every component, as without this option.")
    ] = False,
) -> int:
    """Compare what the registries serve with the git tags.

    Exit code 1 if a floating tag does not name the image that it should.
    """
    from releasetag.cli.signals import Stopped
    from releasetag.errors import InterruptError
    from releasetag.fix import Fixes
    from releasetag.report.console import open_console
    from releasetag.report.formats import choose_format
    from releasetag.report.progress import ConsoleReport

    progress = ConsoleReport(
        open_console(stderr=True), os.environ, time.monotonic, quiet=shared.quiet
    )
    messages = progress.messages
    tree, configuration = prepare(shared, messages)
    known = configuration.publishable()
    verified: list[VerifiedRepository] = []
    fixes = Fixes() if fix else None
    failure: ReleasetagError | None = None
    try:
        for settings in known:
            verified += _verify(tree, settings, progress, fixes, deep=deep)
    except ReleasetagError as error:
        if fixes is None:
            raise
        failure = error
    except Stopped as stop:
        if fixes is None:
            raise
        what = "what was moved is listed above" if fixes.moved else "nothing was moved"
        hint = "run again: it goes on where this stopped"
        failure = InterruptError(f"interrupted: {what}", hint, stop.signal_number)
    progress.end()
    chosen = choose_format(json=shared.json, quiet=shared.quiet)
    print(chosen.format_verify(verified, fixes, failure), end="")
    for left in fixes.unfixed if fixes else ():
        messages.warning(f"{', '.join(left.tags)} not moved: {left.error.message}")
    if failure is not None:
        messages.error(failure)
        return failure.exit_code
    drifted = [each for each in verified if each.has_drift(strict=strict)]
    for each in drifted:
        wrong = [f"{tag.name} ({tag.status})" for tag in each.wrong]
        shown = ", ".join(wrong) or "the newest release is not published"
        messages.alert("releasetag: drift", f"{each.repository}: {shown}")
    return 1 if drifted else 0


def _verify(
    tree: WorkTree,
    settings: Settings,
    progress: "ConsoleReport",
    fixes: "Fixes | None",
    *,
    deep: bool,
) -> "tuple[VerifiedRepository, ...]":
    """Verify the repositories of a component; fix what is wrong, and verify them again."""
    from releasetag.fix import Fixer
    from releasetag.image import open_tools
    from releasetag.publish.gates import parse_gate
    from releasetag.verify import verify_repositories

    warn = progress.messages.warning
    history = history_of(tree, settings, warn)
    with open_tools(os.environ, settings.insecure_registries) as tools:
        found = verify_repositories(tools.registries, settings, history, deep=deep)
        if fixes is None or not any(each.wrong for each in found):
            return found
        if settings.dry_run:
            progress.messages.note("dry run: nothing is moved")
            return found
        gates = [parse_gate(gate, os.environ) for gate in settings.gates]

        def reread() -> Sequence[Release]:
            return history_of(tree, settings, lambda _: None)

        Fixer(
            tools.registries, settings, history, reread, gates, os.environ, fixes, progress, warn
        ).run(found)
        return verify_repositories(tools.registries, settings, reread(), deep=deep)
