"""Run: what the steps of one publish share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from releasetag.config import Settings
from releasetag.errors import ReleasetagError
from releasetag.history import GitTags
from releasetag.image import EngineReport, ImageSource, Preflight
from releasetag.parallel import map_parallel
from releasetag.plan import Plan, plan_for
from releasetag.policy import TagPolicy
from releasetag.reference import Reference
from releasetag.registry import Manifest, Registries
from releasetag.tagging import Mover, TagResult, report_outcome

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Provenance:
    """Where the image came from.

    Attributes:
        builder: ``buildkit``, ``classic``, ``buildx``, ``image``, ``container``.
        reused: a published image was found and nothing was built.
        seconds: how long building took.
        image_id: the engine's, or what it would be there; empty if it is not known.
        digest: the one in the registries; empty before the first push.
        variant: whose image it is; empty if the component has none.
        missing: the platforms that other runs have yet to push; nothing is published before.
    """

    builder: str
    reused: bool
    seconds: float
    image_id: str
    digest: str = ""
    variant: str = ""
    missing: tuple[str, ...] = ()


class Report(EngineReport, Protocol):
    """Receives what happens as it happens, from several threads."""

    def planned(self, plan: Plan) -> None:
        """The plan stands, and nothing has been done yet."""

    def made(self, build: Provenance) -> None:
        """The image is there; called again when its digest is known."""

    def published(self, item: TagResult) -> None:
        """The outcome for a reference is known; the last one reported stands."""


@dataclass(frozen=True)
class Run:
    """The publish of one image and its collaborators.

    Attributes:
        siblings: the settings of the component's other variants.
        preflight: what the source's check returned.
        gates: the words of each gate, from `gates.parse_gate`.
        reread_git_tags: reads the git tags again, the same way as for the plan.
        run_gate: runs a gate's command with an environment; raises GateError if it refuses.
        environ: for gates.
        clock: seconds, only ever compared.
    """

    plan: Plan
    source: ImageSource
    preflight: Preflight
    gates: Sequence[Sequence[str]]
    registries: Registries
    report: Report
    reread_git_tags: Callable[[], GitTags]
    run_gate: Callable[[Sequence[str], Mapping[str, str]], None]
    environ: Mapping[str, str]
    clock: Callable[[], float]
    siblings: Sequence[Settings] = ()

    @property
    def policy(self) -> TagPolicy:
        """The tag policy of the component."""
        return self.plan.settings.policy

    @property
    def of_variant(self) -> str:
        """What a step's text ends with: whose tags they are."""
        variant = self.plan.settings.variant
        return f" of {variant}" if variant else ""

    @property
    def exact_references(self) -> list[Reference]:
        """Every exact tag in every repository."""
        return [r.tagged(tag.name) for r in self.plan.repositories for tag in self.plan.exact]

    @property
    def first_exact_references(self) -> list[Reference]:
        """The first exact tag in every repository: the one that the engine pushes."""
        return self.references([tag.name for tag in self.plan.exact[:1]])

    @property
    def floating_names(self) -> list[str]:
        """The floating tags that choose from this release, the narrowest scope first."""
        release = self.plan.release
        tags = self.policy.floating_tags(release.version, release.revision)
        return sorted(tags, key=lambda name: -len(tags[name].fields))

    def registry_error(self, error: ReleasetagError) -> ReleasetagError:
        """Return the error to raise for a registry that cannot be asked before anything is done.

        Without an engine nothing can be published either, and that is easier to fix.
        """
        needs_engine = self.preflight.origin is None
        return (self.preflight.engine_error if needs_engine else None) or error

    def references(self, names: Sequence[str]) -> list[Reference]:
        """Tags in every repository, name by name."""
        return [r.tagged(name) for name in names for r in self.plan.repositories]

    def replan(self) -> Plan:
        """Plan again, with the git tags as they are now.

        Raises:
            HistoryError: the remote answered before and does not now.
        """
        return plan_for(self.plan.release, self.plan.settings, self.reread_git_tags())

    def mover(self, plan: Plan, manifest: Manifest) -> Mover:
        """Return what moves the plan's floating tags to an image."""
        return Mover(
            self.registries,
            plan.repositories,
            self.policy,
            plan.release,
            manifest,
            plan.history,
            self.report.published,
            self.report.warn,
            plan.settings.jobs,
            self.siblings,
        )

    def each(self, do: Callable[[T], R], items: Sequence[T]) -> list[tuple[T, R]]:
        """Do something for every item, concurrently; see `map_parallel`."""
        return map_parallel(do, items, self.plan.settings.jobs)

    def each_reported(
        self, do: Callable[[Reference], TagResult], references: Sequence[Reference]
    ) -> list[TagResult]:
        """Do something to every reference, concurrently, and report every outcome."""

        def reported(reference: Reference) -> TagResult:
            return report_outcome(reference, lambda: do(reference), self.report.published)

        return [result for _, result in self.each(reported, references)]
