"""Image sources: a build, an existing image, or a container.

The only part of a publish that uses the engine.
"""

from releasetag.git import WorkTree
from releasetag.image.source import (
    EngineReport,
    ImagePlan,
    ImageSource,
    MadeImage,
    Preflight,
    Tools,
    builds,
    open_tools,
    reuses_commit,
    tag_in_engine,
)

__all__ = [
    "EngineReport",
    "ImagePlan",
    "ImageSource",
    "MadeImage",
    "Preflight",
    "Tools",
    "builds",
    "image_source",
    "open_tools",
    "reuses_commit",
    "tag_in_engine",
]


def image_source(
    tree: WorkTree, plan: ImagePlan, tools: Tools, report: EngineReport
) -> ImageSource:
    """Return the source that the settings name.

    Raises:
        UsageError: what the image is to be built from cannot be used.
    """
    settings = plan.settings
    if settings.from_image:
        from releasetag.image.existing import ExistingImage

        return ExistingImage(plan, tools, report)
    if settings.from_container:
        from releasetag.image.existing import CommittedContainer

        return CommittedContainer(plan, tools, report, tree)
    if reuses_commit(plan):
        from releasetag.image.existing import PublishedCommit

        return PublishedCommit(plan, tools, report, tree)
    from releasetag.image.builders import choose_program
    from releasetag.image.inputs import resolve_inputs

    builder = choose_program(settings, tools.environ, report)
    inputs = resolve_inputs(tree, plan, tools.environ, builder)
    if builder.startswith("buildx"):
        from releasetag.image.buildx import BuildxImage, BuildxPart

        kind = BuildxPart if settings.part else BuildxImage
        return kind(plan, tools, report, inputs, builder)
    if len(settings.platforms) > 1 or settings.part:
        from releasetag.image.platforms import PlatformImages

        return PlatformImages(plan, tools, report, inputs)
    from releasetag.image.engine_build import BuiltImage

    return BuiltImage(plan, tools, report, inputs)
