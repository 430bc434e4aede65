"""Look for blobs, and copy them from one repository to another.

Source: OCI Distribution 1.1, "Pushing blobs" (POST then PUT) and "Mounting a blob from another
repository".
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from urllib.parse import quote

import httpx

from releasetag.errors import AuthError, PushError, ReleasetagError
from releasetag.reference import Repository
from releasetag.registry.challenge import merge_scopes, read_scope, write_scope
from releasetag.registry.client import HEAD_STATUSES, RegistryClient, Request
from releasetag.registry.errors import (
    BrokenImageError,
    DeniedError,
    NotFoundError,
    RefusedError,
    digest_mismatch_error,
)
from releasetag.registry.image import Descriptor, hasher
from releasetag.registry.links import header_text

Progress = Callable[[str, int, int], None]
"""Called with a blob's digest, the bytes that were copied so far, and its size."""

# Smaller blobs are copied before anyone could look, and larger ones report a hundred times.
_REPORTED_BYTES = 1 << 20
_REPORTS = 100


@dataclass(frozen=True)
class Endpoint:
    """A repository, and the client of its registry."""

    client: RegistryClient
    repository: Repository


def has_blob(at: Endpoint, digest: str, scope: str) -> bool:
    """Return whether a repository has a blob. Raises as RegistryClient.send."""
    head = Request(
        "HEAD",
        f"/v2/{at.repository.path}/blobs/{digest}",
        f"look for {at.repository.at(digest)}",
        (scope,),
        HEAD_STATUSES,
    )
    get = replace(head, method="GET", expect=(200,))

    def open_blob() -> bool:
        with at.client.stream(get):
            return True

    try:
        return at.client.send(head).status_code == 200 or at.client.retry(open_blob)
    except NotFoundError:
        return False


def copy_blob(
    src: Endpoint, dst: Endpoint, blob: Descriptor, progress: Progress | None = None
) -> None:
    """Copy a blob, unless it is there.

    Args:
        progress: called while a large blob is copied, and when it is there.

    Raises:
        BrokenImageError: the source does not have it, or other bytes than the digest says.
        AuthError, PushError: see RegistryClient.send.
    """
    try:
        if has_blob(dst, blob.digest, write_scope(dst.repository.path)):
            return
    except DeniedError:
        pass  # the repository may not exist yet: the upload decides
    operation = f"copy {src.repository.at(blob.digest)} to {dst.repository}"
    location = dst.client.retry(lambda: _start(src, dst, blob, operation))
    if location is None:
        return

    def transfer() -> None:
        # Half an upload cannot be resumed: another one is started.
        nonlocal location
        used, location = location or _start_upload(dst, operation), ""
        _transfer(src, dst, blob, operation, used, progress)

    try:
        dst.client.retry(transfer)
    except (AuthError, NotFoundError):
        # It could be started: since then a token may have expired, or another replica of the
        # registry does not know the upload. The body cannot be sent again.
        dst.client.retry(transfer)


def check_push(dst: Endpoint) -> None:
    """Start an upload and cancel it: whether it may be done cannot be asked otherwise.

    Raises:
        AuthError, PushError: see RegistryClient.send.
    """
    operation = f"push to {dst.repository}"
    location = dst.client.retry(lambda: _start_upload(dst, operation))
    scopes = (write_scope(dst.repository.path),)
    with suppress(ReleasetagError):  # some registries cannot; they forget it by themselves
        dst.client.send_once(Request("DELETE", location, operation, scopes, expect=(200, 202, 204)))


def _start(src: Endpoint, dst: Endpoint, blob: Descriptor, operation: str) -> str | None:
    """Mount a blob, or return where to upload it to."""
    location = _mount(src, dst, blob, operation) if src.client is dst.client else ""
    return _start_upload(dst, operation) if location == "" else location


def _mount(src: Endpoint, dst: Endpoint, blob: Descriptor, operation: str) -> str | None:
    """Mount a blob from another repository of the registry.

    Returns:
        None if it was mounted; or where to upload it, empty if an upload has to be started.
    """
    query = httpx.QueryParams({"mount": blob.digest, "from": src.repository.path})
    path = f"/v2/{dst.repository.path}/blobs/uploads/?{query}"
    scopes = merge_scopes([write_scope(dst.repository.path), read_scope(src.repository.path)])
    try:
        response = dst.client.send_once(
            Request("POST", path, operation, tuple(scopes), expect=(201, 202))
        )
    except (DeniedError, RefusedError):
        return ""  # a registry may refuse to mount where it would allow to upload
    return None if response.status_code == 201 else _location(dst, response, operation)


def _start_upload(dst: Endpoint, operation: str) -> str:
    """Start an upload; return where to upload to."""
    path = f"/v2/{dst.repository.path}/blobs/uploads/"
    scopes = (write_scope(dst.repository.path),)
    response = dst.client.send_once(Request("POST", path, operation, scopes, expect=(202,)))
    location = _location(dst, response, operation)
    if not location:
        raise PushError(
            f"cannot {operation}: {dst.client.name} does not say where to upload it",
            "ask whoever runs the registry",
        )
    return location


def _location(dst: Endpoint, response: httpx.Response, operation: str) -> str:
    location = header_text(response.headers, "Location")
    with dst.client.request_errors(operation):
        return str(response.url.join(location)) if location else ""


def _transfer(
    src: Endpoint,
    dst: Endpoint,
    blob: Descriptor,
    operation: str,
    location: str,
    progress: Progress | None,
) -> None:
    # Appended as text: the location's own query is not ours to encode anew.
    address = location.partition("#")[0]
    url = f"{address}{'&' if '?' in address else '?'}digest={quote(blob.digest, safe='')}"
    with _open(src, blob, operation) as content:
        put = Request(
            "PUT",
            url,
            operation,
            (write_scope(dst.repository.path),),
            expect=(201, 204),
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(blob.size),
            },
            content=_reported(_chunks(src.client, content, blob, operation), blob, progress),
        )
        dst.client.send_once(put)


@contextmanager
def _open(src: Endpoint, blob: Descriptor, operation: str) -> Iterator[httpx.Response]:
    path = f"/v2/{src.repository.path}/blobs/{blob.digest}"
    stream = src.client.stream(Request("GET", path, operation, (read_scope(src.repository.path),)))
    with ExitStack() as opened:
        try:
            response = opened.enter_context(stream)
        except NotFoundError as error:
            raise BrokenImageError(error.message, error.hint) from error
        yield response


def _reported(
    chunks: Iterator[bytes], blob: Descriptor, progress: Progress | None
) -> Iterator[bytes]:
    """Yield chunks, and report how many bytes they are, now and then."""
    if progress is None or blob.size < _REPORTED_BYTES:
        yield from chunks
        return
    current, due, step = 0, 0, max(_REPORTED_BYTES, blob.size // _REPORTS)
    for chunk in chunks:
        yield chunk
        current += len(chunk)
        if current >= due or current == blob.size:
            progress(blob.digest, current, blob.size)
            due = current + step


def _chunks(
    src: RegistryClient, content: httpx.Response, blob: Descriptor, operation: str
) -> Iterator[bytes]:
    """Yield the blob as it comes, the last chunk only if the whole matches digest and size."""
    computed, size, held = hasher(blob.digest), 0, b""
    with src.request_errors(operation):
        for chunk in content.iter_raw():
            if held:
                yield held
            held = chunk
            computed.update(chunk)
            size += len(chunk)
            if size > blob.size:
                break
    if size != blob.size or computed.hexdigest() != blob.digest.partition(":")[2]:
        raise digest_mismatch_error(operation, src.name)
    yield held
