"""Runs that make one platform each: whoever finds all in place publishes them.

Registries and engine are fakes in memory (tests/support/world.py); the real ones are in
tests/image/test_parts.py.
"""

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from releasetag.build_inputs import BuildInputs
from releasetag.config import Settings
from releasetag.credentials import CredentialStore
from releasetag.errors import ConflictError
from releasetag.image import Preflight, Tools
from releasetag.image.platforms import PlatformImages
from releasetag.plan import Plan
from releasetag.reference import Reference
from releasetag.report.record import Record
from tests.support.promises import REVISION, VERSION
from tests.support.world import (
    PATH,
    FakeRegistry,
    Runner,
    World,
    digest_of,
    image_manifest,
    open_registries,
)

PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")
TAGS = {"1.2.3", "1.2", "latest", *(f"1.2.3-{each.replace('/', '-')}" for each in PLATFORMS)}
EVERY = pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])


@dataclass(frozen=True)
class PartSource(PlatformImages):
    """The platforms' images, built and pushed by an engine in memory."""

    network: httpx.BaseTransport
    text: str
    preflight: Preflight

    def build(
        self, preflight: Preflight, platform: str | None, progress: Callable[[Any], None]
    ) -> str:
        release = self.plan.subject
        labels = {VERSION: str(release.version), REVISION: release.revision}
        comment = f"{release.version} {self.text} {platform}"
        config = {"config": {"Labels": labels}, "history": [{"comment": comment}]}
        engine: Any = preflight.engine
        content = json.dumps(config).encode()
        engine.images[digest_of(content)] = content
        return digest_of(content)


def make_source(world: World, plan: Plan, network: httpx.BaseTransport, build: str) -> PartSource:
    engine: Any = SimpleNamespace(os="linux", arch="amd64", images={}, tags={}, network=network)
    tools = Tools(lambda: engine, open_registries(network), CredentialStore({}), {}, lambda: 0.0)
    labels = {VERSION: str(plan.release.version), REVISION: plan.release.revision}
    context: Any = SimpleNamespace(root="/work")
    inputs = BuildInputs(context, labels=labels)
    preflight = Preflight("classic", engine)  # which builds one after another
    text = f"{build} {plan.settings.variant}"
    return PartSource(plan, tools, Record(), inputs, network, text, preflight)


@pytest.fixture(autouse=True)
def _engine(monkeypatch: pytest.MonkeyPatch) -> None:
    from releasetag.engine import images

    def tag(engine: Any, image_id: str, reference: Reference) -> None:
        engine.tags[str(reference)] = image_id

    def platform_of(engine: Any, image_id: str) -> str:
        comment = json.loads(engine.images[image_id])["history"][0]["comment"]
        return "/".join(comment.rpartition(" ")[2].split("/")[:2])

    def push(engine: Any, reference: Reference, *_: object) -> str:
        config = engine.images[engine.tags[str(reference)]]
        manifest = image_manifest(config)
        url = f"https://{reference.repository.registry}/v2/{PATH}"
        for path, body in (("blobs/uploads/1", config), (f"manifests/{reference.tag}", manifest)):
            engine.network.handle_request(httpx.Request("PUT", f"{url}/{path}", content=body))
        return digest_of(manifest)

    monkeypatch.setattr(images, "tag", tag)
    monkeypatch.setattr(images, "push", push)
    monkeypatch.setattr(images, "platform_of", platform_of)


def make_world(**given: Any) -> World:
    world = World(templates=("{version}", "{major}.{minor}", "latest"), **given)
    world.commits = {"v1.2.3": "1" * 40}

    def on_put(_registry: FakeRegistry, name: str, _digest: str) -> None:
        if re.fullmatch("1.2.3-.*", name):
            return
        # Whatever names the release names all platforms.
        for each in world.registries.values():
            parts = {f"1.2.3-{platform.replace('/', '-')}" for platform in PLATFORMS}
            if name != "1.2.3":
                assert "1.2.3" in each.tags
            assert parts <= set(each.tags) or name == "1.2.3"

    world.on_put = on_put
    return world


def start(world: World, part: str | None, build: str = "build", **settings: Any) -> Runner:
    return Runner(
        world,
        "v1.2.3",
        f"{build} {part}",
        make_source,
        platforms=PLATFORMS,
        part=part,
        **settings,
    )


def check_published(world: World) -> None:
    """Every tag is there, in every registry, and the release is one index of the parts."""
    indexes = set()
    for registry in world.registries.values():
        assert set(registry.tags) == TAGS
        assert registry.tags["1.2.3"] == registry.tags["1.2"] == registry.tags["latest"]
        index = json.loads(registry.content[registry.tags["1.2.3"]])
        children = [each["digest"] for each in index["manifests"]]
        tags = [registry.tags[f"1.2.3-{each.replace('/', '-')}"] for each in PLATFORMS]
        assert children == tags
        indexes.add(registry.tags["1.2.3"])
    assert len(indexes) == 1


@pytest.mark.parametrize("order", list(itertools.permutations(PLATFORMS)))
def test_the_last_of_the_parts_publishes_in_any_order(order: tuple[str, ...]) -> None:
    world = make_world(gated=True)
    for number, part in enumerate(order):
        runner = start(world, part).finish()
        assert runner.error is None
        result = runner.record.result(1.0)
        missing = [each for each in PLATFORMS if each in order[number + 1 :]]
        assert result.missing == tuple(missing)
        assert result.is_complete is not bool(missing)
        parts = [each for each in runner.record.items if "-linux-" in each.reference.tag]
        assert {each.status for each in parts} == {"pushed"}
        assert len(parts) == len(world.registries)
        assert runner.requests.count("gate") == (0 if missing else 1)
        if missing:
            assert result.references == ()
            assert not any("1.2.3" in registry.tags for registry in world.registries.values())
    check_published(world)


def test_parts_that_are_last_at_the_same_time_make_the_same_bytes() -> None:
    world = make_world()
    assert start(world, PLATFORMS[0]).finish().error is None
    second, third = start(world, PLATFORMS[1]), start(world, PLATFORMS[2])
    while second.runs or third.runs:
        second.step()
        third.step()
    assert (second.error, third.error) == (None, None)
    assert second.record.result(1.0).is_complete or third.record.result(1.0).is_complete
    check_published(world)


@EVERY
def test_whatever_kills_a_part_its_next_run_finishes(every: int) -> None:
    crashes = 0
    while True:
        world = make_world(gated=True)
        assert start(world, PLATFORMS[0]).finish().error is None
        assert start(world, PLATFORMS[1]).finish().error is None
        last = start(world, PLATFORMS[2])
        last.step(crashes)
        if not last.runs:
            break
        last.crash()
        before = [dict(each.tags) for each in world.registries.values()]

        again = start(world, PLATFORMS[2], "another").finish()

        assert again.error is None, crashes
        check_published(world)
        for old, registry in zip(before, world.registries.values(), strict=True):
            assert old.items() <= registry.tags.items(), crashes
        crashes += every
    assert crashes > 30


@EVERY
def test_whatever_kills_an_early_part_and_whoever_is_next_all_is_finished(every: int) -> None:
    crashes = 0
    while True:
        world = make_world()
        first = start(world, PLATFORMS[0])
        first.step(crashes)
        if not first.runs:
            break
        first.crash()
        for part in (PLATFORMS[2], PLATFORMS[1], PLATFORMS[0]):
            assert start(world, part, "again").finish().error is None, crashes
        check_published(world)
        crashes += every
    assert crashes > 15


@EVERY
def test_two_parts_in_any_interleaving_publish(every: int) -> None:
    """One runs as a whole at each moment of the other."""
    moment = 0
    while True:
        world = make_world()
        assert start(world, PLATFORMS[0]).finish().error is None
        second = start(world, PLATFORMS[1])
        second.step(moment)
        if not second.runs:
            break
        third = start(world, PLATFORMS[2]).finish()
        second.finish()
        assert (second.error, third.error) == (None, None), moment
        check_published(world)
        moment += every
    assert moment > 10


def test_a_second_run_of_a_part_builds_nothing_and_waits_on() -> None:
    world = make_world()
    assert start(world, PLATFORMS[1]).finish().error is None
    before = [dict(each.tags) for each in world.registries.values()]

    again = start(world, PLATFORMS[1], "another").finish()

    assert again.error is None
    assert again.record.result(1.0).missing == (PLATFORMS[0], PLATFORMS[2])
    assert {each.status for each in again.record.items} == {"unchanged"}
    assert [dict(each.tags) for each in world.registries.values()] == before


def test_a_run_without_a_part_builds_what_is_missing_and_publishes() -> None:
    world = make_world()
    assert start(world, PLATFORMS[1]).finish().error is None
    kept = [each.tags["1.2.3-linux-arm64"] for each in world.registries.values()]

    assert start(world, None, "rest").finish().error is None

    check_published(world)
    assert kept == [each.tags["1.2.3-linux-arm64"] for each in world.registries.values()]


def test_parts_of_different_commits_are_a_conflict_before_anything_is_built() -> None:
    world = make_world()
    assert start(world, PLATFORMS[0]).finish().error is None
    world.commits["v1.2.3"] = "2" * 40

    other = start(world, PLATFORMS[1]).finish()

    assert isinstance(other.error, ConflictError)
    assert "1.2.3-linux-amd64 is published already, from another commit" in str(other.error)
    assert other.puts == 0


def test_the_parts_of_variants_are_published_together() -> None:
    world = make_world(variants=("plain", "-alpine"))
    world.on_put = lambda *_: None
    for part in PLATFORMS:
        runner = start(world, part).finish()
        assert runner.error is None
        result = runner.record.result(1.0)
        tags = [{item.reference.tag for item in each.items} for each in result.variants]
        name = part.replace("/", "-")
        for own, exact in zip(tags, ("1.2.3", "1.2.3-alpine"), strict=True):
            assert [tag for tag in own if "linux" in tag] == [f"{exact}-{name}"]
    registry, *_ = world.registries.values()
    assert {"1.2.3", "1.2.3-alpine", "latest", "alpine"} <= set(registry.tags)
    assert registry.tags["latest"] != registry.tags["alpine"]


def test_a_variant_that_is_not_for_a_platform_is_published_with_the_others() -> None:
    world = make_world(variants=("plain", "-cuda"))
    world.on_put = lambda *_: None
    for part in PLATFORMS[:2]:
        settings = [
            replace(each, platforms=PLATFORMS[: 2 - number], part=part)
            for number, each in enumerate(world.settings.by_variant)
        ]
        runner = Runner(
            world, "v1.2.3", f"build {part}", make_source, part=part, by_variant=tuple(settings)
        )
        assert runner.finish().error is None
    registry, *_ = world.registries.values()
    for tag, platforms in (("latest", 2), ("cuda", 1)):
        index = json.loads(registry.content[registry.tags[tag]])
        assert len(index["manifests"]) == platforms


def test_settings() -> None:
    settings = Settings(platforms=PLATFORMS, part=PLATFORMS[1])
    assert settings.platforms_here == (PLATFORMS[1],)
    assert Settings(platforms=PLATFORMS).platforms_here == PLATFORMS
