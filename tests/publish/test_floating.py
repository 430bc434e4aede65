"""The floating tags: what they may replace, and what keeps them.

Registries and engine are fakes in memory (tests/support/world.py).
"""

import pytest

from releasetag.errors import EngineError, UsageError
from releasetag.image import Preflight
from releasetag.publish import Provenance
from releasetag.publish.exact import ExactTags
from releasetag.publish.floating import move
from releasetag.reference import Reference, Repository
from releasetag.tagging import TagResult
from tests.support.promises import VERSION
from tests.support.world import (
    HOSTS,
    PATH,
    Direct,
    FakeSource,
    FullRecord,
    Runner,
    World,
    make_run,
)

COMMITS = {"v1.9.1": "1" * 40, "v2.0.0": "2" * 40}


def publish(world: World, version: str) -> Runner:
    return Runner(world, f"v{version}", "build").finish()


def named(world: World, tag: str) -> set[str | None]:
    """The version that a tag names in the registries."""
    found = set()
    for registry in world.registries.values():
        digest = registry.tags.get(tag)
        found.add(digest and registry.version(digest))
    return found


@pytest.mark.parametrize("broken", ["child", "configuration", "schema 1", "no platform"])
def test_a_floating_tag_that_names_a_broken_image_is_replaced_with_a_warning(broken: str) -> None:
    world = World(commits={"v1.9.0": "0" * 40})
    publish(world, "1.9.0")
    world.commits["v1.9.1"] = "1" * 40
    for registry in world.registries.values():
        digest = registry.tags["latest"]
        if broken == "child":
            registry.put_index("latest", [digest])
            registry.manifests.discard(digest)
        elif broken == "configuration":
            registry.delete_config(digest)
        elif broken == "schema 1":
            registry.put_schema_1("latest")
        else:
            registry.put_index("latest", [])

    done = publish(world, "1.9.1")

    assert done.error is None
    assert named(world, "latest") == {"1.9.1"}
    assert [text for text in done.warnings if "cannot be used" in text]


def test_a_higher_version_whose_exact_tag_is_gone_keeps_the_tag_if_the_history_has_it() -> None:
    """Git says nothing of it when the plan is made: it is tagged a moment later."""
    world = World(commits=dict(COMMITS))
    publish(world, "2.0.0")
    for registry in world.registries.values():
        del registry.tags["2.0.0"]
    plan_before = dict(world.commits)
    del world.commits["v2.0.0"]
    runner = Runner(world, "v1.9.1", "build").to_put(0)
    world.commits = plan_before

    runner.finish()

    assert runner.error is None
    assert named(world, "latest") == {"2.0.0"}


def test_a_run_that_died_before_its_last_look_is_mended_by_its_next() -> None:
    """It moved `latest` down: the higher release came between its look and its PUT."""
    world = World(templates=("{version}", "latest"), commits={"v1.9.1": "1" * 40})
    first = Runner(world, "v1.9.1", "build").to_put(len(world.registries))
    world.commits["v2.0.0"] = "2" * 40
    assert publish(world, "2.0.0").error is None
    first.step()
    first.crash()
    assert "1.9.1" in named(world, "latest")

    assert publish(world, "1.9.1").error is None

    assert named(world, "latest") == {"2.0.0"}


def test_build_metadata_do_not_move_a_tag_back() -> None:
    world = World(commits={"v1.2.3+9": "9" * 40, "v1.2.3+10": "a" * 40})
    publish(world, "1.2.3+10")

    assert publish(world, "1.2.3+9").error is None

    assert named(world, "1.2") == named(world, "latest") == {"1.2.3+10"}


def test_a_floating_tag_that_is_an_exact_one_is_refused_before_anything_is_asked() -> None:
    world = World(templates=("{version}", "{major}.{minor}.0"), commits=dict(COMMITS))

    with pytest.raises(UsageError):
        Runner(world, "v2.0.0", "build")


class Stopped(FakeSource):
    """An engine that has stopped after the push."""

    def tag(self, preflight: Preflight, image_id: str, reference: Reference) -> None:
        super().tag(preflight, image_id, reference)
        raise EngineError("it has stopped", "start it")


@pytest.mark.parametrize("source", [FakeSource, Stopped])
def test_the_engine_gets_the_tags_that_the_registries_have(source: type[FakeSource]) -> None:
    world = World(templates=("{version}", "{major}.{minor}", "latest"), commits=dict(COMMITS))
    publish(world, "1.9.1")
    one, two = (Repository(host, PATH) for host in HOSTS)
    first = world.registries[HOSTS[0]]
    own, held = first.tags["1.9.1"], first.put_image("", "2.0.0", {VERSION: "2.0.0"})
    first.tags |= {"latest": held, "2.0.0": held}
    del world.commits["v2.0.0"], world.registries[HOSTS[1]].tags["1.9"]
    record = FullRecord()
    run = make_run(world, world.plan("v1.9.1"), Direct(world), record, source=source)
    engine: FakeSource = run.source  # type: ignore[assignment] # a fake
    manifest = run.registries.manifest(one.at(own))
    assert manifest is not None
    world.registries[HOSTS[1]].tags["latest"] = own

    image = ExactTags(manifest, Provenance("fake", False, 1, "image-id", own), "image-id")
    moved = move(run, run.plan, image)

    assert moved == [
        TagResult(one.tagged("1.9"), own, "unchanged"),
        TagResult(two.tagged("1.9"), own, "pushed"),
        TagResult(two.tagged("latest"), own, "unchanged"),
    ]
    tagged = [("image-id", str(each.reference)) for each in moved]
    warning = "the engine does not have the floating tags: it has stopped"
    assert (engine.tagged, record.warnings) == (
        (tagged, []) if source is FakeSource else (tagged[:1], [warning])
    )
