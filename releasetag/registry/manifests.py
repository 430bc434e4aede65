"""Read and put manifests, indexes and image configurations.

Source: OCI Distribution 1.1, "Pulling manifests" and "Pushing manifests".
"""

from collections.abc import Callable, Container
from dataclasses import replace
from typing import TypeVar

import httpx

from releasetag.errors import PushError, ReleasetagError
from releasetag.reference import Reference, Repository, is_digest
from releasetag.registry.cache import Content
from releasetag.registry.challenge import read_scope, write_scope
from releasetag.registry.client import HEAD_STATUSES, RegistryClient, Request
from releasetag.registry.errors import (
    BrokenImageError,
    DeniedError,
    ImmutableTagError,
    NotFoundError,
    RefusedError,
    digest_mismatch_error,
    incomplete_error,
)
from releasetag.registry.image import (
    IMAGE_TYPES,
    INDEX_TYPES,
    ImageConfig,
    Manifest,
    digest_of,
    matches,
    parse_config,
    parse_manifest,
    parse_object,
)
from releasetag.text import printable

T = TypeVar("T")

MANIFEST_LIMIT = 4 * 1024 * 1024
"""Bytes of a manifest: what OCI Distribution 1.1 wants registries to take at least."""

CONFIG_LIMIT = 8 * 1024 * 1024
"""Bytes of an image configuration."""

MAX_INDEX_DEPTH = 4
"""Indexes in indexes that are followed; nobody builds more than two."""

# Seconds between looks at what a registry serves only some moments after it was put there.
_LAG_WAITS = (0.25, 0.5, 1, 2, 4)


def fetch_digest(
    client: RegistryClient,
    reference: Reference,
    *,
    denied_is_absent: bool = False,
    scope: str = "",
) -> str | None:
    """Return the digest that a reference names; None if it names nothing.

    Args:
        denied_is_absent: whether what may not be read is what is not there.
        scope: to read with; by default to pull.

    Raises:
        AuthError, PushError: see RegistryClient.send.
    """
    try:
        response = client.send(_read_request("HEAD", reference, scope, HEAD_STATUSES))
    except NotFoundError:
        return None
    except DeniedError:
        pass  # GET is denied as well, unless with another scope
    else:
        digest: str = response.headers.get("Docker-Content-Digest", "")
        if response.status_code == 200 and is_digest(digest):
            return digest
    body = _read(client, reference, scope, denied_is_absent=denied_is_absent)
    return digest_of(body.content) if body else None


def fetch_manifest(
    client: RegistryClient,
    reference: Reference,
    *,
    denied_is_absent: bool = False,
    is_there: bool = False,
) -> Manifest | None:
    """Return the manifest or index that a reference names; None if it names nothing.

    What a digest names is read once; what a tag names may change, and is read every time.

    Args:
        is_there: whether the question is what the repository has now; a digest is read again.

    Raises:
        BrokenImageError: it is no image or index.
        AuthError, PushError: see RegistryClient.send.
    """
    read = None
    if reference.digest and not is_there:
        read = client.cache.find(reference.repository, reference.digest)
    if read is None:
        response = _read(client, reference, denied_is_absent=denied_is_absent)
        if response is None:
            return None
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        read = Content(response.content, media_type)
        digest = reference.digest or digest_of(read.content)
        client.cache.add(reference.repository, digest, read)
    return parse_manifest(read.content, read.media_type, str(reference))


def settled_digest(client: RegistryClient, reference: Reference, expected: str) -> str | None:
    """Return the digest that a reference names, looking again until it is the expected one.

    Some registries serve a moment later what was put. Raises as fetch_digest.
    """
    return _settled(
        client,
        lambda last: fetch_digest(client, reference, denied_is_absent=not last),
        lambda digest: digest == expected,
    )


def settled_manifest(client: RegistryClient, reference: Reference) -> Manifest | None:
    """Return what a reference names, looking again until it names something.

    Raises as fetch_manifest.
    """
    return _settled(
        client,
        lambda last: fetch_manifest(client, reference, denied_is_absent=not last),
        lambda manifest: manifest is not None,
    )


def put_manifest(client: RegistryClient, reference: Reference, manifest: Manifest) -> str:
    """Put a manifest under a tag or its digest; return the digest that the registry has it under.

    What is there already may be put again, even where tags are immutable.

    Raises:
        AuthError, PushError: see RegistryClient.send; also if the registry stored something else.
    """
    request = Request(
        "PUT",
        manifest_path(reference),
        f"push {reference}",
        (write_scope(reference.repository.path),),
        expect=(200, 201, 202),
        headers={"Content-Type": manifest.media_type},
        content=manifest.content,
    )
    try:
        response = client.send(request)
    except NotFoundError:
        raise
    except RefusedError as error:
        # A registry with immutable tags may refuse the second of two equal pushes: the first may
        # be our own, its response lost.
        settle = isinstance(error, ImmutableTagError)  # so something is there
        if _is_there(client, reference, manifest.digest, settle=settle):
            return manifest.digest
        raise
    stored = response.headers.get("Docker-Content-Digest", "")
    if not is_digest(stored):
        stored = settled_digest(client, reference, manifest.digest) or ""
    if not stored:
        raise PushError(
            f"{client.name} accepted {reference} and does not have it",
            "see who deletes it, or ask whoever runs the registry",
        )
    if stored != manifest.digest:
        raise PushError(
            f"{client.name} stored {reference} as {printable(stored, 80)}, not as the "
            f"{manifest.digest} that was pushed",
            "something on the way changes manifests; ask whoever runs the registry",
        )
    return manifest.digest


def fetch_config(
    client: RegistryClient, repository: Repository, manifest: Manifest, depth: int = 0
) -> ImageConfig:
    """Return the configuration of an image, or of the first image in an index that has one.

    A sparse index names images that are not there.

    Raises:
        BrokenImageError: there is no image, or no configuration.
        AuthError, PushError: see RegistryClient.send.
    """
    if not manifest.is_index:
        return _fetch_image_config(client, repository, manifest)
    reason: BrokenImageError | None = None
    if depth < MAX_INDEX_DEPTH:
        for descriptor in manifest.children:
            if descriptor.is_attestation or not descriptor.is_manifest:
                continue
            try:
                child = fetch_child(client, repository.at(descriptor.digest))
                config = fetch_config(client, repository, child, depth + 1)
                return replace(config, missing=reason.message) if reason else config
            except BrokenImageError as error:
                reason = reason or error
    if reason:
        raise reason
    raise BrokenImageError(
        f"{repository.at(manifest.digest)} is an index without an image",
        "publish an image under this tag first",
    )


def fetch_child(
    client: RegistryClient, reference: Reference, *, settle: bool = False, is_there: bool = False
) -> Manifest:
    """Return a manifest that another names; raise BrokenImageError if it is not there."""
    if settle:
        manifest = settled_manifest(client, reference)
    else:
        manifest = fetch_manifest(client, reference, is_there=is_there)
    if manifest is None:
        raise BrokenImageError(
            f"cannot read {reference}: {client.name} does not have it",
            "push the image again with the program that made it",
        )
    return manifest


def manifest_path(reference: Reference) -> str:
    """Return the path of a manifest in the registry's API."""
    return f"/v2/{reference.repository.path}/manifests/{reference.name}"


def _fetch_image_config(
    client: RegistryClient, repository: Repository, manifest: Manifest
) -> ImageConfig:
    digest = manifest.config.digest
    if read := client.cache.find(repository, digest):
        return parse_config(read.content, digest)
    operation = f"read the configuration of {repository.at(manifest.digest)}"
    path = f"/v2/{repository.path}/blobs/{digest}"
    scopes = (read_scope(repository.path),)
    try:
        content = client.send(Request("GET", path, operation, scopes, limit=CONFIG_LIMIT)).content
    except NotFoundError as error:
        raise BrokenImageError(error.message, error.hint) from error
    if parse_object(content) is None:
        raise incomplete_error(operation, client.name)
    if not matches(digest, content):
        raise digest_mismatch_error(operation, client.name)
    client.cache.add(repository, digest, Content(content))
    return parse_config(content, digest)


def _read(
    client: RegistryClient, reference: Reference, scope: str = "", *, denied_is_absent: bool
) -> httpx.Response | None:
    """GET a manifest; None if it is not there."""
    request = _read_request("GET", reference, scope)
    try:
        try:
            response = client.send(request)
        except DeniedError:
            if not denied_is_absent or scope:
                raise
            # Docker Hub denies to pull what does not exist, and answers 404 to who may push.
            scopes = (write_scope(reference.repository.path),)
            response = client.send(replace(request, scopes=scopes))
    except NotFoundError:
        return None
    except DeniedError:
        if denied_is_absent:
            return None  # the push decides
        raise
    content, stated = response.content, response.headers.get("Docker-Content-Digest", "")
    # An incomplete response is no reason to call the image broken.
    if parse_object(content) is None:
        raise incomplete_error(request.operation, client.name)
    if reference.digest and not matches(reference.digest, content):
        raise digest_mismatch_error(request.operation, client.name)
    if not reference.digest and is_digest(stated) and not matches(stated, content):
        raise incomplete_error(request.operation, client.name)
    return response


def _read_request(
    method: str, reference: Reference, scope: str, expect: Container[int] = (200,)
) -> Request:
    return Request(
        method,
        manifest_path(reference),
        f"read {reference}",
        (scope or read_scope(reference.repository.path),),
        expect,
        limit=MANIFEST_LIMIT,
        headers={"Accept": ", ".join(IMAGE_TYPES + INDEX_TYPES)},
    )


def _settled(
    client: RegistryClient, look: Callable[[bool], T], is_settled: Callable[[T], bool]
) -> T:
    """Look until it is settled; return what was seen last.

    Args:
        look: called with whether it is the last time.
    """
    for wait in _LAG_WAITS:
        seen = look(False)
        if is_settled(seen):
            return seen
        client.sleep(wait)
    return look(True)


def _is_there(client: RegistryClient, reference: Reference, digest: str, *, settle: bool) -> bool:
    try:
        if settle:
            found = _settled(client, lambda _: fetch_digest(client, reference), bool)
        else:
            found = fetch_digest(client, reference)
    except ReleasetagError:
        return False
    return found == digest
