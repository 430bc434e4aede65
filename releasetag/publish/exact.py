"""Find the release's image, or build it; put it under every exact tag of every repository."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from releasetag.errors import ConflictError, PushError, ReleasetagError
from releasetag.image import MadeImage
from releasetag.plan import Plan
from releasetag.publish.converge import Listed, may_be_there
from releasetag.publish.run import Provenance, Run
from releasetag.published import PublishedImage, inspect_image
from releasetag.reference import Reference, Repository
from releasetag.registry import Manifest
from releasetag.tagging import TagResult, copy_progress, put
from releasetag.text import printable


@dataclass(frozen=True)
class ExactTags:
    """The image under every exact tag.

    Attributes:
        in_engine: its ID there; empty if the engine does not have it.
    """

    manifest: Manifest
    provenance: Provenance
    in_engine: str


def find_published(run: Run, listed: Listed) -> Reference | None:
    """Find the release's image in the repositories, by digest; None: it has to be built.

    An exact tag names it. Where all of them are gone, a floating tag may still prove to name it.

    Args:
        listed: the tags that the repositories have.

    Raises:
        ConflictError: another image is published under an exact tag.
    """
    first = run.first_exact_references
    # The PUT of every other exact tag looks again, so that a list which is not whole does no harm.
    exact = [each for each in run.exact_references if each in first or may_be_there(each, listed)]
    try:
        found = _inspect(run, exact)
        if run.plan.settings.overwrite:
            return None
        for reference, image in found:
            if image.problem or not run.source.is_release(run.preflight, image):
                raise _conflict_error(reference, image, run.plan)
        if not found:
            floats = run.references(run.floating_names)
            found = _inspect(run, [each for each in floats if may_be_there(each, listed)])
            found = [
                (each, image)
                for each, image in found
                if run.source.is_release(run.preflight, image)
            ]
    except ConflictError:
        raise
    except ReleasetagError as error:
        raise run.registry_error(error) from error
    if len({image.digest for _, image in found}) > 1:
        shown = ", ".join(f"{reference} is {image.digest}" for reference, image in found)
        raise ConflictError(
            f"the release is published under different digests: {shown}",
            "publish one image in place of them with --overwrite",
        )
    return found[0][0].repository.at(found[0][1].digest) if found else None


def build(run: Run) -> tuple[Provenance, MadeImage]:
    """Build the image."""
    started = run.clock()
    made = run.source.make(run.preflight)
    seconds = run.clock() - started
    variant = run.plan.settings.variant
    provenance = Provenance(
        run.preflight.builder, False, seconds, made.image_id, variant=variant, missing=made.missing
    )
    run.report.made(provenance)
    for part in made.parts:
        run.report.published(part)
    return provenance, made


def build_if_missing(run: Run, published: Reference | None) -> tuple[Provenance, MadeImage] | None:
    """Build the image, or return None if there is one.

    Args:
        published: the release's image, if it is published already.
    """
    return None if published or run.preflight.origin else build(run)


def publish(
    run: Run,
    published: Reference | None,
    built: tuple[Provenance, MadeImage] | None = None,
) -> ExactTags:
    """Put the image under every exact tag of every repository.

    Args:
        published: the release's image, if it is published already.
        built: from `build_if_missing`; None: it is built now, if there is none.

    Raises:
        ConflictError: another run published another image under an exact tag meanwhile.
    """
    started = run.clock()
    origin, provenance = published or run.preflight.origin, None
    pushed: list[Reference] = []
    in_engine = run.preflight.image_id
    may_replace = run.plan.settings.overwrite
    is_dropped = False  # whether this run built, and another one was first
    if origin is None:
        provenance, made = built or build(run)
        in_engine, origin, pushed = made.image_id, made.origin, [*made.pushed]
        if origin is None and any(_inspect(run, run.first_exact_references)):
            # Another run has published the release while this one built.
            origin = find_published(run, {})
            is_dropped = origin is not None
        run.report.step(f"Pushing the exact tags{run.of_variant}")
        if origin is None:
            pushed, digest = _push(run, made)
            origin = pushed[0].repository.at(digest)
        for reference in made.pushed:
            run.report.published(TagResult(reference, origin.digest, "pushed"))
        if pushed and not may_replace and (first := _finished_first(run, origin.digest)):
            origin, pushed, is_dropped, may_replace = first, [], True, True
    manifest = _put_everywhere(run, origin, pushed, replace=may_replace)
    if provenance is None or is_dropped:
        image = inspect_image(run.registries, origin)
        image_id = image.config_digest if image else ""
        if is_dropped and not (image and in_engine in image.digests):
            in_engine = ""
        seconds = run.clock() - started
        provenance = Provenance(
            run.preflight.builder, bool(published) or is_dropped, seconds, image_id
        )
    variant = run.plan.settings.variant
    provenance = replace(provenance, digest=manifest.digest, variant=variant)
    run.report.made(provenance)
    return ExactTags(manifest, provenance, in_engine)


def put_commit_tags(run: Run, manifest: Manifest) -> None:
    """Put the image under the tags that name its commit, where they are free."""

    def put_if_free(reference: Reference) -> TagResult:
        digest = run.registries.digest(reference)
        if digest is None:
            run.registries.put_manifest(reference, manifest)
            return TagResult(reference, manifest.digest, "pushed")
        if digest == manifest.digest:
            return TagResult(reference, digest, "unchanged")
        return TagResult(reference, digest, "kept", "names another image of this commit")

    run.each_reported(put_if_free, run.references([tag.name for tag in run.plan.commit]))


def _inspect(run: Run, references: Sequence[Reference]) -> list[tuple[Reference, PublishedImage]]:
    # A repository that may not be read may be one that is not there yet: the push decides.
    def inspect(reference: Reference) -> PublishedImage | None:
        return inspect_image(run.registries, reference, denied_is_absent=True)

    return [(each, image) for each, image in run.each(inspect, references) if image is not None]


def _push(run: Run, made: MadeImage) -> tuple[list[Reference], str]:
    """Push the first exact tag of every repository by the engine; all must be one digest."""
    references = run.first_exact_references
    pushed = run.each_reported(partial(_push_one, run, made), references)
    if len({result.digest for result in pushed}) > 1:
        shown = ", ".join(f"{result.reference} is {result.digest}" for result in pushed)
        raise ConflictError(
            f"one image was pushed, and the digests differ: {shown}",
            "no floating tag moved; see why a registry changes what it is given",
        )
    return references, pushed[0].digest


def _push_one(run: Run, made: MadeImage, reference: Reference) -> TagResult:
    digest = run.source.push(run.preflight, made, reference)
    if (now := run.registries.settled_digest(reference, digest)) != digest:
        raise ConflictError(
            f"{reference} was pushed as {digest} and names {now or 'nothing'}",
            "another program pushes or deletes this tag: see which, then run again",
        )
    return TagResult(reference, digest, "pushed")


def _put_everywhere(
    run: Run, origin: Reference, done: Sequence[Reference], *, replace: bool
) -> Manifest:
    """Put an image that one repository has under every exact tag of all of them.

    Args:
        done: the references that were pushed already.
        replace: whether an exact tag may name another image now.
    """
    registries = run.registries
    manifest = registries.settled_manifest(origin)
    if manifest is None:
        raise PushError(f"{origin} is gone", "see who deletes it, and run again")
    has_image = {reference.repository for reference in (origin, *done)}

    def put_one(reference: Reference) -> TagResult:
        return put(registries, reference, manifest, replace=replace)

    def copy_and_put(reference: Reference) -> TagResult:
        if reference.repository not in has_image:
            progress = copy_progress(reference, run.report.pushing)
            registries.copy(origin, reference.repository, progress=progress)
        return put_one(reference)

    missing = [reference for reference in run.exact_references if reference not in done]
    first: dict[Repository, Reference] = {}
    for reference in missing:
        first.setdefault(reference.repository, reference)
    run.each_reported(copy_and_put, list(first.values()))
    run.each_reported(put_one, [each for each in missing if each not in first.values()])
    return manifest


def _finished_first(run: Run, digest: str) -> Reference | None:
    """Find another image of the release that a run has finished while this one pushed.

    The engine's push replaces a tag that appeared meanwhile. Floating tags
    follow exact ones, so one that names another image of this release shows who was first.
    """
    for tag in run.plan.floating[:1]:
        for repository in run.plan.repositories:
            image = inspect_image(run.registries, repository.tagged(tag.name))
            if image and image.digest != digest and image.is_of(run.plan.release):
                return repository.at(image.digest)
    return None


def _conflict_error(reference: Reference, image: PublishedImage, plan: Plan) -> ConflictError:
    release = plan.release
    if image.problem:
        what = f"and cannot be used: {image.problem}"
    elif plan.settings.from_image:
        what = "as another image than the one that is given"
    elif image.revision == release.revision and image.version_text:
        what = f"as version {image.version_text}"
    elif image.revision:
        what = f"built from commit {printable(image.revision, 12)}"
    else:
        what = "which does not say what commit it was built from"
    return ConflictError(
        f"{reference} is published already, {what}, and {release.git_tag} is"
        f" {release.version} at {release.revision[:12]}",
        "publish a new version, or replace this one with --overwrite",
    )
