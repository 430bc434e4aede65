"""Results as references alone, one a line: what ``--quiet`` prints."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from releasetag.errors import ReleasetagError
    from releasetag.explain import Explanation
    from releasetag.findings import Finding
    from releasetag.fix import Fixes
    from releasetag.plan import Plan
    from releasetag.release_tree import ReleaseTree
    from releasetag.report.record import PromoteResult, PublishResult
    from releasetag.verify import VerifiedRepository


def format_plan(plan: "Plan") -> str:
    """Format the references to push, or the tags where no repository is known."""
    names = [tag.name for tag in plan.tags if tag.action == "push"]
    return _lines(plan.references or names)


def format_plans(plans: "Iterable[Plan]") -> str:
    """Format the references to push of all components."""
    return "".join(map(format_plan, plans))


def format_publish(result: "PublishResult") -> str:
    """Format the references that name the release now."""
    is_dry = result.plan is not None and result.plan.settings.dry_run
    return "" if is_dry else _lines(result.references)


def format_verify(
    repositories: "Iterable[VerifiedRepository]",
    fixes: "Fixes | None" = None,
    error: "ReleasetagError | None" = None,
) -> str:
    """Format the tags that are not as they should be, in a table that says why."""
    from releasetag.report.console import Tables, open_console

    found = []
    for each in repositories:
        tags = tuple(tag for tag in each.tags if tag.status not in {"ok", "unpublished"})
        if tags:
            found.append(replace(each, tags=tags))
    return Tables(open_console(stderr=False)).format_verify(found, fixes, error)


def format_promote(result: "PromoteResult") -> str:
    """Format the references that name the release now."""
    return _lines(result.published)


def format_history(trees: "Iterable[ReleaseTree]") -> str:
    """Format the git tags of the releases that are published, or to be."""
    return _lines(
        each.release.git_tag
        for tree in trees
        for each in tree.releases
        if each.status not in {"unpublished", "ignored"}
    )


def format_explain(explanations: "Iterable[Explanation]") -> str:
    """Format what the tags name, by digest."""
    return _lines(each.reference.repository.at(each.digest) for each in explanations if each.digest)


def format_doctor(findings: "Iterable[Finding]") -> str:
    """Format the problems alone, in a table."""
    from releasetag.report.console import Tables, open_console

    problems = [each for each in findings if each.status == "problem"]
    return Tables(open_console(stderr=False)).format_doctor(problems)


def _lines(values: Iterable[object]) -> str:
    return "".join(f"{value}\n" for value in values)
