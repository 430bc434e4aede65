"""releasetag.registry.proxy: which proxy leads to a host, and errors that are a proxy's."""

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from releasetag.errors import PushError, TransientError
from releasetag.reference import Repository
from releasetag.registry.proxy import proxy_for
from tests.conftest import StartRegistry
from tests.registry.test_transport import named, trusting
from tests.support.certificates import make_authority, make_server_identity
from tests.support.fake_registry import at, image, open_registries, tag_names
from tests.support.registry import RegistryServer
from tests.support.tcp_server import listening, request_line

pytestmark = pytest.mark.usefixtures("names_of_this_machine")

ELSEWHERE = Repository("registry.example.com", "app")


@pytest.mark.parametrize(
    ("no_proxy", "direct", "proxied"),
    [
        ("", "", "registry.lan 10.0.0.1 [fd00::1]"),
        ("*", "registry.lan 10.0.0.1 [fd00::1]", ""),
        ("a.example.com,*", "registry.lan 10.0.0.1", ""),
        ("lan", "lan registry.lan a.registry.lan:5000", "xlan lan.example.com"),
        (".lan", "registry.lan a.registry.lan", "lan xlan registry.lan.example.com"),
        ("*.lan", "registry.lan a.registry.lan:5000", "lan registry.xlan"),
        ("*lan", "", "registry.lan lan"),
        ("registry.lan", "registry.lan a.registry.lan", "xregistry.lan lan"),
        ("Registry.LAN", "registry.lan", ""),
        ("registry.lan:443", "registry.lan registry.lan:443", "registry.lan:5000"),
        ("registry.lan:5000", "registry.lan:5000 a.registry.lan:5000", "registry.lan"),
        (".lan:5000", "registry.lan:5000", "registry.lan"),
        ("10.0.0.0/8", "10.0.0.1 10.255.1.2:5000", "11.0.0.1 registry.lan"),
        ("10.0.0.7/8", "10.0.0.1", ""),
        ("10.0.0.1", "10.0.0.1 10.0.0.1:5000", "10.0.0.2 10.0.0.11"),
        ("10.0.0.1:5000", "10.0.0.1:5000", "10.0.0.1"),
        ("10.0.0", "", "10.0.0.1"),
        ("10.0.0.0/99,fd00::/8", "[fd00::1] [fd12::1]:5000", "10.0.0.1 [fe80::1]"),
        ("fd00::1", "[fd00::1] [fd00::1]:5000", "[fd00::2]"),
        ("[fd00::1]", "[fd00::1]", "[fd00::2]"),
        ("[fd00:0::1]:5000", "[fd00::1]:5000", "[fd00::1]"),
        (" a.lan , b.lan", "a.lan b.lan", "c.lan"),
        ("a.lan b.lan", "a.lan b.lan", "c.lan"),
        (",,:5000,/8,[", "", "registry.lan:5000 10.0.0.1 [fd00::1]"),
        ("", "localhost localhost:5000 127.0.0.1 127.8.8.8:5000 [::1] registry.localhost", ""),
    ],
)
def test_no_proxy_is_read_as_go_reads_it(no_proxy: str, direct: str, proxied: str) -> None:
    environ = {"HTTPS_PROXY": "http://proxy.lan:3128", "NO_PROXY": no_proxy}

    def leads_through_proxy(host: str) -> bool:
        return proxy_for(httpx.URL(f"https://{host}/v2/"), environ) is not None

    assert [host for host in direct.split() if leads_through_proxy(host)] == []
    assert [host for host in proxied.split() if not leads_through_proxy(host)] == []


@pytest.mark.parametrize(
    ("environ", "https", "http"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": "a:1", "https_proxy": "b:1"}, "http://b:1", None),
        ({"HTTPS_PROXY": "https://a:1", "HTTP_PROXY": "b"}, "https://a:1", "http://b"),
        ({"ALL_PROXY": "a:1", "http_proxy": "b:1"}, "http://a:1", "http://b:1"),
        ({"ALL_PROXY": "a:1", "NO_PROXY": "lan", "no_proxy": "other"}, "http://a:1", "http://a:1"),
        ({"ALL_PROXY": "a:1", "NO_PROXY": "other", "no_proxy": "lan"}, None, None),
        ({"ALL_PROXY": "a:1", "NO_PROXY": "lan", "no_proxy": ""}, None, None),
    ],
)
def test_a_proxy_is_named_for_its_scheme(
    environ: dict[str, str], https: str | None, http: str | None
) -> None:
    for scheme, expected in (("https", https), ("http", http)):
        found = proxy_for(httpx.URL(f"{scheme}://registry.lan"), environ)
        assert (str(found.url) if found else None) == expected


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://user:s3cret@127.0.0.1:9",
        "http://user:s3cret/more@127.0.0.1:9",
        "http://",
        "http://xn--",
    ],
)
def test_what_is_no_http_proxy_is_an_error_without_its_password(proxy: str) -> None:
    with (
        open_registries(environ={"ALL_PROXY": proxy}) as registries,
        pytest.raises(PushError, match="not an HTTP proxy") as caught,
    ):
        registries.tags(ELSEWHERE)
    assert "s3cret" not in caught.value.message


def tunnel(requests: list[str]) -> Callable[[socket.socket], None]:
    """A handler that opens the tunnels that it is asked for, to this machine."""

    def handle(connection: socket.socket) -> None:
        line = request_line(connection)
        requests.append(line)
        port = int(line.split()[1].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as there:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            thread = threading.Thread(target=copy, args=(there, connection), daemon=True)
            thread.start()
            copy(connection, there)
            thread.join(60)

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    return handle


def test_a_registry_is_reached_through_the_proxy_by_name(
    start_registry: StartRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = start_registry(tls=True)
    expected = registry.put_image("acme/app", "1.2.3")
    environ = trusting(tmp_path / "home", registry, named(registry).registry)
    looked_up: list[object] = []
    look_up = socket.getaddrinfo

    def found(host: object, *args: object, **kwargs: object) -> object:
        looked_up.append(host)
        return look_up(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    requests: list[str] = []
    with (
        listening(tunnel(requests)) as address,
        open_registries(
            environ={**environ, "HTTPS_PROXY": address}, insecure=["10.0.0.0/8"]
        ) as registries,
    ):
        assert registries.digest(named(registry).tagged("1.2.3")) == expected
    assert requests == [f"CONNECT {named(registry).registry} HTTP/1.1"]
    assert set(looked_up) == {"127.0.0.1"}


@pytest.mark.parametrize("no_proxy", ["*", "test", ".test", "*.test", "a, registry.test"])
def test_a_registry_that_no_proxy_names_is_reached_directly(
    start_registry: StartRegistry, tmp_path: Path, no_proxy: str
) -> None:
    registry = start_registry(tls=True)
    environ = trusting(tmp_path / "home", registry, named(registry).registry)
    environ |= {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": no_proxy}
    with open_registries(environ=environ) as registries:
        assert tag_names(registries, named(registry)) == []


def test_a_registry_on_this_machine_is_reached_directly(registry: RegistryServer) -> None:
    image(registry, "acme/app", "1.2.3")
    environ = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    with open_registries(environ=environ) as registries:
        assert tag_names(registries, at(registry)) == ["1.2.3"]


def answering(answer: bytes, requests: list[bytes]) -> Callable[[socket.socket], None]:
    """A handler that gives every request the same answer."""

    def handle(connection: socket.socket) -> None:
        requests.append(connection.recv(65536))
        connection.sendall(answer)

    return handle


@pytest.mark.parametrize(
    ("answer", "reason", "is_transient"),
    [
        ("HTTP/1.1 407 Proxy Authentication Required", "answered 407 Proxy Auth", False),
        ("HTTP/1.1 403 Forbidden", "answered 403 Forbidden", False),
        ("HTTP/1.1 502 Bad Gateway", "answered 502 Bad Gateway", True),
        ("HTTP/1.1 503", "answered 503", True),
        ("SSH-2.0-OpenSSH_9.2", "cannot be reached: ", True),
    ],
)
def test_a_proxy_that_opens_no_tunnel_is_named(
    answer: str, reason: str, is_transient: bool
) -> None:
    requests: list[bytes] = []
    with (
        listening(answering(f"{answer}\r\n\r\n".encode(), requests)) as address,
        open_registries(environ={"HTTPS_PROXY": address}) as registries,
        pytest.raises(PushError) as caught,
    ):
        registries.tags(ELSEWHERE)
    expected = f"cannot list the tags of {ELSEWHERE}: the proxy {address} {reason}"
    assert caught.value.message.startswith(expected)
    assert isinstance(caught.value, TransientError) == is_transient
    assert len(requests) == (5 if is_transient else 1)
    assert "HTTPS_PROXY" in caught.value.hint


@pytest.mark.parametrize(
    ("variable", "prefix"),
    [("HTTPS_PROXY", ""), ("https_proxy", "http://"), ("ALL_PROXY", "http://user:s3cret@")],
)
def test_a_proxys_password_is_for_the_proxy_only(variable: str, prefix: str) -> None:
    requests: list[bytes] = []
    with (
        listening(answering(b"HTTP/1.1 407 No\r\n\r\n", requests)) as address,
        open_registries(environ={variable: prefix + address}) as registries,
        pytest.raises(PushError, match=f"the proxy {address} answered 407 No") as caught,
    ):
        registries.tags(ELSEWHERE)
    assert requests[0].startswith(b"CONNECT registry.example.com:443 ")
    assert (base64.b64encode(b"user:s3cret") in requests[0]) == ("@" in prefix)
    assert "s3cret" not in caught.value.message + caught.value.hint


def test_a_proxy_that_refuses_connections_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with (
        open_registries(environ={"HTTPS_PROXY": f"http://me:s3cret@{address}"}) as registries,
        pytest.raises(TransientError, match=f"the proxy {address} cannot be reached: .*refused"),
    ):
        registries.tags(ELSEWHERE)


@pytest.mark.parametrize("name", ["proxy.invalid", "a..b", "x" * 70 + ".lan"])
def test_a_proxy_that_is_not_known_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    look_up = socket.getaddrinfo

    def fails(host: object, *args: object, **kwargs: object) -> object:
        if host == "proxy.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with (
        open_registries(environ={"HTTPS_PROXY": f"{name}:3128"}) as registries,
        pytest.raises(PushError, match=f"the proxy {name}:3128 cannot be reached") as caught,
    ):
        registries.tags(ELSEWHERE)
    assert not isinstance(caught.value, TransientError)


@pytest.fixture
def tls_server(tmp_path: Path) -> ssl.SSLContext:
    """TLS with a certificate of a CA that nobody trusts."""
    authority = make_authority("unknown")
    identity = make_server_identity(authority)
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "cert.pem").write_bytes(identity.certificate_pem)
    (tmp_path / "key.pem").write_bytes(identity.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


@contextlib.contextmanager
def proxy_over_tls(context: ssl.SSLContext, requests: list[str]) -> Iterator[str]:
    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            tunnel(requests)(encrypted)

    with listening(handle) as address:
        yield address


def test_a_proxy_whose_certificate_does_not_verify_is_named(tls_server: ssl.SSLContext) -> None:
    with (
        proxy_over_tls(tls_server, []) as address,
        open_registries(environ={"HTTPS_PROXY": f"https://{address}"}) as registries,
        pytest.raises(PushError, match=f"the proxy {address} .*certificate") as caught,
    ):
        registries.tags(ELSEWHERE)
    assert not isinstance(caught.value, TransientError)


@pytest.mark.parametrize("proxy_has_tls", [False, True])
def test_a_certificate_of_the_registry_behind_a_proxy_is_the_registrys(
    start_registry: StartRegistry,
    tls_server: ssl.SSLContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    proxy_has_tls: bool,
) -> None:
    registry = start_registry(tls=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))  # the proxy's is trusted
    requests: list[str] = []
    serve = proxy_over_tls(tls_server, requests) if proxy_has_tls else listening(tunnel(requests))
    scheme = "https" if proxy_has_tls else "http"
    name = named(registry)
    with (
        serve as address,
        open_registries(environ={"HTTPS_PROXY": f"{scheme}://{address}"}) as registries,
        pytest.raises(PushError, match=f"{name.registry} has a certificate that does not verify"),
    ):
        registries.tags(name)
    assert len(requests) == 1


def test_an_insecure_registry_is_reached_through_the_proxy_for_its_scheme(
    registry: RegistryServer,
) -> None:
    """HTTP_PROXY, to which the whole URL is sent; it may refuse as well."""
    requests: list[bytes] = []
    answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    name = Repository("registry.lan:5000", "app")
    with (
        listening(answering(answer, requests)) as address,
        open_registries(
            environ={"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": address},
            insecure=[name.registry],
        ) as registries,
        pytest.raises(PushError, match=f"the proxy {address} answered 407"),
    ):
        registries.tags(name)
    assert requests[0].startswith(b"GET http://registry.lan:5000/v2/ ")
