"""Put a manifest under a tag, and move floating tags, never down.

By manifest: the exact bytes go under another name. The digest cannot change, every platform is
kept, and no blob is moved.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from releasetag.config import Settings
from releasetag.errors import ConflictError, ReleasetagError
from releasetag.events import LayerPushed, PushEvent
from releasetag.fanout import higher_releases
from releasetag.parallel import map_parallel
from releasetag.policy import TagPolicy
from releasetag.published import PublishedImage, inspect_image, proven_version, release_by_digest
from releasetag.reference import Reference, Repository
from releasetag.registry import Manifest, Registries
from releasetag.version import Release, Version

Status = Literal["pushed", "unchanged", "kept", "failed"]


@dataclass(frozen=True)
class TagResult:
    """The outcome for one reference.

    Attributes:
        digest: what the reference names now; empty if that is not known.
        status: ``pushed``; ``unchanged``: it named this digest already; ``kept``: it names another
            image, see ``reason``; ``failed``: see ``error``.
        previous: what the reference named before it was moved, or names as it was kept: the
            version, or the digest of what is no release; empty if it named nothing, or the push of
            an engine or of buildx put it, which asks for nothing.
    """

    reference: Reference
    digest: str
    status: Status
    reason: str = ""
    error: str = ""
    previous: str = field(default="", compare=False)


@dataclass(frozen=True)
class Mover:
    """The image of a release that floating tags are moved to, and all that moving asks.

    Attributes:
        manifest: the image, which every repository has already.
        history: the releases that count.
        report: called with the outcome for every reference.
        warn: called with a sentence for a person.
        others: the settings of the component's other variants. A release is in place when their
            exact tags are, too.
    """

    registries: Registries
    repositories: Sequence[Repository]
    policy: TagPolicy
    release: Release
    manifest: Manifest
    history: Sequence[Release]
    report: Callable[[TagResult], None]
    warn: Callable[[str], None]
    jobs: int
    others: Sequence[Settings] = ()

    def move_all(self, names: Collection[str]) -> list[TagResult]:
        """Move floating tags, one after the other, each in all repositories concurrently.

        Raises:
            ReleasetagError: a registry refused; what was done has been reported.
        """

        def reported(reference: Reference) -> TagResult:
            return report_outcome(reference, lambda: move(self, reference), self.report)

        results = []
        for name in names:
            references = [repository.tagged(name) for repository in self.repositories]
            results += [result for _, result in map_parallel(reported, references, self.jobs)]
        return results


def copy_progress(
    reference: Reference, report: Callable[[PushEvent], None]
) -> Callable[[str, int, int], None]:
    """Return what reports a copy between registries as the push of a reference."""

    def progress(digest: str, current: int, total: int) -> None:
        layer = digest.partition(":")[2][:12]
        report(LayerPushed(str(reference), layer, "Copying", current, total))
        if current == total:
            report(LayerPushed(str(reference), layer, "Copied", 0, 0))

    return progress


def report_outcome(
    reference: Reference, do: Callable[[], TagResult], report: Callable[[TagResult], None]
) -> TagResult:
    """Do something to a reference, and report the outcome, a failure as well."""
    try:
        result = do()
    except ReleasetagError as error:
        report(TagResult(reference, "", "failed", error=error.message))
        raise
    report(result)
    return result


def put(
    registries: Registries, reference: Reference, manifest: Manifest, *, replace: bool
) -> TagResult:
    """Put a manifest under a tag.

    Args:
        replace: whether the tag may name another image now.

    Raises:
        ConflictError: it does, and may not.
    """
    digest = registries.digest(reference)
    if digest == manifest.digest:
        return TagResult(reference, manifest.digest, "unchanged")
    if digest is not None and not replace:
        raise ConflictError(
            f"{reference} was published meanwhile as {digest}, and this is {manifest.digest}",
            "see who publishes the same version, or replace it with --overwrite",
        )
    registries.put_manifest(reference, manifest)
    return TagResult(reference, manifest.digest, "pushed", previous=digest or "")


def move(mover: Mover, reference: Reference) -> TagResult:
    """Move a floating tag to the release's image, unless a higher version proves to hold it.

    A registry has no compare-and-swap: another release may move the tag between the look and the
    PUT. Whoever moves tags looks again when all is done (`releasetag.publish.converge`).
    """
    manifest, registries = mover.manifest, mover.registries
    digest = registries.digest(reference)
    if digest == manifest.digest:
        return TagResult(reference, digest, "unchanged")
    if digest is not None:
        require_floating(mover, reference, digest)
    image = _inspect(mover, reference, digest) if digest is not None else None
    if image is not None and (holder := _higher_version(mover, reference, image)):
        reason = f"names {holder}, which is higher and published"
        return TagResult(reference, image.digest, "kept", reason, previous=str(holder))
    registries.put_manifest(reference, manifest)
    previous = _version_text(mover, image) or digest or ""
    return TagResult(reference, manifest.digest, "pushed", previous=previous)


def require_floating(mover: Mover, reference: Reference, digest: str) -> None:
    """Check that a tag which is to move is not the exact tag of a version that git does not know.

    Under SemVer no floating tag has a name that one could have; 1.2 may be a version elsewhere.

    Args:
        digest: what the tag names.

    Raises:
        ConflictError: it is.
    """
    policy = mover.policy
    if not policy.may_be_exact(reference.tag):
        return
    image = inspect_image(mover.registries, reference.repository.at(digest))
    if image is None or not image.revision or (version := image.version(policy.scheme)) is None:
        return
    if reference.tag in policy.exact_tags(version, image.revision):
        raise ConflictError(
            f"{reference} is the exact tag of version {version}, and is to be a floating tag of"
            f" {mover.release.version}",
            "exact tags never move: choose another name for the floating tag",
        )


def higher_holder(mover: Mover, reference: Reference, digest: str) -> Version | None:
    """Return the version that a floating tag proves to name, if it is higher than the release.

    The second witness, whatever git says. A version counts if it is not yanked and one of its
    floating tags has this name: {major}{minor} is 111 for both 1.11 and 11.1. What cannot be read
    proves nothing.

    Args:
        digest: what the tag names.
    """
    image = _inspect(mover, reference, digest)
    return None if image is None else _higher_version(mover, reference, image)


def _inspect(mover: Mover, reference: Reference, digest: str) -> PublishedImage | None:
    """Inspect what a floating tag names; None, with a warning, if it cannot be used."""
    image = inspect_image(mover.registries, reference.repository.at(digest))
    if image is None or image.problem:
        problem = image.problem if image else "it is gone"
        mover.warn(f"{reference} names an image that cannot be used, and is replaced: {problem}")
        return None
    return image


def _higher_version(mover: Mover, reference: Reference, image: PublishedImage) -> Version | None:
    registries, policy, repository = mover.registries, mover.policy, reference.repository
    seen, own = image.version(policy.scheme), mover.release.version
    if (
        seen is not None
        and seen > own
        and policy.counts(seen)
        and reference.tag in policy.floating_tags(seen, image.revision)
        and proven_version(registries, repository, image, policy, mover.history) is not None
    ):
        return seen
    higher = higher_releases(reference.tag, own, mover.history, policy)
    known = release_by_digest(registries, repository, image.digest, higher, policy)
    return known.version if known else None


def _version_text(mover: Mover, image: PublishedImage | None) -> str:
    """Return the version that an image says it is, if git knows that release; else nothing.

    That asks no registry. The labels of a base image are of no release of this history.
    """
    if image is None or not any(image.is_of(release) for release in mover.history):
        return ""
    return image.version_text
