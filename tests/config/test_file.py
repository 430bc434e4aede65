"""releasetag.config.file: releasetag.toml and pyproject.toml."""

import re
from pathlib import Path

import pytest

from releasetag.config import load
from releasetag.errors import UsageError
from tests.support.config import load_in


def test_a_whole_file_with_a_component_is_read(tmp_path: Path) -> None:
    found = load_in(
        tmp_path,
        toml="""
            images = ["ghcr.io/acme/app", "acme/app"]
            tags = ["{version}", "{major}.{minor}", "latest"]
            ignore = ["2.0.0"]

            [build]
            context = "."
            file = "Dockerfile"
            platforms = ["linux/amd64", "linux/arm64"]
            args = { GO_VERSION = "1.27" }

            [[components]]
            name = "api"
            tag-prefix = "api/v"
            images = ["ghcr.io/acme/api"]
            build.context = "services/api"
        """,
    )

    (api,) = found.components
    assert [str(image) for image in found.default.images] == ["ghcr.io/acme/app", "acme/app"]
    assert [str(image) for image in api.images] == ["ghcr.io/acme/api"]
    assert api.tag_prefix == "api/v"
    assert api.context == tmp_path / "services/api"
    # What a component does not say, it has from the file.
    assert api.build_args == {"GO_VERSION": "1.27"}
    assert api.ignore == found.default.ignore
    assert api.platforms == ("linux/amd64", "linux/arm64")


def test_settings_can_be_in_pyproject_toml(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[tool.releasetag]\njobs = 2\n[tool.releasetag.build]\npull = true'
    )

    found = load_in(tmp_path).default

    assert (found.jobs, found.pull) == (2, True)


@pytest.mark.parametrize("pyproject", ["", "[tool.other]\njobs = 9", "[tool]\nreleasetag = 1"])
def test_a_pyproject_toml_without_our_table_counts_for_nothing(
    pyproject: str, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text(pyproject)

    assert load_in(tmp_path) == load({}, {}, tmp_path, tmp_path)
    assert load_in(tmp_path).default.jobs == 4


def test_releasetag_toml_comes_before_pyproject_toml(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.releasetag]\njobs = 2")

    assert load_in(tmp_path, toml="jobs = 3").default.jobs == 3


def test_the_file_in_path_comes_before_that_of_the_work_tree(tmp_path: Path) -> None:
    service = tmp_path / "service"
    service.mkdir()
    (tmp_path / "releasetag.toml").write_text('jobs = 2\nbuild.context = "."')

    assert load({}, {}, service, tmp_path).default.jobs == 2
    # A path in a file begins where the file is.
    assert load({}, {}, service, tmp_path).default.context == tmp_path
    (service / "pyproject.toml").write_text("[tool.releasetag]\njobs = 3")
    assert load({}, {}, service, tmp_path).default.jobs == 3


@pytest.mark.parametrize("place", ["option", "environ"])
@pytest.mark.parametrize("name", ["ci/other.toml", "ci/pyproject.toml"])
def test_a_named_file_is_read_in_place_of_the_others(place: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "ci").mkdir()
    table = "[tool.releasetag]\n" if name.endswith("pyproject.toml") else ""
    (tmp_path / name).write_text(f'{table}build.context = "src"')
    (tmp_path / "releasetag.toml").write_text("jobs = 9")

    if place == "option":
        found = load_in(tmp_path, environ={"RELEASETAG_CONFIG": "none.toml"}, config=name)
    else:
        found = load_in(tmp_path, environ={"RELEASETAG_CONFIG": name})

    assert found.default.context == tmp_path / "ci" / "src"
    assert found.default.jobs == 4


@pytest.mark.parametrize(
    ("toml", "message", "hint"),
    [
        ("image = ['a']", "releasetag.toml: unknown key 'image'", "'images'"),
        ("tag_prefix = 'v'", "releasetag.toml: unknown key 'tag_prefix'", "'tag-prefix'"),
        ("[build]\ncontxt = '.'", "unknown key 'build.contxt'", "'build.context'"),
        ("[buld]\ncontext = '.'", "unknown key 'buld.context'", "'build.context'"),
        ("build.arg = { A = '1' }", "unknown key 'build.arg", "'build.args'"),
        ("context = '.'", "unknown key 'context'", "'build.context'"),
        ("[[component]]\nname = 'a'", "unknown key 'component'", "'components'"),
        ("[other]", "unknown key 'other'", "images"),
        ("git-tag = 'v1.2.3'", "unknown key 'git-tag'", ""),
        ("overwrite = true", "unknown key 'overwrite'", ""),
        (
            "[[components]]\nname = 'api'\ntag-prefix = 'a'\nimage = ['b']",
            "releasetag.toml: component api: unknown key 'image'",
            "'images'",
        ),
        (
            "[[components]]\ntag-prefix = 'a'\n[[components]]\ntag-prefix = 'b'\nnmae = 'x'",
            "releasetag.toml: component 2: unknown key 'nmae'",
            "'name'",
        ),
    ],
)
def test_an_unknown_key_is_an_error_that_names_file_key_and_the_nearest_known_one(
    toml: str, message: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as error:
        load_in(tmp_path, toml=toml)

    assert hint in error.value.hint


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("images = 'acme/app'", "releasetag.toml: images is not a list of strings"),
        ("images = [1]", "releasetag.toml: images is not a list of strings"),
        ("jobs = '2'", "releasetag.toml: jobs is not a number"),
        ("jobs = true", "releasetag.toml: jobs is not a number"),
        ("jobs = 1.5", "releasetag.toml: jobs is not a number"),
        ("jobs = 0", "releasetag.toml: jobs: 0 is not possible"),
        ("remote = 1", "releasetag.toml: remote is not a string"),
        ("history = 'all'", "releasetag.toml: history: 'all' is not possible"),
        ("ignore = ['2.0']", "releasetag.toml: ignore: '2.0' is not a semantic version"),
        ("tags = []", "releasetag.toml: tags: no tag template"),
        ("tags = ['{majr}']", "releasetag.toml: tags: unknown field {majr}"),
        ("tags = [{ tag = 'beta', follows = 'all' }]", "tags: 'all' is not what a tag can follow"),
        ("tags = [{ tag = 'beta', follows = '' }]", "releasetag.toml: tags is empty"),
        ("tags = [{ tag = 'beta', follows = 1 }]", "tags is not a list of strings"),
        ("tags = [{ tag = 'beta', folows = 'any' }]", "other keys than tag and follows"),
        ("tags = [{ follows = 'any' }]", "other keys than tag and follows"),
        ("tags = [{}]", "other keys than tag and follows"),
        ("images = [{ tag = 'beta' }]", "releasetag.toml: images is not a list of strings"),
        ("images = ['acme/']", "releasetag.toml: images: 'acme/' is not a repository"),
        ("gates = 'x'", "releasetag.toml: gates is not a list of strings"),
        ("build.no-cache = 'yes'", "releasetag.toml: build.no-cache is not true or false"),
        ("build.context = ['.']", "releasetag.toml: build.context is not a string"),
        ("build.args = ['A=1']", "releasetag.toml: build.args is not a table"),
        (
            "build.args = { A = ['hunter2'] }",
            "releasetag.toml: build.args is not a table of strings",
        ),
        ("build.shm-size = '64x'", "releasetag.toml: build.shm-size: '64x' is not a size"),
        ("build.builder = 'kaniko'", "releasetag.toml: build.builder: 'kaniko' is not possible"),
        ("build = 1", "releasetag.toml: unknown key 'build'"),
        ("components = 1", "releasetag.toml: components is not a list of tables"),
        ("[components]\nname = 'a'", "releasetag.toml: components is not a list of tables"),
        ("[[components]]\nname = 'a'", "releasetag.toml: component a has no tag-prefix"),
        ("[[components]]\ntag-prefix = 1", "releasetag.toml: component 1 has no tag-prefix"),
        ("[[components]]\nname = 1\ntag-prefix = 'a'", "component 1: name is not a string"),
        ("images = [", "releasetag.toml is not TOML"),
        ("jobs = 1000000", "releasetag.toml: jobs: 1000000 is not possible"),
        (f"jobs = {2**64}", "releasetag.toml: jobs is too large a number"),
        (f"jobs = {'9' * 5000}", "releasetag.toml is not TOML"),
        (f"jobs = 0x{'f' * 5000}", "releasetag.toml: jobs is too large a number"),
        (f"build.args.A = 0x{'f' * 5000}", "build.args is too large a number"),
        ("jobs = 2026-01-02", "releasetag.toml: jobs is not a number"),
        ("remote = 2026-01-02T03:04:05Z", "releasetag.toml: remote is not a string"),
        ("build.args = { A = 1.5 }", "releasetag.toml: build.args is not a table of strings"),
        ("images = ['acme/app', 1]", "releasetag.toml: images is not a list of strings"),
        ("images = {}", "releasetag.toml: images is not a list of strings"),
        ("remote = { name = 'x' }", "releasetag.toml: remote is not a string"),
        ("insecure-registries = ['http://a']", "insecure-registries: 'http://a' is not a range"),
        ("build.args = { '' = 'hunter2' }", "build.args: the name '' is not possible"),
        ("build.labels = { 'a=b' = 'hunter2' }", "build.labels: the name 'a=b' is not possible"),
        ("build.context = 'a'\nbuild.context = 'b'", "releasetag.toml is not TOML"),
        ("build = { context = 'a' }\n[build]\ntarget = 'b'", "releasetag.toml is not TOML"),
        ("images = " + "[" * 10_000, "releasetag.toml is nested too deeply"),
        ("x = " + "{x=" * 10_000, "releasetag.toml is nested too deeply"),
    ],
)
def test_a_value_of_the_wrong_kind_is_an_error_that_names_file_and_key(
    toml: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as error:
        load_in(tmp_path, toml=toml)

    assert error.value.hint
    assert error.value.exit_code == 2
    assert "hunter2" not in error.value.message + error.value.hint


EMPTY = ["remote", "build.context", "build.file", "build.target", "build.network", "build.shm-size"]


@pytest.mark.parametrize("empty", ["", " ", "\\n"])
@pytest.mark.parametrize("key", EMPTY)
def test_an_empty_string_is_an_error(key: str, empty: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^releasetag.toml: {key} is empty$"):
        load_in(tmp_path, toml=f'{key} = "{empty}"')


@pytest.mark.parametrize("key", ["images", "gates", "build.ssh", "build.platforms", "ignore"])
def test_an_empty_item_is_an_error(key: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^releasetag.toml: {key} is empty$"):
        load_in(tmp_path, toml=f'{key} = ["", " "]')


def test_the_value_of_an_argument_or_a_label_may_be_empty(tmp_path: Path) -> None:
    found = load_in(tmp_path, toml='build.args = { A = "" }\nbuild.labels = { a = "" }').default

    assert (found.build_args, found.labels) == ({"A": ""}, {"a": ""})


@pytest.mark.parametrize(
    "line",
    [
        r'remote = "a\u0000"',
        r'tag-prefix = "\u0000"',
        r'build.context = "a\u0000b"',
        r'build.file = "a\u0000b"',
        r'images = ["acme/app\u0000"]',
        r'gates = ["true \u0000"]',
        r'build.args = { A = "\u0000" }',
        r'build.labels = { "a\u0000" = "b" }',
    ],
)
def test_a_nul_character_is_an_error(line: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds a NUL character$"):
        load_in(tmp_path, toml=line)


def test_a_quoted_key_with_a_dot_is_not_the_key_of_the_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown key 'build\.target'") as error:
        load_in(tmp_path, toml='"build.target" = "a"\n[build]\ntarget = "b"')

    assert error.value.hint == "write build.target without quotes"


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    assert load_in(tmp_path, toml="\ufeffjobs = 2").default.jobs == 2


def test_what_a_file_holds_does_not_reach_the_terminal_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        load_in(tmp_path, toml='"\\u001b[2Jimagse\\u202e" = 1')

    assert (error.value.message + error.value.hint).isprintable()


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no configuration file ci\.toml"):
        load_in(tmp_path, config="ci.toml")


def test_a_file_that_is_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "releasetag.toml").mkdir()

    with pytest.raises(UsageError, match="cannot be read"):
        load_in(tmp_path)


def test_a_file_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "releasetag.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(UsageError, match="not UTF-8"):
        load_in(tmp_path)


@pytest.mark.parametrize("line", ['history = "local"', 'remote = "upstream"'])
def test_the_history_is_one_for_all_components(tmp_path: Path, line: str) -> None:
    entry = f'[[components]]\nname = "api"\ntag-prefix = "api/v"\n{line}\n'
    (tmp_path / "releasetag.toml").write_text(entry)
    with pytest.raises(UsageError, match="one for all components"):
        load({}, {}, tmp_path, tmp_path)
