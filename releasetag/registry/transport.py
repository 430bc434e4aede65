"""The way to a registry: TLS, proxies, and how much of an answer is read.

One transport serves a whole run. It decides per host what is trusted there, whatever redirect or
token realm led to it.
"""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined] # in no stub

import httpx

from releasetag.errors import PushError
from releasetag.reference import Repository

TIMEOUT = httpx.Timeout(60, connect=10)

ERROR_LIMIT = 64 * 1024
"""Bytes read of an answer that is not a success; the rest is not worth reading."""

LIMIT = "releasetag.limit"
"""Request extension: bytes that a successful answer may hold (``ERROR_LIMIT`` if it is not set);
``None`` leaves the answer to be streamed."""

LOOPBACK = "releasetag.loopback"
"""Request extension: whether it was asked for a registry on this machine."""

HOME = "releasetag.home"
"""Request extension: the origin that the request, whose body is secret, must not leave."""


class TooLarge(Exception):  # noqa: N818 - an answer, not a mistake; callers turn it into an error
    """The answer is longer than anybody has a use for."""


class Transport(httpx.BaseTransport):
    """Sends requests, each over the connection pool of its host.

    Nothing is sent in clear except to a registry on this machine, and no answer is read beyond
    its limit.

    Args:
        environ: for HTTPS_PROXY, NO_PROXY and the home folder (certs.d).
        inner: takes every request instead of the network, for tests.
    """

    def __init__(self, environ: Mapping[str, str], inner: httpx.BaseTransport | None = None):
        self._environ = environ
        self._inner = inner
        self._pools: dict[tuple[str, bool], httpx.HTTPTransport] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, read up to its limit; raises what httpx raises, or TooLarge, or PushError."""
        loopback = bool(request.extensions.get(LOOPBACK)) and is_loopback(request.url)
        if request.url.scheme != "https" and not loopback:
            raise httpx.UnsupportedProtocol(
                f"it leads to {request.url.host} over {request.url.scheme}, not https",
                request=request,
            )
        if request.extensions.get(HOME, origin(request.url)) != origin(request.url):
            raise httpx.UnsupportedProtocol(
                f"it leads away to {request.url.host}, which must not see what we send",
                request=request,
            )
        route = self._inner or self._pool(request.url, loopback)
        response = route.handle_request(request)
        limit = request.extensions.get(LIMIT, ERROR_LIMIT)
        if not response.is_success:
            limit = ERROR_LIMIT
        elif limit is None:
            return response
        return _read(response, limit)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()
        if self._inner:
            self._inner.close()

    def _pool(self, url: httpx.URL, loopback: bool) -> httpx.HTTPTransport:
        host = url.netloc.decode("ascii")
        with self._lock:
            pool = self._pools.get((host, loopback))
            if pool is None:
                context = _unverified() if loopback else trust(host, certs_d(self._environ))
                proxy = None if loopback else _proxy(host, self._environ)
                # trust_env is off: the environment comes in as an argument.
                pool = httpx.HTTPTransport(verify=context, proxy=proxy, trust_env=False)
                self._pools[host, loopback] = pool
        return pool


def origin(url: httpx.URL) -> str:
    """Scheme, host and port: where credentials may be used (RFC 6454)."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def is_loopback(url: httpx.URL) -> bool:
    """Whether the URL's host is this machine, by name or address."""
    return Repository(f"[{url.host}]" if ":" in url.host else url.host, "").is_loopback


def certs_d(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The folders in which the engine, and the rootless engine, look for a registry's authorities.

    Source: docs.docker.com/engine/security/certificates; CertsDir in moby's daemon/pkg/registry.
    """
    folders = [Path("/etc/docker/certs.d")]
    if config := environ.get("XDG_CONFIG_HOME"):
        folders.append(Path(config, "docker/certs.d"))
    elif home := environ.get("HOME"):
        folders.append(Path(home, ".config/docker/certs.d"))
    return tuple(folders)


def trust(host: str, folders: tuple[Path, ...]) -> ssl.SSLContext:
    """Whom we believe to be ``host[:port]``: the system's authorities and those of certs.d.

    ``*.crt`` are authorities, ``*.cert`` with ``*.key`` a client certificate, as in the engine.

    Raises:
        PushError: a file there cannot be used.
    """
    # OpenSSL itself heeds SSL_CERT_FILE and SSL_CERT_DIR.
    context = ssl.create_default_context()
    # Python 3.13 and later want extensions of an authority that the engine can do without, and
    # that `openssl req -x509` does not give it.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    for folder in folders:
        files: list[Path] = []
        # httpx leaves the port away if it is the usual one; the engine goes by what was written.
        for name in (host, f"{host}:443"):
            with suppress(OSError):  # not there, or for the engine's eyes only
                files += sorted(Path(folder, name).iterdir())
        for file in files:
            try:
                if file.suffix == ".crt":
                    context.load_verify_locations(file)
                elif file.suffix == ".cert":
                    context.load_cert_chain(file, file.with_suffix(".key"))
            except OSError as error:  # ssl.SSLError is one
                raise _unusable(file, error) from error
    return context


def _unusable(file: Path, error: OSError) -> PushError:
    reason = error.strerror or error
    return PushError(
        f"{file} cannot be used: {reason}",
        "*.crt there are authorities; NAME.cert and NAME.key a client certificate and its key",
    )


def _unverified() -> ssl.SSLContext:
    # The engine does not verify loopback registries either. Nothing is lost by it: without TLS,
    # plain HTTP would be taken from the same port of this same machine.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _proxy(host: str, environ: Mapping[str, str]) -> str | None:
    def setting(name: str) -> str:
        return environ.get(name) or environ.get(name.upper()) or ""

    proxy = setting("https_proxy") or setting("all_proxy")
    if not proxy or proxy_bypass_environment(host, {"no": setting("no_proxy")}):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        scheme = httpx.URL(proxy).scheme
    except httpx.InvalidURL:
        scheme = ""
    if scheme not in {"http", "https"}:
        # Its value may hold a password.
        raise PushError(
            "the proxy in HTTPS_PROXY or ALL_PROXY is not an HTTP proxy",
            "give one as in http://proxy.example.com:3128",
        )
    return proxy


def _read(response: httpx.Response, limit: int) -> httpx.Response:
    body = bytearray()
    try:
        for chunk in _chunks(response):
            body += chunk
            if len(body) > limit:
                break
    finally:
        response.close()
    if len(body) > limit and response.is_success:
        raise TooLarge(f"the answer is longer than {limit} bytes")
    # The body is passed on as it came (no encoding was asked for), so its length is its own.
    dropped = {b"content-length", b"transfer-encoding", b"content-encoding"}
    # As bytes: they need not be ASCII.
    headers = [(k, v) for k, v in response.headers.raw if k.lower() not in dropped]
    return httpx.Response(
        response.status_code,
        headers=headers,
        stream=httpx.ByteStream(bytes(body[:limit])),
        extensions=response.extensions,
    )


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    if not isinstance(response.stream, httpx.SyncByteStream):
        raise TypeError("the transport answers asynchronously")
    yield from response.stream
