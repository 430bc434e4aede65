"""The promises, whatever releases, runs, crashes, yanks and moved git tags come in whatever order.

Registries, git remote and engine are fakes in memory (tests/support/world.py); all between them is
the program. The real ones are in test_publish.py, test_crash.py and test_concurrency.py.
"""

from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from releasetag.errors import ConflictError, GateError
from releasetag.fanout import floating_holders
from releasetag.registry import Registries
from releasetag.verify import verify_repositories
from tests.support.examples import examples
from tests.support.world import EXACT, HOSTS, Direct, FakeRegistry, Runner, World

# What every version is called in floating tags, in its order. The rule itself has its own tests.
FLOATING = {
    "0.9.0": ("0.9", "latest"),
    "1.2.0": ("1.2", "1", "latest"),
    "1.2.1": ("1.2", "1", "latest"),
    "1.2.2": ("1.2", "1", "latest"),
    "1.3.0": ("1.3", "1", "latest"),
    "2.0.0": ("2.0", "2", "latest"),
    "2.0.1": ("2.0", "2", "latest"),
    "2.1.0-rc.1": ("rc",),
    "2.1.0-rc.2": ("rc",),
}
ORDER = list(FLOATING)

versions = st.sampled_from(ORDER)
# Mostly the lower one first: it is the one that could do harm.
pairs = st.lists(versions, min_size=2, max_size=2, unique=True).map(
    lambda pair: sorted(pair, key=ORDER.index)
) | st.permutations(ORDER).map(lambda some: list(some[:2]))
# How many requests a run does before it is the other's turn, and so on; then each runs to its end.
turns = st.lists(st.integers(0, 60), max_size=6)


def is_unsure(error: BaseException, world: World) -> bool:
    """Whether a run failed as nothing shows that a higher release passed its gates."""
    unsure = "nothing shows whether its gates let it pass"
    return world.gated and isinstance(error, ConflictError) and unsure in error.message


class Publishing(RuleBasedStateMachine):
    """All that happens to the releases of one component, and what must hold meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(on_put=self.put)
        self.digests: dict[str, str] = {}  # of every version that was ever served
        self.count = 0

    @initialize(gated=st.booleans(), labelled=st.booleans())
    def begin(self, gated: bool, labelled: bool) -> None:
        self.world.gated, self.world.labelled = gated, labelled

    # What must hold at every request --------------------------------------------------------------

    def put(self, registry: FakeRegistry, name: str, digest: str) -> None:
        version = registry.version(digest)
        if EXACT.fullmatch(name):
            assert name == version
            assert registry.tags.get(name, digest) == digest, f"{name} is replaced"
            assert self.digests.setdefault(name, digest) == digest, f"{name} has two digests"
            return
        places = self.world.registries.values()
        assert all(place.tags.get(version) == digest for place in places), (
            f"{name} moves to {version}, which is not in place everywhere"
        )
        assert name in FLOATING[version]
        assert version not in self.world.ignore, f"{name} moves to {version}, which is yanked"
        assert not self.world.gated or digest in self.world.passed, f"{name} names what no gate saw"

    # What happens ---------------------------------------------------------------------------------

    @rule(version=versions)
    def publish(self, version: str) -> None:
        if version in self.world.ignore:
            return
        before = self.floating()
        runner = self.start(version).finish()
        assert runner.error is None, runner.error
        self.check_not_down(before)

    @rule(version=versions)
    def tag_and_wait(self, version: str) -> None:
        """A git tag whose own run is yet to come."""
        self.tag(version)

    @rule(version=versions, requests=st.integers(0, 45))
    def crash(self, version: str, requests: int) -> None:
        if version in self.world.ignore:
            return
        before = self.floating()
        runner = self.start(version)
        runner.step(requests)
        runner.crash()
        self.check_not_down(before)

    @rule(pair=pairs, turns=turns)
    def publish_map_parallel(self, pair: list[str], turns: list[int]) -> None:
        """The second release may be tagged while the first one's run is under way."""
        if not self.world.ignore.intersection(pair):
            before = self.floating()
            self.end(self.interleave(pair, turns))
            self.check_not_down(before)

    @rule(pair=pairs, turns=turns)
    def crash_map_parallel(self, pair: list[str], turns: list[int]) -> None:
        """The first run dies, maybe in the moment before it would have given a tag back."""
        if self.world.ignore.intersection(pair):
            return
        before = self.floating()
        first, second = self.interleave(pair, turns)
        first.crash()
        self.end([second])
        for version in pair:
            assert self.start(version).finish().error is None
        self.check_not_down(before)

    @rule(version=versions, turns=turns)
    def publish_twice_at_once(self, version: str, turns: list[int]) -> None:
        """Two runs for one git tag; that needs builds which give the same image."""
        if version in self.world.ignore:
            return
        before = self.floating()
        self.end(self.interleave([version, version], turns, build="the same"))
        self.check_not_down(before)

    @precondition(lambda self: self.digests and self.world.labelled)
    @rule(data=st.data())
    def move_git_tag(self, data: st.DataObject) -> None:
        """A published version is tagged anew, elsewhere: refused, until it is put right."""
        version = data.draw(st.sampled_from(sorted(set(self.digests) - self.world.ignore) or [""]))
        if not version:
            return
        before = {host: dict(r.tags) for host, r in self.world.registries.items()}
        right = self.world.commits[f"v{version}"]
        self.world.commits[f"v{version}"] = "f" * 40
        assert isinstance(self.start(version).finish().error, ConflictError)
        assert before == {host: r.tags for host, r in self.world.registries.items()}
        self.world.commits[f"v{version}"] = right

    @precondition(lambda self: self.digests and len(self.world.ignore) < 2)
    @rule(data=st.data())
    def yank(self, data: st.DataObject) -> None:
        self.world.ignore.add(data.draw(st.sampled_from(sorted(self.digests))))

    @rule(data=st.data())
    def run_all_again(self, data: st.DataObject) -> None:
        self.finish(data.draw(st.permutations(self.released())))

    # How it is done -------------------------------------------------------------------------------

    def start(self, version: str, build: str = "") -> Runner:
        """A run for the git tag of a version, which is tagged now at the latest."""
        self.tag(version)
        self.count += 1
        return Runner(self.world, f"v{version}", build or f"build {self.count}")

    def tag(self, version: str) -> None:
        self.world.commits.setdefault(f"v{version}", f"{ORDER.index(version) + 1:040x}")

    def interleave(self, pair: list[str], turns: list[int], build: str = "") -> list[Runner]:
        """Two runs that take turns; the second starts at its first turn."""
        runners = [self.start(pair[0], build)]
        for turn, requests in enumerate(turns):
            if turn == 1:
                runners.append(self.start(pair[1], build))
            runners[turn % 2].step(requests)
        return runners if len(runners) == 2 else [*runners, self.start(pair[1], build)]

    def end(self, runners: list[Runner]) -> None:
        """Have runs go on to their end; where one could not be sure of a tag, all run again."""
        errors = [runner.finish().error for runner in runners]
        assert all(error is None or is_unsure(error, self.world) for error in errors), errors
        if any(errors):
            self.finish(self.released())

    def released(self) -> list[str]:
        return [v for v in ORDER if f"v{v}" in self.world.commits and v not in self.world.ignore]

    def floating(self) -> dict[tuple[str, str], str]:
        """The versions that floating tags name."""
        return {
            (host, tag): registry.version(digest)
            for host, registry in self.world.registries.items()
            for tag, digest in registry.tags.items()
            if not EXACT.fullmatch(tag)
        }

    def check_not_down(self, before: dict[tuple[str, str], str]) -> None:
        now = self.floating()
        for where, version in before.items():
            if version not in self.world.ignore:
                assert ORDER.index(now[where]) >= ORDER.index(version), (
                    f"{where} is below {version}"
                )

    # How it ends ----------------------------------------------------------------------------------

    def teardown(self) -> None:
        self.finish(self.released())

    def finish(self, order: list[str]) -> None:
        """Publish everything again; then everything is in place."""
        for version in order:
            assert self.start(version).finish().error is None
        expected = {version: version for version in order}
        for version in sorted(order, key=ORDER.index):
            expected |= dict.fromkeys(FLOATING[version], version)
        for registry in self.world.registries.values():
            named = {tag: registry.version(digest) for tag, digest in registry.tags.items()}
            assert expected.items() <= named.items()
            assert all(registry.tags[version] == self.digests[version] for version in order)
        world = self.world
        with Registries(lambda _: None, {}, transport=Direct(world)) as registries:
            history = world.history
            for each in verify_repositories(registries, world.settings, history):
                assert {tag.status for tag in each.tags} <= {"ok"}, each


TestPublishing = Publishing.TestCase
TestPublishing.settings = settings(max_examples=examples(30), stateful_step_count=12)


# Runs alone, of which none may end with a tag that is low ----------------------------------------


@dataclass(frozen=True)
class Shape:
    """Releases that are published at the same time, and the tags that they share.

    Attributes:
        before: published long ago.
        versions: from the lowest up; the first one's run is under way when the others are tagged.
    """

    name: str
    templates: tuple[str, ...]
    before: str
    versions: tuple[str, ...]
    hosts: tuple[str, ...] = HOSTS

    def __str__(self) -> str:
        return self.name


DEFAULT = ("{version}", "{major}.{minor}", "latest")
SHAPES = (
    Shape("hotfix", DEFAULT, "1.9.0", ("1.9.1", "2.0.0", "2.0.1")),
    Shape("next minor", (*DEFAULT, "{major}"), "1.9.0", ("1.9.1", "1.10.0", "1.11.0")),
    Shape("same line", DEFAULT, "1.9.0", ("1.9.1", "1.9.2", "1.9.3")),
    Shape("channel", ("{version}", "{channel}"), "2.0.0-rc.1", ("2.0.0-rc.2", "2.0.0-rc.10")),
    Shape("one tag", ("{version}", "latest"), "1.9.0", ("1.9.1", "2.0.0", "2.0.1"), HOSTS[:1]),
    Shape("build metadata", DEFAULT, "1.2.3+8", ("1.2.3+9", "1.2.3+10", "1.2.3+11")),
    Shape("by name", ("{version}", "{major}{minor}"), "1.10.0", ("1.11.0", "11.1.0")),
)
# Gated or not, with labels or without. All four where the hotfix of an old line shares one tag.
KINDS = [
    (shape, gated, labelled)
    for shape, gated, labelled in product(SHAPES, (False, True), (True, False))
    if shape is SHAPES[0] or gated == labelled
]
KIND_NAMES = [
    f"{shape}{', gated' * gated}{', no labels' * (not labelled)}"
    for shape, gated, labelled in KINDS
]


class Race:
    """A world in which the first release is published, and the others are about to be."""

    def __init__(self, shape: Shape, *, gated: bool, labelled: bool) -> None:
        self.shape = shape
        self.world = World(
            {host: FakeRegistry() for host in shape.hosts},
            shape.templates,
            labelled,
            gated=gated,
            on_put=self.put,
        )
        self.runners: list[Runner] = []
        assert self.start(shape.before).finish().error is None

    def put(self, registry: FakeRegistry, name: str, digest: str) -> None:
        """What holds at every request: see Publishing."""
        version, tag = registry.version(digest), name.replace("_", "+")
        if tag == version:
            assert registry.tags.get(name, digest) == digest, f"{name} is replaced"
            return
        exact = version.replace("+", "_")
        for each in self.world.registries.values():
            assert each.tags.get(exact) == digest, f"{name} moves to {version}, not in place"
        assert not self.world.gated or digest in self.world.passed, f"{name} names what no gate saw"

    def start(self, version: str) -> Runner:
        """A run for the git tag of a version, which is tagged now."""
        order = (self.shape.before, *self.shape.versions)
        self.world.commits[f"v{version}"] = f"{order.index(version) + 1:040x}"
        self.runners.append(Runner(self.world, f"v{version}", f"build {len(self.runners)}"))
        return self.runners[-1]

    def named(self) -> dict[tuple[str, str], str]:
        """The version that every floating tag names."""
        return {
            (host, tag): registry.version(digest)
            for host, registry in self.world.registries.items()
            for tag, digest in registry.tags.items()
            if tag.replace("_", "+") != registry.version(digest)
        }

    def check_ended(self) -> None:
        """All runs have ended. If all went well, every tag names the highest version of its scope.

        Where nothing shows whether a higher release passed its gates, a run says so and fails; and
        running all again puts everything right.
        """
        errors = [runner.error for runner in self.runners if runner.error is not None]
        for error in errors:
            assert is_unsure(error, self.world), error
        if errors:
            for version in (self.shape.before, *self.shape.versions):
                assert self.start(version).finish().error is None
        policy = self.world.settings.policy
        holders = floating_holders(policy, self.world.git_tags.releases(None, self.world.scheme))
        expected = {name: str(release.version) for name, release in holders.items()}
        for (host, tag), version in self.named().items():
            assert version == expected[tag], f"{host} {tag} ends at {version}: {self.told()}"
        assert len(self.named()) == len(expected) * len(self.world.registries)

    def told(self) -> str:
        """Every run's requests, for a failure."""
        return "\n".join(str(runner.requests) for runner in self.runners)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "gated", "labelled"), KINDS, ids=KIND_NAMES)
def test_a_whole_run_of_a_higher_release_fits_before_any_request(
    shape: Shape, gated: bool, labelled: bool
) -> None:
    requests, before = 1, 0
    while before < requests:
        race = Race(shape, gated=gated, labelled=labelled)
        first = race.start(shape.versions[0])
        first.step(before)
        race.start(shape.versions[1]).finish()
        first.finish()
        race.check_ended()
        requests, before = len(first.requests), before + 1
    assert before > 8


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "gated", "labelled"), KINDS, ids=KIND_NAMES)
def test_every_put_may_come_before_and_after_every_other(
    shape: Shape, gated: bool, labelled: bool
) -> None:
    """The first run has looked and is about to put; so is, or has long ended, the second."""
    puts = Race(shape, gated=gated, labelled=labelled).start(shape.versions[0]).finish().puts
    for mine, other in product(range(puts), range(puts + 1)):
        race = Race(shape, gated=gated, labelled=labelled)
        first = race.start(shape.versions[0]).to_put(mine)
        second = race.start(shape.versions[1]).to_put(other)
        first.finish()
        second.finish()
        race.check_ended()


@pytest.mark.slow
@pytest.mark.parametrize("gated", [False, True], ids=["", "gated"])
@pytest.mark.parametrize("labelled", [False, True], ids=["no labels", ""])
def test_a_run_that_dies_at_a_put_leaves_nothing_that_the_next_does_not_mend(
    gated: bool, labelled: bool
) -> None:
    """The second run mends it if it has not ended; else the first one's next run does."""
    shape = SHAPES[0]
    puts = Race(shape, gated=gated, labelled=labelled).start(shape.versions[0]).finish().puts
    for mine, other in product(range(puts), range(puts + 1)):
        race = Race(shape, gated=gated, labelled=labelled)
        first = race.start(shape.versions[0]).to_put(mine)
        second = race.start(shape.versions[1]).to_put(other)
        ended = not second.runs
        first.step()
        first.crash()
        second.finish()
        race.runners.remove(first)
        if ended:
            assert race.start(shape.versions[0]).finish().error is None
        elif mine == puts - 1:
            # What it left is mended already; its own tags are yet to come.
            low = [name for name in race.named().items() if name[1] == shape.versions[0]]
            assert all(tag != "latest" for (_, tag), _ in low)
        race.start(shape.versions[0]).finish()
        race.check_ended()


turns_of_three = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 40)), max_size=14)


@settings(max_examples=examples(150, quick=5))
@given(kind=st.sampled_from(KINDS), turns=turns_of_three, order=st.permutations([0, 1, 2]))
def test_three_runs_may_take_turns_as_they_like(
    kind: tuple[Shape, bool, bool], turns: list[tuple[int, int]], order: list[int]
) -> None:
    shape, gated, labelled = kind
    race = Race(shape, gated=gated, labelled=labelled)
    started: dict[int, Runner] = {}
    count = len(shape.versions)
    for index, requests in [*turns, *((each, 10_000) for each in order)]:
        if index < count and index not in started:
            started[index] = race.start(shape.versions[index])
        if index < count:
            started[index].step(requests)
    race.check_ended()


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_a_release_whose_gate_refused_takes_no_tag(shape: Shape) -> None:
    """Nothing of it shows that it passed, so every tag stays where it is."""
    race = Race(shape, gated=True, labelled=True)
    race.world.refused.add(shape.versions[1])
    refused = race.start(shape.versions[1]).finish()
    assert isinstance(refused.error, GateError)
    low = race.start(shape.versions[0]).finish()
    assert low.error is None
    assert set(race.named().values()) <= {shape.before, shape.versions[0]}
