"""releasetag.registry.copy and blobs: whole images, into any registry."""

import hashlib
import json
from typing import Literal

import httpx
import pytest

from releasetag.errors import PushError
from releasetag.reference import Repository
from tests.conftest import StartRegistry
from tests.support.fake_registry import (
    at,
    blob,
    child,
    descriptor,
    digest,
    image,
    index,
    open_registries,
)
from tests.support.registry import RegistryServer

Auth = Literal["htpasswd", "token"]

NOWHERE = "sha256:" + "0" * 64


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
