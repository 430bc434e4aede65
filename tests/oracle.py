"""A second reading of the rule, to compare the program with.

Written from the text alone: precedence from Semantic Versioning 2.0.0, section 11, the decisions
from the table of the rule as it is written down. Nothing here is shared with the program.
"""

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_DIGITS = frozenset(string.digits)
_IDENTIFIER = frozenset(string.ascii_letters + string.digits + "-")

Precedence = tuple[int, int, int, bool, tuple[tuple[int, int, str], ...]]


@dataclass(frozen=True)
class Read:
    """A version, taken apart."""

    text: str
    major: int
    minor: int
    patch: int
    prerelease: str
    build: str

    @property
    def precedence(self) -> Precedence:
        """Compares as section 11 orders versions; build metadata are not in it (section 10)."""
        identifiers = self.prerelease.split(".") if self.prerelease else []
        return (
            self.major,
            self.minor,
            self.patch,
            # 11.3: a prerelease comes before the version itself.
            not identifiers,
            # 11.4: digits as numbers, before letters; and more identifiers after fewer.
            tuple((0, int(i), "") if _DIGITS.issuperset(i) else (1, 0, i) for i in identifiers),
        )

    @property
    def channel(self) -> str:
        """The leading letters of the prerelease."""
        for index, character in enumerate(self.prerelease):
            if character not in string.ascii_letters:
                return self.prerelease[:index]
        return self.prerelease

    def fields(self, sha: str) -> dict[str, str]:
        """What stands in a template for each field."""
        return {
            "version": self.text.replace("+", "_"),
            "major": str(self.major),
            "minor": str(self.minor),
            "patch": str(self.patch),
            "prerelease": self.prerelease,
            "build": self.build,
            "channel": self.channel,
            "sha": sha,
            "short_sha": sha[:7],
        }


def read(text: str) -> Read | None:
    """The version that a text is by the grammar of the specification, or None."""
    rest, plus, build = text.partition("+")
    core, hyphen, prerelease = rest.partition("-")
    numbers = core.split(".")
    if len(numbers) != 3 or not all(map(_is_number, numbers)):
        return None
    if plus and not all(map(_is_identifier, build.split("."))):
        return None
    if hyphen:
        for part in prerelease.split("."):
            if not _is_identifier(part) or (_DIGITS.issuperset(part) and not _is_number(part)):
                return None
    major, minor, patch = map(int, numbers)
    return Read(text, major, minor, patch, prerelease, build)


def read_git_tag(name: str, prefix: str | None = None) -> Read | None:
    """The version that a git tag names behind a prefix; None is an optional ``v``."""
    if prefix is None:
        return read(name[1:] if name[:1] == "v" else name)
    return read(name[len(prefix) :]) if name[: len(prefix)] == prefix else None


def _is_number(text: str) -> bool:
    return text != "" and _DIGITS.issuperset(text) and (text == "0" or text[0] != "0")


def _is_identifier(text: str) -> bool:
    return text != "" and _IDENTIFIER.issuperset(text)


def fields_of(template: str) -> set[str]:
    """The fields that a template holds."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def is_exact(template: str) -> bool:
    """Whether a template names one version for ever."""
    return bool(fields_of(template) & {"version", "patch", "sha", "short_sha"})


def scope(template: str, version: Read) -> tuple[str, ...]:
    """What a version shares with all others that a floating tag chooses from."""
    return tuple(version.fields("")[name] for name in sorted(fields_of(template)))


def candidates(template: str, version: Read, history: Iterable[Read]) -> list[Read]:
    """The versions that a floating tag may name: prereleases of a channel, or stable ones."""
    wants_prerelease = "channel" in fields_of(template)
    return [
        other
        for other in history
        if (other.prerelease != "") == wants_prerelease
        and scope(template, other) == scope(template, version)
    ]


def applies(template: str, version: Read) -> bool:
    """Whether a floating template has a tag for this version at all."""
    fields = fields_of(template)
    if "channel" in fields:
        return version.channel != ""
    if version.prerelease:
        return False
    return not ("major" in fields and "minor" not in fields and version.major == 0)


def decide(template: str, version: Read, history: Sequence[Read]) -> tuple[str, Precedence | None]:
    """The action, and the precedence of the version that holds the tag, if one does."""
    if is_exact(template):
        return "push", None
    if not applies(template, version):
        return "skip", None
    rivals = candidates(template, version, history)
    higher = [other.precedence for other in rivals if other.precedence > version.precedence]
    return ("keep", max(higher)) if higher else ("push", None)
