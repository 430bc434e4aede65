"""The HTTP transport to registries: TLS, proxies, insecure registries, limits of answers.

One transport serves a whole run. It decides for each host what is trusted there, whatever redirect
or token realm led to it.
"""

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import httpx

from releasetag.registry.insecure import InsecureRegistries
from releasetag.registry.network import Pool
from releasetag.registry.proxy import proxy_for
from releasetag.registry.tls import certs_d, ssl_context, unverified_context

TIMEOUT = httpx.Timeout(60, connect=10)

ERROR_LIMIT = 64 * 1024
"""Bytes read of an answer that is not a success; the rest is not worth reading."""

LIMIT = "releasetag.limit"
"""Request extension: bytes that a successful answer may hold (``ERROR_LIMIT`` if it is not set);
``None`` leaves the answer to be streamed."""

INSECURE = "releasetag.insecure"
"""Request extension of requests for an insecure registry: its `InsecureRegistries.covers`."""

HOME = "releasetag.home"
"""Request extension: the origin that the request, whose body is secret, must not leave."""


class TooLarge(Exception):  # noqa: N818 - an answer, not a mistake; callers turn it into an error
    """The answer is longer than any use of it."""


class Transport(httpx.BaseTransport):
    """Sends requests, each over the connection pool of its host.

    Nothing is sent in plaintext except to insecure registries, and no answer is read beyond its
    limit of size and time.

    Args:
        environ: for the proxies and the home folder (certs.d).
        insecure: the registries of which requests may have the extension INSECURE.
        clock: seconds, monotonic.
        inner: takes every request instead of the network, for tests.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        insecure: InsecureRegistries,
        clock: Callable[[], float],
        inner: httpx.BaseTransport | None = None,
    ) -> None:
        self._environ = environ
        self._insecure = insecure
        self._clock = clock
        self._inner = inner
        self._pools: dict[tuple[str, bool], Pool] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer, read up to its limit.

        Raises:
            httpx.TransportError, TooLarge: there is no answer, or it is too long.
            PushError: the proxy or a file in certs.d cannot be used.
        """
        insecure = may_be_insecure(request.extensions, request.url)
        if request.url.scheme != "https" and not insecure:
            raise httpx.UnsupportedProtocol(
                f"it leads to {request.url.host} over {request.url.scheme}, not https",
                request=request,
            )
        if request.extensions.get(HOME, origin(request.url)) != origin(request.url):
            raise httpx.UnsupportedProtocol(
                f"it leads away to {request.url.host}, which must not see what we send",
                request=request,
            )
        limit = request.extensions.get(LIMIT, ERROR_LIMIT)
        if self._inner:
            response = self._inner.handle_request(request)
        else:
            is_upload = not isinstance(request.stream, httpx.ByteStream)
            pool = self._pool(request.url, insecure)
            response = pool.send(request, is_transfer=is_upload or limit is None)
        if not response.is_success:
            return _read(response, ERROR_LIMIT)
        return response if limit is None else _read(response, limit)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()
        if self._inner:
            self._inner.close()

    def _pool(self, url: httpx.URL, insecure: bool) -> Pool:
        key = origin(url), insecure
        with self._lock:
            if key not in self._pools:
                host = url.netloc.decode("ascii")
                self._pools[key] = Pool(
                    unverified_context() if insecure else ssl_context(host, certs_d(self._environ)),
                    proxy_for(url, self._environ),
                    partial(self._insecure.accepts, url) if insecure else lambda _: True,
                    self._clock,
                )
            return self._pools[key]


def origin(url: httpx.URL) -> str:
    """Return scheme, host and port: where credentials may be used (RFC 6454)."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def may_be_insecure(extensions: Mapping[str, Any], url: httpx.URL) -> bool:
    """Whether a request with these extensions may go to this URL without verified TLS."""
    covers: Callable[[httpx.URL], bool] | None = extensions.get(INSECURE)
    return covers is not None and covers(url)


def _read(response: httpx.Response, limit: int) -> httpx.Response:
    body = bytearray()
    try:
        for chunk in cast("httpx.SyncByteStream", response.stream):
            body += chunk
            if len(body) > limit:
                break
    finally:
        response.close()
    if len(body) > limit and response.is_success:
        raise TooLarge(f"the answer is longer than {limit} bytes")
    # The body is passed on as received (no encoding was requested), with a length of its own.
    dropped = {b"content-length", b"transfer-encoding", b"content-encoding"}
    return httpx.Response(
        response.status_code,
        # Raw: httpx decodes bytes that are not ASCII, but does not encode them.
        headers=[
            (name, value) for name, value in response.headers.raw if name.lower() not in dropped
        ],
        stream=httpx.ByteStream(bytes(body[:limit])),
        extensions=response.extensions,
    )
