"""Copying an image, or an index with all its images, from one repository to another.

Source: OCI Distribution 1.1, "Pushing blobs" (POST then PUT) and "Mounting a blob from another
repository".
"""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from releasetag.errors import AuthError, PushError, ReleasetagError, TransientError
from releasetag.reference import Reference, Repository
from releasetag.registry.answers import NotFoundError
from releasetag.registry.auth import scope, union
from releasetag.registry.client import RegistryClient, Request
from releasetag.registry.image import Descriptor, Manifest, hasher
from releasetag.registry.manifests import (
    NESTED,
    fetch_digest,
    forged,
    need_manifest,
    put_manifest,
)


@dataclass(frozen=True)
class _Ends:
    """From where, to where, and whom to ask there."""

    source: RegistryClient
    origin: Repository
    target: RegistryClient
    destination: Repository


def copy(
    source: RegistryClient, reference: Reference, target: RegistryClient, destination: Repository
) -> None:
    """Bring what a reference names into a repository, under its digest: no tag is touched.

    What is there already is left; blobs are mounted where both repositories are in one registry,
    and otherwise go through this process in chunks.

    Raises:
        AuthError, PushError: see RegistryClient.ask; also if something is not at the source.
    """
    ends = _Ends(source, reference.repository, target, destination)
    _copy_manifest(ends, need_manifest(source, reference), NESTED)


def _copy_manifest(ends: _Ends, manifest: Manifest, nested: int) -> None:
    reference = ends.destination.at(manifest.digest)
    if fetch_digest(ends.target, reference):
        return  # a registry takes a manifest only with all that it names
    if manifest.is_index and not nested:
        raise PushError(f"{reference} is an index of indexes without end", "publish an image")
    needed = manifest.children if manifest.is_index else (manifest.config, *manifest.layers)
    for descriptor in needed:
        if descriptor.is_manifest:
            child = need_manifest(ends.source, ends.origin.at(descriptor.digest))
            _copy_manifest(ends, child, nested - 1)
        elif not descriptor.is_foreign:
            _copy_blob(ends, descriptor)
    put_manifest(ends.target, reference, manifest)


def _copy_blob(ends: _Ends, blob: Descriptor) -> None:
    doing = f"copy {ends.origin.at(blob.digest)} to {ends.destination}"
    path = f"/v2/{ends.destination.path}/blobs/{blob.digest}"
    try:
        ends.target.ask(Request("HEAD", path, doing, _write_scopes(ends)))
    except NotFoundError:
        # Start and transfer are one operation: half an upload cannot be gone on with.
        ends.target.retried(lambda: _upload(ends, blob, doing))


def _upload(ends: _Ends, blob: Descriptor, doing: str) -> None:
    for last in (False, True):
        started = _start_upload(ends, blob, doing)
        if started.status_code == 201:
            return  # mounted
        try:
            _transfer(ends, blob, doing, started)
        except AuthError:
            # We were let in to start it: a token may have run out since. The body cannot be sent
            # again, as RegistryAuth does with others, so the upload starts again, once.
            if last:
                raise
        else:
            return


def _transfer(ends: _Ends, blob: Descriptor, doing: str, started: httpx.Response) -> None:
    with ends.target.errors(doing):
        location = started.url.join(started.headers.get("Location", ""))
        url = location.copy_merge_params({"digest": blob.digest})
    path = f"/v2/{ends.origin.path}/blobs/{blob.digest}"
    fetch = Request("GET", path, doing, (scope(ends.origin.path, "pull"),))
    with ends.source.stream(fetch) as content:
        put = Request(
            "PUT",
            str(url),
            doing,
            _write_scopes(ends),
            expect=(201, 204),
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(blob.size),
            },
            content=_chunks(ends.source, content, blob, doing),
        )
        ends.target.once(put)


def _start_upload(ends: _Ends, blob: Descriptor, doing: str) -> httpx.Response:
    """201 if the blob could be mounted from the other repository, or 202 to upload it."""
    path = f"/v2/{ends.destination.path}/blobs/uploads/"
    scopes = _write_scopes(ends)
    if ends.source is ends.target:
        query = httpx.QueryParams({"mount": blob.digest, "from": ends.origin.path})
        mount = Request("POST", f"{path}?{query}", doing, scopes, expect=(201, 202))
        try:
            return ends.target.once(mount)
        except TransientError:
            raise
        except ReleasetagError:
            pass  # a registry may refuse to mount where it would let us upload
    return ends.target.once(Request("POST", path, doing, scopes, expect=(202,)))


def _write_scopes(ends: _Ends) -> tuple[str, ...]:
    scopes = [scope(ends.destination.path, "pull,push")]
    if ends.source is ends.target:
        scopes.append(scope(ends.origin.path, "pull"))
    return tuple(union(scopes))


def _chunks(
    source: RegistryClient, content: httpx.Response, blob: Descriptor, doing: str
) -> Iterator[bytes]:
    """The blob as it comes. The last chunk is held back until the whole is known to be right."""
    read, size, held = hasher(blob.digest), 0, b""
    with source.errors(doing):
        for chunk in content.iter_raw():
            if held:
                yield held
            held = chunk
            read.update(chunk)
            size += len(chunk)
            if size > blob.size:
                break
    if size != blob.size or read.hexdigest() != blob.digest.partition(":")[2]:
        raise forged(doing, source.name)
    yield held
