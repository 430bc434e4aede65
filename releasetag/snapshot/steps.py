"""The steps of a snapshot, in order.

The image is pushed under the tag of its commit, and then the floating tag is moved to it by
manifest. So a commit is built once, and the moment between looking at a tag and moving it is short.

Registries have no compare-and-swap. Two runs of different commits may each look at the tag, and
then move it, in any order. So every run looks again when it has moved it: at the branch, and at the
images of the commits that came after its own. Whoever moves the tag last looks last.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from releasetag.errors import ConflictError, HistoryError, PushError, UsageError
from releasetag.git import WorkTree
from releasetag.image import (
    EngineReport,
    ImageSource,
    MadeImage,
    Preflight,
    Tools,
    builds,
    image_source,
    tag_in_engine,
)
from releasetag.parallel import map_parallel
from releasetag.publish.run import Provenance
from releasetag.publish.steps import check_part, refuse_changed_files
from releasetag.published import PublishedImage, inspect_image
from releasetag.reference import Reference, Repository
from releasetag.registry import Manifest, Registries
from releasetag.snapshot.order import Line, Order
from releasetag.snapshot.plan import SnapshotPlan, of_variants, read_order
from releasetag.tagging import Status, TagResult, copy_progress, report_outcome
from releasetag.text import printable
from releasetag.version import Snapshot, commit_tags

_ROUNDS = 8


class SnapshotReport(EngineReport, Protocol):
    """Receives what happens as it happens; see `releasetag.publish.Report`."""

    def planned(self, plan: SnapshotPlan) -> None:
        """The plan stands."""

    def made(self, build: Provenance) -> None:
        """The image is there; called again when its digest is known."""

    def published(self, item: TagResult) -> None:
        """The outcome for a reference is known; the last one reported stands."""


@dataclass(frozen=True)
class SnapshotRun:
    """One snapshot and its collaborators.

    Attributes:
        found: the image of the commit that is published already, by digest; None: there is none.
        read_order: looks at a line as it is now.
        clock: seconds, only ever compared.
    """

    plan: SnapshotPlan
    source: ImageSource
    preflight: Preflight
    found: Reference | None
    registries: Registries
    report: SnapshotReport
    read_order: Callable[[Line], Order]
    clock: Callable[[], float]

    def references(self, names: Sequence[str]) -> list[Reference]:
        """Tags in every repository, name by name."""
        return [r.tagged(name) for name in names for r in self.plan.repositories]

    @property
    def first(self) -> Reference:
        """The tag that is pushed before all others."""
        return self.plan.repositories[0].tagged(self.plan.exact[0].name)

    def each_reported(
        self, do: Callable[[Reference], TagResult], references: Sequence[Reference]
    ) -> list[TagResult]:
        """Do something to every reference, concurrently, and report every outcome."""

        def reported(reference: Reference) -> TagResult:
            return report_outcome(reference, lambda: do(reference), self.report.published)

        jobs = self.plan.settings.jobs
        return [result for _, result in map_parallel(reported, references, jobs)]


def publish_snapshot(
    tree: WorkTree, plan: SnapshotPlan, tools: Tools, report: SnapshotReport
) -> Provenance:
    """Build and push what is planned, or reuse the image of the commit.

    Args:
        tree: the work tree that the image is built from.

    Returns:
        Where the image came from, of variants the default or first one's; the outcome for every
        reference has been reported.

    Raises:
        ReleasetagError: any; running it again goes on.
    """
    settings = plan.settings
    for each in plan.images:
        _check_settings(each)
    if settings.part:
        check_part(plan.images, settings.part)
    refuse_changed_files(tree, settings)
    if settings.push and plan.line:
        read_order(tree, settings, plan.line, report.warn)  # before a build that would be in vain
    if settings.push:
        report.step("Inspecting the registries")
    found = [
        find_commit(each, tools.registries) if settings.push else (each, None)
        for each in plan.images
    ]
    plan = of_variants([each for each, _ in found], settings)
    sources = [image_source(tree, each, tools, report) for each in plan.images]
    runs = [
        SnapshotRun(
            each,
            source,
            source.check(),
            published,
            tools.registries,
            report,
            # It has warned already.
            lambda line: read_order(tree, settings, line, lambda _: None),
            tools.clock,
        )
        for (each, published), source in zip(found, sources, strict=True)
    ]
    if settings.dry_run:
        plan = of_variants([_with_decision(run) for run in runs], settings)
    report.planned(plan)
    return publish(*runs)


def find_commit(
    plan: SnapshotPlan, registries: Registries
) -> tuple[SnapshotPlan, Reference | None]:
    """Find the image of the commit, and the tags that it has or may have in every repository.

    What cannot be used is replaced.

    Raises:
        ConflictError: other images have the tags of the commit.
    """
    names = commit_tags(plan.subject.revision)
    for name in names:
        named = plan.with_commit_tag(name)
        tags = [r.tagged(tag.name) for r in plan.repositories for tag in named.exact]
        inspect = partial(inspect_image, registries, denied_is_absent=True)
        images = [
            (tag, image)
            for tag, image in map_parallel(inspect, tags, plan.settings.jobs)
            if image is not None and not image.problem
        ]
        if all(image.is_of(plan.subject) for _, image in images):
            found = [tag.repository.at(image.digest) for tag, image in images]
            return named, found[0] if found and not plan.settings.overwrite else None
    raise ConflictError(
        f"the tags {names[0]} and {names[1]} name images that do not say that they are of this"
        " commit",
        "see who pushes them, and delete the one that is wrong",
    )


def publish(*runs: SnapshotRun) -> Provenance:
    """Do the steps: see `publish_snapshot`.

    Args:
        runs: one for each variant.
    """
    settings = runs[0].plan.settings
    if settings.dry_run:
        first, *_ = [_dry_run(run) for run in runs]
        return first
    if not settings.push:
        first, *_ = [_tag_in_engine_only(run) for run in runs]
        return first
    done = [_reuse_or_build(run) for run in runs]
    for waiting in (each.provenance for each in done if each.provenance.missing):
        return waiting
    pushed = [_push(*each) for each in zip(runs, done, strict=True)]
    for run, image in zip(runs, pushed, strict=True):
        if moved := _move(run, image.manifest):
            _converge(run, image)
            tag_in_engine(run.source, run.preflight, image.in_engine, moved, run.report.warn)
    return pushed[0].provenance


def _check_settings(plan: SnapshotPlan) -> None:
    """Raise UsageError for settings that nothing can be built with."""
    if not plan.repositories:
        raise UsageError(
            "no image is given",
            "name one with --image, in RELEASETAG_IMAGES or as images in releasetag.toml",
        )
    if not builds(plan):
        raise UsageError(
            "a snapshot is built, and the settings give an image or a container",
            "omit --from-image and --from-container, and their variables",
        )


@dataclass(frozen=True)
class _Made:
    """The image of a commit, built or found.

    Attributes:
        made: None: it was found.
    """

    provenance: Provenance
    made: MadeImage | None


@dataclass(frozen=True)
class _Pushed:
    """The image of a commit in every repository.

    Attributes:
        in_engine: its ID there; empty if the engine does not have it.
    """

    provenance: Provenance
    manifest: Manifest
    in_engine: str


def _reuse_or_build(run: SnapshotRun) -> _Made:
    variant = run.plan.settings.variant
    if run.found is None:
        return _build(run)
    image = inspect_image(run.registries, run.found)
    image_id = image.config_digest if image else ""
    return _Made(Provenance(run.preflight.builder, True, 0.0, image_id, variant=variant), None)


def _build(run: SnapshotRun) -> _Made:
    started = run.clock()
    made = run.source.make(run.preflight)
    provenance = Provenance(
        run.preflight.builder,
        False,
        run.clock() - started,
        made.image_id,
        variant=run.plan.settings.variant,
        missing=made.missing,
    )
    run.report.made(provenance)
    for part in made.parts:
        run.report.published(part)
    return _Made(provenance, made)


def _push(run: SnapshotRun, built: _Made) -> _Pushed:
    """Put the image under the tags of the commit, in every repository."""
    origin, made = run.found, built.made
    if origin is None and made is not None:
        run.report.step("Pushing the tag of the commit")
        origin = made.origin or _push_first(run, made)
    manifest = run.registries.settled_manifest(origin) if origin else None
    if origin is None or manifest is None:
        raise PushError(f"{origin} is gone", "see who deletes it, and run again")
    provenance = replace(built.provenance, digest=manifest.digest)
    run.report.made(provenance)
    _put_commit_tags(run, origin, manifest)
    return _Pushed(provenance, manifest, made.image_id if made else "")


def _push_first(run: SnapshotRun, made: MadeImage) -> Reference:
    """Push the first tag by the engine; return what it names, by digest."""

    def push(reference: Reference) -> TagResult:
        digest = run.source.push(run.preflight, made, reference)
        return TagResult(reference, digest, "pushed")

    (result,) = run.each_reported(push, [run.first])
    return result.reference.repository.at(result.digest)


def _put_commit_tags(run: SnapshotRun, origin: Reference, manifest: Manifest) -> None:
    """Put the image into every repository, under the commit's tags where they are free."""
    registries, settings = run.registries, run.plan.settings
    others = [each for each in run.plan.repositories if each != origin.repository]

    def copy(repository: Repository) -> None:
        reference = repository.tagged(run.first.tag)
        progress = copy_progress(reference, run.report.pushing)
        registries.copy(origin, repository, progress=progress)

    map_parallel(copy, others, settings.jobs)

    def put(reference: Reference) -> TagResult:
        if run.found is None and reference == run.first:
            return TagResult(reference, manifest.digest, "pushed")
        image = inspect_image(registries, reference)
        if image is not None and image.digest == manifest.digest:
            return TagResult(reference, image.digest, "unchanged")
        if image is None or image.problem or settings.overwrite:
            registries.put_manifest(reference, manifest)
            return TagResult(reference, manifest.digest, "pushed")
        return TagResult(reference, image.digest, "kept", "names another image of this commit")

    run.each_reported(put, run.references([tag.name for tag in run.plan.exact]))


def _move(run: SnapshotRun, manifest: Manifest) -> list[Reference]:
    """Move the floating tag; return the references that were moved."""
    if run.plan.line is None:
        return []
    run.report.step("Moving the tag")
    order = run.read_order(run.plan.line)
    commit, references = run.plan.line.commit, run.references([t.name for t in run.plan.floating])

    def move(reference: Reference) -> TagResult:
        digest = run.registries.digest(reference)
        if digest == manifest.digest:
            return TagResult(reference, digest, "unchanged")
        named = _named_commit(run, reference, digest)
        previous = printable(named, 12)[:7] or digest or ""
        moves, reason = order.decide(commit, named)
        if not moves:
            return TagResult(reference, digest or "", "kept", reason, previous=previous)
        run.registries.put_manifest(reference, manifest)
        return TagResult(reference, manifest.digest, "pushed", reason, previous=previous)

    results = run.each_reported(move, references)
    return [result.reference for result in results if result.status == "pushed"]


def _named_commit(run: SnapshotRun, reference: Reference, digest: str | None) -> str:
    """Return the commit that a tag names; empty if it names none that is known."""
    if digest is None:
        return ""
    image = inspect_image(run.registries, reference.repository.at(digest))
    if image is None or image.problem or not image.revision:
        why = "does not say what commit it was built from"
        if image is None or image.problem:
            why = f"cannot be used: {image.problem if image else 'it is gone'}"
        run.report.warn(f"{reference} names an image that {why}, and is replaced")
        return ""
    return image.revision


def _converge(run: SnapshotRun, pushed: _Pushed) -> None:
    """Look at the tag again, and have it name the newest commit whose image is there.

    Raises:
        ConflictError: another program moves the tag again and again.
    """
    line, manifest = run.plan.line, pushed.manifest
    references = run.references([tag.name for tag in run.plan.floating])
    for _ in range(_ROUNDS):
        try:
            order = run.read_order(line) if line else None
            if order is None:
                return
            if other := _other_image(run, manifest):
                manifest = _follow(run, pushed.provenance, other)
            settle = partial(_settle, run, order, manifest)
            settled = map_parallel(settle, references, run.plan.settings.jobs)
        except HistoryError as error:
            run.report.warn(f"the branch could not be read a last time: {error.message}")
            return
        if not any(changed for _, changed in settled):
            return
    raise ConflictError(
        f"{', '.join(map(str, references))}: another program moves what this one moved",
        "see which, then run again",
    )


def _other_image(run: SnapshotRun, manifest: Manifest) -> Reference | None:
    """Find another image of this commit, which another run has put in place of this run's."""
    if run.registries.settled_digest(run.first, manifest.digest) == manifest.digest:
        return None
    image = inspect_image(run.registries, run.first)
    if image is None or image.problem or not image.is_of(run.plan.subject):
        return None
    return run.first.repository.at(image.digest)


def _follow(run: SnapshotRun, provenance: Provenance, other: Reference) -> Manifest:
    """Go on with the image that another run has put, as if it had been there before."""
    made = _Made(replace(provenance, reused=True), None)
    return _push(replace(run, found=other), made).manifest


def _settle(run: SnapshotRun, order: Order, manifest: Manifest, reference: Reference) -> bool:
    """Have a tag name the newest image; return whether it had to be put."""
    registries, repository = run.registries, reference.repository
    commit, reason = order.line.commit, ""
    for newer in order.newer():
        image = _image_of(run, repository, newer)
        found = registries.manifest(repository.at(image.digest)) if image else None
        if found is not None:
            commit, manifest = newer, found
            reason = f"{newer[:7]} was pushed meanwhile, which is newer"
            break
    if registries.settled_digest(reference, manifest.digest) == manifest.digest:
        if reason:
            run.report.published(TagResult(reference, manifest.digest, "kept", reason))
        return False
    digest = registries.digest(reference)
    moves, why = order.decide(commit, _named_commit(run, reference, digest))
    if order.line.is_pull and reason:
        moves = True
    if not moves:
        run.report.published(TagResult(reference, digest or "", "kept", why))
        return False
    registries.put_manifest(reference, manifest)
    status: Status = "kept" if reason else "pushed"
    run.report.published(TagResult(reference, manifest.digest, status, reason or why))
    return True


def _image_of(run: SnapshotRun, repository: Repository, commit: str) -> PublishedImage | None:
    """Return the image of a commit, if it is in a repository and can be used."""
    for name in commit_tags(commit):
        tag = run.plan.with_commit_tag(name).exact[0].name
        image = inspect_image(run.registries, repository.tagged(tag))
        if image and not image.problem and image.is_of(Snapshot(name, commit)):
            return image
    return None


def _tag_in_engine_only(run: SnapshotRun) -> Provenance:
    built = _build(run)
    for reference in run.plan.references:
        run.source.tag(run.preflight, built.provenance.image_id, reference)
    return built.provenance


def _dry_run(run: SnapshotRun) -> Provenance:
    """Check what is left to check, and report what there would be."""
    if run.found is None:
        run.source.require_ready(run.preflight)
    provenance = Provenance(
        run.preflight.builder,
        run.found is not None,
        0.0,
        "",
        run.found.digest if run.found else "",
        run.plan.settings.variant,
    )
    run.report.made(provenance)
    return provenance


def _with_decision(run: SnapshotRun) -> SnapshotPlan:
    """Return the plan of an image, with a floating tag that would stay everywhere as kept."""
    plan = run.plan
    if not plan.settings.push or plan.line is None:
        return plan
    order = run.read_order(plan.line)
    reasons = []
    references = run.references([tag.name for tag in plan.floating])
    for reference in references:
        digest = run.registries.digest(reference, denied_is_absent=True)
        if run.found is not None and digest == run.found.digest:
            continue
        moves, reason = order.decide(plan.line.commit, _named_commit(run, reference, digest))
        if not moves:
            reasons.append(reason)
    return plan.kept(printable(reasons[0])) if len(reasons) == len(references) else plan
