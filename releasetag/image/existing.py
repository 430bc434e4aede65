"""An existing image, in the engine or a registry, or a container; or one of the same commit."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from releasetag.errors import AuthError, ConflictError, PushError, UsageError
from releasetag.git import WorkTree
from releasetag.image import parts
from releasetag.image.inputs import image_labels
from releasetag.image.source import ImageSource, MadeImage, Preflight
from releasetag.published import PublishedImage, inspect_image
from releasetag.reference import Reference, parse_reference
from releasetag.text import printable
from releasetag.version import commit_tags

if TYPE_CHECKING:
    from releasetag.engine.connect import Engine


@dataclass(frozen=True)
class ExistingImage(ImageSource):
    """The image of ``--from-image``: the engine's, else a registry's."""

    def check(self) -> Preflight:
        """Find the image."""
        found = self.connect("image")
        name = self.plan.settings.from_image or ""
        # The short form of an image ID is no reference.
        reference = None if name.startswith("sha256:") else parse_reference(name)
        if found.engine is not None:
            from releasetag.engine import images

            if image_id := images.find(found.engine, name):
                origin = self._all_platforms(found.engine, name, reference)
                return replace(found, image_id=image_id, origin=origin)
        manifest = self.tools.registries.manifest(reference) if reference else None
        if reference is None or manifest is None:
            places = "the registry" if found.engine is None else "the engine or in the registry"
            raise UsageError(
                f"there is no image {name!r} in {places}",
                "name one that `docker images` lists, or one that is published",
            )
        return replace(found, origin=reference.repository.at(manifest.digest))

    def _all_platforms(
        self, engine: "Engine", name: str, reference: Reference | None
    ) -> Reference | None:
        """Return the index of the engine's image; None if it is of no index.

        The engine lists the digests that it pulled an image by: one platform of the index. Some
        engines list one for an image that was only built, so that a registry which lacks it, or
        does not answer, is no error.
        """
        from releasetag.engine import images

        for known in images.repo_digests(engine, name):
            pulled = parse_reference(known)
            if reference is None or pulled.repository == reference.repository:
                try:
                    manifest = self.tools.registries.manifest(pulled)
                except AuthError:  # Docker Hub's answer for what does not exist
                    continue
                except PushError as error:
                    self.report.warn(f"publishing the engine's platform alone: {error.message}")
                    continue
                if manifest is not None and manifest.is_index:
                    return pulled
        return None

    def is_release(self, preflight: Preflight, image: PublishedImage) -> bool:
        """Whether a published image is the given one, whatever its labels say.

        By digest, or where the engine has the image by what its store takes for the image ID.
        """
        if preflight.origin is not None:
            return image.digest == preflight.origin.digest
        return preflight.image_id in image.digests

    def _make(self, preflight: Preflight) -> MadeImage:
        return MadeImage(preflight.image_id, preflight.origin)


@dataclass(frozen=True)
class CommittedContainer(ImageSource):
    """The container of ``--from-container``, as `docker commit` commits it."""

    tree: WorkTree

    def check(self) -> Preflight:
        """Connect to the engine."""
        return self.connect("container")

    def require_ready(self, preflight: Preflight) -> None:
        """Check that the container exists."""
        super().require_ready(preflight)
        from releasetag.engine import images

        images.require_container(preflight.require_engine(), self._name)

    def _make(self, preflight: Preflight) -> MadeImage:
        from releasetag.engine import images

        self.report.step(f"Committing the container {self._name}")
        labels = image_labels(self.tree, self.plan, self.tools.environ)
        return MadeImage(images.commit(preflight.require_engine(), self._name, labels))

    @property
    def _name(self) -> str:
        return self.plan.settings.from_container or ""


@dataclass(frozen=True)
class PublishedCommit(ImageSource):
    """What is published of the release's commit: a snapshot, or another version.

    The same images go under a new index, whose annotations say what the release is. All who ask for
    version and revision read those before labels, which stay what they were.
    """

    tree: WorkTree

    def check(self) -> Preflight:
        """Need no engine. What is published is looked for if the release is not."""
        return Preflight("version" if self.plan.settings.from_version else "snapshot")

    def require_ready(self, preflight: Preflight) -> None:
        """Check that there is such an image."""
        super().require_ready(preflight)
        self._find()

    def _make(self, preflight: Preflight) -> MadeImage:  # noqa: ARG002
        """Put the new index, by its digest, where the image is."""
        registries, found = self.tools.registries, self._find()
        self.report.step(f"Using {found}")
        manifest = registries.manifest(found)
        if manifest is None:
            raise PushError(f"{found} is gone", "see who deletes it, and run again")
        platform = registries.image_config(found.repository, manifest).platform
        if not manifest.is_index and "/" not in platform:
            raise UsageError(
                f"{found} does not say what platform it is for, and cannot be in an index",
                "build the release: omit --from-snapshot and --from-version",
            )
        labels = image_labels(self.tree, self.plan, self.tools.environ)
        index = parts.make_index([(platform, manifest)], {**manifest.annotations, **labels})
        origin = found.repository.at(index.digest)
        registries.put_manifest(origin, index)
        return MadeImage(origin=origin)

    def _find(self) -> Reference:
        """Find the image, by digest.

        Raises:
            UsageError: there is none.
            ConflictError: it is of another commit.
        """
        other = ""
        for tag in self._tags():
            image = inspect_image(self.tools.registries, tag, denied_is_absent=True)
            if image is None or image.problem:
                continue
            if image.revision == self.plan.subject.revision and self._is_wanted(image):
                return tag.repository.at(image.digest)
            other = other or f"{tag} is of commit {printable(image.revision, 12) or 'unknown'}"
        version, revision = self.plan.settings.from_version, self.plan.subject.revision[:12]
        if version is not None and other:
            raise ConflictError(
                f"{other}, and {self.plan.subject.version} is of {revision}",
                "publish the release without --from-version",
            )
        what = f"the version {version}" if version else f"a snapshot of {revision}"
        raise UsageError(
            f"{what} is not published in {', '.join(map(str, self.plan.repositories))}",
            f"{'publish it' if version else 'run releasetag snapshot'} first, or omit the option"
            " and build",
        )

    def _is_wanted(self, image: PublishedImage) -> bool:
        version = self.plan.settings.from_version
        return version is None or image.version(version.scheme) == version

    def _tags(self) -> list[Reference]:
        """Return the tags that the image may have, in every repository."""
        settings, revision = self.plan.settings, self.plan.subject.revision
        if settings.from_version is not None:
            names = settings.policy.exact_tags(settings.from_version, revision)
        else:
            names = [f"{tag}{each}" for tag in commit_tags(revision) for each in settings.suffixes]
        return [repository.tagged(name) for repository in self.plan.repositories for name in names]
