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
) -> int:
    """Compare what the registries serve with the git tags.

    Exit code 1 if a floating tag does not name the image that it should.
    """
    from releasetag.image import open_tools
    from releasetag.report.console import people_console, print_verified, print_warning
    from releasetag.report.json import dumps, verify_object
    from releasetag.verify import VerifiedRepository, verify_repositories

    tree, configuration = prepare(shared)
    people = people_console(stderr=True)
    verified: list[VerifiedRepository] = []
    for settings in configuration.publishable():
        history = history_of(tree, settings, lambda text: print_warning(people, text))
        with open_tools(os.environ, settings.insecure_registries) as tools:
            verified += verify_repositories(tools.registries, settings, history, deep=deep)
    if shared.json:
        print(dumps(verify_object(verified)))
    else:
        print_verified(people_console(stderr=False), verified, quiet=shared.quiet)
    return 1 if any(repository.has_drift(strict=strict) for repository in verified) else 0
