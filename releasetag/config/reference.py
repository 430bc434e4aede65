"""The reference and the JSON Schema of the settings, made from the table."""

from collections.abc import Mapping
from typing import Any

from releasetag.config.file import VARIANT_KEYS
from releasetag.config.schema import SETTINGS, Setting
from releasetag.config.settings import Settings

_STRING: Mapping[str, Any] = {"type": "string"}
_TYPES: Mapping[str, Mapping[str, Any]] = {
    "text": {**_STRING, "pattern": r"\S"},
    "path": {**_STRING, "pattern": r"\S"},
    "dockerfile": {**_STRING, "pattern": r"\S"},
    "number": {"type": "integer", "minimum": 1, "maximum": 999_999},
    "flag": {"type": "boolean"},
    "list": {"type": "array", "items": {**_STRING, "pattern": r"\S"}},
    "lines": {"type": "array", "items": {**_STRING, "pattern": r"\S"}},
    "map": {
        "type": "object",
        "propertyNames": {"pattern": "^[^=]+$"},
        "additionalProperties": {"type": ["string", "integer", "boolean"]},
    },
}


def markdown() -> str:
    """Return tables of all settings: option, meaning, key, variable, a table for each panel."""
    panels: dict[str, list[Setting]] = {}
    for setting in SETTINGS.values():
        panels.setdefault(setting.panel, []).append(setting)
    lines: list[str] = []
    for panel, settings in panels.items():
        lines += [f"### {panel}", "", "| option | meaning | key | variable |", "|---|---|---|---|"]
        lines += [_row(setting) for setting in settings]
        lines.append("")
    own = ", ".join(f"`{s.key.removeprefix('build.')}`" for s in SETTINGS.values() if s.of_platform)
    lines += [f'A platform may have its own {own} in `[build.platform."linux/arm64"]`.', ""]
    return "\n".join(lines)


def _row(setting: Setting) -> str:
    names = ", ".join(name for name in (setting.short, setting.option) if name)
    value = setting.value_name.replace("|", r"\|")  # or the table would have another column
    option = f"`{names} {value}".rstrip() + "`"
    key = f"`{setting.key}`" if setting.key else ""
    unset = getattr(Settings, setting.name, None) is True  # the option is its opposite: --no-push
    variable = f"`{setting.variable}{'=false' if unset else ''}`"
    cells = [option, setting.help, key, variable]
    return f"| {' | '.join(cells)} |"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``releasetag.toml``."""
    shared = _properties([s for s in SETTINGS.values() if s.key])
    own = _properties([s for s in SETTINGS.values() if s.key and not s.for_all])
    variant = {
        key: {"type": "boolean" if key == "default" else "string", "description": help}
        for key, help in VARIANT_KEYS.items()
    }
    varied = _properties([s for s in SETTINGS.values() if s.key and s.of_variant])
    variants = {
        "type": "array",
        "items": {**_object({**variant, **varied}), "required": ["name"]},
        "description": "Several images of one release, each with its suffix.",
    }
    own["variants"] = variants
    component = {**_object({"name": _STRING, **own}), "required": ["tag-prefix"]}
    components = {
        "type": "array",
        "items": component,
        "description": "The components of a monorepo, chosen by the prefix of the git tag.",
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "releasetag.toml",
        **_object({**shared, "variants": variants, "components": components}),
    }


def _properties(settings: list[Setting]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for setting in settings:
        section, _, key = setting.key.rpartition(".")
        inside = properties
        if section:
            inside = properties.setdefault(section, _object({}))["properties"]
        inside[key] = _value(setting)
    of_platform = {s.key.rpartition(".")[2]: _value(s) for s in settings if s.of_platform}
    if of_platform:
        properties["build"]["properties"]["platform"] = {
            "type": "object",
            "additionalProperties": _object(of_platform),
            "description": "Where the build of a platform differs, by the platform.",
        }
    return properties


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _value(setting: Setting) -> dict[str, Any]:
    value = dict(_TYPES[setting.kind])
    if setting.choices:
        value = {"enum": list(setting.choices)}
    elif setting.may_be_empty:
        value = dict(_STRING)
    elif setting.item_keys:
        text, keys = value["items"], setting.item_keys
        table = _object({key: {"enum": list(of)} if of else text for key, of in keys.items()})
        value["items"] = {"anyOf": [text, {**table, "required": list(keys)[:1]}]}
    return {**value, "description": setting.help}
