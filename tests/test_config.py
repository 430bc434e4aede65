"""releasetag.config: settings from options, environment, file and defaults."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from releasetag.config import Configuration, Settings, load
from releasetag.errors import UsageError


def load_in(
    directory: Path,
    *,
    toml: str = "",
    environ: Mapping[str, str] | None = None,
    **options: Any,
) -> Configuration:
    """The configuration of a work tree with this releasetag.toml."""
    if toml:
        (directory / "releasetag.toml").write_text(toml, "utf-8")
    return load(options, environ or {}, directory, directory)


def shown(value: object) -> object:
    """A value in the form in which the tables write it."""
    if isinstance(value, tuple):
        return [shown(item) for item in value]
    return (
        value if isinstance(value, str | int | dict | None) else str(getattr(value, "text", value))
    )


@dataclass(frozen=True)
class Case:
    """One setting, given in every place where it can be given, and what comes of it."""

    name: str
    toml: str  # empty: not in the file
    variable: str
    option: Any
    expected: object
    default: object

    def __str__(self) -> str:
        return self.name


REPOSITORIES = ["ghcr.io/acme/app", "acme/app"]

# `BASE` is the directory of the file, and where paths of options and environment begin.
CASES = [
    Case("images", 'images = ["ghcr.io/acme/app", "acme/app"]', "ghcr.io/acme/app,acme/app",
         REPOSITORIES, REPOSITORIES, []),
    Case("tags", 'tags = ["{major}", "edge"]', "{major}\nedge", ["{major}", "edge"],
         ["{major}", "edge"], ["{version}", "{major}.{minor}", "latest"]),
    Case("git_tag", "", "v1.2.3", "v1.2.3", "v1.2.3", None),
    Case("tag_prefix", 'tag-prefix = "api/v"', "api/v", "api/v", "api/v", None),
    Case("history", 'history = "local"', "local", "local", "local", "auto"),
    Case("remote", 'remote = "upstream"', "upstream", "upstream", "upstream", "origin"),
    Case("ignore", 'ignore = ["2.0.0", "v2.0.1"]', "2.0.0, v2.0.1", ["2.0.0", "v2.0.1"],
         ["2.0.0", "2.0.1"], []),
    Case("context", 'build.context = "sub"', "sub", "sub", "BASE/sub", None),
    Case("from_image", "", "acme/app:dev", "acme/app:dev", "acme/app:dev", None),
    Case("from_container", "", "box", "box", "box", None),
    Case("file", 'build.file = "Other"', "Other", "Other", "Other", None),
    Case("target", 'build.target = "final"', "final", "final", "final", None),
    Case("platforms", 'build.platforms = ["linux/amd64", "linux/arm64"]',
         "linux/amd64,linux/arm64", ["linux/amd64,linux/arm64"],
         ["linux/amd64", "linux/arm64"], []),
    Case("build_args", 'build.args = { A = "1", B = "x=y" }', "A=1\nB=x=y", ["A=1", "B=x=y"],
         {"A": "1", "B": "x=y"}, {}),
    Case("labels", 'build.labels = { "a.b" = "1, 2" }', "a.b=1, 2", ["a.b=1, 2"],
         {"a.b": "1, 2"}, {}),
    Case("secrets", 'build.secrets = ["id=a,src=b", "id=c,env=D"]', "id=a,src=b\nid=c,env=D",
         ["id=a,src=b", "id=c,env=D"], ["id=a,src=b", "id=c,env=D"], []),
    Case("ssh", 'build.ssh = ["default"]', "default", ["default"], ["default"], []),
    Case("cache_from", 'build.cache-from = ["acme/app:latest"]', "acme/app:latest",
         ["acme/app:latest"], ["acme/app:latest"], []),
    Case("no_cache", "build.no-cache = true", "true", True, True, False),
    Case("pull", "build.pull = true", "1", True, True, False),
    Case("network", 'build.network = "none"', "none", "none", "none", None),
    Case("add_hosts", 'build.add-hosts = ["a:10.0.0.1"]', "a:10.0.0.1", ["a:10.0.0.1"],
         ["a:10.0.0.1"], []),
    Case("shm_size", 'build.shm-size = "64m"', "64m", "64m", 64 << 20, None),
    Case("inline_cache", "build.inline-cache = true", "yes", True, True, False),
    Case("builder", 'build.builder = "buildx:big"', "buildx:big", "buildx:big", "buildx:big",
         "auto"),
    Case("push", "", "false", False, False, True),
    Case("dry_run", "", "true", True, True, False),
    Case("overwrite", "", "True", True, True, False),
    Case("allow_dirty", "", "YES", True, True, False),
    Case("jobs", "jobs = 2", "2", 2, 2, 4),
    Case("metadata_file", "", "out.json", "out.json", "BASE/out.json", None),
    Case("gates", 'gates = ["check --all, now", "sign"]', "check --all, now\nsign",
         ["check --all, now", "sign"], ["check --all, now", "sign"], []),
]  # fmt: skip


def test_every_setting_is_in_the_table() -> None:
    names = {field.name for field in dataclasses.fields(Settings)} - {"base"}

    assert {case.name for case in CASES} == names


@pytest.mark.parametrize("place", ["toml", "environ", "options"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_setting_can_be_given_in_every_place(case: Case, place: str, tmp_path: Path) -> None:
    match place:
        case "toml":
            found = load_in(tmp_path, toml=case.toml)
        case "environ":
            environ = {f"RELEASETAG_{case.name.upper()}": case.variable}
            found = load_in(tmp_path, environ=environ)
        case _:
            found = load_in(tmp_path, **{case.name: case.option})

    expected = case.default if place == "toml" and not case.toml else case.expected
    if isinstance(expected, str):
        expected = expected.replace("BASE", str(tmp_path))
    assert shown(getattr(found.default, case.name)) == expected


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_setting_that_is_not_given_has_its_default(case: Case, tmp_path: Path) -> None:
    assert shown(getattr(load_in(tmp_path).default, case.name)) == case.default


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_an_empty_variable_is_not_given(empty: str, tmp_path: Path) -> None:
    # GitHub Actions passes an input that was not given as an empty string.
    environ = {f"RELEASETAG_{case.name.upper()}": empty for case in CASES}

    assert load_in(tmp_path, environ={**environ, "RELEASETAG_CONFIG": ""}) == load_in(tmp_path)


@pytest.mark.parametrize("empty", [None, []])
def test_an_empty_option_is_not_given(empty: Any, tmp_path: Path) -> None:
    toml = 'images = ["acme/app"]\njobs = 2\n'

    found = load_in(tmp_path, toml=toml, **{case.name: empty for case in CASES})

    assert found == load_in(tmp_path, toml=toml)
    assert found.default.jobs == 2


def test_an_empty_prefix_is_a_prefix(tmp_path: Path) -> None:
    found = load_in(tmp_path, toml='tag-prefix = "v"', tag_prefix="")

    assert found.default.tag_prefix == ""
    assert found.of("1.2.3") == found.default
    assert found.of("v1.2.3") is None


# Precedence and merging ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "variable", "option", "expected"),
    [
        ("jobs = 1", "2", 3, 3),
        ("jobs = 1", "2", None, 2),
        ("jobs = 1", "", None, 1),
        ("", "2", 3, 3),
        ("", "", None, 4),
    ],
)
def test_the_higher_place_wins(
    toml: str, variable: str, option: int | None, expected: int, tmp_path: Path
) -> None:
    found = load_in(tmp_path, toml=toml, environ={"RELEASETAG_JOBS": variable}, jobs=option)

    assert found.default.jobs == expected


def test_a_higher_false_wins_over_a_lower_true(tmp_path: Path) -> None:
    environ = {"RELEASETAG_PULL": "false"}

    assert load_in(tmp_path, toml="build.pull = true", environ=environ).default.pull is False


def test_a_higher_list_replaces_a_lower_one(tmp_path: Path) -> None:
    found = load_in(tmp_path, toml='images = ["acme/app", "acme/b"]', images=["acme/c"])

    assert [str(image) for image in found.default.images] == ["acme/c"]


def test_build_arguments_and_labels_of_all_places_are_merged(tmp_path: Path) -> None:
    found = load_in(
        tmp_path,
        toml='[build]\nargs = { A = "file", B = "file", C = "file" }\nlabels = { x = "file" }',
        environ={"RELEASETAG_BUILD_ARGS": "B=environment\nC=environment"},
        build_args=["C=option", "D"],
        labels=["y="],
    ).default

    # D alone stands for the value that the environment has when building.
    assert found.build_args == {"A": "file", "B": "environment", "C": "option", "D": None}
    assert found.labels == {"x": "file", "y": ""}


def test_plain_values_of_a_file_are_texts_to_the_build(tmp_path: Path) -> None:
    toml = 'build.args = { A = 1, B = true, C = "x" }'

    assert load_in(tmp_path, toml=toml).default.build_args == {"A": "1", "B": "true", "C": "x"}


def test_an_image_or_template_that_is_given_twice_counts_once(tmp_path: Path) -> None:
    found = load_in(tmp_path, images=["app", "docker.io/library/app"], tags=["latest", "latest"])

    assert [str(image) for image in found.default.images] == ["app"]
    assert [template.text for template in found.default.tags] == ["latest"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [("1", 1), ("1b", 1), ("2k", 2048), ("64m", 64 << 20), ("64MB", 64 << 20), ("1g", 1 << 30)],
)
def test_a_size_is_bytes_or_has_a_unit(size: str, expected: int, tmp_path: Path) -> None:
    assert load_in(tmp_path, shm_size=size).default.shm_size == expected


# Files --------------------------------------------------------------------------------------------


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
    assert [str(image) for image in found.default.images] == REPOSITORIES
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
def test_a_pyproject_toml_without_our_table_says_nothing(pyproject: str, tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("RELEASETAG_GATE", "RELEASETAG_GATES"),
        ("RELEASETAG_IMAGE", "RELEASETAG_IMAGES"),
        ("RELEASETAG_BUILD_ARG", "RELEASETAG_BUILD_ARGS"),
        ("RELEASETAG_NO_PUSH", "RELEASETAG_PUSH"),
        ("RELEASETAG_DRYRUN", "RELEASETAG_DRY_RUN"),
        ("RELEASETAG_TAG", "RELEASETAG_TAGS"),
        ("RELEASETAG_CONFIGS", "RELEASETAG_CONFIG"),
        ("RELEASETAG_PLATFROMS", "RELEASETAG_PLATFORMS"),
    ],
)
def test_a_misspelt_variable_is_not_passed_over(tmp_path: Path, variable: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"^{variable} is no setting$") as error:
        load_in(tmp_path, environ={variable: "x"})
    assert f"did you mean {meant}?" in error.value.hint
    load_in(tmp_path, environ={variable: " "})  # an input of GitHub Actions that was not given


@pytest.mark.parametrize(
    "name",
    # What this and its step on GitHub Actions set for others, and anything else.
    [
        *("VERSION", "DIGEST", "REFERENCES", "PYTHON", "REGISTRY", "USERNAME", "PASSWORD", "TOKEN"),
        *("BUILD_NUMBER", "BUILD_DATE", "CACHE_DIR", "GIT_SHA", "IMAGE_ID", "REMOTE_URL", "ARGS"),
    ],
)
def test_a_variable_that_is_no_setting_and_near_to_none_is_somebody_elses(
    tmp_path: Path, name: str
) -> None:
    assert load_in(tmp_path, environ={f"RELEASETAG_{name}": "x"}) == load_in(tmp_path)


@pytest.mark.parametrize("place", ["option", "environ"])
@pytest.mark.parametrize("name", ["ci/other.toml", "ci/pyproject.toml"])
def test_a_named_file_is_read_in_place_of_the_others(place: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "ci").mkdir()
    table = "[tool.releasetag]\n" if name.endswith("pyproject.toml") else ""
    (tmp_path / name).write_text(f'{table}build.context = "src"')
    (tmp_path / "releasetag.toml").write_text("jobs = 9")

    if place == "option":
        found = load({"config": name}, {"RELEASETAG_CONFIG": "none.toml"}, tmp_path, tmp_path)
    else:
        found = load({}, {"RELEASETAG_CONFIG": name}, tmp_path, tmp_path)

    assert found.default.context == tmp_path / "ci" / "src"
    assert found.default.jobs == 4


def test_paths_begin_in_path_for_options_and_environment(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "Dockerfile.ci").touch()

    environ = {"RELEASETAG_METADATA_FILE": "out.json"}
    found = load({"context": "../x", "file": "Dockerfile.ci"}, environ, here, tmp_path).default

    assert found.context == here / "../x"
    assert found.metadata_file == here / "out.json"
    assert found.file == here / "Dockerfile.ci"


def test_paths_begin_where_one_is_when_path_is_somewhere_else(tmp_path: Path) -> None:
    here, path = tmp_path / "here", tmp_path / "path"
    for directory in (here, path):
        directory.mkdir()
        (directory / "Dockerfile.ci").touch()
        (directory / "ci.toml").write_text(f'build.target = "{directory.name}"')

    options = {"context": "src", "file": "Dockerfile.ci", "config": "ci.toml"}
    environ = {"RELEASETAG_METADATA_FILE": "out.json"}
    found = load(options, environ, path, tmp_path, here).default

    assert found.context == here / "src"
    assert found.file == here / "Dockerfile.ci"
    assert found.metadata_file == here / "out.json"
    assert found.target == "here"
    assert found.base == path  # what is built where no context is given


def test_an_absolute_path_stays_as_it_is(tmp_path: Path) -> None:
    found = load_in(tmp_path, toml='build.context = "/srv/a"', metadata_file="/srv/b").default

    assert (found.context, found.metadata_file) == (Path("/srv/a"), Path("/srv/b"))


# Components ---------------------------------------------------------------------------------------

MONOREPO = """
images = ["acme/app"]
[[components]]
name = "api"
tag-prefix = "api/v"
images = ["acme/api"]
[[components]]
name = "web"
tag-prefix = "web-"
images = ["acme/web"]
"""
SHARED = "tags = ['latest']\n" + MONOREPO.replace('images = ["acme/app"]\n', "", 1)


@pytest.mark.parametrize(
    ("toml", "git_tag", "expected"),
    [
        (MONOREPO, "v1.2.3", "acme/app"),
        (MONOREPO, "api/v1.2.3", "acme/api"),
        (MONOREPO, "web-1.2.3", "acme/web"),
        (MONOREPO, "web-v1.2.3", None),
        (MONOREPO, "api/v1.2", None),
        (MONOREPO, "nightly", None),
        # With components alone there is nothing that `v1.2.3` is a release of.
        (SHARED, "v1.2.3", None),
        (SHARED, "api/v1.2.3", "acme/api"),
    ],
)
def test_a_component_is_chosen_by_the_prefix_of_the_git_tag(
    toml: str, git_tag: str, expected: str | None, tmp_path: Path
) -> None:
    found = load_in(tmp_path, toml=toml).of(git_tag)

    assert (found and [str(image) for image in found.images]) == (expected and [expected])


def test_the_longest_prefix_is_chosen_where_two_would_do(tmp_path: Path) -> None:
    toml = """
        [[components]]
        tag-prefix = ""
        images = ["acme/short"]
        [[components]]
        tag-prefix = "1"
        images = ["acme/long"]
    """

    found = load_in(tmp_path, toml=toml).of("11.2.3")

    assert found is not None
    assert [str(image) for image in found.images] == ["acme/long"]


@pytest.mark.parametrize(
    ("prefix", "git_tag", "expected"),
    [
        ("api/v", "api/v1.2.3", "acme/api"),
        ("api/v", "web-1.2.3", None),
        ("api/v", "v1.2.3", None),
        # The file's own prefix chooses what is outside any component.
        ("v", "v1.2.3", "acme/app"),
        ("v", "api/v1.2.3", None),
        ("other/v", "other/v1.2.3", "acme/app"),
    ],
)
@pytest.mark.parametrize("file_prefix", ["", "tag-prefix = 'v'\n"])
def test_a_prefix_from_above_the_file_chooses_a_component_and_renames_none(
    prefix: str, git_tag: str, expected: str | None, file_prefix: str, tmp_path: Path
) -> None:
    found = load_in(tmp_path, toml=file_prefix + MONOREPO, tag_prefix=prefix).of(git_tag)

    assert (found and [str(image) for image in found.images]) == (expected and [expected])


def test_options_and_environment_count_for_components_too(tmp_path: Path) -> None:
    environ = {"RELEASETAG_JOBS": "2"}

    found = load_in(tmp_path, toml=MONOREPO, environ=environ, build_args=["A=1"])

    assert [(each.jobs, each.build_args) for each in found.components] == [(2, {"A": "1"})] * 2


# What cannot be -----------------------------------------------------------------------------------


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
        ("images = 'acme/app'", "releasetag.toml: images is not a list of texts"),
        ("images = [1]", "releasetag.toml: images is not a list of texts"),
        ("jobs = '2'", "releasetag.toml: jobs is not a number"),
        ("jobs = true", "releasetag.toml: jobs is not a number"),
        ("jobs = 1.5", "releasetag.toml: jobs is not a number"),
        ("jobs = 0", "releasetag.toml: jobs: 0 is not possible"),
        ("remote = 1", "releasetag.toml: remote is not a text"),
        ("history = 'all'", "releasetag.toml: history: 'all' is not possible"),
        ("ignore = ['2.0']", "releasetag.toml: ignore: '2.0' is not a semantic version"),
        ("tags = []", "releasetag.toml: tags: no tag template"),
        ("tags = ['{majr}']", "releasetag.toml: tags: unknown field {majr}"),
        ("images = ['Acme/app']", "releasetag.toml: images: 'Acme/app' has upper-case"),
        ("gates = 'x'", "releasetag.toml: gates is not a list of texts"),
        ("build.no-cache = 'yes'", "releasetag.toml: build.no-cache is not true or false"),
        ("build.context = ['.']", "releasetag.toml: build.context is not a text"),
        ("build.args = ['A=1']", "releasetag.toml: build.args is not a table"),
        ("build.args = { A = ['hunter2'] }", "releasetag.toml: build.args is not a table of texts"),
        ("build.shm-size = '64x'", "releasetag.toml: build.shm-size: '64x' is not a size"),
        ("build.builder = 'kaniko'", "releasetag.toml: build.builder: 'kaniko' is not possible"),
        ("build = 1", "releasetag.toml: unknown key 'build'"),
        ("components = 1", "releasetag.toml: components is not a list of tables"),
        ("[components]\nname = 'a'", "releasetag.toml: components is not a list of tables"),
        ("[[components]]\nname = 'a'", "releasetag.toml: component a has no tag-prefix"),
        ("[[components]]\ntag-prefix = 1", "releasetag.toml: component 1 has no tag-prefix"),
        ("[[components]]\nname = 1\ntag-prefix = 'a'", "component 1: name is not a text"),
        ("images = [", "releasetag.toml is not TOML"),
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


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("RELEASETAG_JOBS", "many", "RELEASETAG_JOBS: 'many' is not a number"),
        ("RELEASETAG_JOBS", "0", "RELEASETAG_JOBS: 0 is not possible"),
        ("RELEASETAG_JOBS", "²", "RELEASETAG_JOBS: '²' is not a number"),
        ("RELEASETAG_PULL", "maybe", "RELEASETAG_PULL: 'maybe' is neither true nor false"),
        ("RELEASETAG_HISTORY", "all", "RELEASETAG_HISTORY: 'all' is not possible"),
        ("RELEASETAG_IGNORE", "x", "RELEASETAG_IGNORE: 'x' is not a semantic version"),
        ("RELEASETAG_SHM_SIZE", "-1", "RELEASETAG_SHM_SIZE: '-1' is not a size"),
        ("RELEASETAG_BUILD_ARGS", "=hunter2", "RELEASETAG_BUILD_ARGS: a name is missing"),
        ("RELEASETAG_LABELS", "a=b\n=hunter2", "RELEASETAG_LABELS: a name is missing"),
        ("RELEASETAG_TAGS", ",", "RELEASETAG_TAGS: no tag template"),
    ],
)
def test_a_variable_that_cannot_be_is_an_error_that_names_it(
    variable: str, value: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as error:
        load_in(tmp_path, environ={variable: value})

    assert "hunter2" not in error.value.message + error.value.hint


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("jobs", 0, "--jobs: 0 is not possible"),
        ("ignore", ["x"], "--ignore: 'x' is not a semantic version"),
        ("history", "all", "--history: 'all' is not possible"),
        ("builder", "kaniko", "--builder: 'kaniko' is not possible"),
        ("build_args", ["=hunter2"], "--build-arg: a name is missing"),
        ("labels", ["=hunter2"], "--label: a name is missing"),
        ("shm_size", "", "--shm-size: '' is not a size"),
    ],
)
def test_an_option_that_cannot_be_is_an_error_that_names_it(
    name: str, value: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as error:
        load_in(tmp_path, **{name: value})

    assert "hunter2" not in error.value.message + error.value.hint


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no configuration file ci\.toml"):
        load_in(tmp_path, config="ci.toml")


def test_a_file_that_is_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "releasetag.toml").mkdir()

    with pytest.raises(UsageError, match="cannot be read"):
        load_in(tmp_path)


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "releasetag.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(UsageError, match="not UTF-8"):
        load_in(tmp_path)


def test_values_that_may_be_secret_are_not_in_the_text_form_of_settings(tmp_path: Path) -> None:
    found = load_in(tmp_path, build_args=["TOKEN=hunter2"], labels=["a=hunter2"])

    assert found.default.build_args == {"TOKEN": "hunter2"}
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize("line", ['history = "local"', 'remote = "upstream"'])
def test_the_history_is_one_for_all_components(tmp_path: Path, line: str) -> None:
    entry = f'[[components]]\nname = "api"\ntag-prefix = "api/v"\n{line}\n'
    (tmp_path / "releasetag.toml").write_text(entry)
    with pytest.raises(UsageError, match="one for all components"):
        load({}, {}, tmp_path, tmp_path)
