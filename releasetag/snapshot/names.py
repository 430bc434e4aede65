"""The names of a snapshot's tags, and which of them a release could have. Pure."""

import re
from collections.abc import Callable, Iterable

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
_OTHERS = re.compile(rf"{NIGHTLY}|pr-[0-9]+|sha-[0-9a-f]{{7,64}}")


def branch_tag(branch: str, edge: str, policy: TagPolicy) -> str:
    """Return the tag of a branch that is not the default one.

    Args:
        edge: the tag of the default branch.

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
    if name == edge or _OTHERS.fullmatch(name):
        raise UsageError(
            f"the branch {shown!r} would have the tag {name!r}, which is that of another snapshot",
            "rename the branch",
        )
    templates = (*_LIKE_RELEASES, *_of_releases(policy))
    if found := next((each for each in templates if each.may_render(name)), None):
        raise _release_error(f"the branch {shown!r}", name, found, "rename the branch")
    return name


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
        if template.may_render(name):
            raise _release_error(what, name, template, hint)
    for template in _of_releases(policy):
        if not template.may_render(name):
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


def commit_tags(revision: str) -> tuple[str, str]:
    """Return the tag of a commit, and the one where another commit begins with the same digits."""
    return f"sha-{revision[:7]}", f"sha-{revision}"


def _of_releases(policy: TagPolicy) -> list[Template]:
    return [template for template in policy.templates if template.kind != "commit"]


def _release_error(what: str, name: str, template: Template, hint: str) -> UsageError:
    return UsageError(
        f"{what} would have the tag {name!r}, which a release could have (template"
        f" {template.text!r})",
        f"{hint}: a snapshot never has the tag of a release",
    )
