"""The JSON Schema of releasetag.toml: what it accepts and refuses is what the program does."""

import re
import sys
import tomllib
from pathlib import Path
from subprocess import check_output

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from releasetag.config import load
from releasetag.config.reference import json_schema
from releasetag.config.schema import SCHEMA_URL
from releasetag.errors import UsageError
from tests.config import test_file, test_platforms, test_variants
from tests.config.test_hostile import KEYS, VALUES, document
from tests.config.test_layers import CASES, Case
from tests.support.config import SCHEMA, load_in
from tests.support.examples import examples
from tests.support.run import ROOT

SCHEMA_FILE = ROOT / "releasetag/config/releasetag.schema.json"


def documents_of_tests() -> list[str]:
    """Every ``toml`` that a test of the configuration's form is given, good and bad."""
    found = []
    for module in (test_file, test_platforms, test_variants):
        for test in vars(module).values():
            for mark in getattr(test, "pytestmark", ()):
                if mark.name == "parametrize" and "toml" in (names := mark.args[0]):
                    found += [
                        v if isinstance(names, str) else v[names.index("toml")]
                        for v in mark.args[1]
                    ]
    return list(filter(is_toml, found))


def documents_of_pages() -> list[str]:
    """Every configuration that a page shows."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        toml
        for page in pages
        for toml in re.findall(r"^```toml\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
        if re.search(r"images|\[\[(?:variants|components)|\[build", toml)
    ]


def is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


NOT_OF_FORM = (
    "is not a semantic version", "is not a repository", "is not a range of addresses",
    "is too large a number", "cannot give a tag", "two variants have the name",
    "several variants are the default", "as another component has", "is none of the platforms",
)  # fmt: skip
"""What a schema of the form does not say: the grammar of some values, and several keys at once."""


@pytest.mark.parametrize("toml", documents_of_tests())
def test_the_schema_accepts_what_the_program_does(toml: str, tmp_path: Path) -> None:
    values = tomllib.loads(toml)
    refused = ""
    try:
        load_in(tmp_path, toml=toml)
    except UsageError as error:
        refused = error.message

    if not any(text in refused for text in NOT_OF_FORM):
        assert SCHEMA.is_valid(values) is not bool(refused)


@pytest.mark.parametrize("case", [case for case in CASES if case.toml], ids=str)
def test_the_schema_has_every_setting_of_a_file(case: Case, tmp_path: Path) -> None:
    toml = case.toml
    load_in(tmp_path, toml=toml)
    component = f"{toml}\n[[components]]\nname = 'a'\ntag-prefix = 'a/v'\nimages = ['acme/a']"

    assert list(SCHEMA.iter_errors(tomllib.loads(toml))) == []
    assert list(SCHEMA.iter_errors(tomllib.loads(component))) == []


@pytest.mark.parametrize("toml", documents_of_pages())
def test_the_schema_accepts_what_pages_show(toml: str) -> None:
    values = tomllib.loads(toml)

    assert list(SCHEMA.iter_errors(values.get("tool", {}).get("releasetag", values))) == []


@settings(max_examples=examples(200))
@given(items=st.lists(st.tuples(KEYS, VALUES), max_size=4))
@example(items=[("build.platforms", [",linux/amd64, ", ","]), ("build.shm-size", "1GB")])
@example(items=[("build.builder", "buildx:a b"), ("tags", ["{sha}", "a.{build}"])])
@example(items=[("images", []), ("build", {"platform": {}}), ("components", [])])
def test_the_schema_accepts_whatever_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, items: list[tuple[str, object]]
) -> None:
    directory = tmp_path_factory.getbasetemp()
    file = directory / "releasetag.toml"
    file.write_bytes(document(items))
    try:
        load({}, {}, directory, directory, directory)
    except UsageError:
        return

    assert list(SCHEMA.iter_errors(tomllib.loads(file.read_text("utf-8")))) == []


def test_the_file_with_the_schema_is_up_to_date() -> None:
    made = check_output([sys.executable, ROOT / "scripts/schema"], text=True)

    assert made == SCHEMA_FILE.read_text("utf-8"), "run make generated"
    assert json_schema()["$id"] == SCHEMA_URL
    assert SCHEMA_URL.endswith(str(SCHEMA_FILE.relative_to(ROOT)))


def test_every_key_of_the_schema_has_a_description() -> None:
    found = []

    def walk(schema: object) -> None:
        if isinstance(schema, dict):
            found.extend(schema.get("properties", {}).items())
            list(map(walk, schema.values()))
        elif isinstance(schema, list):
            list(map(walk, schema))

    walk(json_schema())

    assert len(found) > 60
    assert [key for key, of in found if "description" not in of and "$ref" not in of] == []


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
