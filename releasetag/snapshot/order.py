"""The order of a branch's commits, in which its tag goes forward. Pure.

Where two merges race, both know the tip of the branch when they look, and the one whose commit is
the tip is right. All others have to know which commit comes after which.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from releasetag.text import printable

_MOST = 100
"""So many commits may have been pushed while a run was under way."""


@dataclass(frozen=True)
class Line:
    """What a floating tag of a snapshot follows.

    Attributes:
        name: for a person: ``main``, ``pull request 12``.
        ref: where the remote has it; empty if that is not known.
        merge_ref: of a pull request, where the remote has its merge.
        commit: the one of this run, by which it is compared with the tip.
        is_pull: whether it is a pull request. Its merges follow no order, its tip alone counts.
        is_ci: whether a CI system names it. Then HEAD has to be on the branch: workflows may have
            checked out anything. A person's branch may be ahead of the remote.
    """

    name: str
    ref: str
    commit: str
    merge_ref: str = ""
    is_pull: bool = False
    is_ci: bool = True


@dataclass(frozen=True)
class Commits:
    """Commits with their parents."""

    parents: Mapping[str, Sequence[str]]

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether a commit is behind another one, or is the same."""
        seen, left = {newer}, [newer]
        while left:
            commit = left.pop()
            if commit == older:
                return True
            for parent in self.parents.get(commit, ()):
                if parent not in seen:
                    seen.add(parent)
                    left.append(parent)
        return False


@dataclass(frozen=True)
class Order:
    """A line as it was when it was looked at.

    Attributes:
        tip: its last commit in the remote; empty: the remote does not have it; None: the remote
            was not asked.
        merge: the commit that the remote has at ``merge_ref``.
        load: returns the commits of the line and those behind HEAD; raises HistoryError.
    """

    line: Line
    tip: str | None
    load: Callable[[], Commits]
    merge: str = ""

    def decide(self, commit: str, named: str) -> tuple[bool, str]:
        """Return whether the tag moves to a commit, and why, if there is more to say.

        Args:
            commit: the one of this run, or a later one of the line.
            named: the commit that the tag names; empty if it names none that is known.

        Raises:
            HistoryError: that cannot be known.
        """
        name, tip = self.line.name, self.tip
        if commit == tip or self.line.is_pull:
            return self._decide_tip()
        if tip == "" and self.line.is_ci:
            return False, f"the remote has no {name} any more"
        commits = self.load() if tip or named else Commits({})
        if tip and not self._is_on(commits, commit, tip):
            return False, f"{commit[:7]} is not on {name}, which is at {tip[:7]}"
        if named in {"", commit} or commits.is_ancestor(named, commit):
            return True, ""
        shown = printable(named, 12)[:7]
        if tip and not commits.is_ancestor(named, tip):
            return True, f"named {shown}, which is not on {name} any more"
        if commits.is_ancestor(commit, named):
            return False, f"names {shown}, which is newer"
        return False, f"names {shown}, which {commit[:7]} does not come after"

    def newer(self) -> Iterator[str]:
        """Yield the commits that come in place of this run's, the newest first."""
        own, tip = self.line.commit, self.tip
        if not tip or tip == own:
            return iter(())
        if self.line.is_pull:
            return filter(None, (self.merge, tip))
        commits = self.load()
        if commits.is_ancestor(tip, own) and not self.line.is_ci:
            return iter(())
        return islice(_after(commits, own, tip), _MOST)

    def _decide_tip(self) -> tuple[bool, str]:
        if self.line.is_pull and self.tip and self.tip != self.line.commit:
            return False, f"the {self.line.name} is at {self.tip[:7]} by now"
        return True, ""

    def _is_on(self, commits: Commits, commit: str, tip: str) -> bool:
        if commits.is_ancestor(commit, tip):
            return True
        return not self.line.is_ci and commits.is_ancestor(tip, commit)


def _after(commits: Commits, own: str, tip: str) -> Iterator[str]:
    """Yield the tip of a branch, and its first parents, as far as they come after a commit.

    Where the branch was rewritten, that is all of it. A merge's other parents were never what the
    branch was at.
    """
    is_rewritten = not commits.is_ancestor(own, tip)
    commit = tip
    while commit and (is_rewritten or not commits.is_ancestor(commit, own)):
        if is_rewritten or commits.is_ancestor(own, commit):
            yield commit
        commit = next(iter(commits.parents.get(commit, ())), "")
