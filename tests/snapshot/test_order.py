"""releasetag.snapshot.order: which commit a tag names, against a reading with sets."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.snapshot.order import Commits, Line, Order

LINE = Line("main", "refs/heads/main", "own")
# tip -> c -> own -> b -> root; tip's second parent is a topic that began at b; x was rewritten.
GRAPH = {
    "tip": ["c", "topic"],
    "c": ["own"],
    "own": ["b"],
    "topic": ["b"],
    "b": ["root"],
    "x": ["b"],
    "ahead": ["tip"],
    "root": [],
}


def order(commit: str, tip: str | None = "tip", **line: object) -> Order:
    is_ci = bool(line.get("is_ci", True))
    is_pull = bool(line.get("is_pull", False))
    one = Line("main", "refs/heads/main", commit, is_ci=is_ci, is_pull=is_pull)
    return Order(one, tip, lambda: Commits(GRAPH), merge="merge" if is_pull else "")


@pytest.mark.parametrize(
    ("commit", "named", "tip", "is_ci", "moves", "reason"),
    [
        ("own", "b", "tip", True, True, ""),
        ("own", "own", "tip", True, True, ""),
        ("own", "", "tip", True, True, ""),
        ("own", "c", "tip", True, False, "names c, which is newer"),
        ("own", "topic", "tip", True, False, "names topic, which own does not come after"),
        ("own", "x", "tip", True, True, "named x, which is not on main any more"),
        ("own", "unknown", "tip", True, True, "named unknown, which is not on main any more"),
        ("tip", "anything", "tip", True, True, ""),
        ("x", "b", "tip", True, False, "x is not on main, which is at tip"),
        ("x", "", "tip", True, False, "x is not on main, which is at tip"),
        ("ahead", "tip", "tip", True, False, "ahead is not on main, which is at tip"),
        ("ahead", "tip", "tip", False, True, ""),
        ("own", "b", "", True, False, "the remote has no main any more"),
        ("own", "b", "", False, True, ""),
        ("own", "b", None, True, True, ""),
        ("own", "c", None, True, False, "names c, which is newer"),
        ("own", "x", None, True, False, "names x, which own does not come after"),
        ("own", "", None, True, True, ""),
    ],
)
def test_which_way_a_tag_goes(
    commit: str, named: str, tip: str | None, is_ci: bool, moves: bool, reason: str
) -> None:
    assert order(commit, tip, is_ci=is_ci).decide(commit, named) == (moves, reason)


@pytest.mark.parametrize(
    ("commit", "tip", "is_ci", "newer"),
    [
        ("own", "tip", True, ["tip", "c"]),
        ("tip", "tip", True, []),
        ("own", None, True, []),
        ("own", "", True, []),
        ("x", "tip", True, ["tip", "c", "own", "b", "root"]),
        ("tip", "own", True, ["own", "b", "root"]),
        ("ahead", "tip", False, []),
        ("topic", "tip", True, ["tip"]),
    ],
)
def test_which_commits_come_in_place_of_one(
    commit: str, tip: str | None, is_ci: bool, newer: list[str]
) -> None:
    assert list(order(commit, tip, is_ci=is_ci).newer()) == newer


def test_a_pull_request_goes_by_its_tip_alone() -> None:
    assert order("own", "own", is_pull=True).decide("own", "x") == (True, "")
    assert order("own", "", is_pull=True).decide("own", "x") == (True, "")
    assert order("own", "c", is_pull=True).decide("own", "x") == (False, "the main is at c by now")
    assert list(order("own", "c", is_pull=True).newer()) == ["merge", "c"]


def test_nothing_is_asked_where_the_commit_is_the_tip() -> None:
    def load() -> Commits:
        raise AssertionError

    one = Order(LINE, "own", load)
    assert one.decide("own", "unknown") == (True, "")
    assert list(one.newer()) == []


def test_of_very_many_commits_the_newest_are_looked_for() -> None:
    graph = {str(number): [str(number - 1)] for number in range(1, 1000)}
    one = Order(Line("main", "", "0"), "999", lambda: Commits(graph))

    assert list(one.newer()) == [str(number) for number in range(999, 899, -1)]


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    count = draw(st.integers(2, 8))
    return {
        str(number): [
            str(parent)
            for parent in draw(
                st.lists(st.integers(0, number - 1), min_size=1, max_size=2, unique=True)
            )
        ]
        if number
        else []
        for number in range(count)
    }


def behind(graph: Mapping[str, list[str]], commit: str) -> set[str]:
    return {commit}.union(*(behind(graph, parent) for parent in graph[commit]))


@given(graphs(), st.data())
def test_a_tag_never_goes_back_on_a_branch_that_only_grows(
    graph: dict[str, list[str]], data: st.DataObject
) -> None:
    pick = st.sampled_from(sorted(graph))
    commit, named, tip = data.draw(pick), data.draw(pick), data.draw(pick)
    found = Order(Line("main", "", commit), tip, lambda: Commits(graph))

    moves, _ = found.decide(commit, named)

    on = behind(graph, tip)
    if commit not in on:
        assert not moves
    elif named in on:
        assert moves == (named in behind(graph, commit))
    else:
        assert moves
    newer = list(found.newer())
    assert set(newer) <= on
    assert commit not in newer
    assert all(commit in behind(graph, each) for each in newer) or commit not in on
