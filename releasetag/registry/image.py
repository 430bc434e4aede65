"""Manifests, indexes and image configurations as values. Pure.

Source: OCI Image 1.1 (descriptor, manifest, image index, config); Docker's Image Manifest Version
2, Schema 2, which has the same fields.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from releasetag.json_text import InvalidJsonError, parse_json
from releasetag.reference import is_digest
from releasetag.registry.errors import BrokenImageError
from releasetag.text import printable

IMAGE_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


@dataclass(frozen=True)
class Descriptor:
    """A manifest's reference to content by digest.

    Attributes:
        media_type, digest: of the content.
        size: in bytes.
        platform: ``linux/amd64``; empty if there is none.
        variant: of the platform: ``v7``; empty if there is none.
        annotations: of the descriptor, not of the content.
        artifact_type: of what is attached to an image, untrusted; empty if it is not said.
    """

    media_type: str
    digest: str
    size: int
    platform: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    variant: str = ""

    @property
    def is_manifest(self) -> bool:
        """Whether it is a manifest or an index, not a blob."""
        return self.media_type in IMAGE_TYPES + INDEX_TYPES

    @property
    def is_foreign(self) -> bool:
        """Whether it is a layer that may not be distributed (Windows' base layers of old)."""
        return "foreign" in self.media_type or "nondistributable" in self.media_type

    @property
    def is_attestation(self) -> bool:
        """Whether it is BuildKit's attestation of an image beside it in an index."""
        return self.platform == "unknown/unknown" or "vnd.docker.reference.type" in self.annotations


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index: its exact bytes, of which the digest is.

    Attributes:
        media_type: of the content.
        content: as the registry stores it.
    """

    media_type: str
    content: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and the hexadecimal hash of the content."""
        return digest_of(self.content)

    @property
    def is_index(self) -> bool:
        """Whether it is an index: of manifests, one for each platform."""
        return self.media_type in INDEX_TYPES

    @property
    def children(self) -> tuple[Descriptor, ...]:
        """The manifests in an index. Raises BrokenImageError if it is malformed."""
        return self._descriptors("manifests")

    @property
    def config(self) -> Descriptor:
        """The configuration of an image. Raises BrokenImageError as ``children``."""
        return self._descriptor(self._parsed.get("config"))

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The layers of an image, the base first. Raises BrokenImageError as ``children``."""
        return self._descriptors("layers")

    @property
    def subject(self) -> Descriptor | None:
        """What it refers to: a signature's image. Raises BrokenImageError as ``children``."""
        found = self._parsed.get("subject")
        return None if found is None else self._descriptor(found)

    @property
    def dependencies(self) -> tuple[Descriptor, ...]:
        """What its repository has to have: children, or configuration and layers.

        Raises BrokenImageError as ``children``.
        """
        found = self.children if self.is_index else (self.config, *self.layers)
        return tuple(descriptor for descriptor in found if not descriptor.is_foreign)

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations of the manifest or index itself, untrusted."""
        return strings(self._parsed.get("annotations"))

    @cached_property
    def _parsed(self) -> dict[str, Any]:
        return parse_object(self.content) or {}

    def _descriptors(self, name: str) -> tuple[Descriptor, ...]:
        found = self._parsed.get(name)
        if not isinstance(found, list):
            raise self._malformed_error()
        return tuple(self._descriptor(item) for item in found)

    def _descriptor(self, item: object) -> Descriptor:
        if not isinstance(item, dict):
            raise self._malformed_error()
        media_type, digest, size = (item.get(key) for key in ("mediaType", "digest", "size"))
        if not isinstance(media_type, str) or type(size) is not int or size < 0:
            raise self._malformed_error()
        # The digest goes into a URL.
        if not isinstance(digest, str) or not is_digest(digest):
            raise self._malformed_error()
        platform = strings(item.get("platform"))
        named = (
            "/".join(platform.get(key, "") for key in ("os", "architecture")) if platform else ""
        )
        return Descriptor(
            media_type,
            digest,
            size,
            named,
            strings(item.get("annotations")),
            strings(item).get("artifactType", ""),
            platform.get("variant", ""),
        )

    def _malformed_error(self) -> BrokenImageError:
        return BrokenImageError(
            f"the manifest {self.digest} is malformed",
            "push the image again with the program that made it",
        )


@dataclass(frozen=True)
class ImageConfig:
    """The configuration of an image.

    Attributes:
        digest: of the configuration; the image ID of the classic image store.
        labels: untrusted.
        missing: why another image of the index cannot be used; empty if none was found.
        platform: ``linux/arm/v7``, untrusted; empty if it does not say.
    """

    digest: str
    labels: Mapping[str, str]
    missing: str = ""
    platform: str = ""


def parse_config(content: bytes, digest: str) -> ImageConfig:
    """Parse an image configuration; one of another kind has no labels."""
    parsed = parse_object(content) or {}
    settings = parsed.get("config")
    labels = settings.get("Labels") if isinstance(settings, dict) else None
    named = strings(parsed)
    parts = [named[key] for key in ("os", "architecture", "variant") if named.get(key)]
    return ImageConfig(digest, strings(labels), platform="/".join(parts))


def parse_manifest(content: bytes, media_type: str, reference: str) -> Manifest:
    """Parse a manifest or an index.

    Args:
        media_type: as the registry says; the content's own takes precedence, for the media type
            that it is put back with must agree with it.
        reference: where it is from, for the error.

    Raises:
        BrokenImageError: it is neither a manifest nor an index.
    """
    parsed = parse_object(content) or {}
    for name in (parsed.get("mediaType"), media_type):
        if name in IMAGE_TYPES + INDEX_TYPES:
            return Manifest(str(name), content)
    if "manifests" in parsed:
        return Manifest(INDEX_TYPES[0], content)
    if "config" in parsed and "layers" in parsed:
        return Manifest(IMAGE_TYPES[0], content)
    kind = printable(media_type, 100)
    raise BrokenImageError(
        f"{reference} is neither an image nor an index, but {kind!r}",
        "images in formats older than Docker's schema 2 have to be pushed again",
    )


def digest_of(content: bytes) -> str:
    """Return the sha256 digest of the content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def hasher(digest: str) -> "hashlib._Hash":
    """Return a new hash of the digest's algorithm: sha256 or sha512, as in OCI Image 1.1.

    Raises:
        BrokenImageError: it is another one, so content could not be checked.
    """
    algorithm = digest.partition(":")[0]
    if algorithm not in {"sha256", "sha512"}:
        raise BrokenImageError(
            f"{printable(digest, 100)} is a digest that cannot be checked",
            "use images with sha256 digests",
        )
    return hashlib.new(algorithm)


def matches(digest: str, content: bytes) -> bool:
    """Return whether the content has that digest. Raises BrokenImageError as ``hasher``."""
    computed = hasher(digest)
    computed.update(content)
    return computed.hexdigest() == digest.partition(":")[2]


def parse_object(content: bytes) -> dict[str, Any] | None:
    """Parse a JSON object; None if the content is anything else."""
    try:
        parsed = parse_json(content)
    except InvalidJsonError:
        return None
    return parsed if isinstance(parsed, dict) else None


def strings(value: object) -> Mapping[str, str]:
    """Return the strings of a JSON object by their names; nothing if it is none."""
    found = value.items() if isinstance(value, dict) else ()
    return MappingProxyType({key: text for key, text in found if isinstance(text, str)})
