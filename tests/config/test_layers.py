"""releasetag.config.layers: options, environment, file and defaults, and which of them wins."""

import dataclasses
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from releasetag.config import Configuration, Settings, load
from releasetag.config.schema import SETTINGS
from releasetag.errors import UsageError
from tests.support.config import load_in


def load_option(directory: Path, name: str, value: Any) -> Configuration:
    """The configuration with one option."""
    options: dict[str, Any] = {name: value}
    return load_in(directory, **options)


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
    Case("versions", 'versions = "loose"', "loose", "loose", "loose", "semver"),
    Case("remote", 'remote = "upstream"', "upstream", "upstream", "upstream", "origin"),
    Case("ignore", 'ignore = ["2.0.0", "v2.0.1"]', "2.0.0, v2.0.1", ["2.0.0", "v2.0.1"],
         ["2.0.0", "2.0.1"], []),
    Case("insecure_registries", 'insecure-registries = ["Reg.lan:5000", "10.1.2.3/8"]',
         "reg.lan:5000,10.1.2.3/8", ["reg.lan:5000", "10.1.2.3/8", "reg.lan:5000"],
         ["reg.lan:5000", "10.0.0.0/8"], []),
    Case("variants", "", "alpine, debian", ["alpine", "debian"], ["alpine", "debian"], []),
    Case("context", 'build.context = "sub"', "sub", "sub", "BASE/sub", None),
    Case("from_image", "", "acme/app:dev", "acme/app:dev", "acme/app:dev", None),
    Case("from_container", "", "box", "box", "box", None),
    Case("from_snapshot", "from-snapshot = true", "true", True, True, False),
    Case("from_version", "", "2.0.0-rc.1", "v2.0.0-rc.1", "2.0.0-rc.1", None),
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
    Case("cache", 'build.cache = "gha"', "gha", "gha", "gha", "off"),
    Case("cache_to", 'build.cache-to = ["type=gha,mode=max"]', "type=gha,mode=max",
         ["type=gha,mode=max"], ["type=gha,mode=max"], []),
    Case("provenance", 'build.provenance = "mode=max"', "mode=max", "mode=max", "mode=max", None),
    Case("sbom", 'build.sbom = "true"', "true", "true", "true", None),
    Case("attests", 'build.attest = ["type=sbom"]', "type=sbom", ["type=sbom"], ["type=sbom"], []),
    Case("annotations", 'build.annotations = ["index:a.b=1, 2"]', "index:a.b=1, 2",
         ["index:a.b=1, 2"], ["index:a.b=1, 2"], []),
    Case("build_contexts", 'build.build-contexts = ["src=../src"]', "src=../src", ["src=../src"],
         ["src=../src"], []),
    Case("ulimits", 'build.ulimits = ["nofile=1024:2048"]', "nofile=1024:2048",
         ["nofile=1024:2048"], ["nofile=1024:2048"], []),
    Case("cgroup_parent", 'build.cgroup-parent = "ci"', "ci", "ci", "ci", None),
    Case("allow", 'build.allow = ["network.host"]', "network.host", ["network.host"],
         ["network.host"], []),
    Case("no_cache", "build.no-cache = true", "true", True, True, False),
    Case("pull", "build.pull = true", "1", True, True, False),
    Case("network", 'build.network = "none"', "none", "none", "none", None),
    Case("add_hosts", 'build.add-hosts = ["a:10.0.0.1"]', "a:10.0.0.1", ["a:10.0.0.1"],
         ["a:10.0.0.1"], []),
    Case("shm_size", 'build.shm-size = "64m"', "64m", "64m", 64 << 20, None),
    Case("inline_cache", "build.inline-cache = true", "yes", True, True, False),
    Case("builder", 'build.builder = "buildx:big"', "buildx:big", "buildx:big", "buildx:big",
         "auto"),
    Case("part", "", "linux/arm64", "linux/arm64", "linux/arm64", None),
    Case("push", "", "false", False, False, True),
    Case("dry_run", "", "true", True, True, False),
    Case("overwrite", "", "True", True, True, False),
    Case("allow_dirty", "", "YES", True, True, False),
    Case("jobs", "jobs = 2", "2", 2, 2, 4),
    Case("metadata_file", "", "out.json", "out.json", "BASE/out.json", None),
    Case("gates", 'gates = ["check --all, now", "sign"]', "check --all, now\nsign",
         ["check --all, now", "sign"], ["check --all, now", "sign"], []),
    Case("edge", 'edge = "main"', "main", "main", "main", "edge"),
]  # fmt: skip


def test_every_field_is_a_row_of_the_table_and_a_case_of_this_test() -> None:
    made = {"base", "variant", "suffixes", "by_variant", "by_platform"}
    names = {each.name for each in dataclasses.fields(Settings)} - made

    assert set(SETTINGS) == names
    # The file is the test of its own: test_file.py.
    assert {case.name for case in CASES} == names - {"config"}


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
            found = load_option(tmp_path, case.name, case.option)

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


TEXTS = [
    name
    for name, setting in SETTINGS.items()
    if setting.kind in {"text", "path", "dockerfile", "number"} and not setting.may_be_empty
]
ITEMS = [name for name, setting in SETTINGS.items() if setting.kind in {"list", "lines", "map"}]


@pytest.mark.parametrize(
    ("name", "example"),
    [("images", "-i REPOSITORY"), ("tags", "-t TEMPLATE"), ("file", "-f FILE")],
)
def test_a_short_option_has_its_value_behind_a_blank(
    name: str, example: str, tmp_path: Path
) -> None:
    given = "=x" if name == "file" else ["=x"]
    with pytest.raises(UsageError, match="'=x' begins with '='") as caught:
        load({name: given}, {}, tmp_path, tmp_path)
    assert example in caught.value.hint


@pytest.mark.parametrize("empty", ["", " ", "\n"])
@pytest.mark.parametrize("name", TEXTS)
def test_an_empty_value_of_an_option_is_an_unset_variable(
    name: str, empty: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"^{SETTINGS[name].option} is empty$") as error:
        load_option(tmp_path, name, empty)

    assert "a variable may be unset" in error.value.hint


@pytest.mark.parametrize("name", ITEMS)
def test_an_empty_item_of_an_option_is_an_unset_variable(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^{SETTINGS[name].option} is empty$"):
        load_option(tmp_path, name, ["", "a"])


@pytest.mark.parametrize("name", [*TEXTS, "tag_prefix"])
def test_a_nul_character_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^{SETTINGS[name].option} holds a NUL character$"):
        load_option(tmp_path, name, "a\0")
    variable = SETTINGS[name].variable
    with pytest.raises(UsageError, match=f"^{variable} holds a NUL character$"):
        load_in(tmp_path, environ={variable: "a\0"})


@pytest.mark.parametrize("name", ["remote", "target", "from_image", "network", "tag_prefix"])
def test_bytes_that_are_not_utf_8_are_an_error_but_in_paths(name: str, tmp_path: Path) -> None:
    raw = os.fsdecode(b"caf\xe9")

    with pytest.raises(UsageError, match=f"^{SETTINGS[name].option} is not UTF-8 text$"):
        load_option(tmp_path, name, raw)
    assert load_in(tmp_path, context=raw).default.context == tmp_path / raw


def test_an_empty_prefix_is_a_prefix(tmp_path: Path) -> None:
    found = load_in(tmp_path, toml='tag-prefix = "v"', tag_prefix="")

    assert found.default.tag_prefix == ""
    assert found.of("1.2.3") == found.default
    assert found.of("v1.2.3") is None


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


def test_paths_begin_in_path_for_options_and_environment(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "Dockerfile.ci").touch()

    environ = {"RELEASETAG_METADATA_FILE": "out.json"}
    options = {"context": "../x", "file": "Dockerfile.ci"}
    found = load(options, environ, here, tmp_path, here).default

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
    with pytest.raises(UsageError, match=f"^{variable} is not a setting$") as error:
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
        ("jobs", "1000000", "--jobs: '1000000' is not a number"),
        ("insecure_registries", ["a b"], "--insecure-registry: 'a b' is not the host"),
        ("insecure_registries", ["a.lan/x"], "--insecure-registry: 'a.lan/x' is not a range"),
        ("insecure_registries", ["fd00::1"], "--insecure-registry: 'fd00::1' is not the host"),
        ("insecure_registries", ["a:port"], "--insecure-registry: 'a:port' is not the host"),
    ],
)
def test_an_option_that_cannot_be_is_an_error_that_names_it(
    name: str, value: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as error:
        load_option(tmp_path, name, value)

    assert "hunter2" not in error.value.message + error.value.hint


@pytest.mark.parametrize("level", ["", "index:", "manifest[linux/amd64]:", "index,manifest:"])
def test_an_annotation_does_not_say_another_version_or_commit(tmp_path: Path, level: str) -> None:
    given = [f"{level}org.opencontainers.image.{key}=x" for key in ("version", "revision", "title")]
    found = load_in(tmp_path, annotations=given).default
    assert found.annotations == (f"{level}org.opencontainers.image.title=x",)
