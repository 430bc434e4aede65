"""releasetag: from a git tag to every image tag in every registry.

What the command line does, for programs::

    tree = open_work_tree(Path(), os.environ)
    configuration = load({"images": ["acme/app"]}, os.environ, Path.cwd(), tree.root)
    plan = plan_release(tree, configuration, os.environ, print)
    with open_tools(os.environ) as tools:
        record = Record()
        build = publish_release(tree, plan, tools, record)

Everything is imported when it is first used: a plan does not pay for engine and registries.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# What type checkers read; tests/test_api.py holds it to be what is imported on use.
if TYPE_CHECKING:
    from releasetag.config import Configuration as Configuration
    from releasetag.config import Settings as Settings
    from releasetag.config import load as load
    from releasetag.errors import ReleasetagError as ReleasetagError
    from releasetag.git import open_work_tree as open_work_tree
    from releasetag.image import Tools as Tools
    from releasetag.image import open_tools as open_tools
    from releasetag.plan import Plan as Plan
    from releasetag.plan import plan_release as plan_release
    from releasetag.publish import Provenance as Provenance
    from releasetag.publish import Report as Report
    from releasetag.publish import publish_release as publish_release
    from releasetag.report.record import Record as Record
    from releasetag.tagging import TagResult as TagResult

_NAMES = {
    "config": ("Configuration", "Settings", "load"),
    "errors": ("ReleasetagError",),
    "git": ("open_work_tree",),
    "image": ("Tools", "open_tools"),
    "plan": ("Plan", "plan_release"),
    "publish": ("Provenance", "Report", "publish_release"),
    "report.record": ("Record",),
    "tagging": ("TagResult",),
}

__all__ = [name for names in _NAMES.values() for name in names]

if not TYPE_CHECKING:  # or type checkers would take every name to be there

    def __getattr__(name: str) -> Any:
        for module, names in _NAMES.items():
            if name in names:
                return getattr(import_module(f"releasetag.{module}"), name)
        raise AttributeError(f"module 'releasetag' has no attribute {name!r}")
