"""The steps of a publish, in order: the one place that knows them.

Plan, look, make the image once, push the exact tags everywhere, fence and gates, move the floating
tags, look again. Whatever stops a publish, running it again goes on from what the registries serve.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

from releasetag.errors import (
    ConflictError,
    EngineError,
    HistoryError,
    PushError,
    ReleasetagError,
    UsageError,
)
from releasetag.fanout import PlannedTag, highest_in_scope
from releasetag.floating import Published, Served, exact_names, move, put, served
from releasetag.gate import parse_gate, run_gate
from releasetag.history import WorkTree, changed_files, head, read_again
from releasetag.image import EngineReport, ImageSource, Tools, builds, image_source
from releasetag.parallel import side_by_side
from releasetag.plan import Plan, plan_for
from releasetag.reference import Reference, Repository
from releasetag.registry import Manifest
from releasetag.text import printable
from releasetag.version import Release

T = TypeVar("T")
R = TypeVar("R")

_SETTLE_ROUNDS = 5


class Report(EngineReport, Protocol):
    """Told what happens, as it happens, from several threads."""

    def planned(self, plan: Plan) -> None:
        """The plan stands, and nothing has been done yet."""

    def made(self, build: "Build") -> None:
        """The image is there; told again when its digest is known."""

    def published(self, item: Published) -> None:
        """It is known what became of a reference; the last word on one stands."""


@dataclass(frozen=True)
class Build:
    """Where the image came from.

    Attributes:
        builder: ``buildkit``, ``classic``, ``image``, ``container``: see `ImageSource.builder`.
        reused: a published image was found and nothing was made.
        seconds: how long making it took.
        image_id: the engine's, or what it would be there; empty if it is not known.
        digest: what the registries serve; empty before the first push.
    """

    builder: str
    reused: bool
    seconds: float
    image_id: str
    digest: str = ""


def publish_release(tree: WorkTree, plan: Plan, tools: Tools, report: Report) -> Build:
    """Publish a planned release.

    Args:
        tree: the work tree that the image is built from.
        plan: see `releasetag.plan.plan_release`.

    Returns:
        Where the image came from; what became of every reference has been reported.

    Raises:
        ReleasetagError: any; the publish stopped, and running it again goes on.
    """
    source = image_source(tree, plan, tools, report)
    return _Publish(tree, plan, tools, report, source).run()


@dataclass(frozen=True)
class _Publish:
    """One publish: what all its steps need."""

    tree: WorkTree
    plan: Plan
    tools: Tools
    report: Report
    source: ImageSource

    def run(self) -> Build:
        plan, settings = self.plan, self.plan.settings
        guards = settings.gates if settings.push else ()
        gates = [parse_gate(gate, self.tools.environ) for gate in guards]
        _check(self.tree, plan)
        self.source.check()
        self.report.planned(plan)
        if not settings.push:
            return self._engine_only()
        self.report.step("Looking at what the registries serve")
        known = self._tag_names()
        found = self._look()
        origin = found or self.source.origin
        if settings.dry_run:
            return self._dry_run(origin, reused=found is not None)
        build, manifest = self._exact(origin, reused=found is not None)
        plan = self._fence()
        self._gates(gates, plan, manifest)
        self._confirm(manifest)
        self._settle(self._move(plan, manifest), plan, manifest, known)
        return build

    def _engine_only(self) -> Build:
        if self.plan.settings.dry_run:
            return self._dry_run(None, reused=False)
        build = self._make()
        for reference in self.plan.references:
            self.source.tag(reference)
        return build

    def _dry_run(self, origin: Reference | None, *, reused: bool) -> Build:
        if origin is None:
            self.source.ready()
        digest = origin.digest if origin else ""
        return self._made(Build(self.source.builder, reused, 0.0, "", digest))

    # Step 2: what the registries serve ------------------------------------------------------------

    def _look(self) -> Reference | None:
        """Where the release's image is published already, by digest; None: it has to be made.

        Raises:
            ConflictError: another image is published under an exact tag.
        """
        registries, source = self.tools.registries, self.source
        try:
            found = self._each(lambda ref: served(registries, ref), self._exact_references())
        except ReleasetagError as error:
            # Without an engine nothing can be published either, and that is nearer to mend.
            raise source.engine_error or error from error
        if self.plan.settings.overwrite:
            return None
        mine: list[tuple[Reference, Served]] = []
        for reference, there in found:
            if there is None:
                continue
            if there.revision != self.plan.release.revision and not source.is_same(there):
                raise _published_otherwise(reference, there, self.plan)
            mine.append((reference, there))
        if len({there.digest for _, there in mine}) > 1:
            shown = ", ".join(f"{reference} is {there.digest}" for reference, there in mine)
            raise ConflictError(
                f"the release is published under different digests: {shown}",
                "publish one image in place of them with --overwrite",
            )
        return mine[0][0].repository.at(mine[0][1].digest) if mine else None

    def _exact_references(self) -> list[Reference]:
        return [r.tagged(t.name) for r in self.plan.repositories for t in self.plan.exact]

    def _tag_names(self) -> dict[Repository, frozenset[str]]:
        """The tags of every repository in which a floating tag may move."""
        if not self.plan.floating or self.plan.settings.dry_run:
            return {}
        try:
            found = self._each(self.tools.registries.tags, self.plan.repositories)
        except ReleasetagError as error:
            raise self.source.engine_error or error from error
        return {repository: frozenset(names) for repository, names in found}

    # Steps 3 and 4: the image, and the exact tags -------------------------------------------------

    def _exact(self, origin: Reference | None, *, reused: bool) -> tuple[Build, Manifest]:
        """Put the image under every exact tag of every repository."""
        build = None
        pushed: list[Reference] = []
        if origin is None:
            build = self._make()
            # Another run may have published the release while this one built.
            origin = self._look() or self.source.origin
            pushed = [*self.source.pushed]
            self.report.step("Pushing the exact tags")
            if origin is None:
                pushed, digest = self._push()
                origin = pushed[0].repository.at(digest)
            for reference in self.source.pushed:
                self.report.published(Published(reference, origin.digest, "pushed"))
        started = self.tools.clock()
        overwrite = self.plan.settings.overwrite
        manifest = self._copy(origin, pushed, replace=overwrite)
        if pushed and not overwrite and (first := self._finished_first(manifest)):
            manifest = self._copy(first, [], replace=True)
        if build is None:
            there = served(self.tools.registries, origin)
            image_id = there.config_digest if there else ""
            seconds = self.tools.clock() - started
            build = Build(self.source.builder, reused, seconds, image_id)
        return self._made(replace(build, digest=manifest.digest)), manifest

    def _make(self) -> Build:
        started = self.tools.clock()
        image_id = self.source.make()
        seconds = self.tools.clock() - started
        return self._made(Build(self.source.builder, False, seconds, image_id))

    def _made(self, build: Build) -> Build:
        self.report.made(build)
        return build

    def _push(self) -> tuple[list[Reference], str]:
        """Push the first exact tag of every repository by the engine; all must be one digest."""
        name = self.plan.exact[0].name
        references = [repository.tagged(name) for repository in self.plan.repositories]
        pushed = self._each(lambda reference: self._told(reference, self._push_one), references)
        if len({item.digest for _, item in pushed}) > 1:
            shown = ", ".join(f"{reference} is {item.digest}" for reference, item in pushed)
            raise ConflictError(
                f"one image was pushed, and the digests differ: {shown}",
                "no floating tag moved; see why a registry changes what it is given",
            )
        return references, pushed[0][1].digest

    def _push_one(self, reference: Reference) -> Published:
        digest = self.source.push(reference)
        if (now := self.tools.registries.digest(reference)) != digest:
            raise ConflictError(
                f"{reference} was pushed as {digest} and names {now or 'nothing'}",
                "somebody else pushes or deletes this tag: see who, then run again",
            )
        return Published(reference, digest, "pushed")

    def _finished_first(self, manifest: Manifest) -> Reference | None:
        """Another image of the same release that a run has published whole while this one pushed.

        The engine's push cannot be told to leave a tag alone that has come meanwhile. Floating tags
        follow exact ones, so one that names another image of this release says who was first.
        """
        release = self.plan.release
        for tag in self.plan.floating[:1]:
            for repository in self.plan.repositories:
                there = served(self.tools.registries, repository.tagged(tag.name))
                if (
                    there is not None
                    and there.digest != manifest.digest
                    and (there.version, there.revision) == (release.version, release.revision)
                ):
                    return repository.at(there.digest)
        return None

    def _confirm(self, manifest: Manifest) -> None:
        """See that the exact tags still name the release's image, everywhere.

        Raises:
            ConflictError: another run has published the same version meanwhile.
        """
        now = self._each(self.tools.registries.digest, self._exact_references())
        for reference, digest in now:
            if digest != manifest.digest:
                raise ConflictError(
                    f"{reference} was {manifest.digest} and names {digest or 'nothing'} now:"
                    " another run publishes the same version",
                    "see that one run publishes a version at a time, and run `releasetag verify`",
                )

    def _copy(self, origin: Reference, done: Sequence[Reference], *, replace: bool) -> Manifest:
        """Put an image that one repository has under every exact tag of all of them.

        Args:
            done: the references that were pushed already.
            replace: whether an exact tag may name another image now.
        """
        registries = self.tools.registries
        manifest = registries.manifest(origin)
        if manifest is None:
            raise PushError(f"{origin} is not served any more", "see who deletes it, and run again")

        def copy(reference: Reference) -> Published:
            there = reference.repository.at(manifest.digest)
            if registries.digest(there) is None:
                registries.copy(origin, reference.repository)
            return put(registries, reference, manifest, replace=replace)

        missing = [reference for reference in self._exact_references() if reference not in done]
        self._each(lambda reference: self._told(reference, copy), missing)
        return manifest

    # Step 5: fence and gates ----------------------------------------------------------------------

    def _fence(self) -> Plan:
        """The plan as it is now: a release that appeared meanwhile may keep a floating tag."""
        if not self.plan.floating:
            return self.plan
        self.report.step("Reading the history again")
        return self._plan_again()

    def _plan_again(self) -> Plan:
        git_tags = read_again(self.tree, self.plan.git_tags)
        return plan_for(self.plan.release, self.plan.settings, git_tags)

    def _gates(self, gates: Sequence[Sequence[str]], plan: Plan, manifest: Manifest) -> None:
        """Run the gates, unless all that they guard has happened already."""
        if not gates:
            return
        floats = [r.tagged(t.name) for r in plan.repositories for t in plan.floating]
        now = self._each(self.tools.registries.digest, floats)
        if floats and all(digest == manifest.digest for _, digest in now):
            self.report.step("Running no gate: the floating tags name the image already")
            return
        by_digest = [str(repository.at(manifest.digest)) for repository in plan.repositories]
        environ = {
            **self.tools.environ,
            "RELEASETAG_VERSION": str(plan.release.version),
            "RELEASETAG_DIGEST": manifest.digest,
            "RELEASETAG_REFERENCES": "\n".join(by_digest),
        }
        for words in gates:
            self.report.step(f"Running the gate {words[0]}", prints=True)
            run_gate(words, environ)

    # Step 6: the floating tags --------------------------------------------------------------------

    def _move(self, plan: Plan, manifest: Manifest) -> list[PlannedTag]:
        """Move the floating tags, the narrowest scope first, side by side across repositories.

        Args:
            plan: as it was at the fence.

        Returns:
            The tags that this run moved somewhere.
        """
        if plan.floating:
            self.report.step("Moving the floating tags")
        still = {tag.name for tag in plan.floating}
        moved: list[PlannedTag] = []
        named: list[Reference] = []
        for tag in self.plan.floating:
            if tag.name not in still:
                self._report_taken(tag.name, plan)
                continue
            move_one = partial(self._move_one, tag=tag, plan=plan, manifest=manifest)
            told = partial(self._told, do=move_one)
            done = self._each(told, [r.tagged(tag.name) for r in plan.repositories])
            named += [reference for reference, item in done if item.status != "kept"]
            if any(item.status == "pushed" for _, item in done):
                moved.append(tag)
        self._tag_in_engine(named)
        return moved

    def _tag_in_engine(self, references: Sequence[Reference]) -> None:
        """Tag in the engine what the registries have; they are what counts."""
        try:
            for reference in references:
                self.source.tag(reference)
        except EngineError as error:
            self.report.warn(f"the engine was not given the floating tags: {error.message}")

    def _move_one(
        self, reference: Reference, tag: PlannedTag, plan: Plan, manifest: Manifest
    ) -> Published:
        return move(
            self.tools.registries,
            reference,
            manifest,
            version=plan.release.version,
            template=tag.template,
            settings=plan.settings,
        )

    def _report_taken(self, name: str, plan: Plan) -> None:
        tag = next(tag for tag in plan.tags if tag.name == name)
        reason = f"{tag.held_by} appeared meanwhile, which is higher"
        for repository in plan.repositories:
            reference = repository.tagged(name)
            digest = self.tools.registries.digest(reference) or ""
            self.report.published(Published(reference, digest, "kept", reason))

    def _settle(
        self,
        moved: Sequence[PlannedTag],
        plan: Plan,
        manifest: Manifest,
        known: Mapping[Repository, frozenset[str]],
    ) -> None:
        """Look at the tags that this run moved once more, and give back what is another's.

        Registries have no compare-and-swap: another run may have moved a tag up, and this one
        moved it down again a moment later, or the other way round. That other release is in the
        history by now, or its exact tag has come into a repository.

        Args:
            plan: as it was at the fence.
            known: the tags of every repository before this run did anything.
        """
        if not moved:
            return
        for _ in range(_SETTLE_ROUNDS):
            try:
                plan = self._plan_again()
            except HistoryError as error:
                self.report.warn(f"the history could not be read a last time: {error.message}")
            appeared = self._each(partial(self._appeared, plan=plan, known=known), list(known))
            releases = [*plan.history, *(release for _, some in appeared for release in some)]
            changed = [self._settle_tag(tag, plan, manifest, releases) for tag in moved]
            if not any(changed):
                break
        try:
            self._confirm(manifest)
        except ConflictError:
            self._follow_exact(moved, plan)
            raise

    def _follow_exact(self, moved: Sequence[PlannedTag], plan: Plan) -> None:
        """Have floating tags name what the exact tag was made to name meanwhile."""
        there = self._published(plan.release, plan)
        if there is None:
            return
        for tag in moved:
            for reference in [r.tagged(tag.name) for r in plan.repositories]:
                self.report.published(self._move_one(reference, tag, plan, there))

    def _settle_tag(
        self, tag: PlannedTag, plan: Plan, manifest: Manifest, releases: Sequence[Release]
    ) -> bool:
        """Have a tag name the highest release that is published; whether it moved anywhere."""
        own = plan.release.version
        higher = [r for r in releases if r.version > own]
        while top := highest_in_scope(tag.template, own, higher):
            if there := self._published(top, plan):
                plan, manifest = replace(plan, release=top), there
                break
            # It is on its way, and its own run moves the tag when it is there.
            higher = [r for r in higher if r.version < top.version]
        move_one = partial(self._move_one, tag=tag, plan=plan, manifest=manifest)
        done = self._each(move_one, [r.tagged(tag.name) for r in plan.repositories])
        for _, item in done:
            if plan.release.version != own:
                reason = f"{plan.release.version} was published meanwhile, which is higher"
                item = replace(item, status="kept", reason=reason)
            if item.status != "unchanged":
                self.report.published(item)
        return any(item.status == "pushed" for _, item in done)

    def _published(self, release: Release, plan: Plan) -> Manifest | None:
        """Another release's image, if it is in place so that floating tags may name it."""
        registries = self.tools.registries
        names = exact_names(plan.settings.tags, release)
        first = plan.repositories[0]
        manifest = registries.manifest(first.tagged(names[0])) if names else None
        if manifest is None:
            return None
        exact = [r.tagged(name) for r in plan.repositories for name in names]
        if any(digest != manifest.digest for _, digest in self._each(registries.digest, exact)):
            return None
        if not plan.settings.gates:
            return manifest
        # Only its own run knows that the gates let it pass. It moves floating tags after that, and
        # this run can have taken no more than one of them in every repository.
        floats = [r.tagged(tag.name) for r in plan.repositories for tag in self.plan.floating]
        if any(digest == manifest.digest for _, digest in self._each(registries.digest, floats)):
            return manifest
        return None

    def _appeared(
        self, repository: Repository, plan: Plan, known: Mapping[Repository, frozenset[str]]
    ) -> list[Release]:
        """Releases whose exact tag came into a repository since this run began."""
        ignored = {str(version) for version in plan.settings.ignore}
        mine = {tag.name for tag in plan.tags}
        found = []
        for name in self.tools.registries.tags(repository):
            if name in known[repository] or name in mine:
                continue
            try:
                there = served(self.tools.registries, repository.tagged(name))
            except PushError:
                continue  # no image: a gate may have put a signature there
            if there is None or there.version is None or str(there.version) in ignored:
                continue
            release = Release("", there.version, there.revision)
            if name in exact_names(plan.settings.tags, release):
                found.append(release)
        return found

    # All steps ------------------------------------------------------------------------------------

    def _told(self, reference: Reference, do: Callable[[Reference], Published]) -> Published:
        """Do something to a reference and report what became of it."""
        try:
            item = do(reference)
        except ReleasetagError as error:
            self.report.published(Published(reference, "", "failed", error=error.message))
            raise
        self.report.published(item)
        return item

    def _each(self, do: Callable[[T], R], items: Sequence[T]) -> list[tuple[T, R]]:
        return side_by_side(do, items, self.plan.settings.jobs)


def _check(tree: WorkTree, plan: Plan) -> None:
    """Refuse what cannot be published before anything is asked of engine and registries."""
    settings = plan.settings
    if not plan.repositories:
        raise UsageError(
            "no image is given",
            "name one with --image, in RELEASETAG_IMAGES or as images in releasetag.toml",
        )
    if not plan.exact:
        raise UsageError(
            "no tag template is exact, so nothing would stay at this version",
            "add one that is, such as {version}",
        )
    if settings.from_image and settings.from_container:
        raise UsageError("both an image and a container are given", "give one of them")
    if not builds(plan):
        return
    revision = head(tree)
    if revision != plan.release.revision:
        name = plan.release.git_tag
        raise UsageError(
            f"the git tag {name} is at {plan.release.revision[:7]} and HEAD is at {revision[:7]}:"
            " the image would be built from other code",
            f"check it out first: git checkout {name}",
        )
    changed = [] if settings.allow_dirty else changed_files(tree)
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UsageError(
            f"the work tree is dirty: {printable(changed[0], 100)}{more} changed since the commit",
            "commit or stash the changes, or build them all the same with --allow-dirty",
        )


def _published_otherwise(reference: Reference, there: Served, plan: Plan) -> ConflictError:
    if there.revision:
        built = f"built from commit {printable(there.revision, 12)}"
    else:
        built = "which does not say what commit it was built from"
    return ConflictError(
        f"{reference} is published already, {built}, and {plan.release.git_tag} is at"
        f" {plan.release.revision[:12]}",
        "publish a new version, or replace this one with --overwrite",
    )
