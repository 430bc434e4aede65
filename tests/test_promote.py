"""What promote refuses, and yields. The registries are fakes in memory (tests/support/world.py)."""

import pytest

from releasetag.errors import ConflictError, NoReleaseError
from releasetag.promote import plan_promotion, promote_release
from releasetag.registry import Registries
from releasetag.tagging import TagResult
from releasetag.version import Release
from tests.support.world import Direct, Runner, World


@pytest.fixture
def world() -> World:
    """Two releases, published in two registries; the tags are at the higher one."""
    world = World(
        templates=("{version}", "latest"), commits={"v1.2.2": "2" * 40, "v1.2.3": "3" * 40}
    )
    for version in ("1.2.2", "1.2.3"):
        assert Runner(world, f"v{version}", "build").finish().error is None
    return world


def counted(world: World) -> tuple[Release, ...]:
    return world.settings.policy.counted(world.git_tags.releases(None))


def promote(world: World, version: str, happens: str = "") -> list[TagResult]:
    """Promote a version; what happens between its look and its moves is published then."""
    results: list[TagResult] = []
    (release,) = [r for r in world.git_tags.releases(None) if str(r.version) == version]
    with Registries(lambda _: None, {}, sleep=lambda _: None, transport=Direct(world)) as client:
        plan = plan_promotion(client, world.settings, release, counted(world), warn=lambda _: None)
        if happens:
            world.commits[f"v{happens}"] = "9" * 40
            assert Runner(world, f"v{happens}", "build").finish().error is None
        promote_release(
            client,
            world.settings,
            plan,
            lambda: counted(world),
            report=results.append,
            warn=lambda _: None,
        )
    return results


def named(world: World, tag: str) -> set[str]:
    return {registry.version(registry.tags[tag]) for registry in world.registries.values()}


def test_it_does_not_go_down_though_the_higher_exact_tag_is_gone(world: World) -> None:
    for registry in world.registries.values():
        del registry.tags["1.2.3"]

    with pytest.raises(ConflictError, match=r"latest names 1\.2\.3"):
        promote(world, "1.2.2")

    assert named(world, "latest") == {"1.2.3"}


def test_a_release_whose_exact_tag_is_gone_is_found_behind_a_floating_tag(world: World) -> None:
    first, second = world.registries.values()
    for registry in (first, second):
        del registry.tags["1.2.3"]
    world.templates = ("{version}", "latest", "stable")
    second.tags["stable"] = second.tags["1.2.2"]

    assert {result.status for result in promote(world, "1.2.3")} == {"pushed", "unchanged"}

    assert named(world, "stable") == {"1.2.3"}


def test_a_yanked_version_is_refused(world: World) -> None:
    world.ignore.add("1.2.2")

    with pytest.raises(NoReleaseError, match="yanked"):
        promote(world, "1.2.2")


def test_one_tag_is_not_pointed_at_two_images(world: World) -> None:
    first, second = world.registries.values()
    first.tags["1.2.3"] = first.tags["1.2.2"]
    before = [dict(registry.tags) for registry in (first, second)]

    with pytest.raises(ConflictError, match="another image in each repository"):
        promote(world, "1.2.3")

    assert [registry.tags for registry in (first, second)] == before


def test_a_release_that_is_published_meanwhile_keeps_its_tag(world: World) -> None:
    world.templates = ("{version}", "latest", "stable")

    results = promote(world, "1.2.3", happens="1.3.0")

    assert named(world, "latest") == named(world, "stable") == {"1.3.0"}
    assert {result.status for result in results} == {"kept"}


def test_a_higher_release_that_nobody_promoted_takes_no_tag(world: World) -> None:
    """Where a person promotes, `latest` is where that person put it."""
    for registry in world.registries.values():
        registry.tags["latest"] = registry.tags["1.2.2"]
    world.commits["v1.2.1"] = "1" * 40
    assert Runner(world, "v1.2.1", "build").finish().error is None
    for registry in world.registries.values():
        registry.tags["latest"] = registry.tags["1.2.1"]

    promote(world, "1.2.2")

    assert named(world, "latest") == {"1.2.2"}
