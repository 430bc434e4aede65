"""What `verify --fix` moves, and leaves. The registries are fakes in memory (support/world.py)."""

import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releasetag.errors import AuthError, PushError
from releasetag.fix import Fixer, Fixes
from releasetag.registry import Registries
from releasetag.verify import VerifiedRepository, verify_repositories
from tests.support.examples import examples
from tests.support.world import (
    EXACT,
    Direct,
    FakeRegistry,
    FullRecord,
    Runner,
    World,
    open_registries,
    published_world,
)

VERSIONS = ("1.9.0", "1.9.1", "2.0.0", "2.1.0-rc.1")
FLOATING = {"1.9": "1.9.1", "2.0": "2.0.0", "latest": "2.0.0"}


def make_world(**settings: bool) -> World:
    """Three releases and a candidate, published in two registries."""
    return published_world(VERSIONS, **settings)


@pytest.fixture
def world() -> World:
    return make_world()


class Fixing:
    """One `verify --fix`, from its first look to its last.

    Args:
        happens: called between the look and the moves.
    """

    def __init__(
        self,
        world: World,
        happens: Callable[[], object] = lambda: None,
        gates: Sequence[Sequence[str]] = (),
    ) -> None:
        self.fixes, self.warnings, self.network = Fixes(), list[str](), Direct(world)
        with open_registries(self.network) as registries:
            self.before = verify(world, registries)
            happens()
            Fixer(
                registries,
                world.settings,
                world.history,
                lambda: world.history,
                gates,
                {"PATH": os.environ["PATH"]},
                self.fixes,
                FullRecord(),
                self.warnings.append,
            ).run(self.before)
            self.after = verify(world, registries)

    @property
    def puts(self) -> list[str]:
        return [each for each in self.network.requests if each.startswith("PUT")]

    @property
    def moved(self) -> list[tuple[str, str]]:
        return [(str(each.reference), each.status) for each in self.fixes.moved.values()]

    @property
    def unfixed(self) -> list[tuple[str, tuple[str, ...], str]]:
        return [(str(u.release.version), u.tags, u.error.kind) for u in self.fixes.unfixed]

    @property
    def is_right(self) -> bool:
        return not any(each.has_drift() for each in self.after)


def verify(world: World, registries: Registries) -> tuple[VerifiedRepository, ...]:
    return verify_repositories(registries, world.settings, world.history)


def tags(world: World) -> dict[str, dict[str, str]]:
    return {host: dict(registry.tags) for host, registry in world.registries.items()}


def test_tags_that_are_right_are_left_alone(world: World) -> None:
    done = Fixing(world)

    assert (done.moved, done.unfixed, done.puts, done.is_right) == ([], [], [], True)


def test_tags_that_name_a_lower_version_or_nothing_are_moved_up(world: World) -> None:
    one, two = world.registries.values()
    right = tags(world)
    one.tags["latest"] = one.tags["1.9.1"]
    one.tags["1.9"] = one.tags["1.9.0"]
    del two.tags["latest"]

    done = Fixing(world)

    # As promote has it: the release of the lowest version first, each tag in all repositories.
    assert done.moved == [
        ("one.test/acme/app:1.9", "pushed"),
        ("two.test/acme/app:1.9", "unchanged"),
        ("one.test/acme/app:latest", "pushed"),
        ("two.test/acme/app:latest", "pushed"),
    ]
    assert [each.previous for each in done.fixes.moved.values()] == ["1.9.0", "", "1.9.1", ""]
    assert (done.unfixed, done.is_right, tags(world)) == ([], True, right)
    assert Fixing(world).puts == []


def test_a_tag_that_names_a_prerelease_that_it_does_not_follow_is_moved(world: World) -> None:
    one, _ = world.registries.values()
    one.tags["latest"] = one.tags["2.1.0-rc.1"]

    assert Fixing(world).is_right
    assert one.tags["latest"] == one.tags["2.0.0"]


def test_a_tag_whose_image_is_broken_is_replaced_with_a_warning(world: World) -> None:
    one, _ = world.registries.values()
    one.put_schema_1("latest")

    done = Fixing(world)

    assert done.is_right
    assert "cannot be used, and is replaced" in done.warnings[0]


def unknown_to_git(world: World) -> None:
    """A higher release, whose git tag was deleted, holds the tag in one registry."""
    world.commits["v3.0.0"] = "f" * 40
    assert Runner(world, "v3.0.0", "build").finish().error is None
    del world.commits["v3.0.0"]
    world.registries["two.test"].tags["latest"] = world.registries["two.test"].tags["1.9.1"]
    del world.registries["one.test"].tags["2.0"]


def test_a_tag_never_goes_down_and_keeps_no_other_from_going_up(world: World) -> None:
    unknown_to_git(world)
    before = tags(world)

    done = Fixing(world)

    one, two = world.registries.values()
    assert one.tags["latest"] == before["one.test"]["latest"] == one.tags["3.0.0"]
    assert one.tags["2.0"] == one.tags["2.0.0"]
    assert two.tags["latest"] == two.tags["2.0.0"]
    assert ("one.test/acme/app:latest", "kept") in done.moved
    assert not done.is_right
    assert Fixing(world).puts == []


def delete(world: World) -> None:
    """The exact tag is gone in one registry, and a floating tag still proves to name it."""
    one, two = world.registries.values()
    del two.tags["2.0.0"], one.tags["latest"]


def never_pushed(world: World) -> None:
    """The release came to one registry alone: nothing may name it before it is everywhere."""
    one, two = world.registries.values()
    for name in ("2.0.0", "2.0", "latest"):
        del two.tags[name]
    del one.tags["latest"]


def other_version(world: World) -> None:
    one, two = world.registries.values()
    two.tags["2.0.0"] = two.tags["1.9.1"]
    del one.tags["latest"]


def other_commit(world: World) -> None:
    del world.registries["one.test"].tags["latest"]
    world.commits["v2.0.0"] = "f" * 40


def broken(world: World) -> None:
    one, two = world.registries.values()
    two.put_schema_1("2.0.0")
    del one.tags["latest"]


def other_image(world: World) -> None:
    """The same version and commit, and another digest in each registry."""
    one = world.registries["one.test"]
    again = World(templates=world.templates, commits={"v2.0.0": "2" * 40})
    again.registries = {"one.test": one}
    one.tags.clear()
    assert Runner(again, "v2.0.0", "another build").finish().error is None
    del one.tags["latest"]


@pytest.mark.parametrize(
    "happens", [delete, never_pushed, other_version, other_commit, broken, other_image]
)
def test_nothing_moves_to_a_release_that_is_not_in_place_everywhere(
    happens: Callable[[World], None], world: World
) -> None:
    happens(world)
    world.registries["one.test"].tags["1.9"] = world.registries["two.test"].tags["1.9.0"]
    before = tags(world)

    done = Fixing(world)

    assert any(version == "2.0.0" and "latest" in names for version, names, _ in done.unfixed)
    assert world.registries["one.test"].tags.get("latest") == before["one.test"].get("latest")
    exact = {
        host: {name: digest for name, digest in found.items() if EXACT.fullmatch(name)}
        for host, found in before.items()
    }
    assert all(tags(world)[host].items() >= found.items() for host, found in exact.items())
    assert not done.is_right


def test_the_last_name_of_an_image_is_not_taken_from_it(world: World) -> None:
    """A publish restores the exact tag from there."""
    one, _ = world.registries.values()
    image = one.tags["2.0.0"]
    for name in ("2.0.0", "2.0", "latest"):
        del one.tags[name]
    one.tags["1.9"] = image

    done = Fixing(world)

    assert done.unfixed == [
        ("1.9.1", ("1.9",), "conflict"),
        ("2.0.0", ("2.0", "latest"), "no-release"),
    ]
    assert (done.puts, one.tags["1.9"]) == ([], image)
    assert Runner(world, "v2.0.0", "must not be built").finish().error is None
    assert Fixing(world).is_right


def test_a_release_that_cannot_be_named_keeps_no_other_from_its_tags(world: World) -> None:
    broken(world)
    for registry in world.registries.values():
        registry.tags["1.9"] = registry.tags["1.9.0"]

    done = Fixing(world)

    assert done.unfixed == [("2.0.0", ("2.0", "latest"), "conflict")]
    assert all(each.tags["1.9"] == each.tags["1.9.1"] for each in world.registries.values())


def test_an_image_that_does_not_say_what_it_is_is_for_a_person_to_promote() -> None:
    world = make_world(labelled=False)
    for registry in world.registries.values():
        registry.tags["latest"] = registry.tags["1.9.1"]

    done = Fixing(world)

    ((_, names, kind),) = done.unfixed
    assert (names, kind, done.puts) == (("latest",), "conflict", [])
    assert "releasetag promote 2.0.0" in done.fixes.unfixed[0].error.hint


def test_gates_run_once_a_release_and_one_that_refuses_stops_its_tags_alone(world: World) -> None:
    for registry in world.registries.values():
        registry.tags["1.9"], registry.tags["latest"] = (
            registry.tags["1.9.0"],
            registry.tags["1.9.0"],
        )
    gate = ["sh", "-c", 'test "$RELEASETAG_VERSION" = 1.9.1']

    done = Fixing(world, gates=[gate])

    assert done.unfixed == [("2.0.0", ("latest",), "gate")]
    for registry in world.registries.values():
        assert registry.tags["1.9"] == registry.tags["1.9.1"]
        assert registry.tags["latest"] == registry.tags["1.9.0"]


def test_no_gate_runs_for_a_tag_that_stays(world: World) -> None:
    unknown_to_git(world)
    for registry in world.registries.values():
        registry.tags["latest"] = registry.tags["3.0.0"]
        registry.tags["2.0"] = registry.tags["2.0.0"]

    done = Fixing(world, gates=[["false"]])

    assert (done.unfixed, done.puts) == ([], [])


@pytest.mark.parametrize(("status", "error"), [(403, AuthError), (400, PushError)])
def test_a_registry_that_refuses_is_an_error(
    status: int, error: type[Exception], world: World
) -> None:
    one, two = world.registries.values()
    del one.tags["latest"], two.tags["latest"]
    two.refuse = lambda method, _: status if method == "PUT" else 0

    with pytest.raises(error):
        Fixing(world)

    assert "latest" not in two.tags
    two.refuse = lambda *_: 0
    assert Fixing(world).is_right


def test_variants_are_fixed_together() -> None:
    world = World(
        templates=("{version}", "latest"),
        commits={"v1.0.0": "1" * 40, "v2.0.0": "2" * 40},
        variants=("", "-alpine"),
    )
    for version in ("1.0.0", "2.0.0"):
        assert Runner(world, f"v{version}", "build").finish().error is None
    right = tags(world)
    for registry in world.registries.values():
        registry.tags["alpine"] = registry.tags["1.0.0-alpine"]
        del registry.tags["latest"]

    done = Fixing(world)

    assert (done.unfixed, done.is_right, tags(world)) == ([], True, right)


def test_a_release_that_is_published_meanwhile_has_its_tags(world: World) -> None:
    for registry in world.registries.values():
        registry.tags["latest"] = registry.tags["1.9.1"]

    def publish() -> None:
        world.commits["v2.0.1"] = "e" * 40
        assert Runner(world, "v2.0.1", "build").finish().error is None

    done = Fixing(world, happens=publish)

    assert done.is_right
    for registry in world.registries.values():
        assert registry.version(registry.tags["latest"]) == "2.0.1"


@pytest.mark.parametrize("before", range(8))
def test_a_publish_that_stands_before_any_of_its_puts_ends_as_it_should(
    before: int, world: World
) -> None:
    """The fix runs in the middle of a publish, which then goes on."""
    for registry in world.registries.values():
        registry.tags["latest"] = registry.tags["1.9.1"]
    world.commits["v2.0.1"] = "e" * 40
    runner = Runner(world, "v2.0.1", "build").to_put(before)

    Fixing(world)
    runner.finish()

    assert runner.error is None
    for registry in world.registries.values():
        named = {name: registry.version(registry.tags[name]) for name in ("2.0", "latest")}
        assert named == {"2.0": "2.0.1", "latest": "2.0.1"}
        assert registry.tags["latest"] == registry.tags["2.0.1"]


# Every state --------------------------------------------------------------------------------------

_PUBLISHED = make_world()
_IMAGES = (*VERSIONS, "nothing", "no release")
states = st.fixed_dictionaries(
    {place: st.sampled_from(_IMAGES) for place in product(("one.test", "two.test"), FLOATING)}
)
gone = st.sets(st.tuples(st.sampled_from(("one.test", "two.test")), st.sampled_from(VERSIONS)))


@given(state=states, gone=gone, yanked=st.sets(st.sampled_from(VERSIONS), max_size=1))
@settings(max_examples=examples(100), deadline=None)
def test_whatever_the_tags_name_none_goes_down_and_a_second_run_moves_nothing(
    state: dict[tuple[str, str], str], gone: set[tuple[str, str]], yanked: set[str]
) -> None:
    world = replace(_PUBLISHED, registries=deepcopy(_PUBLISHED.registries), ignore=yanked)
    original = tags(world)
    for (host, name), image in state.items():
        registry = world.registries[host]
        if image == "nothing":
            registry.tags.pop(name, None)
        elif image == "no release":
            registry.tags[name] = registry.put_image("by nobody", "7.0.0")
        else:
            registry.tags[name] = original[host][image]
    for host, version in gone:
        world.registries[host].tags.pop(version, None)
    before = tags(world)

    done = Fixing(world)

    for host, registry in world.registries.items():
        for name in {*before[host], *registry.tags}:
            was, now = before[host].get(name), registry.tags.get(name)
            if was == now:
                continue
            assert now is not None
            version = registry.version(now)
            assert name in FLOATING, f"{name} is an exact tag"
            assert version not in yanked
            assert all(
                each.tags.get(version) == original[other][version]
                for other, each in world.registries.items()
            ), f"{name} names {version}, which is not in place everywhere"
            if was is not None and was in before[host].values():
                assert not is_lowered(registry, name, was, now, yanked), f"{host} {name}"
    assert Fixing(world).puts == []
    if not gone:
        assert done.is_right
        assert done.unfixed == []


def is_lowered(registry: FakeRegistry, name: str, was: str, now: str, yanked: set[str]) -> bool:
    """Whether a tag named a higher version that counts and that it follows."""
    version = registry.version(was)
    follows = "-" not in version and (name == "latest" or version.startswith(f"{name}."))
    return (
        follows
        and version not in {*yanked, "7.0.0"}
        and VERSIONS.index(version) > VERSIONS.index(registry.version(now))
    )
