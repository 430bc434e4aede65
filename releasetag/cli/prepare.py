"""What every command that works on releases begins with."""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from releasetag.cli.options import Shared
from releasetag.config import Configuration, Settings, load
from releasetag.errors import UsageError
from releasetag.fanout import without
from releasetag.git import WorkTree, open_work_tree
from releasetag.history import read_git_tags, require_known
from releasetag.version import Release, parse_version, version_of

if TYPE_CHECKING:
    from releasetag.registry import Registries


def prepare(shared: Shared, own: Mapping[str, Any]) -> tuple[WorkTree, Configuration]:
    """The work tree and the settings.

    Args:
        own: the command's own options, by the name of their setting.
    """
    if shared.verbose:
        log_requests()
    tree = open_work_tree(shared.path, os.environ)
    options = {**shared.settings, **own}
    return tree, load(options, os.environ, shared.path.resolve(), tree.root, Path.cwd())


def log_requests() -> None:
    """Print a line for every HTTP request, without the query: it may name accounts."""
    from releasetag.report.workflow import without_commands
    from releasetag.text import printable

    class _Clean(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return without_commands(printable(record.getMessage(), 1000))

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Clean())
    logger = logging.getLogger("httpx")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def registries(environ: Mapping[str, str]) -> "Registries":
    """The registries' client, with the credentials that docker would use."""
    from releasetag.credentials import find_credentials
    from releasetag.registry import Registries

    return Registries(lambda registry: find_credentials(registry, environ), environ)


def components(configuration: Configuration) -> list[Settings]:
    """The settings of everything that is published somewhere.

    Raises:
        UsageError: nothing is.
    """
    found = [each for each in (configuration.default, *configuration.components) if each.images]
    if not found:
        raise UsageError(
            "no image is given",
            "name one with --image, in RELEASETAG_IMAGES or as images in releasetag.toml",
        )
    return found


def component_of(configuration: Configuration, text: str) -> tuple[Settings, Release]:
    """The component and the release that a version, or a release's git tag, means.

    Raises:
        UsageError: it means none, or one in several components.
    """
    found = components(configuration)
    if (named := configuration.of(text)) is not None and named in found:
        version = version_of(text, named.tag_prefix)
        found = [named]
    else:
        version = parse_version(text)
    if version is None:
        raise UsageError(
            f"{text!r} is not a version", "name one as in 1.2.3, or a release's git tag"
        )
    if len(found) > 1:
        prefixes = ", ".join(f"{each.tag_prefix or ''}{version}" for each in found)
        raise UsageError(f"{version} may be of several components", f"name one of {prefixes}")
    return found[0], Release("", version, "")


def history_of(
    tree: WorkTree, settings: Settings, warn: Callable[[str], None]
) -> tuple[Release, ...]:
    """Return the releases of a component that count.

    Raises:
        HistoryError: they cannot be known.
    """
    git_tags = read_git_tags(tree, settings.history, settings.remote)
    history = without(git_tags.releases(settings.tag_prefix), settings.ignore)
    require_known(git_tags, history, "the releases", warn)
    return history
