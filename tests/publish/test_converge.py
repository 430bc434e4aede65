"""Races of two runs, each in the order in which it goes wrong; see test_state_machine for all.

Registries and engine are fakes in memory (tests/support/world.py).
"""

from collections.abc import Callable

import pytest

from releasetag.errors import ConflictError
from tests.support.world import HOSTS, FakeRegistry, Runner, World

DEFAULT = ("{version}", "{major}.{minor}", "latest")


def make_world(templates: tuple[str, ...] = DEFAULT, hosts: int = 2, **given: bool) -> World:
    """Releases 1.9.0, published, and 1.9.1, about to be."""
    registries = {host: FakeRegistry() for host in HOSTS[:hosts]}
    world = World(registries, templates, commits={"v1.9.0": "0" * 40}, **given)  # type: ignore[arg-type] # gated, labelled
    assert publish(world, "1.9.0").error is None
    world.commits["v1.9.1"] = "1" * 40
    return world


def publish(world: World, version: str) -> Runner:
    world.commits.setdefault(f"v{version}", version.replace(".", "").ljust(40, "0"))
    return Runner(world, f"v{version}", "build").finish()


def named(world: World, tag: str) -> set[str]:
    return {registry.version(registry.tags[tag]) for registry in world.registries.values()}


def about_to_put(world: World, tag: str) -> Runner:
    """The run of 1.9.1, which has looked at a tag of the first registry and is about to put it."""
    runner = Runner(world, "v1.9.1", "build")
    while not (runner.request.startswith("PUT") and runner.request.endswith(f"/{tag}")):
        assert runner.runs, f"{tag} is not put"
        runner.step()
    return runner


@pytest.mark.parametrize("gated", [False, True], ids=["", "gated"])
@pytest.mark.parametrize("labelled", [False, True], ids=["no labels", ""])
def test_a_higher_release_published_between_look_and_put_gets_its_tag_back(
    gated: bool, labelled: bool
) -> None:
    world = make_world(gated=gated, labelled=labelled)
    low = about_to_put(world, "latest")
    assert publish(world, "2.0.0").error is None

    low.finish()

    assert low.error is None
    assert named(world, "latest") == {"2.0.0"}
    assert named(world, "1.9") == {"1.9.1"}
    kept = [item for item in low.record.items if item.reference.tag == "latest"]
    assert {item.status for item in kept} == {"kept"}
    assert "2.0.0" in kept[0].reason


def test_a_higher_release_published_while_the_gate_runs_keeps_its_tag() -> None:
    world = make_world(gated=True, labelled=False)
    low = Runner(world, "v1.9.1", "build")
    while low.request != "gate":
        low.step()
    assert publish(world, "2.0.0").error is None

    low.finish()

    assert low.error is None
    assert named(world, "latest") == {"2.0.0"}


def test_a_run_that_may_have_replaced_a_higher_release_says_so() -> None:
    """One floating tag in one registry: nothing shows any more that 2.0.0 passed its gate."""
    world = make_world(("{version}", "latest"), hosts=1, gated=True)
    low = about_to_put(world, "latest")
    assert publish(world, "2.0.0").error is None

    low.finish()

    assert isinstance(low.error, ConflictError)
    assert "lower version than 2.0.0" in low.error.message
    assert "publish v2.0.0 again" in low.error.hint
    assert publish(world, "2.0.0").error is None
    assert named(world, "latest") == {"2.0.0"}


def test_the_git_tag_as_the_only_exact_tag_shows_what_is_higher() -> None:
    """Git knows nothing of 2.0.0, and its image says no more than its version."""
    world = make_world(("{git_tag}", "latest"))
    low = about_to_put(world, "latest")
    assert publish(world, "2.0.0").error is None
    del world.commits["v2.0.0"]

    low.finish()

    assert low.error is None
    assert named(world, "latest") == {"2.0.0"}
    assert publish(world, "1.9.1").error is None
    assert named(world, "latest") == {"2.0.0"}


def test_a_release_whose_gate_refused_takes_no_tag_and_is_warned_of() -> None:
    world = make_world(gated=True)
    assert publish(world, "1.9.1").error is None
    world.refused.add("2.0.0")
    assert publish(world, "2.0.0").error is not None

    again = publish(world, "1.9.1")

    assert again.error is None
    assert named(world, "latest") == {"1.9.1"}
    assert any("nothing shows whether its gates let it pass" in text for text in again.warnings)


def test_a_release_that_git_does_not_know_is_seen_in_the_registry() -> None:
    """Its git tag is on somebody's laptop: no clone has it but that one."""
    world = make_world(labelled=True)
    low = about_to_put(world, "latest")
    assert publish(world, "2.0.0").error is None
    del world.commits["v2.0.0"]

    low.finish()

    assert low.error is None
    assert named(world, "latest") == {"2.0.0"}


@pytest.mark.parametrize(
    "happens",
    [
        lambda world: world.ignore.add("2.0.0"),
        lambda world: next(iter(world.registries.values())).tags.pop("2.0.0"),
    ],
    ids=["yanked", "not in place everywhere"],
)
def test_a_higher_release_that_does_not_count_takes_no_tag(
    happens: Callable[[World], object],
) -> None:
    world = make_world()
    assert publish(world, "2.0.0").error is None
    happens(world)
    del world.commits["v2.0.0"]
    for registry in world.registries.values():
        registry.tags["latest"] = registry.tags["1.9.0"]

    low = publish(world, "1.9.1")

    assert low.error is None
    assert named(world, "latest") == {"1.9.1"}


def test_tags_that_another_program_moves_again_and_again_are_a_conflict() -> None:
    world = make_world(("{version}", "latest"), hosts=1)
    (registry,) = world.registries.values()
    low = about_to_put(world, "latest")
    while low.runs:
        low.step()
        registry.tags["latest"] = registry.tags["1.9.0"]

    assert isinstance(low.error, ConflictError)
    assert "another program moves what this one moved" in low.error.message


def test_a_registry_that_does_not_list_all_tags_is_warned_of() -> None:
    world = make_world()
    for registry in world.registries.values():
        registry.lists_tags = False

    done = publish(world, "1.9.1")

    assert done.error is None
    assert named(world, "latest") == {"1.9.1"}
    assert sum("does not list the tags" in text for text in done.warnings) == 2
