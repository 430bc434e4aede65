"""``releasetag promote``."""

import os
from dataclasses import replace
from typing import Annotated

import typer

from releasetag.cli.options import Shared
from releasetag.cli.prepare import component_of, history_of, prepare, registries


def promote(
    shared: Shared,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="A published version, or a release's git tag.")
    ],
    allow_downgrade: Annotated[
        bool, typer.Option("--allow-downgrade", help="Move tags down: a rollback.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, change nothing.")
    ] = False,
) -> int:
    """Point floating tags at a published version, inside the registry.

    All floating tags that apply to the version, or those that --tag picks. Nothing is built or
    pulled, and all platforms are kept.
    """
    from releasetag.cli.interrupt import Stopped
    from releasetag.errors import InterruptError, ReleasetagError
    from releasetag.promote import plan_promotion, promote_release
    from releasetag.reference import Reference
    from releasetag.report.console import people_console, print_promotion, print_warning
    from releasetag.report.json import dumps, error_object, promote_object
    from releasetag.tagging import TagResult

    picks = tuple(shared.tags or ())
    tree, configuration = prepare(replace(shared, tags=None), {})
    settings, wanted = component_of(configuration, version)
    people = people_console(stderr=True)
    history = history_of(tree, settings, lambda text: print_warning(people, text))
    release = next((known for known in history if known.version == wanted.version), wanted)
    done: dict[Reference, TagResult] = {}
    failure: ReleasetagError | None = None

    def warn(text: str) -> None:
        print_warning(people, text)

    def report(result: TagResult) -> None:
        done[result.reference] = result

    with registries(os.environ) as client:
        plan = plan_promotion(
            client,
            settings,
            release,
            history,
            warn=warn,
            picks=picks,
            allow_downgrade=allow_downgrade,
        )
        try:
            if not dry_run:
                promote_release(
                    client,
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
            said = "what was moved is listed above" if done else "nothing was moved"
            hint = "run again: it goes on where this stopped"
            failure = InterruptError(f"interrupted: {said}", hint, stop.signal_number)
    results = list(done.values())
    if shared.json:
        told = promote_object(plan, results)
        print(dumps(told | ({"error": error_object(failure)} if failure else {})))
    elif not shared.quiet:
        print_promotion(people_console(stderr=False), plan, results)
    else:
        named = [item.reference for item in results if item.status in {"pushed", "unchanged"}]
        print("".join(f"{reference}\n" for reference in named), end="")
    if failure is not None:
        from releasetag.report.console import print_error

        print_error(people, failure)
        return failure.exit_code
    return 0
