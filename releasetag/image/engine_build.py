"""Build the work tree on the engine, for one platform."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from releasetag.build_inputs import BuildInputs
from releasetag.image.source import ImageSource, MadeImage, Preflight

if TYPE_CHECKING:
    from collections.abc import Callable

    from releasetag.engine.build import Builder
    from releasetag.events import BuildEvent


@dataclass(frozen=True)
class BuiltImage(ImageSource):
    """An image that the engine builds, with BuildKit where it has it."""

    inputs: BuildInputs

    def check(self) -> Preflight:
        """Connect to the engine, and choose its builder."""
        from releasetag.engine.build import choose_builder

        wanted = self.plan.settings.builder
        found = self.connect("buildkit" if wanted == "auto" else wanted)
        if found.engine is None:
            return found
        return replace(found, builder=choose_builder(found.engine, wanted, self.inputs))

    def _make(self, preflight: Preflight) -> MadeImage:
        builder = preflight.builder
        self.report_build(self.inputs.context.root, builder)
        platforms = self.inputs.settings.platforms
        platform = platforms[0] if platforms else None
        return MadeImage(self.build(preflight, platform, self.report.building))

    def build(
        self,
        preflight: Preflight,
        platform: str | None,
        progress: "Callable[[BuildEvent], None]",
    ) -> str:
        """Build for a platform, None for the engine's own; return the image ID."""
        from releasetag.engine.build import build

        builder: Builder = "buildkit" if preflight.builder == "buildkit" else "classic"
        return build(
            preflight.require_engine(),
            self.inputs.on_platform(platform),
            builder=builder,
            platform=platform,
            credentials=self.tools.credentials,
            progress=progress,
        )
