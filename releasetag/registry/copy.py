"""Copy an image, or an index with all its images, from one repository to another."""

from contextlib import suppress

from releasetag.parallel import map_parallel
from releasetag.reference import Reference, Repository
from releasetag.registry.blobs import Endpoint, Progress, copy_blob
from releasetag.registry.challenge import write_scope
from releasetag.registry.client import RegistryClient
from releasetag.registry.errors import BrokenImageError, NotFoundError, RefusedError
from releasetag.registry.image import Manifest
from releasetag.registry.manifests import (
    MAX_INDEX_DEPTH,
    fetch_child,
    fetch_digest,
    put_manifest,
    settled_manifest,
)
from releasetag.registry.referrers import fetch_referrers, refer

UPLOADS = 4
"""Blobs of one image that are copied at a time."""


def copy(
    src: RegistryClient,
    reference: Reference,
    dst: RegistryClient,
    repository: Repository,
    *,
    repair: bool = False,
    progress: Progress | None = None,
) -> None:
    """Copy what a reference names into a repository, under its digest: no tag is touched.

    Signatures and attestations that refer to it, or to an image in it, are copied with it. What is
    there already is left. Blobs are mounted where both repositories are in one registry,
    and otherwise streamed through this process. A destination that may not be read may be one that
    does not exist yet: the upload decides.

    Args:
        repair: whether to look for what is missing of a manifest that is there.
        progress: called while large blobs are copied, from several threads.

    Raises:
        NotFoundError: the reference names nothing.
        BrokenImageError: something of the image is missing or wrong at the source.
        AuthError, PushError: see RegistryClient.send.
    """
    manifest = settled_manifest(src, reference)
    if manifest is None:
        raise NotFoundError(
            f"cannot read {reference}: {src.name} does not have it",
            "push the image again with the program that made it",
        )
    source, destination = Endpoint(src, reference.repository), Endpoint(dst, repository)
    digest = reference.digest or manifest.digest
    _copy_manifest(source, destination, digest, progress, manifest=manifest, repair=repair)


def _copy_manifest(
    src: Endpoint,
    dst: Endpoint,
    digest: str,
    progress: Progress | None,
    *,
    manifest: Manifest | None = None,
    repair: bool,
    depth: int = 0,
) -> None:
    """Copy a manifest and all that it needs, which comes first: registries want it so."""
    there = dst.repository.at(digest)
    scope = write_scope(dst.repository.path)
    present = fetch_digest(dst.client, there, denied_is_absent=True, scope=scope) is not None
    if present and not repair:
        return
    if manifest is None:
        manifest = fetch_child(src.client, src.repository.at(digest), settle=True)
    if manifest.is_index and depth == MAX_INDEX_DEPTH:
        raise BrokenImageError(f"{there} is in too many indexes", "publish an image")
    blobs = {}
    for descriptor in manifest.dependencies:
        if descriptor.is_manifest:
            _copy_manifest(src, dst, descriptor.digest, progress, repair=repair, depth=depth + 1)
        else:
            blobs[descriptor.digest] = descriptor
    map_parallel(lambda blob: copy_blob(src, dst, blob, progress), blobs.values(), UPLOADS)
    if present:
        return
    # Before the image, so that one that is there has them: a registry takes them without it.
    for referrer in fetch_referrers(src.client, src.repository, digest):
        # One that is broken at the source is of no use there either; and a registry may take no
        # artifacts, only images.
        with suppress(BrokenImageError, RefusedError):
            if depth < MAX_INDEX_DEPTH:
                _copy_manifest(src, dst, referrer.digest, progress, repair=repair, depth=depth + 1)
    put_manifest(dst.client, there, manifest)
    refer(dst.client, dst.repository, manifest)
