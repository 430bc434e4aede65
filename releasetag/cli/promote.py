"""``releasetag promote``."""

import os
from typing import Annotated

import typer

from releasetag.cli.options import Shared
from releasetag.cli.prepare import history_of, prepare
from releasetag.config.schema import PUBLISHING


def promote(
    shared: Shared,
    *,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="A published version, or a release's git tag.")
    ],
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            "-t",
            metavar="TAG",
            help="A floating tag to move, by name or template; may be repeated. Default: all that"
            " apply to the version.",
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
    from releasetag.promote import plan_promotion, promote_release
    from releasetag.reference import Reference
    from releasetag.report.console import (
        people_console,
        print_error,
        print_promotion,
        print_warning,
    )
    from releasetag.report.json import dumps, error_object, promote_object
    from releasetag.tagging import TagResult

    tree, configuration = prepare(shared)
    settings, wanted = configuration.component_of(version)
    people = people_console(stderr=True)
    done: dict[Reference, TagResult] = {}
    failure: ReleasetagError | None = None

    def warn(text: str) -> None:
        print_warning(people, text)

    def report(result: TagResult) -> None:
        done[result.reference] = result

    history = history_of(tree, settings, warn)
    release = release_of(wanted, history)
    with open_tools(os.environ, settings.insecure_registries) as tools:
        plan = plan_promotion(
            tools.registries,
            settings,
            release,
            history,
            warn=warn,
            picks=tuple(tag or ()),
            allow_downgrade=allow_downgrade,
        )
        try:
            if not settings.dry_run:
                promote_release(
                    tools.registries,
                    settings,
                    plan,
                    lambda: history_of(tree, settings, lambda _: None),
                    report=report,
                    warn=warn,
                    allow_downgrade=allow_downgrade,
                )
        except ReleasetagError as error:
            failure = error
        except Stopped as stop:
            what = "what was moved is listed above" if done else "nothing was moved"
            hint = "run again: it goes on where this stopped"
            failure = InterruptError(f"interrupted: {what}", hint, stop.signal_number)
    results = list(done.values())
    if shared.json:
        result = promote_object(plan, results)
        print(dumps(result | ({"error": error_object(failure)} if failure else {})))
    elif not shared.quiet:
        print_promotion(people_console(stderr=False), plan, results)
    else:
        named = [item.reference for item in results if item.status in {"pushed", "unchanged"}]
        print("".join(f"{reference}\n" for reference in named), end="")
    if failure is not None:
        print_error(people, failure)
        return failure.exit_code
    return 0
