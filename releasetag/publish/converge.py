"""Converge with other runs: the only file about races.

Registries have no compare-and-swap. Two runs that publish different versions may each look at a
floating tag, and then put theirs, in any order. So every run looks again when it has moved its
tags, and yields those that a higher release has a right to. Whoever puts a tag last looks last, and
what it sees then is right:

- The higher release is in the history by now, or its exact tag has appeared in a repository.
- It counts when its exact tags are in place everywhere; until then its own run is yet to move tags.
- With gates it counts when it passed them, which its own floating tags show: they come after.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from releasetag.errors import ConflictError, HistoryError, PushError
from releasetag.fanout import higher_releases
from releasetag.parallel import map_parallel
from releasetag.plan import Plan
from releasetag.policy import TagPolicy
from releasetag.publish.run import Run
from releasetag.published import inspect_image
from releasetag.reference import Reference, Repository
from releasetag.registry import Manifest, TagList
from releasetag.tagging import Mover, TagResult, move
from releasetag.version import Release

_ROUNDS = 8

Listed = Mapping[Repository, TagList | None]
"""The tags of each repository; None where the registry does not list them."""


@dataclass(frozen=True)
class Settled:
    """What one look at the moved tags came to.

    Attributes:
        changed: whether a tag was put again, so that another look is due.
        unsure: by reference, a higher release that is published, and of which nothing shows whether
            its gates let it pass.
    """

    changed: bool
    unsure: Mapping[Reference, Release]


def list_tags(*runs: Run) -> Listed:
    """List the tags of every repository in which a floating tag may move, before anything is done.

    Raises:
        EngineError: a registry cannot be asked, and there is no engine either.
    """
    first = runs[0]
    repositories = {
        repository: None
        for run in runs
        if run.plan.floating and not run.plan.settings.dry_run
        for repository in run.plan.repositories
    }
    try:
        return dict(first.each(first.registries.tags, list(repositories)))
    except PushError as error:
        raise first.registry_error(error) from error


def may_be_there(reference: Reference, listed: Listed) -> bool:
    """Whether a tag may exist, by what the registry lists."""
    tags = listed.get(reference.repository)
    if tags is None or (tags.is_known and not tags.names):
        return True
    return reference.tag in tags.names


def converge(
    run: Run, plan: Plan, manifest: Manifest, moved: Sequence[TagResult], listed: Listed
) -> None:
    """Re-check the floating tags, and yield those that a higher release has a right to.

    A tag that the plan keeps is re-checked as well if it names this release's image: a run that was
    killed may have left it so.

    Args:
        plan: as it was re-checked before the tags were moved.
        moved: the tags that this run moved, or found at its image.
        listed: the tags of the repositories before this run did anything.

    Raises:
        ConflictError: a tag does not stay; the exact tag was replaced; or nothing shows whether a
            tag that this run moved belongs to a higher release.
    """
    put = {result.reference for result in moved if result.status == "pushed"}
    watched = [result.reference for result in moved] if put else []
    watched += _left_behind(run, plan, manifest)
    if not watched:
        return
    for attempt in range(_ROUNDS):
        if put or attempt:
            plan = _replan(run, plan)
        others = [*plan.history, *_appeared(run, plan, listed)]
        mover = run.mover(plan, manifest)
        settled = settle(mover, watched, others, gated=bool(plan.settings.gates))
        if not settled.changed:
            break
    else:
        raise not_staying_error(watched)
    if put:
        _confirm_or_follow(run, plan, manifest, watched)
    warn_or_raise_unsure(settled.unsure, put, run.report.warn)


def confirm(run: Run, manifest: Manifest) -> None:
    """Check that the exact tag still names the release's image, everywhere.

    The first exact tag is enough: the engine's push of that one alone may replace another image.

    Raises:
        ConflictError: another run has published the same version meanwhile.
    """

    def settled(reference: Reference) -> str | None:
        return run.registries.settled_digest(reference, manifest.digest)

    for reference, digest in run.each(settled, run.first_exact_references):
        if digest != manifest.digest:
            error = ConflictError(
                f"{reference} was {manifest.digest} and names {digest or 'nothing'} now:"
                " another run publishes the same version",
                "see that one run publishes a version at a time, and run `releasetag verify`",
            )
            run.report.published(TagResult(reference, digest or "", "failed", error=error.message))
            raise error


def settle(
    mover: Mover, references: Sequence[Reference], others: Sequence[Release], *, gated: bool
) -> Settled:
    """Look at floating tags, and have each name the highest release that is in place.

    Args:
        mover: of the release whose image the tags were moved to.
        others: releases that may have been published meanwhile; those above that one count.
        gated: whether a release must have passed gates.
    """
    in_place: dict[Release, Manifest | None] = {}
    unsure: dict[Reference, Release] = {}
    changed = False
    for name in dict.fromkeys(reference.tag for reference in references):
        holder, skipped = mover, None
        for release in higher_releases(name, mover.release.version, others, mover.policy):
            if release not in in_place:
                in_place[release] = _manifest_in_place(mover, release)
            if (manifest := in_place[release]) is None:
                continue  # its own run moves the tag when it is there
            if gated and not _has_passed(mover, release, manifest):
                skipped = skipped or release
                continue
            holder = replace(mover, release=release, manifest=manifest)
            break
        named = [reference for reference in references if reference.tag == name]
        if skipped is not None:
            unsure |= dict.fromkeys(named, skipped)
        results = map_parallel(partial(_settle_one, mover, holder), named, mover.jobs)
        changed = changed or any(is_changed for _, is_changed in results)
    return Settled(changed, unsure)


def _settle_one(mover: Mover, holder: Mover, reference: Reference) -> bool:
    """Have a tag name the holder's image; return whether it had to be put."""
    own = holder is mover
    digest = holder.manifest.digest
    if own and mover.registries.settled_digest(reference, digest) == digest:
        return False
    result = move(holder, reference)
    is_changed = result.status == "pushed"
    if not own:
        version = str(holder.release.version)
        reason = f"{version} was published meanwhile, which is higher"
        result = replace(result, status="kept", reason=reason, previous=version)
    if result.status != "unchanged":
        mover.report(result)
    return is_changed


def not_staying_error(references: Sequence[Reference]) -> ConflictError:
    """Return the error for tags that another program puts again and again."""
    return ConflictError(
        f"{', '.join(map(str, references))}: another program moves what this one moved",
        "see which, then run again",
    )


def warn_or_raise_unsure(
    unsure: Mapping[Reference, Release],
    put: Collection[Reference],
    warn: Callable[[str], None],
) -> None:
    """Say which tags a higher release may have a right to.

    Raises:
        ConflictError: this run has put one of them: it may have replaced the higher release.
    """
    for reference, release in unsure.items():
        text = (
            f"{reference} names a lower version than {release.version}, which is published:"
            " nothing shows whether its gates let it pass"
        )
        if reference in put:
            raise ConflictError(
                text,
                f"publish {release.git_tag or release.version} again, or see `releasetag verify`",
            )
        warn(text)


def _left_behind(run: Run, plan: Plan, manifest: Manifest) -> list[Reference]:
    """Find tags that another release is to hold, and that name this release's image.

    Tags that were to be moved, and that a release took which appeared meanwhile, are reported.
    """
    held_by = {tag.name: tag.held_by for tag in plan.tags if tag.held_by is not None}
    planned = {tag.name for tag in run.plan.floating}
    others = run.references([name for name in run.floating_names if name in held_by])
    found = []
    for reference, digest in run.each(run.registries.digest, others):
        if reference.tag in planned:
            version = str(held_by[reference.tag])
            reason = f"{version} appeared meanwhile, which is higher"
            kept = TagResult(reference, digest or "", "kept", reason, previous=version)
            run.report.published(kept)
        if digest == manifest.digest:
            found.append(reference)
    return found


def _replan(run: Run, plan: Plan) -> Plan:
    try:
        return run.replan()
    except HistoryError as error:
        run.report.warn(f"the history could not be read a last time: {error.message}")
        return plan


def _appeared(run: Run, plan: Plan, listed: Listed) -> list[Release]:
    """Find releases whose exact tag has appeared in a repository since this run began."""
    own = {reference.tag for reference in run.exact_references}
    found = []
    for repository, before in listed.items():
        if repository not in plan.repositories:
            continue  # of another variant
        after = run.registries.tags(repository)
        # A list without the tag that this run has put is not whole.
        if after is None or not own.issubset(after.names):
            run.report.warn(
                f"{repository.registry} does not list the tags of {repository}: a release that git"
                " does not know cannot be seen there"
            )
        elif before is not None:
            for name in after.names - before.names - own:
                if release := _unknown_release(run, plan, repository.tagged(name)):
                    found.append(release)
    return found


def _unknown_release(run: Run, plan: Plan, reference: Reference) -> Release | None:
    """Return the release that an exact tag names, if it counts and git does not know it."""
    policy = run.policy
    if not policy.may_be_exact(reference.tag):
        return None
    image = inspect_image(run.registries, reference)
    if image is None or (version := image.version(policy.scheme)) is None:
        return None
    revision = image.revision
    is_known = any(release.version == version for release in plan.history)
    if is_known or not policy.counts(version):
        return None
    for git_tag in policy.git_tags(version):
        if reference.tag in policy.exact_tags(version, revision, git_tag):
            return Release(git_tag, version, revision)
    return None


def _manifest_in_place(mover: Mover, release: Release) -> Manifest | None:
    """Return a release's image if its exact tags are in place everywhere, so that tags may move.

    Those of all variants: its gates and its floating tags come after them.
    """
    own, *others = [
        _exact_manifest(mover, release, repositories, policy)
        for repositories, policy in (
            (mover.repositories, mover.policy),
            *((each.images, each.policy) for each in mover.others),
        )
    ]
    # A release may lack one of this one's variants: its floating tags show that it is done.
    is_whole = all(each is not None for each in others)
    return own if own and (is_whole or _has_passed(mover, release, own)) else None


def _exact_manifest(
    mover: Mover, release: Release, repositories: Sequence[Repository], policy: TagPolicy
) -> Manifest | None:
    """Return the image that every exact tag of a release names in every repository, or None."""
    names = policy.exact_tags(release.version, release.revision, release.git_tag)
    if not names:
        return None
    manifest = mover.registries.manifest(repositories[0].tagged(names[0]))
    if manifest is None:
        return None
    tags = [repository.tagged(name) for repository in repositories for name in names]
    digests = map_parallel(mover.registries.digest, tags, mover.jobs)
    return manifest if all(digest == manifest.digest for _, digest in digests) else None


def _has_passed(mover: Mover, release: Release, manifest: Manifest) -> bool:
    """Whether a floating tag of a release names its image, which is so only after its gates."""
    names = mover.policy.floating_tags(release.version, release.revision)
    tags = [repository.tagged(name) for repository in mover.repositories for name in names]
    digests = map_parallel(mover.registries.digest, tags, mover.jobs)
    return any(digest == manifest.digest for _, digest in digests)


def _confirm_or_follow(
    run: Run, plan: Plan, manifest: Manifest, watched: Sequence[Reference]
) -> None:
    """Check the exact tags a last time; floating tags follow one that was replaced meanwhile."""
    try:
        confirm(run, manifest)
    except ConflictError:
        there = _manifest_in_place(run.mover(plan, manifest), plan.release)
        if there is not None:
            run.mover(plan, there).move_all(dict.fromkeys(each.tag for each in watched))
        raise
