"""An existing image, in the engine or a registry, or a container."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from releasetag.errors import AuthError, PushError, UsageError
from releasetag.git import WorkTree
from releasetag.image.inputs import image_labels
from releasetag.image.source import ImageSource, MadeImage, Preflight
from releasetag.published import PublishedImage
from releasetag.reference import Reference, parse_reference

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
