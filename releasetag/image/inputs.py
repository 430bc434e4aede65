"""Resolve BuildInputs from settings, files, environment and git."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from releasetag import labels
from releasetag.build_inputs import BuildInputs
from releasetag.git import WorkTree
from releasetag.plan import Plan

if TYPE_CHECKING:
    from releasetag.config import Settings
    from releasetag.context.tree import BuildContext


def resolve_inputs(tree: WorkTree, plan: Plan, environ: Mapping[str, str]) -> BuildInputs:
    """Return what the image of a release is built from.

    Raises:
        UsageError: the context, the Dockerfile, a secret or an SSH agent cannot be used.
    """
    from releasetag.build_secrets import parse_secret, parse_ssh
    from releasetag.context.dockerfile import own_labels

    settings = plan.settings
    context = _open_context(settings)
    commit_time = tree.commit_time(plan.release.revision) or 0
    build_args = _build_args(settings.build_args, commit_time, environ)
    dockerfile = context.dockerfile.read_text("utf-8", "replace")
    # buildx takes keys as well, and reads them itself.
    agents = () if settings.builder.startswith("buildx") else settings.ssh
    return BuildInputs(
        context=context,
        settings=settings,
        commit_time=commit_time,
        build_args=build_args,
        labels=image_labels(tree, plan, own_labels(dockerfile, settings.target, build_args)),
        secrets=tuple(parse_secret(text, environ) for text in settings.secrets),
        agents=tuple(parse_ssh(text, environ) for text in agents),
    )


def image_labels(
    tree: WorkTree, plan: Plan, in_dockerfile: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Return the labels of a release's image.

    Args:
        in_dockerfile: the keys that the Dockerfile sets itself.
    """
    own = labels.release_labels(
        plan.release,
        tree.commit_time(plan.release.revision),
        tree.remote_url(plan.settings.remote),
        plan.repositories[0],
    )
    given = {key: value or "" for key, value in plan.settings.labels.items()}
    return labels.merge(own, given, in_dockerfile)


def _build_args(
    given: Mapping[str, str | None], commit_time: int, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the build arguments, and SOURCE_DATE_EPOCH: the commit's time."""
    values = {name: environ.get(name) if value is None else value for name, value in given.items()}
    # As `docker build` has it, omit a name that the environment lacks.
    known = {name: value for name, value in values.items() if value is not None}
    return {"SOURCE_DATE_EPOCH": str(commit_time), **known}


def _open_context(settings: "Settings") -> "BuildContext":
    from releasetag.context.tree import open_context

    root = settings.context or settings.base
    file = settings.file
    if file is not None and not file.is_absolute():
        inside = root / file
        exists = os.path.exists(inside)  # noqa: PTH110 (which raises nothing)
        file = inside if exists else settings.base / file
    return open_context(root, file)
