"""What a repository has under a name, and which release that is.

Asked by publish, promote and verify alike. An image says its version and revision in annotations or
labels; that alone proves nothing, as labels are inherited from base images.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from releasetag import labels
from releasetag.policy import TagPolicy
from releasetag.reference import Reference, Repository
from releasetag.registry import BrokenImageError, Registries
from releasetag.text import printable
from releasetag.version import Release, Scheme, Snapshot, Version, parse_version


@dataclass(frozen=True)
class PublishedImage:
    """An image, or an index of images, in a repository.

    Attributes:
        digest: of the manifest or index.
        version_label: the version that it says it is; empty if it does not say.
        revision: the commit that it says it was built from; empty if it does not say.
        digests: of the manifest or index, of the manifests in an index, and of the configuration.
            An engine's image ID is one of these.
        config_digest: of the configuration; empty if the image is broken.
        problem: why it cannot be used, for a person; empty if it can.
        missing: why one of its platforms cannot be used; empty if that is not known.
    """

    digest: str
    version_label: str = ""
    revision: str = ""
    digests: frozenset[str] = frozenset()
    config_digest: str = ""
    problem: str = ""
    missing: str = ""

    @property
    def version_text(self) -> str:
        """The version as it says it, printable; empty if it does not say."""
        return printable(self.version_label, 100)

    def version(self, scheme: Scheme) -> Version | None:
        """Return the version that it says it is; None if it does not say, or that is none."""
        # docker/metadata-action labels an image with the name of the git tag.
        return parse_version(self.version_label.removeprefix("v"), scheme)

    def is_of(self, subject: Release | Snapshot) -> bool:
        """Whether it says that it is this version, built from this revision.

        A snapshot's version is only a name, which another branch may have given to the commit.
        """
        if isinstance(subject, Snapshot):
            return self.revision == subject.revision
        said = self.version(subject.version.scheme), self.revision
        return said == (subject.version, subject.revision)


def inspect_image(
    registries: Registries, reference: Reference, *, denied_is_absent: bool = False
) -> PublishedImage | None:
    """Inspect what a reference names; None if it names nothing.

    Args:
        denied_is_absent: whether a repository that may not be read is one that is not there yet.

    Raises:
        AuthError, PushError: the registry cannot be asked; not if the image is broken.
    """
    try:
        manifest = registries.manifest(reference, denied_is_absent=denied_is_absent)
        if manifest is None:
            return None
        config = registries.image_config(reference.repository, manifest)
        children = manifest.children if manifest.is_index else ()
    except BrokenImageError as error:
        digest = reference.digest or registries.digest(reference)
        return PublishedImage(digest, problem=error.message) if digest else None
    # Annotations are of this image alone; labels may be its base image's.
    version = manifest.annotations.get(labels.VERSION) or config.labels.get(labels.VERSION, "")
    revision = manifest.annotations.get(labels.REVISION) or config.labels.get(labels.REVISION, "")
    return PublishedImage(
        manifest.digest,
        version,
        revision,
        frozenset({manifest.digest, config.digest, *(child.digest for child in children)}),
        config.digest,
        missing=config.missing,
    )


def platform_digests(registries: Registries, reference: Reference) -> dict[str, str]:
    """Return the digest of the manifest of each platform that a reference names.

    Raises:
        AuthError, PushError, BrokenImageError: see Registries.
    """
    manifest = registries.manifest(reference)
    if manifest is None:
        return {}
    if not manifest.is_index:
        platform = registries.image_config(reference.repository, manifest).platform
        return {_normal(platform): manifest.digest} if platform else {}
    return {
        _normal(f"{child.platform}/{child.variant}"): child.digest
        for child in manifest.children
        if child.platform and not child.is_attestation
    }


def _normal(platform: str) -> str:
    """Return a platform as people name it: ``linux/arm64`` is ``linux/arm64/v8``."""
    name = platform.rstrip("/")
    return printable(name.removesuffix("/v8") if name.endswith("/arm64/v8") else name, 100)


def proven_version(
    registries: Registries,
    repository: Repository,
    image: PublishedImage,
    policy: TagPolicy,
    history: Iterable[Release],
) -> Version | None:
    """Return the version that an image behind a floating tag proves to be, or None.

    It says that version, and the version's exact tag names the same digest; or the exact tag is
    gone, and the history has a release of that version and of the revision that the image says.
    """
    version = image.version(policy.scheme)
    if version is None:
        return None
    tags = [repository.tagged(name) for name in policy.exact_tags(version, image.revision)]
    digests = {registries.digest(tag) for tag in tags} - {None}
    if image.digest in digests:
        return version
    if not digests and any(image.is_of(release) for release in history):
        return version
    return None


def release_by_digest(
    registries: Registries,
    repository: Repository,
    digest: str,
    releases: Sequence[Release],
    policy: TagPolicy,
) -> Release | None:
    """Return the first of the releases whose exact tag names the digest, or None.

    Images that were pushed without labels, before this program was used, are known by nothing else.
    """
    for release in releases:
        for name in policy.exact_tags(release.version, release.revision, release.git_tag):
            if registries.digest(repository.tagged(name)) == digest:
                return release
    return None
