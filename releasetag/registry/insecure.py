"""Insecure registries: those that may use plain HTTP, or a certificate that does not verify.

Source: loadInsecureRegistries, isSecureIndex and isCIDRMatch in moby's daemon/pkg/registry.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping

import httpx

from releasetag.reference import DOCKER_HUB, is_loopback, split_port
from releasetag.registry.addresses import Address, is_in_network, look_up, parse_address
from releasetag.registry.proxy import proxy_for


def is_insecure(
    host: str,
    insecure: Collection[str],
    resolve: Callable[[str], Iterable[Address]] = look_up,
) -> bool:
    """Decide, as the engine does, whether a registry is insecure.

    It is if it is on this machine, if it is listed, or if one of its addresses is in a listed
    network. Docker Hub never is.

    Args:
        host: ``host[:port]``, to be listed with that very port.
        insecure: ``host[:port]`` and CIDR, as in the engine's ``insecure-registries``.
        resolve: looks up a name, if there are networks.
    """
    if host == DOCKER_HUB:
        return False
    if is_loopback(host) or host.lower() in {entry.lower() for entry in insecure}:
        return True
    networks = [entry for entry in insecure if "/" in entry]
    if not networks:
        return False
    name = split_port(host)[0]
    address = parse_address(name)
    addresses = resolve(name) if address is None else [address]
    return any(is_in_network(each, network) for each in addresses for network in networks)


class InsecureRegistries:
    """The insecure registries of a run.

    Args:
        listed: see is_insecure.
        environ: for the proxies. A name that a proxy resolves is not looked up here.
        find_more: returns those that the engine lists; called where a registry cannot be reached
            with TLS.
    """

    def __init__(
        self,
        listed: Collection[str],
        environ: Mapping[str, str],
        find_more: Callable[[], Collection[str]] | None = None,
    ) -> None:
        self._listed = tuple(listed)
        self._environ = environ
        self._find_more = find_more
        self._lock = threading.Lock()

    def may_have_more(self) -> bool:
        """Whether there is an engine that may list more of them, and has not answered yet."""
        return self._find_more is not None

    def add_more(self) -> None:
        """Add those that the engine lists; whoever else needs them waits for its answer."""
        with self._lock:
            if self._find_more is not None:
                self._listed += tuple(self._find_more())
                self._find_more = None

    @property
    def _hosts(self) -> tuple[str, ...]:
        return tuple(each if "/" in each else split_port(each)[0].lower() for each in self._listed)

    def __contains__(self, registry: str) -> bool:
        return is_insecure(registry, self._listed, self._resolver(httpx.URL(f"https://{registry}")))

    def covers(self, url: httpx.URL) -> bool:
        """Whether an insecure registry may lead to this URL: to any port of an insecure host."""
        return is_insecure(url.raw_host.decode("ascii"), self._hosts, self._resolver(url))

    def accepts(self, url: httpx.URL, address: str) -> bool:
        """Whether this address is one for which the URL's host is insecure.

        A second look-up may find another address than the one that it was insecure for, not least
        where somebody wants the credentials to be sent without TLS.
        """
        host = url.raw_host.decode("ascii")
        return host in self._hosts or is_insecure(address, self._hosts)

    def _resolver(self, url: httpx.URL) -> Callable[[str], Iterable[Address]]:
        return lambda host: [] if proxy_for(url, self._environ) else look_up(host)
