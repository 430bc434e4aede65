"""Races of two runs, each in the order in which it goes wrong; see test_state_machine for all.

Registries and engine are fakes in memory (tests/support/world.py).
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from releasetag.errors import (
    ConflictError,
    EngineError,
    HistoryError,
    PushError,
    ReleasetagError,
)
from releasetag.history import GitTags
from releasetag.image import Preflight
from releasetag.publish.converge import (
    Listed,
    Settled,
    confirm,
    converge,
    list_tags,
    may_be_there,
    not_staying_error,
    settle,
    warn_or_raise_unsure,
)
from releasetag.publish.run import Run
from releasetag.reference import Repository
from releasetag.registry import TagList
from releasetag.tagging import Status, TagResult
from releasetag.version import Release, parse_version
from tests.support.promises import REVISION, VERSION
from tests.support.world import (
    HOSTS,
    PATH,
    Direct,
    FakeRegistry,
    FullRecord,
    Runner,
    World,
    make_run,
)

ONE, TWO = (Repository(host, PATH) for host in HOSTS)
DEFAULT = ("{version}", "{major}.{minor}", "latest")


def tags(*names: str) -> TagList:
    return TagList(frozenset(names))


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


def test_it_is_seen_in_a_repository_that_was_made_before_its_first_tag() -> None:
    """Such a registry lists no tag of it, where others say that there is no such repository."""
    world = World(
        {"one.test": FakeRegistry(lists_nothing=True)}, DEFAULT, commits={"v1.9.1": "1" * 40}
    )
    low = about_to_put(world, "latest")
    assert publish(world, "2.0.0").error is None
    del world.commits["v2.0.0"]

    low.finish()

    assert low.error is None
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


def test_the_exact_tag_of_a_higher_release_is_the_one_that_git_has() -> None:
    world = make_world(("{git_tag}-{short_sha}", "latest"))
    low = about_to_put(world, "latest")
    assert publish(world, "2.0.0").error is None

    low.finish()

    assert low.error is None
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


# One look, function by function -------------------------------------------------------------------


class Look:
    """The end of the run of 1.9.1, whose tags are in place in both registries."""

    def __init__(self, *, gated: bool = False) -> None:
        self.world = make_world(("{version}", "{major}.{minor}", "latest", "stable"), gated=gated)
        assert publish(self.world, "1.9.1").error is None
        self.first, self.second = self.world.registries.values()
        self.digest = self.first.tags["1.9.1"]
        self.network = Direct(self.world)
        self.record = FullRecord()
        self.run = self.make_run()
        self.plan = self.run.plan
        manifest = self.run.registries.manifest(ONE.tagged("1.9.1"))
        assert manifest is not None
        self.manifest = manifest
        self.mover = self.run.mover(self.plan, manifest)
        self.network.requests.clear()

    def make_run(self) -> Run:
        return make_run(self.world, self.world.plan("v1.9.1"), self.network, self.record)

    def publish(self, version: str) -> str:
        """Another run; the digest that it published."""
        assert publish(self.world, version).error is None
        return self.first.tags[version]

    def moved(self, *tags: str, status: Status = "pushed") -> list[TagResult]:
        return [
            TagResult(repository.tagged(tag), self.digest, status)
            for tag in tags
            for repository in (ONE, TWO)
        ]

    def named(self, tag: str) -> list[str | None]:
        return [self.first.tags.get(tag), self.second.tags.get(tag)]

    def name(self, tag: str, digest: str) -> None:
        for registry in (self.first, self.second):
            registry.tags[tag] = digest

    def kept(self, tag: str, digest: str, version: str) -> list[TagResult]:
        reason = f"{version} was published meanwhile, which is higher"
        return [
            TagResult(repository.tagged(tag), digest, "kept", reason) for repository in (ONE, TWO)
        ]


@pytest.fixture
def look() -> Look:
    return Look()


def refusal(error: pytest.ExceptionInfo[ReleasetagError]) -> tuple[str, str]:
    return str(error.value), error.value.hint


def first_times(count: int, status: int, request: str) -> Callable[[str, str], int]:
    """A registry that has not caught up: the answer to the first such requests."""
    left = [request] * count

    def refuse(method: str, path: str) -> int:
        if f"{method} {path}" in left:
            left.pop()
            return status
        return 0

    return refuse


def test_tags_are_listed_where_a_floating_tag_may_move(look: Look) -> None:
    look.second.lists_tags = False
    names = frozenset({"1.9", "1.9.0", "1.9.1", "latest", "stable"})

    assert list_tags(look.run) == {ONE: TagList(names), TWO: None}

    look.network.requests.clear()
    dry = replace(look.plan, settings=replace(look.plan.settings, dry_run=True))
    exact = replace(look.plan, tags=look.plan.tags[:1])
    for plan in (dry, exact):
        assert list_tags(replace(look.run, plan=plan)) == {}
    assert look.network.requests == []


def test_a_registry_that_cannot_be_asked_ends_the_run_unless_there_is_no_engine_either(
    look: Look,
) -> None:
    look.first.refuse = lambda *_: 503

    with pytest.raises(PushError):
        list_tags(look.run)

    no_engine = EngineError("no engine", "start one")
    with pytest.raises(EngineError) as error:
        list_tags(replace(look.run, preflight=Preflight("fake", engine_error=no_engine)))
    assert error.value is no_engine


@pytest.mark.parametrize(
    ("listed", "may_be"),
    [
        ({ONE: tags("latest"), TWO: tags("1.9")}, True),
        ({ONE: tags("1.9"), TWO: tags("latest")}, False),
        ({ONE: tags()}, True),
        ({ONE: TagList(frozenset(), is_known=False)}, False),
        ({ONE: None}, True),
        ({}, True),
    ],
)
def test_a_tag_may_be_there_unless_a_list_has_others_only(listed: Listed, may_be: bool) -> None:
    assert may_be_there(ONE.tagged("latest"), listed) is may_be


def test_tags_that_named_the_image_already_are_not_looked_at_again(look: Look) -> None:
    moved = look.moved("1.9", "latest", status="unchanged")

    converge(look.run, look.plan, look.manifest, moved, {})

    assert look.network.requests == []


def test_an_exact_tag_that_is_in_place_is_looked_at_once(look: Look) -> None:
    confirm(look.run, look.manifest)

    assert look.network.requests == [
        "HEAD one.test manifests/1.9.1",
        "HEAD two.test manifests/1.9.1",
    ]
    assert look.record.outcomes == []


@pytest.mark.parametrize("is_deleted", [False, True])
def test_an_exact_tag_that_another_run_replaced_is_a_conflict(look: Look, is_deleted: bool) -> None:
    now = look.second.tags.pop("1.9.1") if is_deleted else look.second.put_image("other", "1.9.1")
    if not is_deleted:
        look.second.tags["1.9.1"] = now

    with pytest.raises(ConflictError) as error:
        confirm(look.run, look.manifest)

    tag = TWO.tagged("1.9.1")
    message = (
        f"{tag} was {look.digest} and names {'nothing' if is_deleted else now} now:"
        " another run publishes the same version"
    )
    assert refusal(error) == (
        message,
        "see that one run publishes a version at a time, and run `releasetag verify`",
    )
    assert look.record.outcomes == [
        TagResult(tag, "" if is_deleted else now, "failed", error=message)
    ]


def test_floating_tags_follow_an_exact_tag_that_another_run_replaced_everywhere(
    look: Look,
) -> None:
    other = look.first.put_image("other", "1.9.1", {VERSION: "1.9.1", REVISION: "1" * 40})
    look.second.content |= look.first.content
    look.second.manifests |= look.first.manifests
    look.name("1.9.1", other)

    with pytest.raises(ConflictError, match="another run publishes the same version"):
        converge(look.run, look.plan, look.manifest, look.moved("1.9", "latest"), {})

    assert look.named("1.9") == look.named("latest") == [other, other]
    assert look.named("stable") == [look.digest] * 2
    assert [(str(each.reference), each.status) for each in look.record.outcomes] == [
        ("one.test/acme/app:1.9.1", "failed"),
        ("one.test/acme/app:1.9", "pushed"),
        ("two.test/acme/app:1.9", "pushed"),
        ("one.test/acme/app:latest", "pushed"),
        ("two.test/acme/app:latest", "pushed"),
    ]


def test_floating_tags_do_not_follow_an_exact_tag_that_differs_between_repositories(
    look: Look,
) -> None:
    look.second.tags["1.9.1"] = look.second.put_image("other", "1.9.1")

    with pytest.raises(ConflictError, match="another run publishes the same version"):
        converge(look.run, look.plan, look.manifest, look.moved("latest"), {})

    assert look.named("latest") == [look.digest, look.digest]


def test_a_look_at_tags_that_are_in_place_changes_nothing(look: Look) -> None:
    references = [each.reference for each in look.moved("1.9", "latest")]

    assert settle(look.mover, [], look.plan.history, gated=False) == Settled(False, {})
    assert settle(look.mover, references, look.plan.history, gated=False) == Settled(False, {})

    assert look.network.requests == [
        f"HEAD {host} manifests/{tag}" for tag in ("1.9", "latest") for host in HOSTS
    ]
    assert look.record.outcomes == []


@pytest.mark.parametrize("looks", [1, 6])
def test_a_registry_that_serves_old_tags_for_a_moment_is_looked_at_again(
    look: Look, looks: int
) -> None:
    """It serves the new one at the next look, or, after six, to whoever would put it again."""
    look.first.refuse = first_times(looks, 404, "HEAD manifests/latest")

    settled = settle(look.mover, [ONE.tagged("latest")], [], gated=False)

    assert settled == Settled(False, {})
    assert look.network.requests == ["HEAD one.test manifests/latest"] * (looks + 1)
    assert look.record.outcomes == []


def test_a_tag_that_names_another_image_is_put_again(look: Look) -> None:
    look.first.tags["latest"] = look.first.tags["1.9.0"]

    settled = settle(look.mover, [ONE.tagged("latest"), TWO.tagged("latest")], [], gated=False)

    assert settled == Settled(True, {})
    assert look.record.outcomes == [TagResult(ONE.tagged("latest"), look.digest, "pushed")]


def test_the_highest_release_that_is_in_place_everywhere_takes_the_tags(look: Look) -> None:
    low, high, half = (look.publish(version) for version in ("2.0.0", "2.1.0", "2.2.0"))
    del look.second.tags["2.2.0"]
    look.world.commits["v2.3.0"] = "f" * 40
    others = look.world.plan("v2.3.0").history
    for tag in ("latest", "stable"):
        look.name(tag, look.digest)
    look.second.tags["latest"] = high
    references = [each.reference for each in look.moved("latest", "stable", "1.9")]

    assert settle(look.mover, references, others, gated=False) == Settled(True, {})

    assert look.named("latest") == look.named("stable") == [high, high]
    assert look.named("1.9") == [look.digest, look.digest]
    assert look.record.outcomes == [
        *look.kept("latest", high, "2.1.0"),
        *look.kept("stable", high, "2.1.0"),
    ]
    assert len({low, high, half}) == 3

    assert settle(look.mover, references, others, gated=False) == Settled(False, {})


def test_with_gates_the_highest_release_that_passed_them_takes_the_tags() -> None:
    look = Look(gated=True)
    passed = look.publish("2.0.0")
    # Two that are in place, and of which no floating tag shows that they passed.
    for version in ("2.1.0", "2.2.0"):
        look.publish(version)
        for registry in (look.first, look.second):
            del registry.tags[version[:3]]
    for tag in ("latest", "stable"):
        look.name(tag, look.digest)
    references = [each.reference for each in look.moved("latest", "stable", "1.9")]
    others = look.world.plan("v2.2.0").history

    settled = settle(look.mover, references, others, gated=True)

    (refused,) = (each for each in others if each.git_tag == "v2.2.0")
    assert settled == Settled(True, dict.fromkeys(references[:4], refused))
    assert look.named("latest") == look.named("stable") == [passed, passed]


@pytest.mark.parametrize("latest", ["other", "own", "nothing"])
def test_a_tag_that_a_release_took_before_it_was_moved_is_kept(look: Look, latest: str) -> None:
    """2.0.0 appears behind the plan: `latest` is not moved, and is looked at all the same."""
    high = look.publish("2.0.0")
    if latest == "own":
        look.name("latest", look.digest)
    elif latest == "nothing":
        del look.first.tags["latest"], look.second.tags["latest"]
    plan = look.run.replan()

    converge(look.run, plan, look.manifest, look.moved("1.9"), {})

    appeared = "2.0.0 appeared meanwhile, which is higher"
    digest = {"other": high, "own": look.digest, "nothing": ""}[latest]
    kept = [
        TagResult(repository.tagged(tag), digest if tag == "latest" else high, "kept", appeared)
        for tag in ("latest", "stable")
        for repository in (ONE, TWO)
    ]
    # Once when they are put, and once more in the last look.
    after = look.kept("latest", high, "2.0.0") if latest == "own" else []
    assert look.record.outcomes == [*kept, *after, *after]
    assert look.named("latest") == ([None, None] if latest == "nothing" else [high, high])


def test_a_tag_that_the_first_plan_kept_is_given_to_its_release(look: Look) -> None:
    """A run that was killed left `latest` low; nothing is put by this one."""
    high = look.publish("2.0.0")
    look.name("latest", look.digest)
    run = look.make_run()

    converge(run, run.plan, look.manifest, look.moved("1.9", status="unchanged"), {})

    assert look.named("latest") == [high, high]
    assert look.record.outcomes == look.kept("latest", high, "2.0.0") * 2


def test_a_history_that_cannot_be_read_again_is_warned_of(look: Look) -> None:
    def fail() -> GitTags:
        raise HistoryError("the remote is gone", "wait")

    run = replace(look.run, reread_git_tags=fail)

    converge(run, look.plan, look.manifest, look.moved("latest"), {})

    assert look.record.warnings == ["the history could not be read a last time: the remote is gone"]
    assert look.named("latest") == [look.digest, look.digest]


HIGH = {VERSION: "2.0.0", REVISION: "a" * 40}


@pytest.mark.parametrize(
    ("tag", "labels", "is_seen"),
    [
        ("2.0.0", HIGH, True),
        ("2.0.0", {VERSION: "2.0.0"}, True),
        ("2.0", HIGH, False),
        ("nightly", HIGH, False),
        ("2.0.1", HIGH, False),
        ("2.0.0", {}, False),
        ("1.8.0", {VERSION: "1.8.0"}, False),
        ("2.1.0", {VERSION: "2.1.0"}, False),  # yanked
    ],
)
def test_a_release_that_git_does_not_know_takes_the_tag_if_its_exact_tag_appeared(
    look: Look, tag: str, labels: dict[str, str], is_seen: bool
) -> None:
    look.world.ignore.add("2.1.0")
    run = look.make_run()
    listed = list_tags(run)
    for registry in (look.first, look.second):
        digest = registry.tags[tag] = registry.put_image("", "2.0.0", labels)

    converge(run, run.plan, look.manifest, look.moved("latest"), listed)

    assert look.named("latest") == [digest if is_seen else look.digest] * 2
    assert look.record.outcomes == (look.kept("latest", digest, "2.0.0") * 2 if is_seen else [])
    assert look.record.warnings == []


@pytest.mark.parametrize("git_tag", ["v2.0.0", "2.0.0"])
def test_its_exact_tag_may_be_of_any_git_tag_that_it_may_have(look: Look, git_tag: str) -> None:
    look.world.templates = ("{git_tag}-{short_sha}", "latest")
    run = look.make_run()
    look.name("v1.9.1-1111111", look.digest)
    listed = list_tags(run)
    for registry in (look.first, look.second):
        high = registry.put_image("", "2.0.0", HIGH)
        registry.tags[f"{git_tag}-aaaaaaa"] = high

    converge(run, run.plan, look.manifest, look.moved("latest"), listed)

    assert look.named("latest") == [high, high]


@pytest.mark.parametrize(
    ("tag", "version", "is_seen"),
    [
        ("2024.01", "2024.01", True),
        ("1.9.1-2", "1.9.1-2", True),
        # A floating tag, which looks like an exact one.
        ("2.0", "2.0.0", False),
        ("1.9.0.5", "1.9.0.5", False),  # which is lower
    ],
)
def test_a_loose_release_that_git_does_not_know_is_read_by_the_scheme(
    look: Look, tag: str, version: str, is_seen: bool
) -> None:
    look.world.scheme = "loose"
    run = look.make_run()
    listed = list_tags(run)
    for registry in (look.first, look.second):
        labels = {VERSION: version, REVISION: "a" * 40}
        digest = registry.tags[tag] = registry.put_image("", version, labels)

    converge(run, run.plan, look.manifest, look.moved("latest"), listed)

    assert look.named("latest") == [digest if is_seen else look.digest] * 2


def test_a_release_that_was_there_before_or_that_git_knows_is_not_looked_for(look: Look) -> None:
    """The image of 2.0.0 is of another commit than its git tag."""
    look.world.templates = ("{version}-{short_sha}", "latest")
    look.world.commits["v2.0.0"] = "b" * 40
    run = look.make_run()
    listed = {ONE: tags("2.0.1-aaaaaaa"), TWO: tags()}
    for registry in (look.first, look.second):
        for version in ("2.0.0", "2.0.1"):
            labels = {VERSION: version, REVISION: "a" * 40}
            registry.tags[f"{version}-aaaaaaa"] = registry.put_image("", version, labels)
        registry.tags["1.9.1-1111111"] = look.digest
    look.second.tags.pop("2.0.1-aaaaaaa")

    converge(run, run.plan, look.manifest, look.moved("latest"), listed)

    assert look.named("latest") == [look.digest, look.digest]
    assert look.record.warnings == []


def test_a_release_that_appeared_and_cannot_be_read_is_an_error(look: Look) -> None:
    listed = list_tags(look.run)
    look.first.tags["2.0.0"] = look.first.put_image("", "2.0.0", HIGH)
    look.first.refuse = lambda _, path: 503 if path == "manifests/2.0.0" else 0

    with pytest.raises(PushError):
        converge(look.run, look.plan, look.manifest, look.moved("latest"), listed)


@pytest.mark.parametrize("lists_tags", [False, True])
def test_a_list_that_is_not_whole_is_warned_of(look: Look, lists_tags: bool) -> None:
    look.first.lists_tags = lists_tags
    del look.first.tags["1.9.1"]

    with pytest.raises(ConflictError):
        converge(look.run, look.plan, look.manifest, look.moved("latest"), {ONE: tags()})

    assert look.record.warnings == [
        "one.test does not list the tags of one.test/acme/app: a release that git does not know"
        " cannot be seen there"
    ]


def test_tags_that_do_not_stay_are_all_named() -> None:
    error = not_staying_error([ONE.tagged("1.9"), TWO.tagged("latest")])

    assert (error.message, error.hint) == (
        "one.test/acme/app:1.9, two.test/acme/app:latest: another program moves what this one"
        " moved",
        "see which, then run again",
    )


@pytest.mark.parametrize(("git_tag", "again"), [("v2.0.0", "v2.0.0"), ("", "2.0.0")])
def test_whose_gates_are_not_known_is_warned_of_or_an_error_for_what_was_put(
    git_tag: str, again: str
) -> None:
    version = parse_version("2.0.0")
    assert version is not None
    unsure = dict.fromkeys(
        (ONE.tagged("latest"), TWO.tagged("latest")), Release(git_tag, version, "")
    )
    text = (
        "names a lower version than 2.0.0, which is published: nothing shows whether its gates let"
        " it pass"
    )
    warnings: list[str] = []

    with pytest.raises(ConflictError) as error:
        warn_or_raise_unsure(unsure, {TWO.tagged("latest")}, warnings.append)

    assert warnings == [f"one.test/acme/app:latest {text}"]
    assert refusal(error) == (
        f"two.test/acme/app:latest {text}",
        f"publish {again} again, or see `releasetag verify`",
    )
