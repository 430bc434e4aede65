"""Settings of a directory, for tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

from releasetag.config import Configuration, load
from releasetag.config.reference import json_schema

SCHEMA = Draft7Validator(json_schema())
"""What editors check a file by."""


def load_in(
    directory: Path,
    *,
    toml: str = "",
    environ: Mapping[str, str] | None = None,
    **options: Any,
) -> Configuration:
    """The configuration of a work tree with this releasetag.toml, for a run in it."""
    if toml:
        (directory / "releasetag.toml").write_text(toml, "utf-8")
    return load(options, environ or {}, directory, directory, directory)
