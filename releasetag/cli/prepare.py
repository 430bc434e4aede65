"""What every command that works on releases begins with."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from releasetag.cli.options import Shared
from releasetag.config import Configuration, Settings, load
from releasetag.git import WorkTree, open_work_tree
from releasetag.history import read_git_tags, require_known
from releasetag.version import Releases

if TYPE_CHECKING:
    from releasetag.report.messages import Messages


def prepare(shared: Shared, messages: "Messages") -> tuple[WorkTree, Configuration]:
    """Open the work tree and read the settings; note what is read otherwise than it is written."""
    tree = open_work_tree(shared.path, os.environ)
    configuration = load(shared.settings, os.environ, shared.path.resolve(), tree.root, Path.cwd())
    for repository in dict.fromkeys(
        each for settings in configuration.all() for each in settings.all_images
    ):
        if repository.written:
            note = messages.notice if shared.quiet else messages.note
            note(
                f"{repository.written} is read as {repository}: a repository has no upper-case"
                " letters"
            )
    return tree, configuration


def history_of(tree: WorkTree, settings: Settings, warn: Callable[[str], None]) -> Releases:
    """Return the releases of a component that count.

    Raises:
        HistoryError: they cannot be known.
    """
    git_tags = read_git_tags(tree, settings.history, settings.remote)
    history = settings.releases(git_tags)
    require_known(git_tags, history, "the releases", warn)
    return history
