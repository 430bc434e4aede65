"""A second reading of the rule, to compare the program with.

Written from the text alone: precedence from Semantic Versioning 2.0.0, section 11, the order of PEP
440 from its "Summary of permitted suffixes and relative ordering", the decisions from the table of
the rule as it is written down. Nothing here is shared with the program, nor with its libraries.
"""

import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Other:
    """A version of another scheme, taken apart. What is lacking is empty."""

    text: str
    numbers: tuple[str, ...]
    order: tuple[Any, ...]
    prerelease: str = ""
    build: str = ""

    @property
    def major(self) -> int:
        return int(self.numbers[0])

    @property
    def channel(self) -> str:
        return self.prerelease.rstrip(string.digits).split(".")[0].rstrip(string.digits)

    def fields(self, sha: str) -> dict[str, str]:
        """What stands in a template for each field."""
        numbers = (*self.numbers, "", "")
        return {
            "version": self.text.replace("+", "_").replace("!", "-"),
            "major": numbers[0],
            "minor": numbers[1],
            "patch": numbers[2],
            "prerelease": self.prerelease,
            "build": self.build,
            "channel": self.channel,
            "sha": sha,
            "short_sha": sha[:7],
        }


Version = Read | Other


def read_loose(text: str) -> Other | None:
    """One to four numbers, and a rebuild."""
    front, hyphen, rebuild = text.partition("-")
    numbers = front.split(".")
    given = [*numbers, rebuild] if hyphen else numbers
    if len(numbers) > 4 or not all(each and _DIGITS.issuperset(each) for each in given):
        return None
    return Other(text, tuple(numbers), ([*map(int, numbers)], hyphen, int(rebuild or 0)))


_PEP440 = re.compile(
    r"(?:(?P<epoch>\d+)!)?(?P<numbers>\d+(?:\.\d+)*)"
    r"(?:[._-]?(?P<pre>alpha|beta|preview|pre|a|b|c|rc)[._-]?(?P<pre_n>\d*))?"
    r"(?:-(?P<implicit>\d+)|[._-]?(?P<post>post|rev|r)[._-]?(?P<post_n>\d*))?"
    r"(?:[._-]?(?P<dev>dev)[._-]?(?P<dev_n>\d*))?(?:\+(?P<local>[a-z0-9]+(?:[._-][a-z0-9]+)*))?"
)
_PHASES = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}


def read_pep440(text: str) -> Other | None:
    """A version by the grammar of PEP 440, normalized."""
    match = _PEP440.fullmatch(text.lower())
    if match is None:
        return None
    epoch, numbers = int(match["epoch"] or 0), [*map(int, match["numbers"].split("."))]
    phase = _PHASES.get(match["pre"], match["pre"]) or ""
    pre = int(match["pre_n"] or 0)
    has_post = match["implicit"] is not None or match["post"] is not None
    post = int(match["implicit"] or match["post_n"] or 0) if has_post else -1
    dev = int(match["dev_n"] or 0) if match["dev"] else None
    local = [
        str(int(each)) if each and _DIGITS.issuperset(each) else each
        for each in re.split("[._-]", match["local"] or "")
    ]
    early = [*([f"{phase}{pre}"] if phase else []), *([] if dev is None else [f"dev{dev}"])]
    written = (
        (f"{epoch}!" if epoch else "")
        + ".".join(map(str, numbers))
        + (f"{phase}{pre}" if phase else "")
        + (f".post{post}" if has_post else "")
        + ("" if dev is None else f".dev{dev}")
        + (f"+{'.'.join(local)}" if match["local"] else "")
    )
    padded = [*numbers, *[0] * (8 - len(numbers))]
    # .devN alone is before every aN, and a final release after every rcN.
    rank = {"a": 1, "b": 2, "rc": 3}.get(phase, 0 if dev is not None and not has_post else 4)
    parts = [
        (1, int(each), "") if each and _DIGITS.issuperset(each) else (0, 0, each) for each in local
    ]
    order = (
        *(epoch, padded, rank, pre, post),
        *(dev is None, dev or 0, parts if match["local"] else []),
    )
    return Other(
        written,
        tuple(map(str, numbers)),
        order,
        ".".join(early),
        ".".join(local) if match["local"] else "",
    )


def read_version(text: str, scheme: str) -> Version:
    """The version that a text is."""
    found = {"semver": read, "pep440": read_pep440, "loose": read_loose}[scheme](text)
    assert found is not None, text
    return found


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


def applies(template: str, version: Version) -> bool:
    """Whether a template has a tag for this version at all."""
    fields = fields_of(template)
    if any(not version.fields("")[field] for field in fields & {"major", "minor", "patch"}):
        return False
    if kind(template) == "commit":
        return True
    if kind(template) == "exact":
        return "version" in fields or not version.prerelease
    if "channel" in fields:
        return version.channel != ""
    if version.prerelease:
        return False
    return not ("major" in fields and "minor" not in fields and version.major == 0)


def name_of(template: str, version: Version) -> str:
    """The name of a tag that holds no commit."""
    return template.format(**version.fields("0" * 40))


def floating_names(templates: Sequence[str], version: Version) -> set[str]:
    """The floating tags that choose from a version: by name, and the more careful template wins."""
    floating = [template for template in templates if kind(template) == "floating"]
    skipped = {name_of(t, version) for t in floating if not applies(t, version)}
    return {name_of(t, version) for t in floating if applies(t, version)} - skipped


def holder(name: str, templates: Sequence[str], history: Iterable[Version]) -> Version | None:
    """The version that a floating tag names when all of the history is published."""
    chosen = [version for version in history if name in floating_names(templates, version)]
    return max(chosen, key=lambda version: version.order, default=None)


def decide(
    template: str, templates: Sequence[str], version: Version, history: Iterable[Version]
) -> tuple[str, Version | None]:
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
