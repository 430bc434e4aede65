"""releasetag.registry.transport: whom we believe, over which way, and plain HTTP where allowed."""

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from releasetag.errors import PushError
from releasetag.reference import Repository
from releasetag.registry import Registries
from releasetag.registry.transport import certs_d, trust
from tests.conftest import StartRegistry
from tests.support.certificates import make_authority, make_server_identity
from tests.support.fake_registry import Waits, at, breaks, image, open_registries
from tests.support.registry import RegistryServer


@pytest.fixture(autouse=True)
def _names_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """registry.test and its like are here, and yet no loopback names: TLS has to verify."""
    look_up = socket.getaddrinfo

    def found(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return look_up("127.0.0.1" if str(name).endswith(".test") else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", found)


def named(registry: RegistryServer, name: str = "registry.test") -> Repository:
    return Repository(f"{name}:{registry.address.rpartition(':')[2]}", "acme/app")


def trusting(home: Path, registry: RegistryServer, host: str) -> dict[str, str]:
    """The environment of a home whose certs.d holds the registry's authority for that host."""
    folder = home / ".config/docker/certs.d" / host
    folder.mkdir(parents=True)
    assert registry.ca_file is not None
    (folder / "ca.crt").write_bytes(registry.ca_file.read_bytes())
    return {"HOME": str(home)}


def test_an_authority_in_certs_d_is_believed(start_registry: StartRegistry, tmp_path: Path) -> None:
    registry = start_registry(tls=True)
    expected = registry.put_image("acme/app", "1.2.3")
    environ = trusting(tmp_path / "home", registry, named(registry).registry)
    with open_registries(environ=environ) as registries:
        assert registries.digest(named(registry).tagged("1.2.3")) == expected


def test_the_authority_in_ssl_cert_file_is_believed(
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


def test_an_authority_is_believed_for_its_own_host_alone(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    registry, other = start_registry(tls=True), start_registry(tls=True)
    environ = trusting(tmp_path / "home", registry, named(registry).registry)
    with open_registries(environ=environ) as registries:
        assert registries.digest(named(registry).tagged("1")) is None
        with pytest.raises(PushError, match="does not verify"):
            registries.digest(named(other).tagged("1"))


def test_plain_http_is_not_taken_from_elsewhere(registry: RegistryServer) -> None:
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
        assert registries.tags(at(registry)) == ["1.2.3"]
    assert [line for line in registry.requests()[before:] if line == "GET /v2/"] == ["GET /v2/"]


def test_an_unverified_certificate_here_opens_no_way_elsewhere(
    start_registry: StartRegistry,
) -> None:
    here, elsewhere = start_registry(tls=True), start_registry(tls=True)

    # A real registry redirects only with a store behind it, so this one's answer is made up.
    def redirect(request: httpx.Request) -> httpx.Response:
        return httpx.Response(307, headers={"Location": f"https://{named(elsewhere).registry}/v2/"})

    with (
        Registries(lambda _: None, {}, sleep=Waits()) as registries,
        pytest.MonkeyPatch.context() as patch,
    ):
        send = httpx.HTTPTransport.handle_request

        def answer(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
            return redirect(request) if "manifests" in request.url.path else send(self, request)

        patch.setattr(httpx.HTTPTransport, "handle_request", answer)
        with pytest.raises(PushError, match="does not verify"):
            registries.manifest(at(here).tagged("1"))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ["/etc/docker/certs.d"]),
        ({"HOME": "/h"}, ["/etc/docker/certs.d", "/h/.config/docker/certs.d"]),
        (
            {"HOME": "/h", "XDG_CONFIG_HOME": "/x"},
            ["/etc/docker/certs.d", "/x/docker/certs.d"],
        ),
    ],
)
def test_certs_d_is_where_the_engines_have_it(environ: dict[str, str], expected: list[str]) -> None:
    assert certs_d(environ) == tuple(Path(folder) for folder in expected)


def test_a_client_certificate_in_certs_d_is_shown(tmp_path: Path) -> None:
    (tmp_path / "registry.test").mkdir()
    identity = make_server_identity(make_authority("clients"))
    (tmp_path / "registry.test/client.cert").write_bytes(identity.certificate_pem)
    (tmp_path / "registry.test/client.key").write_bytes(identity.key_pem)
    assert shown_to_a_server(tmp_path) == identity.certificate_der


def shown_to_a_server(folder: Path) -> bytes | None:
    """The client certificate that a TLS server gets to see (docker-registry wants none)."""
    import ssl

    authority = make_authority("servers")
    server = make_server_identity(authority)
    files = folder / "server"
    files.mkdir()
    (files / "crt").write_bytes(server.certificate_pem)
    (files / "key").write_bytes(server.key_pem)
    # The server believes whoever signed the client's certificate: its issuer is not at hand, so
    # the certificate itself is taken for an authority.
    (folder / "registry.test/ca.crt").write_bytes(authority.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "crt", files / "key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(folder / "registry.test/client.cert")
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    theirs.settimeout(10)
    seen: list[bytes | None] = []

    def serve() -> None:
        with context.wrap_socket(theirs, server_side=True) as connection:
            seen.append(connection.getpeercert(binary_form=True))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with trust("registry.test", (folder,)).wrap_socket(ours, server_hostname="registry.test") as c:
        c.recv(1)
    thread.join(10)
    return seen[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [("ca.crt", "no certificate"), ("client.cert", "no certificate"), ("client.cert", "")],
)
def test_a_file_in_certs_d_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, content: str
) -> None:
    file = tmp_path / "registry.test" / name
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(PushError, match=f"registry.test/{name} cannot be used"):
        trust("registry.test", (tmp_path,))


def test_certs_d_without_the_usual_port_serves_the_usual_port(tmp_path: Path) -> None:
    (tmp_path / "registry.test:443").mkdir()
    authority = make_authority("mine")
    (tmp_path / "registry.test:443/ca.crt").write_bytes(authority.certificate_pem)
    context = trust("registry.test", (tmp_path,))
    assert authority.certificate_der in context.get_ca_certs(binary_form=True)


@contextmanager
def proxy(told: list[str]) -> Iterator[str]:
    """A proxy that writes down the first request and refuses it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                told.append(connection.recv(65536).decode())
                connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    thread.join(10)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("prefix", ["", "http://", "http://user:s3cret@"])
def test_registries_elsewhere_are_reached_over_the_proxy(variable: str, prefix: str) -> None:
    told: list[str] = []
    with (
        proxy(told) as address,
        open_registries(environ={variable: prefix + address}) as registries,
        pytest.raises(PushError) as caught,
    ):
        registries.tags(Repository("registry.example.com", "app"))
    assert told[0].startswith("CONNECT registry.example.com:443 ")
    assert (base64.b64encode(b"user:s3cret").decode() in told[0]) == ("@" in prefix)
    assert "407" in caught.value.message
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize("no_proxy", ["*", "test", ".test", "registry.test", "a, registry.test"])
def test_no_proxy_is_honoured(start_registry: StartRegistry, tmp_path: Path, no_proxy: str) -> None:
    registry = start_registry(tls=True)
    environ = trusting(tmp_path / "home", registry, named(registry).registry)
    environ |= {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": no_proxy}
    with open_registries(environ=environ) as registries:
        assert registries.tags(named(registry)) == []


def test_a_registry_on_this_machine_is_not_looked_for_behind_a_proxy(
    registry: RegistryServer,
) -> None:
    image(registry, "acme/app", "1.2.3")
    with open_registries(environ={"HTTPS_PROXY": "http://127.0.0.1:9"}) as registries:
        assert registries.tags(at(registry)) == ["1.2.3"]


@pytest.mark.parametrize(
    "proxy", ["socks5://user:s3cret@127.0.0.1:9", "http://user:s3cret/more@127.0.0.1:9"]
)
def test_a_proxy_of_another_kind_is_an_error_without_its_password(proxy: str) -> None:
    with (
        open_registries(environ={"ALL_PROXY": proxy}) as registries,
        pytest.raises(PushError) as caught,
    ):
        registries.tags(Repository("registry.example.com", "app"))
    assert "not an HTTP proxy" in caught.value.message
    assert "s3cret" not in caught.value.message


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
    # The connection itself is what is tested, so this server says by hand what it says.
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
            assert registries.tags(repository) == ["1"]
        thread.join(10)
    assert waits.seconds == [1]


def test_a_loopback_registry_that_resets_is_asked_again() -> None:
    waits = Waits()
    network = httpx.MockTransport(breaks(httpx.ReadError, "reset"))
    with open_registries(transport=network, sleep=waits) as registries, pytest.raises(PushError):
        registries.tags(Repository("127.0.0.1:5000", "app"))
    assert len(waits.seconds) == 4
