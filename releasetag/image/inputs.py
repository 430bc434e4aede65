"""Resolve BuildInputs from settings, files, environment and git."""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from releasetag import labels
from releasetag.build_inputs import BuildInputs
from releasetag.errors import UsageError
from releasetag.git import WorkTree
from releasetag.image.source import ImagePlan
from releasetag.project import read_project
from releasetag.reference import parse_reference
from releasetag.template import OPTIONAL_FIELDS, expand
from releasetag.version import Release, Snapshot

if TYPE_CHECKING:
    from releasetag.config import Settings
    from releasetag.context.tree import BuildContext


def resolve_inputs(
    tree: WorkTree, plan: ImagePlan, environ: Mapping[str, str], builder: str
) -> BuildInputs:
    """Return what an image is built from, on every platform that this run builds for.

    Args:
        builder: from `choose_program`.

    Raises:
        UsageError: the context, the Dockerfile, a secret, an SSH agent or a cache cannot be used.
    """
    here = plan.settings.platforms_here or ("",)  # the engine's own
    platforms = here if plan.settings.platforms_differ else here[:1]
    resolved = {each: _resolve(tree, plan, environ, builder, each) for each in platforms}
    return replace(resolved[here[0]], by_platform=resolved)


def _resolve(
    tree: WorkTree, plan: ImagePlan, environ: Mapping[str, str], builder: str, platform: str
) -> BuildInputs:
    from releasetag.build_secrets import parse_secret, parse_ssh
    from releasetag.context.dockerfile import base_image, own_labels

    settings = plan.settings.on_platform(platform) if platform else plan.settings
    context = open_build_context(settings)
    commit_time = tree.commit_time(plan.subject.revision) or 0
    build_args = resolve_build_args(settings.build_args, commit_time, plan.subject, environ)
    cache_from, cache_to = caches(plan)
    dockerfile = context.dockerfile.read_text("utf-8", "replace")
    # buildx takes keys as well, and reads them itself.
    agents = () if builder.startswith("buildx") else settings.ssh
    return BuildInputs(
        context=context,
        settings=replace(
            settings,
            annotations=tuple(
                expand(each, plan.subject, labels.rfc3339(commit_time))
                for each in settings.annotations
            ),
            cache_from=cache_from,
            cache_to=cache_to,
            platforms=settings.platforms_here,
        ),
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
        # Every part makes the same index, and has the context of its own platform alone.
        index_labels=image_labels(tree, plan, environ, directories=(settings.base,))
        if settings.platforms_differ
        else None,
        secrets=tuple(parse_secret(text, environ) for text in settings.secrets),
        agents=tuple(parse_ssh(text, environ) for text in agents),
    )


def image_labels(
    tree: WorkTree,
    plan: ImagePlan,
    environ: Mapping[str, str],
    *,
    directories: Collection[Path] = (),
    base: str = "",
    in_dockerfile: frozenset[str] = frozenset(),
) -> dict[str, str]:
    """Return the labels of an image.

    Args:
        directories: where files that describe the project may be, besides the work tree's root.
        base: the base image as the Dockerfile names it.
        in_dockerfile: the keys that the Dockerfile sets itself.
    """
    commit_time = tree.commit_time(plan.subject.revision)
    event_file = environ.get("GITHUB_EVENT_PATH")
    own = labels.release_labels(
        plan.subject,
        commit_time,
        tree.remote_url(plan.settings.remote),
        plan.repositories[0],
        read_project((*directories, tree.root), Path(event_file) if event_file else None),
        base,
    )
    created = labels.rfc3339(commit_time or 0)
    given = {
        key: expand(value or "", plan.subject, created)
        for key, value in plan.settings.labels.items()
    }
    return labels.merge(own, given, in_dockerfile)


def caches(plan: ImagePlan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what caches are read from, and what buildx writes them to.

    Raises:
        UsageError: a cache would be put under a tag that a release may have.
    """
    settings = plan.settings
    cache_from, cache_to = list(settings.cache_from), list(settings.cache_to)
    # A scope for each, or the last build would replace the others' caches.
    variant = (settings.variant,) if settings.variant else ()
    names = (*variant, settings.target or "image", *settings.platforms_here)
    scope = re.sub(r"[^A-Za-z0-9_.-]", "-", "-".join(names))
    if settings.cache == "gha":
        cache_from.append(f"type=gha,scope={scope}")
        cache_to.append(f"type=gha,scope={scope},mode=max")
    elif settings.cache == "registry":
        spec = f"type=registry,ref={plan.repositories[0]}:buildcache-{scope}"
        cache_from.append(spec)
        cache_to.append(f"{spec},mode=max")
    if not settings.push:
        # Nothing leaves this machine: others would build from the layers of a fork.
        cache_to = []
    for spec in cache_to:
        _refuse_tag_of_release(spec, plan)
    return tuple(cache_from), tuple(cache_to)


def _refuse_tag_of_release(spec: str, plan: ImagePlan) -> None:
    """Refuse a cache that would replace an image."""
    values = dict(part.partition("=")[::2] for part in spec.split(","))
    ref = spec if "=" not in spec else values.get("ref", "")
    try:
        reference = parse_reference(ref.strip())
    except UsageError:
        return  # of another type, or buildx's to refuse
    is_tag = reference.tag in {tag.name for tag in plan.tags} or any(
        # {channel} and its like may be any word: the plan alone says what it is.
        template.may_render(reference.tag, plan.settings.versions, plan.settings.tag_prefix)
        for template in plan.settings.tags
        if not template.fields & OPTIONAL_FIELDS
    )
    if reference.repository in plan.repositories and is_tag:
        raise UsageError(
            f"the cache {reference} has a tag that a release may have",
            "name another tag, such as buildcache",
        )


def resolve_build_args(
    given: Mapping[str, str | None],
    commit_time: int,
    subject: Release | Snapshot,
    environ: Mapping[str, str],
) -> dict[str, str]:
    """Return the build arguments, and SOURCE_DATE_EPOCH: the commit's time."""
    created = labels.rfc3339(commit_time)
    values = {
        # What the environment gives is no template.
        name: environ.get(name) if value is None else expand(value, subject, created)
        for name, value in given.items()
    }
    # As `docker build` has it, omit a name that the environment lacks.
    known = {name: value for name, value in values.items() if value is not None}
    return {"SOURCE_DATE_EPOCH": str(commit_time), **known}


def open_build_context(settings: "Settings") -> "BuildContext":
    """Open the build context.

    Raises:
        UsageError: it, or its Dockerfile, is not there.
    """
    from releasetag.context.tree import open_context

    root = settings.context or settings.base
    file = settings.file
    if file is not None and not file.is_absolute():
        inside = root / file
        exists = os.path.exists(inside)  # noqa: PTH110 (which raises nothing)
        file = inside if exists else settings.base / file
    return open_context(root, file)
