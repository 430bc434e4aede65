"""What must hold in the registries at any moment, whatever happened: DESIGN's promises.

Looked at with the registries' own witness, not with the program's client.
"""

from collections.abc import Mapping, Sequence

from tests.support.registry import IMAGE_MANIFEST, RegistryServer

VERSION = "org.opencontainers.image.version"
REVISION = "org.opencontainers.image.revision"
FLOATING = ("1.2", "1", "latest")


def digests(registry: RegistryServer, repository: str) -> dict[str, str | None]:
    """What every tag of a repository names."""
    return {tag: registry.digest(repository, tag) for tag in registry.tags(repository)}


def versions(registry: RegistryServer, repository: str) -> dict[str, str]:
    """The version that the image behind every tag says it is."""
    return _versions(registry, repository, digests(registry, repository))


def publish_by_hand(
    registries: Sequence[RegistryServer], repository: str, version: str, *floating: str
) -> str:
    """A release published everywhere, put there without engine and program; its digest."""
    digest = ""
    for registry in registries:
        labels = {VERSION: version, REVISION: "0" * 40}
        digest = registry.put_image(repository, version, labels)
        manifest = registry.manifest(repository, digest)
        assert manifest is not None
        for tag in floating:
            registry.put_manifest(repository, tag, manifest, IMAGE_MANIFEST)
    return digest


def assert_promises(
    registries: Sequence[RegistryServer], repository: str, before: Mapping[str, str]
) -> None:
    """Every floating tag names a release that is in place everywhere, and none moved down.

    Args:
        before: the versions that the floating tags named earlier, in every one of the registries.
    """
    seen = [digests(registry, repository) for registry in registries]
    for registry, tags in zip(registries, seen, strict=True):
        named = _versions(registry, repository, tags)
        for tag in set(tags) & set(FLOATING):
            where = f"{registry.address}/{repository}:{tag} names {named[tag]}: {seen}"
            assert all(other.get(named[tag]) == tags[tag] for other in seen), where
            assert numbers(named[tag]) >= numbers(before.get(tag, "0")), where


def _versions(
    registry: RegistryServer, repository: str, tags: Mapping[str, str | None]
) -> dict[str, str]:
    said = {d: registry.labels(repository, d)[VERSION] for d in set(tags.values()) if d}
    return {tag: said[digest] for tag, digest in tags.items() if digest}


def numbers(version: str) -> tuple[int, ...]:
    """A stable version, to be compared without the program's own rule."""
    return tuple(int(number) for number in version.split("."))
