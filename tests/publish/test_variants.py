"""The variants of a release: built once each, gated together, moved when all are in place.

Registries and engine are fakes in memory (tests/support/world.py).
"""

import re

import pytest

from releasetag.errors import GateError, UsageError
from tests.support.world import FakeRegistry, Runner, World

COMMITS = {"v1.9.0": "0" * 40, "v1.9.1": "1" * 40, "v2.0.0": "2" * 40}
TEMPLATES = ("{version}", "{major}.{minor}", "latest")
EVERY = pytest.mark.parametrize("every", [41, pytest.param(1, marks=pytest.mark.slow)])
VARIANTS = ("-debian", "-alpine")
EXACT = {"-debian": ("{}", "{}-debian"), "-alpine": ("{}-alpine",)}
FLOATING = {
    "-debian": ("1.9", "1.9-debian", "latest", "debian"),
    "-alpine": ("1.9-alpine", "alpine"),
}


def make_world(**given: object) -> World:
    world = World(templates=TEMPLATES, variants=VARIANTS, commits={"v1.9.0": "0" * 40})
    assert Runner(world, "v1.9.0", "before").finish().error is None
    world.commits |= {"v1.9.1": "1" * 40}
    for name, value in given.items():
        setattr(world, name, value)
    watch(world)
    return world


def watch(world: World) -> None:
    """Check at every PUT of a floating tag that all exact tags are in place everywhere."""

    def on_put(_registry: FakeRegistry, name: str, digest: str) -> None:
        if re.match(r"[0-9]+\.[0-9]+\.", name):
            return
        version = _registry.version(digest)
        for each in world.registries.values():
            for tags in EXACT.values():
                assert {tag.format(version) for tag in tags} <= set(each.tags), name
        if world.gated and version != "1.9.0":
            assert digest in world.passed, name

    world.on_put = on_put


def named(world: World, *tags: str) -> set[str]:
    """The digests that tags name in all registries."""
    return {registry.tags.get(tag, "") for registry in world.registries.values() for tag in tags}


def check_published(world: World, version: str = "1.9.1") -> None:
    """Every variant has one image under all of its tags, and it is that version's."""
    found = set()
    for variant in VARIANTS:
        tags = [tag.format(version) for tag in EXACT[variant]]
        (digest,) = named(world, *tags, *FLOATING[variant])
        found.add(digest)
    assert len(found) == len(VARIANTS)
    (registry, *_) = world.registries.values()
    assert {registry.version(digest) for digest in found} == {version}


def test_each_variant_has_its_tags_and_no_other() -> None:
    world = make_world()
    runner = Runner(world, "v1.9.1", "build").finish()

    assert runner.error is None
    check_published(world)
    own = {tag.format("1.9.1") for tags in EXACT.values() for tag in tags}
    own |= {tag for tags in FLOATING.values() for tag in tags}
    result = runner.record.result(1.0)
    assert {each.tag for each in result.references} == own
    assert [list(dict.fromkeys(each.tag for each in v.references)) for v in result.variants] == [
        ["1.9.1", "1.9", "latest", "1.9.1-debian", "1.9-debian", "debian"],
        ["1.9.1-alpine", "1.9-alpine", "alpine"],
    ]
    (one, *_) = world.registries.values()
    assert [v.build and v.build.digest for v in result.variants] == [
        one.tags["1.9.1"], one.tags["1.9.1-alpine"],
    ]  # fmt: skip
    assert result.build == result.variants[0].build


def test_a_second_run_builds_nothing_and_moves_nothing() -> None:
    world = make_world()
    assert Runner(world, "v1.9.1", "build").finish().error is None
    before = {host: dict(each.tags) for host, each in world.registries.items()}

    again = Runner(world, "v1.9.1", "another").finish()

    assert again.error is None
    assert again.puts == 0
    assert all(build.reused for build in again.record.builds.values())
    assert {host: dict(each.tags) for host, each in world.registries.items()} == before


@EVERY
@pytest.mark.parametrize("gated", [False, True], ids=["", "gated"])
def test_whatever_kills_it_another_run_finishes_with_the_images_that_are_there(
    gated: bool, every: int
) -> None:
    crashes = 0
    while True:
        world = make_world(gated=gated)
        first = Runner(world, "v1.9.1", "first")
        first.step(crashes)
        if not first.runs:
            break
        first.crash()
        there = [each.tags.get(tag) for each in world.registries.values() for tag in exact_tags()]

        again = Runner(world, "v1.9.1", "second").finish()

        assert again.error is None, crashes
        check_published(world)
        now = [each.tags.get(tag) for each in world.registries.values() for tag in exact_tags()]
        assert all(old in {None, new} for old, new in zip(there, now, strict=True)), crashes
        crashes += every
    assert crashes > 40


def exact_tags() -> list[str]:
    return [tag.format("1.9.1") for tags in EXACT.values() for tag in tags]


def test_a_gate_that_refuses_keeps_the_floating_tags_of_all_variants() -> None:
    world = make_world(gated=True, refused={"1.9.1"})

    runner = Runner(world, "v1.9.1", "build").finish()

    assert isinstance(runner.error, GateError)
    assert "" not in named(world, *exact_tags())
    check_floats_at(world, "1.9.0")


def check_floats_at(world: World, version: str) -> None:
    for variant in VARIANTS:
        (digest,) = named(world, *FLOATING[variant])
        (registry, *_) = world.registries.values()
        assert registry.version(digest) == version


def test_the_gate_runs_once_with_the_images_of_all_variants() -> None:
    world = make_world(gated=True)
    runner = Runner(world, "v1.9.1", "build").finish()
    assert runner.requests.count("gate") == 1
    assert named(world, "1.9.1", "1.9.1-alpine") <= world.passed


def test_a_gate_runs_if_the_floating_tags_of_one_variant_are_not_there() -> None:
    world = make_world(gated=True)
    assert Runner(world, "v1.9.1", "build").finish().error is None
    del next(iter(world.registries.values())).tags["alpine"]

    again = Runner(world, "v1.9.1", "build").finish()

    assert again.requests.count("gate") == 1
    check_published(world)


@EVERY
@pytest.mark.parametrize("gated", [False, True], ids=["", "gated"])
def test_a_higher_release_at_any_moment_keeps_its_tags(gated: bool, every: int) -> None:
    """Another run, of 1.9.2, takes place as a whole before each request of this one."""
    requests = 0
    while True:
        world = make_world(gated=gated)
        low = Runner(world, "v1.9.1", "low")
        low.step(requests)
        if not low.runs:
            break
        world.commits["v1.9.2"] = "3" * 40
        assert Runner(world, "v1.9.2", "high").finish().error is None

        low.finish()

        assert low.error is None, requests
        check_floats_at(world, "1.9.2")
        check_published(world, "1.9.2")
        requests += every
    assert requests > 40


def test_a_lower_release_does_not_move_tags_to_one_that_is_not_in_place_with_all_variants() -> None:
    """The higher release has its default variant in place, and dies before the other one is."""
    world = make_world()
    low = Runner(world, "v1.9.1", "low").to_put(6)
    world.commits["v1.9.2"] = "3" * 40
    high = Runner(world, "v1.9.2", "high")
    while not high.request.endswith("one.test /v2/acme/app/manifests/1.9.2-alpine"):
        high.step()
    assert high.request.startswith("GET") or high.request.startswith("HEAD")
    while not high.request.startswith("PUT one.test /v2/acme/app/manifests/1.9.2-alpine"):
        high.step()
    high.crash()

    low.finish()

    assert low.error is None
    check_published(world, "1.9.1")


def test_a_higher_release_without_one_of_the_variants_keeps_its_tags() -> None:
    """It dropped the variant; its own floating tags show that it is done."""
    world = make_world()
    world.on_put = lambda *_: None
    low = Runner(world, "v1.9.1", "low")
    while not low.request.startswith("PUT one.test /v2/acme/app/manifests/latest"):
        low.step()
    world.commits["v2.0.0"] = "2" * 40
    world.variants = VARIANTS[:1]
    assert Runner(world, "v2.0.0", "high").finish().error is None
    world.variants = VARIANTS

    low.finish()

    assert low.error is None
    (digest,) = named(world, "latest")
    assert next(iter(world.registries.values())).version(digest) == "2.0.0"


def test_the_digest_of_a_run_that_resumes_is_the_default_variant_s() -> None:
    world = make_world()
    first = Runner(world, "v1.9.1", "first")
    while not first.request.startswith("PUT one.test /v2/acme/app/manifests/1.9.1-alpine"):
        first.step()
    first.crash()

    again = Runner(world, "v1.9.1", "again").finish()

    assert again.error is None
    result = again.record.result(1.0)
    assert result.build is not None
    assert {result.build.digest} == named(world, "1.9.1")


@pytest.mark.parametrize(
    ("templates", "variants", "git_tag", "commits", "tag"),
    [
        (TEMPLATES, ("-a", ""), "v1.9.1", COMMITS, "1.9.1"),
        (("{version}", "{major}.{minor}"), ("", ".1"), "v1.9.1", COMMITS, "1.9.1"),
        # 1.9.1-rc is the candidate's own, and would be the variant's for 1.9.1.
        (TEMPLATES, ("", "-rc"), "v1.9.1", {**COMMITS, "v1.9.1-rc": "4" * 40}, "1.9.1-rc"),
        (TEMPLATES, ("", "-rc"), "v1.9.1-rc", {**COMMITS, "v1.9.1-rc": "4" * 40}, "1.9.1-rc"),
        # {channel} is alpha, and so is the variant's bare name; in whichever release it is.
        (
            ("{version}", "{channel}", "latest"),
            ("", "-alpha"),
            "v1.9.1",
            {**COMMITS, "v2.0.0-alpha.1": "5" * 40},
            "alpha",
        ),
        (
            ("{version}", "{channel}", "latest"),
            ("", "-alpha"),
            "v2.0.0-alpha.1",
            {"v2.0.0-alpha.1": "5" * 40},
            "alpha",
        ),
    ],
)
def test_a_tag_that_two_variants_could_have_is_refused_before_anything_is_done(
    templates: tuple[str, ...],
    variants: tuple[str, ...],
    git_tag: str,
    commits: dict[str, str],
    tag: str,
) -> None:
    world = World(templates=templates, variants=variants, commits=dict(commits))
    with pytest.raises(UsageError, match=f"the tag '{re.escape(tag)}' of the variant") as error:
        world.plan(git_tag)
    assert error.value.hint == "give the variants other suffixes, or other repositories"
