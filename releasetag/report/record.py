"""What happened in a publish or a promotion, as values for the formats."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from releasetag.errors import ReleasetagError
from releasetag.reference import platform_tag

# Types alone: a plan imports no registry's client.
if TYPE_CHECKING:
    from releasetag.events import BuildEvent, PushEvent
    from releasetag.plan import Plan
    from releasetag.promote import PromotionPlan
    from releasetag.publish import Provenance
    from releasetag.reference import Reference
    from releasetag.snapshot.plan import SnapshotPlan
    from releasetag.tagging import TagResult
    from releasetag.version import Release


class Row(NamedTuple):
    """A line of a table: what became of a tag or a reference, and why.

    Attributes:
        previous: the version or digest that it named before, or that it is kept at.
    """

    decision: str
    name: str
    digest: str = ""
    reason: str = ""
    previous: str = ""


@dataclass(frozen=True)
class PublishResult:
    """What a publish came to, as far as it came.

    Attributes:
        plan: None if it failed before there was one.
        build: None if there is no image; of variants the default or first one's.
        builds: by the name of the variant.
        items: what became of the references that were tried, in the order of the plan.
        error: why it failed; None if it did not.
    """

    plan: "Plan | SnapshotPlan | None"
    build: "Provenance | None"
    items: "tuple[TagResult, ...]"
    seconds: float
    error: ReleasetagError | None = None
    builds: "Mapping[str, Provenance]" = field(default_factory=dict)

    def failed(self, error: ReleasetagError) -> "PublishResult":
        """The same with an error, unless it has one already."""
        return replace(self, error=self.error or error)

    @property
    def variants(self) -> "tuple[PublishResult, ...]":
        """What the publish of each variant came to; empty if there are none."""
        return tuple(map(self._of, self.plan.variants)) if self.plan else ()

    @property
    def missing(self) -> tuple[str, ...]:
        """The platforms that other runs have yet to push."""
        return tuple(dict.fromkeys(each for b in self.builds.values() for each in b.missing))

    @property
    def is_complete(self) -> bool:
        """Whether all was done that was to be done, for all platforms."""
        is_dry = self.plan is not None and self.plan.settings.dry_run
        return self.error is None and not self.missing and not is_dry

    def _of(self, plan: "Plan | SnapshotPlan") -> "PublishResult":
        own, part = set(plan.references), plan.settings.part
        if part:
            own |= {
                each.tagged(platform_tag(plan.exact[0].name, part)) for each in plan.repositories
            }
        items = tuple(item for item in self.items if item.reference in own)
        build = self.builds.get(plan.settings.variant)
        return replace(self, plan=plan, build=build, items=items)

    @property
    def published(self) -> "tuple[Reference, ...]":
        """The references that name this release's image now."""
        if self.variants:
            return tuple(each for variant in self.variants for each in variant.published)
        digest = self.build.digest if self.build else ""
        # Another run of the same version may have moved one to its own image meanwhile; and the tag
        # of a part does not name the release.
        own = set(self.plan.references) if self.plan else set()
        items = [item for item in self.items if item.reference in own]
        return _done(item for item in items if digest in {"", item.digest})

    @property
    def references(self) -> "tuple[Reference, ...]":
        """The references that name the release, or after a dry run would name it."""
        if self.plan is None:
            return ()
        settings = self.plan.settings
        if self.error is None and (settings.dry_run or not settings.push):
            return self.plan.references
        return self.published

    @property
    def rows(self) -> list[Row]:
        """What became of every reference, and the tags that were not to be pushed."""
        if self.plan is None:
            return []
        if self.variants:
            return [row for variant in self.variants for row in variant.rows]
        tags = [
            Row(
                tag.action,
                tag.name,
                reason=tag.reason,
                previous="" if tag.held_by is None else str(tag.held_by),
            )
            for tag in self.plan.tags
        ]
        if self.plan.settings.dry_run and self.error is None:
            return tags
        became = {item.reference: item for item in self.items}
        is_tagged = self.error is None and not self.plan.settings.push
        otherwise = "tagged" if is_tagged else "waiting" if self.missing else "not done"
        rows = []
        parts = [each for each in became if each not in self.plan.references]
        for reference in [*parts, *self.plan.references]:
            if item := became.get(reference):
                why = item.reason or item.error
                rows.append(Row(item.status, str(reference), item.digest, why, item.previous))
            else:
                rows.append(Row(otherwise, str(reference)))
        return rows + [row for row in tags if row.decision != "push"]


@dataclass(frozen=True)
class PromoteResult:
    """What a promotion came to, as far as it came.

    Attributes:
        plans: what it was to do, for each variant.
        items: what became of the references that were tried; none in a dry run.
        error: why it failed; None if it did not.
    """

    plans: "tuple[PromotionPlan, ...]"
    items: "tuple[TagResult, ...]"
    error: ReleasetagError | None = None

    @property
    def release(self) -> "Release":
        """What the tags are to name."""
        return self.plans[0].release

    @property
    def published(self) -> "tuple[Reference, ...]":
        """The references that name the release now."""
        return _done(self.items)


@dataclass
class Record:
    """Collect what a publish reports; a `releasetag.publish.Report` that prints nothing.

    Attributes:
        plan: None until it is reported.
        builds: by the name of the variant.
    """

    plan: "Plan | SnapshotPlan | None" = None
    builds: "dict[str, Provenance]" = field(default_factory=dict)
    _published: "dict[Reference, TagResult]" = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def planned(self, plan: "Plan | SnapshotPlan") -> None:
        """Keep the plan."""
        self.plan = plan

    def made(self, build: "Provenance") -> None:
        """Keep where the image came from."""
        self.builds[build.variant] = build

    def published(self, item: "TagResult") -> None:
        """Keep what became of a reference, in place of what was reported before."""
        with self._lock:
            self._published[item.reference] = item

    def step(self, text: str, *, prints: bool = False) -> None:
        """Keep nothing."""

    def building(self, event: "BuildEvent") -> None:
        """Keep nothing."""

    def pushing(self, event: "PushEvent") -> None:
        """Keep nothing."""

    def warn(self, text: str) -> None:
        """Keep nothing."""

    @property
    def build(self) -> "Provenance | None":
        """Where the image came from, of variants the first one's; None until it is reported."""
        # Of a run that resumes, another one may have been reported before.
        order = [plan.settings.variant for plan in self.plan.images] if self.plan else []
        reported = [*(name for name in order if name in self.builds), *self.builds]
        return self.builds[reported[0]] if reported else None

    @property
    def items(self) -> "tuple[TagResult, ...]":
        """What became of every reference so far, in the order of the plan."""
        with self._lock:
            known = dict(self._published)
        order = dict.fromkeys((*(self.plan.references if self.plan else ()), *known))
        return tuple(known[reference] for reference in order if reference in known)

    def result(self, seconds: float, error: ReleasetagError | None = None) -> PublishResult:
        """Return what the publish came to.

        Args:
            seconds: how long it took.
            error: why it failed.
        """
        builds = dict(self.builds)
        return PublishResult(self.plan, self.build, self.items, seconds, error, builds)


def shorten(previous: str) -> str:
    """Return a version, or the beginning of a digest, which is enough for a person."""
    return previous[:19] if previous.startswith("sha256:") else previous


def _done(items: "Iterable[TagResult]") -> "tuple[Reference, ...]":
    return tuple(item.reference for item in items if item.status in {"pushed", "unchanged"})
