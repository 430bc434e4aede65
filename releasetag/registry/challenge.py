"""Parse WWW-Authenticate, and put token scopes together. Pure.

Sources: RFC 9110, section 11 (challenges); distribution.github.io/distribution/spec/auth (scope).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_TOKEN68 = r"[A-Za-z0-9._~+/-]+=*"
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[\s,]*({_NAME})(?:\s+|(?=,|$))", re.ASCII)
_PARAMETER = re.compile(rf'[\s,]*({_NAME})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_NAME}))', re.ASCII)
_BLOB = re.compile(rf"{_TOKEN68}\s*(?=,|$)", re.ASCII)


@dataclass(frozen=True)
class Challenge:
    """An authentication scheme that a registry offers; its names are in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Parse WWW-Authenticate headers; a malformed part ends its header.

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


def choose_challenge(headers: Iterable[str]) -> Challenge | None:
    """Return the first Bearer challenge, or else the first Basic one."""
    offered = parse_challenges(headers)
    for scheme in ("bearer", "basic"):
        for challenge in offered:
            if challenge.scheme == scheme:
                return challenge
    return None


def read_scope(path: str) -> str:
    """Return the token scope to read the repository with that path."""
    return f"repository:{path}:pull"


def write_scope(path: str) -> str:
    """Return the token scope to read and write the repository with that path."""
    return f"repository:{path}:pull,push"


def merge_scopes(scopes: Iterable[str]) -> list[str]:
    """Merge the actions on each resource, keeping the order.

    The first stays the first: some token servers ignore all others.
    """
    actions: dict[str, list[str]] = {}
    for item in scopes:
        resource, _, wanted = item.rpartition(":")
        for action in wanted.split(","):
            if action not in actions.setdefault(resource, []):
                actions[resource].append(action)
    return [f"{resource}:{','.join(names)}" for resource, names in actions.items()]
