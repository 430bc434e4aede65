"""URLs of git remotes without the credentials in them. Pure.

Git takes what stands before the first ``/`` for the host, so a password with a ``/`` that is not
percent-encoded ends up in what looks like the path. Such a URL is never shown.
"""

import re
from urllib.parse import unquote

# Scheme, authority, path, and the query or fragment.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(.*)", re.DOTALL)
_SCP = re.compile(r"(?:[^@/\s]+@)?([A-Za-z0-9.-]+\.[A-Za-z0-9-]+):(?!//)/?(\S+)")
_HOST = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]*))?")
_WEB_SCHEMES = {"http", "https", "ssh", "git", "git+ssh", "ssh+git"}

_HELPER = re.compile(r"^[A-Za-z0-9-]+::")  # gitremote-helpers(7)

HIDDEN = (
    "git's message is not shown, as the remote's URL may hold a password that is not"
    " percent-encoded (/ is %2F, @ is %40)"
)


def web_url(url: str) -> str:
    """Return a remote's URL as a browser opens it; empty for a local one.

    ``git@github.com:acme/app.git`` and ``https://user:secret@github.com/acme/app.git`` are both
    ``https://github.com/acme/app``. Empty too where credentials may be part of the rest.
    """
    if scp := _SCP.fullmatch(url):
        host, path = scp[1], f"/{scp[2]}"
    else:
        parts = _URL.fullmatch(url)
        if parts is None or parts[1].lower() not in _WEB_SCHEMES or "@" in parts[4]:
            return ""
        valid = _HOST.fullmatch(parts[2].rpartition("@")[2])
        if valid is None:
            return ""
        # The port of ssh is none of the web's.
        port = f":{valid[2]}" if valid[2] and parts[1].lower().startswith("http") else ""
        host, path = f"{valid[1].lower()}{port}", parts[3]
    if "@" in path or not path.isprintable() or " " in path:
        return ""
    return f"https://{host}{path.rstrip('/').removesuffix('.git')}"


def without_credentials(message: str, url: str = "") -> str:
    """Remove the credentials of every URL in a message of git's.

    Args:
        url: of the remote that the message is about.
    """
    url = _HELPER.sub("", url)
    if _is_ambiguous(url):
        return HIDDEN
    if parts := _URL.fullmatch(url):
        userinfo, at, _ = parts[2].rpartition("@")
        for form in (userinfo, unquote(userinfo)):
            message = message.replace(f"{form}{at}", "") if at else message
    return re.sub(r"\S+", lambda word: _shown(word[0]), message)


def _is_ambiguous(url: str) -> bool:
    """Whether a part of the URL that looks like its path may be a password."""
    if parts := _URL.fullmatch(url):
        return parts[1].lower() != "file" and "@" in parts[3] + parts[4]
    before, _, after = url.partition(":")
    return "@" in after and not re.search(r"[/@\s]", before)


def _shown(word: str) -> str:
    """Return a word of a message as it may be shown. Takes linear time: it may be very long."""
    before, is_url, after = word.partition("://")
    if is_url:
        # Only what follows the scheme matters here, and a quote may stand before that.
        parts = _URL.fullmatch(f"{'file' if before.endswith('file') else 'x'}://{after}")
        if parts is None or _is_ambiguous(parts[0]):
            return f"{before}://…"
        return f"{before}://{parts[2].rpartition('@')[2]}{parts[3]}"
    user, at, host = word.rpartition("@")
    return host if at and ":" in user else word  # ssh's messages begin with user:password@host
