"""Repositories and references, named as Docker names them.

Source: the grammar and the normalisation of github.com/distribution/reference.
"""

import ipaddress
import re
from dataclasses import dataclass, field

from releasetag.errors import UsageError

DOCKER_HUB = "docker.io"

DOCKER_HUB_HOST = "registry-1.docker.io"
"""The host of Docker Hub's registry."""

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?", re.ASCII)
TAG = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
"""What a tag is in Docker's grammar, as a regular expression."""

_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}", re.ASCII)


def registry_host(registry: str) -> str:
    """Return the ``host[:port]`` that serves a registry; Docker Hub's is not its name."""
    return DOCKER_HUB_HOST if registry == DOCKER_HUB else registry


def is_loopback(registry: str) -> bool:
    """Whether the registry is on this machine, by name or address.

    Names under ``.localhost`` are reserved for it (RFC 6761, section 6.3).
    """
    host = split_port(registry)[0].lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_port(text: str) -> tuple[str, str]:
    """Split ``host[:port]``; without brackets, an IPv6 address is all host."""
    if bracketed := re.fullmatch(r"\[(.*)\](?::(\d+))?", text):
        return bracketed[1], bracketed[2] or ""
    if text.count(":") != 1:
        return text, ""
    host, _, port = text.partition(":")
    return host, port


def platform_tag(tag: str, platform: str) -> str:
    """Return the tag of one platform's image: ``1.2.3-linux-arm64`` beside ``1.2.3``."""
    return f"{tag}-{platform.replace('/', '-')}"


def is_tag(text: str) -> bool:
    """Whether the text is a tag in Docker's grammar: ``[A-Za-z0-9_][A-Za-z0-9._-]{0,127}``."""
    return re.fullmatch(TAG, text, re.ASCII) is not None


def is_digest(text: str) -> bool:
    """Whether the text has the form of a digest: ``sha256:`` and hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


@dataclass(frozen=True, order=True)
class Repository:
    """An image name without a tag.

    Attributes:
        registry: host and port, ``docker.io`` for Docker Hub.
        path: the name inside the registry: ``library/app``.
        written: as it was given, if that has upper-case letters.
    """

    registry: str
    path: str
    written: str = field(default="", compare=False)

    def __str__(self) -> str:
        """The familiar name: without Docker Hub's registry and ``library/``."""
        # Without docker.io, a first part such as my.org would be read as another registry.
        if self.registry != DOCKER_HUB or _split_registry(self.path)[0]:
            return f"{self.registry}/{self.path}"
        first, _, rest = self.path.partition("/")
        return rest if first == "library" and "/" not in rest else self.path

    def tagged(self, tag: str) -> "Reference":
        """Return the reference to a tag of this repository."""
        return Reference(self, tag=tag)

    def at(self, digest: str) -> "Reference":
        """Return the reference to a digest in this repository."""
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
        """The digest if there is one, else the tag: as in a registry's URL."""
        return self.digest or self.tag


def parse_registry(text: str) -> str:
    """Parse the name of a registry: ``ghcr.io``, ``localhost:5000``.

    Raises:
        UsageError: no reference can name such a registry.
    """
    if not _REGISTRY.fullmatch(text) or not _split_registry(f"{text}/")[0]:
        raise UsageError(
            f"{text!r} is not a registry", "name one as in ghcr.io or registry.example.com:5000"
        )
    return DOCKER_HUB if text in {"index.docker.io", DOCKER_HUB_HOST} else text


def parse_repository(text: str) -> Repository:
    """Parse a repository: a name without tag and digest. Upper-case letters are lowered.

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
            f"omit the tag: {head}{slash}{last.partition(':')[0]} (tags come from templates)",
        )
    registry, path = _split_registry(text)
    # Names of GitHub's owners and repositories have capitals, and end up in image names.
    written = text if text.isascii() and path != path.lower() else ""
    path = path.lower() if written else path
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
    return Repository(registry, path, written)


def parse_reference(text: str) -> Reference:
    """Parse a reference; without a tag and a digest it means ``latest``.

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
            "omit what is before the '@', and log in with releasetag login",
        )


def _split_registry(text: str) -> tuple[str, str]:
    """Split off the registry: a first part with a dot or a colon, or ``localhost``."""
    first, slash, rest = text.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return "", text
