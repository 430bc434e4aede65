"""Point floating tags at a published version, inside the registries. Needs no engine.

By manifest: no build, no pull, no blob moves, all platforms are kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from releasetag.config import Settings
from releasetag.errors import ConflictError, NoReleaseError, ReleasetagError, UsageError
from releasetag.fanout import applies
from releasetag.floating import Published, exact_names, move, put, served, witness
from releasetag.parallel import side_by_side
from releasetag.reference import Reference, Repository
from releasetag.registry import Manifest, Registries
from releasetag.template import Template, parse_template
from releasetag.version import Release, Version, parse_version


@dataclass(frozen=True)
class Promotion:
    """One floating tag in one repository, looked at and not yet moved.

    Attributes:
        template: that the tag comes from.
        manifest: the published image that it is to name.
        now: the version that it is seen to name; None if that cannot be told, or is lower.
        digest: that it names now, empty if it is not there.
    """

    reference: Reference
    template: Template
    manifest: Manifest
    now: Version | None
    digest: str


def plan_promotion(
    registries: Registries,
    settings: Settings,
    release: Release,
    history: Sequence[Release],
    *,
    picks: Sequence[str] = (),
    allow_downgrade: bool = False,
) -> tuple[Promotion, ...]:
    """Look at everything that is to move, so that all is refused or nothing.

    Args:
        release: what the tags are to name; published already.
        history: the releases that count.
        picks: names or templates of the floating tags; empty: all that apply to the release.

    Returns:
        The moves, the narrowest scope first.

    Raises:
        NoReleaseError: a repository does not have the release.
        ConflictError: a tag would move down, and that is not allowed.
        UsageError: a pick is no floating tag.
    """
    templates = _templates(settings, release, picks, history)
    found = side_by_side(
        lambda repository: _published(registries, repository, settings, release),
        settings.images,
        settings.jobs,
    )
    moves = []
    for template, name in templates:
        for repository, manifest in found:
            reference = repository.tagged(name)
            digest = registries.digest(reference) or ""
            now = _names(
                registries,
                reference,
                digest,
                template=template,
                settings=settings,
                release=release,
                history=history,
            )
            moves.append(Promotion(reference, template, manifest, now, digest))
    down = [each for each in moves if each.now is not None and each.now > release.version]
    if down and not allow_downgrade:
        shown = ", ".join(f"{each.reference} names {each.now}" for each in down)
        raise ConflictError(
            f"{release.version} would move tags down: {shown}",
            "to roll back, say so with --allow-downgrade",
        )
    return tuple(moves)


def promote_release(
    registries: Registries,
    settings: Settings,
    release: Release,
    moves: Sequence[Promotion],
    report: Callable[[Published], None],
    *,
    allow_downgrade: bool = False,
) -> None:
    """Make the moves, tag by tag, side by side across repositories.

    Args:
        moves: from `plan_promotion`.
        report: told what became of every reference.

    Raises:
        ReleasetagError: a registry refused; running again goes on.
    """

    def do(each: Promotion) -> Published:
        if allow_downgrade:
            return put(registries, each.reference, each.manifest, replace=True)
        return move(
            registries,
            each.reference,
            each.manifest,
            version=release.version,
            template=each.template,
            settings=settings,
        )

    def told(each: Promotion) -> None:
        try:
            report(do(each))
        except ReleasetagError as error:
            report(Published(each.reference, each.digest, "failed", error=error.message))
            raise

    for name in dict.fromkeys(each.reference.tag for each in moves):
        side_by_side(told, [each for each in moves if each.reference.tag == name], settings.jobs)


def _templates(
    settings: Settings, release: Release, picks: Sequence[str], history: Sequence[Release]
) -> list[tuple[Template, str]]:
    """The floating templates and the names that they have for the release."""
    own: dict[str, Template] = {}
    for template in settings.tags:
        name = template.render(release) if template.kind == "floating" else None
        if name and (picks or not applies(template, release.version)):
            own.setdefault(name, template)
    if picks:
        chosen: dict[str, Template] = {}
        # A pick without a field may still be what another version is published under.
        exact = {name for each in history for name in exact_names(settings.tags, each)}
        for pick in picks:
            template = own.get(pick) or parse_template(pick)
            name = template.render(release)
            if template.kind == "exact" or name is None or name in exact or parse_version(name):
                raise UsageError(
                    f"{pick!r} is no floating tag of {release.version}",
                    "name one such as latest or {major}.{minor}: exact tags never move",
                )
            chosen[name] = own.get(name, template)
        own = chosen
    if not own:
        raise UsageError(
            f"no floating tag applies to {release.version}", "name the tags to move with --tag"
        )
    return [
        (template, name) for name, template in sorted(own.items(), key=lambda p: -len(p[1].fields))
    ]


def _published(
    registries: Registries, repository: Repository, settings: Settings, release: Release
) -> Manifest:
    names = exact_names(settings.tags, release)
    for name in names:
        if manifest := registries.manifest(repository.tagged(name)):
            return manifest
    shown = names[0] if names else release.git_tag
    raise NoReleaseError(
        f"{repository}:{shown} is not published, so nothing can be pointed at it",
        f"check out {release.git_tag or 'its git tag'} and run releasetag publish first",
    )


def _names(
    registries: Registries,
    reference: Reference,
    digest: str,
    *,
    template: Template,
    settings: Settings,
    release: Release,
    history: Sequence[Release],
) -> Version | None:
    """The version that a floating tag names, if it is seen to be the release's or a higher one."""
    repository = reference.repository
    current = served(registries, repository.at(digest)) if digest else None
    if current is None:
        return None
    if seen := witness(registries, repository, current, template=template, settings=settings):
        return seen
    # An image without labels, as it was pushed before this program was used.
    for other in sorted(history, key=lambda r: r.version):
        if other.version > release.version:
            for name in exact_names(settings.tags, other):
                if registries.digest(repository.tagged(name)) == digest:
                    return other.version
    return None
