"""The credentials of a run: found once for each registry, stored and erased.

No credential is in an error, nor anything else that a configuration or a helper holds.
"""

import re
import threading
from collections.abc import Mapping

from releasetag.credentials import helper as helpers
from releasetag.credentials.docker_config import config_file, configs, spellings
from releasetag.credentials.encodings import (
    HUB_SERVER,
    Credentials,
    auths_entry,
    server_address,
)
from releasetag.errors import ReleasetagError, UsageError
from releasetag.reference import DOCKER_HUB

# What the browser login of the docker command line keeps beside the credentials; logging out
# removes it too.
_HUB_TOKENS = (f"{HUB_SERVER}access-token", f"{HUB_SERVER}refresh-token")

_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]+", re.ASCII)


class CredentialStore:
    """Finds and remembers credentials, stores and erases them. Thread-safe.

    A registry's credential helper is run once, and never beside another: one that asks a person
    for a passphrase does not expect company.

    Args:
        environ: DOCKER_AUTH_CONFIG, DOCKER_CONFIG, HOME, PATH and, on GitHub Actions,
            GITHUB_ACTIONS, GITHUB_ACTOR and GITHUB_TOKEN. Helpers get all of it.
        helper_timeout: seconds that a helper may take.
    """

    def __init__(
        self, environ: Mapping[str, str], *, helper_timeout: float = helpers.TIMEOUT
    ) -> None:
        self._environ = environ
        self._helper_timeout = helper_timeout
        self._lock = threading.Lock()
        self._found: dict[str, Credentials | ReleasetagError | None] = {}

    def find(self, registry: str) -> Credentials | None:
        """Find the credentials for a registry; None if there are none.

        The first of these that has some: ``DOCKER_AUTH_CONFIG``, ``config.json`` (in each, a helper
        before ``auths``) and, for ``ghcr.io`` on GitHub Actions, ``GITHUB_TOKEN``.

        Args:
            registry: as in Repository.registry: ``docker.io``, ``ghcr.io``, ``localhost:5000``; or
                any other spelling of it.

        Raises:
            UsageError: a configuration cannot be read or is broken.
            AuthError: a helper fails, or one that is configured for this registry is missing.
        """
        server = server_address(registry)
        with self._lock:
            if server not in self._found:
                try:
                    self._found[server] = self._find(server)
                except ReleasetagError as error:
                    self._found[server] = error  # a helper that hangs does so once
            found = self._found[server]
        if isinstance(found, ReleasetagError):
            raise found
        return found

    def store(self, registry: str, credentials: Credentials) -> str:
        """Store a user name with a password or an identity token as ``docker login`` does.

        They go to the helper that config.json names for the registry, else into the file itself.
        ``DOCKER_AUTH_CONFIG`` cannot be written to and still takes precedence.

        Returns:
            Where they are now: ``docker-credential-pass`` or ``~/.docker/config.json``.

        Raises:
            UsageError: they cannot be stored, or the file is broken or cannot be written.
            AuthError: the helper is missing or fails.
        """
        server = server_address(registry)
        with self._lock:
            self._found.pop(server, None)
            return self._store(server, credentials)

    def erase(self, registry: str) -> bool:
        """Remove the credentials for a registry, under every spelling, as ``docker logout`` does.

        Returns:
            False if there were none in config.json and its helper. ``DOCKER_AUTH_CONFIG`` is left
            out: it cannot be changed from here.

        Raises:
            UsageError: config.json is broken or cannot be written.
            AuthError: the helper is missing or fails; the file is then already free of them.
        """
        server = server_address(registry)
        with self._lock:
            self._found.pop(server, None)
            return self._erase(server)

    def _find(self, server: str) -> Credentials | None:
        if server != HUB_SERVER and not _HOST.fullmatch(server):
            return None  # an engine that is not what it seems asks for anything
        for config in configs(self._environ):
            helper = config.helper(server, self._helper_timeout)
            # A missing credsStore is most often Docker Desktop's, left over in the file, and a
            # registry that needs no credentials must not suffer from it: the docker command line
            # goes on too.
            if helper and not (helper.for_all and not helper.is_installed(self._environ)):
                found = helper.get(server, self._environ)
                if found:
                    return found
            # Also where a helper has none: CI systems write here without looking for helpers, and
            # the Docker SDK reads it that way. It is never outdated, since a login that goes to a
            # helper removes what was here.
            found = config.find_in_auths(server)
            if found:
                return found
        return _github_token(server, self._environ)

    def _store(self, server: str, credentials: Credentials) -> str:
        _check_storable(server, credentials)
        config = config_file(self._environ)
        if config is None:
            raise UsageError(
                "there is no place for credentials: neither DOCKER_CONFIG nor HOME is set",
                "set DOCKER_CONFIG to a directory",
            )
        auths = config.table("auths")
        same = spellings(auths, server)
        helper = config.helper(server, self._helper_timeout)
        if helper:
            helper.store(server, credentials, self._environ)
            if any(auths[key] for key in same):
                config.write_auths({key: auths[key] for key in auths if key not in same})
            return helper.program
        if ":" in credentials.username:
            raise UsageError(
                f"the user name for {_shown(server)} has a colon, which config.json cannot hold",
                "omit the password from the user name, or set credsStore to a credential helper",
            )
        kept = {key: auths[key] for key in auths if key == server or key not in same}
        config.write_auths({**kept, server: auths_entry(credentials)})
        return config.name

    def _erase(self, server: str) -> bool:
        config = config_file(self._environ)
        if config is None:
            return False
        # Read before anything is removed, so that a broken setting changes nothing.
        helper = config.helper(server, self._helper_timeout)
        auths = config.table("auths")
        beside = _HUB_TOKENS if server == HUB_SERVER else (f"https://{server}", f"http://{server}")
        gone = [key for key in auths if key in beside or server_address(key) == server]
        if gone:
            config.write_auths({key: auths[key] for key in auths if key not in gone})
        erased = any(auths[key] for key in gone)
        if helper:
            for address in (server, *beside):
                erased |= helper.erase(address, self._environ)
        return erased


def _check_storable(server: str, credentials: Credentials) -> None:
    fault = ""
    if not (credentials.identity_token or (credentials.username and credentials.password)):
        fault = "a user name and a password are needed"
    elif not _is_unicode(credentials.username, credentials.password, credentials.identity_token):
        fault = "the user name or the password is not text in UTF-8"
    if fault:
        raise UsageError(
            f"no credentials to store for {_shown(server)}: {fault}",
            "give both as the registry gave them to you",
        )


def _github_token(server: str, environ: Mapping[str, str]) -> Credentials | None:
    token = environ.get("GITHUB_TOKEN", "")
    if server != "ghcr.io" or environ.get("GITHUB_ACTIONS") != "true" or not token:
        return None
    actor = environ.get("GITHUB_ACTOR", "") or "x-access-token"
    if not _is_unicode(actor, token):
        raise UsageError(
            "GITHUB_TOKEN or GITHUB_ACTOR is not text in UTF-8", "set them as GitHub does"
        )
    return Credentials(actor, token)


def _is_unicode(*texts: str) -> bool:
    """Whether no text holds bytes that are not UTF-8, which Python reads as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for text in texts for character in text)


def _shown(server: str) -> str:
    return DOCKER_HUB if server == HUB_SERVER else server
