"""Tag templates: fields, kind, scope. Pure.

Docker's tag grammar has no braces, so a brace can only be part of a field and needs no escape.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from releasetag.errors import UsageError
from releasetag.reference import is_tag
from releasetag.version import Release, Version, channel, docker_text

DEFAULT_TEMPLATES = ("{version}", "{major}.{minor}", "latest")
FIELDS = (
    "version",
    "major",
    "minor",
    "patch",
    "prerelease",
    "build",
    "channel",
    "sha",
    "short_sha",
)

Kind = Literal["exact", "floating"]

_EXACT_FIELDS = frozenset({"version", "patch", "sha", "short_sha"})
# Fields that a version may lack, so that a template with them may have nothing to render.
_OPTIONAL_FIELDS = frozenset({"prerelease", "build", "channel"})
_FIELD = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Template:
    """A tag template.

    Attributes:
        text: as it was written: ``{major}.{minor}``.
        fields: the names of the fields that it holds.
    """

    text: str
    fields: frozenset[str]

    @property
    def kind(self) -> Kind:
        """``exact`` if it names one version for ever, else ``floating``."""
        return "exact" if self.fields & _EXACT_FIELDS else "floating"

    def render(self, release: Release) -> str | None:
        """The tag's name for a release.

        Returns:
            None if the release lacks a field without which no tag is left.

        Raises:
            UsageError: no Docker tag can be named so.
        """
        values = _values(release.version, release.revision)
        name = _FIELD.sub(lambda field: values[field[1]], self.text)
        if is_tag(name):
            return name
        if any(not values[field] for field in self.fields & _OPTIONAL_FIELDS):
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

    def scope(self, version: Version) -> tuple[str, ...]:
        """What the versions that this floating tag chooses from have in common with this one.

        Two versions are in the same scope if this is equal for both.
        """
        values = _values(version, "")
        return tuple(values[field] for field in sorted(self.fields))


def parse_template(text: str) -> Template:
    """The template that a text means.

    Raises:
        UsageError: an unknown field, a brace out of place, or literal text that no tag can hold.
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
            f"a brace without its partner in the tag template {text!r}",
            "write fields as in {major}.{minor}",
        )
    if not is_tag(literal):
        raise UsageError(
            f"the tag template {text!r} cannot give a tag",
            "a tag is letters, digits, '_', '.' and '-', begins with neither '.' nor '-',"
            " and holds at most 128 characters",
        )
    return Template(text, frozenset(fields))


def _values(version: Version, revision: str) -> dict[str, str]:
    return {
        "version": docker_text(version),
        "major": str(version.major),
        "minor": str(version.minor),
        "patch": str(version.patch),
        "prerelease": version.prerelease or "",
        "build": version.build or "",
        "channel": channel(version),
        "sha": revision,
        "short_sha": revision[:7],
    }
