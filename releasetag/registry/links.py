"""Read the addresses in a registry's response headers: Link and Location.

Source: RFC 8288 (Link); RFC 9110, section 10.2.2 (Location).
"""

import re

import httpx

_MAX_LENGTH = 8192  # the time to parse one grows with the square of its length

_LINK = re.compile(
    r"""<\s*([^>]*?)\s*>((?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)"""
)
_RELATIONS = re.compile(
    r"""(?:^|[;,\s])rel\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))""", re.IGNORECASE
)


class UnreadableLinkError(Exception):
    """A next page is announced, and not where it is."""


def next_path(response: httpx.Response) -> str:
    """Return path and query of the next page, whatever host it names; empty if there is none.

    Raises:
        UnreadableLinkError: there is one, and not where it is.
    """
    link = next_link(response.headers)
    if not link:
        return ""
    try:
        url = response.url.join(link)
    except httpx.InvalidURL as error:
        raise UnreadableLinkError from error
    # Two slashes would lead to another host.
    return "/" + url.raw_path.decode("ascii").lstrip("/")


def next_link(headers: httpx.Headers) -> str:
    """Return the address of the next page, percent-encoded; empty if there is none.

    Names of parameters and relations are case-insensitive.

    Raises:
        UnreadableLinkError: the header cannot be read.
    """
    text = header_text(headers, "Link")
    if len(text) > _MAX_LENGTH:
        raise UnreadableLinkError
    for address, parameters in _LINK.findall(text):
        if _is_next(parameters) and address:
            return str(address)
    if _is_next(text):
        raise UnreadableLinkError
    return ""


def header_text(headers: httpx.Headers, name: str) -> str:
    """Return a header's values with the bytes that are not printable ASCII percent-encoded.

    httpx would take them for UTF-8 or Latin-1, and encode them otherwise than the registry did.
    """
    values = [value for key, value in headers.raw if key.lower() == name.lower().encode()]
    text = b", ".join(values).decode("latin-1")
    return re.sub(r"[^ -~]", lambda byte: f"%{ord(byte[0]):02X}", text)


def _is_next(parameters: str) -> bool:
    relations = [quoted or plain for quoted, plain in _RELATIONS.findall(parameters)]
    return any("next" in relation.lower().split() for relation in relations)
