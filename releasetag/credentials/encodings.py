"""Credentials, and every form in which Docker, the engine and registries want them.

Sources: ``cli/config`` of github.com/docker/cli (28.3) for config.json; Docker Engine API, section
Authentication, for the headers; RFC 7617 for Basic authentication.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from releasetag.reference import DOCKER_HUB, DOCKER_HUB_HOST

HUB_SERVER = "https://index.docker.io/v1/"
"""The address under which every Docker tool keeps the credentials of Docker Hub."""

_HUB_HOSTS = frozenset({DOCKER_HUB, "index.docker.io", DOCKER_HUB_HOST})

# No other path than these: registry.example.com/team is what GitLab and Podman call the
# credentials of one team, which the others must not get.
_SPELLING = re.compile(r"(?:https?://)?([^/]+)(?:/(?:v[12]/?)?)?", re.IGNORECASE)


@dataclass(frozen=True)
class Credentials:
    """How to authenticate with a registry.

    Attributes:
        username: empty, or ``<token>`` from a helper, where there is only a token.
        password: a password or an access token, for Basic authentication.
        identity_token: an OAuth2 refresh token, preferred to the password.
        registry_token: a bearer token, sent to the registry as it is.
    """

    username: str
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)


def server_address(registry: str) -> str:
    """The address under which Docker keeps a registry, from any spelling of it.

    Args:
        registry: ``docker.io``, ``ghcr.io``, ``localhost:5000``, or a key of config.json. One that
            spells no registry is returned as it is, and so equals no registry's address.
    """
    match = _SPELLING.fullmatch(registry)
    if match is None:
        return registry
    host = match[1].lower()
    return HUB_SERVER if host in _HUB_HOSTS else host


def basic_auth(username: str, password: str) -> str:
    """Encode for Basic authentication, and for ``auth`` in config.json: USER:PASSWORD in base64."""
    return base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def decode_basic_auth(auth: str) -> tuple[str, str] | None:
    """Decode ``auth`` of config.json; None if it is not USER:PASSWORD in base64."""
    try:
        # Line breaks are fine, as they are for Docker: base64(1) makes them.
        decoded = base64.b64decode("".join(auth.split()), validate=True).decode()
    except ValueError:
        return None
    username, colon, password = decoded.partition(":")
    # Docker cuts off the zero bytes that its early versions wrote.
    return (username, password.strip("\0")) if colon and username else None


def auths_entry(credentials: Credentials) -> dict[str, str]:
    """Encode as a value of ``auths`` in config.json."""
    entry = {}
    if credentials.username:
        entry["auth"] = basic_auth(credentials.username, credentials.password)
    if credentials.identity_token:
        entry["identitytoken"] = credentials.identity_token
    return entry


def docker_auth_config(registry: str, credentials: Credentials) -> str:
    """Encode user name and password as ``DOCKER_AUTH_CONFIG`` for the docker command."""
    # Any other key than this one makes the docker command ignore the variable.
    entry = {"auth": basic_auth(credentials.username, credentials.password)}
    return json.dumps({"auths": {server_address(registry): entry}})


def registry_auth(registry: str, credentials: Credentials | None) -> str:
    """Encode as ``X-Registry-Auth``; the engine wants the header also without credentials."""
    return _header(_auth_config(registry, credentials) if credentials else {})


def registry_config(credentials: Mapping[str, Credentials]) -> str:
    """Encode as ``X-Registry-Config``: credentials by registry, for base images."""
    auths = [_auth_config(registry, each) for registry, each in credentials.items()]
    return _header({auth["serveraddress"]: auth for auth in auths})


def _auth_config(registry: str, credentials: Credentials) -> dict[str, str]:
    server = {"serveraddress": server_address(registry)}
    if credentials.identity_token:
        return {**server, "identitytoken": credentials.identity_token}
    if credentials.registry_token:
        return {**server, "registrytoken": credentials.registry_token}
    return {**server, "username": credentials.username, "password": credentials.password}


def _header(value: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode("ascii")
