"""``releasetag plan``."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from releasetag.cli.github import is_step, read_build_outputs, write_failure
from releasetag.cli.options import Shared
from releasetag.cli.prepare import prepare
from releasetag.errors import ReleasetagError

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
        write_failure(error, os.environ)
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
    if is_step(os.environ):
        from releasetag.report.github import write_plan_outputs
        from releasetag.report.json import format_plan, format_plans

        text = format_plans(plans) if all_components else format_plan(plans[0])
        outputs = read_build_outputs(tree, plans[0], os.environ) if len(plans) == 1 else None
        write_plan_outputs(plans, text, os.environ, outputs.metadata if outputs else ())
    return plans
