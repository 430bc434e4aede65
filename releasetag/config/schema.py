"""The table of settings, one row each.

A row makes the option with its help, the environment variable, the key of the file, the hint for a
near miss, and the entry in the reference and in the JSON Schema (see `reference`). The value is a
field of `Settings`.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeVar

from releasetag.config.settings import BUILDERS, CACHES
from releasetag.errors import UsageError
from releasetag.history import HISTORY_MODES
from releasetag.reference import TAG, is_tag, parse_repository
from releasetag.template import FIELDS, FOLLOWS, Template, parse_template
from releasetag.version import SCHEMES, Scheme, Version, parse_version

Parsed = TypeVar("Parsed")

Kind = Literal["text", "path", "dockerfile", "number", "flag", "list", "lines", "map"]
"""How a setting is written.

- ``path``: from the current directory; in the file, from the file's directory.
- ``dockerfile``: as `docker build` has it, from the current directory if there is such a file, else
  from the context; in the file, from the context.
- ``list``, ``lines``: an option that can be repeated, an array in the file, one item a line in the
  environment, where commas separate items of a ``list``, too.
- ``map``: the same as ``lines``, with ``K=V`` items, where ``K`` alone takes the environment's
  value; a table in the file.
"""

Layer = dict[str, Any]
"""What one place gives, by the name of the setting."""

VARIABLE_PREFIX = "RELEASETAG_"

SCHEMA_URL = (
    "https://raw.githubusercontent.com/releasetag/releasetag/main/"
    "releasetag/config/releasetag.schema.json"
)
"""Where the JSON Schema is published, for editors."""

# Headings in help.
SOURCE, BUILDING, PUBLISHING, OPTIONS = "What to publish", "Building", "Publishing", "Options"

_ASKING = ("verify", "history", "explain", "doctor")
_RELEASES = ("plan", "publish", "promote", *_ASKING)
_BUILD = ("publish", "snapshot")
_ALL = (*_RELEASES, "snapshot")


@dataclass(frozen=True)
class Setting:
    """A row of the table.

    Attributes:
        name: the field of `Settings`.
        option: on the command line, with ``short`` as a second name. A flag sets the opposite of
            the field's default.
        metavar: stands for the value in help; empty: the choices.
        help: for --help and the reference.
        key: in the file; empty: it cannot be set there.
        choices: the possible values; empty: any.
        parse: makes the field's value of what was read; raises UsageError.
        parse_versions: the same, given the scheme of the versions as well.
        panel: the heading that the option is listed under.
        commands: the commands that have the option.
        may_be_empty: whether an empty string is a value.
        for_all: whether it is one for all components, and no key of a component.
        item_keys: where an item of a list in the file may be a table of strings, its keys with
            their possible values (empty: any); the first one is required.
        pattern: what a text, or an item of a list, has to match for `parse`; empty: only `parse`
            knows. For editors: an expression of JavaScript and of Python.
    """

    name: str
    kind: Kind
    option: str
    metavar: str = ""
    help: str = ""
    short: str = ""
    key: str = ""
    choices: tuple[str, ...] = ()
    parse: Callable[[Any], Any] | None = None
    parse_versions: Callable[[Any, Scheme], Any] | None = None
    panel: str = OPTIONS
    commands: tuple[str, ...] = _BUILD
    may_be_empty: bool = False
    for_all: bool = False
    item_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pattern: str = ""

    @property
    def value_name(self) -> str:
        """What stands for the value in help; empty for a flag."""
        return self.metavar or "|".join(self.choices)

    @property
    def of_variant(self) -> bool:
        """Whether a variant may have its own."""
        return self.name == "images" or self.key.startswith("build.")

    @property
    def of_platform(self) -> bool:
        """Whether a platform may have its own, in ``[build.platform."linux/arm64"]``."""
        return self.name in {"context", "file", "build_args"}

    @property
    def variable(self) -> str:
        """The environment variable."""
        return VARIABLE_PREFIX + self.name.upper()

    def check_text(self, text: str, where: str, if_empty: str) -> None:
        """Refuse a string that cannot be a value, or a part of one.

        Args:
            where: what an error names: an option, a variable, or a file and key.
            if_empty: what to do if it is empty.

        Raises:
            UsageError: it is empty, or nothing that a system call or a request can hold.
        """
        if not (text.strip() or self.may_be_empty):
            raise UsageError(f"{where} is empty", if_empty)
        check_text(text, where, is_path=self.kind in {"path", "dockerfile"})

    def convert(self, value: Any, where: str) -> Any:
        """Return the field's value for what was read from a string, an option or a file.

        Of versions, what makes it of their scheme: that is known when all layers have been read.
        """
        if self.parse_versions is not None:
            return partial(self._parsed, self.parse_versions, where, value)
        if self.choices:
            self._parsed(_check_choice, where, value, self.choices)
        if self.parse is not None:
            return self._parsed(self.parse, where, value)
        return tuple(value) if isinstance(value, list) else value

    @staticmethod
    def _parsed(parse: Callable[..., Parsed], where: str, *values: Any) -> Parsed:
        try:
            return parse(*values)
        except UsageError as error:
            raise UsageError(f"{where}: {error.message}", error.hint) from None


def check_text(text: str, where: str, *, is_path: bool = False) -> None:
    """Raise UsageError for a string that no system call or request can hold."""
    if "\0" in text:
        raise UsageError(f"{where} holds a NUL character", "remove it")
    if not is_path:  # a file's name may be any bytes
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{where} is not UTF-8 text", "write it in UTF-8") from None


def _each(parse: Callable[[str], Parsed]) -> Callable[[Iterable[str]], tuple[Parsed, ...]]:
    """Parse every item; one that is given twice counts once."""
    return lambda values: tuple(dict.fromkeys(map(parse, values)))


def _templates(values: Sequence[str | Mapping[str, str]]) -> tuple[Template, ...]:
    if not values:
        raise UsageError("no tag template", "give at least one, such as {version}")
    return tuple(dict.fromkeys(map(_template, values)))


def _template(value: str | Mapping[str, str]) -> Template:
    if isinstance(value, str):
        return parse_template(value)
    if "tag" not in value or not value.keys() <= {"tag", "follows"}:
        raise UsageError(
            "a tag's table has other keys than tag and follows",
            'write it as in { tag = "beta", follows = "any" }',
        )
    return parse_template(value["tag"], value.get("follows", ""))


_VERSIONS: Mapping[Scheme, tuple[str, str]] = {
    "semver": ("a semantic version", "1.2.3 or 2.0.0-rc.1"),
    "pep440": ("a version of PEP 440", "1.2.3 or 2.0.0rc1"),
    "loose": ("a version of one to four numbers", "2024.01.05 or 1.2.3-2"),
}
"""What a version is in each scheme, and examples."""


def _versions(texts: Iterable[str], scheme: Scheme) -> tuple[Version, ...]:
    return _each(lambda text: _version(text, scheme))(texts)


def _version(text: str, scheme: Scheme) -> Version:
    version = parse_version(text.removeprefix("v"), scheme)
    if version is None:
        what, examples = _VERSIONS[scheme]
        raise UsageError(f"{text!r} is not {what}", f"write it as in {examples}")
    return version


def _tag(text: str) -> str:
    if not is_tag(text):
        raise UsageError(
            f"{text!r} is not a tag",
            "a tag is letters, digits, '_', '.' and '-', and does not begin with '.' or '-'",
        )
    return text


def _check_choice(text: str, choices: Sequence[str]) -> None:
    if text not in choices:
        raise UsageError(f"{text!r} is not possible", f"choose one of {', '.join(choices)}")


def _builder(text: str) -> str:
    if not text.startswith("buildx:"):
        _check_choice(text, BUILDERS)
    return text


_PLATFORM = "[a-z0-9]+/[a-z0-9_]+(?:/[a-z0-9.]+)?"


def _platform(text: str) -> str:
    if not re.fullmatch(_PLATFORM, text, re.ASCII):
        raise UsageError(
            f"{text!r} is not a platform", "write it as in linux/amd64 or linux/arm/v7"
        )
    return text


def _platforms(values: Iterable[str]) -> tuple[str, ...]:
    parts = [part.strip() for value in values for part in value.split(",") if part.strip()]
    return tuple(dict.fromkeys(map(_platform, parts)))


_IS_OURS = re.compile(
    r"(?:[a-z,-]+(?:\[[^]]*\])?[a-z,-]*:)?org\.opencontainers\.image\.(?:version|revision)="
)


def _annotations(values: Sequence[str]) -> tuple[str, ...]:
    for value in values:
        if not re.match(r"(?:[a-z,-]+(?:\[[^]]*\])?[a-z,-]*:)?[^=:]+=", value):
            raise UsageError(
                f"{value!r} is not an annotation", "write it as in KEY=value or index:KEY=value"
            )
    # As of labels, the release's version and commit win: an image is known by them.
    return tuple(each for each in values if not _IS_OURS.match(each))


def _size(text: str) -> int:
    """Parse bytes, as `docker build --shm-size` does: ``64m``, ``1g``."""
    match = re.fullmatch(r"([0-9]{1,15})([bkmg]?)b?", text.lower(), re.ASCII)
    if match is None:
        raise UsageError(f"{text!r} is not a size", "write it as in 64m or 1g")
    return int(match[1]) << 10 * "bkmg".index(match[2] or "b")


def _jobs(number: int) -> int:
    if not 1 <= number < 1_000_000:
        raise UsageError(f"{number} is not possible", "give a number from 1 up")
    return number


_LABEL = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::[0-9]{{1,5}})?")


def _insecure_registry(text: str) -> str:
    """Parse what an engine's ``insecure-registries`` holds: HOST, HOST:PORT or CIDR."""
    registry = text.lower()
    hint = "write it as in registry.lan:5000 or 10.0.0.0/8"
    if "/" in registry:
        try:
            return str(ipaddress.ip_network(registry, strict=False))
        except ValueError:
            raise UsageError(f"{text!r} is not a range of addresses", hint) from None
    if not _HOST.fullmatch(registry):
        raise UsageError(f"{text!r} is not the host of a registry", hint)
    return registry


_FIELD = rf"\{{({'|'.join(FIELDS)})\}}"

# fmt: off
_ROWS = (
    Setting("context", "path", "--context", "DIR", panel=SOURCE, key="build.context",
            help="Build this directory. Default: PATH."),
    Setting("from_image", "text", "--from-image", "REF", panel=SOURCE,
            commands=("publish",),
            help="Publish an image of the engine or of a registry."),
    Setting("from_container", "text", "--from-container", "NAME", panel=SOURCE,
            commands=("publish",),
            help="Publish a container, committed as docker commit does."),
    Setting("from_snapshot", "flag", "--from-snapshot", panel=SOURCE, key="from-snapshot",
            commands=("publish",),
            help="Publish the snapshot of the release's commit, and build nothing."),
    Setting("from_version", "text", "--from-version", "VERSION", panel=SOURCE,
            commands=("publish",), parse_versions=_version,
            help="Publish the image of another version of the same commit."),

    Setting("file", "dockerfile", "--file", "FILE", short="-f", panel=BUILDING, key="build.file",
            help="The Dockerfile. Default: Dockerfile in the context."),
    Setting("target", "text", "--target", "STAGE", panel=BUILDING, key="build.target",
            help="The stage to build."),
    Setting("build_args", "map", "--build-arg", "K[=V]", panel=BUILDING, key="build.args",
            help="A build argument; K alone takes the environment's value."),
    Setting("labels", "map", "--label", "K=V", panel=BUILDING, key="build.labels",
            help="A label for the image."),
    Setting("platforms", "list", "--platform", "P[,P…]", panel=BUILDING, key="build.platforms",
            commands=(*_BUILD, "doctor"),
            parse=_platforms, pattern=rf"^\s*({_PLATFORM}\s*)?(,\s*({_PLATFORM}\s*)?)*$",
            help="Platforms to build for, such as linux/arm64."),
    Setting("secrets", "lines", "--secret", "id=ID,src=FILE|env=VAR", panel=BUILDING,
            key="build.secrets",
            help="A secret for RUN --mount=type=secret."),
    Setting("ssh", "lines", "--ssh", "default|ID=SOCKET", panel=BUILDING, key="build.ssh",
            help="An SSH agent to forward."),
    Setting("cache", "text", "--cache", panel=BUILDING, key="build.cache", choices=CACHES,
            help="Keep all layers between runs, for each target and platform. Default: off."),
    Setting("cache_from", "lines", "--cache-from", "REF|type=…", panel=BUILDING,
            key="build.cache-from",
            help="An image to take cached layers from, or a cache as buildx names it."),
    Setting("cache_to", "lines", "--cache-to", "REF|type=…", panel=BUILDING, key="build.cache-to",
            help="Where buildx exports the build's cache."),
    Setting("inline_cache", "flag", "--inline-cache", panel=BUILDING, key="build.inline-cache",
            help="Make the image usable by a later --cache-from."),
    Setting("no_cache", "flag", "--no-cache", panel=BUILDING, key="build.no-cache",
            help="Build every step anew."),
    Setting("pull", "flag", "--pull", panel=BUILDING, key="build.pull",
            help="Ask for newer base images."),
    Setting("network", "text", "--network", "MODE", panel=BUILDING, key="build.network",
            help="The network of RUN steps: default, none or host."),
    Setting("add_hosts", "lines", "--add-host", "HOST:IP", panel=BUILDING, key="build.add-hosts",
            help="A host name for RUN steps."),
    Setting("shm_size", "text", "--shm-size", "SIZE", panel=BUILDING, key="build.shm-size",
            parse=_size, pattern="^[0-9]{1,15}[bkmgBKMG]?[bB]?$",
            help="The size of /dev/shm in RUN steps, such as 64m."),
    Setting("provenance", "text", "--provenance", "true|false|mode=…", panel=BUILDING,
            key="build.provenance",
            help="The provenance attestation, as buildx has it."),
    Setting("sbom", "text", "--sbom", "true|false|generator=…", panel=BUILDING, key="build.sbom",
            help="The attestation of the image's contents, as buildx has it."),
    Setting("attests", "lines", "--attest", "type=…", panel=BUILDING, key="build.attest",
            help="An attestation, as buildx has it."),
    Setting("annotations", "lines", "--annotation", "[LEVEL:]K=V", panel=BUILDING,
            key="build.annotations", parse=_annotations,
            help="An annotation of the image, as buildx has it."),
    Setting("build_contexts", "lines", "--build-context", "NAME=…", panel=BUILDING,
            key="build.build-contexts",
            help="A named context for FROM and COPY --from, as buildx has it."),
    Setting("ulimits", "lines", "--ulimit", "NAME=SOFT[:HARD]", panel=BUILDING,
            key="build.ulimits",
            help="A limit for RUN steps, as buildx has it."),
    Setting("cgroup_parent", "text", "--cgroup-parent", "CGROUP", panel=BUILDING,
            key="build.cgroup-parent",
            help="The control group of RUN steps, as buildx has it."),
    Setting("allow", "list", "--allow", "ENTITLEMENT", panel=BUILDING, key="build.allow",
            help="What the build may do besides, such as network.host, as buildx has it."),
    Setting("builder", "text", "--builder", "BUILDER", panel=BUILDING, key="build.builder",
            commands=(*_BUILD, "doctor"),
            parse=_builder, pattern=f"^({'|'.join(BUILDERS)})$|^buildx:",
            help="auto, buildkit, classic or buildx[:NAME]. Default: auto."),

    Setting("part", "text", "--part", "PLATFORM", panel=PUBLISHING, parse=_platform,
            help="Build this one of the platforms; whoever is last publishes all of them."),
    Setting("push", "flag", "--no-push", panel=PUBLISHING,
            help="Build and tag in the engine only."),
    Setting("dry_run", "flag", "--dry-run", panel=PUBLISHING, commands=(*_BUILD, "promote"),
            help="Check everything, change nothing."),
    Setting("overwrite", "flag", "--overwrite", panel=PUBLISHING,
            help="Replace an exact tag, or a snapshot of the commit, that is published."),
    Setting("allow_dirty", "flag", "--allow-dirty", panel=PUBLISHING,
            help="Build though tracked files are changed."),
    Setting("jobs", "number", "--jobs", "N", panel=PUBLISHING, key="jobs",
            parse=_jobs,
            help="How many repositories at a time. Default: 4."),
    Setting("metadata_file", "path", "--metadata-file", "FILE", panel=PUBLISHING,
            help="Write what --json prints to a file."),
    Setting("gates", "lines", "--gate", "COMMAND", panel=PUBLISHING, key="gates",
            commands=("publish", "promote"),
            help="Run before floating tags move; failing stops them. Repeatable."),

    Setting("edge", "text", "--edge", "TAG", panel=PUBLISHING, key="edge", commands=("snapshot",),
            parse=_tag, pattern=f"^{TAG}$",
            help="The tag of the default branch. Default: edge."),

    Setting("images", "list", "--image", "REPOSITORY", short="-i", key="images", commands=_ALL,
            parse=_each(parse_repository),
            help="A repository to publish to; may be repeated."),
    Setting("tags", "list", "--tag", "TEMPLATE", short="-t", key="tags",
            commands=("plan", "publish", *_ASKING),
            parse=_templates, item_keys={"tag": (), "follows": FOLLOWS},
            pattern=rf"^([A-Za-z0-9_]|{_FIELD})([A-Za-z0-9._-]|{_FIELD})*$",
            help="A tag template; may be repeated. Default: {version}, {major}.{minor}, latest."),
    Setting("variants", "list", "--variant", "NAME", commands=_ALL, parse=_each(str),
            help="Only this one of the [[variants]]; may be repeated. Default: all."),
    Setting("git_tag", "text", "--git-tag", "NAME", commands=_RELEASES,
            help="The release. Default: the CI run's, or the highest at HEAD."),
    Setting("tag_prefix", "text", "--tag-prefix", "PREFIX", key="tag-prefix", commands=_ALL,
            may_be_empty=True,
            help="Precedes the version in git tags. Default: an optional v."),
    Setting("versions", "text", "--versions", key="versions", commands=_ALL, choices=SCHEMES,
            help="What is a version. Default: semver."),
    Setting("history", "text", "--history", key="history", commands=_ALL, for_all=True,
            choices=HISTORY_MODES,
            help="Whose git tags count. Default: auto, the remote's too if there is one."),
    Setting("remote", "text", "--remote", "NAME", key="remote", commands=_ALL, for_all=True,
            help="The git remote to ask. Default: origin."),
    Setting("ignore", "list", "--ignore", "VERSION", key="ignore", commands=_RELEASES,
            parse_versions=_versions,
            help="A yanked version, which holds no tag; may be repeated."),
    Setting("insecure_registries", "list", "--insecure-registry", "HOST",
            key="insecure-registries", commands=(*_BUILD, "promote", *_ASKING),
            parse=_each(_insecure_registry),
            help="A registry without TLS, or a range of them as CIDR; may be repeated."),
    Setting("config", "path", "--config", "FILE", commands=_ALL,
            help="Configuration in place of releasetag.toml."),
)
# fmt: on

SETTINGS: Mapping[str, Setting] = {row.name: row for row in _ROWS}
"""The rows by name, in the order in which help lists them."""
