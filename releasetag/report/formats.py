"""The formats of results on standard output. A format is a file, and a line here."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from releasetag.errors import ReleasetagError
    from releasetag.explain import Explanation
    from releasetag.findings import Finding
    from releasetag.fix import Fixes
    from releasetag.plan import Plan
    from releasetag.release_tree import ReleaseTree
    from releasetag.report.record import PromoteResult, PublishResult
    from releasetag.verify import VerifiedRepository


class Format(Protocol):
    """Formats the result of every command, a failed one as far as it came."""

    def format_plan(self, plan: "Plan") -> str:
        """Format a plan."""

    def format_plans(self, plans: "Sequence[Plan]") -> str:
        """Format the plans of all components."""

    def format_publish(self, result: "PublishResult") -> str:
        """Format a publish."""

    def format_verify(
        self,
        repositories: "Iterable[VerifiedRepository]",
        fixes: "Fixes | None" = None,
        error: "ReleasetagError | None" = None,
    ) -> str:
        """Format a comparison of registries with the history, and what was done about it."""

    def format_promote(self, result: "PromoteResult") -> str:
        """Format a promotion."""

    def format_explain(self, explanations: "Sequence[Explanation]") -> str:
        """Format why tags name what they name."""

    def format_history(self, trees: "Sequence[ReleaseTree]") -> str:
        """Format the releases by lines."""

    def format_doctor(self, findings: "Sequence[Finding]") -> str:
        """Format what was checked."""


def choose_format(*, json: bool, quiet: bool) -> Format:
    """Return the format that the options ask for."""
    # Each is imported where it is used, for the time that it takes.
    if json:
        from releasetag.report import json as json_format

        return json_format
    if quiet:
        from releasetag.report import references

        return references
    from releasetag.report.console import Tables, open_console

    return Tables(open_console(stderr=False))
