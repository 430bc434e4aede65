"""The proxy goes wrong in the ways that it says, and in no other."""

import contextlib
import hashlib
import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.conftest import StartProxy
from tests.support.engine import Engine
from tests.support.fault import (
    Answer,
    Call,
    CutAnswer,
    CutRequest,
    Disconnect,
    Fault,
    FaultProxy,
    Hold,
    Reset,
)
from tests.support.image import write_files
from tests.support.registry import IMAGE_MANIFEST, RegistryServer

BIG = bytes(range(256)) * 40_000  # about 10 MB


def ask(
    proxy: FaultProxy,
    method: str,
    path: str,
    body: bytes | Iterator[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """The status, the headers and the body of the answer to one request."""
    host, port = proxy.address.split(":")
    with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=60)) as connection:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def upload(proxy: FaultProxy, blob: bytes, *, chunked: bool) -> str:
    """Upload a blob as the engine does: POST, PATCH with the content, PUT; its digest."""
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    _, headers, _ = ask(proxy, "POST", "/v2/app/blobs/uploads/")
    path = headers["Location"].removeprefix(f"http://{proxy.address}")
    pieces = (blob[start : start + 100_000] for start in range(0, len(blob), 100_000))
    status, headers, _ = ask(proxy, "PATCH", path, pieces if chunked else blob)
    assert status == 202
    path = headers["Location"].removeprefix(f"http://{proxy.address}")
    status, _, _ = ask(proxy, "PUT", f"{path}&digest={digest}")
    assert status == 201
    return digest


def test_an_engine_pushes_through_the_proxy(
    engine: Engine, registry: RegistryServer, start_proxy: StartProxy, tmp_path: Path
) -> None:
    proxy = start_proxy(registry)
    files: dict[str, str | bytes] = {"Dockerfile": "FROM scratch\nCOPY big /\n", "big": BIG}
    context = write_files(tmp_path / "context", files)
    with contextlib.closing(docker.DockerClient(base_url=engine.host)) as client:
        name = f"{proxy.address}/acme/app"
        client.images.build(path=str(context), tag=f"{name}:1", rm=True)
        client.images.push(name, tag="1")
        client.images.remove(f"{name}:1", force=True)

    assert registry.tags("acme/app") == ["1"]
    assert proxy.requests[-1] == "PUT /v2/acme/app/manifests/1"
    seen_by_the_registry = registry.requests()[-len(proxy.requests) :]
    assert sorted(proxy.requests) == sorted(seen_by_the_registry)


@pytest.mark.parametrize("chunked", [False, True])
def test_big_bodies_pass_whole_in_both_directions(
    registry: RegistryServer, start_proxy: StartProxy, chunked: bool
) -> None:
    proxy = start_proxy(registry)

    digest = upload(proxy, BIG, chunked=chunked)

    status, _, body = ask(proxy, "GET", f"/v2/app/blobs/{digest}")
    assert (status, body) == (200, BIG)
    status, headers, body = ask(proxy, "HEAD", f"/v2/app/blobs/{digest}")
    assert (status, headers["Content-Length"], body) == (200, str(len(BIG)), b"")


def test_an_expected_100_continue_comes(registry: RegistryServer, start_proxy: StartProxy) -> None:
    proxy = start_proxy(registry)
    body = registry.manifest("app", registry.put_image("app", "1"))

    status, _, _ = ask(
        proxy,
        "PUT",
        "/v2/app/manifests/2",
        body,
        {"Expect": "100-continue", "Content-Type": IMAGE_MANIFEST},
    )

    assert status == 201
    assert registry.tags("app") == ["1", "2"]


@pytest.mark.parametrize(
    ("fault", "error", "arrives"),
    [
        (Disconnect(), http.client.RemoteDisconnected, False),
        (Reset(), ConnectionResetError, False),
        (CutRequest(after=20), ConnectionResetError, False),
        (Reset(forward=True), ConnectionResetError, True),
    ],
)
def test_a_broken_connection_breaks_where_it_says(
    registry: RegistryServer,
    start_proxy: StartProxy,
    fault: Fault,
    error: type[Exception],
    arrives: bool,
) -> None:
    body = registry.manifest("app", registry.put_image("app", "1"))
    proxy = start_proxy(registry, lambda index, method, path: fault if index == 0 else None)
    put = ("PUT", "/v2/app/manifests/2", body, {"Content-Type": IMAGE_MANIFEST})

    with pytest.raises(error):
        ask(proxy, *put)

    assert registry.tags("app") == (["1", "2"] if arrives else ["1"])
    assert ask(proxy, *put)[0] == 201
    assert proxy.requests == ["PUT /v2/app/manifests/2"] * 2


def test_an_answer_is_cut_in_the_middle(registry: RegistryServer, start_proxy: StartProxy) -> None:
    digest = upload(start_proxy(registry), BIG, chunked=False)
    proxy = start_proxy(registry, lambda *_: CutAnswer(after=1000))

    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        ask(proxy, "GET", f"/v2/app/blobs/{digest}")


def test_an_answer_of_the_proxys_own_does_not_reach_the_registry(
    registry: RegistryServer, start_proxy: StartProxy
) -> None:
    answer = Answer(429, {"Retry-After": "7"}, b"slow down")
    proxy = start_proxy(registry, lambda *_: answer)

    status, headers, body = ask(proxy, "PUT", "/v2/app/manifests/1", b"{}")

    assert (status, headers["Retry-After"], body) == (429, "7", b"slow down")
    assert "PUT /v2/app/manifests/1" not in registry.requests()


def test_a_request_is_held_and_a_function_called_before_the_registry_hears_it(
    registry: RegistryServer, start_proxy: StartProxy
) -> None:
    digest = registry.put_image("app", "1")
    deleted = start_proxy(registry, lambda *_: Call(lambda: registry.delete("app", digest)))
    assert ask(deleted, "GET", f"/v2/app/manifests/{digest}")[0] == 404

    released, arrived = threading.Event(), threading.Event()

    def hold(index: int, method: str, path: str) -> Fault:
        arrived.set()
        return Hold(released)

    held = start_proxy(registry, hold)
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(ask(held, "GET", "/v2/held")[0]))
    asking.start()
    assert arrived.wait(60)
    assert "GET /v2/held" not in registry.requests()
    released.set()
    asking.join(60)
    assert answers == [404]


def test_connections_are_refused_for_a_while(
    registry: RegistryServer, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(registry)
    address = proxy.address

    with proxy.refusing(), pytest.raises(ConnectionRefusedError):
        ask(proxy, "GET", "/v2/")

    assert proxy.address == address
    assert ask(proxy, "GET", "/v2/")[0] == 200
