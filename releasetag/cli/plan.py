"""``releasetag plan``."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from releasetag.cli.github import read_build_outputs
from releasetag.cli.options import Shared
from releasetag.cli.prepare import prepare
from releasetag.errors import ReleasetagError, UsageError

if TYPE_CHECKING:
    from releasetag.plan import Plan
    from releasetag.report.messages import Messages


def plan(
    shared: Shared,
    *,
    all_components: Annotated[
        bool,
        typer.Option("--all", help="Plan every component: its release at HEAD, else its highest."),
    ] = False,
) -> int:
    """Print the tags that a release gets, and why.

    Needs git alone: no engine, no registry.
    """
    from releasetag.report.formats import choose_format
    from releasetag.report.messages import Messages

    messages = Messages(os.environ)
    try:
        plans = _plan(shared, messages, all_components=all_components)
    except ReleasetagError as error:
        if _is_step():
            from releasetag.report.github import write_plan_outputs
            from releasetag.report.json import format_object

            with suppress(UsageError):  # the first error is the one to show
                write_plan_outputs((), format_object({}, error), os.environ, error=error)
        raise
    chosen = choose_format(json=shared.json, quiet=shared.quiet)
    text = chosen.format_plans(plans) if all_components else chosen.format_plan(plans[0])
    print(text, end="")
    return 0


def _plan(shared: Shared, messages: "Messages", *, all_components: bool) -> "tuple[Plan, ...]":
    """Plan, and write what GitHub Actions reads."""
    from releasetag.plan import plan_all, plan_release

    tree, configuration = prepare(shared, messages)
    if all_components:
        plans = plan_all(tree, configuration, messages.warning)
    else:
        plans = (plan_release(tree, configuration, os.environ, messages.warning),)
    if _is_step():
        from releasetag.report.github import write_plan_outputs
        from releasetag.report.json import format_plan, format_plans

        text = format_plans(plans) if all_components else format_plan(plans[0])
        outputs = read_build_outputs(tree, plans[0], os.environ) if len(plans) == 1 else None
        write_plan_outputs(plans, text, os.environ, outputs.metadata if outputs else ())
    return plans


def _is_step() -> bool:
    return bool(os.environ.get("GITHUB_OUTPUT") or os.environ.get("GITHUB_STEP_SUMMARY"))
