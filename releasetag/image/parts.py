"""The images of one release's platforms, and the index of them.

Every platform's image has an exact tag of its own, ``1.2.3-linux-arm64``: what one run has pushed
another one finds there. A run with ``--part`` makes one of them; whoever finds all in place makes
the index.

Source: OCI Image Format Specification 1.1, image-index.md.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from releasetag.errors import ConflictError
from releasetag.events import PushEvent
from releasetag.image.source import ImagePlan, MadeImage, PlatformImage
from releasetag.parallel import map_parallel
from releasetag.published import inspect_image
from releasetag.reference import Reference, Repository, platform_tag
from releasetag.registry import Manifest, Registries
from releasetag.tagging import TagResult, copy_progress

_INDEX = "application/vnd.oci.image.index.v1+json"


def reference_of(plan: ImagePlan, repository: Repository, platform: str) -> Reference:
    """Return the tag of a platform's image in a repository."""
    return repository.tagged(platform_tag(plan.exact[0].name, platform))


def find_all(registries: Registries, plan: ImagePlan) -> list[PlatformImage]:
    """Find the images of all platforms that earlier runs, or other parts, have pushed.

    Returns:
        One for each platform; without ``origin`` where it has to be built.

    Raises:
        ConflictError: a platform's tag is published from another commit or version.
    """

    def find(platform: str) -> PlatformImage:
        return PlatformImage(platform, origin=_find(registries, plan, platform))

    platforms = plan.settings.platforms
    return [image for _, image in map_parallel(find, platforms, plan.settings.jobs)]


def _find(registries: Registries, plan: ImagePlan, platform: str) -> Reference | None:
    settings = plan.settings
    if not settings.push or settings.overwrite:
        return None
    for repository in plan.repositories:
        reference = reference_of(plan, repository, platform)
        image = inspect_image(registries, reference, denied_is_absent=True)
        if image is None:
            continue
        if image.is_of(plan.subject):
            return repository.at(image.digest)
        raise ConflictError(
            f"{reference} is published already, from another commit or version",
            "publish a new version, or replace this one with --overwrite",
        )
    return None


def put(
    registries: Registries,
    plan: ImagePlan,
    image: PlatformImage,
    repository: Repository,
    report: Callable[[PushEvent], None],
) -> Manifest | None:
    """Put a published platform's image under its tag in a repository; None if it is gone."""
    assert image.origin is not None  # noqa: S101 (the caller has looked)
    reference = reference_of(plan, repository, image.platform)
    registries.copy(image.origin, repository, progress=copy_progress(reference, report))
    digest = image.origin.digest
    manifest = registries.settled_manifest(repository.at(digest))
    if manifest is not None and registries.digest(reference) != digest:
        registries.put_manifest(reference, manifest)
    return manifest


def gone_error(reference: Reference, digest: str) -> ConflictError:
    """Return the error for a platform's image that was pushed and is not there."""
    return ConflictError(
        f"{reference} was pushed as {digest} and is not there",
        "somebody else deletes images there: see who, then run again",
    )


def wait_for_others(
    registries: Registries, plan: ImagePlan, made: MadeImage, results: Sequence[TagResult]
) -> MadeImage:
    """Look for the parts that other runs push, when this run's is in place.

    Whoever pushes last sees all of them. Some registries serve only some moments later what was
    put, so that two runs that push at a time could both miss the other's: missing ones are waited
    for.

    Args:
        results: what became of this run's part.
    """
    first = plan.repositories[0]

    def find(image: PlatformImage) -> PlatformImage:
        if image.origin is not None:
            return image
        origin = _find(registries, plan, image.platform)
        if origin is None:
            registries.settled_manifest(reference_of(plan, first, image.platform))
            origin = _find(registries, plan, image.platform)
        return replace(image, origin=origin)

    jobs = plan.settings.jobs
    images = tuple(image for _, image in map_parallel(find, made.platforms, jobs))
    missing = tuple(image.platform for image in images if image.origin is None)
    return replace(made, platforms=images, missing=missing, parts=tuple(results))


def make_index(
    children: Sequence[tuple[str, Manifest]], annotations: Mapping[str, str]
) -> Manifest:
    """Make an index; the same images in the same order are the same bytes.

    Args:
        children: the platform (``linux/arm64``, ``linux/arm/v7``) and the manifest of each; of an
            index, which buildx makes for an image with attestations, all that it has.
        annotations: of the index.
    """
    descriptors = []
    for platform, manifest in children:
        if manifest.is_index:
            descriptors += json.loads(manifest.content)["manifests"]
            continue
        parts = platform.split("/")
        named = dict(
            zip(("architecture", "os", "variant"), (parts[1], parts[0], *parts[2:]), strict=False)
        )
        descriptors.append(
            {
                "mediaType": manifest.media_type,
                "digest": manifest.digest,
                "size": len(manifest.content),
                "platform": named,
            }
        )
    index = {
        "schemaVersion": 2,
        "mediaType": _INDEX,
        "manifests": descriptors,
        "annotations": dict(sorted(annotations.items())),
    }
    return Manifest(_INDEX, json.dumps(index, separators=(",", ":")).encode())
