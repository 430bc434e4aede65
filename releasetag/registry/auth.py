"""How a registry learns who we are: Basic, or a Bearer token from the token server it names.

Sources: distribution.github.io/distribution/spec/auth (token, oauth2, scope); RFC 9110, section 11
(challenges); RFC 6750 (Bearer).
"""

import base64
import json
import re
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx

from releasetag.errors import AuthError, PushError
from releasetag.registry.answers import NotFoundError, failure
from releasetag.registry.transport import HOME, LIMIT, may_be_insecure, origin
from releasetag.text import printable

if TYPE_CHECKING:
    from releasetag.credentials import Credentials

TOKEN_LIMIT = 1024 * 1024
"""Bytes of a token server's answer."""

_LIFETIME = 60.0  # seconds that a token lives if its server does not say (the token specification)
_MARGIN = 10.0  # seconds before its end when a token is no longer used for a new request

_TOKEN68 = r"[A-Za-z0-9._~+/-]+=*"
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[\s,]*({_NAME})(?:\s+|(?=,|$))", re.ASCII)
_PARAMETER = re.compile(rf'[\s,]*({_NAME})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_NAME}))', re.ASCII)
_BLOB = re.compile(rf"{_TOKEN68}\s*(?=,|$)", re.ASCII)


@dataclass(frozen=True)
class Challenge:
    """One way in that a registry offers: the scheme and parameter names in lower case."""

    scheme: str
    parameters: dict[str, str]


def challenges(headers: Iterable[str]) -> list[Challenge]:
    """The challenges in the values of WWW-Authenticate headers; what cannot be read ends a value.

    Source: RFC 9110, section 11.6.1: several challenges in one value, quoted strings.
    """
    found = []
    for text in headers:
        at = 0
        while scheme := _SCHEME.match(text, at):
            at = scheme.end()
            parameters: dict[str, str] = {}
            while parameter := _PARAMETER.match(text, at):
                name, quoted, plain = parameter.groups()
                value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                parameters.setdefault(name.lower(), value)
                at = parameter.end()
            if not parameters and (blob := _BLOB.match(text, at)):
                at = blob.end()  # as Negotiate sends it
            found.append(Challenge(scheme[1].lower(), parameters))
    return found


def scope(path: str, actions: str) -> str:
    """The scope for actions (``pull`` or ``pull,push``) on the repository with that path."""
    return f"repository:{path}:{actions}"


def union(scopes: Iterable[str]) -> list[str]:
    """The scopes with the actions on one resource brought together, in the order of the first.

    The first stays the first: some token servers look at no other.
    """
    actions: dict[str, list[str]] = {}
    for item in scopes:
        resource, _, wanted = item.rpartition(":")
        for action in wanted.split(","):
            if action not in actions.setdefault(resource, []):
                actions[resource].append(action)
    return [f"{resource}:{','.join(names)}" for resource, names in actions.items()]


class Login:
    """Who we are to one registry, and the tokens that we hold there. Thread-safe.

    Args:
        registry: its name, for errors: ``docker.io``.
        home: where it is served, ``https://host``: the one place that gets our credentials,
            besides the token server that it names.
        credentials: None to be anonymous.
        clock: seconds, monotonic, for the end of a token's life.
    """

    def __init__(
        self,
        registry: str,
        home: httpx.URL,
        credentials: "Credentials | None",
        clock: Callable[[], float],
    ) -> None:
        self.registry = registry
        self.home = home
        self.credentials = credentials
        self.clock = clock
        self.challenge: Challenge | None = None
        self.lock = threading.Lock()  # so that requests side by side share one token
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}

    def basic(self) -> str:
        """The Basic header for our credentials; empty if there is none."""
        if self.credentials is None or not self.credentials.password:
            return ""
        pair = f"{self.credentials.username}:{self.credentials.password}"
        return "Basic " + base64.b64encode(pair.encode()).decode("ascii")

    def token(self, scopes: tuple[str, ...]) -> str:
        """The token that we hold for the scopes; empty if there is none, or it is about to end."""
        token, end = self._tokens.get(scopes, ("", 0.0))
        return token if self.clock() < end else ""

    def keep(self, scopes: tuple[str, ...], token: str, lifetime: float) -> None:
        """Hold a token for its lifetime in seconds, less a margin."""
        self._tokens[scopes] = (token, self.clock() + lifetime - min(_MARGIN, lifetime / 2))

    def forget(self, scopes: tuple[str, ...], token: str) -> None:
        """Drop a token that was refused, unless another took its place meanwhile."""
        with self.lock:
            if self._tokens.get(scopes, ("",))[0] == token:
                self._tokens.pop(scopes, None)

    def redact(self, text: str) -> str:
        """The text without our secrets, should a registry send them back."""
        secrets = [self.basic().removeprefix("Basic ")]
        if self.credentials:
            known = self.credentials
            secrets += [known.password, known.identity_token, known.registry_token]
        secrets += [token for token, _ in list(self._tokens.values())]
        for secret in filter(None, secrets):
            text = text.replace(secret, "***")
        return text


class RegistryAuth(httpx.Auth):
    """Lets one request in: answers the registry's challenge, at most once.

    A request whose body cannot be sent twice goes with the token that is at hand; if that is
    refused, the 401 is the answer.

    Args:
        login: the registry's.
        scopes: what the request needs, in the words of the token specification.
    """

    def __init__(self, login: Login, scopes: tuple[str, ...]) -> None:
        self.login = login
        self.scopes = scopes

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """See httpx.Auth. Raises AuthError, or what ``failure`` says of the token server."""
        if origin(request.url) != origin(self.login.home):
            # An upload may lie on another host: its URL says all, and our token is not for it.
            yield request
            return
        used = yield from self._authorize(request, ())
        response = yield request
        if response.status_code != 401 or origin(response.request.url) != origin(request.url):
            return
        self.login.forget(self.scopes, used.removeprefix("Bearer "))
        challenge = _choose(response)
        if challenge is None or not isinstance(request.stream, httpx.ByteStream):
            return
        self.login.challenge = challenge
        asked = challenge.parameters.get("scope", "").split()
        if (yield from self._authorize(request, asked)) != used:
            yield request

    def _authorize(
        self, request: httpx.Request, asked: Iterable[str]
    ) -> Generator[httpx.Request, httpx.Response, str]:
        """Sets and returns the Authorization that the last challenge wants, empty if none."""
        challenge = self.login.challenge
        if challenge is None:
            return ""
        if challenge.scheme == "basic":
            header = self.login.basic()
        elif self.login.credentials and self.login.credentials.registry_token:
            header = f"Bearer {self.login.credentials.registry_token}"
        else:
            with self.login.lock:
                token = self.login.token(self.scopes)
                if not token:
                    scopes = union([*self.scopes, *asked])
                    fetch = _token_request(self.login, challenge, scopes, request.extensions)
                    response = yield fetch
                    token, lifetime = _token(response, self.login, posted=fetch.method == "POST")
                    self.login.keep(self.scopes, token, lifetime)
            header = f"Bearer {token}"
        if header:
            request.headers["Authorization"] = header
        return header


def _choose(response: httpx.Response) -> Challenge | None:
    """The Bearer challenge, or else the Basic one."""
    offered = challenges(response.headers.get_list("WWW-Authenticate"))
    for scheme in ("bearer", "basic"):
        for challenge in offered:
            if challenge.scheme == scheme:
                return challenge
    return None


def _token_request(
    login: Login, challenge: Challenge, scopes: list[str], extensions: Mapping[str, Any]
) -> httpx.Request:
    try:
        realm = httpx.URL(challenge.parameters.get("realm", ""))
    except httpx.InvalidURL:
        realm = httpx.URL("")
    plaintext = realm.scheme == "http" and may_be_insecure(extensions, realm)
    if not realm.host or not (realm.scheme == "https" or plaintext):
        raise AuthError(
            f"{login.registry} names a token server that is not reached over https: "
            f"{printable(str(realm.copy_with(query=None, userinfo=b'')), 100)!r}",
            "no password is sent there; ask whoever runs the registry to put it right",
        )
    # Timeouts are those of the request that needs the token.
    extensions = {**extensions, LIMIT: TOKEN_LIMIT, HOME: origin(realm)}
    service = challenge.parameters.get("service", "")
    if login.credentials and login.credentials.identity_token:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": login.credentials.identity_token,
            "service": service,
            "client_id": "releasetag",
            "scope": " ".join(scopes),
        }
        return httpx.Request("POST", realm, data=form, extensions=extensions)
    query = [("service", service)] if service else []
    query += [("scope", item) for item in scopes]
    url = realm.copy_with(params=[*realm.params.multi_items(), *query])
    basic = login.basic()
    headers = {"Authorization": basic} if basic else {}
    return httpx.Request("GET", url, headers=headers, extensions=extensions)


def _token(response: httpx.Response, login: Login, *, posted: bool) -> tuple[str, float]:
    """The token and its lifetime in seconds from now."""
    doing = f"log in to {login.registry}"
    if response.status_code != 200:
        # OAuth 2 answers 400 to a refresh token that is no longer good (RFC 6749, section 5.2).
        refused = posted and response.status_code == 400
        error = failure(response, doing, login.registry, login.redact, refused=refused)
        if isinstance(error, NotFoundError):
            # It says nothing of what the registry has.
            raise PushError(error.message, "ask whoever runs the registry")
        raise error
    try:
        answer = json.loads(response.read())
        token = answer.get("token") or answer.get("access_token")
        lifetime = float(answer.get("expires_in") or _LIFETIME)
        issued = answer.get("issued_at")
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        token, lifetime, issued = None, 0.0, None
    if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
        raise AuthError(
            f"cannot {doing}: its token server's answer holds no token",
            "try again later, or ask whoever runs the registry",
        )
    return token, lifetime - _age(issued, response.headers.get("Date"))


def _age(issued: object, date: str | None) -> float:
    """Seconds since a token was issued, by the server's own clock: ours may be wrong."""
    try:
        age = parsedate_to_datetime(date or "") - datetime.fromisoformat(str(issued))
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return max(age.total_seconds(), 0.0)
