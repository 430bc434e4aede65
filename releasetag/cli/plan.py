"""``releasetag plan``."""

import os

from releasetag.cli.options import Shared
from releasetag.cli.prepare import prepare


def plan(shared: Shared) -> int:
    """Print the tags that a release gets, and why.

    Needs git alone: no engine, no registry.
    """
    from releasetag.plan import plan_release
    from releasetag.report.console import people_console, print_plan, print_warning

    tree, configuration = prepare(shared)
    people = people_console(stderr=True)
    planned = plan_release(
        tree, configuration, os.environ, lambda text: print_warning(people, text)
    )
    if shared.json:
        from releasetag.report.json import dumps, plan_object

        print(dumps(plan_object(planned)))
    elif shared.quiet:
        names = [tag.name for tag in planned.tags if tag.action == "push"]
        print("\n".join(map(str, planned.references or names)))
    else:
        print_plan(people_console(stderr=False), planned)
    return 0
