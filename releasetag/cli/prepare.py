"""What every command that works on releases begins with."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from releasetag.cli.options import Shared
from releasetag.config import Configuration, Settings, load
from releasetag.errors import HistoryError
from releasetag.history import WorkTree, open_work_tree, read_git_tags
from releasetag.version import Release

if TYPE_CHECKING:
    pass


def prepare(shared: Shared) -> tuple[WorkTree, Configuration]:
    """Open the work tree and read the settings."""
    tree = open_work_tree(shared.path, os.environ)
    return tree, load(shared.settings, os.environ, shared.path.resolve(), tree.root, Path.cwd())


def history_of(
    tree: WorkTree, settings: Settings, warn: Callable[[str], None]
) -> tuple[Release, ...]:
    """The releases of a component that count.

    Raises:
        HistoryError: they cannot be known.
    """
    git_tags = read_git_tags(tree, settings.history, settings.remote)
    if git_tags.unknown and git_tags.shallow:
        raise HistoryError(
            f"{git_tags.unknown}, and the clone is shallow: the releases cannot be known",
            "make the remote readable, or say that the local tags are all there are:"
            " --history local",
        )
    if git_tags.unknown:
        warn(f"{git_tags.unknown}; going on with the local tags")
    return settings.policy.counted(git_tags.releases(settings.tag_prefix))
