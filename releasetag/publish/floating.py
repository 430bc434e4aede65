"""Move the floating tags."""

from collections.abc import Sequence

from releasetag.image import tag_in_engine
from releasetag.plan import Plan, plan_for
from releasetag.publish.exact import ExactTags
from releasetag.publish.run import Run
from releasetag.tagging import TagResult


def replan(runs: Sequence[Run]) -> list[Plan]:
    """Re-check the history: a release that appeared meanwhile may keep a floating tag.

    Args:
        runs: one for each variant.

    Raises:
        HistoryError: the remote answered before and does not now.
    """
    if not any(run.plan.floating for run in runs):
        return [run.plan for run in runs]
    runs[0].report.step("Re-checking the history")
    git_tags = runs[0].reread_git_tags()
    return [plan_for(run.plan.release, run.plan.settings, git_tags) for run in runs]


def move(run: Run, plan: Plan, image: ExactTags) -> list[TagResult]:
    """Move the floating tags, the narrowest scope first, concurrently across repositories.

    Args:
        plan: as it was re-checked.
        image: what is under the exact tags; in the engine it is tagged as well, if it is there.

    Returns:
        What was moved, or named the image already.
    """
    if not plan.floating:
        return []
    run.report.step(f"Moving the floating tags{run.of_variant}")
    results = run.mover(plan, image.manifest).move_all([tag.name for tag in plan.floating])
    moved = [result for result in results if result.status != "kept"]
    references = [result.reference for result in moved]
    tag_in_engine(run.source, run.preflight, image.in_engine, references, run.report.warn)
    return moved
