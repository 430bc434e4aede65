"""Where the image of a release comes from: a build, an image that exists, or a container.

All that a publish knows of the engine is here.
"""

from releasetag.git import WorkTree
from releasetag.image.source import EngineReport, ImageSource, Tools, builds, open_tools
from releasetag.plan import Plan

__all__ = ["EngineReport", "ImageSource", "Tools", "builds", "image_source", "open_tools"]


def image_source(tree: WorkTree, plan: Plan, tools: Tools, report: EngineReport) -> ImageSource:
    """The source that the settings ask for."""
    settings = plan.settings
    if not builds(plan):
        from releasetag.image.existing import CommittedContainer, ExistingImage

        given = ExistingImage if settings.from_image else CommittedContainer
        return given(tree, plan, tools, report)
    if settings.builder.startswith("buildx"):
        from releasetag.image.buildx import BuildxImage

        return BuildxImage(tree, plan, tools, report)
    if len(settings.platforms) > 1:
        from releasetag.image.platforms import PlatformImages

        return PlatformImages(tree, plan, tools, report)
    from releasetag.image.engine_build import BuiltImage

    return BuiltImage(tree, plan, tools, report)
