"""Manifests, indexes and image configurations in a registry.

Source: OCI Distribution 1.1, "Pulling manifests" and "Pushing manifests".
"""

from collections.abc import Container

from releasetag.errors import AuthError, PushError, ReleasetagError, TransientError
from releasetag.push_failure import TRANSIENT_STATUS
from releasetag.reference import Reference, Repository, is_digest
from releasetag.registry.answers import NotFoundError
from releasetag.registry.auth import scope
from releasetag.registry.client import RegistryClient, Request
from releasetag.registry.image import (
    IMAGE_TYPES,
    INDEX_TYPES,
    ImageConfig,
    Manifest,
    matches,
    parse_config,
    parse_manifest,
)
from releasetag.text import printable

MANIFEST_LIMIT = 4 * 1024 * 1024
"""Bytes of a manifest: what OCI Distribution 1.1 wants registries to take at least."""

CONFIG_LIMIT = 8 * 1024 * 1024
"""Bytes of an image configuration."""

# Some registries refuse HEAD, each in its own way; and it has no body to say what went wrong. GET
# is asked then.
_HEAD_ANSWERS = frozenset(range(200, 600)) - TRANSIENT_STATUS - {404}

NESTED = 4
"""Indexes in indexes that are followed; nobody builds more than two."""


def fetch_digest(client: RegistryClient, reference: Reference) -> str | None:
    """The digest that a reference names now; None if it names nothing.

    Raises:
        AuthError, PushError: see RegistryClient.ask.
    """
    try:
        response = client.ask(_read("HEAD", reference, expect=_HEAD_ANSWERS))
    except NotFoundError:
        return None
    found: str = response.headers.get("Docker-Content-Digest", "")
    if response.status_code == 200 and is_digest(found):
        return found
    manifest = fetch_manifest(client, reference)
    return manifest.digest if manifest else None


def fetch_manifest(client: RegistryClient, reference: Reference) -> Manifest | None:
    """The manifest or index that a reference names now; None if it names nothing.

    Raises:
        AuthError, PushError: see RegistryClient.ask; also for other bytes than the digest says.
    """
    request = _read("GET", reference)
    try:
        response = client.ask(request)
    except NotFoundError:
        return None
    if reference.digest and not matches(reference.digest, response.content):
        raise forged(request.doing, client.name)
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
    return parse_manifest(response.content, media_type, str(reference))


def put_manifest(client: RegistryClient, reference: Reference, manifest: Manifest) -> str:
    """Put a manifest under a tag or its digest; the digest that the registry gives it.

    Putting what is there already is fine, even where tags cannot be replaced.

    Raises:
        AuthError, PushError: see RegistryClient.ask; also if the registry stored something else.
    """
    request = Request(
        "PUT",
        manifest_path(reference),
        f"push {reference}",
        (scope(reference.repository.path, "pull,push"),),
        expect=(200, 201, 202),
        headers={"Content-Type": manifest.media_type},
        content=manifest.content,
    )
    try:
        response = client.ask(request)
    except (AuthError, TransientError):
        raise
    except PushError:
        # A registry with immutable tags may refuse the second of two equal pushes: the first may
        # be our own, its answer lost.
        if _names(client, reference, manifest.digest):
            return manifest.digest
        raise
    stored = response.headers.get("Docker-Content-Digest", manifest.digest)
    if stored != manifest.digest:
        raise PushError(
            f"{client.name} stored {reference} as {printable(stored, 80)}, not as the "
            f"{manifest.digest} that was pushed",
            "something on the way changes manifests; ask whoever runs the registry",
        )
    return manifest.digest


def fetch_config(
    client: RegistryClient, repository: Repository, manifest: Manifest, nested: int = 0
) -> ImageConfig:
    """The configuration of an image, or of the first image in an index.

    Raises:
        AuthError, PushError: see RegistryClient.ask; also if there is no image.
    """
    if manifest.is_index:
        images = [child for child in manifest.children if not child.is_attestation]
        if not images or nested == NESTED:
            raise PushError(
                f"{repository.at(manifest.digest)} is an index without an image",
                "publish an image under this tag first",
            )
        child = need_manifest(client, repository.at(images[0].digest))
        return fetch_config(client, repository, child, nested + 1)
    digest = manifest.config.digest
    doing = f"read the configuration of {repository.at(manifest.digest)}"
    path = f"/v2/{repository.path}/blobs/{digest}"
    scopes = (scope(repository.path, "pull"),)
    content = client.ask(Request("GET", path, doing, scopes, limit=CONFIG_LIMIT)).content
    if not matches(digest, content):
        raise forged(doing, client.name)
    return parse_config(content, digest)


def need_manifest(client: RegistryClient, reference: Reference) -> Manifest:
    """As fetch_manifest, but a PushError if there is nothing."""
    manifest = fetch_manifest(client, reference)
    if manifest is None:
        raise PushError(
            f"cannot read {reference}: {client.name} does not have it",
            "push the image again with the program that made it",
        )
    return manifest


def forged(doing: str, registry: str) -> PushError:
    """The error for content that is not what its digest says."""
    return PushError(
        f"cannot {doing}: {registry} serves other bytes than the digest says",
        "do not use this image; ask whoever runs the registry",
    )


def manifest_path(reference: Reference) -> str:
    """Where a manifest is, behind the registry's address."""
    return f"/v2/{reference.repository.path}/manifests/{reference.name}"


def _read(method: str, reference: Reference, expect: Container[int] = (200,)) -> Request:
    return Request(
        method,
        manifest_path(reference),
        f"read {reference}",
        (scope(reference.repository.path, "pull"),),
        expect,
        limit=MANIFEST_LIMIT,
        headers={"Accept": ", ".join(IMAGE_TYPES + INDEX_TYPES)},
    )


def _names(client: RegistryClient, reference: Reference, digest: str) -> bool:
    try:
        return fetch_digest(client, reference) == digest
    except ReleasetagError:
        return False
