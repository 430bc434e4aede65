"""What the tests of releasetag.registry share: images without an engine, and made faults."""

import base64
import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

import httpx

from releasetag.credentials import Credentials
from releasetag.reference import Repository
from releasetag.registry import Registries
from tests.support.registry import IMAGE_INDEX, IMAGE_MANIFEST, RegistryServer

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def descriptor(media_type: str, content: bytes, **more: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest(content), "size": len(content), **more}


def blob(registry: RegistryServer, path: str, content: bytes) -> bytes:
    """Upload a blob with plain HTTP requests."""
    headers = {}
    if registry.username:
        pair = base64.b64encode(f"{registry.username}:{registry.password}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    with httpx.Client(headers=headers, trust_env=False) as http:
        start = http.post(f"{registry.url}/v2/{path}/blobs/uploads/").raise_for_status()
        put = f"{start.headers['Location']}&digest={digest(content)}"
        http.put(put, content=content).raise_for_status()
    return content


def image(
    registry: RegistryServer,
    path: str,
    tag: str,
    *layers: bytes,
    labels: Mapping[str, str] | None = None,
) -> str:
    """Push an image with these layers; its digest."""
    config = blob(registry, path, json.dumps({"config": {"Labels": labels}}).encode())
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": descriptor(CONFIG, config),
        "layers": [descriptor(LAYER, blob(registry, path, layer)) for layer in layers],
    }
    return registry.put_manifest(path, tag, json.dumps(manifest).encode(), IMAGE_MANIFEST)


def index(registry: RegistryServer, path: str, tag: str, *children: dict[str, object]) -> str:
    """Push an index of manifests that are there already; its digest."""
    content = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": children}
    return registry.put_manifest(path, tag, json.dumps(content).encode(), IMAGE_INDEX)


def child(registry: RegistryServer, path: str, name: str, **more: object) -> dict[str, object]:
    """The descriptor of a manifest, for an index."""
    content = registry.manifest(path, name)
    assert content is not None
    return descriptor(IMAGE_MANIFEST, content, **more)


def at(registry: RegistryServer, path: str = "acme/app") -> Repository:
    return Repository(registry.address, path)


def credentials_of(*servers: RegistryServer) -> Callable[[str], Credentials | None]:
    known = {s.address: Credentials(s.username, s.password) for s in servers if s.username}
    return known.get


@dataclass
class Waits:
    """A sleep that does not, and says for how long."""

    seconds: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def open_registries(
    *servers: RegistryServer,
    transport: httpx.BaseTransport | None = None,
    sleep: Callable[[float], object] | None = None,
    environ: Mapping[str, str] | None = None,
    insecure: Collection[str] = (),
    clock: Callable[[], float] = time.monotonic,
) -> Registries:
    return Registries(
        credentials_of(*servers),
        environ or {},
        insecure=insecure,
        clock=clock,
        sleep=sleep or Waits(),
        random=lambda: 0.0,
        transport=transport,
    )


Fault = Callable[[httpx.Request], httpx.Response]


@dataclass
class Faulty(httpx.BaseTransport):
    """The network, but for faults that a real registry gives at no one's wish.

    Args:
        matches: which requests meet the fault.
        fault: what they get.
        times: how many of them; -1 for all.
    """

    matches: Callable[[httpx.Request], bool]
    fault: Fault
    times: int = 1
    met: int = 0
    seen: list[httpx.Request] = field(default_factory=list)
    network: httpx.HTTPTransport = field(
        default_factory=lambda: httpx.HTTPTransport(trust_env=False, verify=False)
    )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if self.matches(request) and self.met != self.times:
            self.met += 1
            return self.fault(request)
        return self.network.handle_request(request)

    def close(self) -> None:
        self.network.close()


def answers(status: int, *errors: str, **headers: str) -> Fault:
    """The fault of answering with this status; each error is "CODE: message"."""
    parts = [error.partition(": ") for error in errors]
    content = {"errors": [{"code": code, "message": message} for code, _, message in parts]}
    names = {name.replace("_", "-"): value for name, value in headers.items()}

    def fault(_: httpx.Request) -> httpx.Response:
        if errors:
            return httpx.Response(status, headers=names, json=content)
        return httpx.Response(status, headers=names)

    return fault


def breaks(error: type[httpx.TransportError], words: str = "broken") -> Fault:
    """The fault of a connection that breaks before the answer."""

    def fault(request: httpx.Request) -> httpx.Response:
        raise error(words, request=request)

    return fault


class _Cut(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield b'{"schemaV'
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message")


def cuts(_: httpx.Request) -> httpx.Response:
    """The fault of an answer whose body breaks off."""
    return httpx.Response(200, stream=_Cut())


def tag_names(registries: Registries, repository: Repository) -> list[str] | None:
    """The tags that a registry lists, sorted; None if it lists none."""
    tags = registries.tags(repository)
    return sorted(tags.names) if tags else None
