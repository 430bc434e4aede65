"""The tags of a repository.

Source: OCI Distribution 1.1, "Listing tags"; RFC 8288 (the Link header).
"""

import httpx

from releasetag.errors import PushError
from releasetag.reference import Repository, is_tag
from releasetag.registry.answers import NotFoundError
from releasetag.registry.auth import scope
from releasetag.registry.client import RegistryClient, Request
from releasetag.registry.image import parse_object

PAGE = 1000
"""Tags that one answer is asked for; registries may give fewer."""

PAGES = 1000
"""Answers that are read before the list is called endless."""

_PAGE_LIMIT = 4 * 1024 * 1024  # bytes of one answer


def list_tags(client: RegistryClient, repository: Repository) -> list[str]:
    """The tags, in the registry's order; none if it does not know the repository.

    Raises:
        AuthError, PushError: see RegistryClient.ask; also for a list without an end.
    """
    doing = f"list the tags of {repository}"
    scopes = (scope(repository.path, "pull"),)
    path = f"/v2/{repository.path}/tags/list?n={PAGE}"
    tags: dict[str, None] = {}  # a set that keeps its order
    seen: set[str] = set()
    while path and path not in seen:
        if len(seen) == PAGES:
            raise PushError(
                f"cannot {doing}: {client.name} gives more than {PAGES} pages of them",
                "remove tags that nobody uses",
            )
        seen.add(path)
        try:
            response = client.ask(Request("GET", path, doing, scopes, limit=_PAGE_LIMIT))
        except NotFoundError:
            break
        names = (parse_object(response.content) or {}).get("tags")
        if isinstance(names, list):
            tags.update((name, None) for name in names if isinstance(name, str) and is_tag(name))
        with client.errors(doing):
            path = _next(response)
    return list(tags)


def _next(response: httpx.Response) -> str:
    """Path and query of the next page, on this registry whatever host it names; or nothing."""
    link = response.links.get("next", {}).get("url")
    return response.url.join(link).raw_path.decode("ascii") if link else ""
