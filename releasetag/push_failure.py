"""The kind of failure that a registry's message means.

The engine reports a failed push as text, a registry as a status and text: both are classified
here. Pure.
"""

import re
from typing import Literal

Kind = Literal["auth", "immutable", "permanent", "transient"]
"""``auth``: credentials are missing, wrong or not sufficient. ``immutable``: the tag must not be
replaced. ``permanent``: a retry fails as well. ``transient``: worth a retry."""

TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})

_FULL = "no space left"

# The first match decides. A refusal to replace a tag comes before "denied", with which some
# registries introduce it; a full disk before the server error that carries it.
_WORDS: tuple[tuple[Kind, str], ...] = (
    # ECR: "… cannot be overwritten because the repository is immutable"; Harbor (412): "… due
    # to 'app:1.2' configured as immutable"; Docker Hub and Google: "… tag immutability …";
    # Alibaba: "The requested tag already exists and cannot be overwritten".
    ("immutable", r"immutab|cannot be overwrit|may not be overwrit"),
    ("permanent", rf"{_FULL}|name[ _]unknown|manifest[ _]unknown|blob[ _]unknown"),
    # Before "denied": a registry with a pull rate limit denies what exceeds it.
    ("transient", r"too ?many ?requests|rate ?limit|slow ?down|throttl"),
    (
        "auth",
        r"unauthori[sz]ed|authentication required|authorization failed|denied|forbidden"
        r"|no basic auth credentials|insufficient[ _]scope|status(?: code)?:? 40[13]\b"
        r"|(?:incorrect|invalid|bad) (?:username|password|user ?name or password|credentials)",
    ),
    ("permanent", r"certificate|no such host|name or service not known|gave HTTP response"),
    (
        "transient",
        r"connection (?:refused|reset|aborted|timed out)|broken pipe|network is unreachable"
        r"|\bEOF\b|i/o timeout|TLS handshake timeout|timed? ?out|deadline exceeded"
        r"|server misbehaving|temporary failure|try again|closed network connection"
        r"|internal server error|bad gateway|service unavailable|blob upload unknown"
        r"|(?:status(?: code)?:?|HTTP) (?:408|429|50[0234])\b",
    ),
)


def kind_of(message: str, status: int = 0) -> Kind:
    """Classify a failure.

    Args:
        message: from the registry or the engine; an unknown one is ``permanent``.
        status: the HTTP status (RFC 9110), 0 if it is not known. It outweighs the message, except
            for a refusal to replace a tag, which registries send as 400, 403, 409 or 412, and for
            a full disk, which they report as 500.
    """
    found: Kind = next(
        (kind for kind, words in _WORDS if re.search(words, message, re.IGNORECASE)), "permanent"
    )
    if not status or found == "immutable" or _FULL in message.lower():
        return found
    if status in {401, 403}:
        return "auth"
    return "transient" if status in TRANSIENT_STATUS else "permanent"
