"""A publish is killed before each single request, and run again.

Requests are the program's own and those that the engine sends for it. A process start and a build
for every crash point would take minutes one after the other, so: all points share two registries,
each point with a repository of its own; what is published before is put there by a few requests,
not built; the image is one tiny file; the process that is killed is a fork of one that has imported
everything; the run after it is one of this process; and two points are tried at a time.
"""

import json
import multiprocessing
import multiprocessing.context
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.fault import Disconnect, Fault, FaultProxy
from tests.support.git import GitRepository
from tests.support.image import scratch_files
from tests.support.promises import REVISION, VERSION, assert_promises, digests, publish_by_hand
from tests.support.publish import publish_here
from tests.support.registry import RegistryServer
from tests.support.run import clean_environ

pytestmark = pytest.mark.slow

SIDE_BY_SIDE = 2
BEFORE = {"1.2": "1.2.2", "latest": "1.2.2"}

# Not a fork of this process: its threads may hold locks, which nobody would ever give back.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["tests.support.publish", "releasetag.engine.build", "releasetag.engine.buildkit.session"]
)


@dataclass
class Killer:
    """Kills the program when the requests at all its proxies come to a number.

    Args:
        point: the request before which it is killed, counted from 0; None: it is not.
        of_the_engine: requests that the engine sends, and goes on to send when the program is
            dead, until it notices. All others stop at once: their sender is gone.
    """

    point: int | None
    of_the_engine: re.Pattern[str] | None = None
    process: multiprocessing.context.ForkServerProcess | None = None
    requests: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def decide(self, _index: int, method: str, path: str) -> Fault | None:
        """What happens to a request; called by the proxies."""
        with self.lock:
            request = f"{method} {path.partition('?')[0]}"
            self.requests.append(request)
            if self.point is None or len(self.requests) <= self.point:
                return None
            assert self.process is not None
            self.process.kill()
            wait([self.process.sentinel])  # join is for the thread that started it
            lives = self.of_the_engine is not None and self.of_the_engine.match(request)
            return None if lives else Disconnect()


@dataclass(frozen=True)
class Place:
    """Where the program runs, and where it publishes v1.2.3 to."""

    app: GitRepository
    engine: Engine
    registries: list[RegistryServer]
    scratch: Path

    def prepare(self, name: str) -> Path:
        """An older release in the registries, under a repository of that name; a work tree."""
        publish_by_hand(self.registries, f"acme/{name}", "1.2.2", *BEFORE)
        tree = self.scratch / name
        shutil.copytree(self.app.path, tree)
        # Git does not track it, so the tree stays clean; an image that is built later is another.
        (tree / "when.txt").write_text("before the crash\n")
        return tree

    def crash(self, tree: Path, name: str, killer: Killer) -> int:
        """Publish through proxies with the killer at them; the exit code."""
        with ExitStack() as proxies:
            images = []
            for registry in self.registries:
                proxy = proxies.enter_context(FaultProxy(registry.address, killer.decide))
                images.append(f"{proxy.address}/acme/{name}")
            process = FORKS.Process(target=publish_here, args=(tree, images, self.environ))
            killer.process = process
            process.start()
            process.join()
        assert process.exitcode in {0, -signal.SIGKILL}
        return process.exitcode

    def finish(self, tree: Path, name: str) -> tuple[str, bool]:
        """Publish again, without proxies; the digest, and whether it was published already."""
        images = [f"{registry.address}/acme/{name}" for registry in self.registries]
        build = publish_here(tree, images, self.environ).build
        assert build is not None
        return build.digest, build.reused

    @property
    def environ(self) -> dict[str, str]:
        """What the program needs."""
        return clean_environ(self.scratch) | self.engine.environ


@pytest.fixture
def place(
    git_repository: GitRepository,
    engine: Engine,
    registry: RegistryServer,
    second_registry: RegistryServer,
    tmp_path: Path,
) -> Place:
    git_repository.write(scratch_files("FROM scratch\nCOPY hello.txt when.txt /\n"))
    git_repository.tag("v1.2.2", commit=git_repository.commit())
    git_repository.tag("v1.2.3", commit=git_repository.commit())
    return Place(git_repository, engine, [registry, second_registry], tmp_path)


def exact(place: Place, name: str) -> set[str]:
    """The digests that are served as 1.2.3."""
    found = {registry.digest(f"acme/{name}", "1.2.3") for registry in place.registries}
    return {digest for digest in found if digest is not None}


def assert_finished(place: Place, name: str, digest: str) -> None:
    old = place.registries[0].digest(f"acme/{name}", "1.2.2")
    for registry in place.registries:
        assert digests(registry, f"acme/{name}") == {
            "1.2.2": old, "1.2.3": digest, "1.2": digest, "latest": digest,
        }  # fmt: skip


def at_every_point(points: Iterable[int], attempt: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(SIDE_BY_SIDE) as executor:
        for _ in executor.map(attempt, points):
            pass


def count_requests(place: Place, name: str, tree: Path) -> list[str]:
    """What a publish asks if nothing goes wrong."""
    killer = Killer(None)
    assert place.crash(tree, name, killer) == 0
    return killer.requests


def test_a_publish_survives_a_crash_of_the_machine_before_any_request(place: Place) -> None:
    def attempt(point: int) -> None:
        name = f"point-{point}"
        tree = place.prepare(name)
        killer = Killer(point)
        assert place.crash(tree, name, killer) == -signal.SIGKILL, f"there is no request {point}"
        where = f"before {killer.requests[point]}"
        assert_promises(place.registries, f"acme/{name}", BEFORE)
        served = exact(place, name)
        (tree / "when.txt").write_text("after the crash\n")
        digest, reused = place.finish(tree, name)
        assert_finished(place, name, digest)
        assert reused or not served, where  # what was on its way may have arrived a little later
        assert served <= {digest}, where

    requests = count_requests(place, "none", place.prepare("none"))
    assert sum("PUT" in request for request in requests) == 10  # 2 blobs and 3 tags in 2 registries
    at_every_point(range(len(requests)), attempt)


def test_a_publish_survives_a_crash_of_the_program_while_the_engine_pushes(place: Place) -> None:
    """The engine may go on and push what the next run pushes as well: the same image."""
    pushing = re.compile(r"\w+ /v2/[^/]+/[^/]+/blobs/|PUT .*/1\.2\.3$")

    def attempt(point: int) -> None:
        name = f"point-{point}"
        tree = place.prepare(name)
        assert place.crash(tree, name, Killer(point, pushing)) == -signal.SIGKILL, (
            f"no request {point}"
        )
        assert_promises(place.registries, f"acme/{name}", BEFORE)
        digest, _ = place.finish(tree, name)
        assert_finished(place, name, digest)

    requests = count_requests(place, "none", place.prepare("none"))
    points = [
        point
        for point, request in enumerate(requests)
        if re.match(r"PUT|PATCH", request) and pushing.match(request)
    ]
    assert points
    at_every_point(points, attempt)


def test_a_publish_that_copies_survives_a_crash_of_the_machine_before_any_request(
    place: Place,
) -> None:
    """The release is in one registry already, as an earlier crash would leave it."""
    labels = {VERSION: "1.2.3", REVISION: place.app.head}

    def prepare(name: str) -> tuple[Path, str]:
        tree = place.prepare(name)
        return tree, place.registries[0].put_image(f"acme/{name}", "1.2.3", labels)

    def attempt(point: int) -> None:
        name = f"point-{point}"
        tree, expected = prepare(name)
        assert place.crash(tree, name, Killer(point)) == -signal.SIGKILL, (
            f"there is no request {point}"
        )
        assert_promises(place.registries, f"acme/{name}", BEFORE)
        assert place.finish(tree, name) == (expected, True)
        assert_finished(place, name, expected)

    tree, _ = prepare("none")
    requests = count_requests(place, "none", tree)
    assert any(request.startswith("POST") for request in requests)
    # Where nothing but GET comes before, the test above has been.
    first = next(i for i, request in enumerate(requests) if not request.startswith("GET"))
    at_every_point(range(first, len(requests)), attempt)


# Variants and parts ------------------------------------------------------------------------------

VARIANTS = """\
[[variants]]
name = "alpine"
build.args = { WHAT = "alpine" }
[[variants]]
name = "debian"
default = true
"""
OF_VARIANTS = {
    "debian": ({"1.2.3", "1.2.3-debian"}, {"1.2", "latest", "1.2-debian", "debian"}),
    "alpine": ({"1.2.3-alpine"}, {"1.2-alpine", "alpine"}),
}
PLATFORMS = ("linux/amd64", "linux/arm64")
SPARE = 4
"""How many requests fewer one of two equal publishes may make."""


def crash_at_points(
    place: Place,
    every: int,
    check: Callable[[str], None],
    finish: Callable[[Path, str], None],
) -> None:
    """Kill the program before each of its requests, or every so many, and check what there is."""

    def attempt(point: int) -> None:
        name = f"point-{point}"
        tree = place.prepare(name)
        ended = place.crash(tree, name, Killer(point))
        # The engine asks a little less where another push of it has just finished a layer.
        assert ended == -signal.SIGKILL or point >= len(requests) - SPARE, f"no request {point}"
        check(name)
        (tree / "when.txt").write_text("after the crash\n")
        finish(tree, name)

    requests = count_requests(place, "none", place.prepare("none"))
    at_every_point(range(0, len(requests), every), attempt)


def test_variants_survive_a_crash_before_any_request(place: Place) -> None:
    files = scratch_files("FROM scratch\nARG WHAT\nLABEL what=$WHAT\nCOPY hello.txt when.txt /\n")
    place.app.write({**files, "releasetag.toml": VARIANTS})
    place.app.git("tag", "--force", "v1.2.3", place.app.commit("variants"))
    exact_tags = set().union(*(exact for exact, _ in OF_VARIANTS.values()))

    def check(name: str) -> None:
        """No floating tag of any variant has moved before all exact tags are everywhere."""
        seen = [digests(registry, f"acme/{name}") for registry in place.registries]
        before = {tags["1.2.2"] for tags in seen}
        floats = set().union(*(floats for _, floats in OF_VARIANTS.values()))
        moved = {tag for tags in seen for tag in floats & set(tags) if tags[tag] not in before}
        assert not moved or all(exact_tags <= set(tags) for tags in seen), seen

    def finish(tree: Path, name: str) -> None:
        served = [digests(registry, f"acme/{name}") for registry in place.registries]
        place.finish(tree, name)
        seen = [digests(registry, f"acme/{name}") for registry in place.registries]
        images = []
        for exact, floats in OF_VARIANTS.values():
            (digest,) = {tags[tag] for tags in seen for tag in exact | floats}
            images.append(digest)
            # What was there stays: no version has two images.
            assert {tags[tag] for tags in served for tag in exact & set(tags)} <= {digest}
        assert len(set(images)) == len(images)

    crash_at_points(place, 4, check, finish)


def test_a_part_survives_a_crash_before_any_request(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of two parts has been pushed; the second one's run is killed, and is run again."""
    both = {"RELEASETAG_PLATFORMS": ",".join(PLATFORMS)}
    second = {**both, "RELEASETAG_PART": PLATFORMS[1]}
    environ = clean_environ(place.scratch) | place.engine.environ
    monkeypatch.setattr(Place, "environ", property(lambda _: environ | second))
    prepare = place.prepare

    def prepared(name: str) -> Path:
        tree = prepare(name)
        images = [f"{registry.address}/acme/{name}" for registry in place.registries]
        part = {**both, "RELEASETAG_PART": PLATFORMS[0]}
        publish_here(tree, images, environ | part, sleep=lambda _: None)
        return tree

    monkeypatch.setattr(Place, "prepare", lambda _, name: prepared(name))

    def check(name: str) -> None:
        assert_promises(place.registries, f"acme/{name}", BEFORE)

    def finish(tree: Path, name: str) -> None:
        served = exact(place, name)
        digest, _ = place.finish(tree, name)
        assert served <= {digest}
        for registry in place.registries:
            seen = digests(registry, f"acme/{name}")
            assert {seen[tag] for tag in ("1.2.3", "1.2", "latest")} == {digest}
            content = registry.manifest(f"acme/{name}", "1.2.3") or b""
            parts = [seen[f"1.2.3-{each.replace('/', '-')}"] for each in PLATFORMS]
            assert [each["digest"] for each in json.loads(content)["manifests"]] == parts

    crash_at_points(place, 4, check, finish)
