"""The forms in which credentials are sent and stored."""

import base64
import json

import pytest

from releasetag.credentials import Credentials
from releasetag.credentials.encodings import docker_auth_config, registry_auth, registry_config
from tests.support.credentials import ANN, SECRET, find


@pytest.mark.parametrize(
    ("registry", "credentials", "header"),
    [
        ("ghcr.io", None, {}),
        (
            "ghcr.io",
            Credentials("a", "ü?>"),
            {"serveraddress": "ghcr.io", "username": "a", "password": "ü?>"},
        ),
        (
            "docker.io",
            Credentials("a", "b"),
            {"serveraddress": "https://index.docker.io/v1/", "username": "a", "password": "b"},
        ),
        (
            "ghcr.io",
            Credentials("<token>", identity_token="t"),
            {"serveraddress": "ghcr.io", "identitytoken": "t"},
        ),
        (
            "ghcr.io",
            Credentials("", registry_token="t"),
            {"serveraddress": "ghcr.io", "registrytoken": "t"},
        ),
    ],
)
def test_the_credentials_header_is_what_the_engine_reads(
    registry: str, credentials: Credentials | None, header: dict[str, str]
) -> None:
    value = registry_auth(registry, credentials)
    assert json.loads(base64.urlsafe_b64decode(value)) == header


def test_credentials_for_base_images_go_by_the_engines_names() -> None:
    value = registry_config({"docker.io": Credentials("a", "b")})
    assert list(json.loads(base64.urlsafe_b64decode(value))) == ["https://index.docker.io/v1/"]


@pytest.mark.parametrize("registry", ["docker.io", "ghcr.io", "localhost:5000"])
def test_the_docker_command_finds_what_it_is_given(registry: str) -> None:
    text = docker_auth_config(registry, ANN)
    assert find(registry, {"DOCKER_AUTH_CONFIG": text}) == ANN
    (entry,) = json.loads(text)["auths"].values()
    assert list(entry) == ["auth"]


def test_secrets_are_not_in_the_repr() -> None:
    credentials = Credentials("ann", SECRET, SECRET, SECRET)
    assert SECRET not in f"{credentials!r} {credentials}"
    assert "ann" in repr(credentials)
