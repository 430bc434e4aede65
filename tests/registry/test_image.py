"""releasetag.registry.image: manifests and configurations as values."""

from typing import Literal

from releasetag.registry import Manifest
from tests.support.registry import IMAGE_MANIFEST

Auth = Literal["htpasswd", "token"]

NOWHERE = "sha256:" + "0" * 64


def test_a_repr_does_not_hold_the_content() -> None:
    manifest = Manifest(IMAGE_MANIFEST, b"content")
    assert "content" not in repr(manifest)
    assert IMAGE_MANIFEST in repr(manifest)
