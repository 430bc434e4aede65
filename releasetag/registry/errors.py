"""Turn a registry's refusals and failed requests into errors.

Source: OCI Distribution 1.1, "Error codes"; RFC 6749, section 5.2, for token servers.
"""

import socket
import ssl
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx

from releasetag.errors import AuthError, PushError, ReleasetagError, TransientError, causes
from releasetag.json_text import InvalidJsonError, parse_json
from releasetag.push_failure import kind_of
from releasetag.reference import DOCKER_HUB
from releasetag.registry.challenge import choose_challenge
from releasetag.registry.proxy import ProxyFault, proxy_error
from releasetag.registry.transport import TooLarge
from releasetag.text import printable

RUN_AGAIN = "run the same command again: it finishes what is left"
"""The hint for a transient failure."""

_HINTS = {
    404: "check the name; some registries want a repository to be created before the first push",
    405: "check the registry's name: what answers there does not serve images for pushing",
    413: "something before the registry limits the size of a request; raise its limit",
    429: "the registry counts requests; log in, or run the same command again later",
}


class DeniedError(AuthError):
    """The registry, or its token server, denies what was asked for.

    It may be there or not: Docker Hub answers 401 for a repository that does not exist.
    """


class RefusedError(PushError):
    """The registry refuses what was asked for, now and later."""


class NotFoundError(RefusedError):
    """The registry does not have what was asked for.

    Args:
        repository_unknown: whether the registry says that it does not know the repository.
    """

    def __init__(self, message: str, hint: str, *, repository_unknown: bool = False) -> None:
        super().__init__(message, hint)
        self.repository_unknown = repository_unknown


class ImmutableTagError(RefusedError):
    """The registry does not replace tags."""


class TooLargeError(PushError):
    """The answer is longer than anything that it could be."""


class BrokenImageError(PushError):
    """What a name points at cannot be used as an image, today or later.

    Its media type is unknown (schema 1), it is malformed, or something that it needs is missing.
    """


def response_error(
    response: httpx.Response, operation: str, registry: str, redact: Callable[[str], str]
) -> ReleasetagError:
    """Return the error for an unexpected response, whose body was read.

    Args:
        operation: goes behind "cannot": ``read acme/app:1.2``.
        redact: removes our secrets from the registry's message.
    """
    status, codes = response.status_code, _codes(response)
    text = _message(response)
    shown = printable(redact(text)) or printable(response.reason_phrase)
    message = f"cannot {operation}: {registry} answered {status} ({shown})"
    kind = kind_of(text, status)
    # Basic asks for credentials of the registry as a whole, and never speaks of one repository.
    challenge = choose_challenge(response.headers.get_list("WWW-Authenticate"))
    if status == 401 and challenge is not None and challenge.scheme == "basic":
        return AuthError(message, login_hint(registry))
    # A registry may answer 404 for what one may not see.
    if kind == "auth" or (status == 404 and codes & {"DENIED", "UNAUTHORIZED"}):
        return DeniedError(message, login_hint(registry))
    if kind == "immutable":
        hint = "the registry does not let this tag move; release a new version"
        return ImmutableTagError(message, hint)
    hint = _HINTS.get(status, RUN_AGAIN)
    if kind == "transient":
        return TransientError(message, hint, retry_after(response.headers))
    if status == 404 or codes & {"MANIFEST_UNKNOWN", "NAME_UNKNOWN"}:
        return NotFoundError(message, hint, repository_unknown="NAME_UNKNOWN" in codes)
    return RefusedError(message, hint)


def request_error(
    error: httpx.RequestError | httpx.InvalidURL | UnicodeError | TooLarge,
    operation: str,
    registry: str,
) -> PushError:
    """Return the error for a request without a complete response."""
    if isinstance(error, ProxyFault):
        return proxy_error(error, operation)
    host = _host(error) or registry
    # A token server, or a store that a redirect led to, is another party.
    ours = {host, f"{host}:443", DOCKER_HUB}
    where = registry if registry in ours else f"{host}, to which {registry} points,"
    message = f"cannot {operation}: {where}"
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
        return TransientError(f"{message} did not answer in time", RUN_AGAIN)
    reason = printable(str(error)) or type(error).__name__
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
        return TransientError(f"{message} cannot be reached: {reason}", RUN_AGAIN)
    kind = TooLargeError if isinstance(error, TooLarge) else PushError
    return kind(f"{message} cannot be used: {reason}", "ask whoever runs the registry")


def digest_mismatch_error(operation: str, registry: str) -> PushError:
    """Return the error for content that does not match its digest.

    It says nothing of the image: something between may have answered in the registry's place. An
    image that cannot be used would be replaced, and a lower version take its tag.
    """
    return PushError(
        f"cannot {operation}: {registry} serves other bytes than the digest says",
        "do not use this image; ask whoever runs the registry",
    )


def incomplete_error(operation: str, registry: str) -> PushError:
    """Return the error for a response that is not what the registry has."""
    return PushError(
        f"cannot {operation}: what {registry} answered is incomplete, or was changed on the way",
        "run the same command again; if it stays so, ask whoever runs the registry",
    )


def login_hint(registry: str) -> str:
    """Return the hint for failed authentication or authorisation."""
    return f"log in with an account that may do this: releasetag login {registry}"


def retry_after(headers: httpx.Headers) -> float | None:
    """Return the seconds in Retry-After: a number, or a date relative to the response's own Date.

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


def is_connection_refused(error: Exception) -> bool:
    """Return whether nothing listens there."""
    return not isinstance(error, ProxyFault) and any(
        isinstance(cause, ConnectionRefusedError) for cause in causes(error)
    )


def _message(response: httpx.Response) -> str:
    """Return the registry's own message, untrusted; empty if there is none."""
    errors = [
        ": ".join(filter(None, (error["code"], error["message"]))) for error in _errors(response)
    ]
    if errors:
        return "; ".join(errors)
    if response.headers.get("Content-Type", "").startswith("text/plain"):
        return response.read().decode("utf-8", "replace")
    return ""


def _codes(response: httpx.Response) -> set[str]:
    return {error["code"] for error in _errors(response)}


def _errors(response: httpx.Response) -> list[dict[str, str]]:
    """Return the code and the message of each error in the body; empty where there is none."""
    try:
        body = parse_json(response.read())
    except InvalidJsonError:
        return []
    if not isinstance(body, dict):
        return []
    errors = body.get("errors")
    if isinstance(errors, list):
        return [
            {key: _string(error.get(key)) for key in ("code", "message")}
            for error in errors
            if isinstance(error, dict)
        ]
    # Token servers: OAuth 2's error and error_description, or "details" (Docker Hub).
    code = _string(body.get("error"))
    messages = (body.get(key) for key in ("error_description", "details", "message"))
    message = next(filter(None, map(_string, messages)), "")
    return [{"code": code, "message": message}] if code or message else []


def _string(value: object) -> str:
    return str(value) if isinstance(value, str | int) else ""


def _host(error: Exception) -> str:
    try:
        url = error.request.url if isinstance(error, httpx.RequestError) else None
    except RuntimeError:  # no request is known
        url = None
    return url.netloc.decode("ascii") if url else ""
