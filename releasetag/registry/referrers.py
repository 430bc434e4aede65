"""What refers to an image: signatures and attestations that were attached to it.

Source: OCI Distribution 1.1, "Listing Referrers", "Pushing Manifests with Subject" and "Referrers
Tag Schema", which is for registries without the API.
"""

import json
from typing import Any

from releasetag.reference import Reference, Repository
from releasetag.registry.challenge import read_scope
from releasetag.registry.client import RegistryClient, Request
from releasetag.registry.errors import BrokenImageError, DeniedError, NotFoundError, RefusedError
from releasetag.registry.image import INDEX_TYPES, Descriptor, Manifest, parse_object
from releasetag.registry.manifests import (
    MANIFEST_LIMIT,
    fetch_digest,
    fetch_manifest,
    put_manifest,
)


def fetch_referrers(
    client: RegistryClient, repository: Repository, digest: str
) -> tuple[Descriptor, ...]:
    """Return what refers to a manifest; nothing where the registry does not say.

    Raises:
        AuthError, PushError: see RegistryClient.send; not for an API that there is not.
    """
    found = _ask(client, repository, digest)
    if found is None:
        tag = _tag(repository, digest)
        found = fetch_manifest(client, tag) if fetch_digest(client, tag) else None
    try:
        return found.children if found is not None and found.is_index else ()
    except BrokenImageError:
        return ()


def refer(client: RegistryClient, repository: Repository, manifest: Manifest) -> None:
    """Have a manifest that was put be listed as one that refers to its subject.

    A registry with the API does so by itself; without it, a tag of the subject lists them. Two
    programs that add to it at a time may lose one, as the specification says.
    """
    subject = manifest.subject
    if subject is None:
        return
    asked = _ask(client, repository, subject.digest)
    if asked is not None:
        return
    tag = _tag(repository, subject.digest)
    there = fetch_manifest(client, tag) if fetch_digest(client, tag) else None
    listed = there.children if there is not None and there.is_index else ()
    if any(each.digest == manifest.digest for each in listed):
        return
    parsed: dict[str, Any] = (parse_object(there.content) or {}) if there is not None else {}
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPES[0],
        "manifests": [*parsed.get("manifests", []), _descriptor(manifest)],
    }
    put_manifest(client, tag, Manifest(INDEX_TYPES[0], json.dumps(index).encode()))


def _ask(client: RegistryClient, repository: Repository, digest: str) -> Manifest | None:
    """Return the index that the API answers with; None if the registry does not have the API."""
    request = Request(
        "GET",
        f"/v2/{repository.path}/referrers/{digest}",
        f"list what refers to {repository.at(digest)}",
        (read_scope(repository.path),),
        limit=MANIFEST_LIMIT,
        headers={"Accept": INDEX_TYPES[0]},
    )
    try:
        content = client.send(request).content
    except (NotFoundError, DeniedError, RefusedError):
        return None
    parsed = parse_object(content)
    is_index = parsed is not None and isinstance(parsed.get("manifests"), list)
    return Manifest(INDEX_TYPES[0], content) if is_index else None


def _tag(repository: Repository, digest: str) -> Reference:
    # A tag has at most 128 characters, of which the algorithm has 32 and the hash 64.
    algorithm, _, encoded = digest.partition(":")
    return repository.tagged(f"{algorithm[:32]}-{encoded[:64]}")


def _descriptor(manifest: Manifest) -> dict[str, Any]:
    parsed = parse_object(manifest.content) or {}
    config = parsed.get("config")
    kind = config.get("mediaType") if isinstance(config, dict) else None
    descriptor = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.content),
        "artifactType": parsed.get("artifactType") or kind,
        "annotations": parsed.get("annotations"),
    }
    return {key: value for key, value in descriptor.items() if value}
