"""What promote refuses, and yields. The registries are fakes in memory (tests/support/world.py)."""

from collections.abc import Sequence

import pytest

from releasetag.errors import (
    AuthError,
    ConflictError,
    NoReleaseError,
    ReleasetagError,
    UsageError,
)
from releasetag.promote import PromotionPlan, plan_promotion, promote_release
from releasetag.tagging import TagResult
from releasetag.version import Release
from tests.support.promises import VERSION
from tests.support.world import Direct, FakeRegistry, Runner, World, open_registries


@pytest.fixture
def world() -> World:
    """Two releases, published in two registries; the tags are at the higher one."""
    world = World(
        templates=("{version}", "latest"), commits={"v1.2.2": "2" * 40, "v1.2.3": "3" * 40}
    )
    for version in ("1.2.2", "1.2.3"):
        assert Runner(world, f"v{version}", "build").finish().error is None
    return world


def release_of(world: World, version: str) -> Release:
    (release,) = [
        r for r in world.git_tags.releases(None, world.scheme) if str(r.version) == version
    ]
    return release


def publish(world: World, version: str) -> None:
    """Publish a release that somebody has just tagged."""
    world.commits[f"v{version}"] = version.replace(".", "").rjust(40, "9")
    assert Runner(world, f"v{version}", "build").finish().error is None


def plan(
    world: World,
    version: str,
    picks: Sequence[str] = (),
    *,
    warnings: list[str] | None = None,
    **allow_downgrade: bool,
) -> PromotionPlan:
    with open_registries(Direct(world)) as client:
        return plan_promotion(
            client,
            world.settings,
            release_of(world, version),
            world.history,
            warn=([] if warnings is None else warnings).append,
            picks=picks,
            **allow_downgrade,
        )


def promote(
    world: World,
    version: str,
    picks: Sequence[str] = (),
    *,
    happens: str = "",
    results: list[TagResult] | None = None,
    warnings: list[str] | None = None,
    **allow_downgrade: bool,
) -> list[TagResult]:
    """Promote a version; what happens between its look and its moves is published then."""
    results = [] if results is None else results
    warnings = [] if warnings is None else warnings
    planned = plan(world, version, picks, warnings=warnings, **allow_downgrade)
    if happens:
        publish(world, happens)
    with open_registries(Direct(world)) as client:
        promote_release(
            client,
            planned,
            lambda: world.history,
            report=results.append,
            warn=warnings.append,
            **allow_downgrade,
        )
    return results


def outcome(results: Sequence[TagResult]) -> list[tuple[str, str]]:
    return [(str(each.reference), each.status) for each in results]


def refusal(error: pytest.ExceptionInfo[ReleasetagError]) -> tuple[str, str]:
    return str(error.value), error.value.hint


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

    with pytest.raises(NoReleaseError) as error:
        promote(world, "1.2.2")

    assert refusal(error) == (
        "the release v1.2.2 is ignored (yanked) by the settings",
        "take it out of `ignore`, or promote another release",
    )


def test_the_plan_says_what_each_tag_names_now_and_lists_narrow_tags_first(world: World) -> None:
    world.templates = ("{version}", "latest", "{major}.{minor}", "{major}", "new")
    first, second = world.registries.values()
    for registry in (first, second):
        registry.tags["1.2"] = registry.tags["1.2.2"]
    second.tags["latest"] = second.tags["1.2.2"]

    planned = plan(world, "1.2.3")

    old = first.tags["1.2.2"]
    assert [
        (str(move.reference), move.digest, move.now and str(move.now), move.moves_down)
        for move in planned.moves
    ] == [
        ("one.test/acme/app:1.2", old, "1.2.2", False),
        ("two.test/acme/app:1.2", old, "1.2.2", False),
        ("one.test/acme/app:1", "", None, False),
        ("two.test/acme/app:1", "", None, False),
        ("one.test/acme/app:latest", first.tags["1.2.3"], None, False),
        ("two.test/acme/app:latest", old, "1.2.2", False),
        ("one.test/acme/app:new", "", None, False),
        ("two.test/acme/app:new", "", None, False),
    ]
    assert planned.manifest.digest == first.tags["1.2.3"]
    assert planned.release == release_of(world, "1.2.3")
    assert [str(each.version) for each in planned.history] == ["1.2.2", "1.2.3"]


def test_a_tag_whose_image_is_of_no_release_names_no_version(world: World) -> None:
    (first, second) = world.registries.values()
    for registry in (first, second):
        registry.tags["latest"] = registry.put_image("by nobody", "7.0.0")

    assert [(move.now, move.moves_down) for move in plan(world, "1.2.3").moves] == [
        (None, False),
        (None, False),
    ]


def test_what_would_move_down_is_refused_and_names_every_tag(world: World) -> None:
    with pytest.raises(ConflictError) as error:
        promote(world, "1.2.2")

    assert refusal(error) == (
        "1.2.2 would move tags down: one.test/acme/app:latest names 1.2.3,"
        " two.test/acme/app:latest names 1.2.3",
        "to roll back, say so with --allow-downgrade",
    )


def test_a_rollback_that_is_asked_for_moves_every_tag_down(world: World) -> None:
    moves = plan(world, "1.2.2", allow_downgrade=True).moves
    first = world.registries["one.test"]
    assert [(move.digest, str(move.now), move.moves_down) for move in moves] == [
        (first.tags["1.2.3"], "1.2.3", True),
        (first.tags["1.2.3"], "1.2.3", True),
    ]

    results = promote(world, "1.2.2", allow_downgrade=True)

    assert outcome(results) == [
        ("one.test/acme/app:latest", "pushed"),
        ("two.test/acme/app:latest", "pushed"),
    ]
    assert {each.digest for each in results} == {first.tags["1.2.2"]}
    assert named(world, "latest") == {"1.2.2"}


def test_a_rollback_moves_one_tag_after_the_other(world: World) -> None:
    world.templates = ("{version}", "latest", "{major}")

    results = promote(world, "1.2.2", allow_downgrade=True)

    assert outcome(results) == [
        ("one.test/acme/app:1", "pushed"),
        ("two.test/acme/app:1", "pushed"),
        ("one.test/acme/app:latest", "pushed"),
        ("two.test/acme/app:latest", "pushed"),
    ]


@pytest.mark.parametrize(
    ("pick", "tag"),
    [("latest", "latest"), ("{major}.{minor}", "1.2"), ("1", "1"), ("edge", "edge")],
)
def test_only_the_tag_that_is_picked_moves(world: World, pick: str, tag: str) -> None:
    world.templates = ("{version}", "latest", "{major}.{minor}", "{major}")
    for registry in world.registries.values():
        registry.tags["latest"] = registry.tags["1.2.2"]
    before = {host: dict(registry.tags) for host, registry in world.registries.items()}

    results = promote(world, "1.2.3", [pick])

    assert outcome(results) == [
        (f"one.test/acme/app:{tag}", "pushed"),
        (f"two.test/acme/app:{tag}", "pushed"),
    ]
    for host, registry in world.registries.items():
        assert registry.tags == {**before[host], tag: registry.tags["1.2.3"]}


def test_a_pick_keeps_the_template_that_the_component_has_for_it(world: World) -> None:
    """By the template "{major}", the tag 1 chooses from all of 1.x, not from every release."""
    world.templates = ("{version}", "{major}")
    world.commits["v2.0.0"] = "a" * 40
    assert Runner(world, "v2.0.0", "build").finish().error is None

    results = promote(world, "1.2.3", ["1"])

    assert {each.status for each in results} == {"pushed"}
    assert plan(world, "1.2.3", ["1"]).policy.templates == world.settings.policy.templates


def test_a_pick_of_another_name_is_held_against_all_releases(world: World) -> None:
    planned = plan(world, "1.2.3", ["edge", "latest"])

    assert [template.text for template in planned.policy.templates] == [
        "{version}",
        "latest",
        "edge",
    ]


@pytest.mark.parametrize("pick", ["{version}", "1.2.3", "9.9.9", "sha-{short_sha}", "{channel}"])
def test_a_pick_that_is_no_floating_tag_is_refused(world: World, pick: str) -> None:
    with pytest.raises(UsageError) as error:
        plan(world, "1.2.3", [pick])

    assert refusal(error) == (
        f"{pick!r} is no floating tag of 1.2.3",
        "name one such as latest or {major}.{minor}: exact tags never move",
    )


def test_a_release_that_no_floating_tag_applies_to_is_refused(world: World) -> None:
    world.templates = ("{version}", "{channel}")

    with pytest.raises(UsageError) as error:
        plan(world, "1.2.3")

    assert refusal(error) == (
        "no floating tag applies to 1.2.3",
        "name the tags to move with --tag",
    )


def test_a_release_that_is_not_published_is_refused(world: World) -> None:
    world.commits["v1.2.4"] = "4" * 40

    with pytest.raises(NoReleaseError) as error:
        plan(world, "1.2.4")

    assert refusal(error) == (
        "one.test/acme/app:1.2.4 is not published, so nothing can be pointed at it",
        "check out v1.2.4 and run releasetag publish first",
    )


def test_a_version_without_a_git_tag_and_without_exact_tags_is_refused(world: World) -> None:
    world.templates = ("latest",)
    release = Release("", release_of(world, "1.2.3").version, "")

    with (
        open_registries(Direct(world)) as client,
        pytest.raises(NoReleaseError) as error,
    ):
        plan_promotion(client, world.settings, release, world.history, warn=lambda _: None)

    # `latest` does name 1.2.3, but nothing says that this is the commit that was meant.
    assert refusal(error) == (
        "one.test/acme/app:1.2.3 is not published, so nothing can be pointed at it",
        "git has no release of this version either: see releasetag history",
    )


def test_a_floating_tag_of_another_release_is_no_image_of_this_one(world: World) -> None:
    world.commits["v1.2.4"] = "4" * 40
    for registry in world.registries.values():
        registry.tags["latest"] = registry.tags["1.2.2"]

    with pytest.raises(NoReleaseError, match="not published"):
        plan(world, "1.2.4")


def test_one_tag_is_not_pointed_at_two_images(world: World) -> None:
    first, second = world.registries.values()
    first.tags["1.2.3"] = first.tags["1.2.2"]
    before = [dict(registry.tags) for registry in (first, second)]

    with pytest.raises(ConflictError) as error:
        promote(world, "1.2.3")

    assert refusal(error) == (
        "1.2.3 is another image in each repository:"
        f" one.test/acme/app has {first.tags['1.2.3']},"
        f" two.test/acme/app has {second.tags['1.2.3']}",
        "publish one image in place of them: releasetag publish --overwrite",
    )
    assert [registry.tags for registry in (first, second)] == before


def test_a_release_that_is_published_meanwhile_keeps_its_tag(world: World) -> None:
    world.templates = ("{version}", "latest", "stable")

    results = promote(world, "1.2.3", happens="1.3.0")

    assert named(world, "latest") == named(world, "stable") == {"1.3.0"}
    assert {result.status for result in results} == {"kept"}


def test_a_release_that_is_published_between_look_and_put_gets_its_tag_back(world: World) -> None:
    world.templates = ("{version}", "latest", "stable")

    def on_put(registry: FakeRegistry, tag: str, _digest: str) -> None:
        if tag == "stable":
            world.on_put = lambda *_: None
            publish(world, "1.3.0")

    world.on_put = on_put
    promote(world, "1.2.3")

    assert named(world, "latest") == named(world, "stable") == {"1.3.0"}


def test_a_tag_that_does_not_stay_is_a_conflict(world: World) -> None:
    world.templates = ("{version}", "latest", "stable")
    minors = iter(range(3, 1000))

    def on_put(_registry: FakeRegistry, tag: str, _digest: str) -> None:
        if tag == "stable":
            world.on_put = lambda *_: None
            publish(world, f"1.{next(minors)}.0")
            world.on_put = on_put

    world.on_put = on_put
    with pytest.raises(ConflictError) as error:
        promote(world, "1.2.3")

    assert refusal(error) == (
        "one.test/acme/app:stable: another program moves what this one moved",
        "see which, then run again",
    )


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


def test_a_release_is_found_by_its_exact_tag_as_git_has_it(world: World) -> None:
    world.templates = ("{git_tag}-{short_sha}", "latest")
    for registry in world.registries.values():
        registry.tags = {
            "v1.2.2-2222222": registry.tags["1.2.2"],
            "1.2.2-2222222": registry.tags["1.2.3"],
        }

    assert {each.status for each in promote(world, "1.2.2")} == {"pushed"}

    assert named(world, "latest") == {"1.2.2"}
    world.commits["v1.2.4"] = "4" * 40
    for registry in world.registries.values():
        registry.tags["1.2.4-4444444"] = registry.tags["latest"]
    with pytest.raises(NoReleaseError) as error:
        plan(world, "1.2.4")
    assert "app:v1.2.4-4444444 is not published" in str(error.value)


def test_a_release_without_a_git_tag_is_not_found_behind_a_floating_tag(world: World) -> None:
    """It has no revision, and an image that says none may be anybody's."""
    for registry in world.registries.values():
        registry.tags = {"latest": registry.put_image("", "1.2.3", {VERSION: "1.2.3"})}
    release = Release("", release_of(world, "1.2.3").version, "")

    with open_registries(Direct(world)) as client, pytest.raises(NoReleaseError):
        plan_promotion(client, world.settings, release, world.history, warn=lambda _: None)


def test_a_floating_tag_that_is_not_there_does_not_hide_another(world: World) -> None:
    world.templates = ("{version}", "new", "latest")
    for registry in world.registries.values():
        del registry.tags["1.2.3"]

    results = promote(world, "1.2.3")

    assert {each.status for each in results if each.reference.tag == "new"} == {"pushed"}
    assert named(world, "new") == {"1.2.3"}


def test_one_repository_is_enough(world: World) -> None:
    del world.registries["two.test"]

    assert outcome(promote(world, "1.2.3", ["new"])) == [("one.test/acme/app:new", "pushed")]


def test_what_a_tag_names_is_known_from_the_history_where_the_exact_tag_is_gone(
    world: World,
) -> None:
    for registry in world.registries.values():
        registry.tags["latest"] = registry.tags.pop("1.2.2")

    assert [str(move.now) for move in plan(world, "1.2.3").moves] == ["1.2.2", "1.2.2"]


def test_an_image_that_cannot_be_used_is_warned_of_before_and_when_it_is_replaced(
    world: World,
) -> None:
    first, second = world.registries.values()
    first.put_schema_1("latest")
    broken = first.tags["latest"]
    gone = second.tags["latest"] = second.tags["1.2.2"]
    second.refuse = lambda method, path: 404 if path == f"manifests/{gone}" else 0
    warnings: list[str] = []

    results = promote(world, "1.2.3", warnings=warnings)

    assert outcome(results) == [
        ("one.test/acme/app:latest", "pushed"),
        ("two.test/acme/app:latest", "pushed"),
    ]
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    old = f"one.test/acme/app@{broken}"
    unusable = "names an image that cannot be used, and is replaced:"
    assert warnings == 2 * [
        f"one.test/acme/app:latest {unusable} {old} is neither an image nor an index, but {kind!r}",
        f"two.test/acme/app:latest {unusable} it is gone",
    ]


def test_a_rollback_that_a_registry_refuses_is_reported(world: World) -> None:
    first, _ = world.registries.values()
    first.refuse = lambda method, _: 403 if method == "PUT" else 0
    results: list[TagResult] = []

    with pytest.raises(AuthError) as error:
        promote(world, "1.2.2", allow_downgrade=True, results=results)

    (latest, other) = (move.reference for move in plan(world, "1.2.2", allow_downgrade=True).moves)
    assert results == [
        TagResult(latest, "", "failed", error=str(error.value)),
        TagResult(other, first.tags["1.2.2"], "pushed"),
    ]


@pytest.mark.parametrize("gated", [False, True])
def test_with_gates_a_higher_release_takes_a_tag_only_where_it_passed_them(
    world: World, gated: bool
) -> None:
    """1.3.0 has its exact tags, and no floating one: its gate runs, or has refused."""
    world.gated = gated
    world.templates = ("{version}", "latest", "stable")
    for registry in world.registries.values():
        registry.tags["stable"] = registry.tags["1.2.2"]

    def on_put(_registry: FakeRegistry, tag: str, _digest: str) -> None:
        if tag == "stable":
            world.on_put = lambda *_: None
            publish(world, "1.3.0")
            for registry in world.registries.values():
                registry.tags["latest"] = registry.tags["1.2.3"]
                registry.tags["stable"] = registry.tags["1.2.2"]

    world.on_put = on_put
    if gated:
        with pytest.raises(ConflictError, match=r"lower version than 1\.3\.0"):
            promote(world, "1.2.3")
    else:
        promote(world, "1.2.3")

    assert named(world, "stable") == {"1.2.3" if gated else "1.3.0"}


@pytest.fixture
def loose_world() -> World:
    """Loose versions, published in two registries."""
    commits = {"v1.2.3": "2" * 40, "v1.2.3-1": "3" * 40, "v1.3": "4" * 40}
    world = World(templates=("{version}", "latest"), commits=commits, scheme="loose")
    for git_tag in commits:
        assert Runner(world, git_tag, "build").finish().error is None
    return world


@pytest.mark.parametrize(
    ("pick", "message"),
    [
        ("1.3", "the floating tag '1.3' from template '1.3' is the exact tag of v1.3"),
        ("1.2.3", "the floating tag '1.2.3' from template '1.2.3' is the exact tag of v1.2.3"),
        ("{version}", "'{version}' is no floating tag of 1.2.3"),
    ],
)
def test_a_pick_that_is_an_exact_tag_of_a_release_is_refused(
    loose_world: World, pick: str, message: str
) -> None:
    with pytest.raises(UsageError) as error:
        plan(loose_world, "1.2.3", [pick])

    assert str(error.value) == message


def test_a_pick_that_only_could_be_an_exact_tag_moves(loose_world: World) -> None:
    assert outcome(promote(loose_world, "1.2.3-1", ["1.2"])) == [
        ("one.test/acme/app:1.2", "pushed"),
        ("two.test/acme/app:1.2", "pushed"),
    ]
    # And a second time, as a floating tag that is there.
    results = promote(loose_world, "1.2.3", ["1.2"], allow_downgrade=True)
    assert [each.status for each in results] == ["pushed", "pushed"]


@pytest.mark.parametrize("allow_downgrade", [False, True])
def test_the_exact_tag_of_a_version_that_git_does_not_know_is_a_conflict(
    loose_world: World, allow_downgrade: bool
) -> None:
    del loose_world.commits["v1.3"]
    before = {host: dict(each.tags) for host, each in loose_world.registries.items()}

    with pytest.raises(ConflictError) as error:
        promote(loose_world, "1.2.3", ["1.3"], allow_downgrade=allow_downgrade)

    assert str(error.value).startswith("one.test/acme/app:1.3 is the exact tag of version 1.3, ")
    assert before == {host: each.tags for host, each in loose_world.registries.items()}


def test_a_rebuild_is_higher_than_its_version(loose_world: World) -> None:
    del loose_world.commits["v1.3"]
    for registry in loose_world.registries.values():
        registry.tags["latest"] = registry.tags["1.2.3-1"]

    with pytest.raises(ConflictError, match=r"1\.2\.3 would move tags down: .*names 1\.2\.3-1"):
        promote(loose_world, "1.2.3")
