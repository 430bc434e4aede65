"""List the tags of a repository.

Source: OCI Distribution 1.1, "Listing tags"; RFC 8288 (the Link header).
"""

from dataclasses import dataclass

import httpx

from releasetag.errors import AuthError
from releasetag.reference import Repository, is_tag
from releasetag.registry.challenge import read_scope
from releasetag.registry.client import RegistryClient, Request
from releasetag.registry.errors import NotFoundError, RefusedError, TooLargeError
from releasetag.registry.image import parse_object
from releasetag.registry.links import UnreadableLinkError, next_path

PAGE = 1000
"""Tags that one response is asked for; registries may return fewer."""

PAGES = 1000
"""Responses that are read before the list is called endless."""

_PAGE_LIMIT = 4 * 1024 * 1024  # bytes of one response


@dataclass(frozen=True)
class TagList:
    """The tags that a registry lists of a repository.

    Attributes:
        is_known: whether the registry knows the repository. If not, no tag is there; a list
            without tags of one that it knows proves nothing.
    """

    names: frozenset[str]
    is_known: bool = True


def list_tags(client: RegistryClient, repository: Repository) -> TagList | None:
    """List the tags; None if the list cannot be had, or not all of it.

    Not every registry lists tags, or lets everybody list them.

    Raises:
        PushError: see RegistryClient.send; not if the registry refuses.
    """
    path = f"/v2/{repository.path}/tags/list?n={PAGE}"
    tags: set[str] = set()
    seen: set[str] = set()
    while path:
        if path in seen or len(seen) == PAGES:
            return None  # without end
        try:
            response = client.send(
                Request(
                    "GET",
                    path,
                    f"list the tags of {repository}",
                    (read_scope(repository.path),),
                    limit=_PAGE_LIMIT,
                )
            )
            seen.add(path)
            path = next_path(response)
        except NotFoundError as error:
            is_unknown = error.repository_unknown and not tags
            return TagList(frozenset(), is_known=False) if is_unknown else None
        except (AuthError, RefusedError, TooLargeError, UnreadableLinkError):
            return None  # wrong credentials are an error of whatever is read next
        names = _names(response)
        if names is None:
            return None
        tags.update(names)
    return TagList(frozenset(tags))


def _names(response: httpx.Response) -> list[str] | None:
    """Return the tags in a response; None if it is no list of tags."""
    page = parse_object(response.content) or {}
    names = page.get("tags", [] if "name" in page else "")
    if names is None:  # docker-registry's, of a repository whose tags were deleted
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return [name for name in names if is_tag(name)]
