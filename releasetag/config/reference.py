"""The reference and the JSON Schema of the settings, made from the table."""

from collections.abc import Mapping
from typing import Any

from releasetag.config.file import VARIANT_KEYS, VARIANT_NAME, VARIANT_SUFFIX
from releasetag.config.schema import SCHEMA_URL, SETTINGS, Setting
from releasetag.config.settings import Settings

_ITEM_HELP = {
    "tag": "A tag template.",
    "follows": "Which versions move the floating tag. Default: stable.",
}
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
    """Return the JSON Schema of ``releasetag.toml`` and of ``[tool.releasetag]``.

    Draft 7, which SchemaStore and the editors that read it have.
    """
    variant = {
        "name": {**_STRING, "pattern": f"^{VARIANT_NAME}$"},
        "suffix": {**_STRING, "pattern": f"^({VARIANT_SUFFIX})$"},
        "latest": _STRING,
        "default": {"type": "boolean"},
    }
    variant = {key: {**of, "description": VARIANT_KEYS[key]} for key, of in variant.items()}
    variants = {
        "type": "array",
        "items": {"$ref": "#/definitions/variant"},
        "description": "Several images of one release, each with its suffix.",
    }
    components = {
        "type": "array",
        "items": {"$ref": "#/definitions/component"},
        "description": "The components of a monorepo, chosen by the prefix of the git tag.",
    }
    name = {**_STRING, "description": "What messages call it. Default: its number."}
    keys = [s for s in SETTINGS.values() if s.key]
    whole = _keys(keys)
    own = _keys([s for s in keys if not s.for_all])
    varied = _keys([s for s in keys if s.of_variant])
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": SCHEMA_URL,
        "title": "releasetag.toml",
        "description": "The configuration of releasetag, in releasetag.toml or in pyproject.toml"
        " as [tool.releasetag]",
        **_object({**whole, "variants": variants, "components": components}),
        "definitions": {
            "component": {
                **_object({"name": name, **own, "variants": variants}),
                "required": ["tag-prefix"],
                "description": "One of the components of a monorepo",
            },
            "variant": {
                **_object({**variant, **varied}),
                "required": ["name"],
                "description": "One of several images of a release",
            },
            "build": _build([s for s in keys if s.key.startswith("build.")]),
        },
    }


def _keys(settings: list[Setting]) -> dict[str, Any]:
    """Return the properties of a table; `build` is one for all of them."""
    properties = {s.key: _value(s) for s in settings if not s.key.startswith("build.")}
    return {**properties, "build": {"$ref": "#/definitions/build"}}


def _build(settings: list[Setting]) -> dict[str, Any]:
    properties = {s.key.removeprefix("build."): _value(s) for s in settings}
    of_platform = {s.key.removeprefix("build."): _value(s) for s in settings if s.of_platform}
    platform = {
        "type": "object",
        "additionalProperties": _object(of_platform),
        "description": "Where the build of a platform differs, by the platform.",
    }
    return {
        **_object({**properties, "platform": platform}),
        "description": "How the image is built",
    }


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _value(setting: Setting) -> dict[str, Any]:
    value = dict(_TYPES[setting.kind])
    if setting.choices:
        value = {"enum": list(setting.choices)}
    elif setting.may_be_empty:
        value = dict(_STRING)
    if setting.pattern:
        text = {**_STRING, "pattern": setting.pattern}
        value = {**value, "items": text} if "items" in value else text
    if setting.item_keys:
        text, keys = value["items"], setting.item_keys
        of_keys = {key: {"enum": list(of)} if of else text for key, of in keys.items()}
        table = _object({k: {**of, "description": _ITEM_HELP[k]} for k, of in of_keys.items()})
        value["items"] = {"anyOf": [text, {**table, "required": list(keys)[:1]}]}
        value["minItems"] = 1
    return {**value, "description": setting.help}
