"""What the image of a release is labelled and annotated with, for programs that build it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from releasetag import labels as release_labels
from releasetag.config import Settings
from releasetag.errors import UsageError
from releasetag.git import WorkTree
from releasetag.image.bake import escape, makes_index
from releasetag.image.inputs import image_labels, open_build_context, resolve_build_args
from releasetag.image.source import ImagePlan, builds
from releasetag.template import expand

BAKE_TARGET = "docker-metadata-action"
"""The target that docker/metadata-action writes, and that bake files inherit from."""


@dataclass(frozen=True)
class BuildMetadata:
    """What the build of an image is given, besides its files.

    Attributes:
        variant: whose image it is; empty if the component has none.
        annotations: as buildx has them: ``LEVEL:KEY=value``.
        build_args: those whose value is given, and where the commit's time is known, that.
        from_environment: build arguments that take their value from the environment.
    """

    variant: str
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    annotations: tuple[str, ...]
    # People pass tokens as build arguments, though they should not.
    build_args: Mapping[str, str] = field(repr=False)
    from_environment: tuple[str, ...] = ()


def read_metadata(
    tree: WorkTree, plan: ImagePlan, environ: Mapping[str, str]
) -> tuple[BuildMetadata, ...]:
    """Return what the build of each image of a plan is given.

    There is none where an image is published that exists, or no repository is known.
    """
    if not (builds(plan) and plan.repositories):
        return ()
    return tuple(_read(tree, each, environ) for each in plan.images if each.repositories)


def _read(tree: WorkTree, plan: ImagePlan, environ: Mapping[str, str]) -> BuildMetadata:
    from releasetag.context.dockerfile import base_image, own_labels

    settings, commit_time = _shared(plan.settings), tree.commit_time(plan.subject.revision)
    build_args = resolve_build_args(settings.build_args, commit_time or 0, plan.subject, environ)
    given = dict(build_args)
    if commit_time is None and "SOURCE_DATE_EPOCH" not in settings.build_args:
        given.pop("SOURCE_DATE_EPOCH")
    from_environment = [name for name, value in settings.build_args.items() if value is None]
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
            *(expand(each, plan.subject, created) for each in settings.annotations),
        ),
        {name: value for name, value in given.items() if name not in from_environment},
        tuple(name for name in from_environment if name in build_args),
    )


def _shared(settings: Settings) -> Settings:
    """Return what all platforms are built from: what is handed on is of one build of them all."""
    first, *others = [settings.on_platform(each) for each in settings.platforms] or [settings]
    shared = {
        name: value
        for name, value in first.build_args.items()
        if all(other.build_args.get(name) == value for other in others)
    }
    return replace(first, build_args=shared)


def bake_definition(metadata: Sequence[BuildMetadata]) -> dict[str, Any]:
    """Return a bake file, with a target for each image, to inherit from.

    A value from the environment may be a secret: it is a variable, which bake reads itself.
    """
    targets: dict[str, Any] = {}
    for each in metadata:
        target = {
            "tags": list(each.tags),
            "labels": dict(each.labels),
            "annotations": list(each.annotations),
            "args": dict(each.build_args),
        }
        escaped: dict[str, Any] = escape(target)
        escaped["args"] |= {name: f"${{{name}}}" for name in each.from_environment}
        # A target's name has no dot.
        own_name = f"{BAKE_TARGET}-{each.variant.replace('.', '_')}"
        targets[own_name if targets else BAKE_TARGET] = escaped
    variables: dict[str, Any] = {name: {} for each in metadata for name in each.from_environment}
    return {"variable": variables, "target": targets} if variables else {"target": targets}
