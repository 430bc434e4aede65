"""releasetag.registry.registries: credentials and tokens, against real registries."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest

from releasetag.credentials import Credentials
from releasetag.errors import AuthError
from releasetag.registry import Registries
from tests.conftest import StartRegistry
from tests.support.fake_registry import (
    at,
    credentials_of,
    image,
    open_registries,
)
from tests.support.registry import RegistryServer

Auth = Literal["htpasswd", "token"]

NOWHERE = "sha256:" + "0" * 64


@pytest.mark.parametrize("auth", ["htpasswd", "token"])
def test_check_accepts_the_password_and_no_other(start_registry: StartRegistry, auth: Auth) -> None:
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


def test_concurrent_requests_share_a_token_and_one_look_up_of_credentials(
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
