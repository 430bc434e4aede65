"""Registries: every operation on any registry, for one run."""

import random as random_module
import threading
import time
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

import httpx

from releasetag.reference import Reference, Repository
from releasetag.registry import blobs, copy, manifests, missing, referrers, tags
from releasetag.registry.client import RegistryClient, http_client
from releasetag.registry.image import Descriptor, ImageConfig, Manifest
from releasetag.registry.insecure import InsecureRegistries
from releasetag.registry.transport import Transport

if TYPE_CHECKING:
    from releasetag.credentials import Credentials


class Registries:
    """The operations on registries. Thread-safe; a context manager that closes connections.

    Every request is retried after a transient error (a refused or cut connection, a timeout, status
    408, 429, 500, 502, 503 or 504): at most five tries, none later than 30 s after its first
    failure. An answer may take 60 s; the transfer of a blob as long as it makes progress.

    Args:
        find_credentials: for a registry (``docker.io``, ``ghcr.io``); None: anonymous.
        environ: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY; XDG_CONFIG_HOME and HOME for
            certs.d.
        insecure: ``host[:port]`` or CIDR of registries that may use plain HTTP or a certificate
            that does not verify, besides those on this machine.
        find_insecure: returns more of them, such as the engine's; called if they are needed.
        sleep: waits for seconds.
        random: returns a number from 0 up to 1, for the jitter of the waits.
        clock: seconds, monotonic, for the expiry of tokens, retries and time limits.
        transport: takes all requests in place of the network.

    Raises (every method):
        AuthError: authentication failed, or the account is not authorised.
        PushError: every other failure; both name what was asked for and quote the registry.
        BrokenImageError: what a name points at cannot be used as an image, for good.
    """

    def __init__(
        self,
        find_credentials: "Callable[[str], Credentials | None]",
        environ: Mapping[str, str],
        *,
        insecure: Collection[str] = (),
        find_insecure: Callable[[], Collection[str]] | None = None,
        sleep: Callable[[float], object] = time.sleep,
        random: Callable[[], float] = random_module.random,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._find_credentials = find_credentials
        self._sleep = sleep
        self._random = random
        self._clock = clock
        self._insecure = InsecureRegistries(insecure, environ, find_insecure)
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

    def digest(self, reference: Reference, *, denied_is_absent: bool = False) -> str | None:
        """Return the digest that a reference names; None if it names nothing.

        Args:
            denied_is_absent: whether a repository that may not be read counts as one that is not
                there yet. Docker Hub and others answer 401 or 403 for what does not exist.
        """
        client = self._client(reference.repository)
        return manifests.fetch_digest(client, reference, denied_is_absent=denied_is_absent)

    def settled_digest(self, reference: Reference, expected: str) -> str | None:
        """Return the digest that a reference names, looking again for some 8 s until it is this.

        Some registries serve only some moments later what was put.
        """
        return manifests.settled_digest(self._client(reference.repository), reference, expected)

    def manifest(self, reference: Reference, *, denied_is_absent: bool = False) -> Manifest | None:
        """Return the manifest or index that a reference names; None if it names nothing.

        Args:
            denied_is_absent: as of ``digest``.
        """
        client = self._client(reference.repository)
        return manifests.fetch_manifest(client, reference, denied_is_absent=denied_is_absent)

    def settled_manifest(self, reference: Reference) -> Manifest | None:
        """Return what a reference names, looking again for some 8 s until it names something."""
        return manifests.settled_manifest(self._client(reference.repository), reference)

    def put_manifest(self, reference: Reference, manifest: Manifest) -> str:
        """Put a manifest under a tag or its digest; return its digest, which was confirmed."""
        return manifests.put_manifest(self._client(reference.repository), reference, manifest)

    def tags(self, repository: Repository) -> tags.TagList | None:
        """List the tags of a repository; None if the registry does not list them (all)."""
        return tags.list_tags(self._client(repository), repository)

    def image_config(self, repository: Repository, manifest: Manifest) -> ImageConfig:
        """Return the configuration of an image, or of the first in an index that has one."""
        return manifests.fetch_config(self._client(repository), repository, manifest)

    def referrers(self, repository: Repository, digest: str) -> tuple[Descriptor, ...]:
        """Return the signatures and attestations that refer to a manifest."""
        return referrers.fetch_referrers(self._client(repository), repository, digest)

    def missing(self, repository: Repository, manifest: Manifest) -> list[Descriptor]:
        """Return what the repository does not have of all that the manifest needs."""
        return missing.find_missing(self._client(repository), repository, manifest)

    def check_push(self, repository: Repository) -> None:
        """Check that the account may push; an upload is started and cancelled."""
        blobs.check_push(blobs.Endpoint(self._client(repository), repository))

    def copy(
        self,
        source: Reference,
        repository: Repository,
        *,
        repair: bool = False,
        progress: blobs.Progress | None = None,
    ) -> None:
        """Copy an image, or an index with all its images, into a repository by digest.

        It can be put under a tag there afterwards; copy itself touches no tag.

        Args:
            repair: whether to look for what is missing of an image that is there already.
            progress: called while large blobs are copied, from several threads.
        """
        src, dst = self._client(source.repository), self._client(repository)
        copy.copy(src, source, dst, repository, repair=repair, progress=progress)

    def check(self, registry: str, credentials: "Credentials") -> None:
        """Check credentials against a registry; AuthError if it refuses them."""
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
