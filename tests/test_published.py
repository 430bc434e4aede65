"""What an image says of itself, and what it proves. The registry is a fake in memory."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from releasetag.errors import AuthError
from releasetag.policy import TagPolicy
from releasetag.published import (
    PublishedImage,
    inspect_image,
    platform_digests,
    proven_version,
    release_by_digest,
)
from releasetag.reference import Repository
from releasetag.template import parse_template
from releasetag.version import Release, Scheme, parse_version
from tests.support.promises import REVISION, VERSION
from tests.support.registry import IMAGE_INDEX, IMAGE_MANIFEST
from tests.support.world import (
    HOSTS,
    PATH,
    Direct,
    FakeRegistry,
    World,
    digest_of,
    image_manifest,
    open_registries,
)

ONE = HOSTS[0]
APP = Repository(ONE, PATH)
POLICY = TagPolicy((parse_template("{version}"), parse_template("latest")))
A, B = "a" * 40, "b" * 40


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


def inspect(
    registry: FakeRegistry, tag: str = "latest", **denied_is_absent: bool
) -> PublishedImage | None:
    with open_registries(Direct(World({ONE: registry}))) as registries:
        return inspect_image(registries, APP.tagged(tag), **denied_is_absent)


def release(version: str, revision: str = A) -> Release:
    parsed = parse_version(version)
    assert parsed is not None
    return Release(f"v{version}", parsed, revision)


@pytest.mark.parametrize(
    ("labels", "annotations", "version", "text", "revision"),
    [
        ({}, {}, None, "", ""),
        ({VERSION: "1.2.3", REVISION: A}, {}, "1.2.3", "1.2.3", A),
        ({VERSION: "1.0.0", REVISION: A}, {VERSION: "1.2.3"}, "1.2.3", "1.2.3", A),
        ({VERSION: "1.0.0", REVISION: A}, {REVISION: B}, "1.0.0", "1.0.0", B),
        # docker/metadata-action writes the git tag.
        ({VERSION: "v1.2.3"}, {}, "1.2.3", "v1.2.3", ""),
        ({VERSION: "V1.2.3"}, {}, None, "V1.2.3", ""),
        ({VERSION: "main"}, {}, None, "main", ""),
        ({VERSION: "1.2.3\n"}, {}, None, "1.2.3", ""),
        ({VERSION: "x" * 100}, {}, None, "x" * 100, ""),
        ({VERSION: "x" * 101}, {}, None, "x" * 99 + "…", ""),
    ],
)
def test_an_image_says_its_version_and_revision(
    registry: FakeRegistry,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    version: str | None,
    text: str,
    revision: str,
) -> None:
    digest = registry.tags["latest"] = registry.put_image("", "1.2.3", labels, annotations)

    config = registry.config(digest)
    found = inspect(registry)
    assert found == PublishedImage(
        digest,
        {**labels, **annotations}.get(VERSION, ""),
        revision,
        frozenset({digest, config}),
        config,
    )
    assert found.version("semver") == (parse_version(version) if version else None)
    assert found.version_text == text


@pytest.mark.parametrize("gone", [False, True])
def test_an_index_says_what_its_first_whole_image_says(registry: FakeRegistry, gone: bool) -> None:
    labels = {VERSION: "1.2.3", REVISION: A}
    amd64, arm64 = (registry.put_image(name, "1.2.3", labels) for name in ("amd64", "arm64"))
    registry.put_index("latest", [amd64, arm64])
    index = registry.tags["latest"]
    config = registry.config(arm64 if gone else amd64)
    missing = ""
    if gone:
        registry.manifests.remove(amd64)
        missing = f"cannot read {APP.at(amd64)}: {ONE} does not have it"

    assert inspect(registry) == PublishedImage(
        index,
        "1.2.3",
        A,
        frozenset({index, amd64, arm64, config}),
        config,
        missing=missing,
    )


def test_the_digest_of_each_platform(registry: FakeRegistry) -> None:
    children = [registry.put_image(name, "1.2.3") for name in ("a", "b", "c", "d")]
    platforms = [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64", "variant": "v8"},
        {"os": "linux", "architecture": "arm", "variant": "v7"},
        {"os": "unknown", "architecture": "unknown"},
    ]
    index = {
        "schemaVersion": 2,
        "manifests": [
            {"mediaType": IMAGE_MANIFEST, "digest": digest, "size": 1, "platform": platform}
            for digest, platform in zip(children, platforms, strict=True)
        ],
    }
    registry.tags["1.2.3"] = registry.put_manifest(json.dumps(index).encode(), IMAGE_INDEX)
    config = json.dumps({"os": "linux", "architecture": "arm", "variant": "v7"}).encode()
    registry.content[digest_of(config)] = config
    single = registry.put_manifest(image_manifest(config), IMAGE_MANIFEST)

    with open_registries(Direct(World({ONE: registry}))) as registries:
        assert platform_digests(registries, APP.tagged("1.2.3")) == dict(
            zip(("linux/amd64", "linux/arm64", "linux/arm/v7"), children, strict=False)
        )
        assert platform_digests(registries, APP.at(single)) == {"linux/arm/v7": single}
        assert platform_digests(registries, APP.at(children[0])) == {}
        assert platform_digests(registries, APP.tagged("missing")) == {}


def test_what_cannot_be_used_has_a_digest_and_a_problem(registry: FakeRegistry) -> None:
    registry.put_schema_1("latest")
    digest = registry.tags["latest"]
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"

    assert inspect(registry) == PublishedImage(
        digest, problem=f"{APP.tagged('latest')} is neither an image nor an index, but {kind!r}"
    )


def test_what_cannot_be_used_and_is_deleted_meanwhile_is_not_there(registry: FakeRegistry) -> None:
    registry.put_schema_1("latest")
    registry.refuse = lambda method, _: 404 if method == "HEAD" else 0

    assert inspect(registry) is None


def test_a_repository_that_may_not_be_read_is_absent_if_the_push_decides(
    registry: FakeRegistry,
) -> None:
    registry.refuse = lambda *_: 403

    assert inspect(registry, denied_is_absent=True) is None
    with pytest.raises(AuthError):
        inspect(registry)


@pytest.mark.parametrize(
    ("says", "exact", "history", "proven"),
    [
        (("1.2.3", A), "it", [], "1.2.3"),
        (("1.2.3", A), "another", [("1.2.3", A)], None),
        (("1.2.3", A), "", [("1.2.2", B), ("1.2.3", A)], "1.2.3"),
        (("1.2.3", A), "", [("1.2.3", B)], None),
        (("1.2.3", A), "", [("1.2.2", A)], None),
        (("", ""), "it", [("1.2.3", A)], None),
    ],
)
def test_a_floating_tag_proves_the_version_that_its_exact_tag_or_the_history_has(
    registry: FakeRegistry,
    says: tuple[str, str],
    exact: str,
    history: list[tuple[str, str]],
    proven: str | None,
) -> None:
    labels = {VERSION: says[0], REVISION: says[1]}
    registry.tags["latest"] = registry.put_image("", "1.2.3", labels)
    if exact:
        digest = registry.put_image("another", "1.2.3", labels)
        registry.tags["1.2.3"] = registry.tags["latest"] if exact == "it" else digest

    with open_registries(Direct(World({ONE: registry}))) as registries:
        image = inspect_image(registries, APP.tagged("latest"))
        assert image is not None
        found = proven_version(registries, APP, image, POLICY, [release(*each) for each in history])

    assert (found and str(found)) == proven


def test_an_image_without_labels_is_known_by_the_first_exact_tag_that_names_it(
    registry: FakeRegistry,
) -> None:
    old, new = (registry.put_image("", version, {}) for version in ("1.2.2", "1.2.3"))
    registry.tags |= {"1.2.2": old, "1.2.3": new, "1.2.4": new}
    versions = [release(version) for version in ("1.2.1", "1.2.2", "1.2.3", "1.2.4")]

    with open_registries(Direct(World({ONE: registry}))) as registries:
        for digest, order, version in [
            (old, 1, "1.2.2"),
            (new, 1, "1.2.3"),
            (new, -1, "1.2.4"),
            ("sha256:" + "0" * 64, 1, None),
        ]:
            found = release_by_digest(registries, APP, digest, versions[::order], POLICY)
            assert found == (version and release(version))


def test_an_exact_tag_is_of_the_release_as_git_has_it(registry: FakeRegistry) -> None:
    digest = registry.put_image("", "1.2.3")
    policy = TagPolicy((parse_template("{git_tag}-{short_sha}"),))
    exact = f"v1.2.3-{A[:7]}"

    for tag in ("1.2.3", f"1.2.3-{A[:7]}", f"v1.2.3-{B[:7]}", exact):
        registry.tags = {tag: digest}
        with open_registries(Direct(World({ONE: registry}))) as registries:
            found = release_by_digest(registries, APP, digest, [release("1.2.3")], policy)
        assert (found is not None) is (tag == exact)


@pytest.mark.parametrize(
    ("scheme", "label", "version"),
    [
        ("pep440", "v1.2-rc1", "1.2rc1"),
        ("pep440", "1!2", "1!2"),
        ("loose", "2024.01", "2024.01"),
        ("loose", "v1.2-3", "1.2-3"),
        ("loose", "1.2.3-rc.1", None),
        ("semver", "1.2", None),
    ],
)
def test_the_version_of_an_image_is_read_by_the_scheme(
    scheme: Scheme, label: str, version: str | None
) -> None:
    image = PublishedImage("sha256:1", label, A)

    assert image.version(scheme) == (parse_version(version, scheme) if version else None)
    if version and (parsed := parse_version(version, scheme)):
        assert image.is_of(Release("", parsed, A))
        assert not image.is_of(Release("", parsed, B))


def test_an_image_is_of_a_release_that_is_spelled_in_another_way() -> None:
    parsed = parse_version("1.2.0", "pep440")
    assert parsed is not None

    assert PublishedImage("sha256:1", "1.2", A).is_of(Release("v1.2.0", parsed, A))


def test_a_proof_is_read_by_the_scheme(registry: FakeRegistry) -> None:
    digest = registry.put_image("", "1.2", {VERSION: "1.2", REVISION: A})
    registry.tags |= {"1.2": digest, "latest": digest}
    image = inspect(registry)
    assert image is not None

    with open_registries(Direct(World({ONE: registry}))) as registries:
        assert proven_version(registries, APP, image, POLICY, []) is None
        found = proven_version(registries, APP, image, replace(POLICY, scheme="loose"), [])
        assert str(found) == "1.2"
