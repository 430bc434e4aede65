"""What refers to an image: signatures and attestations that were attached to it.

Source: OCI Distribution 1.1, "Listing Referrers", "Pushing Manifests with Subject" and "Referrers
Tag Schema", which is for registries without the API.
"""

import json
from typing import Any

from releasetag.reference import Reference, Repository
from releasetag.registry.challenge import read_scope
from releasetag.registry.client import RegistryClient, Request
from releasetag.registry.errors import (
    BrokenImageError,
    DeniedError,
    NotFoundError,
    RefusedError,
    incomplete_error,
)
from releasetag.registry.image import INDEX_TYPES, Descriptor, Manifest, parse_object
from releasetag.registry.links import UnreadableLinkError, next_path
from releasetag.registry.manifests import (
    MANIFEST_LIMIT,
    fetch_digest,
    fetch_manifest,
    put_manifest,
)

PAGES = 100
"""Responses that are read before the list is taken for endless."""


def fetch_referrers(
    client: RegistryClient, repository: Repository, digest: str
) -> tuple[Descriptor, ...]:
    """Return what refers to a manifest; nothing where the registry does not say.

    Raises:
        AuthError, PushError: see RegistryClient.send; not for an API that there is not.
    """
    found = _listed_by_api(client, repository, digest)
    if found is not None:
        return found
    tag = _tag(repository, digest)
    return _children(fetch_manifest(client, tag) if fetch_digest(client, tag) else None)


def refer(client: RegistryClient, repository: Repository, manifest: Manifest) -> None:
    """Have a manifest that was put be listed as one that refers to its subject.

    A registry with the API does so by itself; without it, a tag of the subject lists them. Two
    programs that add to it at a time may lose one, as the specification says.
    """
    subject = manifest.subject
    if subject is None:
        return
    if _listed_by_api(client, repository, subject.digest) is not None:
        return
    tag = _tag(repository, subject.digest)
    there = fetch_manifest(client, tag) if fetch_digest(client, tag) else None
    if any(each.digest == manifest.digest for each in _children(there)):
        return
    parsed: dict[str, Any] = (parse_object(there.content) or {}) if there is not None else {}
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPES[0],
        "manifests": [*parsed.get("manifests", []), _descriptor(manifest)],
    }
    put_manifest(client, tag, Manifest(INDEX_TYPES[0], json.dumps(index).encode()))


def _listed_by_api(
    client: RegistryClient, repository: Repository, digest: str
) -> tuple[Descriptor, ...] | None:
    """Return what the API lists, page by page; None if the registry does not have the API."""
    operation = f"list what refers to {repository.at(digest)}"
    path = f"/v2/{repository.path}/referrers/{digest}"
    found: list[Descriptor] = []
    seen: set[str] = set()
    while path and path not in seen and len(seen) < PAGES:
        request = Request(
            "GET",
            path,
            operation,
            (read_scope(repository.path),),
            limit=MANIFEST_LIMIT,
            headers={"Accept": INDEX_TYPES[0]},
        )
        seen.add(path)
        try:
            response = client.send(request)
            path = next_path(response)
        except (NotFoundError, DeniedError, RefusedError):
            return None
        except UnreadableLinkError:
            raise incomplete_error(operation, client.name) from None
        if not isinstance((parse_object(response.content) or {}).get("manifests"), list):
            return None
        found += _children(Manifest(INDEX_TYPES[0], response.content))
    return tuple(found)


def _children(index: Manifest | None) -> tuple[Descriptor, ...]:
    """Return what an index lists; nothing if it is malformed, or none."""
    try:
        return index.children if index is not None and index.is_index else ()
    except BrokenImageError:
        return ()


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
