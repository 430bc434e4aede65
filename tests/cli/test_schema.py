"""The JSON Schema, as an editor finds it from what `releasetag init` writes."""

import tomllib

from jsonschema import Draft7Validator

from releasetag.config.reference import json_schema
from releasetag.config.schema import SCHEMA_URL
from tests.conftest import Run
from tests.support.git import GitRepository


def test_what_init_writes_names_the_schema_and_fits_it(
    git_repository: GitRepository, run_here: Run
) -> None:
    run_here("init", cwd=git_repository.path)
    written = (git_repository.path / "releasetag.toml").read_text("utf-8")

    assert written.startswith(f"#:schema {SCHEMA_URL}\n")
    assert list(Draft7Validator(json_schema()).iter_errors(tomllib.loads(written))) == []
