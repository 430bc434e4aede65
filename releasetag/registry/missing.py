"""Look for everything that an image needs in its repository."""

from releasetag.parallel import map_parallel
from releasetag.reference import Repository
from releasetag.registry.blobs import Endpoint, has_blob
from releasetag.registry.challenge import read_scope
from releasetag.registry.client import RegistryClient
from releasetag.registry.errors import BrokenImageError
from releasetag.registry.image import Descriptor, Manifest
from releasetag.registry.manifests import MAX_INDEX_DEPTH, fetch_child

LOOKS = 4
"""Blobs that are looked for at a time."""


def find_missing(
    client: RegistryClient, repository: Repository, manifest: Manifest
) -> list[Descriptor]:
    """Return the children and blobs of a manifest that the repository does not have.

    Attestations count; layers that may not be distributed do not. A child that is there but cannot
    be used is missing, too.

    Raises:
        BrokenImageError: the manifest itself is malformed.
        AuthError, PushError: see RegistryClient.send.
    """
    missing: dict[str, Descriptor] = {}
    blobs: dict[str, Descriptor] = {}
    _collect(client, repository, manifest, missing, blobs, 0)
    at, scope = Endpoint(client, repository), read_scope(repository.path)
    looked = map_parallel(lambda blob: has_blob(at, blob.digest, scope), blobs.values(), LOOKS)
    return [*missing.values(), *(blob for blob, present in looked if not present)]


def _collect(
    client: RegistryClient,
    repository: Repository,
    manifest: Manifest,
    missing: dict[str, Descriptor],
    blobs: dict[str, Descriptor],
    depth: int,
) -> None:
    for descriptor in manifest.dependencies:
        if not descriptor.is_manifest:
            blobs[descriptor.digest] = descriptor
        elif depth == MAX_INDEX_DEPTH:
            missing[descriptor.digest] = descriptor
        else:
            try:
                child = fetch_child(client, repository.at(descriptor.digest), is_there=True)
                _collect(client, repository, child, missing, blobs, depth + 1)
            except BrokenImageError:
                missing[descriptor.digest] = descriptor
