"""Repositories and references, named as Docker names them.

Source: the grammar and the normalisation of github.com/distribution/reference.
"""

import ipaddress
import re
from dataclasses import dataclass

from releasetag.errors import UsageError

DOCKER_HUB = "docker.io"

DOCKER_HUB_HOST = "registry-1.docker.io"
"""Where Docker Hub serves its registry."""

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}", re.ASCII)


def is_tag(text: str) -> bool:
    """Whether Docker's grammar takes the text as a tag: ``[A-Za-z0-9_][A-Za-z0-9._-]{0,127}``."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether the text has the form of a digest: ``sha256:`` and hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


@dataclass(frozen=True, order=True)
class Repository:
    """An image name without a tag.

    Attributes:
        registry: host and port, ``docker.io`` for Docker Hub.
        path: the name inside the registry: ``library/app``.
    """

    registry: str
    path: str

    def __str__(self) -> str:
        """The name as people write it: Docker Hub's registry and ``library/`` left out."""
        # Left out, a first part such as my.org would be read as another registry.
        if self.registry != DOCKER_HUB or _split_registry(self.path)[0]:
            return f"{self.registry}/{self.path}"
        first, _, rest = self.path.partition("/")
        return rest if first == "library" and "/" not in rest else self.path

    @property
    def is_loopback(self) -> bool:
        """Whether the registry is on this machine, where the engine takes plain HTTP."""
        host = re.sub(r":\d+$", "", self.registry).strip("[]")
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def tagged(self, tag: str) -> "Reference":
        """The reference to a tag of this repository."""
        return Reference(self, tag=tag)

    def at(self, digest: str) -> "Reference":
        """The reference to a digest in this repository."""
        return Reference(self, digest=digest)


@dataclass(frozen=True, order=True)
class Reference:
    """A repository and a tag, or a repository and a digest (which wins if there are both)."""

    repository: Repository
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        if self.digest:
            return f"{self.repository}@{self.digest}"
        return f"{self.repository}:{self.tag}"

    @property
    def name(self) -> str:
        """What stands in a registry's URL: the digest if there is one, else the tag."""
        return self.digest or self.tag


def parse_repository(text: str) -> Repository:
    """The repository that a name without tag and digest means.

    Raises:
        UsageError: the text is no repository, or is more than one.
    """
    _refuse_user_name(text)
    shown = repr(text)
    if "@" in text or ":" in text.rpartition("/")[2]:
        name = text.partition("@")[0]
        head, slash, last = name.rpartition("/")
        raise UsageError(
            f"{shown} is a reference, but a repository is wanted",
            f"leave the tag away: {head}{slash}{last.partition(':')[0]} (tags come from templates)",
        )
    registry, path = _split_registry(text)
    if path != path.lower() and _PATH.fullmatch(path.lower()):
        lower = f"{registry}/{path.lower()}" if registry else path.lower()
        raise UsageError(
            f"{shown} has upper-case letters, which a repository cannot have",
            f"write it in lower case: {lower}",
        )
    if (registry and not _REGISTRY.fullmatch(registry)) or not _PATH.fullmatch(path):
        raise UsageError(
            f"{shown} is not a repository",
            "name one as in acme/app or ghcr.io/acme/app",
        )
    if len(path) > 255:
        raise UsageError(
            f"the repository {shown[:40]}… is {len(path)} characters long",
            "a repository name holds at most 255 characters",
        )
    if not registry or registry in {"index.docker.io", DOCKER_HUB_HOST}:
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return Repository(registry, path)


def parse_reference(text: str) -> Reference:
    """The reference that a text means; without a tag and a digest it means ``latest``.

    Raises:
        UsageError: the text is no reference.
    """
    _refuse_user_name(text)
    name, _, digest = text.partition("@")
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    if (digest and not is_digest(digest)) or (colon and not is_tag(tag)) or text.endswith("@"):
        raise UsageError(
            f"{text!r} is not a reference",
            "name one as in acme/app:1.2.3 or acme/app@sha256:…",
        )
    repository = parse_repository(f"{head}{slash}{last}")
    if digest:
        return repository.at(digest)
    return repository.tagged(tag or "latest")


def _refuse_user_name(text: str) -> None:
    if "@" in text.rpartition("/")[0]:
        # Not repeated: a password may stand in it.
        raise UsageError(
            "a repository is given with a user name in it",
            "leave out what stands before the '@', and log in with releasetag login",
        )


def _split_registry(text: str) -> tuple[str, str]:
    """A first part with a dot or a colon, or ``localhost``, is a registry."""
    first, slash, rest = text.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return "", text
