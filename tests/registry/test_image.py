"""releasetag.registry.image: manifests and configurations as values."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.registry import BrokenImageError, Descriptor, Manifest
from releasetag.registry.image import parse_config, parse_manifest
from tests.support.fake_registry import CONFIG, LAYER, descriptor, digest
from tests.support.registry import IMAGE_INDEX, IMAGE_MANIFEST

FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"


def manifest(media_type: str, **content: object) -> Manifest:
    return Manifest(media_type, json.dumps(content).encode())


def test_a_repr_does_not_hold_the_content() -> None:
    image = Manifest(IMAGE_MANIFEST, b"content")
    assert "content" not in repr(image)
    assert IMAGE_MANIFEST in repr(image)


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({"a": "b", "c": "é"}, {"a": "b", "c": "é"}),
        ({"a": "b", "c": 7, "d": None}, {"a": "b"}),
        (None, {}),
        ([], {}),
        ("a", {}),
    ],
)
@pytest.mark.parametrize("media_type", [IMAGE_MANIFEST, IMAGE_INDEX])
def test_annotations_are_the_strings_among_them(
    annotations: object, expected: dict[str, str], media_type: str
) -> None:
    assert manifest(media_type, annotations=annotations).annotations == expected


def test_an_image_has_no_annotations_where_it_says_nothing() -> None:
    assert manifest(IMAGE_MANIFEST).annotations == {}
    assert Manifest(IMAGE_MANIFEST, b"not JSON").annotations == {}


def test_an_image_depends_on_its_configuration_and_layers_but_foreign_ones() -> None:
    config = descriptor(CONFIG, b"{}")
    layers = [descriptor(kind, kind.encode()) for kind in (LAYER, FOREIGN, NONDISTRIBUTABLE)]
    image = manifest(IMAGE_MANIFEST, config=config, layers=layers)
    assert [d.digest for d in image.dependencies] == [digest(b"{}"), digest(LAYER.encode())]
    assert [layer.is_foreign for layer in image.layers] == [False, True, True]


def test_an_index_depends_on_its_children_and_attestations() -> None:
    unknown = {"os": "unknown", "architecture": "unknown"}
    children = [
        descriptor(IMAGE_MANIFEST, b"1", platform={"os": "linux", "architecture": "arm64"}),
        descriptor(IMAGE_MANIFEST, b"2", platform=unknown),
        descriptor(IMAGE_MANIFEST, b"3", annotations={"vnd.docker.reference.type": "x"}),
    ]
    index = manifest(IMAGE_INDEX, manifests=children)
    assert index.dependencies == index.children
    assert [child.is_attestation for child in index.children] == [False, True, True]
    assert [child.platform for child in index.children] == ["linux/arm64", "unknown/unknown", ""]
    assert all(child.is_manifest for child in index.children)


@pytest.mark.parametrize(
    ("content", "stated", "expected"),
    [
        ({"mediaType": IMAGE_INDEX, "manifests": []}, "text/plain", IMAGE_INDEX),
        ({"mediaType": IMAGE_INDEX, "manifests": []}, IMAGE_MANIFEST, IMAGE_INDEX),
        ({"manifests": []}, IMAGE_INDEX, IMAGE_INDEX),
        ({"manifests": []}, "", IMAGE_INDEX),
        ({"config": {}, "layers": []}, "application/octet-stream", IMAGE_MANIFEST),
        ({"mediaType": ["x"], "config": {}, "layers": []}, "", IMAGE_MANIFEST),
    ],
)
def test_a_manifest_says_what_it_is_itself(
    content: dict[str, object], stated: str, expected: str
) -> None:
    assert parse_manifest(json.dumps(content).encode(), stated, "x").media_type == expected


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
_KEYS = ("mediaType", "digest", "size", "platform", "annotations", "os", "architecture")
_DESCRIPTOR = st.dictionaries(st.sampled_from(_KEYS), _JSON | st.just("sha256:" + "0" * 64))
_MANIFEST = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": _JSON | st.sampled_from([IMAGE_MANIFEST, IMAGE_INDEX]),
        "config": _DESCRIPTOR | _JSON,
        "layers": st.lists(_DESCRIPTOR | _JSON, max_size=2) | _JSON,
        "manifests": st.lists(_DESCRIPTOR | _JSON, max_size=2) | _JSON,
        "annotations": _JSON,
    },
)


@given(_MANIFEST.map(lambda content: json.dumps(content).encode()) | st.binary(), st.text())
def test_no_content_is_an_internal_error(content: bytes, stated: str) -> None:
    try:
        found = parse_manifest(content, stated, "x")
        assert all(isinstance(value, str) for value in found.annotations.values())
        assert all(isinstance(each, Descriptor) for each in found.dependencies)
    except BrokenImageError:
        pass
    parse_config(content, digest(content))
