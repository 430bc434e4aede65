"""releasetag.config.reference: the reference of the settings, made from the table."""

import re

from jsonschema import Draft7Validator

from releasetag.config.reference import json_schema, markdown
from releasetag.config.schema import SETTINGS


def test_every_setting_is_a_row_of_the_reference() -> None:
    rows = [line for line in markdown().splitlines() if line.startswith("| `")]

    assert len(rows) == len(SETTINGS)
    for setting in SETTINGS.values():
        (row,) = (row for row in rows if re.search(rf"`{setting.variable}\b", row))
        assert setting.option in row
        assert setting.help in row
        assert f"`{setting.key}`" in row or not setting.key
        assert row.replace(r"\|", "").count("|") == 5, "four columns"


def test_an_option_that_unsets_is_a_variable_that_is_false() -> None:
    assert "Build and tag in the engine only. |  | `RELEASETAG_PUSH=false` |" in markdown()


def test_the_schema_is_one() -> None:
    Draft7Validator.check_schema(json_schema())
