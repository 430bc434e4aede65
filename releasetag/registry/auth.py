"""Registry authentication: Basic, or Bearer tokens from the registry's token server.

Sources: distribution.github.io/distribution/spec/auth (token, oauth2, scope); RFC 6750 (Bearer).
"""

import re
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx

from releasetag.credentials.encodings import basic_auth
from releasetag.errors import AuthError, PushError, ReleasetagError
from releasetag.json_text import parse_json
from releasetag.registry.challenge import Challenge, choose_challenge, merge_scopes
from releasetag.registry.errors import NotFoundError, login_hint, response_error
from releasetag.registry.transport import HOME, LIMIT, may_be_insecure, origin
from releasetag.text import printable

if TYPE_CHECKING:
    from releasetag.credentials import Credentials

TOKEN_LIMIT = 1024 * 1024
"""Bytes of a token server's response."""

_LIFETIME = 60.0  # seconds that a token lives if its server does not say (the token specification)
_MARGIN = 10.0  # seconds before its expiry when a token is no longer used for a new request


class AuthSession:
    """The credentials for one registry, and the tokens obtained with them. Thread-safe.

    Args:
        registry: its name, for errors: ``docker.io``.
        base_url: ``https://host``: besides the token server that it names, the one place that
            credentials are sent to.
        credentials: None to be anonymous.
        http: for requests to the token server.
        clock: seconds, monotonic, for the expiry of tokens.
    """

    def __init__(
        self,
        registry: str,
        base_url: httpx.URL,
        credentials: "Credentials | None",
        http: httpx.Client,
        clock: Callable[[], float],
    ) -> None:
        self.registry = registry
        self.base_url = base_url
        self.challenge: Challenge | None = None
        self._credentials = credentials
        self._http = http
        self._clock = clock
        self._lock = threading.Lock()  # so that concurrent requests share one token
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}

    def authorization(
        self, scopes: tuple[str, ...], asked: Iterable[str], extensions: Mapping[str, Any]
    ) -> str:
        """Return the Authorization that the last challenge wants; empty if there is none.

        Args:
            scopes: what the request needs.
            asked: further scopes, from the challenge.
            extensions: of the request that needs it: its timeouts, and whether it may go without
                TLS.

        Raises:
            AuthError, PushError: see `_read_token`.
        """
        challenge = self.challenge
        if challenge is None:
            return ""
        if challenge.scheme == "basic":
            return self._basic()
        if self._credentials and self._credentials.registry_token:
            return f"Bearer {self._credentials.registry_token}"
        with self._lock:
            token, expiry = self._tokens.get(scopes, ("", 0.0))
            if not token or self._clock() >= expiry:
                request = self._token_request(
                    challenge, merge_scopes([*scopes, *asked]), extensions
                )
                # Not yielded by RegistryAuth: httpx takes the last response of an auth flow for
                # the answer to the request.
                response = self._http.send(request, auth=httpx.Auth())
                token, lifetime = self._read_token(response)
                expiry = self._clock() + lifetime - min(_MARGIN, lifetime / 2)
                self._tokens[scopes] = (token, expiry)
        return f"Bearer {token}"

    def forget(self, scopes: tuple[str, ...], header: str) -> None:
        """Drop a token that was refused, unless another replaced it meanwhile."""
        with self._lock:
            if f"Bearer {self._tokens.get(scopes, ('',))[0]}" == header:
                self._tokens.pop(scopes, None)

    def redact(self, text: str) -> str:
        """Remove our secrets, should a registry send them back."""
        secrets = [self._basic().removeprefix("Basic ")]
        if known := self._credentials:
            secrets += [known.password, known.identity_token, known.registry_token]
        secrets += [token for token, _ in list(self._tokens.values())]
        for secret in filter(None, secrets):
            text = text.replace(secret, "***")
        return text

    def _basic(self) -> str:
        if self._credentials is None or not self._credentials.password:
            return ""
        return f"Basic {basic_auth(self._credentials.username, self._credentials.password)}"

    def _token_request(
        self, challenge: Challenge, scopes: list[str], extensions: Mapping[str, Any]
    ) -> httpx.Request:
        try:
            realm = httpx.URL(challenge.parameters.get("realm", "")).copy_with(userinfo=b"")
        except httpx.InvalidURL:
            realm = httpx.URL("")
        plaintext = realm.scheme == "http" and may_be_insecure(extensions, realm)
        if not realm.host or not (realm.scheme == "https" or plaintext):
            raise AuthError(
                f"{self.registry} names a token server that is not reached over https: "
                f"{printable(str(realm.copy_with(query=None)), 100)!r}",
                "no password is sent there; ask whoever runs the registry to fix it",
            )
        extensions = {**extensions, LIMIT: TOKEN_LIMIT, HOME: origin(realm)}
        service = challenge.parameters.get("service", "")
        if self._credentials and self._credentials.identity_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": self._credentials.identity_token,
                "service": service,
                "client_id": "releasetag",
                "scope": " ".join(scopes),
            }
            return self._http.build_request("POST", realm, data=form, extensions=extensions)
        query = [("service", service)] if service else []
        query += [("scope", item) for item in scopes]
        url = realm.copy_with(params=[*realm.params.multi_items(), *query])
        basic = self._basic()
        headers = {"Authorization": basic} if basic else {}
        return self._http.build_request("GET", url, headers=headers, extensions=extensions)

    def _read_token(self, response: httpx.Response) -> tuple[str, float]:
        """Return the token and its lifetime in seconds from now.

        Raises:
            DeniedError: these scopes are denied.
            AuthError: the credentials are refused, or there is no token.
            PushError: every other failure.
        """
        operation = f"log in to {self.registry}"
        if response.status_code != 200:
            raise self._token_error(response, operation)
        try:
            answer: Any = parse_json(response.read())
            token = answer.get("token") or answer.get("access_token")
            lifetime = float(answer.get("expires_in") or _LIFETIME)
            issued = str(answer.get("issued_at"))
        except (ValueError, TypeError, AttributeError, OverflowError):
            token, lifetime, issued = None, 0.0, ""
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
            raise AuthError(
                f"cannot {operation}: its token server's answer holds no token",
                "try again later, or ask whoever runs the registry",
            )
        return token, lifetime - _age(issued, response.headers.get("Date"))

    def _token_error(self, response: httpx.Response, operation: str) -> ReleasetagError:
        error = response_error(response, operation, self.registry, self.redact)
        # OAuth 2 answers 400 to a refresh token that has expired (RFC 6749, section 5.2).
        expired = response.status_code == 400 and response.request.method == "POST"
        if response.status_code == 401 or expired:
            return AuthError(error.message, login_hint(self.registry))
        if isinstance(error, NotFoundError):  # it means the token server, not what the registry has
            return PushError(error.message, "ask whoever runs the registry")
        return error


class RegistryAuth(httpx.Auth):
    """Authorize one request, answering the registry's challenge at most once.

    A request whose body cannot be sent twice goes with the token that is at hand; if that is
    refused, the 401 is the response.

    Args:
        scopes: what the request needs, in the words of the token specification.
    """

    def __init__(self, session: AuthSession, scopes: tuple[str, ...]) -> None:
        self.session = session
        self.scopes = scopes

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """See httpx.Auth. Raises what AuthSession.authorization raises."""
        if origin(request.url) != origin(self.session.base_url):
            # An upload may be on another host: its URL is enough, and our token is not for it.
            yield request
            return
        used = self._authorize(request, ())
        response = yield request
        if response.status_code != 401 or origin(response.request.url) != origin(request.url):
            return
        self.session.forget(self.scopes, used)
        challenge = choose_challenge(response.headers.get_list("WWW-Authenticate"))
        if challenge is None or not isinstance(request.stream, httpx.ByteStream):
            return
        self.session.challenge = challenge
        asked = challenge.parameters.get("scope", "").split()
        if self._authorize(request, asked) != used:
            yield request

    def _authorize(self, request: httpx.Request, asked: Iterable[str]) -> str:
        """Set and return the request's Authorization; empty if there is none."""
        header = self.session.authorization(self.scopes, asked, request.extensions)
        if header:
            request.headers["Authorization"] = header
        return header


def _age(issued: str, date: str | None) -> float:
    """Return the seconds since a token was issued, by the server's own clock: ours may be wrong."""
    try:
        age = parsedate_to_datetime(date or "") - datetime.fromisoformat(issued)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return max(age.total_seconds(), 0.0)
