"""What the registries serve against what the history says, tag by tag. Needs no engine."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from releasetag.config import Settings
from releasetag.fanout import applies
from releasetag.floating import exact_names, served
from releasetag.parallel import side_by_side
from releasetag.reference import Repository
from releasetag.registry import Registries
from releasetag.template import Template
from releasetag.version import Release, highest

VerifyStatus = Literal["ok", "drift", "missing", "unpublished"]


@dataclass(frozen=True)
class VerifiedTag:
    """One tag of a repository.

    Attributes:
        expected: the version that the history says it names.
        actual: the version that it does name, its digest if that cannot be told, None if it is
            not there.
        status: ``ok``; ``drift``: a floating tag names something else; ``missing``: a floating
            tag is not there though it should be; ``unpublished``: the image of a release was
            never pushed, so that its exact tag is not there, nor a floating tag that waits for it.
    """

    name: str
    expected: str
    actual: str | None
    status: VerifyStatus


@dataclass(frozen=True)
class VerifiedRepository:
    """All tags of one repository that the history speaks of: the floating ones come first."""

    repository: Repository
    tags: tuple[VerifiedTag, ...]

    @property
    def drifts(self) -> bool:
        """Whether a floating tag does not name what it should."""
        return any(tag.status in {"drift", "missing"} for tag in self.tags)


def verify_repositories(
    registries: Registries, settings: Settings, history: Sequence[Release]
) -> tuple[VerifiedRepository, ...]:
    """Compare every repository with the history.

    Args:
        history: the releases that count.

    Raises:
        AuthError, PushError: a registry cannot be asked.
    """

    def verify(repository: Repository) -> VerifiedRepository:
        return VerifiedRepository(
            repository, tuple(_verify(registries, repository, settings, history))
        )

    done = side_by_side(verify, settings.images, settings.jobs)
    return tuple(verified for _, verified in done)


def expected_names(
    templates: Iterable[Template], releases: Iterable[Release]
) -> dict[str, Release]:
    """The release that every floating tag names when only these releases are published."""
    candidates: dict[str, list[Release]] = {}
    known = list(releases)
    for template in templates:
        if template.kind == "exact":
            continue
        for release in known:
            if not applies(template, release.version) and (name := template.render(release)):
                candidates.setdefault(name, []).append(release)
    return {name: top for name, some in candidates.items() if (top := highest(some)) is not None}


def _verify(
    registries: Registries, repository: Repository, settings: Settings, history: Sequence[Release]
) -> Iterable[VerifiedTag]:
    names = frozenset(registries.tags(repository))
    published = [r for r in history if names.intersection(exact_names(settings.tags, r))]
    expected = expected_names(settings.tags, published)
    highest_expected = expected_names(settings.tags, history)
    for name, release in sorted(expected.items(), key=lambda pair: pair[1].version, reverse=True):
        version = str(release.version)
        actual = _actual(registries, repository, name, release, settings)
        top = highest_expected[name]
        if actual is None and top.version != release.version:
            # Published after a higher release was tagged: a publish leaves the tag to that one.
            yield VerifiedTag(name, str(top.version), None, "unpublished")
        elif actual is None:
            yield VerifiedTag(name, version, None, "missing")
        else:
            yield VerifiedTag(name, version, actual, "ok" if actual == version else "drift")
    there = {release.git_tag for release in published}
    for release in sorted(history, key=lambda r: r.version, reverse=True):
        if release.git_tag not in there:
            name = next(iter(exact_names(settings.tags, release)), release.git_tag)
            yield VerifiedTag(name, str(release.version), None, "unpublished")


def _actual(
    registries: Registries,
    repository: Repository,
    name: str,
    expected: Release,
    settings: Settings,
) -> str | None:
    """The version that a floating tag names, by digest first and by label second."""
    digest = registries.digest(repository.tagged(name))
    if digest is None:
        return None
    exact = exact_names(settings.tags, expected)
    if any(registries.digest(repository.tagged(each)) == digest for each in exact):
        return str(expected.version)
    there = served(registries, repository.at(digest))
    # By digest it is another image, so a label that says otherwise is wrong.
    said = str(there.version) if there and there.version else digest
    return digest if said == str(expected.version) else said
