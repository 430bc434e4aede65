"""Compare the registries with the history, tag by tag. Needs no engine."""

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from releasetag.config import Settings
from releasetag.fanout import floating_holders
from releasetag.parallel import map_parallel
from releasetag.policy import TagPolicy
from releasetag.published import PublishedImage, inspect_image
from releasetag.reference import Repository
from releasetag.registry import Registries
from releasetag.text import printable
from releasetag.version import Release, Version, highest

VerifyStatus = Literal["ok", "drift", "missing", "unpublished", "broken", "mismatch", "differs"]


@dataclass(frozen=True)
class VerifiedTag:
    """One tag of a repository.

    Attributes:
        expected: the version that it should name, by the history.
        actual: the version that it does name; its digest if none is proven; None if it is not
            there.
        status: ``ok``; ``drift``: a floating tag names something else; ``missing``: it is not there
            though it should be; ``unpublished``: the image of a release was never pushed;
            ``broken``: what it names cannot be pulled whole; ``mismatch``: an exact tag's image
            says another version or revision; ``differs``: repositories name different digests.
        reason: what is wrong, for a person; empty if the status says it all.
        digest: that it names; None if it is not there.
    """

    name: str
    expected: str
    actual: str | None
    status: VerifyStatus
    reason: str = ""
    digest: str | None = None


@dataclass(frozen=True)
class VerifiedRepository:
    """One repository: its floating tags, then the exact tags with which something is wrong.

    Attributes:
        lacks_newest: whether the newest release, or the newest stable one, was never pushed.
    """

    repository: Repository
    tags: tuple[VerifiedTag, ...]
    lacks_newest: bool = False

    @property
    def wrong(self) -> tuple[VerifiedTag, ...]:
        """The tags that are not as they should be."""
        return tuple(tag for tag in self.tags if tag.status not in {"ok", "unpublished"})

    def has_drift(self, *, strict: bool = False) -> bool:
        """Whether anything is wrong; with ``strict``, an unpublished newest release is too."""
        return bool(self.wrong) or (strict and self.lacks_newest)

    def and_also(self, before: "VerifiedRepository") -> "VerifiedRepository":
        """Return the same with the tags of another variant before its own."""
        lacks_newest = self.lacks_newest or before.lacks_newest
        return VerifiedRepository(self.repository, (*before.tags, *self.tags), lacks_newest)


def verify_repositories(
    registries: Registries, settings: Settings, history: Sequence[Release], *, deep: bool = False
) -> tuple[VerifiedRepository, ...]:
    """Compare every repository with the history.

    Args:
        settings: of a component; the tags of its variants are verified together.
        history: the releases that count.
        deep: whether to look for every manifest and blob of every image, too.

    Raises:
        UsageError: a floating tag is or could be an exact tag; or there is no such variant.
        AuthError, PushError: a registry cannot be asked.
    """
    found: dict[Repository, VerifiedRepository] = {}
    for variant in settings.each_variant():
        for each in _verify_variant(registries, variant, history, deep=deep):
            other = found.get(each.repository)
            found[each.repository] = each.and_also(other) if other else each
    return tuple(found.values())


def _verify_variant(
    registries: Registries, settings: Settings, history: Sequence[Release], *, deep: bool
) -> tuple[VerifiedRepository, ...]:
    policy = settings.policy
    policy.check(history, history)

    def verify(repository: Repository) -> VerifiedRepository:
        return _Check(registries, repository, policy, history, deep, settings.jobs).run()

    done = [each for _, each in map_parallel(verify, settings.images, settings.jobs)]
    exact = policy.exact_owners(history)
    return tuple(_without_ok_exact(each, exact) for each in _mark_differences(done))


@dataclass(frozen=True)
class _Check:
    """The check of one repository."""

    registries: Registries
    repository: Repository
    policy: TagPolicy
    history: Sequence[Release]
    deep: bool
    jobs: int

    def run(self) -> VerifiedRepository:
        """Check floating and exact tags."""
        by_history = floating_holders(self.policy, self.history)
        exact_names = self.policy.exact_owners(self.history)
        names = [*exact_names, *by_history]
        there = self._listed(names)
        images = self._inspect(there)
        exact = {name: images[name] for name in exact_names if name in images}
        published = {exact_names[name].version for name in exact}
        published |= self._proven(
            [images[name] for name in by_history if name in images], published
        )
        present = [release for release in self.history if release.version in published]
        expected = floating_holders(self.policy, present)
        tags = [
            self._floating(name, release, by_history[name], images, exact)
            for name, release in _descending(expected)
        ]
        for release in sorted(self.history, key=lambda r: r.version, reverse=True):
            tags += self._exact(release, images, is_published=release.version in published)
        return VerifiedRepository(
            self.repository, tuple(tags), any(r.version not in published for r in self._newest())
        )

    def _listed(self, names: Sequence[str]) -> list[str]:
        """Return those of the tags that may be there, by what the registry lists."""
        found = self.registries.tags(self.repository)
        listed = found.names if found else frozenset()
        top = highest(self.history)
        if not listed and top is not None:
            # The repository may be new, or the registry list nothing.
            newest = self.policy.exact_tags(top.version, top.revision, top.git_tag)
            newest += self.policy.floating_tags(top.version, top.revision)
            tags = [self.repository.tagged(name) for name in newest]
            digests = map_parallel(self.registries.digest, tags, self.jobs)
            if not any(digest for _, digest in digests):
                return []
        return [name for name in names if not listed or name in listed]

    def _inspect(self, names: Sequence[str]) -> dict[str, PublishedImage]:
        """Inspect tags; what is not there is left out. No image is inspected twice."""
        tags = [self.repository.tagged(name) for name in dict.fromkeys(names)]
        digests = map_parallel(self.registries.digest, tags, self.jobs)
        found = {tag.tag: digest for tag, digest in digests if digest is not None}
        inspected = dict(map_parallel(self._image, dict.fromkeys(found.values()), self.jobs))
        images = {name: inspected[digest] for name, digest in found.items()}
        return {name: image for name, image in images.items() if image is not None}

    def _image(self, digest: str) -> PublishedImage | None:
        reference = self.repository.at(digest)
        image = inspect_image(self.registries, reference)
        if image is None or image.problem:
            return image
        if image.missing or not self.deep:
            return replace(image, problem=image.missing)
        manifest = self.registries.manifest(reference)
        if manifest is None:
            return None
        missing = self.registries.missing(self.repository, manifest)
        if not missing:
            return image
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        kind = "manifest" if missing[0].is_manifest else "blob"
        return replace(image, problem=f"the {kind} {missing[0].digest}{more} is gone")

    def _proven(
        self, images: Sequence[PublishedImage], published: Collection[Version]
    ) -> set[Version]:
        """Return the versions whose exact tag is gone, and that a floating tag proves to name."""
        gone = [release for release in self.history if release.version not in published]
        return {each.version for each in gone if any(image.is_of(each) for image in images)}

    def _floating(
        self,
        name: str,
        release: Release,
        highest: Release,
        images: Mapping[str, PublishedImage],
        exact: Mapping[str, PublishedImage],
    ) -> VerifiedTag:
        version, image = str(release.version), images.get(name)
        if image is None:
            if highest.version != release.version:
                # Published after a higher release was tagged: a publish leaves the tag to that one.
                return VerifiedTag(name, str(highest.version), None, "unpublished")
            return VerifiedTag(name, version, None, "missing")
        actual = self._actual(release, image, exact)
        if image.problem:
            return VerifiedTag(name, version, actual, "broken", image.problem, image.digest)
        status: VerifyStatus = "ok" if actual == version else "drift"
        return VerifiedTag(name, version, actual, status, digest=image.digest)

    def _actual(
        self, expected: Release, image: PublishedImage, exact: Mapping[str, PublishedImage]
    ) -> str:
        """Return the version that a floating tag names, by digest first and by label second."""
        own = self.policy.exact_tags(expected.version, expected.revision, expected.git_tag)
        named = [exact[name].digest for name in own if name in exact]
        if image.digest in named or (not named and image.is_of(expected)):
            return str(expected.version)
        said = image.version(self.policy.scheme)
        # By digest it is another image, so a label that says otherwise is wrong.
        if said is None or said == expected.version:
            return image.digest
        return str(said)

    def _exact(
        self, release: Release, images: Mapping[str, PublishedImage], *, is_published: bool
    ) -> list[VerifiedTag]:
        version = str(release.version)
        names = self.policy.exact_tags(release.version, release.revision, release.git_tag)
        there = [name for name in names if name in images]
        if not there:
            status: VerifyStatus = "missing" if is_published else "unpublished"
            reason = "the exact tag is gone, and a floating tag names its image"
            name = names[0] if names else release.git_tag
            return [VerifiedTag(name, version, None, status, reason if is_published else "")]
        return [self._exact_tag(name, release, images[name]) for name in there]

    def _exact_tag(self, name: str, release: Release, image: PublishedImage) -> VerifiedTag:
        version = str(release.version)
        actual, reason = image.version_text or version, ""
        status: VerifyStatus = "ok"
        same = [each for each in self.history if each.version == release.version]
        if image.problem:
            status, reason = "broken", image.problem
        elif image.version(self.policy.scheme) not in {None, release.version}:
            status, reason = "mismatch", f"its image says that it is version {image.version_text}"
        elif image.revision and image.revision not in {each.revision for each in same}:
            status = "mismatch"
            commit = printable(image.revision, 12)
            reason = f"its image says that it was built from commit {commit}, and"
            reason += f" {release.git_tag} is at {release.revision[:12]}"
        return VerifiedTag(name, version, actual, status, reason, image.digest)

    def _newest(self) -> list[Release]:
        stable = [release for release in self.history if not release.version.prerelease]
        tops = (highest(self.history), highest(stable))
        return [release for release in tops if release is not None]


def _mark_differences(verified: Sequence[VerifiedRepository]) -> list[VerifiedRepository]:
    """Mark tags that are right in each repository, and name different digests."""
    digests: dict[tuple[str, str], set[str]] = {}
    for repository in verified:
        for tag in repository.tags:
            if tag.status == "ok" and tag.digest:
                digests.setdefault((tag.name, tag.expected), set()).add(tag.digest)

    def mark(tag: VerifiedTag) -> VerifiedTag:
        if tag.status == "ok" and len(digests.get((tag.name, tag.expected), ())) > 1:
            reason = f"names {tag.digest} here, and another digest in another repository"
            return replace(tag, status="differs", reason=reason)
        return tag

    return [replace(each, tags=tuple(map(mark, each.tags))) for each in verified]


def _without_ok_exact(verified: VerifiedRepository, exact: Container[str]) -> VerifiedRepository:
    shown = [tag for tag in verified.tags if tag.status != "ok" or tag.name not in exact]
    return replace(verified, tags=tuple(shown))


def _descending(holders: Mapping[str, Release]) -> list[tuple[str, Release]]:
    return sorted(holders.items(), key=lambda pair: pair[1].version, reverse=True)
