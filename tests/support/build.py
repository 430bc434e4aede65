"""What an image is built from, for tests that build on an engine without git and settings."""

from collections.abc import Mapping
from typing import Any

from releasetag.build_inputs import BuildInputs, BuildSettings
from releasetag.build_secrets import Secret, SshAgent
from releasetag.context.tree import BuildContext

COMMIT_TIME = 1_700_000_000


def build_inputs(
    context: BuildContext,
    *,
    build_args: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    secrets: tuple[Secret, ...] = (),
    agents: tuple[SshAgent, ...] = (),
    **settings: Any,
) -> BuildInputs:
    """Return inputs without a network, which a test's engine has none of."""
    return BuildInputs(
        context,
        BuildSettings(**{"network": "none", **settings}),
        COMMIT_TIME,
        build_args or {},
        labels or {},
        secrets,
        agents,
    )
