"""Registries against real registries: what is read, put, listed, copied and checked."""

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import httpx
import pytest

from releasetag.credentials import Credentials
from releasetag.errors import AuthError, PushError
from releasetag.reference import Repository
from releasetag.registry import Manifest, Registries
from releasetag.registry.image import INDEX_TYPES
from tests.conftest import StartRegistry
from tests.support.fake_registry import (
    at,
    blob,
    child,
    credentials_of,
    descriptor,
    digest,
    image,
    index,
    open_registries,
)
from tests.support.registry import IMAGE_MANIFEST, RegistryServer

Auth = Literal["htpasswd", "token"]

NOWHERE = "sha256:" + "0" * 64


def test_digest_is_read_without_the_manifest(registry: RegistryServer) -> None:
    expected = image(registry, "acme/app", "1.2.3")
    with open_registries() as registries:
        assert registries.digest(at(registry).tagged("1.2.3")) == expected
        assert registries.digest(at(registry).at(expected)) == expected
    assert "GET /v2/acme/app/manifests/1.2.3" not in registry.requests()


@pytest.mark.parametrize("path", ["acme/app", "acme/nowhere"])
def test_what_is_not_there_is_none(registry: RegistryServer, path: str) -> None:
    image(registry, "acme/app", "1.2.3")
    with open_registries() as registries:
        assert registries.digest(at(registry, path).tagged("1.2.4")) is None
        assert registries.manifest(at(registry, path).tagged("1.2.4")) is None
        assert registries.manifest(at(registry, path).at(NOWHERE)) is None


def test_manifest_is_the_bytes_that_were_put(registry: RegistryServer) -> None:
    expected = image(registry, "acme/app", "1.2.3", b"layer")
    content = registry.manifest("acme/app", "1.2.3")
    assert content is not None
    with open_registries() as registries:
        found = registries.manifest(at(registry).tagged("1.2.3"))
    assert found == Manifest(IMAGE_MANIFEST, content)
    assert (found.digest, found.is_index) == (expected, False)
    assert [layer.digest for layer in found.layers] == [digest(b"layer")]


def test_a_manifest_is_put_under_another_tag_and_by_digest(registry: RegistryServer) -> None:
    expected = image(registry, "acme/app", "1.2.3")
    with open_registries() as registries:
        manifest = registries.manifest(at(registry).tagged("1.2.3"))
        assert manifest is not None
        assert registries.put_manifest(at(registry).tagged("latest"), manifest) == expected
        assert registries.put_manifest(at(registry).at(expected), manifest) == expected
    assert registry.digest("acme/app", "latest") == expected


def test_a_manifest_whose_blobs_are_missing_is_refused_in_the_registrys_words(
    registry: RegistryServer, second_registry: RegistryServer
) -> None:
    image(registry, "acme/app", "1.2.3", b"layer")
    with open_registries() as registries:
        manifest = registries.manifest(at(registry).tagged("1.2.3"))
        assert manifest is not None
        with pytest.raises(PushError, match="BLOB_UNKNOWN: blob unknown to registry") as caught:
            registries.put_manifest(at(second_registry).tagged("1.2.3"), manifest)
    assert f"cannot push {second_registry.address}/acme/app:1.2.3" in caught.value.message


def test_tags_are_all_there_however_many(registry: RegistryServer) -> None:
    expected = image(registry, "acme/app", "0")
    with open_registries() as registries:
        manifest = registries.manifest(at(registry).at(expected))
        assert manifest is not None
        for number in range(1, 12):
            registries.put_manifest(at(registry).tagged(str(number)), manifest)
        assert sorted(registries.tags(at(registry)) or []) == sorted(str(n) for n in range(12))
        assert registries.tags(at(registry, "acme/nowhere")) == []


def test_labels_are_those_of_the_image(registry: RegistryServer) -> None:
    labels = {"org.opencontainers.image.version": "1.2.3", "a": "é"}
    image(registry, "acme/app", "1.2.3", labels=labels)
    image(registry, "acme/app", "bare")
    with open_registries() as registries:
        for tag, expected in (("1.2.3", labels), ("bare", {})):
            manifest = registries.manifest(at(registry).tagged(tag))
            assert manifest is not None
            config = registries.image_config(at(registry), manifest)
            assert dict(config.labels) == expected
            assert config.digest == manifest.config.digest


@pytest.mark.parametrize("nested", [False, True])
def test_labels_of_an_index_are_those_of_its_first_image(
    registry: RegistryServer, nested: bool
) -> None:
    for tag in ("attested", "unknown", "arm64", "amd64"):
        image(registry, "acme/app", tag, labels={"tag": tag})
    unknown = {"os": "unknown", "architecture": "unknown"}
    note = {"vnd.docker.reference.type": "attestation-manifest"}
    index(
        registry,
        "acme/app",
        "1.2.3",
        child(registry, "acme/app", "unknown", platform=unknown),
        child(registry, "acme/app", "attested", annotations=note),
        child(registry, "acme/app", "arm64", platform={"os": "linux", "architecture": "arm64"}),
        child(registry, "acme/app", "amd64", platform={"os": "linux", "architecture": "amd64"}),
    )
    if nested:
        inner = child(registry, "acme/app", "1.2.3")
        index(registry, "acme/app", "1.2.3", inner | {"mediaType": INDEX_TYPES[0]})
    with open_registries() as registries:
        manifest = registries.manifest(at(registry).tagged("1.2.3"))
        assert manifest is not None
        assert manifest.is_index
        assert registries.image_config(at(registry), manifest).labels["tag"] == "arm64"


def test_an_index_without_an_image_is_an_error(registry: RegistryServer) -> None:
    index(registry, "acme/app", "empty")
    with open_registries() as registries:
        manifest = registries.manifest(at(registry).tagged("empty"))
        assert manifest is not None
        with pytest.raises(PushError, match="an index without an image"):
            registries.image_config(at(registry), manifest)


def layer(name: str) -> bytes:
    """A layer of its own that takes several chunks."""
    return hashlib.shake_256(name.encode()).digest(300_000)


def multi_platform(registry: RegistryServer) -> str:
    """An index of two images and an attestation, some layers shared; its digest."""
    base, amd64, arm64 = layer("base"), layer("amd64"), layer("arm64")
    image(registry, "acme/app", "amd64", base, amd64)
    image(registry, "acme/app", "arm64", base, arm64)
    image(registry, "acme/app", "attestation", b"{}")
    unknown = {"os": "unknown", "architecture": "unknown"}
    return index(
        registry,
        "acme/app",
        "1.2.3",
        child(registry, "acme/app", "amd64", platform={"os": "linux", "architecture": "amd64"}),
        child(registry, "acme/app", "arm64", platform={"os": "linux", "architecture": "arm64"}),
        child(registry, "acme/app", "attestation", platform=unknown),
    )


@pytest.mark.parametrize("auth", [None, "htpasswd", "token"])
@pytest.mark.parametrize("tls", [False, True])
def test_an_index_is_copied_whole_between_registries(
    registry: RegistryServer, start_registry: StartRegistry, auth: Auth | None, tls: bool
) -> None:
    target = start_registry(auth=auth, tls=tls)
    expected = multi_platform(registry)
    with open_registries(target) as registries:
        registries.copy(at(registry).tagged("1.2.3"), at(target, "other/name"))
        assert registries.tags(at(target, "other/name")) == []
        manifest = registries.manifest(at(target, "other/name").at(expected))
        assert manifest is not None
        registries.put_manifest(at(target, "other/name").tagged("1.2.3"), manifest)
        for described in manifest.children:
            image_there = registries.manifest(at(target, "other/name").at(described.digest))
            assert image_there is not None
            assert registries.image_config(at(target, "other/name"), image_there).labels == {}
    assert target.manifest("other/name", "1.2.3") == registry.manifest("acme/app", "1.2.3")


def test_a_second_copy_moves_nothing(
    registry: RegistryServer, second_registry: RegistryServer
) -> None:
    expected = multi_platform(registry)
    with open_registries() as registries:
        registries.copy(at(registry).at(expected), at(second_registry))
        before = second_registry.requests()
        registries.copy(at(registry).at(expected), at(second_registry))
    more = second_registry.requests()[len(before) :]
    assert more == [f"HEAD /v2/acme/app/manifests/{expected}"]


def test_a_layer_that_is_there_already_is_not_sent_again(
    registry: RegistryServer, second_registry: RegistryServer
) -> None:
    expected = multi_platform(registry)
    shared = layer("base")
    blob(second_registry, "acme/app", shared)
    with open_registries() as registries:
        registries.copy(at(registry).at(expected), at(second_registry))
    assert f"GET /v2/acme/app/blobs/{digest(shared)}" not in registry.requests()


def test_blobs_are_mounted_within_one_registry(start_registry: StartRegistry) -> None:
    registry = start_registry(auth="token")
    expected = registry.put_image("acme/app", "1.2.3", {"a": "b"})
    with open_registries(registry) as registries:
        registries.copy(at(registry).at(expected), at(registry, "acme/mirror"))
    said = registry.requests()
    assert registry.labels("acme/mirror", expected) == {"a": "b"}
    assert any("uploads/?mount=" in line and line.startswith("POST") for line in said)
    assert not any(line.startswith(("PATCH", "PUT /v2/acme/mirror/blobs")) for line in said)
    assert registry.token_server is not None
    both = ("repository:acme/mirror:pull,push", "repository:acme/app:pull")
    assert both in [request.scopes for request in registry.token_server.requests]


def test_a_layer_that_may_not_be_distributed_is_left_out() -> None:
    # docker-registry takes such images only with a setting of its own: both ends are made up.
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    config = descriptor("application/vnd.docker.container.image.v1+json", b"{}")
    layers = [descriptor(foreign, b"elsewhere", urls=["https://layers.example.com/1"])]
    manifest = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers}
    body = json.dumps(manifest).encode()
    said: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        said.append(f"{request.method} {request.url.host}{request.url.path}")
        source = request.url.host == "source.example.com"
        if request.method == "GET":
            return httpx.Response(200, content=body) if source else httpx.Response(404)
        if request.method == "PUT":
            return httpx.Response(201, headers={"Docker-Content-Digest": digest(body)})
        return httpx.Response(200 if "blobs" in request.url.path else 404)

    with open_registries(transport=httpx.MockTransport(answer)) as registries:
        registries.copy(
            Repository("source.example.com", "app").at(digest(body)),
            Repository("target.example.com", "app"),
        )
    assert said[-1] == f"PUT target.example.com/v2/app/manifests/{digest(body)}"
    assert digest(b"elsewhere") not in " ".join(said)


def test_a_copy_of_nothing_is_an_error(
    registry: RegistryServer, second_registry: RegistryServer
) -> None:
    with open_registries() as registries, pytest.raises(PushError, match="does not have it"):
        registries.copy(at(registry).tagged("1.2.3"), at(second_registry))


def test_a_blob_is_never_held_in_memory(
    registry: RegistryServer, second_registry: RegistryServer
) -> None:
    import tracemalloc

    size = 24 * 1024 * 1024
    expected = image(registry, "acme/app", "1", bytes(size))
    with open_registries() as registries:
        tracemalloc.start()
        registries.copy(at(registry).at(expected), at(second_registry))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert second_registry.digest("acme/app", expected) == expected
    assert peak < size / 4


@pytest.mark.parametrize("auth", ["htpasswd", "token"])
def test_check_lets_in_who_has_the_password_and_nobody_else(
    start_registry: StartRegistry, auth: Auth
) -> None:
    registry = start_registry(auth=auth)
    with open_registries() as registries:
        registries.check(registry.address, Credentials(registry.username, registry.password))
        with pytest.raises(AuthError) as caught:
            registries.check(registry.address, Credentials(registry.username, "wr0ng"))
    assert caught.value.hint.endswith(f"releasetag login {registry.address}")
    assert f"cannot log in to {registry.address}" in caught.value.message
    assert "wr0ng" not in caught.value.message


@pytest.mark.parametrize("auth", ["htpasswd", "token"])
def test_without_credentials_a_push_is_refused_with_what_to_do(
    start_registry: StartRegistry, registry: RegistryServer, auth: Auth
) -> None:
    closed = start_registry(auth=auth)
    image(registry, "acme/app", "1.2.3")
    with open_registries() as registries:
        manifest = registries.manifest(at(registry).tagged("1.2.3"))
        assert manifest is not None
        with pytest.raises(AuthError) as caught:
            registries.put_manifest(at(closed).tagged("1.2.3"), manifest)
    assert f"{closed.address}/acme/app:1.2.3" in caught.value.message
    assert caught.value.hint.endswith(f"releasetag login {closed.address}")
    puts = [line for line in closed.requests() if line.startswith("PUT")]
    assert len(puts) <= 2  # once without and, if there was a token, once with


def test_a_repository_that_the_account_may_not_push_to_is_an_auth_error(
    start_registry: StartRegistry,
) -> None:
    registry = start_registry(auth="token")
    assert registry.token_server is not None
    expected = registry.put_image("acme/app", "1.2.3")
    registry.token_server.denied.add("acme/app")
    with open_registries(registry) as registries:
        manifest = registries.manifest(at(registry).at(expected))
        assert manifest is not None
        with pytest.raises(AuthError, match="acme/app:latest"):
            registries.put_manifest(at(registry).tagged("latest"), manifest)


def test_requests_side_by_side_share_a_token_and_a_look_for_credentials(
    start_registry: StartRegistry,
) -> None:
    registry = start_registry(auth="token")
    assert registry.token_server is not None
    expected = registry.put_image("acme/app", "1.2.3")
    asked: list[str] = []
    find = credentials_of(registry)

    def find_credentials(name: str) -> Credentials | None:
        asked.append(name)
        return find(name)

    together = threading.Barrier(8)

    def read(registries: Registries) -> str | None:
        together.wait()
        return registries.digest(at(registry).tagged("1.2.3"))

    with Registries(find_credentials, {}) as registries, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, [registries] * 8))
    assert found == [expected] * 8
    assert asked == [registry.address]
    assert len(registry.token_server.requests) == 1


def test_a_repr_does_not_hold_the_content() -> None:
    manifest = Manifest(IMAGE_MANIFEST, b"content")
    assert "content" not in repr(manifest)
    assert IMAGE_MANIFEST in repr(manifest)
