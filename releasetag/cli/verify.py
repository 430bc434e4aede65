"""``releasetag verify``."""

import os

from releasetag.cli.options import Shared
from releasetag.cli.prepare import components, history_of, prepare, registries


def verify(shared: Shared) -> int:
    """Compare what the registries serve with the git tags.

    Exit code 1 if a floating tag does not name the image that it should.
    """
    from releasetag.report.formats import choose_format
    from releasetag.report.messages import Messages
    from releasetag.verify import VerifiedRepository, verify_repositories

    tree, configuration = prepare(shared, {})
    messages = Messages(os.environ)
    verified: list[VerifiedRepository] = []
    with registries(os.environ) as client:
        for settings in components(configuration):
            history = history_of(tree, settings, messages.warning)
            verified += verify_repositories(client, settings, history)
    print(choose_format(json=shared.json, quiet=shared.quiet).format_verify(verified), end="")
    return 1 if any(repository.drifts for repository in verified) else 0
