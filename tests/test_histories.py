"""The rule on the release histories of real projects, replayed release by release.

The histories are no part of the project: they are read where they lie beside it.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest

from releasetag.fanout import fan_out
from releasetag.policy import TagPolicy
from releasetag.template import parse_template
from releasetag.version import Release, version_of
from tests import oracle

FOLDER = Path(__file__).parents[2] / "shared" / "histories"
FLOATING = ["{major}.{minor}", "{major}", "latest", "{channel}"]


@dataclass(frozen=True)
class History:
    """The releases of one component of a project, in the order in which they were made."""

    project: str
    prefix: str | None
    git_tags: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.project}[{'v' if self.prefix is None else self.prefix}]"


def _git_tags(file: Path) -> list[str]:
    return [line.partition(" ")[2] for line in file.read_text("utf-8").splitlines()]


def _prefix(git_tag: str) -> str:
    """What stands before the version; the whole name if there is none in it."""
    for index in range(len(git_tag)):
        if oracle.read(git_tag[index:]) is not None:
            return git_tag[:index]
    return git_tag


def _histories() -> list[History]:
    found = []
    for file in sorted(FOLDER.glob("*.txt")):
        names = _git_tags(file)
        prefixes = {_prefix(name) for name in names} - {"", "v"}
        for prefix in (None, *sorted(prefixes)):
            tags = tuple(n for n in names if oracle.read_git_tag(n, prefix) is not None)
            if tags:
                found.append(History(file.stem, prefix, tags))
    return found


HISTORIES = _histories()


def test_there_are_histories_to_replay() -> None:
    if not HISTORIES:
        warnings.warn(f"no release histories in {FOLDER}: nothing was replayed", stacklevel=1)
        assert not FOLDER.exists(), "the folder is there, but holds no history"
        return
    assert len({history.project for history in HISTORIES}) == len(list(FOLDER.glob("*.txt")))


# Where there is none, the test above says so; pytest would call the others skipped.
if HISTORIES:

    @pytest.mark.parametrize("history", HISTORIES, ids=str)
    def test_after_every_release_every_floating_tag_names_the_highest_so_far(
        history: History,
    ) -> None:
        policy = TagPolicy(tuple(map(parse_template, FLOATING)))
        known: list[Release] = []
        names: dict[str, oracle.Read] = {}  # what the program made of the tags
        expected: dict[str, oracle.Read] = {}  # the highest so far, by the tag it belongs to
        for git_tag in history.git_tags:
            read = oracle.read_git_tag(git_tag, history.prefix)
            assert read is not None
            known.append(_release(git_tag, history.prefix))

            for tag in fan_out(known[-1], known, policy):
                if tag.action == "push":
                    names[tag.name] = read
            for name in oracle.floating_names(FLOATING, read):
                if name not in expected or read.order >= expected[name].order:
                    expected[name] = read

            assert names == expected, git_tag

    @pytest.mark.parametrize("file", sorted(FOLDER.glob("*.txt")), ids=lambda file: file.stem)
    def test_every_name_is_read_or_ignored_as_the_grammar_has_it(file: Path) -> None:
        prefixes = {history.prefix for history in HISTORIES if history.project == file.stem}

        for prefix in prefixes:
            for name in _git_tags(file):
                found, expected = version_of(name, prefix), oracle.read_git_tag(name, prefix)
                assert str(found or "") == (expected.text if expected else ""), name

    @pytest.mark.parametrize(
        ("project", "older", "stable"),
        # moby maintains several lines at once; buildx has made its releases in order.
        [("moby_moby", 31, 210), ("docker_buildx", 0, 76)],
    )
    def test_a_release_of_an_older_line_leaves_latest_alone(
        project: str, older: int, stable: int
    ) -> None:
        (history,) = [h for h in HISTORIES if h.project == project and h.prefix is None]
        known: list[Release] = []
        actions: list[str] = []
        for git_tag in history.git_tags:
            known.append(_release(git_tag, None))
            (tag,) = fan_out(known[-1], known, TagPolicy((parse_template("latest"),)))
            actions.append(tag.action)

        assert actions.count("keep") == older
        assert actions.count("keep") + actions.count("push") == stable


def _release(git_tag: str, prefix: str | None) -> Release:
    version = version_of(git_tag, prefix)
    assert version is not None, git_tag
    return Release(git_tag, version, "0" * 40)
