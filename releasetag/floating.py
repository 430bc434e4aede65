"""Moving floating tags inside a registry: by manifest, never down.

What `publish` and `promote` share. A tag is moved by putting the manifest's exact bytes under its
name: the digest cannot change, every platform is kept, no blob is moved.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from releasetag import labels
from releasetag.config import Settings
from releasetag.errors import ConflictError, UsageError
from releasetag.reference import Reference, Repository
from releasetag.registry import Manifest, Registries
from releasetag.template import Template
from releasetag.version import Release, Version, parse_version

_ROUNDS = 4

Status = Literal["pushed", "unchanged", "kept", "failed"]


@dataclass(frozen=True)
class Published:
    """What became of one reference.

    Attributes:
        digest: what the reference names now; empty if that is not known.
        status: ``pushed``; ``unchanged``: it named this digest already; ``kept``: it names
            another version's image, see ``reason``; ``failed``: see ``error``.
    """

    reference: Reference
    digest: str
    status: Status
    reason: str = ""
    error: str = ""


@dataclass(frozen=True)
class Served:
    """What a repository serves under a name.

    Attributes:
        digest: of the manifest or index.
        version: what the image says it is a release of, None if it does not say.
        revision: the commit that it says it was built from, empty if it does not say.
        digests: of the image in all its forms: the manifest or index, the manifests in an index,
            and the configuration. An engine's image ID is one of these.
        config_digest: of the image's configuration.
    """

    manifest: Manifest
    digest: str
    version: Version | None
    revision: str
    config_digest: str
    digests: frozenset[str]


def served(registries: Registries, reference: Reference) -> Served | None:
    """What a repository serves under a reference, and what that says of itself; None if nothing."""
    manifest = registries.manifest(reference)
    if manifest is None:
        return None
    config = registries.image_config(reference.repository, manifest)
    children = manifest.children if manifest.is_index else ()
    return Served(
        manifest,
        manifest.digest,
        parse_version(config.labels.get(labels.VERSION, "")),
        config.labels.get(labels.REVISION, ""),
        config.digest,
        frozenset({manifest.digest, config.digest, *(child.digest for child in children)}),
    )


def exact_names(templates: Sequence[Template], release: Release) -> list[str]:
    """The exact tags of a release; what an image says of itself may give none."""
    names: list[str] = []
    for template in templates:
        with suppress(UsageError):  # a label may hold anything
            name = template.render(release) if template.kind == "exact" else None
            if name and name not in names:
                names.append(name)
    return names


def witness(
    registries: Registries,
    repository: Repository,
    current: Served,
    *,
    template: Template,
    settings: Settings,
) -> Version | None:
    """The version that the image behind a floating tag proves to be, if the tag chooses from it.

    A label alone proves nothing, as images inherit labels from their base image: the version's
    exact tag must name the same digest. Yanked versions count for no one.

    Args:
        current: what the floating tag names.
        template: the floating tag's.
    """
    version = current.version
    if version is None or str(version) in {str(v) for v in settings.ignore}:
        return None
    if bool(version.prerelease) != ("channel" in template.fields):
        return None
    for name in exact_names(settings.tags, Release("", version, current.revision)):
        if registries.digest(repository.tagged(name)) == current.digest:
            return version
    return None


def _name(template: Template, version: Version, there: Served) -> str | None:
    with suppress(UsageError):
        return template.render(Release("", version, there.revision))
    return None


def put(
    registries: Registries, reference: Reference, manifest: Manifest, *, replace: bool
) -> Published:
    """Put a manifest under a tag, unless it is there already, and see that it is served.

    Args:
        replace: whether the tag may name another image now.

    Raises:
        ConflictError: it does and may not, or the registry serves another digest under the tag
            than it was given.
    """
    there = registries.digest(reference)
    if there == manifest.digest:
        return Published(reference, manifest.digest, "unchanged")
    if there is not None and not replace:
        raise ConflictError(
            f"{reference} was published meanwhile as {there}, and this is {manifest.digest}",
            "see who publishes the same version, or replace it with --overwrite",
        )
    registries.put_manifest(reference, manifest)
    now = registries.digest(reference)
    if now != manifest.digest:
        raise ConflictError(
            f"{reference} was given {manifest.digest} and names {now or 'nothing'}",
            "somebody else pushes or deletes this tag: see who, then run again",
        )
    return Published(reference, manifest.digest, "pushed")


def move(
    registries: Registries,
    reference: Reference,
    manifest: Manifest,
    *,
    version: Version,
    template: Template,
    settings: Settings,
) -> Published:
    """Move a floating tag to a version's image, unless a higher version is seen to hold it.

    Args:
        reference: the floating tag in one repository.
        manifest: the image of the version, which the repository holds already.
        template: the floating tag's.

    Raises:
        ConflictError: something else moves the tag away again and again.
    """
    status: Status = "unchanged"
    # Each round looks at what the last one left: a registry has no compare-and-swap, and another
    # release may have been put there between the look and the move.
    for _ in range(_ROUNDS):
        digest = registries.digest(reference)
        if digest == manifest.digest:
            return Published(reference, digest, status)
        current = served(registries, reference.repository.at(digest)) if digest else None
        if current is not None:
            seen = witness(
                registries, reference.repository, current, template=template, settings=settings
            )
            # By name and not by scope: {major}{minor} is 111 for both 1.11 and 11.1.
            if seen and seen > version and _name(template, seen, current) == reference.tag:
                reason = f"names {seen}, which is higher and published"
                return Published(reference, current.digest, "kept", reason)
        registries.put_manifest(reference, manifest)
        status = "pushed"
    raise ConflictError(
        f"{reference} does not stay at {manifest.digest}",
        "somebody else pushes this tag: see who, then run again",
    )
