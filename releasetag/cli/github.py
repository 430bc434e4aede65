"""What a step of GitHub Actions has as outputs of the image, besides what a publish reports."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from releasetag.errors import ReleasetagError, UsageError

if TYPE_CHECKING:
    from releasetag.git import WorkTree
    from releasetag.image import ImagePlan, Tools
    from releasetag.report.github import BuildOutputs
    from releasetag.report.record import Record


def read_build_outputs(
    tree: "WorkTree", plan: "ImagePlan", environ: Mapping[str, str]
) -> "BuildOutputs | None":
    """Read what the images are built with; None where nobody asks for outputs."""
    if not environ.get("GITHUB_OUTPUT"):
        return None
    from releasetag.image.metadata import read_metadata
    from releasetag.report.github import BuildOutputs

    return BuildOutputs(read_metadata(tree, plan, environ))


def write_failure(error: ReleasetagError, environ: Mapping[str, str]) -> None:
    """Write the outputs and the summary of a step that failed before there was a plan."""
    if is_step(environ):
        from releasetag.report.github import write_plan_outputs
        from releasetag.report.json import format_object

        with suppress(UsageError):  # the first error is the one to show
            write_plan_outputs((), format_object({}, error), environ, error=error)


def is_step(environ: Mapping[str, str]) -> bool:
    """Whether GitHub Actions reads what is written for it."""
    return bool(environ.get("GITHUB_OUTPUT") or environ.get("GITHUB_STEP_SUMMARY"))


def with_digests(
    outputs: "BuildOutputs | None", plan: "ImagePlan", record: "Record", tools: "Tools"
) -> "BuildOutputs | None":
    """Add the digests of the published image's platforms."""
    digest = record.build.digest if record.build else ""
    if outputs is None or not digest or plan.settings.dry_run:
        return outputs
    from releasetag.published import platform_digests

    try:
        found = platform_digests(tools.registries, plan.images[0].repositories[0].at(digest))
    except ReleasetagError:
        return outputs  # it is published all the same
    return replace(outputs, digests=found)
