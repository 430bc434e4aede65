"""Move the floating tags."""

from releasetag.errors import EngineError
from releasetag.plan import Plan
from releasetag.publish.run import Run
from releasetag.reference import Reference
from releasetag.registry import Manifest
from releasetag.tagging import TagResult


def replan(run: Run) -> Plan:
    """Re-check the history: a release that appeared meanwhile may keep a floating tag."""
    if not run.plan.floating:
        return run.plan
    run.report.step("Re-checking the history")
    return run.replan()


def move(run: Run, plan: Plan, manifest: Manifest) -> list[TagResult]:
    """Move the floating tags, the narrowest scope first, concurrently across repositories.

    Args:
        plan: as it was re-checked.

    Returns:
        What was moved, or named the image already.
    """
    if not plan.floating:
        return []
    run.report.step("Moving the floating tags")
    results = run.mover(plan, manifest).move_all([tag.name for tag in plan.floating])
    moved = [result for result in results if result.status != "kept"]
    _tag_in_engine(run, [result.reference for result in moved])
    return moved


def _tag_in_engine(run: Run, references: list[Reference]) -> None:
    """Tag in the engine what the registries have; they are what counts."""
    try:
        for reference in references:
            run.source.tag(reference)
    except EngineError as error:
        run.report.warn(f"the engine was not given the floating tags: {error.message}")
