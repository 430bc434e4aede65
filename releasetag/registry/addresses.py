"""IP addresses and networks, of which the texts come from settings and resolvers."""

import ipaddress
import socket
from contextlib import suppress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(text: str) -> Address | None:
    """Return the IP address, None if the text is none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_in_network(address: Address, cidr: str) -> bool:
    """Whether the address is in the network; no address is in what is no network."""
    try:
        return address in ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return False


def look_up(host: str) -> list[Address]:
    """Return the addresses of a host; none if it cannot be looked up."""
    with suppress(OSError, UnicodeError):
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return [ipaddress.ip_address(address[0]) for *_, address in found]
    return []
