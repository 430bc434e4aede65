"""``releasetag verify``."""

import os
from typing import Annotated

import typer

from releasetag.cli.options import Shared
from releasetag.cli.prepare import history_of, prepare


def verify(
    shared: Shared,
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail if the newest release is not published.")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Look for every manifest and blob of every image.")
    ] = False,
    all_components: Annotated[  # noqa: ARG001 (it says what is so without it)
        bool, typer.Option("--all", help="Every component, as without this option.")
    ] = False,
) -> int:
    """Compare what the registries serve with the git tags.

    Exit code 1 if a floating tag does not name the image that it should.
    """
    from releasetag.image import open_tools
    from releasetag.report.formats import choose_format
    from releasetag.report.messages import Messages
    from releasetag.verify import VerifiedRepository, verify_repositories

    messages = Messages(os.environ)
    tree, configuration = prepare(shared, messages)
    verified: list[VerifiedRepository] = []
    for settings in configuration.publishable():
        history = history_of(tree, settings, messages.warning)
        with open_tools(os.environ, settings.insecure_registries) as tools:
            verified += verify_repositories(tools.registries, settings, history, deep=deep)
    print(choose_format(json=shared.json, quiet=shared.quiet).format_verify(verified), end="")
    drifted = [each for each in verified if each.has_drift(strict=strict)]
    for each in drifted:
        wrong = [f"{tag.name} ({tag.status})" for tag in each.wrong]
        shown = ", ".join(wrong) or "the newest release is not published"
        messages.alert("releasetag: drift", f"{each.repository}: {shown}")
    return 1 if drifted else 0
