"""ImageSource: how the image of a release or of a snapshot is produced."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from releasetag.config import Settings
from releasetag.credentials import CredentialStore
from releasetag.errors import EngineError
from releasetag.published import PublishedImage
from releasetag.reference import Reference, Repository
from releasetag.registry import Registries
from releasetag.tagging import TagResult
from releasetag.version import Release, Snapshot

if TYPE_CHECKING:
    from releasetag.engine.connect import Engine
    from releasetag.events import BuildEvent, PushEvent


class NamedTag(Protocol):
    """A tag of a plan."""

    @property
    def name(self) -> str:
        """The tag itself."""


class ImagePlan(Protocol):
    """What an image is made for: the plan of a release, or of a snapshot."""

    @property
    def subject(self) -> Release | Snapshot:
        """What the image says that it is."""

    @property
    def tags(self) -> Sequence[NamedTag]:
        """All its tags."""

    @property
    def exact(self) -> Sequence[NamedTag]:
        """The tags that it is pushed under before any other."""

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """Those to publish to."""

    @property
    def references(self) -> tuple[Reference, ...]:
        """Every reference to push."""

    @property
    def images(self) -> "Sequence[ImagePlan]":
        """A plan for each image: of the variants, or this one."""

    @property
    def settings(self) -> Settings:
        """Of the component that it belongs to."""


class EngineReport(Protocol):
    """Receives the engine's progress."""

    def step(self, text: str, *, prints: bool = False) -> None:
        """Report the start of a step.

        Args:
            prints: whether other programs write to standard error in it.
        """

    def building(self, event: "BuildEvent") -> None:
        """Report a build's progress; several threads, if several platforms."""

    def warn(self, text: str) -> None:
        """Report a problem that does not stop the publish."""

    def pushing(self, event: "PushEvent") -> None:
        """Report a push's progress; from several threads."""


@dataclass(frozen=True)
class Tools:
    """The collaborators of a publish, made by the caller.

    Attributes:
        connect: connects to the engine; called when it is needed.
        registries: the registries' client.
        credentials: of registries, for the engine.
        environ: the environment, for secrets, build arguments and gates.
        clock: seconds, only ever compared.
    """

    connect: "Callable[[], Engine]"
    registries: Registries
    credentials: CredentialStore
    environ: Mapping[str, str]
    clock: Callable[[], float]


@contextmanager
def open_tools(
    environ: Mapping[str, str], insecure_registries: Collection[str] = ()
) -> "Iterator[Tools]":
    """Open the environment's engine, registries and credentials.

    Args:
        insecure_registries: besides those that the engine lists.
    """

    @cache
    def connect() -> "Engine":
        from releasetag.engine.connect import connect

        engine = connect(environ)
        opened.callback(engine.client.close)
        return engine

    def find_insecure() -> Collection[str]:
        from releasetag.engine import info

        with suppress(EngineError):  # none is found, or it does not answer
            return info.insecure_registries(connect())
        return ()

    credentials = CredentialStore(environ)
    with ExitStack() as opened:
        registries = opened.enter_context(
            Registries(
                credentials.find,
                environ,
                insecure=insecure_registries,
                find_insecure=find_insecure,
            )
        )
        yield Tools(connect, registries, credentials, environ, time.monotonic)


@dataclass(frozen=True)
class Preflight:
    """The result of the checks before the image is made.

    Attributes:
        builder: what makes the image, as the JSON names it.
        engine: None if none is found or needed.
        engine_error: why the image cannot be made; a published release needs no engine.
        image_id: of an existing image; empty if the engine does not have it.
        origin: of an existing image in a registry, by digest; None if in none that is known.
    """

    builder: str
    engine: "Engine | None" = None
    engine_error: EngineError | None = None
    image_id: str = ""
    origin: Reference | None = None

    def require_engine(self) -> "Engine":
        """Return the engine; raise EngineError without one."""
        if self.engine is None:
            raise self.engine_error or EngineError("no Docker Engine", "start Docker")
        return self.engine


@dataclass(frozen=True)
class PlatformImage:
    """The image of one platform, in the engine or a registry.

    Attributes:
        image_id: the engine's; empty if it is published.
        origin: where an unfinished run has published it; None if the engine has it.
    """

    platform: str
    image_id: str = ""
    origin: Reference | None = None


@dataclass(frozen=True)
class MadeImage:
    """The image that was made.

    Attributes:
        image_id: the engine's; empty if it has no single image.
        origin: where a registry has the image, by digest; None if the engine is to push it.
        pushed: the references that making it has pushed.
        platforms: the images of an index that is put when they have been pushed.
        missing: the platforms of the index that other runs have yet to push.
        parts: what became of the tag of the platform that this run was to make.
    """

    image_id: str = ""
    origin: Reference | None = None
    pushed: tuple[Reference, ...] = ()
    platforms: tuple[PlatformImage, ...] = ()
    missing: tuple[str, ...] = ()
    parts: tuple[TagResult, ...] = ()


@dataclass(frozen=True)
class ImageSource(ABC):
    """The source of one image: check it, make it once, push it.

    A subclass makes it; here the engine tags and pushes it.
    """

    plan: ImagePlan
    tools: Tools
    report: EngineReport

    @abstractmethod
    def check(self) -> Preflight:
        """Check that the image can be made, without making it.

        Raises:
            UsageError: it cannot.
        """

    def connect(self, builder: str) -> Preflight:
        """Connect to the engine; return the error if that fails."""
        try:
            return Preflight(builder, self.tools.connect())
        except EngineError as error:
            return Preflight(builder, engine_error=error)

    def report_build(self, directory: Path, builder: str, platforms: Sequence[str] = ()) -> None:
        """Report that the build of a directory starts."""
        variant, names = self.plan.settings.variant, ", ".join(platforms)
        what = f"{variant} from {directory}" if variant else str(directory)
        for_platforms = f" for {names}" if names else ""
        self.report.step(f"Building {what} with {builder}{for_platforms}", prints=True)

    def require_ready(self, preflight: Preflight) -> None:
        """Check what else `make` would fail on at once.

        Raises:
            EngineError: there is no engine.
            UsageError: the container does not exist.
        """
        if preflight.engine_error is not None:
            raise preflight.engine_error

    def is_release(self, preflight: Preflight, image: PublishedImage) -> bool:  # noqa: ARG002
        """Whether a published image is this one."""
        return image.is_of(self.plan.subject)

    def make(self, preflight: Preflight) -> MadeImage:
        """Make the image, and tag it in the engine with the exact tags.

        Raises:
            EngineError: there is no engine.
            BuildError: the build failed.
        """
        made = self._make(preflight)
        for repository in self.plan.repositories:
            for tag in self.plan.exact:
                self.tag(preflight, made.image_id, repository.tagged(tag.name))
        return made

    @abstractmethod
    def _make(self, preflight: Preflight) -> MadeImage: ...

    def tag(self, preflight: Preflight, image_id: str, reference: Reference) -> None:
        """Tag an image in the engine; do nothing without engine or image ID."""
        if preflight.engine is not None and image_id:
            from releasetag.engine import images

            images.tag(preflight.engine, image_id, reference)

    def push(self, preflight: Preflight, made: MadeImage, reference: Reference) -> str:  # noqa: ARG002
        """Push an exact tag by the engine; return its digest in the registry."""
        from releasetag.engine import images

        credentials = self.tools.credentials.find(reference.repository.registry)
        engine = preflight.require_engine()
        return images.push(engine, reference, credentials, self.report.pushing)


def tag_in_engine(
    source: ImageSource,
    preflight: Preflight,
    image_id: str,
    references: Sequence[Reference],
    warn: Callable[[str], None],
) -> None:
    """Tag in the engine what the registries have; a failure is a warning: they are what counts."""
    try:
        for reference in references:
            source.tag(preflight, image_id, reference)
    except EngineError as error:
        warn(f"the engine does not have the floating tags: {error.message}")


def builds(plan: ImagePlan) -> bool:
    """Whether the image is built from the work tree."""
    settings = plan.settings
    return not (settings.from_image or settings.from_container or reuses_commit(plan))


def reuses_commit(plan: ImagePlan) -> bool:
    """Whether the image is one that is published of the same commit already."""
    return plan.settings.from_snapshot or plan.settings.from_version is not None
