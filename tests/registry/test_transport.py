"""releasetag.registry.transport: TLS, and plain HTTP for insecure registries only."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from releasetag.errors import PushError
from releasetag.reference import Repository
from tests.conftest import StartRegistry
from tests.support.fake_registry import Waits, at, breaks, open_registries, tag_names
from tests.support.registry import RegistryServer
from tests.support.tcp_server import listening, plain_registry

pytestmark = pytest.mark.usefixtures("names_of_this_machine")


def named(registry: RegistryServer, name: str = "registry.test") -> Repository:
    return Repository(f"{name}:{registry.address.rpartition(':')[2]}", "acme/app")


def trusting(home: Path, registry: RegistryServer, host: str) -> dict[str, str]:
    """Return the environment of a home whose certs.d has the registry's CA for that host."""
    folder = home / ".config/docker/certs.d" / host
    folder.mkdir(parents=True)
    assert registry.ca_file is not None
    (folder / "ca.crt").write_bytes(registry.ca_file.read_bytes())
    return {"HOME": str(home)}


def test_a_ca_certificate_in_certs_d_is_trusted(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    registry = start_registry(tls=True)
    expected = registry.put_image("acme/app", "1.2.3")
    environ = trusting(tmp_path / "home", registry, named(registry).registry)
    with open_registries(environ=environ) as registries:
        assert registries.digest(named(registry).tagged("1.2.3")) == expected


def test_the_ca_certificate_in_ssl_cert_file_is_trusted(
    start_registry: StartRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = start_registry(tls=True)
    expected = registry.put_image("acme/app", "1.2.3")
    monkeypatch.setenv("SSL_CERT_FILE", str(registry.ca_file))
    with open_registries() as registries:
        assert registries.digest(named(registry).tagged("1.2.3")) == expected


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("nobody.test", "self-signed certificate in certificate chain|unable to get local issuer"),
        ("wrong-name.test", "Hostname mismatch"),
    ],
)
def test_a_certificate_that_does_not_verify_is_an_error_at_once(
    start_registry: StartRegistry, tmp_path: Path, host: str, said: str
) -> None:
    registry = start_registry(tls=True)
    name = named(registry, "registry.test" if host == "nobody.test" else host)
    environ = {}
    if host == "wrong-name.test":
        environ = trusting(tmp_path / "home", registry, name.registry)
    waits = Waits()
    with (
        open_registries(environ=environ, sleep=waits) as registries,
        pytest.raises(PushError, match=said) as caught,
    ):
        registries.digest(name.tagged("1.2.3"))
    assert "does not verify" in caught.value.message
    assert f"/etc/docker/certs.d/{name.registry}/ca.crt" in caught.value.hint
    assert waits.seconds == []


def test_a_ca_certificate_is_trusted_for_its_own_host_only(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    registry, other = start_registry(tls=True), start_registry(tls=True)
    environ = trusting(tmp_path / "home", registry, named(registry).registry)
    with open_registries(environ=environ) as registries:
        assert registries.digest(named(registry).tagged("1")) is None
        with pytest.raises(PushError, match="does not verify"):
            registries.digest(named(other).tagged("1"))


def test_plain_http_is_for_insecure_registries_only(registry: RegistryServer) -> None:
    waits = Waits()
    with open_registries(sleep=waits) as registries, pytest.raises(PushError, match="TLS"):
        registries.digest(named(registry).tagged("1.2.3"))
    assert waits.seconds == []


@pytest.mark.parametrize("tls", [False, True])
def test_a_registry_on_this_machine_is_found_with_and_without_tls_once(
    start_registry: StartRegistry, tls: bool
) -> None:
    registry = start_registry(tls=tls)
    expected = registry.put_image("acme/app", "1.2.3")
    before = len(registry.requests())
    with open_registries() as registries:
        assert registries.digest(at(registry).tagged("1.2.3")) == expected
        assert tag_names(registries, at(registry)) == ["1.2.3"]
    assert [line for line in registry.requests()[before:] if line == "GET /v2/"] == ["GET /v2/"]


def test_an_insecure_registry_opens_no_unverified_way_elsewhere(
    start_registry: StartRegistry,
) -> None:
    elsewhere = f"https://{named(start_registry(tls=True)).registry}/v2/"

    # A real registry redirects only with a store behind it.
    def redirect(connection: socket.socket, _: str) -> None:
        head = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {elsewhere}\r\n"
        connection.sendall(f"{head}Content-Length: 0\r\n\r\n".encode())

    with (
        listening(plain_registry(redirect)) as address,
        open_registries() as registries,
        pytest.raises(PushError, match="does not verify"),
    ):
        registries.manifest(Repository(address, "app").tagged("1"))


@pytest.mark.parametrize(
    ("registry", "host"),
    [("docker.io", "registry-1.docker.io"), ("ghcr.io", "ghcr.io"), ("[::1]:5000", "::1")],
)
def test_where_a_registry_is_served(registry: str, host: str) -> None:
    asked: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(200, json={"tags": []})

    with open_registries(transport=httpx.MockTransport(answer)) as registries:
        registries.tags(Repository(registry, "library/app"))
    assert {(url.scheme, url.host) for url in asked} == {("https", host)}


@pytest.mark.parametrize(
    ("cause", "waits"),
    [
        (lambda: socket.gaierror(socket.EAI_NONAME, "Name or service not known"), 0),
        (lambda: socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), 4),
    ],
)
def test_a_name_that_is_not_known_is_not_looked_up_again(
    monkeypatch: pytest.MonkeyPatch, cause: Callable[[], OSError], waits: int
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise cause()

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    waited = Waits()
    with open_registries(sleep=waited) as registries, pytest.raises(PushError):
        registries.tags(Repository("registry.example.com", "app"))
    assert len(waited.seconds) == waits


def test_no_cookie_is_kept() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"tags": []}, headers={"Set-Cookie": "sid=1; Path=/"})

    with open_registries(transport=httpx.MockTransport(answer)) as registries:
        registries.tags(Repository("registry.example.com", "app"))
        registries.tags(Repository("registry.example.com", "app"))
    assert [request.headers.get("Cookie") for request in asked] == [None, None]


def test_a_real_answer_that_is_cut_is_read_again() -> None:
    # The connection itself is under test, so this server writes its bytes itself.
    answers = iter(
        [
            b"HTTP/1.1 400 Bad Request\r\n\r\n",  # to TLS
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",  # to /v2/
            b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"tags": ["1"',
            b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"tags": ["1"]}',
        ]
    )
    waits = Waits()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        repository = Repository(f"127.0.0.1:{listener.getsockname()[1]}", "app")
        with open_registries(sleep=waits) as registries:
            assert tag_names(registries, repository) == ["1"]
        thread.join(60)
    assert waits.seconds == [1]


def test_a_loopback_registry_that_resets_is_asked_again() -> None:
    waits = Waits()
    network = httpx.MockTransport(breaks(httpx.ReadError, "reset"))
    with open_registries(transport=network, sleep=waits) as registries, pytest.raises(PushError):
        registries.tags(Repository("127.0.0.1:5000", "app"))
    assert len(waits.seconds) == 4
