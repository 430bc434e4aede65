"""Build the work tree on the engine for several platforms: an index.

The engine pushes nothing without a tag, and a name has an image of one platform there. So every
platform's image gets its own exact tag, ``1.2.3-linux-arm64``, and the index under the release's
tags refers to these images by digest; see `releasetag.image.parts`.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from releasetag.errors import BuildError
from releasetag.image import parts
from releasetag.image.engine_build import BuiltImage
from releasetag.image.source import MadeImage, PlatformImage, Preflight
from releasetag.parallel import map_parallel
from releasetag.reference import Reference, Repository
from releasetag.registry import Manifest
from releasetag.tagging import Status, TagResult

if TYPE_CHECKING:
    from releasetag.engine.connect import Engine
    from releasetag.events import BuildEvent


@dataclass(frozen=True)
class PlatformImages(BuiltImage):
    """An index of images that the engine builds, one for each platform."""

    def _make(self, preflight: Preflight) -> MadeImage:
        engine, part = preflight.engine, self.plan.settings.part
        found = parts.find_all(self.tools.registries, self.plan)
        here = [each.platform for each in found if part in {None, each.platform}]
        if here:
            roots = [self.inputs.on_platform(each).context.root for each in here]
            self.report_build(Path(os.path.commonpath(roots)), preflight.builder, here)
        numbers = _Numbers()

        def make(image: PlatformImage) -> PlatformImage:
            platform = image.platform
            if image.origin is not None or platform not in here:
                return image
            progress = numbers.of(platform, self.report.building)
            image_id = self.build(preflight, platform, progress)
            _check_platform(preflight.require_engine(), image_id, platform)
            return PlatformImage(platform, image_id)

        # In parallel: one build computes while another downloads. Not with the classic builder: a
        # base image's name has one platform at a time.
        jobs = self.plan.settings.jobs if preflight.builder == "buildkit" else 1
        images = tuple(image for _, image in map_parallel(make, found, jobs))
        # In the engine, the release's tags name the image that runs there.
        native = f"{engine.os}/{engine.arch}" if engine else ""
        image_id = next((each.image_id for each in images if each.platform == native), "")
        made = MadeImage(image_id, platforms=images)
        return self._push_part(preflight, made) if part else made

    def _push_part(self, preflight: Preflight, made: MadeImage) -> MadeImage:
        """Push what this run has made, and look for what others have."""
        images, results = [], []
        for image in made.platforms:
            origin = image.origin
            if image.platform == self.plan.settings.part:
                for repository in self.plan.repositories:
                    manifest = self._push_platform(preflight, made, repository, image)
                    origin = origin or repository.at(manifest.digest)
                    reference = parts.reference_of(self.plan, repository, image.platform)
                    status: Status = "pushed" if image.image_id else "unchanged"
                    results.append(TagResult(reference, manifest.digest, status))
            images.append(replace(image, origin=origin))
        made = replace(made, platforms=tuple(images))
        return parts.wait_for_others(self.tools.registries, self.plan, made, results)

    def push(self, preflight: Preflight, made: MadeImage, reference: Reference) -> str:
        """Push every platform's image, and put the index under the tag."""
        repository = reference.repository
        children = [
            (image.platform, self._push_platform(preflight, made, repository, image))
            for image in made.platforms
        ]
        index = parts.make_index(children, self.inputs.labels_of_index)
        return self.tools.registries.put_manifest(reference, index)

    def _push_platform(
        self, preflight: Preflight, made: MadeImage, repository: Repository, image: PlatformImage
    ) -> Manifest:
        registries = self.tools.registries
        reference = parts.reference_of(self.plan, repository, image.platform)
        if image.origin is not None:
            digest = image.origin.digest
            manifest = parts.put(registries, self.plan, image, repository, self.report.pushing)
        else:
            self.tag(preflight, image.image_id, reference)
            digest = super().push(preflight, made, reference)
            manifest = registries.settled_manifest(repository.at(digest))
        if manifest is None:
            raise parts.gone_error(reference, digest)
        return manifest


def _check_platform(engine: "Engine", image_id: str, platform: str) -> None:
    """Raise BuildError for an image of another platform."""
    from releasetag.engine import images

    built = images.platform_of(engine, image_id)
    if built.split("/") != platform.split("/")[:2]:
        raise BuildError(
            f"the engine built for {built} instead of {platform}",
            "build with BuildKit (--builder buildkit), or with buildx",
        )


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
