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
    from releasetag.floating import Published
    from releasetag.promote import plan_promotion, promote_release
    from releasetag.report.formats import choose_format
    from releasetag.report.messages import Messages
    from releasetag.report.record import PromoteResult

    picks = tuple(shared.tags or ())
    tree, configuration = prepare(replace(shared, tags=None), {})
    settings, wanted = component_of(configuration, version)
    messages = Messages(os.environ)
    history = history_of(tree, settings, messages.warning)
    release = next(
        (known for known in history if str(known.version) == str(wanted.version)), wanted
    )
    done: list[Published] = []
    failure: ReleasetagError | None = None
    with registries(os.environ) as client:
        moves = plan_promotion(
            client, settings, release, history, picks=picks, allow_downgrade=allow_downgrade
        )
        try:
            if not dry_run:
                promote_release(
                    client, settings, release, moves, done.append, allow_downgrade=allow_downgrade
                )
        except ReleasetagError as error:
            failure = error
        except Stopped as stop:
            said = "what was moved is listed above" if done else "nothing was moved"
            hint = "run again: it goes on where this stopped"
            failure = InterruptError(f"interrupted: {said}", hint, stop.signal_number)
    result = PromoteResult(release, moves, tuple(done), failure)
    print(choose_format(json=shared.json, quiet=shared.quiet).format_promote(result), end="")
    if failure is not None:
        messages.error(failure)
        return failure.exit_code
    return 0
