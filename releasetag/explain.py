"""Explain why a tag names what it names: every link of the chain, checked or said to be absent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from releasetag.config import Configuration, Settings
from releasetag.errors import UsageError
from releasetag.fanout import higher_releases
from releasetag.findings import Finding, FindingStatus
from releasetag.git import WorkTree
from releasetag.history import GitTags
from releasetag.published import PublishedImage, inspect_image
from releasetag.reference import Reference, Repository, is_tag, parse_reference
from releasetag.registry import Manifest, Registries
from releasetag.text import printable
from releasetag.version import Release, Version


@dataclass(frozen=True)
class Explanation:
    """What a reference names, and why.

    Attributes:
        digest: empty if it names nothing.
        version: that it proves to name; empty if it does not.
    """

    reference: Reference
    digest: str
    version: str
    findings: tuple[Finding, ...]


def explain_tag(
    tree: WorkTree,
    configuration: Configuration,
    registries: Registries,
    git_tags: GitTags,
    text: str,
) -> list[Explanation]:
    """Explain a tag in every repository, or one reference.

    Args:
        text: ``latest``, or ``ghcr.io/acme/app:latest``.

    Raises:
        UsageError: it is no tag, or of no repository that the settings name.
        AuthError, PushError: a registry cannot be asked.
    """
    found = []
    for settings, reference in _references(configuration, text):
        releases = git_tags.releases(settings.tag_prefix, settings.versions)
        image = inspect_image(registries, reference)
        manifest = registries.manifest(reference) if image and not image.problem else None
        findings = tuple(_explain(tree, registries, settings, releases, reference, image, manifest))
        is_proven = all(each.status != "problem" for each in findings)
        version = image.version_text if image and is_proven else ""
        found.append(Explanation(reference, image.digest if image else "", version, findings))
    return found


def _references(configuration: Configuration, text: str) -> list[tuple[Settings, Reference]]:
    of_repository: dict[Repository, list[Settings]] = {}
    for component in configuration.publishable():
        for settings in component.each_variant():
            for repository in settings.images:
                of_repository.setdefault(repository, []).append(settings)
    is_whole = ":" in text
    if not is_whole and not is_tag(text):
        raise UsageError(f"{printable(text, 100)!r} is no tag", "name one such as latest")
    wanted = [parse_reference(text)] if is_whole else [r.tagged(text) for r in of_repository]
    for reference in wanted:
        if reference.repository not in of_repository:
            raise UsageError(
                f"{reference.repository} is none of the repositories of the settings",
                f"name one of {', '.join(map(str, of_repository))}",
            )
    return [(_owner(of_repository[each.repository], each.tag), each) for each in wanted]


def _owner(candidates: Sequence[Settings], tag: str) -> Settings:
    """Return the component or variant that may have a tag; the first one if none does."""
    for settings in candidates:
        if any(
            template.may_render(tag, settings.versions, settings.tag_prefix)
            for template in settings.tags
        ):
            return settings
    return candidates[0]


def _explain(
    tree: WorkTree,
    registries: Registries,
    settings: Settings,
    releases: Sequence[Release],
    reference: Reference,
    image: PublishedImage | None,
    manifest: Manifest | None,
) -> Iterator[Finding]:
    if image is None:
        yield Finding("tag", "problem", "names nothing", "see releasetag verify")
        return
    yield Finding("tag", "ok", f"names {image.digest}")
    if image.problem:
        yield Finding("image", "problem", image.problem, "publish it again")
        return
    version = image.version(settings.versions)
    if version is None:
        said = f"says {image.version_text!r}, which is no version" if image.version_text else ""
        yield Finding("image", "problem", said or "does not say what version it is")
        return
    commit = printable(image.revision[:12])
    yield Finding("image", "ok", f"says version {image.version_text}, of commit {commit or 'none'}")
    release = next((each for each in releases if each.version == version), None)
    yield from _rule(registries, settings, releases, reference, version, image.revision)
    yield from _git(tree, release, image)
    yield from _exact(registries, settings, release, reference, image)
    if manifest is not None:
        yield from _attached(registries, reference, manifest)


def _rule(
    registries: Registries,
    settings: Settings,
    releases: Sequence[Release],
    reference: Reference,
    version: Version,
    revision: str,
) -> Iterator[Finding]:
    policy, tag = settings.policy, reference.tag
    is_exact = tag in policy.exact_tags(version, revision)
    if not policy.counts(version):
        status: FindingStatus = "note" if is_exact else "problem"
        yield Finding("rule", status, f"{version} is ignored (yanked) by the settings")
        return
    if is_exact:
        yield Finding("rule", "ok", "an exact tag of this version, which never moves")
        return
    template = policy.floating_tags(version, revision).get(tag)
    if template is None:
        yield Finding("rule", "note", "no tag template of the settings gives this version the tag")
        return
    higher = higher_releases(tag, version, policy.counted(releases), policy)
    for each in higher:
        names = policy.exact_tags(each.version, each.revision, each.git_tag)
        if any(registries.digest(reference.repository.tagged(name)) for name in names):
            yield Finding(
                "rule",
                "problem",
                f"{each.git_tag} is higher and published, so that {template.text} should name it",
                f"releasetag promote {each.version}",
            )
            return
    yield Finding("rule", "ok", f"{template.text} names the highest release that is published")
    if higher:
        text = f"{higher[0].git_tag} is higher and was never published"
        yield Finding("rule", "note", text, "check it out and run releasetag publish")


def _git(tree: WorkTree, release: Release | None, image: PublishedImage) -> Iterator[Finding]:
    if release is None:
        yield Finding("git tag", "problem", f"no release {image.version_text} is known to git")
        return
    if release.revision != image.revision:
        yield Finding(
            "git tag",
            "problem",
            f"{release.git_tag} is at {release.revision[:12]}, and the image says"
            f" {printable(image.revision[:12]) or 'no commit'}",
        )
        return
    yield Finding("git tag", "ok", f"{release.git_tag} is at this commit")
    match tree.tag_signature(release.git_tag):
        case "valid":
            yield Finding("signature", "ok", f"of the git tag {release.git_tag} is valid")
        case "invalid":
            yield Finding(
                "signature",
                "problem",
                f"of the git tag {release.git_tag} cannot be verified here",
                f"see git verify-tag {release.git_tag}",
            )
        case "absent":
            yield Finding("signature", "note", f"the clone does not have {release.git_tag}")
        case _:
            yield Finding("signature", "note", f"the git tag {release.git_tag} is not signed")


def _exact(
    registries: Registries,
    settings: Settings,
    release: Release | None,
    reference: Reference,
    image: PublishedImage,
) -> Iterator[Finding]:
    if release is None:
        return
    names = settings.policy.exact_tags(release.version, release.revision, release.git_tag)
    for name in names:
        if name == reference.tag:
            continue
        digest = registries.digest(reference.repository.tagged(name))
        if digest == image.digest:
            yield Finding("exact tag", "ok", f"{name} names the same digest")
        else:
            yield Finding("exact tag", "problem", f"{name} names {digest or 'nothing'}")


def _attached(
    registries: Registries, reference: Reference, manifest: Manifest
) -> Iterator[Finding]:
    children = manifest.children if manifest.is_index else ()
    platforms = [each.platform for each in children if not each.is_attestation]
    if platforms:
        yield Finding("platforms", "ok", ", ".join(filter(None, platforms)))
    beside = len(children) - len(platforms)
    if beside:
        yield Finding("attestations", "ok", f"{beside} of BuildKit, in the index")
    kinds = []
    for digest in (manifest.digest, *(each.digest for each in children)):
        kinds += [
            printable(each.artifact_type or each.media_type, 80)
            for each in registries.referrers(reference.repository, digest)
        ]
        for suffix in ("sig", "att", "sbom"):
            tag = reference.repository.tagged(f"{digest.replace(':', '-')}.{suffix}")
            if registries.digest(tag):
                kinds.append(f"cosign's .{suffix}")
    if kinds:
        counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        yield Finding("attached", "ok", f"{counted}: not verified here")
    elif not beside:
        yield Finding("attached", "note", "no attestation and no signature")
