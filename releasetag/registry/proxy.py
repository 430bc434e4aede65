"""Proxies: which one leads to a URL, and errors that are a proxy's.

Source: golang.org/x/net/http/httpproxy and curl's manual page. Where the two differ, a lower-case
variable wins and ALL_PROXY counts, as in curl; ``.lan`` does not match ``lan`` itself, as in Go.
"""

import re
import socket
import ssl
from collections.abc import Mapping

import httpcore
import httpx

from releasetag.errors import PushError, TransientError, causes
from releasetag.push_failure import TRANSIENT_STATUS
from releasetag.reference import is_loopback, split_port
from releasetag.registry.addresses import is_in_network, parse_address
from releasetag.text import printable

_DEFAULT_PORTS = {"http": "80", "https": "443"}


def proxy_for(url: httpx.URL, environ: Mapping[str, str]) -> httpx.Proxy | None:
    """Return the proxy for a URL; None if it is reached directly, as every loopback host is.

    Raises:
        PushError: the proxy is not an HTTP proxy.
    """

    def setting(name: str) -> str:
        return environ.get(name) or environ.get(name.upper()) or ""

    address = setting(f"{url.scheme}_proxy") or setting("all_proxy")
    host = url.raw_host.decode("ascii")
    port = str(url.port or _DEFAULT_PORTS.get(url.scheme))
    entries = re.split(r"[\s,]+", setting("no_proxy").lower())
    if not address or is_loopback(host) or any(_matches(entry, host, port) for entry in entries):
        return None
    try:
        proxy = httpx.Proxy(address if "://" in address else f"http://{address}")
        is_http = proxy.url.scheme in {"http", "https"} and proxy.url.host != ""
    except (httpx.InvalidURL, ValueError):  # UnicodeError, of a host, is one
        is_http = False
    if not is_http:
        # Not repeated: it may hold a password.
        raise PushError(
            f"the proxy in {url.scheme.upper()}_PROXY or ALL_PROXY is not an HTTP proxy",
            "give one as in http://proxy.example.com:3128",
        )
    return proxy


def _matches(entry: str, host: str, port: str) -> bool:
    """Whether an entry of NO_PROXY is ``*`` or matches the host: network, address or domain."""
    if entry == "*":
        return True
    address = parse_address(host)
    if "/" in entry:
        return address is not None and is_in_network(address, entry)
    name, wanted_port = split_port(entry)
    if not name or wanted_port not in {"", port}:
        return False
    if address is not None:
        return address == parse_address(name)
    name = name[1:] if name.startswith("*.") else name
    return host == name or host.endswith(name if name.startswith(".") else f".{name}")


class ProxyFault(httpx.ProxyError):
    """A proxy failed, and not the host behind it.

    Attributes:
        is_transient: whether it is worth a retry.
    """

    def __init__(self, proxy: httpx.Proxy, error: Exception) -> None:
        reason = printable(str(error)) or type(error).__name__
        # All that httpcore tells of an answer to CONNECT: "407 Proxy Authentication Required".
        status = re.match(r"\d{3}\b", reason) if isinstance(error, httpcore.ProxyError) else None
        verb = "answered" if status else "cannot be reached:"
        # The netloc of a URL is without user name and password.
        super().__init__(f"the proxy {proxy.url.netloc.decode('ascii')} {verb} {reason}")
        if status:
            self.is_transient = int(status[0]) in TRANSIENT_STATUS
        else:
            permanent = (ssl.SSLCertVerificationError, socket.gaierror)
            self.is_transient = not any(isinstance(cause, permanent) for cause in causes(error))


def proxy_error(fault: ProxyFault, operation: str) -> PushError:
    """Return the error for a request that a proxy failed; ``operation`` goes behind "cannot"."""
    kind = TransientError if fault.is_transient else PushError
    return kind(
        f"cannot {operation}: {fault}",
        "check HTTPS_PROXY and its user name and password, or exclude the registry with NO_PROXY",
    )
