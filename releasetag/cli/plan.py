"""``releasetag plan``."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from releasetag.cli.github import read_build_outputs
from releasetag.cli.options import Shared
from releasetag.cli.prepare import prepare
from releasetag.errors import ReleasetagError, UsageError

if TYPE_CHECKING:
    from releasetag.plan import Plan
    from releasetag.report.messages import Messages


def plan(shared: Shared) -> int:
    """Print the tags that a release gets, and why.

    Needs git alone: no engine, no registry.
    """
    from releasetag.report.formats import choose_format
    from releasetag.report.messages import Messages

    messages = Messages(os.environ)
    try:
        planned = _plan(shared, messages)
    except ReleasetagError as error:
        if os.environ.get("GITHUB_OUTPUT") or os.environ.get("GITHUB_STEP_SUMMARY"):
            from releasetag.report.github import write_plan_outputs

            with suppress(UsageError):  # the first error is the one to show
                write_plan_outputs(None, error, os.environ)
        raise
    print(choose_format(json=shared.json, quiet=shared.quiet).format_plan(planned), end="")
    return 0


def _plan(shared: Shared, messages: "Messages") -> "Plan":
    """Plan, and write what GitHub Actions reads."""
    from releasetag.plan import plan_release

    tree, configuration = prepare(shared, messages)
    planned = plan_release(tree, configuration, os.environ, messages.warning)
    if os.environ.get("GITHUB_OUTPUT") or os.environ.get("GITHUB_STEP_SUMMARY"):
        from releasetag.report.github import write_plan_outputs

        outputs = read_build_outputs(tree, planned, os.environ)
        write_plan_outputs(planned, None, os.environ, outputs.metadata if outputs else ())
    return planned
