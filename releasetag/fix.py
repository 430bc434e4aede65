"""Move floating tags up to where verify finds that they should be. Needs no engine.

What `releasetag promote` would do, for every release that should hold a tag and does not: with its
gates, by manifest, and never down. No exact tag is touched.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from releasetag.config import Settings
from releasetag.errors import ConflictError, GateError, NoReleaseError, ReleasetagError, UsageError
from releasetag.image import EngineReport
from releasetag.promote import PromotionPlan, plan_promotions, promote_release, run_gates
from releasetag.published import inspect_image
from releasetag.reference import Reference
from releasetag.registry import Registries
from releasetag.tagging import TagResult
from releasetag.verify import VerifiedRepository
from releasetag.version import Release

_FIXABLE = {"drift", "missing", "broken"}


@dataclass(frozen=True)
class Unfixed:
    """Tags that do not name the release that they should, and why they were left alone."""

    release: Release
    tags: tuple[str, ...]
    error: ReleasetagError


@dataclass
class Fixes:
    """What became of the tags that were wrong.

    Attributes:
        moved: the outcome of every reference, a failed one as well.
        unfixed: what was left alone.
    """

    moved: dict[Reference, TagResult] = field(default_factory=dict)
    unfixed: list[Unfixed] = field(default_factory=list)

    def report(self, result: TagResult) -> None:
        """Keep the outcome of a reference."""
        self.moved[result.reference] = result


@dataclass(frozen=True)
class Fixer:
    """What fixing the tags of a component asks.

    Attributes:
        settings: of the component; the tags of its variants are fixed together.
        history: the releases that count.
        reread_history: returns those that count now.
        gates: the words of each, from `releasetag.publish.gates.parse_gate`.
        environ: of this program.
        fixes: receives what became of every tag.
        progress: receives a step for each gate.
        warn: called with a sentence for a person.
    """

    registries: Registries
    settings: Settings
    history: Sequence[Release]
    reread_history: Callable[[], Sequence[Release]]
    gates: Sequence[Sequence[str]]
    environ: Mapping[str, str]
    fixes: Fixes
    progress: EngineReport
    warn: Callable[[str], None]

    def run(self, verified: Sequence[VerifiedRepository]) -> None:
        """Fix what is wrong, release by release, the lowest first.

        A release that cannot hold its tags keeps no other one from its own.

        Args:
            verified: the component's repositories.

        Raises:
            AuthError, PushError: a registry refused; running again goes on.
        """
        for release, names in self._wrong(verified):
            try:
                self._require_other_names(names, verified)
                self._fix(release, names, verified)
            except (ConflictError, GateError, NoReleaseError, UsageError) as error:
                self.fixes.unfixed.append(Unfixed(release, names, error))

    def _wrong(
        self, verified: Iterable[VerifiedRepository]
    ) -> list[tuple[Release, tuple[str, ...]]]:
        """Return the releases that should hold tags, with the tags that are wrong somewhere."""
        wrong = {
            (tag.name, tag.expected)
            for repository in verified
            for tag in repository.tags
            if tag.status in _FIXABLE
        }
        found = []
        for release in sorted(self.history, key=lambda each: each.version):
            floats = {
                name
                for variant in self.settings.each_variant()
                for name in variant.policy.floating_tags(release.version, release.revision)
            }
            names = [name for name, expected in wrong if expected == str(release.version)]
            if own := tuple(sorted(floats.intersection(names))):
                found.append((release, own))
        return found

    def _fix(
        self, release: Release, names: Sequence[str], verified: Sequence[VerifiedRepository]
    ) -> None:
        for variant in self.settings.each_variant():
            self._require_in_place(variant, release, verified)
        # Tags that name something higher stay; they keep no other one back.
        plans = [
            _without_downgrades(plan)
            for plan in plan_promotions(
                self.registries,
                self.settings,
                release,
                self.history,
                warn=self.warn,
                picks=names,
                allow_downgrade=True,
            )
        ]
        run_gates(plans, self.gates, self.environ, self.progress)
        for plan in plans:
            promote_release(
                self.registries, plan, self.reread_history, report=self.fixes.report, warn=self.warn
            )

    def _require_other_names(
        self, names: Sequence[str], verified: Iterable[VerifiedRepository]
    ) -> None:
        """See that none of the tags is the last name of another release's image.

        Raises:
            ConflictError: the exact tag of what one of them names is gone.
        """
        exact = {
            name
            for variant in self.settings.each_variant()
            for name in variant.policy.exact_owners(self.history)
        }
        for repository in verified:
            missing = [tag for tag in repository.wrong if tag.actual is None]
            gone = {tag.expected for tag in missing if tag.name in exact}
            for tag in repository.wrong:
                if tag.name in names and tag.actual in gone:
                    raise ConflictError(
                        f"{repository.repository.tagged(tag.name)} names {tag.actual}, and no exact"
                        " tag does",
                        f"run releasetag publish for {tag.actual}: it puts the exact tag back",
                    )

    def _require_in_place(
        self, settings: Settings, release: Release, verified: Iterable[VerifiedRepository]
    ) -> None:
        """See that every exact tag is there, whole, and says that it is this release.

        Raises:
            NoReleaseError, ConflictError: one is not.
        """
        names = settings.policy.exact_tags(release.version, release.revision, release.git_tag)
        reasons = {
            repository.repository.tagged(tag.name): tag.reason or tag.status
            for repository in verified
            for tag in repository.wrong
        }
        for reference in [image.tagged(name) for image in settings.images for name in names]:
            image = inspect_image(self.registries, reference)
            if image is None:
                raise NoReleaseError(
                    f"{reference} is not published",
                    f"check out {release.git_tag} and run releasetag publish",
                )
            if reason := image.problem or image.missing or reasons.get(reference, ""):
                raise ConflictError(
                    f"{reference} cannot be relied on: {reason}",
                    "publish it again with --overwrite, or see who has changed it",
                )
            if not image.is_of(release):
                raise ConflictError(
                    f"{reference} does not say that it is {release.version} of commit"
                    f" {release.revision[:12]}",
                    f"see what it is, and run releasetag promote {release.version} if it is right",
                )


def _without_downgrades(plan: PromotionPlan) -> PromotionPlan:
    return replace(plan, moves=tuple(each for each in plan.moves if not each.moves_down))
