"""What a project's own files, or GitHub's event, say of it: description, home page and licences.

Sources: pyproject.toml (Python packaging specification, PEP 621 and 639), package.json (npm),
Cargo.toml (the Cargo book), and the webhook payloads of GitHub's REST API.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from releasetag.json_text import InvalidJsonError, parse_json
from releasetag.text import printable

_MAX_FILE = 1 << 20
_MAX_VALUE = 2000

# An SPDX licence expression; what else these files hold is no text for the label.
_ID = r"\(*[A-Za-z0-9.+-]+\)*"
_EXPRESSION = re.compile(rf"{_ID}(?: (?:AND|OR|WITH) {_ID})*")
_SPDX_LINE = re.compile(r"SPDX-License-Identifier:\s*(\S[^\n]*)")

# Words that only one licence has. The GNU licences are left out: their text does not say whether
# later versions count.
_LICENCES = (
    ("Apache-2.0", re.compile(r"Apache License\s+Version 2\.0, January 2004")),
    ("MPL-2.0", re.compile(r"Mozilla Public License,? Version 2\.0", re.IGNORECASE)),
    ("MIT", re.compile(r"Permission is hereby granted, free of charge, to any person obtaining")),
    ("ISC", re.compile(r"Permission to use, copy, modify, and/or distribute .* provided that")),
    ("0BSD", re.compile(r"Permission to use, copy, modify, and/or distribute ")),
    ("BSD-3-Clause", re.compile(r"Redistribution and use in source .*Neither the name")),
    ("BSD-2-Clause", re.compile(r"Redistribution and use in source and binary forms")),
    ("Unlicense", re.compile(r"free and unencumbered software released into the public domain")),
)


@dataclass(frozen=True)
class Project:
    """What is known of a project; empty: nothing.

    Attributes:
        licenses: an SPDX expression.
    """

    description: str = ""
    url: str = ""
    licenses: str = ""


def read_project(directories: Iterable[Path], event_file: Path | None = None) -> Project:
    """Read what describes a project. A file that cannot be read says nothing.

    Args:
        directories: where to look, the nearest first; the first word on each subject counts.
        event_file: what started this run, on GitHub; it counts where the files say nothing.
    """
    found = chain.from_iterable(map(_in_directory, dict.fromkeys(directories)))
    if event_file is not None:
        found = chain(found, [_of_event(_json(event_file))])
    known: dict[str, str] = {}
    for project in found:
        for field in fields(project):
            known[field.name] = known.get(field.name) or getattr(project, field.name)
    return Project(**known)


def _in_directory(directory: Path) -> Iterable[Project]:
    yield _of_python(_toml(directory / "pyproject.toml"))
    yield _of_npm(_json(directory / "package.json"))
    yield _of_cargo(_toml(directory / "Cargo.toml"))
    names = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "COPYING")
    yield Project(licenses=next(filter(None, (_licence(directory / n) for n in names)), ""))


def _of_python(table: Any) -> Project:
    project = _table(table, "project")
    urls = {str(key).lower(): url for key, url in _table(project, "urls").items()}
    licence = project.get("license")
    if isinstance(licence, Mapping):  # before PEP 639
        licence = licence.get("text")
    return _project(project.get("description"), urls.get("homepage"), licence)


def _of_npm(value: Any) -> Project:
    package = value if isinstance(value, Mapping) else {}
    return _project(package.get("description"), package.get("homepage"), package.get("license"))


def _of_cargo(table: Any) -> Project:
    package = _table(table, "package")
    # A workspace's members inherit from it: `description.workspace = true`.
    shared = _table(_table(table, "workspace"), "package")
    values = [
        value if isinstance(value := package.get(key), str) else shared.get(key)
        for key in ("description", "homepage", "license")
    ]
    return _project(*values)


def _of_event(value: Any) -> Project:
    repository = _table(value, "repository")
    licence = _table(repository, "license").get("spdx_id")
    url = repository.get("homepage") or repository.get("html_url")
    return _project(
        repository.get("description"), url, None if licence == "NOASSERTION" else licence
    )


def _project(description: Any, url: Any, licenses: Any) -> Project:
    licenses = _text(licenses)
    return Project(
        _text(description),
        _url(_text(url)),
        licenses if _EXPRESSION.fullmatch(licenses) and licenses != "UNLICENSED" else "",
    )


def _text(value: Any) -> str:
    """Return a text on one line, without what a terminal would act upon."""
    return printable(" ".join(value.split()), _MAX_VALUE) if isinstance(value, str) else ""


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    is_public = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
    return text if is_public else ""


def _licence(path: Path) -> str:
    text = _read(path, lambda content: content.decode("utf-8", "replace")) or ""
    if line := _SPDX_LINE.search(text):
        return _project("", "", line[1]).licenses
    words = " ".join(text.split())
    return next((name for name, pattern in _LICENCES if pattern.search(words)), "")


def _table(value: Any, key: str) -> Mapping[str, Any]:
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _toml(path: Path) -> Any:
    return _read(path, lambda content: tomllib.loads(content.decode()))


def _json(path: Path) -> Any:
    return _read(path, parse_json)


def _read(path: Path, parse: Callable[[bytes], Any]) -> Any:
    try:
        if not path.is_file():  # opening a pipe would wait for its writer
            return None
        with path.open("rb") as file:
            content = file.read(_MAX_FILE + 1)
        return parse(content) if len(content) <= _MAX_FILE else None
    except (OSError, ValueError, InvalidJsonError, RecursionError):
        return None
