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

if TYPE_CHECKING:
    from releasetag.config import Configuration, Settings, load
    from releasetag.errors import ReleasetagError
    from releasetag.git import open_work_tree
    from releasetag.image import Tools, open_tools
    from releasetag.plan import Plan, plan_release
    from releasetag.publish import Provenance, Report, publish_release
    from releasetag.report.record import Record
    from releasetag.tagging import TagResult

__all__ = [
    "Configuration",
    "Plan",
    "Provenance",
    "Record",
    "ReleasetagError",
    "Report",
    "Settings",
    "TagResult",
    "Tools",
    "load",
    "open_tools",
    "open_work_tree",
    "plan_release",
    "publish_release",
]

_MODULES = {
    "Provenance": "publish",
    "Configuration": "config",
    "Plan": "plan",
    "TagResult": "tagging",
    "Record": "report.record",
    "ReleasetagError": "errors",
    "Report": "publish",
    "Settings": "config",
    "Tools": "image",
    "load": "config",
    "open_tools": "image",
    "open_work_tree": "git",
    "plan_release": "plan",
    "publish_release": "publish",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'releasetag' has no attribute {name!r}")
    return getattr(import_module(f"releasetag.{_MODULES[name]}"), name)
