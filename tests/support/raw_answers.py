"""Publish, verify and promote, put together in this process over answers of the test's own.

The one place of these tests that knows how the program's parts are put together. No git and no
engine: a run takes some hundredths of a second.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import httpx

from releasetag.config import Settings
from releasetag.credentials import Credentials
from releasetag.errors import EngineError
from releasetag.history import GitTags
from releasetag.image import Tools, image_source
from releasetag.plan import plan_for
from releasetag.promote import plan_promotion, promote_release
from releasetag.publish.run import Run
from releasetag.publish.steps import publish
from releasetag.reference import Repository
from releasetag.registry import Registries
from releasetag.report.record import Record
from releasetag.template import parse_template
from releasetag.verify import verify_repositories
from releasetag.version import Release
from tests.support.credentials import StoreThatFinds
from tests.support.misbehaving import (
    PASSWORD,
    USERNAME,
    Answer,
    Clock,
    MisbehavingRegistry,
    Request,
)
from tests.support.promises import REVISION, VERSION

PATH, BUILDS = "acme/app", "acme/build"
KNOWN = ("1.9.0", "1.9.1", "2.0.0")
CREDENTIALS = Credentials(USERNAME, PASSWORD)

Change = Callable[[int, httpx.Request, Callable[[], httpx.Response]], httpx.Response]
"""Answers a request in place of its registry, which it may ask; the first argument counts them."""


class World:
    """Two registries with 1.9.0 and 2.0.0, and a third one with the image of 1.9.1.

    Args:
        registries: these three; whoever starts them gives them names.
        published: versions whose exact tag is there besides.
        knows: the versions that git knows.
        transport: the way to the registries, if it is not the network.
        indexes: versions that are published for several platforms.

    Attributes:
        digests: of the images, by version.
        before: as `tags`, before anything was done.
        clock: what the program waits on.
    """

    def __init__(
        self,
        registries: Sequence[MisbehavingRegistry],
        published: Sequence[str] = (),
        knows: Sequence[str] = KNOWN,
        transport: httpx.BaseTransport | None = None,
        indexes: Sequence[str] = ("2.0.0",),
    ) -> None:
        *self.targets, self.source = registries
        self.digests: dict[str, str] = {}
        self.clock = Clock()
        self._transport, self._indexes = transport, indexes
        commits = {f"v{version}": revision(version) for version in knows}
        self._git_tags = GitTags(commits, "remote", "", False, "auto", "origin")
        for target in self.targets:
            self._put(target, PATH, "1.9.0", "1.9.0", "1.9")
            self._put(target, PATH, "2.0.0", "2.0.0", "2.0", "latest")
            for version in published:
                self._put(target, PATH, version, version)
        self._put(self.source, BUILDS, "1.9.1", "1.9.1")
        self.before = self.tags()

    def _put(self, registry: MisbehavingRegistry, path: str, version: str, *tags: str) -> None:
        labels = {VERSION: version, REVISION: revision(version)}
        if version in self._indexes:
            self.digests[version] = registry.put_index(path, *tags, labels=labels)
        else:
            self.digests[version] = registry.put_image(path, *tags, labels=labels)

    def tags(self) -> list[dict[str, str]]:
        """Return what every tag names, by target."""
        return [dict(target.at(PATH).tags) for target in self.targets]

    def run(self, command: str) -> object:
        """Do what a command does: publish 1.9.1, verify, promote 1.9.1, or log in."""
        with Registries(
            lambda _: CREDENTIALS,
            {},
            sleep=self.clock.sleep,
            random=lambda: 0.0,
            clock=self.clock.now,
            transport=self._transport,
        ) as registries:
            do: Mapping[str, Callable[[Registries], object]] = {
                "publish": self._publish,
                "verify": lambda each: self._verify(each, deep=False),
                "verify_deep": lambda each: self._verify(each, deep=True),
                "promote": lambda each: self._promote(each, ("{major}.{minor}",)),
                "promote_down": lambda each: self._promote(each, ()),
                "login": lambda each: each.check(self.targets[0].address, CREDENTIALS),
            }
            return do[command](registries)

    @property
    def _release(self) -> Release:
        return next(r for r in self._git_tags.releases(None, "semver") if r.git_tag == "v1.9.1")

    def _settings(self, **more: Any) -> Settings:
        templates = ("{version}", "{major}.{minor}", "latest")
        return Settings(
            images=tuple(Repository(target.address, PATH) for target in self.targets),
            tags=tuple(map(parse_template, templates)),
            jobs=1,  # or the order of requests would be the threads'
            **more,
        )

    def _publish(self, registries: Registries) -> object:
        settings = self._settings(from_image=f"{self.source.address}/{BUILDS}:1.9.1")
        plan, record = plan_for(self._release, settings, self._git_tags), Record()
        tools = Tools(
            _no_engine, registries, StoreThatFinds(lambda _: CREDENTIALS), {}, self.clock.now
        )
        source = image_source(None, plan, tools, record)  # type: ignore[arg-type] # no work tree
        return publish(
            Run(
                plan,
                source,
                preflight=source.check(),
                gates=(),
                registries=registries,
                report=record,
                reread_git_tags=lambda: self._git_tags,
                run_gate=lambda *_: None,
                environ={},
                clock=self.clock.now,
            )
        )

    def _verify(self, registries: Registries, *, deep: bool) -> object:
        history = self._git_tags.releases(None, "semver")
        return verify_repositories(registries, self._settings(), history, deep=deep)

    def _promote(self, registries: Registries, picks: Sequence[str]) -> object:
        history, settings = self._git_tags.releases(None, "semver"), self._settings()
        warnings: list[str] = []
        plan = plan_promotion(
            registries, settings, self._release, history, warn=warnings.append, picks=picks
        )
        promote_release(
            registries,
            plan,
            lambda: history,
            report=lambda _: None,
            warn=warnings.append,
        )
        return plan


def revision(version: str) -> str:
    """Return the commit of a release."""
    return version.replace(".", "").rjust(40, "0")


def _no_engine() -> Any:
    raise EngineError("there is none", "the image is in a registry")


# In memory --------------------------------------------------------------------------------------


@dataclass
class Memory(httpx.BaseTransport):
    """Three registries in memory, and the way to them.

    Attributes:
        change: what becomes of every answer; None: nothing.
        seen: what was asked.
    """

    change: Change | None = None
    seen: list[str] = field(default_factory=list)
    registries: dict[str, MisbehavingRegistry] = field(init=False)

    def __post_init__(self) -> None:
        names = ("one.test", "two.test", "source.test")
        self.registries = {name: MisbehavingRegistry() for name in names}
        for name, registry in self.registries.items():
            registry.address, registry.scheme = name, "https"

    def world(
        self,
        published: Sequence[str] = (),
        knows: Sequence[str] = KNOWN,
        indexes: Sequence[str] = ("2.0.0",),
    ) -> World:
        """Return the world in which these are the registries."""
        return World(list(self.registries.values()), published, knows, self, indexes)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, or have it answered otherwise."""
        request.read()
        index = len(self.seen)
        self.seen.append(f"{request.method} {request.url.host} {request.url.path}")
        if self.change is None:
            return self._answer(request)
        return self.change(index, request, lambda: self._answer(request))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        registry = self.registries.get(request.url.host)
        if registry is None:
            raise httpx.ConnectError("Name or service not known", request=request)
        query: dict[str, str] = {}
        for name, value in parse_qsl(request.url.query.decode("latin-1"), keep_blank_values=True):
            query[name] = f"{query[name]} {value}" if name in query else value
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Request(request.method, request.url.path, query, headers, request.content)
        return _response(registry.answer(asked), is_head=request.method == "HEAD")


def _response(answer: Answer, *, is_head: bool) -> httpx.Response:
    """Turn an answer into httpx's, its bytes as they are."""
    return httpx.Response(
        answer.status,
        headers=[
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in answer.headers.items()
        ],
        stream=httpx.ByteStream(b"" if is_head else answer.body),
    )


# On sockets -------------------------------------------------------------------------------------


@contextmanager
def on_sockets(
    mangle: Callable[[int, bytes], bytes], published: Sequence[str] = ()
) -> Iterator[World]:
    """Start three registries on loopback.

    Args:
        mangle: changes the bytes of an answer of the targets'; the first argument counts them.
    """
    count = 0

    def counted(_request: Request, content: bytes) -> bytes:
        nonlocal count
        count += 1
        return mangle(count - 1, content)

    with ExitStack() as stack:
        registries = [stack.enter_context(MisbehavingRegistry()) for _ in range(3)]
        for registry in registries[:2]:
            registry.mangle = counted
        yield World(registries, published)
