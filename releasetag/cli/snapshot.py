"""``releasetag snapshot``."""

import os

from releasetag.cli.options import Shared
from releasetag.cli.prepare import prepare
from releasetag.cli.publish import Run


def snapshot(shared: Shared) -> int:
    """Build and push what is no release: of a branch, a pull request, a commit.

    The default branch has the tag edge, another one its name, a pull request pr-12, a schedule
    nightly, and each commit sha-1a2b3c4. A branch's tag moves only to a newer commit. A commit is
    built once; --overwrite builds it again. Nothing is pushed for a pull request from a fork.
    """
    return Run(shared, _snapshot).run()


def _snapshot(run: Run) -> None:
    from releasetag.snapshot.plan import plan_snapshot
    from releasetag.snapshot.steps import publish_snapshot

    tree, configuration = prepare(run.shared, run.report.messages)
    plan = plan_snapshot(tree, configuration, os.environ, run.report.warn)
    with run.tools(tree, plan) as tools:
        publish_snapshot(tree, plan, tools, run.report)
