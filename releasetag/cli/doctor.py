"""``releasetag doctor``."""

import os

from releasetag.cli.options import Shared
from releasetag.cli.prepare import prepare


def doctor(shared: Shared) -> int:
    """Check what a publish needs: git, engine, builders, registries.

    Nothing is changed. Exit code 1 if there is a problem.
    """
    from releasetag.doctor import examine, worst
    from releasetag.image import open_tools
    from releasetag.report.formats import choose_format
    from releasetag.report.messages import Messages

    tree, configuration = prepare(shared, Messages(os.environ))
    insecure = configuration.default.insecure_registries
    with open_tools(os.environ, insecure) as tools:
        found = list(examine(tree, configuration, tools))
    print(choose_format(json=shared.json, quiet=shared.quiet).format_doctor(found), end="")
    return worst(found)
