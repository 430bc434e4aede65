"""Point floating tags at a published version, inside the registries. Needs no engine.

By manifest: no build, no pull, no blob moves, all platforms are kept.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from releasetag.config import Settings
from releasetag.errors import ConflictError, NoReleaseError, UsageError
from releasetag.image import EngineReport
from releasetag.parallel import map_parallel
from releasetag.policy import TagPolicy
from releasetag.publish.converge import not_staying_error, settle, warn_or_raise_unsure
from releasetag.publish.gates import gate_environ, run_gate
from releasetag.published import inspect_image, proven_version
from releasetag.reference import Reference, Repository
from releasetag.registry import Manifest, Registries
from releasetag.tagging import (
    Mover,
    TagResult,
    higher_holder,
    put,
    report_outcome,
    require_floating,
)
from releasetag.template import parse_template
from releasetag.version import Release, Version

_ROUNDS = 8


@dataclass(frozen=True)
class Promotion:
    """One floating tag in one repository, inspected and not yet moved.

    Attributes:
        digest: what it names now; empty if it is not there.
        now: the version that it proves to name; None if none is proven.
        moves_down: whether that version is higher than the release.
    """

    reference: Reference
    digest: str
    now: Version | None
    moves_down: bool


@dataclass(frozen=True)
class PromotionPlan:
    """What a promotion will do, before anything is done.

    Attributes:
        settings: of the component, or of the variant whose tags move.
        policy: that of the settings, and the tags that were picked.
        manifest: the release's image, the same in every repository.
        history: the releases that count.
        moves: the narrowest scope first.
        others: the settings of the component's other variants.
    """

    release: Release
    settings: Settings
    policy: TagPolicy
    manifest: Manifest
    history: Sequence[Release]
    moves: tuple[Promotion, ...]
    others: tuple[Settings, ...] = ()


def plan_promotions(
    registries: Registries,
    settings: Settings,
    release: Release,
    history: Sequence[Release],
    *,
    warn: Callable[[str], None],
    picks: Sequence[str] = (),
    allow_downgrade: bool = False,
) -> tuple[PromotionPlan, ...]:
    """Inspect everything that is to move, of every variant; see `plan_promotion`.

    Raises:
        UsageError: a pick is a tag of no variant, and there are several; or there is no such
            variant.
    """
    plans = []
    for variant, own in _share_out(picks, settings.each_variant(), release):
        if picks and not own:
            if variant.images:  # a release of which a variant is missing is not finished
                _find_manifest(registries, variant, release, history)
            continue
        plan = plan_promotion(
            registries,
            variant,
            release,
            history,
            warn=warn,
            picks=own,
            allow_downgrade=allow_downgrade,
        )
        plans.append(replace(plan, others=settings.other_variants(variant)))
    return tuple(plans)


def _share_out(
    picks: Sequence[str], variants: Sequence[Settings], release: Release
) -> list[tuple[Settings, Sequence[str]]]:
    """Return the variants, each with the picks that are floating tags of it."""
    if len(variants) == 1 or not picks:
        return [(variant, picks) for variant in variants]
    version, revision = release.version, release.revision
    names = {pick: parse_template(pick).render(version, revision) for pick in picks}
    shared: list[tuple[Settings, Sequence[str]]] = []
    for variant in variants:
        floats = dict(variant.policy.render_floating(version, revision))
        shared.append((variant, [pick for pick, name in names.items() if name in floats]))
    for pick in picks:
        if not any(pick in own for _, own in shared):
            raise UsageError(
                f"{pick!r} is a floating tag of no variant", "name the variant with --variant"
            )
    return shared


def plan_promotion(
    registries: Registries,
    settings: Settings,
    release: Release,
    history: Sequence[Release],
    *,
    warn: Callable[[str], None],
    picks: Sequence[str] = (),
    allow_downgrade: bool = False,
) -> PromotionPlan:
    """Inspect everything that is to move, so that all is refused or nothing.

    Args:
        settings: of the component, or of a variant.
        release: what the tags are to name; published already.
        history: the releases that count.
        warn: called with a sentence for a person.
        picks: names or templates of the floating tags; empty: all that apply to the release.

    Raises:
        NoReleaseError: a repository does not have the release, or it was yanked.
        ConflictError: a tag would move down, and that is not allowed; or the repositories have
            different images of the release.
        UsageError: a pick is no floating tag.
    """
    if not settings.images:
        raise UsageError(
            f"no image is given{f' for {settings.variant}' if settings.variant else ''}",
            "name one with --image, in RELEASETAG_IMAGES or as images in releasetag.toml",
        )
    if not settings.policy.counts(release.version):
        raise NoReleaseError(
            f"the release {release.git_tag or release.version} is ignored (yanked) by the settings",
            "take it out of `ignore`, or promote another release",
        )
    policy, names = _pick(settings.policy, release, history, picks)
    manifest = _find_manifest(registries, settings, release, history)
    mover = Mover(
        registries,
        settings.images,
        policy,
        release,
        manifest,
        history,
        report=lambda _: None,
        warn=warn,
        jobs=settings.jobs,
    )
    tags = [repository.tagged(name) for name in names for repository in settings.images]
    moves = tuple(
        move for _, move in map_parallel(lambda tag: _inspect(mover, tag), tags, settings.jobs)
    )
    down = ", ".join(f"{each.reference} names {each.now}" for each in moves if each.moves_down)
    if down and not allow_downgrade:
        raise ConflictError(
            f"{release.version} would move tags down: {down}",
            "to roll back, say so with --allow-downgrade",
        )
    return PromotionPlan(release, settings, policy, manifest, tuple(history), moves)


def run_gates(
    plans: Sequence[PromotionPlan],
    gates: Sequence[Sequence[str]],
    environ: Mapping[str, str],
    report: EngineReport,
) -> None:
    """Run every gate once, unless all tags name the images already.

    Args:
        plans: of every variant.
        gates: the words of each, from `releasetag.publish.gates.parse_gate`.
        environ: of this program.
        report: receives a step for each.

    Raises:
        GateError: one refused, or cannot be run.
    """
    if all(each.digest == plan.manifest.digest for plan in plans for each in plan.moves):
        return
    references = [
        repository.at(plan.manifest.digest) for plan in plans for repository in plan.settings.images
    ]
    of_gate = gate_environ(environ, plans[0].release.version, references)
    for words in gates:
        report.step(f"Running the gate {words[0]}", prints=True)
        run_gate(words, of_gate)


def promote_release(
    registries: Registries,
    plan: PromotionPlan,
    reread_history: Callable[[], Sequence[Release]],
    *,
    report: Callable[[TagResult], None],
    warn: Callable[[str], None],
    allow_downgrade: bool = False,
) -> None:
    """Make the moves, tag by tag, concurrently across repositories.

    A release that is published meanwhile takes the tags that it has a right to.

    Args:
        plan: from `plan_promotion`.
        reread_history: returns the releases that count now.
        report: called with the outcome for every reference.

    Raises:
        ReleasetagError: a registry refused; running again goes on.
    """
    settings = plan.settings
    references = [each.reference for each in plan.moves]
    if allow_downgrade:

        def roll_back(reference: Reference) -> TagResult:
            return report_outcome(
                reference, lambda: put(registries, reference, plan.manifest, replace=True), report
            )

        for name in dict.fromkeys(each.tag for each in references):
            named = [each for each in references if each.tag == name]
            map_parallel(roll_back, named, settings.jobs)
        return
    mover = Mover(
        registries,
        settings.images,
        plan.policy,
        plan.release,
        plan.manifest,
        plan.history,
        report,
        warn,
        settings.jobs,
        plan.others,
    )
    results = mover.move_all(dict.fromkeys(each.tag for each in references))
    pushed = {result.reference for result in results if result.status == "pushed"}
    if not pushed:
        return
    for _ in range(_ROUNDS):
        # An older release that nobody promoted has no right to the tag; a person decides that.
        new = [each for each in reread_history() if each not in plan.history]
        settled = settle(mover, sorted(pushed), new, gated=bool(settings.gates))
        if not settled.changed:
            break
    else:
        raise not_staying_error(sorted(pushed))
    warn_or_raise_unsure(settled.unsure, pushed, warn)


def _pick(
    policy: TagPolicy, release: Release, history: Sequence[Release], picks: Sequence[str]
) -> tuple[TagPolicy, list[str]]:
    """Return the names of the tags to move, and the policy with the templates that were picked."""
    version, revision = release.version, release.revision
    policy.check([release], history)
    own = policy.floating_tags(version, revision)
    if picks:
        rendered = dict(policy.render_floating(version, revision))
        chosen = {}
        for pick in picks:
            template = parse_template(pick)
            name = template.render(version, revision)
            if template.kind != "floating" or name is None or policy.is_reserved(name):
                raise UsageError(
                    f"{pick!r} is no floating tag of {version}",
                    "name one such as latest or {major}.{minor}: exact tags never move",
                )
            chosen[name] = rendered.get(name, template)
        own = chosen
        more = tuple(each for each in own.values() if each not in policy.templates)
        policy = replace(policy, templates=policy.templates + more)
        policy.check([release], history)
    if not own:
        raise UsageError(
            f"no floating tag applies to {version}", "name the tags to move with --tag"
        )
    return policy, sorted(own, key=lambda name: -len(own[name].fields))


def _find_manifest(
    registries: Registries, settings: Settings, release: Release, history: Sequence[Release]
) -> Manifest:
    """Return the release's image, which has to be the same in every repository."""

    def find(repository: Repository) -> Manifest:
        policy, version, revision = settings.policy, release.version, release.revision
        exact = policy.exact_tags(version, revision, release.git_tag)
        for name in exact:
            if manifest := registries.manifest(repository.tagged(name)):
                return manifest
        # The exact tag is gone, and a floating tag may prove to name the image.
        for name in policy.floating_tags(version, revision) if release in history else ():
            image = inspect_image(registries, repository.tagged(name))
            found = registries.manifest(repository.at(image.digest)) if image else None
            if image and image.is_of(release) and found:
                return found
        hint = f"check out {release.git_tag} and run releasetag publish first"
        if not release.git_tag:
            hint = "git has no release of this version either: see releasetag history"
        elif settings.variant:
            hint += ", or pick variants with --variant"
        raise NoReleaseError(
            f"{repository}:{exact[0] if exact else version} is not published, so nothing can be"
            " pointed at it",
            hint,
        )

    found = map_parallel(find, settings.images, settings.jobs)
    if len({manifest.digest for _, manifest in found}) > 1:
        shown = ", ".join(f"{repository} has {each.digest}" for repository, each in found)
        raise ConflictError(
            f"{release.version} is another image in each repository: {shown}",
            "publish one image in place of them: releasetag publish --overwrite",
        )
    return found[0][1]


def _inspect(mover: Mover, reference: Reference) -> Promotion:
    registries, repository = mover.registries, reference.repository
    digest = registries.digest(reference)
    if digest is None or digest == mover.manifest.digest:
        return Promotion(reference, digest or "", None, moves_down=False)
    require_floating(mover, reference, digest)
    if (higher := higher_holder(mover, reference, digest)) is not None:
        return Promotion(reference, digest, higher, moves_down=True)
    image = inspect_image(registries, repository.at(digest))
    now = (
        proven_version(registries, repository, image, mover.policy, mover.history)
        if image is not None
        else None
    )
    return Promotion(reference, digest, now, moves_down=False)
