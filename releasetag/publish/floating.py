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


def move(run: Run, plan: Plan, manifest: Manifest, image_id: str) -> list[TagResult]:
    """Move the floating tags, the narrowest scope first, concurrently across repositories.

    Args:
        plan: as it was re-checked.
        image_id: of the image in the engine, which is tagged as well; empty if it is not there.

    Returns:
        What was moved, or named the image already.
    """
    if not plan.floating:
        return []
    run.report.step("Moving the floating tags")
    results = run.mover(plan, manifest).move_all([tag.name for tag in plan.floating])
    moved = [result for result in results if result.status != "kept"]
    _tag_in_engine(run, image_id, [result.reference for result in moved])
    return moved


def _tag_in_engine(run: Run, image_id: str, references: list[Reference]) -> None:
    """Tag in the engine what the registries have; they are what counts."""
    try:
        for reference in references:
            run.source.tag(run.preflight, image_id, reference)
    except EngineError as error:
        run.report.warn(f"the engine does not have the floating tags: {error.message}")
