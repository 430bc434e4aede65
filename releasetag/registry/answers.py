"""What a registry's failure is to the user: one error, in the registry's own words.

Source: OCI Distribution 1.1, "Error codes"; RFC 6749, section 5.2, for token servers.
"""

import json
import socket
import ssl
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx

from releasetag.errors import AuthError, PushError, ReleasetagError, TransientError, causes
from releasetag.push_failure import kind_of
from releasetag.reference import DOCKER_HUB
from releasetag.registry.proxy import ProxyFault, proxy_error
from releasetag.registry.transport import TooLarge
from releasetag.text import printable

AGAIN = "run the same command again: it finishes what is left"
"""What to do about a passing failure."""

_HINTS = {
    404: "check the name; some registries want a repository to be created before the first push",
    405: "check the registry's name: what answers there does not serve images for pushing",
    413: "something before the registry limits the size of a request; raise its limit",
    429: "the registry counts requests; log in, or run the same command again later",
}


class NotFoundError(PushError):
    """The registry does not have what was asked for."""


def failure(
    response: httpx.Response,
    doing: str,
    registry: str,
    redact: Callable[[str], str],
    *,
    refused: bool = False,
) -> ReleasetagError:
    """The error for an answer that is not what was asked for.

    Args:
        response: the answer, its body read.
        doing: what was asked for, to go behind "cannot": ``read acme/app:1.2``.
        registry: its name.
        redact: takes our secrets out of the registry's words.
        refused: the answer means that the credentials are no good, whatever its status.
    """
    status = response.status_code
    words = _words(response)
    said = printable(redact(words)) or printable(response.reason_phrase)
    message = f"cannot {doing}: {registry} answered {status} ({said})"
    kind = "auth" if refused else kind_of(words, status)
    if kind == "auth":
        return AuthError(message, login_hint(registry))
    if kind == "immutable":
        return PushError(message, "the registry does not let this tag move; release a new version")
    hint = _HINTS.get(status, AGAIN)
    if kind == "transient":
        return TransientError(message, hint, retry_after(response.headers))
    if status == 404 or _codes(response) & {"MANIFEST_UNKNOWN", "NAME_UNKNOWN"}:
        return NotFoundError(message, hint)
    return PushError(message, hint)


def fault(
    error: httpx.RequestError | httpx.InvalidURL | UnicodeError | TooLarge,
    doing: str,
    registry: str,
) -> PushError:
    """The error for a request that got no whole answer."""
    if isinstance(error, ProxyFault):
        return proxy_error(error, doing)
    host = _host(error) or registry
    # A token server, or a store that a redirect led to, is somebody else.
    ours = {host, f"{host}:443", DOCKER_HUB}
    where = registry if registry in ours else f"{host}, to which {registry} points,"
    message = f"cannot {doing}: {where}"
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return PushError(
                f"{message} has a certificate that does not verify: {cause.verify_message}",
                "put its authority's certificate in "
                f"/etc/docker/certs.d/{host}/ca.crt, where the engine looks as well",
            )
        if isinstance(cause, ssl.SSLError) and not isinstance(
            cause, ssl.SSLEOFError | ssl.SSLZeroReturnError
        ):
            return PushError(
                f"{message} does not speak TLS with us: {printable(cause.reason or str(cause))}",
                "check the registry's name and port; if it has no TLS, add it to "
                "insecure-registries",
            )
        if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
            return PushError(f"{message} is not a known host", "check the registry's name")
    if isinstance(error, httpx.TimeoutException):
        return TransientError(f"{message} did not answer in time", AGAIN)
    words = printable(str(error)) or type(error).__name__
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
        return TransientError(f"{message} cannot be reached: {words}", AGAIN)
    return PushError(f"{message} cannot be used: {words}", "ask whoever runs the registry")


def login_hint(registry: str) -> str:
    """What to do about a registry that does not let us in."""
    return f"log in with an account that may do this: releasetag login {registry}"


def _words(response: httpx.Response) -> str:
    """The registry's own words, untrusted; empty if there are none."""
    errors = [
        ": ".join(str(error[key]) for key in ("code", "message") if error.get(key))
        for error in _errors(response)
    ]
    if errors:
        return "; ".join(errors)
    if response.headers.get("Content-Type", "").startswith("text/plain"):
        return response.read().decode("utf-8", "replace")
    return ""


def _codes(response: httpx.Response) -> set[str]:
    return {str(error.get("code", "")) for error in _errors(response)}


def _errors(response: httpx.Response) -> list[dict[str, object]]:
    try:
        body = json.loads(response.read())
    except (ValueError, RecursionError):
        return []
    if not isinstance(body, dict):
        return []
    errors = body.get("errors")
    if isinstance(errors, list):
        return [error for error in errors if isinstance(error, dict)]
    # Token servers: OAuth 2's error and error_description, or "details" (Docker Hub).
    message = body.get("error_description") or body.get("details") or body.get("message")
    if body.get("error") or message:
        return [{"code": body.get("error"), "message": message}]
    return []


def retry_after(headers: httpx.Headers) -> float | None:
    """Seconds that Retry-After asks for: a number, or a date taken against the answer's own Date.

    Source: RFC 9110, section 10.2.3.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        # The server's own clock: ours may be wrong.
        now = parsedate_to_datetime(headers.get("Date", ""))
        return max((parsedate_to_datetime(value) - now).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def refused(error: Exception) -> bool:
    """Whether nobody listens there."""
    return not isinstance(error, ProxyFault) and any(
        isinstance(cause, ConnectionRefusedError) for cause in causes(error)
    )


def _host(error: Exception) -> str:
    try:
        url = error.request.url if isinstance(error, httpx.RequestError) else None
    except RuntimeError:  # no request is known
        url = None
    return url.netloc.decode("ascii") if url else ""
