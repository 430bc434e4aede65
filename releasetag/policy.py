"""TagPolicy: which tags a version has, and which versions count. Pure."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from releasetag.errors import UsageError
from releasetag.template import Template
from releasetag.version import Release, Scheme, Version


@dataclass(frozen=True)
class TagPolicy:
    """The tag templates of a component, and the versions that were yanked.

    Attributes:
        templates: in the order in which tags are listed.
        ignored: the yanked versions: no tag is moved to one, and none is kept for one.
        prefix: precedes the version in git tags; None is the default, an optional ``v``.
        scheme: of the versions.
    """

    templates: tuple[Template, ...]
    ignored: frozenset[Version] = frozenset()
    prefix: str | None = None
    scheme: Scheme = "semver"

    def counts(self, version: Version) -> bool:
        """Whether a version may hold a tag: it was not yanked."""
        return version not in self.ignored

    def counted(self, releases: Iterable[Release]) -> tuple[Release, ...]:
        """Return the releases that count."""
        if not self.ignored:
            return tuple(releases)
        return tuple(release for release in releases if self.counts(release.version))

    def git_tags(self, version: Version) -> tuple[str, ...]:
        """Return the names that the git tag of a version may have."""
        prefixes = ("v", "") if self.prefix is None else (self.prefix,)
        return tuple(f"{prefix}{version}" for prefix in prefixes)

    def exact_tags(self, version: Version, revision: str, git_tag: str = "") -> list[str]:
        """Return the exact tags of a version; what is impossible as a tag is left out.

        Args:
            git_tag: the version's git tag; empty if it is not known: then all that it may be count.
        """
        names: dict[str, None] = {}  # a set that keeps its order
        for template in self.templates:
            if template.kind == "exact" and not template.skip_reason(version):
                for each in (git_tag,) if git_tag else self.git_tags(version):
                    with suppress(UsageError):
                        if name := template.render(version, revision, each):
                            names[name] = None
        return list(names)

    def floating_tags(self, version: Version, revision: str) -> dict[str, Template]:
        """Return the floating tags that choose from this version, with the template of each.

        What is impossible as a tag is left out, and what could be an exact tag; see `check`.
        """
        own: Collection[str] = ()
        if self.scheme != "semver":
            own = self.exact_tags(version, revision, self.git_tags(version)[0])
        names: dict[str, Template] = {}
        skipped: set[str] = set()
        for name, template in self.render_floating(version, revision):
            if template.skip_reason(version):
                skipped.add(name)
            elif not self.is_reserved(name) and name not in own:
                names.setdefault(name, template)
        # Of two templates for one tag the more careful stands: 2.0.0-latest.1 has a channel
        # "latest", and the tag of that name follows stable releases.
        return {name: template for name, template in names.items() if name not in skipped}

    def may_be_exact(self, name: str) -> bool:
        """Whether a tag could be the exact tag of some version."""
        return any(
            t.kind == "exact" and t.may_render(name, self.scheme, self.prefix)
            for t in self.templates
        )

    def is_reserved(self, name: str) -> bool:
        """Whether a tag may not float, as it could be the exact tag of some version.

        Under SemVer alone. Where 1.2 is a version too, what counts is whether there is one: see
        `check`.
        """
        return self.scheme == "semver" and self.may_be_exact(name)

    def exact_owners(self, releases: Iterable[Release]) -> dict[str, Release]:
        """Return which release every exact tag is of."""
        return {
            name: release
            for release in releases
            for name in self.exact_tags(release.version, release.revision, release.git_tag)
        }

    def check(self, releases: Sequence[Release], history: Iterable[Release]) -> None:
        """Raise UsageError for a floating tag that is, or under SemVer could be, an exact one.

        Args:
            releases: whose floating tags are checked.
            history: all releases that count.
        """
        owners = {} if self.scheme == "semver" else self.exact_owners([*history, *releases])
        for release in releases:
            for name, template in self.render_floating(release.version, release.revision):
                owner = owners.get(name)
                if self.is_reserved(name):
                    what = "could be the exact tag of a version"
                elif owner is not None and not template.skip_reason(release.version):
                    what = f"is the exact tag of {owner.git_tag or owner.version}"
                else:
                    continue
                raise UsageError(
                    f"the floating tag {name!r} from template {template.text!r} {what}",
                    "exact tags never move: choose another name for the floating tag",
                )

    def render_floating(self, version: Version, revision: str) -> Iterator[tuple[str, Template]]:
        """Yield the tag of every floating template, whether or not it applies to the version."""
        for template in self.templates:
            if template.kind == "floating":
                with suppress(UsageError):
                    if name := template.render(version, revision):
                        yield name, template
