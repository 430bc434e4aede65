"""Whatever a file, the environment or the command line holds: settings, or two printable lines."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from releasetag.config import Configuration, load
from releasetag.config.schema import SETTINGS
from releasetag.errors import UsageError


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose files every example replaces."""
    return tmp_path_factory.mktemp("hostile")


def settle(
    directory: Path,
    *,
    file: bytes = b"",
    name: str = "releasetag.toml",
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Load, and see that it is settings or an error that a person can read."""
    for known in ("releasetag.toml", "pyproject.toml"):
        (directory / known).unlink(missing_ok=True)
    (directory / name).write_bytes(file)
    try:
        found = load(options or {}, environ or {}, directory, directory, directory)
    except UsageError as error:
        for line in (error.message, error.hint):
            assert line
            assert line.isprintable()
    else:
        assert isinstance(found, Configuration)
        for settings in (found.default, *found.components):
            for row in SETTINGS:
                assert not [text for text in strings(getattr(settings, row)) if "\0" in text]


def strings(value: object) -> list[str]:
    """All strings in a value."""
    match value:
        case str() | Path():
            return [str(value)]
        case tuple():
            return [text for item in value for text in strings(item)]
        case dict():
            return [text for pair in value.items() for text in strings(pair)]
    return []


# Text of any kind: control characters, escapes, marks that reverse text, bytes that are not UTF-8.
TEXT = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(codec=None, categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), max_size=5),
    st.sampled_from(["", " ", "\x1b[2J", "a\0b", "\u202e", "\n", "=", "a=b", "{version}", "{a",
                     "{\x1b}", "1.2.3", "local", "acme/app", "linux/amd64", "64m", "10.0.0.0/8",
                     "true"]),
    st.binary(max_size=8).map(os.fsdecode),
)  # fmt: skip
KEYS = st.one_of(
    st.sampled_from([s.key for s in SETTINGS.values() if s.key]),
    st.sampled_from(["build", "components", "name", "tool", "tool.releasetag", "imagse"]),
    TEXT,
)
SCALARS = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(),
    st.sampled_from([2**70, -(2**64), 2**63 - 1, 0, 4]),
    st.floats(),
    st.dates(),
    st.datetimes(),
    st.times(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


def toml(value: object) -> str:
    """A value as TOML; what TOML cannot say makes a file that is not TOML."""
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False)
        case bool():
            return str(value).lower()
        case int():
            return hex(value) if value > 2**63 else str(value)
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{toml(k)} = {toml(v)}' for k, v in value.items())}}}"
    return str(value)


def document(items: list[tuple[str, object]], *, header: str = "") -> bytes:
    """A file of lines, whose known keys are written as people write them, and others quoted."""
    known = {setting.key for setting in SETTINGS.values()} | {"build", "components"}
    lines = [f"{key if key in known else toml(key)} = {toml(value)}" for key, value in items]
    return "\n".join([header, *lines]).encode(errors="surrogatepass")


@given(file=st.binary(max_size=200))
@example(file=b"\xef\xbb\xbfjobs = 2")
@example(file=b"\xff\xfej\x00o\x00b\x00s\x00")
@example(file=b"jobs = 2\rpull = 1")
@example(file=b"a" + b".a" * 5000 + b" = 1")
@example(file=b"a = " + b"[" * 5000)
@example(file=b"a = " + b"9" * 5000)
def test_any_bytes_as_a_file(directory: Path, file: bytes) -> None:
    settle(directory, file=file)
    settle(directory, file=file, name="pyproject.toml")


@given(items=st.lists(st.tuples(KEYS, VALUES), max_size=4))
@example(items=[("tags", ["{\x1b[2J}"])])
@example(items=[("components", [{"name": "\x1b[2J"}])])
def test_any_document(directory: Path, items: list[tuple[str, object]]) -> None:
    settle(directory, file=document(items))
    settle(directory, file=document(items, header="[[components]]\ntag-prefix = 'a/v'"))


@given(tool=VALUES, items=st.lists(st.tuples(KEYS, VALUES), max_size=3))
def test_any_table_of_tools(directory: Path, tool: object, items: list[tuple[str, object]]) -> None:
    settle(
        directory, file=f"tool = {toml(tool)}".encode(errors="surrogatepass"), name="pyproject.toml"
    )
    settle(directory, file=document(items, header="[tool.releasetag]"), name="pyproject.toml")


VARIABLES = st.one_of(
    st.sampled_from([setting.variable for setting in SETTINGS.values()]),
    st.sampled_from(["RELEASETAG_GATE", "RELEASETAG_", "RELEASETAG_IMAGES\x1b[2J"]),
    TEXT.map(lambda text: f"RELEASETAG_{text}"),
)


@given(environ=st.dictionaries(VARIABLES, TEXT, max_size=4))
def test_any_environment(directory: Path, environ: dict[str, str]) -> None:
    settle(directory, environ=environ)


def option(name: str) -> st.SearchStrategy[tuple[str, Any]]:
    """What the command line may give for a setting."""
    match SETTINGS[name].kind:
        case "flag":
            value: st.SearchStrategy[Any] = st.booleans()
        case "list" | "lines" | "map":
            value = st.lists(TEXT, max_size=3)
        case _:
            value = TEXT
    return st.tuples(st.just(name), value)


@given(options=st.lists(st.sampled_from(sorted(SETTINGS)).flatmap(option), max_size=4).map(dict))
def test_any_options(directory: Path, options: dict[str, Any]) -> None:
    settle(directory, options=options)
