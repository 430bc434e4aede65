"""What the image of a release is labelled and annotated with, for programs that build it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from releasetag import labels as release_labels
from releasetag.errors import UsageError
from releasetag.git import WorkTree
from releasetag.image.bake import escape, makes_index
from releasetag.image.inputs import image_labels, open_build_context, resolve_build_args
from releasetag.plan import Plan
from releasetag.template import expand

BAKE_TARGET = "docker-metadata-action"
"""The target that docker/metadata-action writes, and that bake files inherit from."""


@dataclass(frozen=True)
class BuildMetadata:
    """What the build of an image is given, besides its files.

    Attributes:
        variant: whose image it is; empty if the component has none.
        annotations: as buildx has them: ``LEVEL:KEY=value``.
    """

    variant: str
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    annotations: tuple[str, ...]
    # People pass tokens as build arguments, though they should not.
    build_args: Mapping[str, str] = field(repr=False)


def read_metadata(
    tree: WorkTree, plan: Plan, environ: Mapping[str, str]
) -> tuple[BuildMetadata, ...]:
    """Return what the build of each image of a plan is given.

    There is none where an image is published that exists, or no repository is known.
    """
    settings = plan.settings
    if settings.from_image or settings.from_container or not plan.repositories:
        return ()
    return tuple(_read(tree, each, environ) for each in plan.images)


def _read(tree: WorkTree, plan: Plan, environ: Mapping[str, str]) -> BuildMetadata:
    from releasetag.context.dockerfile import base_image, own_labels

    settings, commit_time = plan.settings, tree.commit_time(plan.release.revision)
    build_args = resolve_build_args(settings.build_args, commit_time or 0, plan.release, environ)
    if commit_time is None:
        del build_args["SOURCE_DATE_EPOCH"]
    try:
        context = open_build_context(settings)
    except UsageError:
        # Whoever builds with another program may have another Dockerfile.
        directory, dockerfile = settings.base, ""
    else:
        directory, dockerfile = context.root, context.dockerfile.read_text("utf-8", "replace")
    labels = image_labels(
        tree,
        plan,
        environ,
        directories=(directory, settings.base),
        base=base_image(dockerfile, settings.target, build_args) if dockerfile else "",
        in_dockerfile=own_labels(dockerfile, settings.target, build_args),
    )
    created = release_labels.rfc3339(commit_time or 0)
    # Of the manifest where there may be no index: that one is always there.
    level = "index" if makes_index(settings) else "manifest"
    return BuildMetadata(
        settings.variant,
        tuple(map(str, plan.references)),
        labels,
        (
            *(f"{level}:{key}={value}" for key, value in labels.items()),
            *(expand(each, plan.release, created) for each in settings.annotations),
        ),
        build_args,
    )


def bake_definition(metadata: Sequence[BuildMetadata]) -> dict[str, Any]:
    """Return a bake file, with a target for each image, to inherit from."""
    return {
        "target": {
            f"{BAKE_TARGET}-{each.variant}" if number else BAKE_TARGET: escape(
                {
                    "tags": list(each.tags),
                    "labels": dict(each.labels),
                    "annotations": list(each.annotations),
                    "args": dict(each.build_args),
                }
            )
            for number, each in enumerate(metadata)
        }
    }
