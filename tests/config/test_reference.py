"""releasetag.config.reference: what is made of the table for readers and for editors."""

import re
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from releasetag.config.reference import json_schema, markdown
from releasetag.config.schema import SETTINGS
from releasetag.errors import UsageError
from tests.config.test_layers import CASES, Case
from tests.support.config import load_in

SCHEMA = Draft7Validator(json_schema())


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


@pytest.mark.parametrize("case", [case for case in CASES if case.toml], ids=str)
def test_the_schema_accepts_what_is_loaded(case: Case, tmp_path: Path) -> None:
    toml = case.toml
    load_in(tmp_path, toml=toml)
    component = f"{toml}\n[[components]]\nname = 'a'\ntag-prefix = 'a/v'\nimages = ['acme/a']"

    assert list(SCHEMA.iter_errors(tomllib.loads(toml))) == []
    assert list(SCHEMA.iter_errors(tomllib.loads(component))) == []


def test_the_schema_accepts_a_tag_that_follows(tmp_path: Path) -> None:
    toml = "tags = ['{version}', { tag = 'beta', follows = 'any' }, { tag = 'x' }]"

    tags = load_in(tmp_path, toml=toml).default.tags

    assert [(tag.text, tag.follows) for tag in tags] == [
        ("{version}", "stable"),
        ("beta", "any"),
        ("x", "stable"),
    ]
    assert list(SCHEMA.iter_errors(tomllib.loads(toml))) == []


@pytest.mark.parametrize(
    "toml",
    [
        "imagse = ['acme/app']",
        "images = 'acme/app'",
        "images = ['']",
        "images = [1]",
        "history = 'all'",
        "remote = ''",
        "remote = 1",
        "jobs = 0",
        "jobs = '2'",
        "overwrite = true",
        "tags = [{ tag = 'beta', follows = 'all' }]",
        "tags = [{ tag = 'beta', folows = 'any' }]",
        "tags = [{ follows = 'any' }]",
        "images = [{ tag = 'beta' }]",
        "build = 1",
        "build.context = ' '",
        "build.pull = 1",
        "build.args = ['A=1']",
        "build.args = { A = 1.5 }",
        "build.args = { '' = 'x' }",
        "build.arg = { A = '1' }",
        '"build.context" = "a"',
        "components = 1",
        "[[components]]\nname = 'a'",
        "[[components]]\ntag-prefix = 'a'\nremote = 'upstream'",
        "[[components]]\ntag-prefix = 'a'\nbuild.contxt = 'x'",
    ],
)
def test_the_schema_refuses_what_is_not_loaded(toml: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        load_in(tmp_path, toml=toml)

    assert not SCHEMA.is_valid(tomllib.loads(toml))
