"""releasetag.registry.copy and blobs: whole images, into any registry."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Literal

import httpx
import pytest

from releasetag.errors import AuthError, PushError
from releasetag.reference import Repository
from releasetag.registry import BrokenImageError
from tests.conftest import StartRegistry
from tests.support.fake_registry import (
    Faulty,
    Waits,
    answers,
    at,
    blob,
    child,
    descriptor,
    digest,
    image,
    index,
    open_registries,
    tag_names,
)
from tests.support.registry import RegistryServer
from tests.support.scripted import (
    Answer,
    Asked,
    MemoryRegistry,
    Scripted,
    refusal,
    scripted,
    with_location,
)

Auth = Literal["htpasswd", "token"]


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
        assert tag_names(registries, at(target, "other/name")) == []
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
    requests = registry.requests()
    assert registry.labels("acme/mirror", expected) == {"a": "b"}
    assert any("uploads/?mount=" in line and line.startswith("POST") for line in requests)
    assert not any(line.startswith(("PATCH", "PUT /v2/acme/mirror/blobs")) for line in requests)
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
    requests: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(f"{request.method} {request.url.host}{request.url.path}")
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
    assert requests[-1] == f"PUT target.example.com/v2/app/manifests/{digest(body)}"
    assert digest(b"elsewhere") not in " ".join(requests)


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


def delete_blob(registry: RegistryServer, path: str, name: str) -> None:
    url = f"{registry.url}/v2/{path}/blobs/{name}"
    httpx.delete(url, trust_env=False).raise_for_status()


def test_what_is_missing_of_an_image_that_is_there_is_repaired(
    registry: RegistryServer, second_registry: RegistryServer
) -> None:
    expected = multi_platform(registry)
    children = [child(registry, "acme/app", name)["digest"] for name in ("arm64", "attestation")]
    gone = [digest(layer("amd64")), *map(str, children)]
    with open_registries() as registries:
        registries.copy(at(registry).at(expected), at(second_registry))
        manifest = registries.manifest(at(second_registry).at(expected))
        assert manifest is not None
        assert registries.missing(at(second_registry), manifest) == []
        delete_blob(second_registry, "acme/app", gone[0])
        for each in gone[1:]:
            second_registry.delete("acme/app", each)
        missing = registries.missing(at(second_registry), manifest)
        assert sorted(each.digest for each in missing) == sorted(gone)
        registries.copy(at(registry).at(expected), at(second_registry))
        assert registries.missing(at(second_registry), manifest) == missing
        before = len(second_registry.requests())
        registries.copy(at(registry).at(expected), at(second_registry), repair=True)
        assert registries.missing(at(second_registry), manifest) == []
    puts = [line for line in second_registry.requests()[before:] if line.startswith("PUT")]
    assert len(puts) == len(gone)


def test_a_repair_of_what_is_whole_changes_nothing(
    registry: RegistryServer, second_registry: RegistryServer
) -> None:
    expected = multi_platform(registry)
    with open_registries() as registries:
        registries.copy(at(registry).at(expected), at(second_registry))
        before = len(second_registry.requests())
        registries.copy(at(registry).at(expected), at(second_registry), repair=True)
    assert {line.split()[0] for line in second_registry.requests()[before:]} == {"HEAD"}


def test_blobs_are_copied_four_at_a_time_with_one_token(
    registry: RegistryServer, start_registry: StartRegistry
) -> None:
    target = start_registry(auth="token")
    assert target.token_server is not None
    layers = [layer(str(number)) for number in range(7)]
    expected = image(registry, "acme/app", "1", *layers, layers[0])
    network = httpx.HTTPTransport(trust_env=False)
    together = threading.Barrier(4)  # nobody gets on before four are there
    lock, running, most = threading.Lock(), 0, 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        if request.method != "PUT" or "uploads" not in request.url.path:
            return network.handle_request(request)
        with lock:
            running += 1
            most = max(most, running)
        together.wait(60)
        try:
            return network.handle_request(request)
        finally:
            with lock:
                running -= 1

    with open_registries(target, transport=httpx.MockTransport(answer)) as registries:
        registries.copy(at(registry).tagged("1"), at(target))
    assert target.digest("acme/app", expected) == expected
    assert most == 4
    uploads = [line.partition("/uploads/")[2] for line in target.requests() if "PUT" in line]
    assert len([line for line in uploads if line]) == 8
    asked = Counter(request.scopes for request in target.token_server.requests)
    assert asked == {("repository:acme/app:pull,push",): 1}


def copied(server: Scripted, name: str, waits: Waits | None = None) -> None:
    """Copy acme/app@NAME to acme/new."""
    with open_registries(sleep=waits) as registries:
        registries.copy(server.repository.at(name), Repository(server.address, "acme/new"))


@pytest.mark.parametrize(
    "before", [refusal(401), refusal(403, "DENIED"), refusal(404), refusal(404, "NAME_UNKNOWN")]
)
def test_a_repository_that_is_not_there_yet_is_made_by_the_push(before: Answer) -> None:
    memory = MemoryRegistry(before, mount=lambda _: refusal(403, "DENIED"))
    name = memory.put_image(b"layer")
    with scripted(memory) as server:
        copied(server, name)
    assert memory.held["acme/new"] == memory.held["acme/app"]


@pytest.mark.parametrize(
    ("start", "expected"),
    [(refusal(401), AuthError), (refusal(403), AuthError), (refusal(404), PushError)],
)
def test_a_repository_that_is_not_made_by_the_push_is_an_error(
    start: Answer, expected: type[Exception]
) -> None:
    memory = MemoryRegistry(mount=lambda _: start, start=lambda _: start)
    name = memory.put_image()
    with scripted(memory) as server, pytest.raises(expected, match=f"answered {start.status}"):
        copied(server, name)
    assert Counter(server.lines)["POST /v2/acme/new/blobs/uploads/"] == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501])
def test_where_mounting_is_refused_the_blob_is_uploaded(status: int) -> None:
    memory = MemoryRegistry(mount=lambda _: refusal(status))
    name = memory.put_image(b"layer")
    with scripted(memory) as server:
        copied(server, name)
    assert memory.held["acme/new"] == memory.held["acme/app"]


@pytest.mark.parametrize(("location", "starts"), [(True, 1), (False, 2)])
def test_where_mounting_starts_an_upload_it_is_used(location: bool, starts: int) -> None:
    memory = MemoryRegistry(mount=lambda url: with_location(url) if location else Answer(202))
    name = memory.put_image()
    with scripted(memory) as server:
        copied(server, name)
    assert memory.held["acme/new"] == memory.held["acme/app"]
    assert Counter(server.lines)["POST /v2/acme/new/blobs/uploads/"] == starts


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("{url}", "/v2/acme/new/blobs/uploads/7?state=a%2Bb+c%3D&digest="),
        ("http://{host}{url}", "/v2/acme/new/blobs/uploads/7?state=a%2Bb+c%3D&digest="),
        ("//{host}/up", "/up?digest="),
        ("8?x=1", "/v2/acme/new/blobs/uploads/8?x=1&digest="),
        ("?x=1", "/v2/acme/new/blobs/uploads/?x=1&digest="),
        ("/up?", "/up?digest="),
        ("/up#here", "/up?digest="),
        ("/up?a=é", "/up?a=%C3%A9&digest="),
        (b"/up?a=\xe9", "/up?a=%E9&digest="),
        (b"/\xff\xfe", "/%FF%FE?digest="),
    ],
)
def test_a_blob_is_uploaded_to_the_very_address_that_the_registry_gives(
    location: str | bytes, expected: str
) -> None:
    targets: list[str] = []

    def start(url: str) -> Answer:
        if isinstance(location, bytes):
            return with_location(location)
        return with_location(location.format(url=url, host=server.address))

    memory = MemoryRegistry(mount=lambda _: refusal(405), start=start)
    name = memory.put_image()

    def answer(asked: Asked) -> Answer:
        if asked.line.startswith("PUT") and "manifests" not in asked.line:
            targets.append(asked.target)
            memory.held.setdefault("acme/new", {})[digest(asked.body)] = asked.body
            return Answer(201)
        return memory(asked)

    with scripted(answer) as server:
        copied(server, name)
    assert targets == [expected + digest(b"{}").replace(":", "%3A")]


@pytest.mark.parametrize("location", [None, "", "http://[/", "https://x:port/", "file:///etc/x"])
def test_an_upload_without_an_address_is_an_error_at_once(location: str | None) -> None:
    waits = Waits()
    memory = MemoryRegistry(
        mount=lambda _: refusal(405),
        start=lambda _: Answer(202) if location is None else with_location(location),
    )
    name = memory.put_image()
    with scripted(memory) as server, pytest.raises(PushError, match=r"cannot copy .*acme/app@"):
        copied(server, name, waits)
    assert waits.seconds == []


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("times", [1, 2])
def test_an_upload_that_is_lost_is_started_again_once(status: int, times: int) -> None:
    lost = iter([refusal(status)] * times)
    memory = MemoryRegistry(mount=lambda _: refusal(405), upload=lambda _: next(lost, None))
    name = memory.put_image()
    with scripted(memory) as server:
        if times == 1:
            copied(server, name)
            assert memory.held["acme/new"] == memory.held["acme/app"]
        else:
            with pytest.raises((AuthError, PushError), match=f"answered {status}"):
                copied(server, name)
    starts = [asked for asked in server.asked if "POST" in asked.line and not asked.query]
    assert len(starts) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held, name: held.pop(name), "answered 404|does not have it"),
        (lambda held, name: held.update({name: b"other"}), "other bytes"),
        (lambda held, name: held.update({name: held[name] + b"more"}), "other bytes"),
        (lambda held, name: held.update({name: held[name][:-1]}), "other bytes"),
        (lambda held, name: held.update({name: b""}), "other bytes"),
    ],
)
@pytest.mark.parametrize("what", [b"layer", b"{}"])
def test_what_is_wrong_at_the_source_goes_nowhere(
    change: Callable[[dict[str, bytes], str], object], message: str, what: bytes
) -> None:
    waits = Waits()
    memory = MemoryRegistry(mount=lambda _: refusal(405))
    name = memory.put_image(b"layer")
    change(memory.held["acme/app"], digest(what))
    with scripted(memory) as server, pytest.raises(PushError, match=message):
        copied(server, name, waits)
    assert waits.seconds == []
    assert name not in memory.held.get("acme/new", {})
    assert digest(what) not in memory.held.get("acme/new", {})


def test_a_child_that_is_missing_at_the_source_is_a_broken_image(
    registry: RegistryServer, second_registry: RegistryServer
) -> None:
    expected = multi_platform(registry)
    registry.delete("acme/app", str(child(registry, "acme/app", "arm64")["digest"]))
    with open_registries() as registries, pytest.raises(BrokenImageError, match="does not have it"):
        registries.copy(at(registry).at(expected), at(second_registry))


@pytest.mark.parametrize("status", [400, 403, 405, 501])
def test_where_head_is_refused_blobs_are_looked_for_by_get(
    registry: RegistryServer, second_registry: RegistryServer, status: int
) -> None:
    expected = image(registry, "acme/app", "1", b"layer", b"there")
    blob(second_registry, "acme/app", b"there")
    before = len(second_registry.requests())
    network = Faulty(lambda r: r.method == "HEAD", answers(status), times=-1)
    with open_registries(transport=network) as registries:
        registries.copy(at(registry).tagged("1"), at(second_registry))
        manifest = registries.manifest(at(second_registry).at(expected))
        assert manifest is not None
        assert registries.missing(at(second_registry), manifest) == []
        delete_blob(second_registry, "acme/app", digest(b"layer"))
        (gone,) = registries.missing(at(second_registry), manifest)
        assert gone.digest == digest(b"layer")
    uploads = [line for line in second_registry.requests()[before:] if "PUT" in line]
    assert len([line for line in uploads if "uploads" in line]) == 2


def test_a_large_blob_is_reported_as_it_is_copied_and_a_small_one_is_not() -> None:
    small, large = bytes(1_000_000), layer("large") * 10
    source, target = MemoryRegistry(), MemoryRegistry()
    image = source.put_image(small, large)
    seen: list[tuple[str, int, int]] = []

    with scripted(source) as src, scripted(target) as dst, open_registries() as registries:
        reference = src.repository.at(image)
        registries.copy(reference, dst.repository, progress=lambda *each: seen.append(each))

    name, size = digest(large), len(large)
    assert {(each, total) for each, _, total in seen} == {(name, size)}
    sizes = [current for _, current, _ in seen]
    assert sizes == sorted(sizes)
    assert sizes[-1] == size
    # Every megabyte, however small the chunks are.
    assert 2 <= len(sizes) <= 5


def test_what_is_there_already_is_not_reported() -> None:
    source = MemoryRegistry()
    image = source.put_image(bytes(2_000_000))
    target = MemoryRegistry(held={"acme/app": {**source.held["acme/app"]}})
    seen: list[tuple[str, int, int]] = []

    with scripted(source) as src, scripted(target) as dst, open_registries() as registries:
        registries.copy(
            src.repository.at(image), dst.repository, progress=lambda *each: seen.append(each)
        )

    assert seen == []
