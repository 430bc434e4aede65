"""Git tag name ⇄ version ⇄ Docker tag. Pure.

Source: Semantic Versioning 2.0.0.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import semver

__all__ = [
    "Release",
    "Snapshot",
    "Version",
    "channel",
    "commit_tags",
    "docker_text",
    "highest",
    "parse_version",
    "version_of",
]

# Far longer than any tag, and below what Python refuses to turn into an integer.
_MAX_LENGTH = 1000

_Key = tuple[tuple[int, int, str], ...]
_Order = tuple[int, int, int, bool, _Key, _Key, str]

# The library's grammar without its object, which takes thrice as long to make as ours: a repository
# may have 100,000 tags.
_match = semver.Version._REGEX.match


@dataclass(frozen=True, order=True)
class Version:
    """A semantic version. Versions are totally ordered, and equal only if their text is.

    SemVer precedence decides first. Between versions of equal precedence, none comes before some
    build metadata, and two of them are compared as SemVer compares prereleases.

    Attributes:
        order: what comparisons look at.
        text: the version as it was written.
    """

    order: _Order = field(repr=False)
    text: str = field(compare=False)

    def __str__(self) -> str:
        return self.text

    @property
    def major(self) -> int:
        """The first number."""
        return self.order[0]

    @property
    def minor(self) -> int:
        """The second number."""
        return self.order[1]

    @property
    def patch(self) -> int:
        """The third number."""
        return self.order[2]

    @property
    def prerelease(self) -> str:
        """The identifiers behind the hyphen; empty for a stable version."""
        return self.text.partition("+")[0].partition("-")[2]

    @property
    def build(self) -> str:
        """The build metadata; empty if there are none."""
        return self.text.partition("+")[2]


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


def parse_version(text: str) -> Version | None:
    """Parse a text that is a semantic version as a whole; None if it is not."""
    # The library's digits are Unicode's; the specification's are ASCII's.
    if not text.isascii() or len(text) > _MAX_LENGTH:
        return None
    match = _match(text)
    if match is None:
        return None
    major, minor, patch, prerelease, build = match.groups()
    # Build metadata may have leading zeros (1.0.0+01 beside 1.0.0+1): the text decides last.
    numbers = int(major), int(minor), int(patch)
    return Version((*numbers, not prerelease, _key(prerelease), _key(build), text), text)


def version_of(git_tag: str, prefix: str | None = None) -> Version | None:
    """Parse the version that a git tag names; None if the tag is no release.

    Args:
        git_tag: the tag's name, without ``refs/tags/``.
        prefix: what stands before the version; None is the default, an optional ``v``.
    """
    if prefix is None:
        return parse_version(git_tag.removeprefix("v"))
    if not git_tag.startswith(prefix):
        return None
    return parse_version(git_tag.removeprefix(prefix))


def docker_text(version: Version) -> str:
    """Write a version as a Docker tag can hold it: ``+`` becomes ``_``."""
    return version.text.replace("+", "_")


def channel(version: Version) -> str:
    """Return the leading letters of the prerelease, ``rc`` of ``2.0.0-rc.1``; empty if none."""
    letters = re.match(r"[A-Za-z]+", version.prerelease)
    return letters.group() if letters else ""


def highest(releases: Iterable[Release]) -> Release | None:
    """Return the highest release; of one version behind two names always the same. None of none."""
    return max(releases, key=lambda r: (r.version, r.git_tag), default=None)


def _key(identifiers: str | None) -> _Key:
    """Compare dot-separated identifiers as SemVer 11.4 does: digits as numbers, before letters."""
    if not identifiers:
        return ()
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in identifiers.split(".")
    )
