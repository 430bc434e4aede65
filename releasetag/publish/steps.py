"""The steps of a publish, in order: the one place that knows them.

There is no state file. Whatever stops a publish, running it again goes on from what the registries
have.
"""

from collections.abc import Sequence
from functools import partial

from releasetag.config import Settings
from releasetag.errors import UsageError
from releasetag.git import WorkTree
from releasetag.git_changes import changed_files
from releasetag.history import reread_git_tags
from releasetag.image import ImagePlan, Tools, builds, image_source, reuses_commit
from releasetag.plan import Plan
from releasetag.publish import converge, exact, floating, gates
from releasetag.publish.run import Provenance, Report, Run
from releasetag.reference import Reference
from releasetag.text import printable


def publish_release(tree: WorkTree, plan: Plan, tools: Tools, report: Report) -> Provenance:
    """Publish a planned release.

    Args:
        tree: the work tree that the image is built from.
        plan: see `releasetag.plan.plan_release`.

    Returns:
        Where the image came from, of variants the default or first one's; the outcome for every
        reference has been reported.

    Raises:
        ReleasetagError: any; the publish stopped, and running it again goes on.
    """
    for each in plan.images:
        check_settings(each)
    if plan.settings.part:
        check_part(plan.images, plan.settings.part)
    if len(plan.images) > 1 and not (builds(plan) or reuses_commit(plan)):
        raise UsageError("one image is given for several variants", "pick one with --variant")
    if builds(plan):
        check_work_tree(tree, plan)
    settings = plan.settings
    commands = [gates.parse_gate(gate, tools.environ) for gate in settings.gates if settings.push]
    sources = [image_source(tree, each, tools, report) for each in plan.images]
    runs = [
        Run(
            image,
            source,
            preflight=source.check(),
            gates=commands,
            registries=tools.registries,
            report=report,
            reread_git_tags=partial(reread_git_tags, tree, plan.git_tags),
            run_gate=gates.run_gate,
            environ=tools.environ,
            clock=tools.clock,
            siblings=plan.settings.other_variants(image.settings),
        )
        for image, source in zip(plan.images, sources, strict=True)
    ]
    report.planned(plan)
    return publish(*runs)


def publish(*runs: Run) -> Provenance:
    """Do the steps: see `publish_release`.

    Args:
        runs: one for each variant.
    """
    first = runs[0]
    settings = first.plan.settings
    if not settings.push:
        provenances = [_tag_in_engine_only(run) for run in runs]
        return provenances[0]
    first.report.step("Inspecting the registries")
    listed = converge.list_tags(*runs)
    found = [exact.find_published(run, listed) for run in runs]
    if settings.dry_run:
        provenances = [_dry_run(*each) for each in zip(runs, found, strict=True)]
        return provenances[0]
    built = [exact.build_if_missing(*each) for each in zip(runs, found, strict=True)]
    for waiting in (each[0] for each in built if each and each[0].missing):
        return waiting
    done = [exact.publish(*each) for each in zip(runs, found, built, strict=True)]
    for run, image in zip(runs, done, strict=True):
        exact.put_commit_tags(run, image.manifest)
    gates.run_gates(runs, [image.manifest for image in done])
    plans = floating.replan(runs)
    for run, image in zip(runs, done, strict=True):
        converge.confirm(run, image.manifest)
    moved = [floating.move(*each) for each in zip(runs, plans, done, strict=True)]
    for run, plan, image, results in zip(runs, plans, done, moved, strict=True):
        converge.converge(run, plan, image.manifest, results, listed)
    return done[0].provenance


def check_settings(plan: Plan) -> None:
    """Raise UsageError for settings that nothing can be published with."""
    settings = plan.settings
    if not plan.repositories:
        raise UsageError(
            "no image is given",
            "name one with --image, in RELEASETAG_IMAGES or as images in releasetag.toml",
        )
    if not plan.exact:
        raise UsageError(
            f"no tag template gives an exact tag for {plan.release.version}, so nothing would stay"
            " at this version",
            "add one that does, such as {version}",
        )
    if settings.from_image and settings.from_container:
        raise UsageError("both an image and a container are given", "give one of them")
    _check_commit(plan)
    if settings.part and settings.overwrite:
        raise UsageError(
            "parts that replace a release would mix its images with the new ones",
            "omit --part and build all platforms, or publish a new version",
        )
    if settings.part and not builds(plan):
        raise UsageError("a part is built, and an image is given", "omit --part")


def _check_commit(plan: Plan) -> None:
    """Raise UsageError for settings that --from-snapshot or --from-version contradicts."""
    settings = plan.settings
    if not reuses_commit(plan):
        return
    if settings.from_image or settings.from_container:
        raise UsageError(
            "an image is given, and one of the commit is to be published", "give one of them"
        )
    if settings.from_snapshot and settings.from_version is not None:
        raise UsageError("both a snapshot and a version are to be published", "give one of them")
    if settings.from_version == plan.release.version:
        raise UsageError(
            f"{settings.from_version} is the release itself", "name another version with its image"
        )
    if not settings.push:
        raise UsageError(
            "what is published of the commit is not in the engine", "omit --no-push, or build"
        )


def check_part(images: Sequence[ImagePlan], part: str) -> None:
    """Raise UsageError for a part that is none of the platforms of any image."""
    platforms = [each.settings.platforms for each in images]
    if not all(platforms):
        raise UsageError(
            "a part is one of several platforms, and none are given",
            "name all of them with --platform, the same in every run",
        )
    if not images[0].settings.push:
        raise UsageError(
            "a part is for other runs to find in the registry", "omit --part, or --no-push"
        )
    known = dict.fromkeys(platform for each in platforms for platform in each)
    if part not in known:
        raise UsageError(
            f"the part {part!r} is none of the platforms", f"name one of {', '.join(known)}"
        )


def check_work_tree(tree: WorkTree, plan: Plan) -> None:
    """Raise UsageError if the work tree is not the release's commit."""
    revision = tree.head()
    if revision != plan.release.revision:
        name = plan.release.git_tag
        raise UsageError(
            f"the git tag {name} is at {plan.release.revision[:7]} and HEAD is at {revision[:7]}:"
            " the image would be built from other code",
            f"check it out first: git checkout {name}",
        )
    refuse_changed_files(tree, plan.settings)


def refuse_changed_files(tree: WorkTree, settings: Settings) -> None:
    """Raise UsageError if tracked files are changed, unless the settings allow it."""
    changed = [] if settings.allow_dirty else changed_files(tree)
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UsageError(
            f"the work tree is dirty: {printable(changed[0], 100)}{more} changed since the commit",
            "commit or stash the changes, or build them all the same with --allow-dirty",
        )


def _tag_in_engine_only(run: Run) -> Provenance:
    if run.plan.settings.dry_run:
        return _dry_run(run, None)
    provenance, made = exact.build(run)
    for reference in run.plan.references:
        run.source.tag(run.preflight, made.image_id, reference)
    return provenance


def _dry_run(run: Run, published: Reference | None) -> Provenance:
    """Check what is left to check, and report what there would be.

    Args:
        published: the release's image, if it is published already.
    """
    origin = published or run.preflight.origin
    if origin is None:
        run.source.require_ready(run.preflight)
    provenance = Provenance(
        run.preflight.builder,
        published is not None,
        0.0,
        "",
        origin.digest if origin else "",
        run.plan.settings.variant,
    )
    run.report.made(provenance)
    return provenance
