"""Snapshots that race, request by request, on registries in memory."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.errors import ConflictError, HistoryError
from releasetag.snapshot.order import Commits, Line, Order
from releasetag.snapshot.plan import SnapshotPlan, SnapshotTag
from releasetag.snapshot.steps import SnapshotRun, find_commit, publish
from releasetag.version import Snapshot
from tests.support.examples import mostly_slow
from tests.support.promises import REVISION
from tests.support.world import PREFLIGHT, FakeRegistry, FakeSource, Runner, World, open_registries


def commit(number: int) -> str:
    return f"{number:07x}{'0' * 33}"


@dataclass
class Branch(World):
    """A branch whose commits follow each other, and what its runs share.

    Attributes:
        tip: the number of its last commit.
        parents: by number.
        is_pull: whether it is a pull request.
        merge: of it in the remote.
        readable: how many times more the remote answers.
    """

    tip: int = 0
    parents: dict[int, list[int]] = field(
        default_factory=lambda: {0: [], **{number: [number - 1] for number in range(1, 9)}}
    )
    is_pull: bool = False
    merge: int | None = None
    readable: int = 1_000_000

    def plan(self, git_tag: str) -> SnapshotPlan:  # type: ignore[override] # of a snapshot
        revision = commit(int(git_tag))
        tags = (
            SnapshotTag("edge", "floating", "push", ""),
            SnapshotTag(f"sha-{revision[:7]}", "commit", "push", ""),
        )
        line = Line("main", "refs/heads/main", revision, is_pull=self.is_pull)
        settings = self.settings
        return SnapshotPlan(Snapshot("edge", revision), tags, settings.images, settings, line)

    def order(self, line: Line) -> Order:
        self.readable -= 1
        if self.readable < 0:
            raise HistoryError("the remote does not answer", "mend it")
        parents = {commit(n): [commit(p) for p in of] for n, of in self.parents.items()}
        merge = "" if self.merge is None else commit(self.merge)
        return Order(line, commit(self.tip), lambda: Commits(parents), merge)

    def edges(self) -> set[int]:
        """The commits that the tag names in the registries."""
        found = set()
        for registry in self.registries.values():
            if digest := registry.tags.get("edge"):
                labels = json.loads(registry.content[registry.config(digest)])["config"]["Labels"]
                found.add(int(labels[REVISION][:7], 16))
        return found


class SnapshotRunner(Runner):
    """One `releasetag snapshot` of a commit, which stops before every request."""

    _world: Branch

    def _run(self) -> None:
        registries = open_registries(self)
        try:
            plan, found = find_commit(self._plan, registries)  # type: ignore[arg-type]
            source = FakeSource(self._world, plan, self, self._build)
            publish(
                SnapshotRun(
                    plan,
                    source,  # type: ignore[arg-type] # a fake
                    PREFLIGHT,
                    found,
                    registries,
                    self.record,
                    self._world.order,
                    itertools.count(100).__next__,
                )
            )
        except BaseException as error:  # noqa: BLE001 (looked at by whoever waits)
            self.error = error
        finally:
            self.runs = False
            self._stands.release()


def start(branch: Branch, *numbers: int) -> list[SnapshotRunner]:
    return [
        SnapshotRunner(branch, str(number), f"build {index}")
        for index, number in enumerate(numbers)
    ]


def finish(runners: Sequence[SnapshotRunner]) -> None:
    for runner in runners:
        assert runner.finish().error is None


def branch_with_an_edge(**fields: object) -> Branch:
    branch = Branch(**fields)  # type: ignore[arg-type]
    finish(start(branch, 0))
    return branch


before_every_request = pytest.mark.parametrize("requests", mostly_slow(range(32), 5, 15, 25))


@before_every_request
@pytest.mark.parametrize("first", [1, 2])
def test_two_merges_that_race_leave_the_newer(first: int, requests: int) -> None:
    """The one stops before one of its requests, while the other runs from begin to end."""
    branch = branch_with_an_edge()
    branch.tip = 2
    (runner,) = start(branch, first)
    runner.step(requests)
    finish(start(branch, 3 - first))
    finish([runner])
    assert branch.edges() == {2}


@pytest.mark.parametrize("tip", [2, 3])
@given(order=st.lists(st.integers(0, 2), max_size=120))
def test_runs_in_any_order_leave_the_newest(tip: int, order: list[int]) -> None:
    """Also where the tip of the branch has a run that is yet to come."""
    branch = branch_with_an_edge()
    branch.tip = tip
    runners = start(branch, 1, 2, 2)
    for index in order:
        runners[index].step()
    finish(runners)

    assert branch.edges() == {2}
    tags = [registry.tags for registry in branch.registries.values()]
    (digest,) = {each["edge"] for each in tags}
    assert tags[0][f"sha-{commit(2)[:7]}"] == digest


@given(order=st.lists(st.integers(0, 2), max_size=120))
def test_commits_that_are_pushed_meanwhile_count(order: list[int]) -> None:
    branch = branch_with_an_edge()
    branch.tip = 1
    runners = start(branch, 1)
    for step in order:
        if step == 2 and branch.tip < 4:
            branch.tip += 1
            runners += start(branch, branch.tip)
        runners[step % len(runners)].step(3)
    finish(runners)

    assert branch.edges() == {branch.tip}


@given(order=st.lists(st.integers(0, 1), max_size=60), crash=st.integers(0, 40))
def test_a_run_that_was_killed_is_finished_by_the_next(order: list[int], crash: int) -> None:
    branch = branch_with_an_edge()
    branch.tip = 2
    runners = start(branch, 1, 2)
    for index in order:
        runners[index].step()
    runners[1].step(crash)
    runners[1].crash()
    finish(runners[:1])
    finish(start(branch, 2))

    assert branch.edges() == {2}


@before_every_request
@pytest.mark.parametrize("number", [1, 5], ids=["taken back", "another commit in its place"])
@pytest.mark.parametrize("tip", ["of the run", "of a run that is yet to come"])
def test_a_late_run_of_a_rewritten_branch_leaves_the_tag(
    number: int, tip: str, requests: int
) -> None:
    branch = branch_with_an_edge()
    branch.parents |= {5: [0], 6: [number]}
    branch.tip = 2
    (runner,) = start(branch, 2)
    runner.step(requests)
    branch.tip = number
    finish(start(branch, number))
    if tip != "of the run":
        branch.tip = 6
    finish([runner])
    assert branch.edges() == {number}


def test_a_branch_that_was_taken_back_takes_its_tag_back() -> None:
    branch = branch_with_an_edge()
    branch.tip = 2
    finish(start(branch, 2))
    branch.tip = 1
    finish(start(branch, 1))

    assert branch.edges() == {1}


def test_the_image_of_a_merged_topic_is_not_that_of_the_branch() -> None:
    """Commit 6 is the topic that 7 merges; its image is there, and the branch never was at it."""
    branch = branch_with_an_edge()
    branch.parents |= {6: [1], 7: [1, 6]}
    branch.tip = 6
    finish(start(branch, 6))
    for registry in branch.registries.values():
        registry.tags["edge"] = registry.tags[f"sha-{commit(0)[:7]}"]
    branch.tip = 7
    finish(start(branch, 1))

    assert branch.edges() == {1}


@before_every_request
def test_a_late_run_of_a_pull_request_gives_the_tag_to_the_newer_one(requests: int) -> None:
    branch = branch_with_an_edge(is_pull=True)
    branch.tip = 1
    (runner,) = start(branch, 1)
    runner.step(requests)
    branch.tip = branch.merge = 2
    finish(start(branch, 2))
    finish([runner])
    assert branch.edges() == {2}


def test_a_run_whose_image_was_replaced_reports_the_other() -> None:
    branch = branch_with_an_edge()
    branch.tip = 1
    first, second = start(branch, 1, 1)
    first.to_put(3)  # beyond the tag of its commit
    second.to_put(3)
    finish([first, second])

    for runner in (first, second):
        assert runner.record.build is not None
        digest = runner.record.build.digest
        outcomes = {str(item.reference): item for item in runner.record.items}
        for host, registry in branch.registries.items():
            assert registry.tags["edge"] == digest
            assert outcomes[f"{host}/acme/app:edge"].digest == digest
    assert first.record.build != second.record.build


def test_what_another_program_moves_again_and_again_is_a_conflict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    branch = branch_with_an_edge()
    branch.tip = 1
    answer = FakeRegistry.answer

    def move_back(
        registry: FakeRegistry, method: str, url: httpx.URL, body: bytes
    ) -> httpx.Response:
        found = answer(registry, method, url, body)
        if method == "PUT" and url.path.endswith("/edge"):
            registry.tags["edge"] = registry.tags[f"sha-{commit(0)[:7]}"]
        return found

    monkeypatch.setattr(FakeRegistry, "answer", move_back)
    (runner,) = start(branch, 1)

    assert isinstance(runner.finish().error, ConflictError)


def test_a_branch_that_cannot_be_read_again_is_a_warning() -> None:
    branch = branch_with_an_edge()
    branch.tip = branch.readable = 1
    (runner,) = start(branch, 1)
    finish([runner])

    assert branch.edges() == {1}
    assert [each.partition(":")[0] for each in runner.warnings] == [
        "the branch could not be read a last time"
    ]
