"""What options and environment give, and how it is merged with the file and the defaults.

A higher layer wins: options, environment, file, defaults. Of maps, the entries are merged.
"""

import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from releasetag.config.file import BY_PLATFORM, Section, Variant, read_file
from releasetag.config.schema import SETTINGS, VARIABLE_PREFIX, Layer, Setting
from releasetag.config.settings import Configuration, Settings
from releasetag.errors import UsageError
from releasetag.template import with_suffix
from releasetag.text import printable

_OF_GATES = "VERSION"
"""What a gate has in RELEASETAG_VERSION; a releasetag that it runs has no such setting."""

_IF_EMPTY = "give it a value, or leave the option out; a variable may be unset"


def load(
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    base: Path,
    root: Path,
    cwd: Path = Path(),
) -> Configuration:
    """Read the settings of all layers.

    Args:
        options: what the command line gave, by the name of the setting; None or an empty list
            where it gave nothing.
        environ: the environment.
        base: the directory of the build where no context is given; a file is looked for here
            first.
        root: the top level of the work tree; a file is looked for here second.
        cwd: where relative paths of options and environment begin.

    Raises:
        UsageError: a value is not possible; names the option, variable, or file and key.
    """
    try:
        return _load(options, environ, base, root, cwd)
    except UsageError as error:
        # Names and values of files and environment may hold anything, terminal escapes too.
        raise UsageError(_shown(error.message), _shown(error.hint)) from None


def _load(
    options: Mapping[str, Any], environ: Mapping[str, str], base: Path, root: Path, cwd: Path
) -> Configuration:
    upper = [_environment_layer(environ, cwd), _option_layer(options, cwd)]
    file, components = read_file(_merge(upper).get("config"), cwd, base, root)
    _refuse_unknown_platforms(file, [*components], upper)
    for each in components:
        _refuse_unknown_platforms(each, [file], upper)
    default = _component(file, file.variants, [], upper, base)
    if any("tag_prefix" in layer for layer in upper):
        # A prefix from above the file does not rename the components: it chooses one.
        components = [each for each in components if each.layer["tag_prefix"] == default.tag_prefix]
    return Configuration(
        default,
        tuple(
            _component(each, each.variants or file.variants, [file.layer], upper, base)
            for each in components
        ),
    )


def _refuse_unknown_platforms(
    section: Section, others: Sequence[Section], upper: Sequence[Layer]
) -> None:
    """Raise UsageError for a ``[build.platform.…]`` of a platform that nothing is built for."""
    of_section, *of_others = [
        [each.layer, *(variant.layer for variant in each.variants)] for each in (section, *others)
    ]
    layers = [*of_section, *itertools.chain(*of_others), *upper]
    known = {platform: "" for layer in layers for platform in layer.get("platforms", ())}
    for platform in (each for layer in of_section for each in layer.get(BY_PLATFORM, ())):
        if platform not in known:
            names = ", ".join(known)
            raise UsageError(
                f'build.platform."{platform}" is none of the platforms',
                f"the platforms are: {names}" if known else "list it in build.platforms",
            )


def _component(
    section: Section,
    entries: Sequence[Variant],
    below: Sequence[Layer],
    upper: Sequence[Layer],
    base: Path,
) -> Settings:
    """Return the settings of a component, with those of its variants."""
    layers = [*below, section.layer]
    whole = _settings(layers, upper, base)
    variants = []
    for each in entries:
        own = _settings([*layers, each.layer], upper, base)
        tags = [with_suffix(template, each.suffix, each.latest) for template in own.tags]
        plain = own.tags if each.is_default else ()
        names = tuple(dict.fromkeys((*plain, *tags)))
        suffixes = tuple(dict.fromkeys((*([""] if each.is_default else []), each.suffix)))
        variants.append(replace(own, tags=names, variants=(), variant=each.name, suffixes=suffixes))
    return replace(whole, by_variant=tuple(variants))


def _shown(text: str, limit: int = 2000) -> str:
    return printable(text[: 2 * limit], limit)


def _settings(file: Sequence[Layer], upper: Sequence[Layer], base: Path) -> Settings:
    """Return the settings of layers of the file and those above, with those of every platform."""
    platforms = {platform for layer in file for platform in layer.get(BY_PLATFORM, ())}
    by_platform = {
        platform: _merged(
            [*file, *(layer.get(BY_PLATFORM, {}).get(platform, {}) for layer in file), *upper], base
        )
        for platform in platforms
    }
    return replace(_merged([*file, *upper], base), by_platform=by_platform)


def _merged(layers: Sequence[Layer], base: Path) -> Settings:
    values = _merge(layers)
    for name in values:
        if SETTINGS[name].parse_versions:
            values[name] = values[name](values.get("versions", Settings.versions))
    return replace(Settings(base=base), **values)


def _merge(layers: Iterable[Layer]) -> Layer:
    merged: Layer = {}
    for layer in layers:  # the lowest first
        for name, value in layer.items():
            if name != BY_PLATFORM:
                is_map = SETTINGS[name].kind == "map"
                merged[name] = {**merged.get(name, {}), **value} if is_map else value
    return merged


def _option_layer(options: Mapping[str, Any], cwd: Path) -> Layer:
    layer: Layer = {}
    for name, given in options.items():
        if given is None or given == []:
            continue
        setting = SETTINGS[name]
        where = setting.option
        for text in given if isinstance(given, list) else [str(given)]:
            setting.check_text(text, where, _IF_EMPTY)
            if setting.short and text.startswith("="):  # docker takes -t=NAME
                example = f"{setting.short} {setting.metavar} or {where}={setting.metavar}"
                raise UsageError(f"{where}: {text!r} begins with '='", f"write it as in {example}")
        match setting.kind:
            case "map":
                value: Any = _pairs(given, where)
            case "flag" | "list" | "lines":
                value = given
            case _:
                value = _scalar(setting, str(given), where, cwd)
        layer[name] = setting.convert(value, where)
    return layer


def _environment_layer(environ: Mapping[str, str], cwd: Path) -> Layer:
    _refuse_near_misses(environ)
    layer: Layer = {}
    for name, setting in SETTINGS.items():
        # A step of GitHub Actions passes an input that was not given as an empty string.
        text = environ.get(setting.variable, "").strip()
        if not text:
            continue
        where = setting.variable
        setting.check_text(text, where, "")
        match setting.kind:
            case "list":
                value: Any = _split(r"[,\n]", text)
            case "lines":
                value = _split(r"\n", text)
            case "map":
                value = _pairs(_split(r"\n", text), where)
            case "flag":
                value = _flag(text, where)
            case _:
                value = _scalar(setting, text, where, cwd)
        layer[name] = setting.convert(value, where)
    return layer


def _refuse_near_misses(environ: Mapping[str, str]) -> None:
    """Raise UsageError for a variable that is nearly a setting's, such as RELEASETAG_GATE.

    Others may be a gate's, or the user's own.
    """
    # The option's name counts as well: --gate for gates, --no-push for push.
    variables = {s.option[2:].replace("-", "_").upper(): s.variable for s in SETTINGS.values()}
    variables |= {s.name.upper(): s.variable for s in SETTINGS.values()}
    for variable, value in environ.items():
        name = variable.removeprefix(VARIABLE_PREFIX)
        if name in {variable, _OF_GATES} or variable in variables.values() or not value.strip():
            continue
        import difflib

        if near := difflib.get_close_matches(name, variables, n=1, cutoff=0.85):
            raise UsageError(
                f"{variable} is not a setting",
                f"did you mean {variables[near[0]]}? Unset it if it is not for this",
            )


def _scalar(setting: Setting, text: str, where: str, cwd: Path) -> Any:
    """Read what is one string, as options and environment have it."""
    if setting.kind == "number":
        if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII):
            raise UsageError(f"{where}: {text!r} is not a number", "give a whole number")
        return int(text)
    if setting.kind in {"path", "dockerfile"}:
        path = cwd / text
        # Unlike Path.exists, this raises nothing; whoever opens the file says what is wrong.
        if setting.kind == "dockerfile" and not os.path.exists(path):  # noqa: PTH110
            return Path(text)
        return path
    return text


def _split(separator: str, text: str) -> list[str]:
    return [part.strip() for part in re.split(separator, text) if part.strip()]


def _flag(text: str, where: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in known:
        raise UsageError(f"{where}: {text!r} is neither true nor false", "write true or false")
    return known[text.lower()]


def _pairs(items: Iterable[str], where: str) -> dict[str, str | None]:
    pairs: dict[str, str | None] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not name:
            raise UsageError(f"{where}: a name is missing before '='", "write it as in NAME=value")
        pairs[name] = value if equals else None
    return pairs
