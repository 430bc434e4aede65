"""Git tag name ⇄ version ⇄ Docker tag. Pure.

Sources: Semantic Versioning 2.0.0; PEP 440, by the library of its authors.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args, overload

import semver

__all__ = [
    "SCHEMES",
    "Release",
    "Releases",
    "Scheme",
    "Snapshot",
    "Version",
    "at_least",
    "channel",
    "commit_tags",
    "docker_text",
    "highest",
    "parse_version",
    "version_of",
]

Scheme = Literal["semver", "pep440", "loose"]
"""What is a version, and which of two is higher. ``loose``: one to four numbers, and a rebuild."""

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

# Far longer than any tag, and below what Python refuses to turn into an integer.
_MAX_LENGTH = 1000

_Key = tuple[tuple[int, int, str], ...]
_Parts = tuple[Scheme, tuple[str, ...], str, str]

# The library's grammar without its object, which takes thrice as long to make as ours: a repository
# may have 100,000 tags.
_match = semver.Version._REGEX.match

# The library takes a "v" in front and spaces around as well.
_MAY_BE_PEP440 = re.compile(r"[0-9][0-9A-Za-z.!+_-]*")

_LOOSE = re.compile(r"([0-9]+(?:\.[0-9]+){0,3})(?:-([0-9]+))?")


@dataclass(frozen=True, order=True)
class Version:
    """A version. The versions of a scheme are totally ordered; two schemes are never compared.

    - ``semver``: SemVer precedence decides first. Between versions of equal precedence, none comes
      before some build metadata, and two of them are compared as SemVer compares prereleases. Equal
      only if the text is.
    - ``pep440``: as PEP 440 has it; ``1.2`` and ``1.2.0`` are equal.
    - ``loose``: number by number, more numbers after fewer, then the rebuild, none before some.
      ``01.2`` and ``1.2`` are equal.

    Attributes:
        order: what comparisons look at.
        text: the version as it was written; under PEP 440 normalized.
        parts: the rest; see the properties. (Every field costs time, for 100,000 git tags.)
    """

    order: tuple[Any, ...] = field(repr=False)
    text: str = field(compare=False)
    parts: _Parts = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.text

    @property
    def scheme(self) -> Scheme:
        """The scheme that it was read by."""
        return self.parts[0]

    @property
    def numbers(self) -> tuple[str, ...]:
        """All of its numbers, as written."""
        return self.parts[1]

    @property
    def prerelease(self) -> str:
        """``rc.1``, or ``rc1`` under PEP 440; empty for a stable version."""
        return self.parts[2]

    @property
    def build(self) -> str:
        """The build metadata, or PEP 440's local version; empty if there are none."""
        return self.parts[3]

    @property
    def major(self) -> str:
        """The first number."""
        return self.numbers[0]

    @property
    def minor(self) -> str:
        """The second number; empty if there is none."""
        return self.numbers[1] if len(self.numbers) > 1 else ""

    @property
    def patch(self) -> str:
        """The third number; empty if there is none."""
        return self.numbers[2] if len(self.numbers) > 2 else ""

    @property
    def is_its_numbers(self) -> bool:
        """Whether the first three numbers name it, but for SemVer's build metadata."""
        text = self.text.partition("+")[0] if self.scheme == "semver" else self.text
        return text == f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True)
class Release:
    """A git tag whose name is a version behind the tag prefix, and the commit that it points at.

    Attributes:
        git_tag: the name as git has it: ``api/v1.2.3``.
        version: the version in it.
        revision: the commit, 40 (or 64) hexadecimal digits.
    """

    git_tag: str
    version: Version
    revision: str


class Releases(Sequence[Release]):
    """The releases among git tags, of which a version is parsed when it is looked at.

    Of 100,000 releases a plan looks at those above its own. Equal to another sequence of the same
    releases; has no hash.

    Args:
        commits: the commit of every git tag.
        prefix: what precedes the version; None is the default, an optional ``v``.
        scheme: of the versions.
        ignored: the yanked versions, which are left out.
    """

    def __init__(
        self,
        commits: Mapping[str, str],
        prefix: str | None,
        scheme: Scheme,
        ignored: frozenset[Version] = frozenset(),
    ) -> None:
        self._commits, self._prefix, self._scheme = commits, prefix, scheme
        self._ignored = ignored

    @cached_property
    def _all(self) -> tuple[Release, ...]:
        return tuple(self._parsed(self._commits))

    @cached_property
    def _matches(self) -> list[tuple[str, "re.Match[str]"]]:
        """The git tags that are semantic versions, with the match of the library's grammar."""
        ignored = {version.text for version in self._ignored}
        return [
            (name, match)
            for name, text in _texts(self._commits, self._prefix)
            if (match := _match(text)) and _may_be_version(text) and text not in ignored
        ]

    def at_least(self, version: Version) -> list[Release]:
        """Return the releases of this version and of higher ones."""
        if self._scheme != "semver":
            return [release for release in self._all if release.version >= version]
        own = version.order[:3]
        near = (
            name
            for name, match in self._matches
            if (int(match[1]), int(match[2]), int(match[3])) >= own
        )
        return [release for release in self._parsed(near) if release.version >= version]

    def _parsed(self, names: Iterable[str]) -> Iterator[Release]:
        for name in names:
            version = version_of(name, self._prefix, self._scheme)
            if version is not None and version not in self._ignored:
                yield Release(name, version, self._commits[name])

    def __len__(self) -> int:
        return len(self._matches if self._scheme == "semver" else self._all)

    def __iter__(self) -> Iterator[Release]:
        return iter(self._all)

    @overload
    def __getitem__(self, index: int) -> Release: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Release, ...]: ...

    def __getitem__(self, index: int | slice) -> Release | tuple[Release, ...]:
        return self._all[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all == tuple(other)

    __hash__ = None  # type: ignore[assignment] # as of every sequence that is compared by its items


@dataclass(frozen=True)
class Snapshot:
    """A commit whose image is no release.

    Attributes:
        version: what the image says in place of a version: the name of its tag, such as ``edge``.
        revision: the commit.
    """

    version: str
    revision: str


def commit_tags(revision: str) -> tuple[str, str]:
    """Return the tag of a commit, and the one where another commit begins with the same digits."""
    return f"sha-{revision[:7]}", f"sha-{revision}"


def parse_version(text: str, scheme: Scheme = "semver") -> Version | None:
    """Parse a text that is a version as a whole; None if it is not."""
    return _PARSERS[scheme](text) if _may_be_version(text) else None


def _may_be_version(text: str) -> bool:
    # The library's digits are Unicode's; the specification's are ASCII's.
    return text.isascii() and len(text) <= _MAX_LENGTH


def version_of(
    git_tag: str, prefix: str | None = None, scheme: Scheme = "semver"
) -> Version | None:
    """Parse the version that a git tag names; None if the tag is no release.

    Args:
        git_tag: the tag's name, without ``refs/tags/``.
        prefix: what stands before the version; None is the default, an optional ``v``.
        scheme: of the component's versions.
    """
    text = next((text for _, text in _texts([git_tag], prefix)), None)
    return None if text is None else parse_version(text, scheme)


def _texts(git_tags: Iterable[str], prefix: str | None) -> Iterator[tuple[str, str]]:
    """Yield the git tags behind a prefix, each with what follows it."""
    if prefix is None:
        return ((name, name.removeprefix("v")) for name in git_tags)
    return ((name, name[len(prefix) :]) for name in git_tags if name.startswith(prefix))


def docker_text(text: str) -> str:
    """Write a version, or a git tag, as a Docker tag can hold it.

    ``+`` becomes ``_``, ``/`` of a git tag ``-``; and so does ``!`` behind the epoch of PEP 440,
    whose normalized versions hold no ``-``.
    """
    return text.replace("+", "_").replace("/", "-").replace("!", "-")


def channel(version: Version) -> str:
    """Return the leading letters of the prerelease, ``rc`` of ``2.0.0-rc.1``; empty if none."""
    letters = re.match(r"[A-Za-z]+", version.prerelease)
    return letters.group() if letters else ""


def highest(releases: Iterable[Release]) -> Release | None:
    """Return the highest release; of one version behind two names always the same. None of none."""
    return max(releases, key=lambda r: (r.version, r.git_tag), default=None)


def at_least(releases: Iterable[Release], version: Version) -> list[Release]:
    """Return the releases of a version and of higher ones."""
    if isinstance(releases, Releases):
        return releases.at_least(version)
    return [release for release in releases if release.version >= version]


def _parse_semver(text: str) -> Version | None:
    match = _match(text)
    if match is None:
        return None
    major, minor, patch, prerelease, build = match.groups()
    # Build metadata may have leading zeros (1.0.0+01 beside 1.0.0+1): the text decides last.
    numbers = int(major), int(minor), int(patch)
    order = (*numbers, not prerelease, _key(prerelease), _key(build), text)
    parts: _Parts = ("semver", (major, minor, patch), prerelease or "", build or "")
    return Version(order, text, parts)


def _parse_pep440(text: str) -> Version | None:
    from packaging.version import InvalidVersion
    from packaging.version import Version as Parsed

    if not _MAY_BE_PEP440.fullmatch(text):
        return None
    try:
        parsed = Parsed(text)
    except InvalidVersion:
        return None
    # A prerelease of a post release, 1.2.post1.dev3, is "dev3".
    early = [f"{parsed.pre[0]}{parsed.pre[1]}"] if parsed.pre else []
    if parsed.dev is not None:
        early.append(f"dev{parsed.dev}")
    numbers = tuple(map(str, parsed.release))
    parts: _Parts = ("pep440", numbers, ".".join(early), parsed.local or "")
    return Version((parsed,), str(parsed), parts)


def _parse_loose(text: str) -> Version | None:
    match = _LOOSE.fullmatch(text)
    if match is None:
        return None
    numbers = tuple(match[1].split("."))
    rebuild = -1 if match[2] is None else int(match[2])
    return Version((tuple(map(int, numbers)), rebuild), text, ("loose", numbers, "", ""))


_PARSERS: Mapping[Scheme, Callable[[str], Version | None]] = {
    "semver": _parse_semver,
    "pep440": _parse_pep440,
    "loose": _parse_loose,
}


def _key(identifiers: str | None) -> _Key:
    """Compare dot-separated identifiers as SemVer 11.4 does: digits as numbers, before letters."""
    if not identifiers:
        return ()
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in identifiers.split(".")
    )
