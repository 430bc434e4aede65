"""``releasetag explain``."""

import os
from typing import Annotated

import typer

from releasetag.cli.completion import complete_tag
from releasetag.cli.options import Shared
from releasetag.cli.prepare import prepare


def explain(
    shared: Shared,
    *,
    tag: Annotated[
        str,
        typer.Argument(
            metavar="TAG",
            help="A tag, or a repository and its tag.",
            autocompletion=complete_tag,
        ),
    ],
) -> int:
    """Explain why a tag names what it names, in every repository.

    Digest, labels, the rule, git tag, commit, signatures and attestations: each checked, or said to
    be absent. Exit code 1 if something is wrong.
    """
    from releasetag.explain import explain_tag
    from releasetag.history import read_git_tags
    from releasetag.image import open_tools
    from releasetag.report.formats import choose_format
    from releasetag.report.messages import Messages

    messages = Messages(os.environ)
    tree, configuration = prepare(shared, messages)
    default = configuration.default
    git_tags = read_git_tags(tree, default.history, default.remote)
    if git_tags.unknown:
        messages.warning(f"{git_tags.unknown}; going on with the local tags")
    with open_tools(os.environ, default.insecure_registries) as tools:
        found = explain_tag(tree, configuration, tools.registries, git_tags, tag)
    print(choose_format(json=shared.json, quiet=shared.quiet).format_explain(found), end="")
    problems = [each for item in found for each in item.findings if each.status == "problem"]
    return 1 if problems else 0
