"""What verify sees behind the tags. The registries are fakes in memory (tests/support/world.py)."""

from collections.abc import Callable

import pytest

from releasetag.errors import UsageError
from releasetag.registry import Registries
from releasetag.verify import VerifiedRepository, verify_repositories
from tests.support.world import Direct, FakeRegistry, Runner, World

VERSIONS = ("1.9.0", "1.9.1", "2.0.0")


@pytest.fixture
def world() -> World:
    """Three releases, published in two registries."""
    world = World(
        templates=("{version}", "{major}.{minor}", "latest"),
        commits={f"v{version}": str(n) * 40 for n, version in enumerate(VERSIONS)},
    )
    for version in VERSIONS:
        assert Runner(world, f"v{version}", "build").finish().error is None
    return world


def verify(world: World, *, deep: bool = False) -> tuple[VerifiedRepository, ...]:
    history = world.settings.policy.counted(world.git_tags.releases(None))
    with Registries(lambda _: None, {}, sleep=lambda _: None, transport=Direct(world)) as found:
        return verify_repositories(found, world.settings, history, deep=deep)


def statuses(repository: VerifiedRepository) -> dict[str, str]:
    return {tag.name: tag.status for tag in repository.tags}


def first(world: World) -> FakeRegistry:
    return next(iter(world.registries.values()))


ALL_OK = {"1.9": "ok", "2.0": "ok", "latest": "ok"}


def test_exact_tags_that_are_right_are_not_listed(world: World) -> None:
    assert [statuses(each) for each in verify(world, deep=True)] == [ALL_OK, ALL_OK]
    assert not any(each.has_drift(strict=True) for each in verify(world))


def test_an_exact_tag_whose_image_says_another_version_is_a_mismatch(world: World) -> None:
    first(world).tags["1.9.0"] = first(world).tags["1.9.1"]

    one, other = verify(world)

    assert statuses(one) == {**ALL_OK, "1.9.0": "mismatch"}
    assert statuses(other) == ALL_OK
    (tag,) = [tag for tag in one.tags if tag.name == "1.9.0"]
    assert (tag.expected, tag.actual) == ("1.9.0", "1.9.1")
    assert one.has_drift()


def test_an_exact_tag_whose_image_says_another_revision_is_a_mismatch(world: World) -> None:
    world.commits["v1.9.0"] = "f" * 40

    one, _ = verify(world)

    assert statuses(one)["1.9.0"] == "mismatch"
    assert "from commit 00000000000…, and v1.9.0 is at ffffffffffff" in one.tags[-1].reason


def test_repositories_that_have_different_images_of_a_release_differ(world: World) -> None:
    registry = first(world)
    other = World(templates=world.templates, commits={"v2.0.0": "2" * 40})
    other.registries = {"one.test": registry}
    registry.tags.clear()
    assert Runner(other, "v2.0.0", "another build").finish().error is None

    one, two = verify(world)

    for each in (one, two):
        assert statuses(each)["2.0.0"] == statuses(each)["latest"] == "differs"
        assert each.has_drift()


@pytest.mark.parametrize("broken", ["configuration", "child", "schema 1"])
def test_what_cannot_be_used_is_broken(world: World, broken: str) -> None:
    registry = first(world)
    digest = registry.tags["2.0.0"]
    if broken == "configuration":
        registry.delete_config(digest)
    elif broken == "child":
        registry.put_index("2.0.0", [digest])
        registry.tags["latest"] = registry.tags["2.0.0"]
        registry.manifests.discard(digest)
    else:
        registry.put_schema_1("2.0.0")
        registry.tags["latest"] = registry.tags["2.0.0"]

    one, two = verify(world)

    assert statuses(one)["2.0.0"] == statuses(one)["latest"] == "broken"
    assert one.has_drift()
    assert statuses(two) == ALL_OK


def test_a_platform_that_is_gone_is_seen_by_looking_deep(world: World) -> None:
    """The first platform says what the image is; the second one is gone."""
    registry = first(world)
    whole = registry.tags["2.0.0"]
    registry.put_index("latest", [whole, registry.put_image("arm64", "2.0.0")])
    registry.tags["2.0.0"] = registry.tags["2.0"] = registry.tags["latest"]
    registry.manifests.remove(registry.put_image("arm64", "2.0.0"))

    shallow, _ = verify(world)
    deep, _ = verify(world, deep=True)

    assert statuses(shallow)["latest"] != "broken"
    assert statuses(deep)["latest"] == statuses(deep)["2.0.0"] == "broken"
    (tag,) = [tag for tag in deep.tags if tag.name == "latest"]
    assert tag.reason.startswith("the manifest sha256:")


def test_an_exact_tag_that_is_gone_is_missing_and_its_release_published(world: World) -> None:
    """`latest` proves to name it: going down to the next lower version would be wrong."""
    for registry in world.registries.values():
        del registry.tags["2.0.0"]

    for each in verify(world):
        assert statuses(each) == {**ALL_OK, "2.0.0": "missing"}
        assert each.has_drift()


def unpublish(world: World) -> None:
    for registry in world.registries.values():
        for tag in ("2.0.0", "2.0", "latest"):
            del registry.tags[tag]


def tag_candidate(world: World) -> None:
    world.commits["v2.1.0-rc.1"] = "a" * 40


def tag_old(world: World) -> None:
    world.commits["v1.8.9"] = "a" * 40


@pytest.mark.parametrize(
    ("happens", "is_wrong"), [(unpublish, True), (tag_candidate, True), (tag_old, False)]
)
def test_an_unpublished_newest_release_is_wrong_if_strict(
    world: World, happens: Callable[[World], None], is_wrong: bool
) -> None:
    happens(world)
    if happens is unpublish:
        for registry in world.registries.values():
            registry.tags["latest"] = registry.tags["1.9"]

    for each in verify(world):
        assert "unpublished" in statuses(each).values()
        assert not each.has_drift()
        assert each.has_drift(strict=True) is is_wrong


def test_the_rule_is_the_one_of_the_plan() -> None:
    """{major}{minor} is 111 for both, and 11.1.0 is the higher."""
    commits = {"v1.11.0": "1" * 40, "v11.1.0": "2" * 40}
    world = World(templates=("{version}", "{major}{minor}"), commits=commits)
    for version in ("11.1.0", "1.11.0"):
        assert Runner(world, f"v{version}", "build").finish().error is None

    assert [statuses(each) for each in verify(world)] == [{"111": "ok"}, {"111": "ok"}]


def test_build_metadata_count(world: World) -> None:
    for number in (10, 9):
        world.commits[f"v2.0.0+{number}"] = f"{number:040x}"
        assert Runner(world, f"v2.0.0+{number}", "build").finish().error is None

    one, _ = verify(world)

    assert {tag.name: tag.actual for tag in one.tags} == {
        "1.9": "1.9.1",
        "2.0": "2.0.0+10",
        "latest": "2.0.0+10",
    }


def test_a_floating_tag_that_is_an_exact_one_is_refused(world: World) -> None:
    world.templates = ("{version}", "1.9.0")

    with pytest.raises(UsageError):
        verify(world)


def test_a_registry_that_does_not_list_tags_is_asked_for_each(world: World) -> None:
    for registry in world.registries.values():
        registry.lists_tags = False
        del registry.tags["1.9.0"]

    for each in verify(world):
        assert statuses(each) == {**ALL_OK, "1.9.0": "unpublished"}
