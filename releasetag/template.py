"""Tag templates: fields, kind, and the tag of a version. Pure.

Docker's tag grammar has no braces, so a brace can only be part of a field and needs no escape.
"""

import difflib
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from releasetag.errors import UsageError
from releasetag.reference import is_tag
from releasetag.version import Release, Scheme, Snapshot, Version, channel, docker_text

DEFAULT_TEMPLATES = ("{version}", "{major}.{minor}", "latest")

_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIERS = r"[0-9A-Za-z.-]*"

_VERSIONS: dict[Scheme, str] = {
    "semver": rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-[0-9A-Za-z.-]+)?(?:_[0-9A-Za-z.-]+)?",
    "pep440": rf"(?:{_NUMBER}-)?{_NUMBER}(?:\.{_NUMBER})*(?:(?:a|b|rc){_NUMBER})?"
    rf"(?:\.post{_NUMBER})?(?:\.dev{_NUMBER})?(?:_[0-9a-z.]+)?",
    "loose": r"[0-9]+(?:\.[0-9]+){0,3}(?:-[0-9]+)?",
}
"""What ``{version}`` may be rendered to."""

_FIELD_PATTERNS = {
    "version": "",
    "git_tag": "",
    "major": _NUMBER,
    "minor": _NUMBER,
    "patch": _NUMBER,
    "prerelease": _IDENTIFIERS,
    "build": _IDENTIFIERS,
    "channel": "[A-Za-z]*",
    "sha": "(?:[0-9a-f]{40}|[0-9a-f]{64})",
    "short_sha": "[0-9a-f]{7}",
}
"""What each field may be rendered to; empty: see `_field_patterns`."""

FIELDS = tuple(_FIELD_PATTERNS)

Kind = Literal["exact", "commit", "floating"]

Follows = Literal["stable", "prerelease", "any"]
FOLLOWS: tuple[Follows, ...] = ("stable", "prerelease", "any")
"""Which versions move a floating tag."""

# Fields that name one version for ever.
_VERSION_FIELDS = frozenset({"version", "git_tag"})
_NUMBER_FIELDS = ("major", "minor", "patch")
OPTIONAL_FIELDS = frozenset({"prerelease", "build", "channel"})
"""Fields that a version may lack, so that a template with them may have nothing to render."""

_FIELD = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Template:
    """A tag template.

    Attributes:
        text: as it was written: ``{major}.{minor}``.
        fields: the names of the fields that it holds.
        follows: which versions move its floating tags; with ``channel``, prereleases of that.
    """

    text: str
    fields: frozenset[str]
    follows: Follows = "stable"

    @cached_property
    def kind(self) -> Kind:
        """Whether its tags name one version for ever, one commit, or what is highest."""
        if self.fields & _VERSION_FIELDS or {"major", "minor", "patch"} <= self.fields:
            return "exact"
        return "commit" if self.fields & {"sha", "short_sha"} else "floating"

    def skip_reason(self, version: Version) -> str:
        """Explain to a person why this version has no such tag; empty if it has one."""
        if self.kind == "commit":
            return ""
        if lacking := self._lacking(version):
            return f"{version} has no {lacking} number"
        if self.kind == "floating":
            return self._why_not_moved(version)
        # {major}.{minor}.{patch} of 1.2.3-rc.1 is the name of another version.
        if self.fields & _VERSION_FIELDS or version.is_its_numbers:
            return ""
        return f"{'a prerelease' if version.prerelease else version} is not what its numbers name"

    def _lacking(self, version: Version) -> str:
        """Return the first number that the template holds and the version lacks."""
        lacking = _NUMBER_FIELDS[len(version.numbers) :]
        return next((field for field in lacking if field in self.fields), "") if lacking else ""

    def _why_not_moved(self, version: Version) -> str:
        if "channel" in self.fields:
            if not version.prerelease:
                return "a stable release has no channel"
            return "" if channel(version) else f"{version.prerelease} names no channel"
        if version.prerelease and self.follows == "stable":
            return "a prerelease does not move it"
        if not version.prerelease and self.follows == "prerelease":
            return "a stable release does not move it"
        if "major" in self.fields and "minor" not in self.fields and not int(version.major):
            return "0.x releases promise no compatibility"
        return ""

    def render(self, version: Version, revision: str, git_tag: str = "") -> str | None:
        """Return the tag of a version that was built from a revision.

        Args:
            git_tag: the git tag of the version; only exact templates hold it.

        Returns:
            None if the version lacks a field without which no tag is left.

        Raises:
            UsageError: no Docker tag can have that name.
        """
        if self._lacking(version):
            return None
        values = _values(version, revision, git_tag)
        name = _FIELD.sub(lambda field: values[field[1]], self.text)
        if is_tag(name):
            return name
        if any(not values[field] for field in self.fields & OPTIONAL_FIELDS):
            return None
        if len(name) > 128:
            raise UsageError(
                f"the tag {name[:40]!r}… from template {self.text!r} is {len(name)} characters"
                " long",
                "a tag holds at most 128 characters: shorten the template or the version",
            )
        raise UsageError(
            f"the tag {name!r} from template {self.text!r} is not possible",
            "a tag is letters, digits, '_', '.' and '-', and does not begin with '.' or '-'",
        )

    def may_render(self, name: str, scheme: Scheme = "semver", prefix: str | None = None) -> bool:
        """Whether some version of a scheme and some revision could have this tag.

        Args:
            prefix: what stands before the version in git tags; None is an optional ``v``.
        """
        key = scheme, prefix
        if key not in self._patterns:
            self._patterns[key] = _pattern(self.text, *key)
        return self._patterns[key].fullmatch(name) is not None

    @cached_property
    def _patterns(self) -> dict[tuple[Scheme, str | None], re.Pattern[str]]:
        return {}


def _pattern(text: str, scheme: Scheme, prefix: str | None) -> re.Pattern[str]:
    patterns = _field_patterns(scheme, prefix)
    pattern = ""
    groups: set[str] = set()
    for index, part in enumerate(_FIELD.split(text)):
        if index % 2 == 0:  # literal text stands between the fields
            pattern += re.escape(part)
        elif part in groups:
            pattern += f"(?P={part})"
        else:
            groups.add(part)
            pattern += f"(?P<{part}>{patterns[part]})"
    return re.compile(pattern, re.ASCII)


def _field_patterns(scheme: Scheme, prefix: str | None) -> dict[str, str]:
    version = _VERSIONS[scheme]
    if scheme == "semver":
        return {**_FIELD_PATTERNS, "version": version, "git_tag": rf"[0-9A-Za-z_.-]*{version}"}
    # Almost any name ends with a number: here the prefix tells a version.
    before = "v?" if prefix is None else re.escape(docker_text(prefix))
    if scheme == "pep440":  # which is normalized in {version} alone
        return {**_FIELD_PATTERNS, "version": version, "git_tag": rf"{before}[0-9][0-9A-Za-z_.-]*"}
    numbers = dict.fromkeys(_NUMBER_FIELDS, "[0-9]+")
    return {**_FIELD_PATTERNS, **numbers, "version": version, "git_tag": before + version}


def parse_template(text: str, follows: str = "") -> Template:
    """Parse a tag template.

    Args:
        follows: which versions move a floating tag; empty is the default.

    Raises:
        UsageError: an unknown field, a brace out of place, literal text that no tag can hold, or
            a tag that cannot follow those versions.
    """
    fields = _FIELD.findall(text)
    for field in fields:
        if field not in FIELDS:
            near = difflib.get_close_matches(field, FIELDS, n=1)
            known = ", ".join(FIELDS)
            raise UsageError(
                f"unknown field {{{field}}} in the tag template {text!r}",
                f"did you mean {{{near[0]}}}?" if near else f"the fields are: {known}",
            )
    # Fields may render to any tag text, so a letter in their place shows whether the rest can be.
    literal = _FIELD.sub("x", text)
    if "{" in literal or "}" in literal:
        raise UsageError(
            f"unbalanced brace in the tag template {text!r}",
            "write fields as in {major}.{minor}",
        )
    if not is_tag(literal):
        raise UsageError(
            f"the tag template {text!r} cannot give a tag",
            "a tag is letters, digits, '_', '.' and '-', begins with neither '.' nor '-',"
            " and holds at most 128 characters",
        )
    template = Template(text, frozenset(fields))
    return replace(template, follows=_parse_follows(template, follows)) if follows else template


def _parse_follows(template: Template, text: str) -> Follows:
    for follows in FOLLOWS:
        if text == follows:
            break
    else:
        raise UsageError(
            f"{text!r} is not what a tag can follow", f"choose one of {', '.join(FOLLOWS)}"
        )
    if template.kind != "floating":
        named = "a version" if template.kind == "exact" else "a commit"
        raise UsageError(
            f"the tag template {template.text!r} names {named} and follows nothing",
            "omit follows; a floating tag such as latest can have it",
        )
    if "channel" in template.fields:
        raise UsageError(
            f"the tag template {template.text!r} follows the prereleases of its channel",
            "omit follows, or name the tag without {channel}",
        )
    return follows


def with_suffix(template: Template, suffix: str, latest: str = "") -> Template:
    """Return the template of a variant's tag: ``1.2-alpine`` for ``1.2``.

    Docker's official images have the bare name, ``alpine``, where ``latest`` would be.

    Args:
        suffix: of the variant's tags: ``-alpine``; empty: they have none.
        latest: in place of the bare name.

    Raises:
        UsageError: no tag can have that name.
    """
    bare = latest or suffix.lstrip("-._") or "latest"
    text = bare if template.text == "latest" else template.text + suffix
    return replace(parse_template(text), follows=template.follows)


def expand(text: str, subject: Release | Snapshot, created: str) -> str:
    """Replace the fields of a text that is no tag: a label, a build argument.

    Braces around what is no field stay. What a snapshot lacks, such as ``{major}``, is empty.

    Args:
        created: the value of ``{created}``.
    """
    revision = subject.revision
    if isinstance(subject, Snapshot):
        values = {**dict.fromkeys(FIELDS, ""), "sha": revision, "short_sha": revision[:7]}
    else:
        values = {**_values(subject.version, revision, ""), "git_tag": subject.git_tag}
    values |= {"version": str(subject.version), "created": created}
    return _FIELD.sub(lambda field: values.get(field[1], field[0]), text)


def expand_platform(text: str, platform: str) -> str:
    """Replace ``{os}``, ``{arch}`` and ``{variant}``, which is empty where there is none.

    Args:
        platform: ``linux/arm64``, ``linux/arm/v7``.
    """
    os, arch, variant = [*platform.split("/"), ""][:3]
    values = {"os": os, "arch": arch, "variant": variant}
    return _FIELD.sub(lambda field: values.get(field[1], field[0]), text)


def _values(version: Version, revision: str, git_tag: str) -> dict[str, str]:
    return {
        "version": docker_text(version.text),
        "git_tag": docker_text(git_tag),
        "major": version.major,
        "minor": version.minor,
        "patch": version.patch,
        "prerelease": version.prerelease,
        "build": version.build,
        "channel": channel(version),
        "sha": revision,
        "short_sha": revision[:7],
    }
