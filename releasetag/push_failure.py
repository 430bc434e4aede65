"""What kind of failure a registry's message means.

The engine reports a failed push as text, a registry as a status and text: both ask here. Pure.
"""

import re
from typing import Literal

Kind = Literal["auth", "immutable", "lasting", "passing"]
"""``auth``: credentials are missing, wrong or not enough. ``immutable``: the tag may not be
replaced. ``lasting``: it fails the next time as well. ``passing``: worth trying again."""

PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})

_FULL = "no space left"

# In order: the first that is found decides. A refusal to replace a tag comes before "denied", with
# which some registries introduce it; a full disk before the server error that carries it.
_WORDS: tuple[tuple[Kind, str], ...] = (
    # ECR: "… cannot be overwritten because the repository is immutable"; Harbor (412): "… due
    # to 'app:1.2' configured as immutable"; Docker Hub and Google: "… tag immutability …";
    # Alibaba: "The requested tag already exists and cannot be overwritten".
    ("immutable", r"immutab|cannot be overwrit|may not be overwrit"),
    ("lasting", rf"{_FULL}|name[ _]unknown|manifest[ _]unknown|blob[ _]unknown"),
    # Before "denied": a registry that counts pulls denies what is one too many.
    ("passing", r"too ?many ?requests|rate ?limit|slow ?down|throttl"),
    (
        "auth",
        r"unauthori[sz]ed|authentication required|authorization failed|denied|forbidden"
        r"|no basic auth credentials|insufficient[ _]scope|status(?: code)?:? 40[13]\b"
        r"|(?:incorrect|invalid|bad) (?:username|password|user ?name or password|credentials)",
    ),
    ("lasting", r"certificate|no such host|name or service not known|gave HTTP response"),
    (
        "passing",
        r"connection (?:refused|reset|aborted|timed out)|broken pipe|network is unreachable"
        r"|\bEOF\b|i/o timeout|TLS handshake timeout|timed? ?out|deadline exceeded"
        r"|server misbehaving|temporary failure|try again|closed network connection"
        r"|internal server error|bad gateway|service unavailable|blob upload unknown"
        r"|(?:status(?: code)?:?|HTTP) (?:408|429|50[0234])\b",
    ),
)


def kind_of(message: str, status: int = 0) -> Kind:
    """What kind of failure it is.

    Args:
        message: the registry's or the engine's words; unknown words mean ``lasting``.
        status: the HTTP status, if it is known (RFC 9110); 0 if not. It weighs more than words,
            but for a refusal to replace a tag, which registries send as 400, 403, 409 or 412, and
            for a full disk, of which they say 500.
    """
    found: Kind = next(
        (kind for kind, words in _WORDS if re.search(words, message, re.IGNORECASE)), "lasting"
    )
    if not status or found == "immutable" or _FULL in message.lower():
        return found
    if status in {401, 403}:
        return "auth"
    return "passing" if status in PASSING_STATUS else "lasting"
