"""releasetag.registry.insecure: plain HTTP and unverified TLS, where the engine has them too."""

import ipaddress
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Literal

import httpx
import pytest

from releasetag.errors import AuthError, PushError
from releasetag.reference import Repository
from releasetag.registry import Registries
from releasetag.registry.insecure import is_insecure
from tests.conftest import StartRegistry
from tests.registry.test_transport import named
from tests.support.fake_registry import at, image, open_registries, tag_names
from tests.support.registry import RegistryServer, lan_address
from tests.support.tcp_server import listening, plain_registry

NAMES = {
    "registry.lan": ["10.1.2.3"],
    "two.lan": ["192.0.2.1", "fd00::7"],
    "here.example.com": ["127.0.0.1"],
    "unknown.lan": [],
}


@pytest.mark.parametrize(
    ("insecure", "yes", "no"),
    [
        (
            "",
            "localhost localhost:5000 127.0.0.1:5000 127.9.9.9 [::1]:5000 registry.localhost:5000",
            "ghcr.io registry.lan:5000 here.example.com 10.1.2.3 localhost.example.com docker.io",
        ),
        ("registry.lan:5000", "registry.lan:5000 REGISTRY.lan:5000", "registry.lan registry.lan:1"),
        ("registry.lan", "registry.lan", "registry.lan:5000 a.registry.lan xregistry.lan"),
        ("Registry.LAN:1", "registry.lan:1", ""),
        ("10.0.0.0/8", "registry.lan registry.lan:5000 10.9.9.9:5000", "two.lan 11.0.0.1"),
        ("10.1.2.3/32 fd00::/8", "registry.lan two.lan:1 [fd00::1]:5000", "10.1.2.4 [fe80::1]"),
        ("127.0.0.0/8 ::1/128", "here.example.com:5000", "registry.lan unknown.lan"),
        ("0.0.0.0/0 docker.io", "registry.lan", "docker.io unknown.lan"),
        ("registry.lan/team *.lan 10.0.0.0/99", "", "registry.lan two.lan 10.0.0.1"),
    ],
)
def test_what_is_insecure_is_decided_as_in_the_engine(insecure: str, yes: str, no: str) -> None:
    def decide(host: str) -> bool:
        return is_insecure(
            host, insecure.split(), lambda name: map(ipaddress.ip_address, NAMES[name])
        )

    assert [host for host in yes.split() if not decide(host)] == []
    assert [host for host in no.split() if decide(host)] == []


def test_a_name_is_not_looked_up_without_need() -> None:
    def look_up(_: str) -> list[ipaddress.IPv4Address]:
        pytest.fail("it was looked up")

    assert not is_insecure("registry.lan", ["other.lan:5000"], look_up)
    assert is_insecure("registry.lan", ["registry.lan", "10.0.0.0/8"], look_up)
    assert is_insecure("10.0.0.1:5000", ["10.0.0.0/8"], look_up)


@pytest.mark.parametrize("auth", [None, "htpasswd", "token"])
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("listed", ["name", "network"])
def test_an_insecure_registry_on_the_network_is_used(
    start_registry: StartRegistry,
    auth: Literal["htpasswd", "token"] | None,
    tls: bool,
    listed: str,
) -> None:
    registry = start_registry(auth=auth, tls=tls, host=lan_address())
    expected = registry.put_image("acme/app", "1.2.3")
    insecure = [registry.address if listed == "name" else f"{lan_address()}/32"]
    if auth == "token":  # its realm is on the same host, at another port
        insecure = [registry.address]
    with open_registries(registry, insecure=insecure) as registries:
        manifest = registries.manifest(at(registry).tagged("1.2.3"))
        assert manifest is not None
        assert registries.put_manifest(at(registry).tagged("1.2"), manifest) == expected
    assert registry.digest("acme/app", "1.2") == expected


def test_the_engine_is_asked_only_where_tls_does_not_work(start_registry: StartRegistry) -> None:
    plain = start_registry(host=lan_address())
    loopback = start_registry()
    expected = plain.put_image("acme/app", "1.2.3")
    asked: list[str] = []

    def find_insecure() -> list[str]:
        asked.append("engine")
        return [plain.address]

    with Registries(lambda _: None, {}, find_insecure=find_insecure) as registries:
        assert registries.digest(at(loopback).tagged("1.2.3")) is None
        assert asked == []
        assert registries.digest(at(plain).tagged("1.2.3")) == expected
        assert asked == ["engine"]


def test_registries_that_are_asked_at_once_wait_for_the_engine(
    start_registry: StartRegistry,
) -> None:
    places = [start_registry(host=lan_address()) for _ in range(2)]
    expected = [place.put_image("acme/app", "1") for place in places]
    asked, answers = threading.Event(), threading.Event()

    def find_insecure() -> list[str]:
        asked.set()
        assert answers.wait(60)
        return [place.address for place in places]

    with (
        Registries(lambda _: None, {}, find_insecure=find_insecure) as registries,
        ThreadPoolExecutor(2) as threads,
    ):
        first = threads.submit(registries.digest, at(places[0]).tagged("1"))
        assert asked.wait(60)
        second = threads.submit(registries.digest, at(places[1]).tagged("1"))
        with suppress(TimeoutError):  # it waits, as it has to
            second.exception(0.5)
        answers.set()
        assert [first.result(), second.result()] == expected


def test_blobs_are_copied_between_insecure_registries(start_registry: StartRegistry) -> None:
    source, target = (start_registry(host=lan_address()) for _ in range(2))
    expected = image(source, "acme/app", "1", b"layer")
    with open_registries(insecure=[f"{lan_address()}/32"]) as registries:
        registries.copy(at(source).tagged("1"), at(target, "copy"))
        assert registries.digest(at(target, "copy").at(expected)) == expected


@pytest.mark.parametrize("tls", [False, True])
def test_a_registry_on_the_network_is_secure_unless_it_is_listed(
    start_registry: StartRegistry, tls: bool
) -> None:
    registry = start_registry(tls=tls, host=lan_address())
    with (
        open_registries(insecure=[f"{lan_address()}:1", "10.255.0.0/16"]) as registries,
        pytest.raises(PushError, match="does not verify" if tls else "TLS") as caught,
    ):
        registries.tags(at(registry))
    assert registry.requests() == []
    assert tls or "insecure-registries" in caught.value.hint


@pytest.mark.usefixtures("names_of_this_machine")
@pytest.mark.parametrize("tls", [False, True])
def test_a_name_that_resolves_to_an_insecure_network_is_insecure(
    start_registry: StartRegistry, tls: bool
) -> None:
    """As for every name of this machine, where the engine lists the loopback networks."""
    registry = start_registry(tls=tls)
    with open_registries(insecure=["127.0.0.0/8", "::1/128"]) as registries:
        assert tag_names(registries, named(registry, "wrong-name.test")) == []


def test_a_name_under_localhost_is_on_this_machine(registry: RegistryServer) -> None:
    """Whether or not the resolver knows it."""
    expected = registry.put_image("acme/app", "1.2.3")
    name = named(registry, "registry.localhost")
    environ = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    with open_registries(environ=environ) as registries:
        assert registries.digest(name.tagged("1.2.3")) == expected


def test_credentials_stay_here_if_a_name_resolves_to_another_address_than_before(
    start_registry: StartRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = start_registry(auth="htpasswd", host=lan_address())
    name = named(elsewhere, "registry.example.com")
    answers = iter(["127.0.0.1"])
    look_up = socket.getaddrinfo

    def found(host: object, *args: object, **kwargs: object) -> object:
        address = next(answers, lan_address()) if host == "registry.example.com" else host
        return look_up(address, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    with (
        open_registries(insecure=["127.0.0.0/8"]) as registries,
        pytest.raises(PushError),
    ):
        registries.tags(name)
    assert elsewhere.requests() == []


def test_without_a_port_plain_http_is_looked_for_at_its_own_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        if request.url.scheme == "https":
            raise httpx.ConnectError("refused") from ConnectionRefusedError()
        return httpx.Response(200, json={"tags": []})

    with open_registries(
        transport=httpx.MockTransport(answer), insecure=["registry.lan"]
    ) as registries:
        registries.tags(Repository("registry.lan", "app"))
    assert asked[:2] == ["https://registry.lan/v2/", "http://registry.lan/v2/"]


@pytest.mark.parametrize("kind", ["realm", "redirect"])
def test_an_insecure_registry_leads_to_no_secure_host_in_plaintext(
    start_registry: StartRegistry, kind: str
) -> None:
    elsewhere = start_registry(host=lan_address())

    def answer(connection: socket.socket, _: str) -> None:
        if kind == "realm":
            head = f'401 No\r\nWWW-Authenticate: Bearer realm="{elsewhere.url}/token"'
        else:
            head = f"307 There\r\nLocation: {elsewhere.url}/v2/app/manifests/1"
        connection.sendall(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())

    error = AuthError if kind == "realm" else PushError
    with listening(plain_registry(answer)) as address:
        with open_registries() as registries, pytest.raises(error, match="https"):
            registries.manifest(Repository(address, "app").tagged("1"))
        assert elsewhere.requests() == []
        # The registry's own port may be another one.
        insecure = [f"{lan_address()}:1"]
        with open_registries(insecure=insecure) as registries, suppress(PushError):
            registries.manifest(Repository(address, "app").tagged("1"))
        assert len(elsewhere.requests()) == 1
