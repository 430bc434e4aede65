"""``releasetag history``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from releasetag.cli.options import Shared
from releasetag.cli.prepare import prepare


def history(
    shared: Shared,
    *,
    svg: Annotated[
        str | None,
        typer.Option("--svg", metavar="FILE", help="Write it to a file as a picture, too."),
    ] = None,
) -> int:
    """List the releases by lines, with the tags that name each.

    What the registries have, and what is missing there; without an image, what is to be.
    """
    from releasetag.history import read_git_tags, require_known
    from releasetag.image import open_tools
    from releasetag.release_tree import ReleaseTree, list_releases
    from releasetag.report.formats import choose_format
    from releasetag.report.messages import Messages

    messages = Messages(os.environ)
    tree, configuration = prepare(shared, messages)
    default = configuration.default
    git_tags = read_git_tags(tree, default.history, default.remote)
    trees: list[ReleaseTree] = []
    components = [each for each in configuration.all() if each.all_images] or [default]
    for settings in components:
        releases = git_tags.releases(settings.tag_prefix, settings.versions)
        require_known(git_tags, releases, "", messages.warning)
        with open_tools(os.environ, settings.insecure_registries) as tools:
            trees += list_releases(tools.registries, settings, releases)
    text = choose_format(json=shared.json, quiet=shared.quiet).format_history(trees)
    print(text, end="")
    if svg is not None:
        from releasetag.report.svg import write_svg

        write_svg(trees, Path(svg))
    return 0
