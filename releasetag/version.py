"""Git tag name ⇄ version ⇄ Docker tag text. Pure.

Source: Semantic Versioning 2.0.0.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from semver import Version

__all__ = ["Release", "Version", "channel", "docker_text", "highest", "parse_version", "version_of"]

# Far above what any tag holds, and below what Python refuses to turn into an integer.
_LONGEST = 1000


@dataclass(frozen=True)
class Release:
    """A git tag whose name is a version behind the tag prefix, and the commit that it points at.

    Attributes:
        git_tag: the name as git has it: ``api/v1.2.3``.
        version: the version in it. Its order is SemVer's precedence: build metadata do not count.
        revision: the commit, 40 (or 64) hexadecimal digits.
    """

    git_tag: str
    version: Version
    revision: str


def parse_version(text: str) -> Version | None:
    """The semantic version that the whole text is, or None."""
    # The library's digits are Unicode's; the specification's are ASCII's.
    if not text.isascii() or len(text) > _LONGEST:
        return None
    try:
        return Version.parse(text)
    except ValueError:
        return None


def version_of(git_tag: str, prefix: str | None = None) -> Version | None:
    """The version that a git tag names, or None if the tag is no release.

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
    """The version as a Docker tag can hold it: ``+`` is written ``_``."""
    return str(version).replace("+", "_")


def channel(version: Version) -> str:
    """The leading letters of the prerelease: ``rc`` of ``2.0.0-rc.1``; empty if there are none."""
    letters = re.match(r"[A-Za-z]+", version.prerelease or "")
    return letters.group() if letters else ""


def highest(releases: Iterable[Release]) -> Release | None:
    """The release of the highest precedence; among equals always the same one, or None."""
    return max(releases, key=lambda r: (r.version, r.version.build or "", r.git_tag), default=None)
