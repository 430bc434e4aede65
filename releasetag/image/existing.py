"""An image that exists, in the engine or in a registry, and a container made into one."""

from releasetag.errors import AuthError, PushError, UsageError
from releasetag.image.source import ImageSource
from releasetag.published import PublishedImage
from releasetag.reference import Reference, parse_reference


class ExistingImage(ImageSource):
    """What ``--from-image`` names: the engine's image, else all platforms of a registry's."""

    builder = "image"

    def check(self) -> None:
        """Find the image."""
        super().check()
        name = self.plan.settings.from_image or ""
        # The short form of an image ID is no reference.
        reference = None if name.startswith("sha256:") else parse_reference(name)
        if self._engine is not None:
            from releasetag.engine import images

            if image_id := images.find(self._engine, name):
                self._image_id = image_id
                self.origin = self._all_platforms(name, reference)
                return
        manifest = self.tools.registries.manifest(reference) if reference else None
        if reference is None or manifest is None:
            places = "the registry" if self._engine is None else "the engine or in the registry"
            raise UsageError(
                f"there is no image {name!r} in {places}",
                "name one that `docker images` lists, or one that is published",
            )
        self.origin = reference.repository.at(manifest.digest)

    def _all_platforms(self, name: str, reference: Reference | None) -> Reference | None:
        """Return the index of which the engine has one platform; None if there is none.

        The engine lists the digests that it pulled an image by. Some engines list one for an image
        that was only built, so a registry that lacks it, or does not answer, is no error.
        """
        from releasetag.engine import images

        for known in images.repo_digests(self.engine, name):
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

    def is_release(self, image: PublishedImage) -> bool:
        """Whether a published image is the given one, whatever its labels say.

        By digest, or where the engine has the image by what its store takes for the image ID.
        """
        if self.origin is not None:
            return image.digest == self.origin.digest
        return self._image_id in image.digests

    def _make(self) -> str:
        return self._image_id  # the engine has it already


class CommittedContainer(ImageSource):
    """The container that ``--from-container`` names, as `docker commit` makes an image of it."""

    builder = "container"

    def ready(self) -> None:
        """See that there is such a container."""
        super().ready()
        from releasetag.engine import images

        images.require_container(self.engine, self.plan.settings.from_container or "")

    def _make(self) -> str:
        from releasetag.engine import images

        name = self.plan.settings.from_container or ""
        self.report.step(f"Committing the container {name}")
        return images.commit(self.engine, name, self.labels())
