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
            tuple(map(_compared, identifiers)),
        )

    @property
    def order(self) -> tuple[Precedence, bool, tuple[tuple[int, int, str], ...], str]:
        """The total order: between versions of equal precedence, build metadata decide."""
        identifiers = self.build.split(".") if self.build else []
        numbered = tuple(
            (0, int(i), "") if _DIGITS.issuperset(i) else (1, 0, i) for i in identifiers
        )
        return self.precedence, bool(identifiers), numbered, self.text

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


def _compared(identifier: str) -> tuple[int, int, str]:
    if _DIGITS.issuperset(identifier):
        return (0, int(identifier), "")
    return (1, 0, identifier)


def _is_number(text: str) -> bool:
    return text != "" and _DIGITS.issuperset(text) and (text == "0" or text[0] != "0")


def _is_identifier(text: str) -> bool:
    return text != "" and _IDENTIFIER.issuperset(text)


def fields_of(template: str) -> set[str]:
    """The fields that a template holds."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def kind(template: str) -> str:
    """Whether the tags of a template name one version for ever, a commit, or what is highest."""
    fields = fields_of(template)
    if "version" in fields or fields >= {"major", "minor", "patch"}:
        return "exact"
    return "commit" if fields & {"sha", "short_sha"} else "floating"


def applies(template: str, version: Read) -> bool:
    """Whether a template has a tag for this version at all."""
    fields = fields_of(template)
    if kind(template) == "commit":
        return True
    if kind(template) == "exact":
        return "version" in fields or not version.prerelease
    if "channel" in fields:
        return version.channel != ""
    if version.prerelease:
        return False
    return not ("major" in fields and "minor" not in fields and version.major == 0)


def name_of(template: str, version: Read) -> str:
    """The name of a tag that holds no commit."""
    return template.format(**version.fields("0" * 40))


def floating_names(templates: Sequence[str], version: Read) -> set[str]:
    """The floating tags that choose from a version: by name, and the more careful template wins."""
    floating = [template for template in templates if kind(template) == "floating"]
    skipped = {name_of(t, version) for t in floating if not applies(t, version)}
    return {name_of(t, version) for t in floating if applies(t, version)} - skipped


def holder(name: str, templates: Sequence[str], history: Iterable[Read]) -> Read | None:
    """The version that a floating tag names when all of the history is published."""
    chosen = [version for version in history if name in floating_names(templates, version)]
    return max(chosen, key=lambda version: version.order, default=None)


def decide(
    template: str, templates: Sequence[str], version: Read, history: Iterable[Read]
) -> tuple[str, Read | None]:
    """The action for a template of several, and the version that keeps the tag, if one does."""
    if not applies(template, version):
        return "skip", None
    if kind(template) != "floating":
        return "push", None
    name = name_of(template, version)
    if name not in floating_names(templates, version):
        return "skip", None  # another template for the same name is more careful
    top = holder(name, templates, history)
    return ("keep", top) if top and top.order > version.order else ("push", None)
