"""``releasetag promote``."""

import os
import time
from typing import Annotated

import typer

from releasetag.cli.completion import complete_floating, complete_version
from releasetag.cli.options import Shared
from releasetag.cli.prepare import history_of, prepare
from releasetag.config.schema import PUBLISHING


def promote(
    shared: Shared,
    *,
    version: Annotated[
        str,
        typer.Argument(
            metavar="VERSION",
            help="A published version, or a release's git tag.",
            autocompletion=complete_version,
        ),
    ],
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            "-t",
            metavar="TAG",
            help="A floating tag to move, by name or template; may be repeated. Default: all that"
            " apply to the version.",
            autocompletion=complete_floating,
        ),
    ] = None,
    allow_downgrade: Annotated[
        bool,
        typer.Option(
            "--allow-downgrade", help="Move tags down: a rollback.", rich_help_panel=PUBLISHING
        ),
    ] = False,
) -> int:
    """Point floating tags at a published version, inside the registry.

    All floating tags that apply to the version, or those that --tag picks. Nothing is built or
    pulled, and all platforms are kept.
    """
    from releasetag.cli.signals import Stopped
    from releasetag.errors import InterruptError, ReleasetagError
    from releasetag.image import open_tools
    from releasetag.plan import release_of
    from releasetag.promote import plan_promotions, promote_release, run_gates
    from releasetag.publish.gates import parse_gate
    from releasetag.reference import Reference
    from releasetag.report.console import open_console
    from releasetag.report.formats import choose_format
    from releasetag.report.progress import ConsoleReport
    from releasetag.report.record import PromoteResult
    from releasetag.tagging import TagResult

    progress = ConsoleReport(
        open_console(stderr=True), os.environ, time.monotonic, quiet=shared.quiet
    )
    messages = progress.messages
    tree, configuration = prepare(shared, messages)
    settings, wanted = configuration.component_of(version)
    done: dict[Reference, TagResult] = {}
    failure: ReleasetagError | None = None

    def report(result: TagResult) -> None:
        done[result.reference] = result

    gates = [parse_gate(gate, os.environ) for gate in settings.gates]
    history = history_of(tree, settings, messages.warning)
    release = release_of(wanted, history)
    with open_tools(os.environ, settings.insecure_registries) as tools:
        plans = plan_promotions(
            tools.registries,
            settings,
            release,
            history,
            warn=messages.warning,
            picks=tuple(tag or ()),
            allow_downgrade=allow_downgrade,
        )
        try:
            if not settings.dry_run:
                run_gates(plans, gates, os.environ, progress)
                progress.end()
            for plan in () if settings.dry_run else plans:
                promote_release(
                    tools.registries,
                    plan,
                    lambda: history_of(tree, settings, lambda _: None),
                    report=report,
                    warn=messages.warning,
                    allow_downgrade=allow_downgrade,
                )
        except ReleasetagError as error:
            progress.end()
            failure = error
        except Stopped as stop:
            progress.end()
            what = "what was moved is listed above" if done else "nothing was moved"
            hint = "run again: it goes on where this stopped"
            failure = InterruptError(f"interrupted: {what}", hint, stop.signal_number)
    result = PromoteResult(plans, tuple(done.values()), failure)
    print(choose_format(json=shared.json, quiet=shared.quiet).format_promote(result), end="")
    if failure is not None:
        messages.error(failure)
        return failure.exit_code
    return 0
