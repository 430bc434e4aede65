"""Build the work tree on the engine, for one platform."""

import os
from typing import TYPE_CHECKING

from releasetag.image.source import ImageSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from releasetag.context.tree import BuildContext
    from releasetag.engine.build import BuildOptions
    from releasetag.engine.buildkit.secrets import Secret
    from releasetag.events import BuildEvent


class BuiltImage(ImageSource):
    """An image that the engine builds, with BuildKit where it has it."""

    _context: "BuildContext"

    @property
    def builder(self) -> str:  # type: ignore[override] # known once there is an engine
        """``buildkit`` or ``classic``."""
        wanted = self.plan.settings.builder
        if wanted != "auto":
            return wanted
        return "buildkit" if self._engine is None or self._engine.has_buildkit else "classic"

    def check(self) -> None:
        """Validate context, Dockerfile, secrets, SSH agents and builder."""
        from releasetag.engine.build import choose_builder

        self._context = self._open_context()
        self.options(None)
        super().check()
        if self._engine is not None:
            choose_builder(self._engine, self.options(None))

    def _make(self) -> str:
        self.report.step(f"Building {self._context.root} with {self.builder}", prints=True)
        platforms = self.plan.settings.platforms
        return self.build(platforms[0] if platforms else None, self.report.building)

    def build(self, platform: str | None, progress: "Callable[[BuildEvent], None]") -> str:
        """Build for a platform, None for the engine's own; return the image ID."""
        from releasetag.engine.build import build

        return build(
            self.engine,
            self._context,
            self.options(platform),
            mtime=self._commit_time,
            credentials=self.tools.credentials,
            progress=progress,
        )

    def options(self, platform: str | None) -> "BuildOptions":
        """Return the settings of a build, as the engine takes them."""
        from releasetag.engine.build import BuildOptions
        from releasetag.engine.buildkit.secrets import parse_ssh

        settings = self.plan.settings
        return BuildOptions(
            target=settings.target,
            build_args=self.build_args(),
            labels=self.labels(self.labels_in_dockerfile()),
            platform=platform,
            cache_from=settings.cache_from,
            # The classic builder's cache may hold the same steps for another platform: Podman's
            # does not look.
            no_cache=settings.no_cache or (platform is not None and self.builder == "classic"),
            pull=settings.pull,
            network=settings.network,
            add_hosts=settings.add_hosts,
            shm_size=settings.shm_size,
            inline_cache=settings.inline_cache,
            builder="buildkit" if self.builder == "buildkit" else "classic",
            secrets=tuple(self._secrets()),
            agents=tuple(parse_ssh(text, self.tools.environ) for text in settings.ssh),
        )

    def build_args(self) -> dict[str, str]:
        """Return the build arguments, and the commit's time for reproducible builds."""
        given = {
            name: self.tools.environ.get(name) if value is None else value
            for name, value in self.plan.settings.build_args.items()
        }
        # As `docker build` has it, a name that the environment lacks is not given at all.
        known = {name: value for name, value in given.items() if value is not None}
        return {"SOURCE_DATE_EPOCH": str(self._commit_time), **known}

    def labels_in_dockerfile(self) -> frozenset[str]:
        """Return the labels that the Dockerfile sets itself."""
        from releasetag.context.dockerfile import own_labels

        text = self._context.dockerfile.read_text("utf-8", "replace")
        return own_labels(text, self.plan.settings.target, self.build_args())

    @property
    def _commit_time(self) -> int:
        return self.tree.commit_time(self.plan.release.revision) or 0

    def _open_context(self) -> "BuildContext":
        from releasetag.context.tree import open_context

        settings = self.plan.settings
        root = settings.context or settings.base
        file = settings.file
        if file is not None and not file.is_absolute():
            inside = root / file
            there = os.path.exists(inside)  # noqa: PTH110 (which raises nothing)
            file = inside if there else settings.base / file
        return open_context(root, file)

    def _secrets(self) -> "list[Secret]":
        texts = self.plan.settings.secrets
        if not texts:
            return []
        from releasetag.engine.buildkit.secrets import parse_secret

        return [parse_secret(text, self.tools.environ) for text in texts]
