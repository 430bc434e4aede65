"""``releasetag plan``."""

import os

from releasetag.cli.options import Shared
from releasetag.cli.prepare import prepare


def plan(shared: Shared) -> int:
    """Print the tags that a release gets, and why.

    Needs git alone: no engine, no registry.
    """
    from releasetag.plan import plan_release
    from releasetag.report.formats import choose_format
    from releasetag.report.messages import Messages

    messages = Messages(os.environ)
    tree, configuration = prepare(shared, messages)
    planned = plan_release(tree, configuration, os.environ, messages.warning)
    print(choose_format(json=shared.json, quiet=shared.quiet).format_plan(planned), end="")
    return 0
