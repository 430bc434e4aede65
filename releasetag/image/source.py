"""ImageSource: how a release's image is produced."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol

from releasetag import labels
from releasetag.credentials import CredentialStore
from releasetag.errors import EngineError
from releasetag.git import WorkTree
from releasetag.plan import Plan
from releasetag.published import PublishedImage
from releasetag.reference import Reference
from releasetag.registry import Registries

if TYPE_CHECKING:
    from releasetag.engine.connect import Engine
    from releasetag.events import BuildEvent, PushEvent


class EngineReport(Protocol):
    """Receives what the engine does as it happens."""

    def step(self, text: str, *, prints: bool = False) -> None:
        """A step begins; in one that `prints`, other programs write to standard error as well."""

    def building(self, event: "BuildEvent") -> None:
        """The engine builds; from several threads where it builds for several platforms."""

    def warn(self, text: str) -> None:
        """The publish goes on, and a person should know this."""

    def pushing(self, event: "PushEvent") -> None:
        """The engine pushes; from several threads."""


@dataclass(frozen=True)
class Tools:
    """What a publish works with, made by the caller.

    Attributes:
        connect: finds the engine; called once, when it is needed.
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
    """Open what the environment gives: its engine, its registries, and docker's credentials.

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

        with suppress(EngineError):  # there is none, or not one that answers
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


class ImageSource(ABC):
    """The image of one release: validated, produced once, pushed by the engine.

    A subclass produces it; what the engine does with an image that it has is here.

    Attributes:
        builder: what makes the image, as the JSON names it.
        engine_error: why there is no engine; it matters only if one is needed.
        origin: where the image is in a registry, when it is not the engine that has it.
        pushed: the references that making the image has pushed already.
    """

    builder: str

    def __init__(self, tree: WorkTree, plan: Plan, tools: Tools, report: EngineReport) -> None:
        self.tree = tree
        self.plan = plan
        self.tools = tools
        self.report = report
        self.engine_error: EngineError | None = None
        self.origin: Reference | None = None
        self.pushed: tuple[Reference, ...] = ()
        self._engine: Engine | None = None
        self._image_id = ""

    def check(self) -> None:
        """Validate that the image can be produced, without producing it.

        Raises:
            UsageError: it cannot; nothing was done.
        """
        try:
            self._engine = self.tools.connect()
        except EngineError as error:
            # A release that is published already needs no engine.
            self.engine_error = error

    def ready(self) -> None:
        """Validate what else `make` would fail on at once, without producing the image.

        Raises:
            EngineError: there is no engine.
            UsageError: what the image is to be made of is not there.
        """
        if self.engine_error is not None:
            raise self.engine_error

    def is_release(self, image: PublishedImage) -> bool:
        """Whether a published image is the one of this release."""
        return image.is_of(self.plan.release)

    def make(self) -> str:
        """Produce the image, and tag it in the engine with the exact tags.

        Returns:
            The engine's image ID; empty if the engine has no single image.

        Raises:
            EngineError: there is no engine.
            BuildError: the build failed.
        """
        self._image_id = self._make()
        for repository in self.plan.repositories:
            for tag in self.plan.exact:
                self.tag(repository.tagged(tag.name))
        return self._image_id

    @abstractmethod
    def _make(self) -> str:
        """Produce the image; return its ID as `make` does."""

    def tag(self, reference: Reference) -> None:
        """Tag the image in the engine, if this run has made it there."""
        if self._engine is not None and self._image_id:
            from releasetag.engine import images

            images.tag(self._engine, self._image_id, reference)

    def push(self, reference: Reference) -> str:
        """Push an exact tag by the engine; return the digest that the registry has."""
        from releasetag.engine import images

        credentials = self.tools.credentials.find(reference.repository.registry)
        return images.push(self.engine, reference, credentials, self.report.pushing)

    @property
    def engine(self) -> "Engine":
        """The engine; raises EngineError if there is none."""
        if self._engine is None:
            raise self.engine_error or EngineError("no Docker Engine", "start Docker")
        return self._engine

    def labels(self, in_dockerfile: frozenset[str] = frozenset()) -> dict[str, str]:
        """Return the labels of the release's image.

        Args:
            in_dockerfile: the keys that the Dockerfile sets itself.
        """
        plan = self.plan
        own = labels.release_labels(
            plan.release,
            self.tree.commit_time(plan.release.revision),
            self.tree.remote_url(plan.settings.remote),
            plan.repositories[0],
        )
        given = {key: value or "" for key, value in plan.settings.labels.items()}
        return labels.merge(own, given, in_dockerfile)


def builds(plan: Plan) -> bool:
    """Whether the image is built from the work tree."""
    return not (plan.settings.from_image or plan.settings.from_container)
