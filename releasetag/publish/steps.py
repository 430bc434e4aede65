"""The steps of a publish, in order: the one place that knows them.

There is no state file. Whatever stops a publish, running it again goes on from what the registries
have.
"""

from functools import partial

from releasetag.config import Settings
from releasetag.errors import UsageError
from releasetag.git import WorkTree
from releasetag.history import reread_git_tags
from releasetag.image import Tools, builds, image_source
from releasetag.plan import Plan
from releasetag.publish import converge, exact, floating, gates
from releasetag.publish.run import Provenance, Report, Run
from releasetag.text import printable


def publish_release(tree: WorkTree, plan: Plan, tools: Tools, report: Report) -> Provenance:
    """Publish a planned release.

    Args:
        tree: the work tree that the image is built from.
        plan: see `releasetag.plan.plan_release`.

    Returns:
        Where the image came from; the outcome for every reference has been reported.

    Raises:
        ReleasetagError: any; the publish stopped, and running it again goes on.
    """
    check_settings(plan)
    if builds(plan):
        check_work_tree(tree, plan)
    settings = plan.settings
    commands = [gates.parse_gate(gate, tools.environ) for gate in settings.gates if settings.push]
    source = image_source(tree, plan, tools, report)
    return publish(
        Run(
            plan,
            source,
            preflight=source.check(),
            gates=commands,
            registries=tools.registries,
            report=report,
            reread_git_tags=partial(reread_git_tags, tree, plan.git_tags),
            run_gate=gates.run_gate,
            environ=tools.environ,
            clock=tools.clock,
        )
    )


def publish(run: Run) -> Provenance:
    """Do the steps: see `publish_release`."""
    settings = run.plan.settings
    run.report.planned(run.plan)
    if not settings.push:
        return _tag_in_engine_only(run)
    run.report.step("Inspecting the registries")
    listed = converge.list_tags(run)
    found = exact.find_published(run, listed)
    origin = found or run.preflight.origin
    if settings.dry_run:
        return _dry_run(run, origin.digest if origin else "", reused=found is not None)
    done = exact.publish(run, origin, reused=found is not None)
    manifest = done.manifest
    exact.put_commit_tags(run, manifest)
    gates.run_gates(run, manifest)
    plan = floating.replan(run)
    converge.confirm(run, manifest)
    moved = floating.move(run, plan, manifest, done.in_engine)
    converge.converge(run, plan, manifest, moved, listed)
    return done.provenance


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
    changed = [] if settings.allow_dirty else tree.changed_files()
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UsageError(
            f"the work tree is dirty: {printable(changed[0], 100)}{more} changed since the commit",
            "commit or stash the changes, or build them all the same with --allow-dirty",
        )


def _tag_in_engine_only(run: Run) -> Provenance:
    if run.plan.settings.dry_run:
        return _dry_run(run, "", reused=False)
    provenance, made = exact.build(run)
    for reference in run.plan.references:
        run.source.tag(run.preflight, made.image_id, reference)
    return provenance


def _dry_run(run: Run, digest: str, *, reused: bool) -> Provenance:
    if not digest:
        run.source.require_ready(run.preflight)
    provenance = Provenance(run.preflight.builder, reused, 0.0, "", digest)
    run.report.made(provenance)
    return provenance
