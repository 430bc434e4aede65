"""The releases by lines, with the tags that name each and what is missing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from releasetag.config import Settings
from releasetag.fanout import floating_holders
from releasetag.reference import Repository
from releasetag.registry import Registries
from releasetag.verify import VerifiedRepository, verify_repositories
from releasetag.version import Release, Version

# What the exact tags of a variant are, if none of them is there.
_GONE = {"unpublished", "missing"}


@dataclass(frozen=True)
class ListedRelease:
    """A release of a line.

    Attributes:
        line: ``1.2``.
        status: of its exact tags: ``ok``, ``unpublished``, ``missing``, ``broken``, ``mismatch`` or
            ``differs``, as `releasetag verify` has them; ``ignored``: it was yanked; ``planned``:
            no repository was asked.
        tags: that name it; if no repository was asked, that are to name it.
        wrong: the floating tags that should name it and do not, each with its status.
    """

    release: Release
    line: str
    status: str
    tags: tuple[str, ...]
    wrong: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ReleaseTree:
    """The releases of a component as some repositories have them, the newest first.

    Attributes:
        repositories: they have the same; empty if none is known.
    """

    repositories: tuple[Repository, ...]
    releases: tuple[ListedRelease, ...]


def list_releases(
    registries: Registries, settings: Settings, releases: Iterable[Release]
) -> list[ReleaseTree]:
    """List the releases of a component as its repositories have them.

    Args:
        releases: all of them, yanked ones as well.

    Raises:
        UsageError: a floating tag could be the exact tag of a version.
        AuthError, PushError: a registry cannot be asked.
    """
    ordered = sorted(releases, key=lambda each: (each.version, each.git_tag), reverse=True)
    counted = settings.policy.counted(ordered)
    if not any(each.images for each in settings.each_variant()):
        return [ReleaseTree((), tuple(_planned(settings, ordered, counted)))]
    trees: dict[tuple[ListedRelease, ...], list[Repository]] = {}
    for verified in verify_repositories(registries, settings, counted):
        listed = tuple(_listed(settings, verified, each) for each in ordered)
        trees.setdefault(listed, []).append(verified.repository)
    return [ReleaseTree(tuple(found), listed) for listed, found in trees.items()]


def _planned(
    settings: Settings, ordered: Sequence[Release], counted: Sequence[Release]
) -> Iterable[ListedRelease]:
    floats: dict[Release, list[str]] = {}
    for variant in settings.each_variant():
        for name, release in floating_holders(variant.policy, counted).items():
            floats.setdefault(release, []).append(name)
    for release in ordered:
        if not settings.policy.counts(release.version):
            yield ListedRelease(release, _line(release.version), "ignored", ())
            continue
        exact = [name for each in settings.each_variant() for name in _exact(each, release)]
        names = (*exact, *floats.get(release, ()))
        yield ListedRelease(release, _line(release.version), "planned", names)


def _listed(settings: Settings, verified: VerifiedRepository, release: Release) -> ListedRelease:
    line, version = _line(release.version), str(release.version)
    if not settings.policy.counts(release.version):
        return ListedRelease(release, line, "ignored", ())
    variants = [each for each in settings.each_variant() if verified.repository in each.images]
    # Of exact tags, only those with which something is wrong are listed; of a variant that is not
    # there, the first one.
    problems = {tag.name: tag.status for tag in verified.tags}
    exact = [_exact(variant, release) for variant in variants]
    there = [name for names in exact if problems.get(names[0]) not in _GONE for name in names]
    found = [problems[name] for names in exact for name in names if name in problems]
    is_there = bool(there) or "missing" in found
    status = next((each for each in found if each != "unpublished"), "ok")
    own = {name for names in exact for name in names}
    floats = [tag for tag in verified.tags if tag.name not in own]
    named = [tag.name for tag in floats if tag.actual == version]
    wrong = tuple(
        (tag.name, tag.status) for tag in floats if tag.expected == version and tag.status != "ok"
    )
    if not is_there:
        return ListedRelease(release, line, "unpublished", ())
    return ListedRelease(release, line, status, (*there, *named), wrong)


def _exact(variant: Settings, release: Release) -> list[str]:
    """Return the exact tags of a release; its git tag if there can be none."""
    policy = variant.policy
    found = policy.exact_tags(release.version, release.revision, release.git_tag)
    return found or [release.git_tag]


def _line(version: Version) -> str:
    return ".".join(version.numbers[:2])
