"""Where the image of a release comes from: a build, an image that exists, or a container.

All that a publish knows of the engine is here.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from releasetag import labels
from releasetag.credentials import Credentials, find_credentials
from releasetag.errors import EngineError, UsageError
from releasetag.floating import Served
from releasetag.history import WorkTree, commit_time, origin_url
from releasetag.plan import Plan
from releasetag.reference import Reference, parse_reference
from releasetag.registry import Registries

if TYPE_CHECKING:
    from releasetag.engine.connect import Engine
    from releasetag.engine.context import BuildContext
    from releasetag.engine.events import BuildEvent, PushEvent
    from releasetag.engine.session import Secret


class EngineReport(Protocol):
    """Told what the engine does, as it happens."""

    def step(self, text: str) -> None:
        """A step begins; `text` says which, for a person."""

    def building(self, event: "BuildEvent") -> None:
        """The engine builds."""

    def pushing(self, event: "PushEvent") -> None:
        """The engine pushes; from several threads."""


@dataclass(frozen=True)
class Tools:
    """What a publish works with, made by the caller.

    Attributes:
        connect: finds the engine; called once, when it is needed.
        registries: the registries' client.
        find_credentials: who we are at a registry, for the engine.
        environ: the environment, for secrets, build arguments and gates.
        clock: seconds, only ever compared.
    """

    connect: "Callable[[], Engine]"
    registries: Registries
    find_credentials: Callable[[str], Credentials | None]
    environ: Mapping[str, str]
    clock: Callable[[], float]


@contextmanager
def open_tools(environ: Mapping[str, str]) -> "Iterator[Tools]":
    """The tools that the environment gives: its engine, and the credentials that docker has."""

    def connect() -> "Engine":
        from releasetag.engine.connect import connect

        return connect(environ)

    def find(registry: str) -> Credentials | None:
        return find_credentials(registry, environ)

    with Registries(find, environ) as registries:
        yield Tools(connect, registries, find, environ, time.monotonic)


class ImageSource:
    """The image of one release: checked first, made once, pushed by the engine.

    Attributes:
        engine_error: why there is no engine; it matters only if one is needed.
        origin: where the image is in a registry, when it comes from there and not from the engine.
    """

    def __init__(self, tree: WorkTree, plan: Plan, tools: Tools, report: EngineReport) -> None:
        self._tree = tree
        self._plan = plan
        self._tools = tools
        self._report = report
        self._context: BuildContext | None = None
        self._image_id = ""
        self.origin: Reference | None = None
        self.engine_error: EngineError | None = None
        self._engine: Engine | None = None

    @property
    def builder(self) -> str:
        """What makes the image: ``buildkit``, ``classic``, ``image`` or ``container``."""
        settings = self._plan.settings
        if settings.from_image:
            return "image"
        if settings.from_container:
            return "container"
        if settings.builder != "auto":
            return settings.builder
        return "buildkit" if self._engine is None or self._engine.has_buildkit else "classic"

    def check(self) -> None:
        """See that the image can be made, without making it.

        Raises:
            UsageError: no Dockerfile, no such image, no such secret.
        """
        if builds(self._plan):
            self._context = self._open_context()
            self._secrets()
        try:
            self._engine = self._tools.connect()
        except EngineError as error:
            # A release that is published already needs no engine.
            self.engine_error = error
        if name := self._plan.settings.from_image:
            self._find_image(name)

    def is_same(self, there: Served) -> bool:
        """Whether what a repository serves is the image that was given."""
        if not self._plan.settings.from_image:
            return False
        if self.origin is not None:
            return there.digest == self.origin.digest
        return self._image_id in {there.config_digest, *there.digests}

    def make(self) -> str:
        """Make the image and tag it in the engine with the exact tags.

        Returns:
            The engine's ID of the image.

        Raises:
            EngineError: there is no engine.
            BuildError: the build failed.
        """
        engine = self._need_engine()
        if name := self._plan.settings.from_container:
            from releasetag.engine import images

            self._report.step(f"Committing the container {name}")
            self._image_id = images.commit(engine, name, self._labels(frozenset()))
        elif builds(self._plan):
            self._image_id = self._build(engine)
        for repository in self._plan.repositories:
            for tag in self._plan.exact:
                self.tag(repository.tagged(tag.name))
        return self._image_id

    def tag(self, reference: Reference) -> None:
        """Tag the image in the engine, if this run has it there."""
        if self._engine is not None and self._image_id:
            from releasetag.engine import images

            images.tag(self._engine, self._image_id, reference)

    def push(self, reference: Reference) -> str:
        """Push one of the exact tags by the engine; gives the digest that the registry has."""
        from releasetag.engine import images

        credentials = self._tools.find_credentials(reference.repository.registry)
        return images.push(self._need_engine(), reference, credentials, self._report.pushing)

    def _need_engine(self) -> "Engine":
        if self._engine is None:
            raise self.engine_error or EngineError("no Docker Engine", "start Docker")
        return self._engine

    def _find_image(self, name: str) -> None:
        """The image in the engine, or in its registry, where all its platforms are."""
        reference = parse_reference(name) if not name.startswith("sha256:") else None
        if self._engine is not None:
            from releasetag.engine import images

            if found := images.inspect(self._engine, name):
                self._image_id = found.id
                return
        manifest = self._tools.registries.manifest(reference) if reference else None
        if reference is None or manifest is None:
            where = "its registry" if self._engine is None else "the engine nor in its registry"
            raise UsageError(
                f"there is no image {name} in {where}",
                "name one of `docker images`, or a published one",
            )
        self.origin = reference.repository.at(manifest.digest)

    # Building -------------------------------------------------------------------------------------

    def _open_context(self) -> "BuildContext":
        from releasetag.engine.context import open_context

        settings = self._plan.settings
        root = settings.context or settings.base
        file = settings.file
        if file is not None and not file.is_absolute():
            inside = root / file
            file = inside if inside.exists() else settings.base / file
        return open_context(root, file)

    def _build(self, engine: "Engine") -> str:
        from releasetag.engine.build import BuildOptions, build
        from releasetag.engine.dockerfile import own_labels
        from releasetag.engine.session import parse_ssh

        assert self._context is not None  # noqa: S101 (check() comes first)
        settings = self._plan.settings
        dockerfile = self._context.dockerfile.read_text("utf-8", "replace")
        time = commit_time(self._tree, self._plan.release.revision) or 0
        options = BuildOptions(
            target=settings.target,
            build_args=self._build_args(time),
            labels=self._labels(own_labels(dockerfile, settings.target)),
            platform=settings.platforms[0] if settings.platforms else None,
            cache_from=settings.cache_from,
            no_cache=settings.no_cache,
            pull=settings.pull,
            network=settings.network,
            add_hosts=settings.add_hosts,
            shm_size=settings.shm_size,
            inline_cache=settings.inline_cache,
            builder="buildkit" if self.builder == "buildkit" else "classic",
            secrets=tuple(self._secrets()),
            agents=tuple(parse_ssh(text, self._tools.environ) for text in settings.ssh),
        )
        self._report.step(f"Building {self._context.root} with {self.builder}")
        return build(
            engine,
            self._context,
            options,
            mtime=time,
            find_credentials=self._tools.find_credentials,
            progress=self._report.building,
        )

    def _secrets(self) -> "list[Secret]":
        texts = self._plan.settings.secrets
        if not texts:
            return []
        from releasetag.engine.session import parse_secret

        return [parse_secret(text, self._tools.environ) for text in texts]

    def _build_args(self, time: int) -> dict[str, str]:
        given = {
            name: self._tools.environ.get(name) if value is None else value
            for name, value in self._plan.settings.build_args.items()
        }
        # As `docker build` has it, a name that the environment lacks is not given at all.
        known = {name: value for name, value in given.items() if value is not None}
        return {"SOURCE_DATE_EPOCH": str(time), **known}

    def _labels(self, in_dockerfile: frozenset[str]) -> dict[str, str]:
        plan = self._plan
        own = labels.release_labels(
            plan.release,
            commit_time(self._tree, plan.release.revision),
            origin_url(self._tree, plan.settings.remote),
            plan.repositories[0],
        )
        given = {key: value or "" for key, value in plan.settings.labels.items()}
        return labels.merge(own, given, in_dockerfile)


def builds(plan: Plan) -> bool:
    """Whether the image is built from the work tree."""
    return not (plan.settings.from_image or plan.settings.from_container)
