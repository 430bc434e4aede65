"""Resolve BuildInputs from settings, files, environment and git."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from releasetag import labels
from releasetag.build_inputs import BuildInputs
from releasetag.git import WorkTree
from releasetag.plan import Plan
from releasetag.project import read_project
from releasetag.template import expand
from releasetag.version import Release

if TYPE_CHECKING:
    from releasetag.config import Settings
    from releasetag.context.tree import BuildContext


def resolve_inputs(tree: WorkTree, plan: Plan, environ: Mapping[str, str]) -> BuildInputs:
    """Return what the image of a release is built from.

    Raises:
        UsageError: the context, the Dockerfile, a secret or an SSH agent cannot be used.
    """
    from releasetag.build_secrets import parse_secret, parse_ssh
    from releasetag.context.dockerfile import base_image, own_labels

    settings = plan.settings
    context = _open_context(settings)
    commit_time = tree.commit_time(plan.release.revision) or 0
    build_args = _build_args(settings.build_args, commit_time, plan.release, environ)
    dockerfile = context.dockerfile.read_text("utf-8", "replace")
    # buildx takes keys as well, and reads them itself.
    agents = () if settings.builder.startswith("buildx") else settings.ssh
    return BuildInputs(
        context=context,
        settings=settings,
        commit_time=commit_time,
        build_args=build_args,
        labels=image_labels(
            tree,
            plan,
            environ,
            directories=(context.root, settings.base),
            base=base_image(dockerfile, settings.target, build_args),
            in_dockerfile=own_labels(dockerfile, settings.target, build_args),
        ),
        secrets=tuple(parse_secret(text, environ) for text in settings.secrets),
        agents=tuple(parse_ssh(text, environ) for text in agents),
    )


def image_labels(
    tree: WorkTree,
    plan: Plan,
    environ: Mapping[str, str],
    *,
    directories: Collection[Path] = (),
    base: str = "",
    in_dockerfile: frozenset[str] = frozenset(),
) -> dict[str, str]:
    """Return the labels of a release's image.

    Args:
        directories: where files that describe the project may be, besides the work tree's root.
        base: the base image as the Dockerfile names it.
        in_dockerfile: the keys that the Dockerfile sets itself.
    """
    commit_time = tree.commit_time(plan.release.revision)
    event_file = environ.get("GITHUB_EVENT_PATH")
    own = labels.release_labels(
        plan.release,
        commit_time,
        tree.remote_url(plan.settings.remote),
        plan.repositories[0],
        read_project((*directories, tree.root), Path(event_file) if event_file else None),
        base,
    )
    created = labels.rfc3339(commit_time or 0)
    given = {
        key: expand(value or "", plan.release, created)
        for key, value in plan.settings.labels.items()
    }
    return labels.merge(own, given, in_dockerfile)


def _build_args(
    given: Mapping[str, str | None],
    commit_time: int,
    release: Release,
    environ: Mapping[str, str],
) -> dict[str, str]:
    """Return the build arguments, and SOURCE_DATE_EPOCH: the commit's time."""
    created = labels.rfc3339(commit_time)
    values = {
        # What the environment gives is no template.
        name: environ.get(name) if value is None else expand(value, release, created)
        for name, value in given.items()
    }
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
