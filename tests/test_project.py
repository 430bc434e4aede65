"""releasetag.project: what files and events say of a project; all of it is untrusted."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.project import Project, read_project

APACHE = "      Apache License\n      Version 2.0, January 2004\n http://www.apache.org/licenses/\n"
MIT = "MIT License\n\nPermission is hereby granted, free of charge, to any person\nobtaining a copy"
BSD = "Redistribution and use in source and binary forms, with or without modification"
GPL = "GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "pyproject.toml",
            '[project]\ndescription = "An app."\nlicense = "MIT OR Apache-2.0"\n'
            'urls = { Homepage = "https://app.example" }',
            Project("An app.", "https://app.example", "MIT OR Apache-2.0"),
        ),
        ("pyproject.toml", '[project]\nlicense = { text = "MIT" }', Project(licenses="MIT")),
        ("pyproject.toml", '[project]\nlicense = { file = "LICENSE" }', Project()),
        ("pyproject.toml", '[project]\nlicense = "see the file\\nLICENSE"', Project()),
        ("pyproject.toml", "[tool.x]", Project()),
        ("pyproject.toml", "project = 1", Project()),
        ("pyproject.toml", "[project", Project()),
        ("pyproject.toml", "x = " + "[" * 10_000, Project()),
        (
            "package.json",
            '{"description": "An app.", "homepage": "https://app.example", "license": "ISC"}',
            Project("An app.", "https://app.example", "ISC"),
        ),
        ("package.json", '{"license": "UNLICENSED"}', Project()),
        ("package.json", '{"license": {"type": "MIT"}, "description": 1}', Project()),
        ("package.json", "[]", Project()),
        ("package.json", "{", Project()),
        (
            "Cargo.toml",
            '[package]\ndescription = "An app."\nhomepage = "https://app.example"\nlicense = "MIT"',
            Project("An app.", "https://app.example", "MIT"),
        ),
        (
            "Cargo.toml",
            '[package]\ndescription = "An app."\nlicense.workspace = true\n'
            '[workspace.package]\nlicense = "MIT"\ndescription = "All apps."',
            Project("An app.", "", "MIT"),
        ),
        ("LICENSE", APACHE, Project(licenses="Apache-2.0")),
        ("LICENSE.md", MIT, Project(licenses="MIT")),
        ("LICENSE.txt", BSD, Project(licenses="BSD-2-Clause")),
        ("LICENSE", BSD + "\nNeither the name of", Project(licenses="BSD-3-Clause")),
        ("LICENSE", "SPDX-License-Identifier: GPL-3.0\n" + GPL, Project(licenses="GPL-3.0")),
        ("LICENSE", GPL, Project()),  # and later versions? It does not say.
        ("COPYING", "All rights reserved.", Project()),
        # What a terminal or a template could act upon stays out.
        ("package.json", '{"description": "a\\u001b[2J\\nb"}', Project("a [2J b")),
        ("package.json", '{"homepage": "javascript:alert(1)"}', Project()),
        ("package.json", '{"homepage": "https://al:hunter2@app.example"}', Project()),
        ("package.json", '{"homepage": "https://[app.example"}', Project()),
    ],
)  # fmt: skip
def test_what_a_file_says(name: str, text: str, expected: Project, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)

    assert read_project([tmp_path]) == expected


def test_the_nearest_word_on_each_subject_counts(tmp_path: Path) -> None:
    near, event = tmp_path / "api", tmp_path / "event.json"
    near.mkdir()
    (near / "package.json").write_text('{"description": "The API."}')
    (tmp_path / "pyproject.toml").write_text('[project]\ndescription = "x"\nlicense = "MIT"')
    event.write_text(
        json.dumps(
            {
                "repository": {
                    "description": "y",
                    "html_url": "https://github.com/acme/app",
                    "homepage": "",
                    "license": {"spdx_id": "ISC"},
                }
            }
        )
    )

    assert read_project([near, tmp_path], event) == Project(
        "The API.", "https://github.com/acme/app", "MIT"
    )


@pytest.mark.parametrize(
    "event",
    [
        {"repository": {"license": {"spdx_id": "NOASSERTION"}, "description": None}},
        {"repository": {"license": None, "html_url": None}},
        {"repository": None},
        [],
    ],
)
def test_an_event_may_say_nothing(event: object, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(event))

    assert read_project([], file) == Project()


def test_what_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "LICENSE")
    (tmp_path / "package.json").mkdir()
    (tmp_path / "Cargo.toml").write_bytes(b"\xff")
    (tmp_path / "pyproject.toml").write_text("#" * (1 << 20) + '\n[project]\nlicense = "MIT"')

    assert read_project([tmp_path, tmp_path / "gone"], tmp_path / "gone.json") == Project()


@given(st.binary(max_size=200), st.sampled_from(["pyproject.toml", "package.json", "LICENSE"]))
def test_hostile_files_are_no_error(content: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / name).write_bytes(content)
        found = read_project([Path(directory)])

    assert all(text.isprintable() for text in (found.description, found.url, found.licenses))
