"""The promises, whatever releases, runs, crashes, yanks and moved git tags come in whatever order.

Registries, git remote and engine are fakes in memory (tests/support/world.py); all between them is
the program. The real ones are in test_publish.py, test_crash.py and test_concurrency.py.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from releasetag.errors import ConflictError
from releasetag.fanout import without
from releasetag.registry import Registries
from releasetag.verify import verify_repositories
from tests.support.promises import VERSION
from tests.support.world import EXACT, Direct, FakeRegistry, Runner, World, only_fakes

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


class Publishing(RuleBasedStateMachine):
    """All that happens to the releases of one component, and what must hold meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(on_put=self.put)
        self.digests: dict[str, str] = {}  # of every version that was ever served
        self.count = 0
        self.patched = ExitStack()
        self.patched.enter_context(only_fakes(self.world))

    @initialize(gated=st.booleans())
    def gate(self, gated: bool) -> None:
        self.world.gated = gated

    # What must hold at every request --------------------------------------------------------------

    def put(self, registry: FakeRegistry, name: str, digest: str) -> None:
        version = registry.labels(digest)[VERSION]
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
    def publish_side_by_side(self, pair: list[str], turns: list[int]) -> None:
        """The second release may be tagged while the first one's run is under way."""
        if not self.world.ignore.intersection(pair):
            before = self.floating()
            for runner in self.interleave(pair, turns):
                runner.finish()
                assert runner.error is None, runner.error
            self.check_not_down(before)

    @rule(pair=pairs, turns=turns)
    def crash_side_by_side(self, pair: list[str], turns: list[int]) -> None:
        """The first run dies, maybe in the moment before it would have given a tag back."""
        if self.world.ignore.intersection(pair):
            return
        before = self.floating()
        first, second = self.interleave(pair, turns)
        first.crash()
        second.finish()
        assert second.error is None, second.error
        for version in pair:
            assert self.start(version).finish().error is None
        self.check_not_down(before)

    @rule(version=versions, turns=turns)
    def publish_twice_at_once(self, version: str, turns: list[int]) -> None:
        """Two runs for one git tag; that needs builds which give the same image."""
        if version in self.world.ignore:
            return
        before = self.floating()
        for runner in self.interleave([version, version], turns, build="the same"):
            runner.finish()
            assert runner.error is None, runner.error
        self.check_not_down(before)

    @precondition(lambda self: self.digests)
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

    def released(self) -> list[str]:
        return [v for v in ORDER if f"v{v}" in self.world.commits and v not in self.world.ignore]

    def floating(self) -> dict[tuple[str, str], str]:
        """The versions that floating tags name."""
        return {
            (host, tag): registry.labels(digest)[VERSION]
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
        try:
            self.finish(self.released())
        finally:
            self.patched.close()

    def finish(self, order: list[str]) -> None:
        """Publish everything again; then everything is in place."""
        for version in order:
            assert self.start(version).finish().error is None
        expected = {version: version for version in order}
        for version in sorted(order, key=ORDER.index):
            expected |= dict.fromkeys(FLOATING[version], version)
        for registry in self.world.registries.values():
            named = {tag: registry.labels(digest)[VERSION] for tag, digest in registry.tags.items()}
            assert expected.items() <= named.items()
            assert all(registry.tags[version] == self.digests[version] for version in order)
        world = self.world
        with Registries(lambda _: None, {}, transport=Direct(world)) as registries:
            history = without(world.git_tags.releases(None), world.settings.ignore)
            for each in verify_repositories(registries, world.settings, history):
                assert {tag.status for tag in each.tags} <= {"ok"}, each


TestPublishing = Publishing.TestCase
TestPublishing.settings = settings(max_examples=30, stateful_step_count=12)


# Two runs alone: 1.2.1, and 1.2.2 that is tagged meanwhile ----------------------------------------

PUTS = 2 + 3 * 2  # of the exact tag and three floating ones, in two registries


@contextmanager
def two_runs(*, gated: bool) -> Iterator[tuple[Runner, Callable[[], Runner]]]:
    """The first run, and how to start the second; at the end all tags have to be at 1.2.2."""
    machine = Publishing()
    try:
        machine.gate(gated)
        machine.publish("1.2.0")
        yield machine.start("1.2.1"), lambda: machine.start("1.2.2")
        machine.check_not_down(dict.fromkeys(machine.floating(), "1.2.2"))
    finally:
        machine.patched.close()


def test_a_whole_run_of_a_higher_release_fits_before_any_request() -> None:
    requests, before = 1, 0
    while before < requests:
        with two_runs(gated=False) as (first, start_second):
            first.step(before)
            second = start_second().finish()
            assert (second.error, first.finish().error) == (None, None)
        requests, before = len(first.requests), before + 1
    assert before > 40


@pytest.mark.parametrize("crash", [False, True], ids=["", "crash"])
@pytest.mark.parametrize("gated", [False, True], ids=["", "gated"])
def test_every_put_may_come_before_and_after_every_other(gated: bool, crash: bool) -> None:
    """The first run has looked and is about to put; so is, or has long ended, the second.

    If the first run dies then, it is the second that puts right what it has done; if that has not
    ended.
    """
    for mine, other in product(range(2, PUTS), range(PUTS + (not crash))):
        with two_runs(gated=gated) as (first, start_second):
            first.to_put(mine)
            second = start_second().to_put(other)
            if crash:
                first.step()
                first.crash()
            else:
                assert first.finish().error is None
            assert second.finish().error is None


@settings(max_examples=40)
@given(turns=st.lists(st.integers(0, 60), min_size=3, max_size=6), gated=st.booleans())
def test_two_runs_may_take_turns_as_they_like(turns: list[int], gated: bool) -> None:
    with two_runs(gated=gated) as (first, start_second):
        first.step(turns[0])
        second = start_second()
        for requests, runner in zip(turns[1:], cycle([second, first]), strict=False):
            runner.step(requests)
        assert (first.finish().error, second.finish().error) == (None, None)
