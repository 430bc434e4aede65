"""The rule: which tags a release is published under, and why. Pure.

The same history and templates give the same decisions, with no network and no engine.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from releasetag.errors import UsageError
from releasetag.template import Kind, Template
from releasetag.version import Release, Version, channel, highest

Action = Literal["push", "keep", "skip"]

# When two templates render alike, the more careful decision stands.
_CAREFUL: dict[Action, int] = {"keep": 0, "skip": 1, "push": 2}


@dataclass(frozen=True)
class PlannedTag:
    """One tag of a fan-out with its decision.

    Attributes:
        name: the tag; its template where it cannot be rendered for this release.
        template: the template that it comes from.
        kind: ``exact`` or ``floating``.
        action: ``push``; ``keep``: the tag exists for another version and stays there;
            ``skip``: it does not apply to this release.
        reason: why, for a person.
        held_by: the version that keeps the tag, if one does.
    """

    name: str
    template: Template
    kind: Kind
    action: Action
    reason: str
    held_by: Version | None = None


def fan_out(
    release: Release, history: Iterable[Release], templates: Sequence[Template]
) -> tuple[PlannedTag, ...]:
    """Decide for every template.

    Args:
        release: what is published.
        history: all releases that count (see `without`); it need not hold the release itself.
        templates: in the order in which the tags are to be listed.

    Raises:
        UsageError: a template gives a tag that is not possible.
    """
    known = list(history)
    tags: dict[str, PlannedTag] = {}
    for template in templates:
        tag = _decide(template, release, known)
        other = tags.get(tag.name)
        if other is None or _precedes(tag, other):
            tags[tag.name] = tag
    return tuple(tags.values())


def without(history: Iterable[Release], ignore: Collection[Version]) -> tuple[Release, ...]:
    """The releases that are not ignored: yanked ones do not count for anyone."""
    ignored = {str(version) for version in ignore}
    return tuple(release for release in history if str(release.version) not in ignored)


def highest_in_scope(
    template: Template, version: Version, history: Iterable[Release]
) -> Release | None:
    """The release that a floating tag names: the highest of those it chooses from, or None.

    A template with ``{channel}`` chooses from the prereleases, every other from stable releases.

    Args:
        template: a floating template.
        version: any version in the scope.
        history: all releases that count.
    """
    prereleases = "channel" in template.fields
    scope = template.scope(version)
    return highest(
        release
        for release in history
        if bool(release.version.prerelease) == prereleases
        and template.scope(release.version) == scope
    )


def applies(template: Template, version: Version) -> str:
    """Why a floating template has no tag for this version, for a person; empty if it has one."""
    if "channel" in template.fields:
        if not version.prerelease:
            return "a stable release has no channel"
        return "" if channel(version) else f"{version.prerelease} names no channel"
    if version.prerelease:
        return "a prerelease does not move it"
    if "major" in template.fields and "minor" not in template.fields and version.major == 0:
        return "0.x releases promise no compatibility"
    return ""


def _decide(template: Template, release: Release, history: list[Release]) -> PlannedTag:
    name = template.render(release)
    if template.kind == "exact":
        if name is None:
            raise UsageError(
                f"the tag template {template.text!r} gives no tag for {release.version}",
                "it needs a field that this version lacks: choose another template",
            )
        return PlannedTag(name, template, "exact", "push", "names this version")
    if why := applies(template, release.version):
        shown = template.text if name is None or "channel" in template.fields else name
        return PlannedTag(shown, template, "floating", "skip", why)
    if name is None:
        return PlannedTag(
            template.text, template, "floating", "skip", "this version lacks the field"
        )
    top = highest_in_scope(template, release.version, history)
    if top is not None and top.version > release.version:
        reason = f"stays at {top.version}, which is higher"
        return PlannedTag(name, template, "floating", "keep", reason, top.version)
    return PlannedTag(name, template, "floating", "push", _why_push(template, release.version))


def _why_push(template: Template, version: Version) -> str:
    if "channel" in template.fields:
        where = f" of channel {channel(version)}"
    elif {"major", "minor"} <= template.fields:
        where = f" of {version.major}.{version.minor}"
    elif "major" in template.fields:
        where = f" of {version.major}"
    else:
        where = ""
    kind = "prerelease" if version.prerelease else "stable release"
    return f"highest {kind}{where}"


def _precedes(tag: PlannedTag, other: PlannedTag) -> bool:
    """An exact tag is never treated as a floating one; else the careful decision stands."""
    if tag.kind != other.kind:
        return tag.kind == "exact"
    return _CAREFUL[tag.action] < _CAREFUL[other.action]
