"""Registries, a git remote and an engine in memory, and runners that go on request by request.

These are fakes: with them a publish takes a few hundredths of a second, and the requests of several
come in any order that a test wants. The real ones are in the tests beside.
"""

import hashlib
import itertools
import json
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from releasetag.config import Settings
from releasetag.errors import GateError, ReleasetagError
from releasetag.history import GitTags
from releasetag.image import ImagePlan, MadeImage, Preflight
from releasetag.plan import Plan, plan_for
from releasetag.publish.run import Provenance, Run
from releasetag.publish.steps import publish
from releasetag.published import PublishedImage
from releasetag.reference import Reference, Repository
from releasetag.registry import Registries
from releasetag.report.record import Record
from releasetag.tagging import TagResult
from releasetag.template import parse_template, with_suffix
from releasetag.version import Releases, Scheme, parse_version
from tests.support.promises import REVISION, VERSION
from tests.support.registry import IMAGE_INDEX, IMAGE_MANIFEST

TEMPLATES = ("{version}", "{major}.{minor}", "{major}", "latest", "{channel}")
HOSTS = ("one.test", "two.test")
PATH = "acme/app"
EXACT = re.compile(r"\d+\.\d+\.\d+.*")
PREFLIGHT = Preflight("fake")
_CONFIG = "application/vnd.oci.image.config.v1+json"
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"


class Crash(BaseException):
    """The end of a runner, at a request that does not arrive any more."""


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def image_manifest(config: bytes, annotations: Mapping[str, str] | None = None) -> bytes:
    """The manifest of an image that has a configuration and no layer."""
    descriptor = {"mediaType": _CONFIG, "digest": digest_of(config), "size": len(config)}
    manifest = {"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": descriptor, "layers": []}
    return json.dumps({**manifest, "annotations": {**(annotations or {})}}).encode()


@dataclass
class FakeRegistry:
    """One repository of a registry: what OCI Distribution 1.1 says of it, and no more.

    Attributes:
        refuse: the status that a request is answered with, by method and path behind the
            repository (``manifests/latest``); 0: as a registry does.
    """

    content: dict[str, bytes] = field(default_factory=dict)
    manifests: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)
    media_types: dict[str, str] = field(default_factory=dict)
    lists_tags: bool = True
    lists_nothing: bool = False
    refuse: Callable[[str, str], int] = lambda *_: 0

    def answer(self, method: str, url: httpx.URL, body: bytes) -> httpx.Response:
        """What a registry answers."""
        path = url.path.removeprefix(f"/v2/{PATH}/")
        if status := self.refuse(method, path):
            return httpx.Response(status)
        kind, _, name = path.partition("/")
        if kind == "tags" and not self.lists_tags:
            return httpx.Response(405)
        if kind == "tags" and not self.manifests and not self.lists_nothing:
            return httpx.Response(404, json={"errors": [{"code": "NAME_UNKNOWN"}]})
        if kind == "tags":
            return httpx.Response(200, json={"name": PATH, "tags": sorted(self.tags)})
        if method == "POST":
            return httpx.Response(202, headers={"Location": f"/v2/{PATH}/blobs/uploads/1"})
        if method == "PUT":
            digest = digest_of(body)
            self.content[digest] = body
            if kind == "manifests":
                self.manifests.add(digest)
                if name != digest:
                    self.tags[name] = digest
            return httpx.Response(201, headers={"Docker-Content-Digest": digest})
        digest = self.tags.get(name, name)
        if digest not in self.content or (kind == "manifests" and digest not in self.manifests):
            return httpx.Response(404)
        media_type = self.media_types.get(digest, IMAGE_MANIFEST)
        headers = {"Docker-Content-Digest": digest, "Content-Type": media_type}
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(self.content[digest]))

    def put_image(
        self,
        comment: str,
        version: str,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> str:
        """Put an image of a version, by nobody's run; its digest."""
        config = {"config": {"Labels": {**(labels or {})}}}
        content = json.dumps({**config, "history": [{"comment": f"{version} {comment}"}]}).encode()
        self.content[digest_of(content)] = content
        return self.put_manifest(image_manifest(content, annotations), IMAGE_MANIFEST)

    def put_index(self, tag: str, children: list[str]) -> None:
        """Put an index of manifests under a tag."""
        manifests = [
            {"mediaType": IMAGE_MANIFEST, "digest": each, "size": len(self.content[each])}
            for each in children
        ]
        index = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": manifests}
        self.tags[tag] = self.put_manifest(json.dumps(index).encode(), IMAGE_INDEX)

    def put_schema_1(self, tag: str) -> None:
        """Put a manifest of Docker's first schema under a tag."""
        content = json.dumps({"schemaVersion": 1, "fsLayers": []}).encode()
        self.tags[tag] = self.put_manifest(content, SCHEMA_1)

    def delete_config(self, digest: str) -> None:
        """Delete an image's configuration, as a garbage collector may."""
        del self.content[self.config(digest)]

    def config(self, digest: str) -> str:
        """The digest of an image's configuration."""
        found: str = json.loads(self.content[digest])["config"]["digest"]
        return found

    def put_manifest(self, content: bytes, media_type: str) -> str:
        """Put a manifest by its digest."""
        self.content[digest_of(content)] = content
        self.manifests.add(digest_of(content))
        self.media_types[digest_of(content)] = media_type
        return digest_of(content)

    def version(self, digest: str) -> str:
        """The version that an image was built for, whatever it says."""
        comment: str = json.loads(self.content[self.config(digest)])["history"][0]["comment"]
        return comment.partition(" ")[0]


@dataclass
class World:
    """What all runners share.

    Attributes:
        templates: of the component.
        labelled: whether images say what they are; else they are known by their digests alone, as
            images that are given with --from-image.
        commits: the git remote's tags.
        ignore: yanked versions.
        gated: whether there is a gate.
        scheme: of the versions.
        variants: the suffixes of the variants; the first one is the default, and has the plain
            names too.
        refused: the versions whose image it refuses.
        passed: the digests that it let pass.
        on_put: called before a tag names another digest, with the registry, the tag and the digest.
    """

    registries: dict[str, FakeRegistry] = field(
        default_factory=lambda: {host: FakeRegistry() for host in HOSTS}
    )
    templates: tuple[str, ...] = TEMPLATES
    labelled: bool = True
    commits: dict[str, str] = field(default_factory=dict)
    ignore: set[str] = field(default_factory=set)
    gated: bool = False
    scheme: Scheme = "semver"
    variants: tuple[str, ...] = ()
    refused: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)
    on_put: Callable[[FakeRegistry, str, str], None] = lambda *_: None

    @property
    def settings(self) -> Settings:
        """Of every run that starts now."""
        plain = Settings(
            images=tuple(Repository(host, PATH) for host in self.registries),
            tags=tuple(map(parse_template, self.templates)),
            ignore=tuple(v for text in self.ignore if (v := parse_version(text, self.scheme))),
            versions=self.scheme,
            jobs=1,  # or the order of requests would be the threads'
            gates=("true",) if self.gated else (),
        )
        suffixed = [
            replace(
                plain,
                variant=suffix or "plain",
                tags=(*(plain.tags if suffix == self.variants[0] else ()), *tags),
            )
            for suffix in self.variants
            for tags in [[with_suffix(each, suffix) for each in plain.tags]]
        ]
        return replace(plain, by_variant=tuple(suffixed))

    @property
    def git_tags(self) -> GitTags:
        """What git says of the remote."""
        return GitTags(dict(self.commits), "remote", "", False, "auto", "origin")

    @property
    def history(self) -> Releases:
        """The releases that count."""
        return self.settings.releases(self.git_tags)

    def plan(self, git_tag: str, **settings: Any) -> Plan:
        """The plan of a release, as it is now.

        Args:
            settings: that differ from the world's.
        """
        (release,) = (r for r in self.git_tags.releases(None, self.scheme) if r.git_tag == git_tag)
        own = self.settings
        variants = tuple(replace(each, **settings) for each in own.by_variant)
        changed = {"by_variant": variants, **settings}
        return plan_for(release, replace(own, **changed), self.git_tags)

    def send(self, request: httpx.Request) -> httpx.Response:
        """One request, done at once."""
        registry = self.registries[request.url.host]
        body = request.read()
        name = request.url.path.rpartition("/manifests/")[2]
        if request.method == "PUT" and "/manifests/" in request.url.path and ":" not in name:
            registry.content[digest_of(body)] = body
            self.on_put(registry, name, digest_of(body))
        return registry.answer(request.method, request.url, body)


class FakeSource:
    """An engine that builds and pushes in memory; see ImageSource.

    It wants what checking it returned (`PREFLIGHT`, or with more in it), as an engine does.

    Attributes:
        image_id, digest: of the image that is built.
        tagged: the references that were tagged in the engine, with the image ID.
        pushed: what each push was given.
    """

    def __init__(
        self, world: World, plan: ImagePlan, network: httpx.BaseTransport, build: str
    ) -> None:
        release = plan.subject
        labels = {VERSION: str(release.version), REVISION: release.revision}
        # An image that is given is the same in every run.
        variant = plan.settings.variant
        comment = f"{release.version} {build if world.labelled else 'given'} {variant}"
        config = {"config": {"Labels": labels if world.labelled else {}}}
        self._config = json.dumps({**config, "history": [{"comment": comment}]}).encode()
        self.image_id = digest_of(self._config)
        self.digest = digest_of(image_manifest(self._config))
        self.world, self._plan, self._network = world, plan, network
        self.preflight = PREFLIGHT
        self.tagged: list[tuple[str, str]] = []
        self.pushed: list[tuple[Preflight, MadeImage, Reference]] = []

    def is_release(self, preflight: Preflight, image: PublishedImage) -> bool:
        assert preflight.builder == PREFLIGHT.builder
        if self.world.labelled:
            return image.is_of(self._plan.subject)
        return image.config_digest == self.image_id

    def make(self, preflight: Preflight) -> MadeImage:
        assert preflight.builder == PREFLIGHT.builder
        return MadeImage(self.image_id)

    def require_ready(self, preflight: Preflight) -> None: ...

    def tag(self, preflight: Preflight, image_id: str, reference: Reference) -> None:
        assert preflight.builder == PREFLIGHT.builder
        self.tagged.append((image_id, str(reference)))

    def push(self, preflight: Preflight, made: MadeImage, reference: Reference) -> str:
        self.pushed.append((preflight, made, reference))
        url = f"https://{reference.repository.registry}/v2/{PATH}"
        for path, body in (
            ("blobs/uploads/1", self._config),
            (f"manifests/{reference.tag}", image_manifest(self._config)),
        ):
            self._network.handle_request(httpx.Request("PUT", f"{url}/{path}", content=body))
        return self.digest


@dataclass(frozen=True)
class Direct(httpx.BaseTransport):
    """The way to the world's registries, without a stop.

    Attributes:
        requests: done so far: ``PUT one.test manifests/latest``.
    """

    world: World
    requests: list[str] = field(default_factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request at once."""
        path = request.url.path.removeprefix(f"/v2/{PATH}/")
        self.requests.append(f"{request.method} {request.url.host} {path}")
        return self.world.send(request)


@dataclass
class FullRecord(Record):
    """A record of everything in the order in which it was reported."""

    steps: list[str] = field(default_factory=list)
    all_builds: list[Provenance] = field(default_factory=list)
    outcomes: list[TagResult] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def step(self, text: str, *, prints: bool = False) -> None:
        self.steps.append(text)

    def made(self, build: Provenance) -> None:
        super().made(build)
        self.all_builds.append(build)

    def published(self, item: TagResult) -> None:
        super().published(item)
        self.outcomes.append(item)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def open_registries(transport: httpx.BaseTransport) -> Registries:
    """The client of the world's registries; it waits for nothing."""
    return Registries(lambda _: None, {}, sleep=lambda _: None, transport=transport)


Source = Callable[[World, Plan, httpx.BaseTransport, str], Any]
"""Makes what stands for the engine, of a world, a plan, a network and what is built."""


def make_run(
    world: World,
    plan: Plan,
    transport: httpx.BaseTransport,
    record: FullRecord,
    *,
    source: Source = FakeSource,
    build: str = "build",
    run_gate: Callable[[Sequence[str], Mapping[str, str]], None] = lambda *_: None,
) -> Run:
    """One publish, whose clock goes on by a second whenever it is looked at."""
    (run,) = make_runs(
        world, plan, transport, record, source=source, build=build, run_gate=run_gate
    )
    return run


def make_runs(
    world: World,
    plan: Plan,
    transport: httpx.BaseTransport,
    record: FullRecord,
    *,
    source: Source = FakeSource,
    build: str = "build",
    run_gate: Callable[[Sequence[str], Mapping[str, str]], None] = lambda *_: None,
) -> list[Run]:
    """The publish of every variant."""
    record.planned(plan)
    first = Run(
        plan,
        source(world, plan, transport, build),
        PREFLIGHT,
        [["true"]] if world.gated else [],
        open_registries(transport),
        record,
        reread_git_tags=lambda: world.git_tags,
        run_gate=run_gate,
        environ={"PATH": os.defpath, "ACTIONS_RUNTIME_TOKEN": "of the build alone"},
        clock=itertools.count(100).__next__,
    )
    sources = [(each, source(world, each, transport, build)) for each in plan.images]
    return [
        replace(
            first,
            plan=each,
            source=of_image,
            preflight=of_image.preflight,
            siblings=plan.settings.other_variants(each.settings),
        )
        for each, of_image in sources
    ]


class Runner(httpx.BaseTransport):
    """One `releasetag publish` in a thread of its own, which stops before every request.

    Args:
        build: what is built now is this, and another image than everything that is not.
        source: makes the engine of an image.
        settings: that differ from the world's.

    Attributes:
        error: what the publish ended with, if it failed.
        requests: done so far.
        request: the one that it stands before: `PUT one.test /v2/acme/app/manifests/latest`.
    """

    def __init__(
        self,
        world: World,
        git_tag: str,
        build: str,
        source: Source = FakeSource,
        **settings: Any,
    ) -> None:
        self.record = FullRecord()
        self.error: BaseException | None = None
        self.requests: list[str] = []
        self.request = ""
        self.runs = True
        self._world = world
        self._plan = world.plan(git_tag, **settings)
        self._source = source
        self._build = build
        self._dead = False
        self._stands = threading.Semaphore(0)  # before a request, or at its end
        self._goes = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._wait()

    @property
    def warnings(self) -> list[str]:
        """What a person was warned of."""
        return self.record.warnings

    @property
    def puts(self) -> int:
        """How many PUTs of a tag it has done."""
        return len([each for each in self.requests if re.match("PUT .*/manifests/", each)])

    def step(self, requests: int = 1) -> None:
        """Do so many requests, or as many as are left, and what the program does after them."""
        for _ in range(requests):
            if self.runs:
                self._goes.release()
                self._wait()

    def to_put(self, count: int) -> "Runner":
        """Go on until it stands before that PUT of a tag, counted from 0; or to the end."""
        while self.runs:
            if re.match("PUT .*/manifests/", self.request):
                if count == 0:
                    break
                count -= 1
            self.step()
        return self

    def finish(self) -> "Runner":
        """Go on to the end."""
        while self.runs:
            self.step()
        return self

    def crash(self) -> None:
        """End here: nothing more arrives."""
        self._dead = True
        self.step()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request when it is this runner's turn."""
        self._stop_before(f"{request.method} {request.url.host} {request.url.path}")
        return self._world.send(request)

    def _stop_before(self, request: str) -> None:
        if not self._dead:
            self.request = request
            self._stands.release()
            self._goes.acquire()
        if self._dead:
            raise Crash
        self.requests.append(self.request)

    def _wait(self) -> None:
        self._stands.acquire()
        if self.error is not None and not isinstance(self.error, ReleasetagError | Crash):
            raise self.error

    def _run(self) -> None:
        runs = make_runs(
            self._world,
            self._plan,
            self,
            self.record,
            source=self._source,
            build=self._build,
            run_gate=self._gate,
        )
        try:
            publish(*runs)
        except BaseException as error:  # noqa: BLE001 (looked at by whoever waits)
            self.error = error
        finally:
            self.runs = False
            self._stands.release()

    def _gate(self, _words: Sequence[str], environ: Mapping[str, str]) -> None:
        """A gate, before which the run stops as before a request."""
        self._stop_before("gate")
        assert "ACTIONS_RUNTIME_TOKEN" not in environ
        if environ["RELEASETAG_VERSION"] in self._world.refused:
            raise GateError("the gate refused", "mend the image")
        references = environ["RELEASETAG_REFERENCES"].splitlines()
        self._world.passed |= {each.partition("@")[2] for each in references}


def published_world(versions: Sequence[str], **settings: Any) -> World:
    """A world in whose registries these versions are published, one after the other."""
    world = World(
        templates=("{version}", "{major}.{minor}", "latest"),
        commits={f"v{version}": str(n) * 40 for n, version in enumerate(versions)},
        **settings,
    )
    for version in versions:
        assert Runner(world, f"v{version}", "build").finish().error is None
    return world
