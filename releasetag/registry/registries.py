"""All registries of a run."""

import random as random_module
import threading
import time
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

import httpx

from releasetag.reference import Reference, Repository
from releasetag.registry import copy, manifests, tags
from releasetag.registry.client import RegistryClient, http_client
from releasetag.registry.image import ImageConfig, Manifest
from releasetag.registry.insecure import InsecureRegistries
from releasetag.registry.transport import Transport

if TYPE_CHECKING:
    from releasetag.credentials import Credentials


class Registries:
    """What registries are asked and told. Thread-safe; a context manager that closes connections.

    Every request is retried after transient errors (a refused or cut connection, a timeout, status
    408, 429, 500, 502, 503 or 504): at most five tries, none later than 30 s after its first
    failure. An answer may take 60 s; the transfer of a blob as long as it makes progress.

    Args:
        find_credentials: who we are to a registry (``docker.io``, ``ghcr.io``); None: anonymous.
        environ: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY; XDG_CONFIG_HOME and HOME for
            certs.d.
        insecure: ``host[:port]`` or CIDR of registries that may use plain HTTP or a certificate
            that does not verify, besides those on this machine.
        sleep: waits for seconds.
        random: gives a number from 0 up to 1, for the spread of the waits.
        clock: seconds, monotonic, for the life of tokens, retries and time limits.
        transport: takes all requests in place of the network.

    Raises (every method):
        AuthError: a registry does not let us in, or not do this.
        PushError: every other failure; both name what was asked for and quote the registry.
    """

    def __init__(
        self,
        find_credentials: "Callable[[str], Credentials | None]",
        environ: Mapping[str, str],
        *,
        insecure: Collection[str] = (),
        sleep: Callable[[float], object] = time.sleep,
        random: Callable[[], float] = random_module.random,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._find_credentials = find_credentials
        self._sleep = sleep
        self._random = random
        self._clock = clock
        self._insecure = InsecureRegistries(insecure, environ)
        self._http = http_client(Transport(environ, self._insecure, clock, transport))
        self._clients: dict[str, RegistryClient] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def digest(self, reference: Reference) -> str | None:
        """The digest that a reference names now; None if it names nothing."""
        return manifests.fetch_digest(self._client(reference.repository), reference)

    def manifest(self, reference: Reference) -> Manifest | None:
        """The manifest or index that a reference names now; None if it names nothing."""
        return manifests.fetch_manifest(self._client(reference.repository), reference)

    def put_manifest(self, reference: Reference, manifest: Manifest) -> str:
        """Put a manifest under a tag, or its digest; its digest, which the registry confirmed."""
        return manifests.put_manifest(self._client(reference.repository), reference, manifest)

    def tags(self, repository: Repository) -> list[str]:
        """The tags of a repository; none if the registry does not know it."""
        return tags.list_tags(self._client(repository), repository)

    def image_config(self, repository: Repository, manifest: Manifest) -> ImageConfig:
        """The configuration of an image, or of the first image in an index."""
        return manifests.fetch_config(self._client(repository), repository, manifest)

    def copy(self, source: Reference, target: Repository) -> None:
        """Bring an image, or an index with all its images, into a repository by digest.

        It can be put under a tag there afterwards; copy itself touches no tag.
        """
        copy.copy(self._client(source.repository), source, self._client(target), target)

    def check(self, registry: str, credentials: "Credentials") -> None:
        """See whether a registry lets these credentials in; AuthError if it does not."""
        self._named(registry).check(credentials)

    def _client(self, repository: Repository) -> RegistryClient:
        return self._named(repository.registry)

    def _named(self, registry: str) -> RegistryClient:
        with self._lock:
            if registry not in self._clients:
                self._clients[registry] = RegistryClient(
                    registry,
                    self._http,
                    self._insecure,
                    self._find_credentials,
                    sleep=self._sleep,
                    random=self._random,
                    clock=self._clock,
                )
            return self._clients[registry]
