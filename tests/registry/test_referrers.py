"""Signatures and attestations that refer to an image are copied with it.

Debian's registry has no referrers API, so there they are listed under a tag; a registry that has it
is made of that one here.
"""

import json

import httpx
import pytest

from releasetag.registry import Manifest, Registries
from tests.support.fake_registry import (
    CONFIG,
    LAYER,
    at,
    blob,
    child,
    descriptor,
    digest,
    image,
    index,
    open_registries,
)
from tests.support.registry import IMAGE_INDEX, IMAGE_MANIFEST, RegistryServer

SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def attach(registry: RegistryServer, path: str, subject: str, text: str) -> str:
    """Push a signature of an image, and list it under the tag of its subject; its digest."""
    config = blob(registry, path, b"{}")
    layer = blob(registry, path, text.encode())
    content = registry.manifest(path, subject)
    assert content is not None
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "artifactType": SIGNATURE,
        "config": descriptor(CONFIG, config),
        "layers": [descriptor(LAYER, layer)],
        "subject": descriptor(IMAGE_MANIFEST, content),
        "annotations": {"text": text},
    }
    body = json.dumps(manifest).encode()
    registry.put_manifest(path, digest(body), body, IMAGE_MANIFEST)
    tag = digest(content).replace(":", "-")
    before = json.loads(registry.manifest(path, tag) or b'{"manifests": []}')["manifests"]
    index(registry, path, tag, *before, descriptor(IMAGE_MANIFEST, body))
    return digest(body)


def listed(registry: RegistryServer, subject: str, path: str = "acme/app") -> list[str]:
    content = registry.manifest(path, subject.replace(":", "-"))
    return [each["digest"] for each in json.loads(content)["manifests"]] if content else []


def test_what_refers_to_an_image_and_to_what_is_in_it_is_copied_and_listed(
    registry: RegistryServer, second_registry: RegistryServer
) -> None:
    image(registry, "acme/app", "amd64", b"layer")
    whole = index(registry, "acme/app", "1.2.3", child(registry, "acme/app", "amd64"))
    (amd64,) = [registry.digest("acme/app", "amd64")]
    assert amd64
    first, second = (attach(registry, "acme/app", whole, text) for text in ("one", "two"))
    of_image = attach(registry, "acme/app", amd64, "of the image")
    of_signature = attach(registry, "acme/app", first, "of the signature")

    with open_registries() as registries:
        registries.copy(at(registry).at(whole), at(second_registry))
        assert (
            registries.missing(at(second_registry), found(registries, second_registry, whole)) == []
        )

    assert listed(second_registry, whole) == [first, second]
    assert listed(second_registry, amd64) == [of_image]
    assert listed(second_registry, first) == [of_signature]
    there = json.loads(second_registry.manifest("acme/app", whole.replace(":", "-")) or b"")
    assert there["mediaType"] == IMAGE_INDEX
    assert there["manifests"][0] == {
        "mediaType": IMAGE_MANIFEST,
        "digest": first,
        "size": len(registry.manifest("acme/app", first) or b""),
        "artifactType": SIGNATURE,
        "annotations": {"text": "one"},
    }
    for each in (first, second, of_image, of_signature):
        assert second_registry.manifest("acme/app", each) is not None


def found(registries: Registries, registry: RegistryServer, reference: str) -> Manifest:
    manifest = registries.manifest(at(registry).at(reference))
    assert manifest is not None
    return manifest


def test_those_that_are_listed_there_stay(
    registry: RegistryServer, second_registry: RegistryServer
) -> None:
    whole = image(registry, "acme/app", "1.2.3", b"layer")
    assert image(second_registry, "acme/app", "1.2.3", b"layer") == whole
    own = attach(second_registry, "acme/app", whole, "its own")
    second_registry.delete("acme/app", whole)
    other = attach(registry, "acme/app", whole, "another")

    with open_registries() as registries:
        registries.copy(at(registry).at(whole), at(second_registry))

    assert listed(second_registry, whole) == [own, other]


def test_one_that_is_broken_at_the_source_does_not_stop_the_copy(
    registry: RegistryServer, second_registry: RegistryServer
) -> None:
    whole = image(registry, "acme/app", "1.2.3", b"layer")
    broken, right = (attach(registry, "acme/app", whole, text) for text in ("broken", "right"))
    registry.delete("acme/app", broken)

    with open_registries() as registries:
        registries.copy(at(registry).at(whole), at(second_registry))

    assert listed(second_registry, whole) == [right]
    assert second_registry.digest("acme/app", whole) == whole


class Refusing(httpx.BaseTransport):
    """A network on which a registry takes no manifest that refers to another."""

    def __init__(self, registry: RegistryServer) -> None:
        self.below = httpx.HTTPTransport()
        self.address = registry.address

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = (
            request.read() if request.method == "PUT" and "manifests" in request.url.path else b""
        )
        if request.url.netloc.decode() == self.address and b'"subject"' in body:
            return httpx.Response(400, json={"errors": [{"code": "MANIFEST_INVALID"}]})
        return self.below.handle_request(request)


def test_a_registry_that_takes_no_artifacts_gets_the_image(
    registry: RegistryServer, second_registry: RegistryServer
) -> None:
    whole = image(registry, "acme/app", "1.2.3", b"layer")
    attach(registry, "acme/app", whole, "one")

    with open_registries(transport=Refusing(second_registry)) as registries:
        registries.copy(at(registry).at(whole), at(second_registry))

    assert second_registry.digest("acme/app", whole) == whole


class Paged(httpx.BaseTransport):
    """A network on which the API lists one at a time."""

    def __init__(self, registry: RegistryServer, listed: list[dict[str, object]]) -> None:
        self.below = httpx.HTTPTransport()
        self.address, self.listed = registry.address, listed

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if "/referrers/" not in request.url.path:
            return self.below.handle_request(request)
        page = int(request.url.params.get("page", 0))
        own = request.url.netloc.decode() == self.address
        body = {"mediaType": IMAGE_INDEX, "manifests": self.listed[page : page + 1] if own else []}
        more = own and page + 1 < len(self.listed)
        headers = {"Link": f'<{request.url.path}?page={page + 1}>; rel="next"'} if more else {}
        return httpx.Response(200, json=body, headers=headers)


def test_all_pages_of_the_api_are_read(
    registry: RegistryServer, second_registry: RegistryServer
) -> None:
    whole = image(registry, "acme/app", "1.2.3", b"layer")
    attached = [attach(registry, "acme/app", whole, text) for text in ("one", "two", "three")]
    described = [child(registry, "acme/app", each) for each in attached]

    with open_registries(transport=Paged(registry, described)) as registries:
        registries.copy(at(registry).at(whole), at(second_registry))

    assert all(second_registry.manifest("acme/app", each) for each in attached)


class WithApi(httpx.BaseTransport):
    """A network on which registries have the referrers API, by the tag that lists them."""

    def __init__(self) -> None:
        self.below = httpx.HTTPTransport()
        self.asked: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if "/referrers/" not in path:
            self.asked.append(f"{request.method} {path}")
            return self.below.handle_request(request)
        tag = path.replace("/referrers/", "/manifests/").replace("sha256:", "sha256-")
        answer = self.below.handle_request(
            httpx.Request("GET", request.url.copy_with(path=tag), headers={"Accept": IMAGE_INDEX})
        )
        answer.read()
        empty = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": []}
        body = answer.content if answer.status_code == 200 else json.dumps(empty).encode()
        return httpx.Response(200, headers={"Content-Type": IMAGE_INDEX}, content=body)


@pytest.mark.parametrize("has_signature", [False, True])
def test_a_registry_with_the_api_is_asked_for_them_and_lists_them_itself(
    registry: RegistryServer, second_registry: RegistryServer, has_signature: bool
) -> None:
    whole = image(registry, "acme/app", "1.2.3", b"layer")
    signature = attach(registry, "acme/app", whole, "one") if has_signature else ""
    network = WithApi()

    with open_registries(transport=network) as registries:
        registries.copy(at(registry).at(whole), at(second_registry))

    assert listed(second_registry, whole) == []
    assert not any("sha256-" in each for each in network.asked)
    if has_signature:
        assert second_registry.manifest("acme/app", signature) is not None
