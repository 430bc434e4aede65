"""The names of a snapshot's tags, and which of them a release could have. Pure."""

import re
from collections.abc import Callable, Collection, Iterable

from releasetag.errors import UsageError
from releasetag.policy import TagPolicy
from releasetag.template import OPTIONAL_FIELDS, Template, parse_template
from releasetag.text import printable
from releasetag.version import Release

NIGHTLY = "nightly"
"""The tag of a schedule."""

# Of releases, whatever the templates are: nobody takes an image under such a tag for a branch's.
_LIKE_RELEASES = tuple(
    parse_template(f"{prefix}{text}")
    for text in ("{version}", "{major}.{minor}", "{major}", "latest")
    for prefix in ("", "v")
)
_OTHERS = re.compile(rf"{NIGHTLY}|pr-[0-9]+|sha-[0-9a-f]{{7,64}}(?:-.*)?")


def check_edge(edge: str) -> None:
    """Raise UsageError if the default branch's tag is that of another kind of snapshot."""
    if _OTHERS.fullmatch(edge):
        raise UsageError(
            f"the default branch would have the tag {edge!r}, which is that of another snapshot",
            "name another tag with --edge",
        )


def branch_tag(branch: str, edge: str, suffixes: Collection[str], policy: TagPolicy) -> str:
    """Return the tag of a branch that is not the default one.

    Args:
        edge: the tag of the default branch.
        suffixes: of all variants.

    Raises:
        UsageError: no tag is left of it, or the tag is one that something else has.
    """
    # As docker/metadata-action writes it.
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", branch).lstrip(".-")[:128]
    shown = printable(branch, 100)
    if not name:
        raise UsageError(
            f"the branch {shown!r} has no character that a tag can have",
            "rename the branch: a tag is letters, digits, '_', '.' and '-'",
        )
    if any(_OTHERS.fullmatch(base) or base == edge for base in map(name.removesuffix, suffixes)):
        raise UsageError(
            f"the branch {shown!r} would have the tag {name!r}, which is that of another snapshot",
            "rename the branch",
        )
    check_branch_tag(name, branch, policy)
    return name


def check_branch_tag(name: str, branch: str, policy: TagPolicy) -> None:
    """Check that the tag of a branch, or of a variant of it, cannot be that of a release.

    Raises:
        UsageError: it can.
    """
    for template in (*_LIKE_RELEASES, *_of_releases(policy)):
        if _may_render(template, name, policy):
            what = f"the branch {printable(branch, 100)!r}"
            raise _release_error(what, name, template, "rename the branch")


def check_own_name(name: str, policy: TagPolicy, history: Callable[[], Iterable[Release]]) -> None:
    """Check that a tag which is not a branch's name cannot be that of a release.

    A template with ``{channel}`` or its like may give any word: there the history decides.

    Args:
        history: returns the releases that count; asked if need be.

    Raises:
        UsageError: it can.
    """
    what, hint = "the snapshot", "name another tag with --edge, or write another template"
    for template in _LIKE_RELEASES:
        if _may_render(template, name, policy):
            raise _release_error(what, name, template, hint)
    for template in _of_releases(policy):
        if not _may_render(template, name, policy):
            continue
        if not template.fields & OPTIONAL_FIELDS:
            raise _release_error(what, name, template, hint)
        for release in history():
            tags = policy.floating_tags(release.version, release.revision)
            exact = policy.exact_tags(release.version, release.revision, release.git_tag)
            if name in tags or name in exact:
                raise _release_error(what, name, template, hint)


def pull_request_tag(number: str) -> str:
    """Return the tag of a pull request."""
    return f"pr-{number}"


def _may_render(template: Template, name: str, policy: TagPolicy) -> bool:
    """Whether a version of the component's scheme could have a tag, or one of SemVer's."""
    schemes = {policy.scheme, "semver"}
    return any(template.may_render(name, scheme, policy.prefix) for scheme in schemes)


def _of_releases(policy: TagPolicy) -> list[Template]:
    return [template for template in policy.templates if template.kind != "commit"]


def _release_error(what: str, name: str, template: Template, hint: str) -> UsageError:
    return UsageError(
        f"{what} would have the tag {name!r}, which a release could have (template"
        f" {template.text!r})",
        f"{hint}: a snapshot never has the tag of a release",
    )
