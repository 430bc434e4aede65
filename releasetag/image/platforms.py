"""Build the work tree on the engine for several platforms: an index.

The engine pushes nothing without a tag, and a name has an image of one platform there. So every
platform's image gets its own exact tag, ``1.2.3-linux-arm64``, and the index under the release's
tags refers to these images by digest.

Source: OCI Image Format Specification 1.1, image-index.md.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from releasetag.errors import BuildError, ConflictError
from releasetag.image.engine_build import BuiltImage
from releasetag.image.source import MadeImage, PlatformImage, Preflight
from releasetag.parallel import map_parallel
from releasetag.published import inspect_image
from releasetag.reference import Reference, Repository
from releasetag.registry import Manifest

if TYPE_CHECKING:
    from releasetag.engine.connect import Engine
    from releasetag.events import BuildEvent

_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class PlatformImages(BuiltImage):
    """An index of images that the engine builds, one for each platform."""

    def _make(self, preflight: Preflight) -> MadeImage:
        engine = preflight.engine
        platforms = self.inputs.settings.platforms
        self.report_build(self.inputs.context.root, preflight.builder, platforms)
        numbers = _Numbers()

        def make(platform: str) -> PlatformImage:
            origin = self._published(platform)
            if origin is not None:
                return PlatformImage(platform, origin=origin)
            progress = numbers.of(platform, self.report.building)
            image_id = self.build(preflight, platform, progress)
            _check_platform(preflight.require_engine(), image_id, platform)
            return PlatformImage(platform, image_id)

        # In parallel: one build computes while another downloads. Not with the classic builder: a
        # base image's name has one platform at a time.
        jobs = self.plan.settings.jobs if preflight.builder == "buildkit" else 1
        images = tuple(image for _, image in map_parallel(make, platforms, jobs))
        # In the engine, the release's tags name the image that runs there.
        native = f"{engine.os}/{engine.arch}" if engine else ""
        image_id = next((each.image_id for each in images if each.platform == native), "")
        return MadeImage(image_id, platforms=images)

    def push(self, preflight: Preflight, made: MadeImage, reference: Reference) -> str:
        """Push every platform's image, and put the index under the tag."""
        repository = reference.repository
        children = [
            (image.platform, self._push_platform(preflight, made, repository, image))
            for image in made.platforms
        ]
        index = make_index(children, self.inputs.labels)
        return self.tools.registries.put_manifest(reference, index)

    def _push_platform(
        self, preflight: Preflight, made: MadeImage, repository: Repository, image: PlatformImage
    ) -> Manifest:
        registries = self.tools.registries
        reference = repository.tagged(self._tag_name(image.platform))
        if image.origin is not None:
            registries.copy(image.origin, repository)
            digest = image.origin.digest
            manifest = registries.settled_manifest(repository.at(digest))
            if manifest is not None and registries.digest(reference) != digest:
                registries.put_manifest(reference, manifest)
        else:
            self.tag(preflight, image.image_id, reference)
            digest = super().push(preflight, made, reference)
            manifest = registries.settled_manifest(repository.at(digest))
        if manifest is None:
            raise ConflictError(
                f"{reference} was pushed as {digest} and is not there",
                "somebody else deletes images there: see who, then run again",
            )
        return manifest

    def _published(self, platform: str) -> Reference | None:
        """Find this platform's image, pushed by an earlier run of the commit.

        Raises:
            ConflictError: its tag is published from another commit.
        """
        if self.plan.settings.overwrite or not self.plan.settings.push:
            return None
        for repository in self.plan.repositories:
            reference = repository.tagged(self._tag_name(platform))
            image = inspect_image(self.tools.registries, reference, denied_is_absent=True)
            if image is None:
                continue
            if image.is_of(self.plan.release):
                return repository.at(image.digest)
            raise ConflictError(
                f"{reference} is published already, from another commit or version",
                "publish a new version, or replace this one with --overwrite",
            )
        return None

    def _tag_name(self, platform: str) -> str:
        return f"{self.plan.exact[0].name}-{platform.replace('/', '-')}"


def _check_platform(engine: "Engine", image_id: str, platform: str) -> None:
    """Raise BuildError for an image of another platform."""
    from releasetag.engine import images

    built = images.platform_of(engine, image_id)
    if built.split("/") != platform.split("/")[:2]:
        raise BuildError(
            f"the engine built for {built} instead of {platform}",
            "build with BuildKit (--builder buildkit), or with buildx",
        )


def make_index(children: list[tuple[str, Manifest]], annotations: Mapping[str, str]) -> Manifest:
    """Make an index; the same images in the same order are the same bytes.

    Args:
        children: the platform (``linux/arm64``, ``linux/arm/v7``) and the manifest of each.
        annotations: of the index.
    """
    descriptors = []
    for platform, manifest in children:
        parts = platform.split("/")
        named = dict(
            zip(("architecture", "os", "variant"), (parts[1], parts[0], *parts[2:]), strict=False)
        )
        descriptors.append(
            {
                "mediaType": manifest.media_type,
                "digest": manifest.digest,
                "size": len(manifest.content),
                "platform": named,
            }
        )
    index = {
        "schemaVersion": 2,
        "mediaType": _INDEX,
        "manifests": descriptors,
        "annotations": dict(sorted(annotations.items())),
    }
    return Manifest(_INDEX, json.dumps(index, separators=(",", ":")).encode())


class _Numbers:
    """Number the steps of concurrent builds, and prefix their platform."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[tuple[str, int], int] = {}

    def of(
        self, platform: str, progress: "Callable[[BuildEvent], None]"
    ) -> "Callable[[BuildEvent], None]":
        """Return the progress callback of a platform's build."""
        from releasetag.events import StepStarted

        def report(event: "BuildEvent") -> None:
            with self._lock:
                key = (platform, event.number)
                number = self._numbers.setdefault(key, len(self._numbers) + 1)
            if isinstance(event, StepStarted):
                inside = event.name.removeprefix("[")
                bracket = "" if inside == event.name else inside
                name = f"[{platform} {bracket}" if bracket else f"[{platform}] {event.name}"
                progress(replace(event, number=number, name=name))
            else:
                progress(replace(event, number=number))

        return report
