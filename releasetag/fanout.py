"""The rule: which tags a release is published under, and why. Pure.

The same history and policy give the same decisions, with no network and no engine.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from releasetag.errors import UsageError
from releasetag.policy import TagPolicy
from releasetag.template import Kind, Template
from releasetag.version import Release, Version, at_least, channel

Action = Literal["push", "keep", "skip"]

# When two templates render to the same tag, the more careful decision stands: an exact tag is never
# treated as another, and what names a commit never as a floating one.
_KINDS: tuple[Kind, ...] = ("exact", "commit", "floating")
_ACTIONS: tuple[Action, ...] = ("keep", "skip", "push")


@dataclass(frozen=True)
class PlannedTag:
    """One tag of a fan-out with its decision.

    Attributes:
        name: the tag; its template where it cannot be rendered for this release.
        template: the template that it comes from.
        kind: ``exact``, ``commit`` or ``floating``.
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
    release: Release, history: Iterable[Release], policy: TagPolicy
) -> tuple[PlannedTag, ...]:
    """Decide for every template of the policy.

    Args:
        release: what is published.
        history: all releases that count; it need not hold the release itself.

    Raises:
        UsageError: a template gives an impossible tag, a floating tag is or could be an exact tag,
            or the version is tagged at another commit as well.
    """
    others = at_least(history, release.version)
    _refuse_ambiguous(release, others)
    policy.check([release], history)
    floating = policy.floating_tags(release.version, release.revision)
    holders = _higher_holders(floating, release.version, others, policy)
    tags: dict[str, PlannedTag] = {}
    for template in policy.templates:
        tag = _decide(template, release, holders)
        other = tags.get(tag.name)
        if other is None or _rank(tag) < _rank(other):
            tags[tag.name] = tag
    return tuple(tags.values())


def floating_holders(policy: TagPolicy, releases: Iterable[Release]) -> dict[str, Release]:
    """Return the release that each floating tag names where these releases are published.

    A floating tag chooses from all versions whose floating tags have its name; the highest has it.
    """
    holders: dict[str, Release] = {}
    for release in _descending(releases):
        for name in policy.floating_tags(release.version, release.revision):
            holders.setdefault(name, release)
    return holders


def higher_releases(
    name: str, version: Version, releases: Iterable[Release], policy: TagPolicy
) -> list[Release]:
    """Return the releases above a version that a floating tag chooses from, the highest first."""
    return [
        release
        for release in _above(version, releases)
        if name in policy.floating_tags(release.version, release.revision)
    ]


def _higher_holders(
    names: Collection[str], version: Version, history: Iterable[Release], policy: TagPolicy
) -> dict[str, Release]:
    """Return the release that holds each of the tags, where one above the version does."""
    holders: dict[str, Release] = {}
    for release in _above(version, history):
        if len(holders) == len(names):
            break
        for name in policy.floating_tags(release.version, release.revision):
            if name in names:
                holders.setdefault(name, release)
    return holders


def _above(version: Version, releases: Iterable[Release]) -> list[Release]:
    return _descending(r for r in at_least(releases, version) if r.version > version)


def _descending(releases: Iterable[Release]) -> list[Release]:
    # A version behind two names has one order, so that it is always the same release that counts.
    return sorted(releases, key=lambda r: (r.version, r.git_tag), reverse=True)


def _decide(template: Template, release: Release, holders: dict[str, Release]) -> PlannedTag:
    kind, version = template.kind, release.version
    name = template.render(version, release.revision, release.git_tag)
    if why := template.skip_reason(version):
        shown = template.text if name is None or "channel" in template.fields else name
        return PlannedTag(shown, template, kind, "skip", why)
    if name is None:
        if kind == "exact":
            raise UsageError(
                f"the tag template {template.text!r} gives no tag for {version}",
                "it needs a field that this version lacks: choose another template",
            )
        return PlannedTag(template.text, template, kind, "skip", "this version lacks the field")
    if kind != "floating":
        names = "version" if kind == "exact" else "commit"
        return PlannedTag(name, template, kind, "push", f"names this {names}")
    if holder := holders.get(name):
        reason = f"stays at {holder.version}, which is higher"
        return PlannedTag(name, template, kind, "keep", reason, holder.version)
    return PlannedTag(name, template, kind, "push", _why_push(template, version))


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
    return f"highest {'release' if template.follows == 'any' else kind}{where}"


def _rank(tag: PlannedTag) -> tuple[int, int]:
    return _KINDS.index(tag.kind), _ACTIONS.index(tag.action)


def _refuse_ambiguous(release: Release, history: Iterable[Release]) -> None:
    for other in history:
        if other.version == release.version and other.revision != release.revision:
            raise UsageError(
                f"{release.version} is tagged twice, at different commits:"
                f" {release.git_tag} at {release.revision[:12]} and"
                f" {other.git_tag} at {other.revision[:12]}",
                "delete the wrong one, here and in the remote: git push --delete origin TAG",
            )
