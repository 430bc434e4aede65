"""Settings from options, environment, file and defaults.

Every setting has one line in `_SETTINGS`; a layer is the settings that one place gives, and a
higher layer wins: options, environment (``RELEASETAG_…``), ``releasetag.toml`` or
``[tool.releasetag]`` in ``pyproject.toml``, defaults.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from releasetag.errors import UsageError
from releasetag.history import HISTORY_MODES, HistoryMode
from releasetag.policy import TagPolicy
from releasetag.reference import Repository, parse_repository
from releasetag.template import DEFAULT_TEMPLATES, Template, parse_template
from releasetag.version import Version, parse_version, version_of

BUILDERS = ("auto", "buildkit", "classic", "buildx")  # or buildx:NAME

FILE_NAME = "releasetag.toml"
_ENVIRONMENT_PREFIX = "RELEASETAG_"

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Settings:
    """What is to be done, checked as far as it can be without git, engine and registries.

    Attributes that are ``None`` were not given and have no default.
    """

    # What and where.
    images: tuple[Repository, ...] = ()
    tags: tuple[Template, ...] = tuple(map(parse_template, DEFAULT_TEMPLATES))
    git_tag: str | None = None
    tag_prefix: str | None = None
    history: HistoryMode = "auto"
    remote: str = "origin"
    ignore: tuple[Version, ...] = ()
    # The image.
    context: Path | None = None
    from_image: str | None = None
    from_container: str | None = None
    # Building.
    file: Path | None = None
    target: str | None = None
    platforms: tuple[str, ...] = ()
    # Secrets may stand in these, against all advice: they are kept out of the text form.
    build_args: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    ssh: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    no_cache: bool = False
    pull: bool = False
    network: str | None = None
    add_hosts: tuple[str, ...] = ()
    shm_size: int | None = None  # bytes
    inline_cache: bool = False
    builder: str = "auto"
    # Publishing.
    push: bool = True
    dry_run: bool = False
    overwrite: bool = False
    allow_dirty: bool = False
    jobs: int = 4
    metadata_file: Path | None = None
    gates: tuple[str, ...] = field(default=(), repr=False)
    # What is built where no context is given.
    base: Path = Path()

    @property
    def policy(self) -> TagPolicy:
        """The tag templates, and the versions that were yanked."""
        return TagPolicy(self.tags, frozenset(self.ignore))


@dataclass(frozen=True)
class Configuration:
    """The settings of every component.

    Attributes:
        default: the settings outside any component.
        components: the settings of each ``[[components]]`` entry, in the order of the file.
    """

    default: Settings
    components: tuple[Settings, ...] = ()

    def of(self, git_tag: str) -> Settings | None:
        """The settings for a git tag: of the component whose prefix it has, else the default's.

        Returns:
            None if the git tag is no release of any component.
        """
        # The longest prefix is the closest: "api/v" before "" when both would do.
        for settings in sorted(
            self.components, key=lambda s: len(s.tag_prefix or ""), reverse=True
        ):
            if version_of(git_tag, settings.tag_prefix) is not None:
                return settings
        # Beside components, settings that name no image are only what the components share.
        counts = bool(self.default.images) or not self.components
        if counts and version_of(git_tag, self.default.tag_prefix) is not None:
            return self.default
        return None


@dataclass(frozen=True)
class _Setting:
    kind: Literal["text", "list", "lines", "map", "flag", "number", "path"]
    key: str | None  # in the file; None: not to be set there
    convert: Callable[[Any, str], Any] | None = None


def _images(values: Sequence[str], where: str) -> tuple[Repository, ...]:
    return _parsed(parse_repository, values, where)


def _templates(values: Sequence[str], where: str) -> tuple[Template, ...]:
    if not values:
        raise UsageError(f"{where}: no tag template", "give at least one, such as {version}")
    return _parsed(parse_template, values, where)


def _parsed(
    parse: Callable[[str], Parsed], values: Sequence[str], where: str
) -> tuple[Parsed, ...]:
    """What the values mean, each once; an error says where the value stands."""
    try:
        return tuple(dict.fromkeys(map(parse, values)))
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", error.hint) from None


def _versions(values: Sequence[str], where: str) -> tuple[Version, ...]:
    return tuple(_version(value, where) for value in values)


def _version(value: str, where: str) -> Version:
    version = parse_version(value.removeprefix("v"))
    if version is None:
        raise UsageError(
            f"{where}: {value!r} is not a semantic version", "write it as in 1.2.3 or 2.0.0-rc.1"
        )
    return version


def _choice(choices: Sequence[str]) -> Callable[[str, str], str]:
    def convert(value: str, where: str) -> str:
        if value in choices:
            return value
        raise UsageError(
            f"{where}: {value!r} is not possible", f"choose one of {', '.join(choices)}"
        )

    return convert


def _builder(value: str, where: str) -> str:
    return value if value.startswith("buildx:") else _choice(BUILDERS)(value, where)


def _platforms(values: Sequence[str], where: str) -> tuple[str, ...]:
    for value in values:
        if not re.fullmatch(r"[a-z0-9]+/[a-z0-9_]+(?:/[a-z0-9.]+)?", value, re.ASCII):
            raise UsageError(
                f"{where}: {value!r} is not a platform",
                "write it as in linux/amd64 or linux/arm/v7",
            )
    return tuple(dict.fromkeys(values))


def _size(value: str, where: str) -> int:
    """Bytes, as `docker build --shm-size` takes them: ``64m``, ``1g``."""
    match = re.fullmatch(r"([0-9]{1,15})([bkmg]?)b?", value.lower(), re.ASCII)
    if match is None:
        raise UsageError(f"{where}: {value!r} is not a size", "write it as in 64m or 1g")
    return int(match[1]) << 10 * "bkmg".index(match[2] or "b")


def _positive(value: int, where: str) -> int:
    if value < 1:
        raise UsageError(f"{where}: {value} is not possible", "give a number from 1 up")
    return value


_SETTINGS: Mapping[str, _Setting] = {
    "images": _Setting("list", "images", _images),
    "tags": _Setting("list", "tags", _templates),
    "git_tag": _Setting("text", None),
    "tag_prefix": _Setting("text", "tag-prefix"),
    "history": _Setting("text", "history", _choice(HISTORY_MODES)),
    "remote": _Setting("text", "remote"),
    "ignore": _Setting("list", "ignore", _versions),
    "context": _Setting("path", "build.context"),
    "from_image": _Setting("text", None),
    "from_container": _Setting("text", None),
    "file": _Setting("path", "build.file"),
    "target": _Setting("text", "build.target"),
    "platforms": _Setting("list", "build.platforms", _platforms),
    "build_args": _Setting("map", "build.args"),
    "labels": _Setting("map", "build.labels"),
    "secrets": _Setting("lines", "build.secrets"),
    "ssh": _Setting("lines", "build.ssh"),
    "cache_from": _Setting("lines", "build.cache-from"),
    "no_cache": _Setting("flag", "build.no-cache"),
    "pull": _Setting("flag", "build.pull"),
    "network": _Setting("text", "build.network"),
    "add_hosts": _Setting("lines", "build.add-hosts"),
    "shm_size": _Setting("text", "build.shm-size", _size),
    "inline_cache": _Setting("flag", "build.inline-cache"),
    "builder": _Setting("text", "build.builder", _builder),
    "push": _Setting("flag", None),
    "dry_run": _Setting("flag", None),
    "overwrite": _Setting("flag", None),
    "allow_dirty": _Setting("flag", None),
    "jobs": _Setting("number", "jobs", _positive),
    "metadata_file": _Setting("path", None),
    "gates": _Setting("lines", "gates"),
}

_Layer = dict[str, Any]


def load(
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    base: Path,
    root: Path,
    cwd: Path | None = None,
) -> Configuration:
    """Settings from all layers.

    Args:
        options: what the command line gave, by the setting's name; None where it gave nothing;
            ``config`` names the file.
        environ: the environment.
        base: the directory that is built where no context is given, and in which a file is
            looked for first.
        root: the work tree's top level, in which a file is looked for second.
        cwd: the directory in which relative paths of options and environment begin; None means
            `base`.

    Raises:
        UsageError: a value that cannot be, naming the option, variable, or file and key.
    """
    cwd = cwd or base
    _refuse_misspelt(environ)
    given = {k: v for k, v in options.items() if v not in (None, [])}
    config = given.pop("config", None) or environ.get(f"{_ENVIRONMENT_PREFIX}CONFIG") or None
    file_layer, components = _file_layers(Path(config) if config else None, cwd, base, root)
    upper = [_environment_layer(environ, cwd), _option_layer(given, cwd)]
    default = _settings([file_layer, *upper], base)
    if any("tag_prefix" in layer for layer in upper):
        # A prefix from above the file does not rename the components: it chooses one.
        components = [c for c in components if c["tag_prefix"] == default.tag_prefix]
    return Configuration(
        default,
        tuple(_settings([file_layer, component, *upper], base) for component in components),
    )


def _settings(layers: Sequence[_Layer], base: Path) -> Settings:
    merged: _Layer = {}
    for layer in layers:  # the lowest first
        for name, value in layer.items():
            if _SETTINGS[name].kind == "map":
                merged[name] = {**merged.get(name, {}), **value}
            else:
                merged[name] = value
    return replace(Settings(base=base), **merged)


def _convert(name: str, value: Any, where: str) -> Any:
    convert = _SETTINGS[name].convert
    if convert is not None:
        return convert(value, where)
    return tuple(value) if isinstance(value, list) else value


# Options ------------------------------------------------------------------------------------------


def option_name(name: str) -> str:
    """The command line's option for a setting, for messages."""
    singular = {
        "images": "image",
        "tags": "tag",
        "platforms": "platform",
        "build_args": "build-arg",
    }
    singular |= {"labels": "label", "secrets": "secret", "gates": "gate", "add_hosts": "add-host"}
    return "--" + singular.get(name, name).replace("_", "-")


def _option_layer(options: Mapping[str, Any], cwd: Path) -> _Layer:
    layer: _Layer = {}
    for name, value in options.items():
        where = option_name(name)
        kind = _SETTINGS[name].kind
        if kind == "map":
            value = _pairs(value, where)
        elif kind == "path":
            value = _path(name, value, cwd)
        elif kind == "number":
            value = _from_text(name, str(value), where, cwd)
        elif kind == "list" and name == "platforms":
            value = [part for item in value for part in _split(item)]
        layer[name] = _convert(name, value, where)
    return layer


# Environment --------------------------------------------------------------------------------------


def _environment_layer(environ: Mapping[str, str], cwd: Path) -> _Layer:
    layer: _Layer = {}
    for name in _SETTINGS:
        variable = _ENVIRONMENT_PREFIX + name.upper()
        # A step of GitHub Actions passes an input that was not given as an empty string.
        if text := environ.get(variable, "").strip():
            layer[name] = _convert(name, _from_text(name, text, variable, cwd), variable)
    return layer


def _refuse_misspelt(environ: Mapping[str, str]) -> None:
    """Raise UsageError for a variable that is nearly a setting's, such as RELEASETAG_GATE.

    Others may be the user's own, or a gate's.
    """
    settings = [*(name.upper() for name in _SETTINGS), "CONFIG"]
    joined = {name.replace("_", ""): name for name in settings}
    for variable, value in environ.items():
        name = variable.removeprefix(_ENVIRONMENT_PREFIX)
        if name == variable or name in settings or not value.strip():
            continue
        bare = name.removeprefix("NO_").replace("_", "")
        near = [joined[key] for key in (bare, f"{bare}S") if key in joined]
        near += difflib.get_close_matches(name, settings, n=1, cutoff=0.85)
        if near:
            raise UsageError(
                f"{variable} is no setting",
                f"did you mean {_ENVIRONMENT_PREFIX}{near[0]}? Unset it, if it is not for this",
            )


def _from_text(name: str, text: str, where: str, cwd: Path) -> Any:
    match _SETTINGS[name].kind:
        case "list":
            return _split(text)
        case "lines":
            return [line.strip() for line in text.splitlines() if line.strip()]
        case "map":
            return _pairs([line.strip() for line in text.splitlines() if line.strip()], where)
        case "flag":
            return _flag(text, where)
        case "number":
            if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII):
                raise UsageError(f"{where}: {text!r} is not a number", "give a whole number")
            return int(text)
        case "path":
            return _path(name, text, cwd)
        case _:
            return text


def _path(name: str, text: str, cwd: Path) -> Path:
    """As `docker build` has it, a Dockerfile is named from where one is, or from the context."""
    path = cwd / text
    # Unlike Path.exists, this raises nothing; whoever opens the file says what is wrong.
    return Path(text) if name == "file" and not os.path.exists(path) else path  # noqa: PTH110


def _split(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]


def _flag(text: str, where: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in known:
        raise UsageError(f"{where}: {text!r} is neither true nor false", "write true or false")
    return known[text.lower()]


def _pairs(items: Sequence[str], where: str) -> dict[str, str | None]:
    """``K=V`` items; ``K`` alone stands for the value that the environment has."""
    pairs: dict[str, str | None] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not name:
            raise UsageError(f"{where}: a name is missing before '='", "write it as in NAME=value")
        pairs[name] = value if equals else None
    return pairs


# File ---------------------------------------------------------------------------------------------


def _file_layers(
    named: Path | None, cwd: Path, base: Path, root: Path
) -> tuple[_Layer, list[_Layer]]:
    found = _find_file(named, cwd, base, root)
    if found is None:
        return {}, []
    path, where, table = found
    entries = table.pop("components", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{where}: components is not a list of tables", "write [[components]]")
    components = []
    for number, entry in enumerate(entries, 1):
        name = entry.pop("name", None)
        place = f"{where}: component {name or number}"
        if name is not None and not isinstance(name, str):
            raise UsageError(f"{place}: name is not a text", "put the value in quotes")
        if not isinstance(entry.get("tag-prefix"), str):
            raise UsageError(
                f"{place} has no tag-prefix", 'give it one, as in tag-prefix = "api/v"'
            )
        for key in ("history", "remote"):
            if key in entry:
                raise UsageError(
                    f"{place}: {key} is one for all components",
                    f"write {key} above the components",
                )
        components.append(_file_layer(entry, place, path.parent, more={"name"}))
    return _file_layer(table, where, path.parent, more={"components"}), components


def _find_file(
    named: Path | None, cwd: Path, base: Path, root: Path
) -> tuple[Path, str, dict[str, Any]] | None:
    if named is not None:
        path = cwd / named
        table = _read(path)
        if table is None:
            raise UsageError(
                f"there is no configuration file {named}",
                "name one that exists with --config, or leave it out",
            )
        if path.name == "pyproject.toml":
            table = _tool_table(table)
        return path, str(named), table or {}
    for directory in dict.fromkeys([base.resolve(), root.resolve()]):
        path = directory / FILE_NAME
        if (table := _read(path)) is not None:
            return path, FILE_NAME, table
        path = directory / "pyproject.toml"
        if (table := _read(path)) is not None and (tool := _tool_table(table)) is not None:
            return path, "pyproject.toml [tool.releasetag]", tool
    return None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError:
        raise UsageError(f"{path.name} is not UTF-8 text", "save it as UTF-8") from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", "make it a readable file"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path.name} is not TOML: {error}", "see https://toml.io") from None


def _tool_table(table: Mapping[str, Any]) -> dict[str, Any] | None:
    tool = table.get("tool")
    own = tool.get("releasetag") if isinstance(tool, dict) else None
    return own if isinstance(own, dict) else None


def _file_layer(table: Mapping[str, Any], where: str, directory: Path, more: set[str]) -> _Layer:
    by_key = {setting.key: name for name, setting in _SETTINGS.items() if setting.key}
    layer: _Layer = {}
    for key, value in _flatten(table, by_key):
        name = by_key.get(key)
        if name is None:
            near = difflib.get_close_matches(key, [*by_key, *more], n=1)
            raise UsageError(
                f"{where}: unknown key {key!r}",
                f"did you mean {near[0]!r}?" if near else f"the keys are: {', '.join(by_key)}",
            )
        place = f"{where}: {key}"
        plain = _from_toml(_SETTINGS[name], value, place)
        if name == "context":
            plain = directory / plain
        elif name == "file":
            plain = Path(plain)
        layer[name] = _convert(name, plain, place)
    return layer


def _flatten(
    table: Mapping[str, Any], known: Mapping[str, str], prefix: str = ""
) -> list[tuple[str, Any]]:
    """``build = {context = "."}`` gives ``build.context``; a known table is a value."""
    items: list[tuple[str, Any]] = []
    for key, value in table.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and path not in known and not prefix:
            items += _flatten(value, known, f"{path}.") or [(path, value)] * (path != "build")
        else:
            items.append((path, value))
    return items


def _from_toml(setting: _Setting, value: Any, where: str) -> Any:
    def wrong(what: str, example: str) -> UsageError:
        return UsageError(f"{where} is not {what}", f"write it as in {example}")

    match setting.kind:
        case "list" | "lines":
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise wrong("a list of texts", '["…", "…"]')
        case "map":
            if not isinstance(value, dict):
                raise wrong("a table", '{ NAME = "value" }')
            if not all(isinstance(item, str | int) for item in value.values()):
                raise wrong("a table of texts", '{ NAME = "value" }')
            return {k: _argument(v) for k, v in value.items()}
        case "flag":
            if not isinstance(value, bool):
                raise wrong("true or false", "true")
        case "number":
            if not isinstance(value, int) or isinstance(value, bool):
                raise wrong("a number", "4")
        case _:
            if not isinstance(value, str):
                raise wrong("a text", '"…"')
    return value


def _argument(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
