"""Requests to one registry: its base URL, authentication, errors and retries."""

import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from releasetag.push_failure import TRANSIENT_STATUS
from releasetag.reference import registry_host, split_port
from releasetag.registry.auth import AuthSession, RegistryAuth
from releasetag.registry.cache import ContentCache
from releasetag.registry.errors import is_connection_refused, request_error, response_error
from releasetag.registry.insecure import InsecureRegistries
from releasetag.registry.transport import (
    ERROR_LIMIT,
    INSECURE,
    LIMIT,
    TIMEOUT,
    TooLarge,
    Transport,
)
from releasetag.retry import with_retries

if TYPE_CHECKING:
    from releasetag.credentials import Credentials

T = TypeVar("T")

# Some registries refuse HEAD, each in its own way, and a response to it has no body to say why.
HEAD_STATUSES = frozenset(range(200, 600)) - TRANSIENT_STATUS - {404}
"""The statuses of HEAD that are no error: at another one than 200, GET is sent."""


def http_client(transport: Transport) -> httpx.Client:
    """Return the HTTP client of a run, for all registries and token servers. Thread-safe.

    It follows redirects, with credentials only to the same origin (httpx strips them) and never
    from https to http (Transport refuses).
    """
    return httpx.Client(
        transport=transport,
        timeout=TIMEOUT,
        follow_redirects=True,
        max_redirects=5,
        trust_env=False,
        # Digests are of bytes as they are stored.
        headers={"Accept-Encoding": "identity", "User-Agent": "releasetag"},
        # No cookies: with Harbor's, concurrent requests would be one web session with its own
        # protections. No other client of registries keeps any.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


@dataclass(frozen=True)
class Request:
    """A request to a registry.

    Attributes:
        method, path: ``GET``, ``/v2/acme/app/tags/list``; in place of the path a URL that the
            registry gave.
        operation: what it is for, to go behind "cannot" in an error.
        scopes: what it needs, in the words of the token specification.
        expect: the statuses that are no error.
        limit: bytes that a successful response may hold.
        headers, content: of the HTTP request. Content that is not bytes is sent once, as it comes.
    """

    method: str
    path: str
    operation: str
    scopes: tuple[str, ...]
    expect: Container[int] = (200,)
    limit: int = ERROR_LIMIT
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Iterable[bytes] | None = None


class RegistryClient:
    """Sends requests to one registry. Thread-safe.

    Args:
        name: the registry's: ``docker.io``, ``ghcr.io``, ``localhost:5000``.
        http: from http_client.
        insecure: the insecure registries; this one may be among them.
        find_credentials: called once, with the name, when they are first needed.
        sleep, random, clock: see Registries.

    Attributes:
        cache: what was read of it by digest.
    """

    def __init__(
        self,
        name: str,
        http: httpx.Client,
        insecure: InsecureRegistries,
        find_credentials: Callable[[str], "Credentials | None"],
        *,
        sleep: Callable[[float], object],
        random: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.sleep = sleep
        self.cache = ContentCache()
        self._http = http
        self._insecure = insecure
        self._find_credentials = find_credentials
        self._random = random
        self._clock = clock
        self._lock = threading.Lock()
        self._base_url: httpx.URL | None = None
        self._session: AuthSession | None = None
        self._extensions: dict[str, Any] = {}

    def send(self, request: Request) -> httpx.Response:
        """Send a request, and again after a transient failure; return the complete response.

        Raises:
            DeniedError: it needs other credentials, or rights.
            NotFoundError: the registry does not have it.
            AuthError, PushError: every other failure; TransientError if it may succeed next time.
        """
        return self.retry(lambda: self.send_once(request))

    def send_once(self, request: Request) -> httpx.Response:
        """Send a request as ``send`` does, without retries."""
        with self._send(request, self._auth_session()) as response:
            return response

    def stream(self, request: Request) -> AbstractContextManager[httpx.Response]:
        """Send a request as ``send_once`` does; read the body inside ``request_errors``."""
        return self._send(request, self._auth_session(), stream=True)

    def check(self, credentials: "Credentials") -> None:
        """Check credentials against the registry.

        Raises:
            AuthError: it refuses them.
            PushError: it cannot be asked, or is no registry.
        """
        request = Request("GET", "/v2/", f"log in to {self.name}", ())

        def check_once() -> None:
            with self._send(request, self._new_session(credentials)):
                pass

        self.retry(check_once)

    def retry(self, operation: Callable[[], T]) -> T:
        """Do something, and again after a transient failure; see `releasetag.retry`."""
        return with_retries(operation, sleep=self.sleep, random=self._random, clock=self._clock)

    @contextmanager
    def request_errors(self, operation: str) -> Iterator[None]:
        """Turn what HTTP raises into our errors."""
        try:
            yield
        except (httpx.RequestError, httpx.InvalidURL, UnicodeError, TooLarge) as error:
            raise request_error(error, operation, self.name) from error

    @contextmanager
    def _send(
        self, request: Request, session: AuthSession, *, stream: bool = False
    ) -> Iterator[httpx.Response]:
        with self.request_errors(request.operation):
            sent = self._http.build_request(
                request.method,
                session.base_url.join(request.path),
                headers=request.headers,
                content=request.content,
                extensions={**self._extensions, LIMIT: None if stream else request.limit},
            )
            response = self._http.send(
                sent,
                auth=RegistryAuth(session, request.scopes),
                # What can be sent once cannot be sent on to somewhere else.
                follow_redirects=isinstance(sent.stream, httpx.ByteStream),
                stream=stream,
            )
        try:
            if response.status_code not in request.expect:
                # The body of a streamed success may be endless.
                unread = stream and response.is_success
                answer = httpx.Response(response.status_code) if unread else response
                answer.read()
                raise response_error(answer, request.operation, self.name, session.redact)
            yield response
        finally:
            response.close()

    def _auth_session(self) -> AuthSession:
        with self._lock:
            if self._session is None:
                self._find_base_url()  # or a credential helper is run for nothing
                self._session = self._new_session(self._find_credentials(self.name))
            return self._session

    def _new_session(self, credentials: "Credentials | None") -> AuthSession:
        return AuthSession(self.name, self._find_base_url(), credentials, self._http, self._clock)

    def _find_base_url(self) -> httpx.URL:
        """Return the registry's base URL; an insecure registry is probed for TLS, once."""
        if self._base_url is None:
            with self.request_errors(f"find {self.name}"):
                url = httpx.URL(f"https://{registry_host(self.name)}")
                if self._is_insecure(url):
                    self._extensions = {INSECURE: self._insecure.covers}
                    if not self._speaks_tls(url):
                        url = url.copy_with(scheme="http")
            self._base_url = url
        return self._base_url

    def _is_insecure(self, base_url: httpx.URL) -> bool:
        """Whether it is; the engine's list is read only where TLS does not work."""
        if self.name not in self._insecure and self._insecure.may_have_more():
            try:
                self._http.get(base_url.join("/v2/"), extensions=self._extensions)
            except (httpx.RequestError, UnicodeError, TooLarge):
                self._insecure.add_more()
        return self.name in self._insecure

    def _speaks_tls(self, base_url: httpx.URL) -> bool:
        """Probe as the engine does: https without verification first, then plain HTTP."""
        try:
            self._http.get(base_url.join("/v2/"), extensions=self._extensions)
        except httpx.TransportError as error:
            # Without a port, plain HTTP has another one. With one, nobody listens there at all.
            if is_connection_refused(error) and split_port(self.name)[1]:
                raise
        else:
            return True
        plain = base_url.copy_with(scheme="http")
        self._http.get(plain.join("/v2/"), extensions=self._extensions)
        return False
