"""Requests to one registry: where it is served, who we are there, errors and new tries."""

import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from releasetag.reference import registry_host, split_port
from releasetag.registry.answers import failure, fault, refused
from releasetag.registry.auth import Login, RegistryAuth
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


def http_client(transport: Transport) -> httpx.Client:
    """The HTTP client of a run, for all registries and token servers. Thread-safe.

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
        # No cookies: with Harbor's, requests side by side would be one web session with its own
        # protections. No other client of registries keeps any.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


@dataclass(frozen=True)
class Request:
    """One thing to ask of a registry.

    Attributes:
        method, path: ``GET``, ``/v2/acme/app/tags/list``; in place of the path a URL that the
            registry gave.
        doing: what it is for, to go behind "cannot" in an error.
        scopes: what we must be allowed to do, in the words of the token specification.
        expect: the statuses that are an answer; every other one is an error.
        limit: bytes that a successful answer may hold.
        headers, content: of the HTTP request. Content that is not bytes is sent once, as it comes.
    """

    method: str
    path: str
    doing: str
    scopes: tuple[str, ...]
    expect: Container[int] = (200,)
    limit: int = ERROR_LIMIT
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Iterable[bytes] | None = None


class RegistryClient:
    """Says things to one registry. Thread-safe.

    Args:
        name: the registry's: ``docker.io``, ``ghcr.io``, ``localhost:5000``.
        http: from http_client.
        insecure: the insecure registries; this one may be among them.
        find_credentials: asked once, with the name, when it is first needed.
        sleep, random, clock: see Registries.
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
        self._http = http
        self._insecure = insecure
        self._find_credentials = find_credentials
        self._sleep = sleep
        self._random = random
        self._clock = clock
        self._lock = threading.Lock()
        self._home: httpx.URL | None = None
        self._login: Login | None = None
        self._extensions: dict[str, Any] = {}

    def ask(self, request: Request) -> httpx.Response:
        """The answer, read whole; asked again while it fails for a passing reason.

        Raises:
            AuthError: we are not let in, or may not do this.
            PushError: every other failure; TransientError if it may succeed the next time.
        """
        return self.retried(lambda: self.once(request))

    def once(self, request: Request) -> httpx.Response:
        """As ``ask``, with one try."""
        with self._send(request, self._who()) as response:
            return response

    def stream(self, request: Request) -> AbstractContextManager[httpx.Response]:
        """As ``once``, with the body of the answer still to come: read it inside ``errors``."""
        return self._send(request, self._who(), stream=True)

    def check(self, credentials: "Credentials") -> None:
        """Whether the registry lets these credentials in.

        Raises:
            AuthError: it does not.
            PushError: it cannot be asked, or is no registry.
        """
        request = Request("GET", "/v2/", f"log in to {self.name}", ())

        def once() -> None:
            login = Login(self.name, self._find_home(), credentials, self._clock)
            with self._send(request, login):
                pass

        self.retried(once)

    def retried(self, operation: Callable[[], T]) -> T:
        """See retry.with_retries."""
        return with_retries(operation, sleep=self._sleep, random=self._random, clock=self._clock)

    @contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Turns what HTTP raises into our errors."""
        try:
            yield
        except (httpx.RequestError, httpx.InvalidURL, UnicodeError, TooLarge) as error:
            raise fault(error, doing, self.name) from error

    @contextmanager
    def _send(
        self, request: Request, login: Login, *, stream: bool = False
    ) -> Iterator[httpx.Response]:
        with self.errors(request.doing):
            sent = self._http.build_request(
                request.method,
                login.home.join(request.path),
                headers=request.headers,
                content=request.content,
                extensions={**self._extensions, LIMIT: None if stream else request.limit},
            )
            response = self._http.send(
                sent,
                auth=RegistryAuth(login, request.scopes),
                # What can be sent once cannot be sent on to somewhere else.
                follow_redirects=isinstance(sent.stream, httpx.ByteStream),
                stream=stream,
            )
        try:
            if response.status_code not in request.expect:
                response.read()
                raise failure(response, request.doing, self.name, login.redact)
            yield response
        finally:
            response.close()

    def _who(self) -> Login:
        with self._lock:
            if self._login is None:
                home = self._find_home()
                found = self._find_credentials(self.name)
                self._login = Login(self.name, home, found, self._clock)
            return self._login

    def _find_home(self) -> httpx.URL:
        """Return where the registry is served; an insecure one is probed, once."""
        if self._home is None:
            with self.errors(f"find {self.name}"):
                home = httpx.URL(f"https://{registry_host(self.name)}")
                if self.name in self._insecure:
                    self._extensions = {INSECURE: self._insecure.covers}
                    if not self._speaks_tls(home):
                        home = home.copy_with(scheme="http")
            self._home = home
        return self._home

    def _speaks_tls(self, home: httpx.URL) -> bool:
        """Probe as the engine does: https without verification first, then plain HTTP."""
        try:
            self._http.get(home.join("/v2/"), extensions=self._extensions)
        except httpx.TransportError as error:
            # Without a port, plain HTTP has another one. With one, nobody listens there at all.
            if refused(error) and split_port(self.name)[1]:
                raise
        else:
            return True
        plain = home.copy_with(scheme="http")
        self._http.get(plain.join("/v2/"), extensions=self._extensions)
        return False
