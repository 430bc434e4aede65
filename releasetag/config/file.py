"""The configuration file: ``releasetag.toml``, or ``[tool.releasetag]`` in ``pyproject.toml``."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from releasetag.config.schema import SETTINGS, Layer, Setting, check_text
from releasetag.errors import UsageError

FILE_NAME = "releasetag.toml"

_BY_KEY = {setting.key: setting for setting in SETTINGS.values() if setting.key}
_SCALARS: Mapping[str, tuple[Any, str, str]] = {
    "flag": (bool, "true or false", "true"),
    "number": (int, "a number", "4"),
}
_IF_EMPTY = "give it a value, or remove the line"

Table = dict[str, Any]

VARIANT_NAME = "[A-Za-z0-9][A-Za-z0-9._-]*"
VARIANT_SUFFIX = "|[._-][A-Za-z0-9][A-Za-z0-9._-]*"
VARIANT_KEYS = {
    "name": "What --variant calls it.",
    "suffix": "Of its tags. Default: - and the name; empty: they have none.",
    "latest": "Its tag in place of latest. Default: the suffix without the - in front.",
    "default": "Whether its image has the tags without suffix, too.",
}
"""The keys that a variant has besides settings, with their meaning."""

BY_PLATFORM = "by_platform"
"""In a layer: the layers of ``[build.platform.…]``, by the platform."""


@dataclass(frozen=True)
class Variant:
    """An entry of ``[[variants]]``.

    Attributes:
        suffix: of its tags: ``-alpine``.
        latest: its tag in place of ``latest``; empty: the suffix without its separator.
        is_default: whether its image has the tags without suffix, too.
        layer: the settings that it has of its own.
    """

    name: str
    suffix: str
    latest: str
    is_default: bool
    layer: Layer


@dataclass(frozen=True)
class Section:
    """The file's top level, or an entry of ``[[components]]``.

    Attributes:
        variants: the default one first.
    """

    layer: Layer
    variants: tuple[Variant, ...] = ()


def read_file(
    named: Path | None, cwd: Path, base: Path, root: Path
) -> tuple[Section, list[Section]]:
    """Read what the file gives for all components, and for each.

    Args:
        named: the file to read; None: the first one that is in `base` or `root`.
        cwd: where messages name files from.

    Raises:
        UsageError: it is not there though named, cannot be read, or holds what is not possible.
    """
    found = _find(base, root) if named is None else _named(named, cwd)
    if found is None:
        return Section({}), []
    path, where, table = found
    entries = _pop_tables(table, "components", where)
    components: dict[str, Section] = {}
    for number, entry in enumerate(entries, 1):
        place, component = _component(entry, f"{where}: component", number, path.parent)
        prefix = component.layer["tag_prefix"]
        if prefix in components:
            raise UsageError(
                f"{place} has the tag-prefix {prefix!r}, as another component has",
                "several images of one release are [[variants]] of one component",
            )
        components[prefix] = component
    top = _section(table, where, path.parent, more=["components", "variants"])
    return top, list(components.values())


def _pop_tables(table: Table, key: str, where: str) -> list[Table]:
    entries = table.pop(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{where}: {key} is not a list of tables", f"write [[{key}]]")
    return entries


def _section(table: Table, where: str, directory: Path, more: list[str]) -> Section:
    variants: dict[str, Variant] = {}
    for number, entry in enumerate(_pop_tables(table, "variants", where), 1):
        variant = _variant(entry, f"{where}: variant", number, directory)
        if variant.name in variants:
            raise UsageError(
                f"{where}: two variants have the name {variant.name!r}", "give each its own"
            )
        variants[variant.name] = variant
    default_first = sorted(variants.values(), key=lambda each: not each.is_default)
    if [each.is_default for each in default_first].count(True) > 1:
        raise UsageError(
            f"{where}: several variants are the default", "one alone has the tags without suffix"
        )
    return Section(_layer(table, where, directory, more), tuple(default_first))


def _variant(entry: Table, where: str, number: int, directory: Path) -> Variant:
    name = entry.pop("name", None)
    if not isinstance(name, str) or not re.fullmatch(VARIANT_NAME, name):
        raise UsageError(
            f"{where} {number} has no name of letters, digits, '.', '_' and '-'",
            'give it one, as in name = "alpine"',
        )
    place = f"{where} {name}"
    suffix, latest = entry.pop("suffix", f"-{name}"), entry.pop("latest", "")
    if not isinstance(suffix, str) or not re.fullmatch(VARIANT_SUFFIX, suffix):
        raise UsageError(
            f"{place}: suffix is not '-', '_' or '.' and a word",
            'write it as in suffix = "-alpine"',
        )
    if not isinstance(latest, str):
        raise _type_error(f"{place}: latest", "a string", '"…"')
    is_default = entry.pop("default", False)
    if not isinstance(is_default, bool):
        raise _type_error(f"{place}: default", "true or false", "true")
    for setting in _BY_KEY.values():
        if setting.key in entry and not setting.of_variant:
            raise UsageError(
                f"{place}: {setting.key} is one for all variants",
                f"write {setting.key} above the variants",
            )
    more = list(VARIANT_KEYS)
    return Variant(name, suffix, latest, is_default, _layer(entry, place, directory, more))


def _component(entry: Table, where: str, number: int, directory: Path) -> tuple[str, Section]:
    name = entry.pop("name", None)
    place = f"{where} {name or number}"
    if name is not None and not isinstance(name, str):
        raise UsageError(f"{where} {number}: name is not a string", "put the value in quotes")
    if not isinstance(entry.get("tag-prefix"), str):
        raise UsageError(f"{place} has no tag-prefix", 'give it one, as in tag-prefix = "api/v"')
    for setting in _BY_KEY.values():
        if setting.for_all and setting.key in entry:
            raise UsageError(
                f"{place}: {setting.key} is one for all components",
                f"write {setting.key} above the components",
            )
    return place, _section(entry, place, directory, more=["name", "variants"])


def _named(named: Path, cwd: Path) -> tuple[Path, str, Table]:
    where = str(named.relative_to(cwd) if named.is_relative_to(cwd) else named)
    table = _read(named)
    if table is None:
        raise UsageError(
            f"there is no configuration file {where}",
            "name one that exists with --config, or leave it out",
        )
    if named.name == "pyproject.toml":
        table = _tool_table(table) or {}
    return named, where, table


def _find(base: Path, root: Path) -> tuple[Path, str, Table] | None:
    for directory in dict.fromkeys([base.resolve(), root.resolve()]):
        path = directory / FILE_NAME
        if (table := _read(path)) is not None:
            return path, FILE_NAME, table
        path = directory / "pyproject.toml"
        if (table := _read(path)) is not None and (tool := _tool_table(table)) is not None:
            return path, "pyproject.toml [tool.releasetag]", tool
    return None


def _read(path: Path) -> Table | None:
    """Return what a file holds, or None if it is not there."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", "make it a readable file"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path.name} is not UTF-8 text", "save it as UTF-8") from None
    except ValueError as error:  # tomllib's own, and int's for thousands of digits
        raise UsageError(f"{path.name} is not TOML: {error}", "see https://toml.io") from None
    except RecursionError:
        raise UsageError(f"{path.name} is nested too deeply", "see https://toml.io") from None


def _tool_table(table: Table) -> Table | None:
    tool = table.get("tool")
    own = tool.get("releasetag") if isinstance(tool, dict) else None
    return own if isinstance(own, dict) else None


def _layer(table: Table, where: str, directory: Path, more: list[str]) -> Layer:
    """Return the layer of a table.

    Args:
        more: the keys that it may have besides, for hints.
    """
    layer: Layer = {}
    for keys, value in _flatten(table):
        key = ".".join(keys)
        setting = _BY_KEY.get(key)
        if keys == ("build", "platform") and isinstance(value, dict):
            layer[BY_PLATFORM] = {
                platform: _platform(entry, f'{where}: {key}."{platform}"', directory)
                for platform, entry in value.items()
            }
            continue
        if setting is None or keys != tuple(key.split(".")):
            raise _unknown_key_error(key, where, more)
        place = f"{where}: {key}"
        layer[setting.name] = setting.convert(_value(setting, value, place, directory), place)
    return layer


def _platform(table: Any, where: str, directory: Path) -> Layer:
    if not isinstance(table, dict):
        raise _type_error(where, "a table", '[build.platform."linux/arm64"]')
    for key in table:
        setting = _BY_KEY.get(f"build.{key}")
        if setting is not None and not setting.of_platform:
            raise UsageError(
                f"{where}: {key} is one for all platforms", f"write {key} in [build], above"
            )
        if setting is None:
            known = [each.key for each in _BY_KEY.values() if each.of_platform]
            names = ", ".join(name.removeprefix("build.") for name in known)
            raise UsageError(f"{where}: unknown key {key!r}", f"the keys are: {names}")
    return _layer({"build": table}, where, directory, more=[])


def _flatten(table: Table) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield ``("build", "context")`` for ``build = {context = "."}``."""
    for key, value in table.items():
        if isinstance(value, dict) and value and key not in _BY_KEY:
            for inner, item in value.items():
                yield (key, inner), item
        elif value != {} or key != "build":  # an empty [build] sets nothing
            yield (key,), value


def _unknown_key_error(key: str, where: str, more: list[str]) -> UsageError:
    import difflib

    if key in _BY_KEY:  # as one quoted key, it is another one to TOML
        hint = f"write {key} without quotes"
    elif near := difflib.get_close_matches(key, [*_BY_KEY, *more], n=1):
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = f"the keys are: {', '.join(_BY_KEY)}"
    return UsageError(f"{where}: unknown key {key!r}", hint)


def _value(setting: Setting, value: Any, where: str, directory: Path) -> Any:
    """Return a value of the type that the setting wants."""
    match setting.kind:
        case "map":
            if not isinstance(value, dict):
                raise _type_error(where, "a table", '{ NAME = "value" }')
            return dict(_entries(value, where))
        case "list" | "lines":
            if not isinstance(value, list):
                raise _type_error(where, "a list of strings", '["…", "…"]')
            for item in value:
                for text in _texts(setting, item):
                    if not isinstance(text, str):
                        raise _type_error(where, "a list of strings", '["…", "…"]')
                    setting.check_text(text, where, _IF_EMPTY)
            return value
    wanted, name, example = _SCALARS.get(setting.kind, (str, "a string", '"…"'))
    if type(value) is not wanted:  # bool is a kind of int
        raise _type_error(where, name, example)
    if isinstance(value, int):
        _check_number(value, where)
    else:
        setting.check_text(value, where, _IF_EMPTY)
    if setting.kind == "path":
        return directory / value
    return Path(value) if setting.kind == "dockerfile" else value


def _texts(setting: Setting, item: Any) -> Iterable[Any]:
    """Return what has to be text in an item of a list: the item, or the values of its table."""
    return item.values() if setting.item_keys and isinstance(item, dict) else [item]


def _entries(table: Mapping[str, Any], where: str) -> Iterator[tuple[str, str]]:
    """Yield the entries of a map. Errors name no value: it may be a secret."""
    for name, value in table.items():
        if not name or "=" in name:
            raise UsageError(
                f"{where}: the name {name!r} is not possible", 'write it as in NAME = "value"'
            )
        if isinstance(value, bool):
            text = str(value).lower()
        elif isinstance(value, int):
            _check_number(value, where)
            text = str(value)
        elif isinstance(value, str):
            text = value
        else:
            raise _type_error(where, "a table of strings", '{ NAME = "value" }')
        check_text(name, where)
        check_text(text, where)
        yield name, text


def _check_number(number: int, where: str) -> None:
    if not -(2**63) <= number < 2**63:  # all that TOML promises
        raise UsageError(f"{where} is too large a number", "give a smaller one")


def _type_error(where: str, wanted: str, example: str) -> UsageError:
    return UsageError(f"{where} is not {wanted}", f"write it as in {example}")
