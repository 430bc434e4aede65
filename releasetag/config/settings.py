"""Settings: the values that the rest of the program reads."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from releasetag.build_inputs import BuildSettings
from releasetag.errors import UsageError
from releasetag.history import GitTags, HistoryMode
from releasetag.policy import TagPolicy
from releasetag.reference import Repository
from releasetag.template import DEFAULT_TEMPLATES, Template, expand_platform, parse_template
from releasetag.version import Releases, Scheme, Version, parse_version, version_of

CACHES = ("gha", "registry", "off")
BUILDERS = ("auto", "buildkit", "classic", "buildx")  # or buildx:NAME


@dataclass(frozen=True)
class Settings(BuildSettings):
    """The settings of one component, valid as far as git, engine and registries need not be asked.

    Every field but the last four has a row in `schema.SETTINGS`. None: not given, and no default.

    Attributes:
        variants: the names of those to publish; empty: all.
        base: the build context where `context` is not given.
        variant: the name of the variant that these are the settings of; empty: of none.
        suffixes: of the variant's tags.
        by_variant: the settings of each ``[[variants]]`` entry, the default variant's first.
        by_platform: the settings of each ``[build.platform.…]`` table; see `on_platform`.
    """

    # What and where.
    variants: tuple[str, ...] = ()
    images: tuple[Repository, ...] = ()
    tags: tuple[Template, ...] = tuple(map(parse_template, DEFAULT_TEMPLATES))
    git_tag: str | None = None
    tag_prefix: str | None = None
    versions: Scheme = "semver"
    history: HistoryMode = "auto"
    remote: str = "origin"
    ignore: tuple[Version, ...] = ()
    insecure_registries: tuple[str, ...] = ()  # host, host:port or CIDR
    config: Path | None = None
    # The image.
    context: Path | None = None
    from_image: str | None = None
    from_container: str | None = None
    from_snapshot: bool = False
    from_version: Version | None = None
    # Building; see also BuildSettings.
    file: Path | None = None
    # Secrets may be in these, against all advice: they are kept out of repr().
    build_args: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    builder: str = "auto"
    # Publishing.
    part: str | None = None
    push: bool = True
    dry_run: bool = False
    overwrite: bool = False
    allow_dirty: bool = False
    jobs: int = 4
    metadata_file: Path | None = None
    gates: tuple[str, ...] = field(default=(), repr=False)
    edge: str = "edge"
    base: Path = Path()
    variant: str = ""
    suffixes: tuple[str, ...] = ("",)
    by_variant: "tuple[Settings, ...]" = ()
    by_platform: "Mapping[str, Settings]" = field(default_factory=dict, repr=False)

    def other_variants(self, variant: "Settings") -> "tuple[Settings, ...]":
        """Return the settings of the variants beside one, picked or not, that have an image."""
        others = (each for each in self.by_variant if each.variant != variant.variant)
        return tuple(each for each in others if each.images)

    @property
    def all_images(self) -> tuple[Repository, ...]:
        """The repositories of all variants; the component's own if it has none."""
        found = [image for each in self.by_variant or (self,) for image in each.images]
        return tuple(dict.fromkeys(found))

    @property
    def platforms_here(self) -> tuple[str, ...]:
        """The platforms that this run builds for: all, or its part."""
        return tuple(each for each in self.platforms if self.part in {None, each})

    def on_platform(self, platform: str) -> "Settings":
        """Return the settings of a platform's build: its own context, Dockerfile and arguments."""
        own = self.by_platform.get(platform, self)

        def expand(text: str) -> str:
            return expand_platform(text, platform)

        return replace(
            self,
            context=own.context and Path(expand(str(own.context))),
            file=own.file and Path(expand(str(own.file))),
            build_args={name: value and expand(value) for name, value in own.build_args.items()},
        )

    @property
    def platforms_differ(self) -> bool:
        """Whether a platform is built from another context, Dockerfile or arguments than others."""
        builds = [self.on_platform(each) for each in self.platforms]
        built_from = [(each.context, each.file, each.build_args) for each in builds]
        return any(each != built_from[0] for each in built_from)

    @property
    def policy(self) -> TagPolicy:
        """The tag templates, and the versions that were yanked."""
        return TagPolicy(self.tags, frozenset(self.ignore), self.tag_prefix, self.versions)

    def version_of(self, git_tag: str) -> Version | None:
        """Return the version that a git tag names; None if it is no release of the component."""
        return version_of(git_tag, self.tag_prefix, self.versions)

    def releases(self, git_tags: GitTags) -> Releases:
        """Return the releases of the component that count: yanked ones are left out."""
        return git_tags.releases(self.tag_prefix, self.versions, frozenset(self.ignore))

    def each_variant(self) -> "tuple[Settings, ...]":
        """Return the settings of each variant to publish; these alone where there are none.

        Raises:
            UsageError: a variant is picked that there is not.
        """
        known = {each.variant: each for each in self.by_variant}
        for name in self.variants:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"the variants are: {', '.join(known)}" if known else "write [[variants]]"
                raise UsageError(
                    f"there is no variant {name!r}", f"did you mean {near[0]!r}?" if near else hint
                )
        picked = [
            each for name, each in known.items() if name in self.variants or not self.variants
        ]
        return tuple(picked) or (self,)


@dataclass(frozen=True)
class Configuration:
    """The settings of every component.

    Attributes:
        default: the settings outside of any component.
        components: the settings of each ``[[components]]`` entry, in the order of the file.
    """

    default: Settings
    components: tuple[Settings, ...] = ()

    def all(self) -> tuple[Settings, ...]:
        """Return the settings outside of any component, and those of each."""
        return (self.default, *self.components)

    def of(self, git_tag: str) -> Settings | None:
        """Return the settings of the component that a git tag is a release of, or None."""
        # The longest prefix is the closest: "api/v" before "" when both would do.
        for settings in sorted(
            self.components, key=lambda s: len(s.tag_prefix or ""), reverse=True
        ):
            if settings.version_of(git_tag) is not None:
                return settings
        # Beside components, settings that name no image are only what the components share.
        counts = bool(self.default.all_images) or not self.components
        if counts and self.default.version_of(git_tag) is not None:
            return self.default
        return None

    def publishable(self) -> tuple[Settings, ...]:
        """Return the settings of all components that have an image to publish.

        Raises:
            UsageError: there is none.
        """
        found = tuple(each for each in self.all() if each.all_images)
        if not found:
            raise UsageError(
                "no image is given",
                "name one with --image, in RELEASETAG_IMAGES or as images in releasetag.toml",
            )
        return found

    def component_of(self, text: str) -> tuple[Settings, Version]:
        """Return the component and the version that a version, or a release's git tag, means.

        Raises:
            UsageError: it means none, or one in several components.
        """
        known = self.publishable()
        named = self.of(text)
        if named is not None and named in known:
            found = [(named, named.version_of(text))]
        else:
            found = [(each, parse_version(text, each.versions)) for each in known]
        meant = [(each, version) for each, version in found if version is not None]
        if not meant:
            raise UsageError(
                f"{text!r} is not a version", "name one as in 1.2.3, or a release's git tag"
            )
        if len(meant) > 1:
            names = ", ".join(f"{each.tag_prefix or ''}{version}" for each, version in meant)
            raise UsageError(
                f"{text} may be a release of several components", f"name one of {names}"
            )
        return meant[0]
