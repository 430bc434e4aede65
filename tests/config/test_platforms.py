"""``[build.platform."linux/arm64"]``: where the builds of platforms differ."""

from pathlib import Path
from typing import Any

import pytest

from releasetag.config import Settings
from releasetag.config.reference import json_schema, markdown
from releasetag.errors import UsageError
from tests.support.config import SCHEMA, load_in

TOML = """
    images = ["acme/app"]
    [build]
    platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7"]
    context = "dist/{os}-{arch}{variant}"
    args = { SHARED = "1", ARCH = "{arch}", OTHER = "{version} {x}" }
    [build.platform."linux/arm64"]
    context = "arm"
    file = "Dockerfile.{arch}"
    args = { ARCH = "aarch64-{os}" }
"""


def built_from(settings: Settings, platform: str, base: Path) -> tuple[str, str, dict[str, str]]:
    found = settings.on_platform(platform)
    assert found.context is not None
    arguments = {name: value or "" for name, value in found.build_args.items()}
    return str(found.context.relative_to(base)), str(found.file), arguments


def test_a_platform_is_built_from_its_own_and_else_from_what_all_are(tmp_path: Path) -> None:
    settings = load_in(tmp_path, toml=TOML).default
    shared = {"SHARED": "1", "OTHER": "{version} {x}"}

    assert built_from(settings, "linux/amd64", tmp_path) == (
        "dist/linux-amd64",
        "None",
        {**shared, "ARCH": "amd64"},
    )
    assert built_from(settings, "linux/arm64", tmp_path) == (
        "arm",
        "Dockerfile.arm64",
        {**shared, "ARCH": "aarch64-linux"},
    )
    assert built_from(settings, "linux/arm/v7", tmp_path) == (
        "dist/linux-armv7",
        "None",
        {**shared, "ARCH": "arm"},
    )
    assert settings.platforms_differ
    assert settings.on_platform("linux/arm64").platforms == settings.platforms


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("", False),
        ("build.platforms = ['linux/amd64', 'linux/arm64']", False),
        ("build.platforms = ['linux/amd64', 'linux/arm64']\nbuild.context = 'a/{os}'", False),
        ("build.platforms = ['linux/amd64', 'linux/arm64']\nbuild.context = 'a/{arch}'", True),
        ("build.platforms = ['linux/amd64', 'linux/arm64']\nbuild.file = '{arch}'", True),
        ("build.platforms = ['linux/amd64', 'linux/arm64']\nbuild.args = { A = '{arch}' }", True),
        ("build.platforms = ['linux/arm64', 'linux/arm/v7']\nbuild.file = 'x{variant}'", True),
        ("build.platforms = ['linux/amd64']\nbuild.context = 'a/{arch}'", False),
        ("build.platforms = ['linux/amd64', 'linux/arm64']\n"
         "build.platform.'linux/arm64'.args = { A = '1' }", True),
        ("build.platforms = ['linux/amd64', 'linux/arm64']\n"
         "build.platform.'linux/arm64' = {}", False),
    ],
)  # fmt: skip
def test_whether_platforms_differ(toml: str, expected: bool, tmp_path: Path) -> None:
    assert load_in(tmp_path, toml=toml).default.platforms_differ is expected


def test_what_is_given_above_the_file_wins_for_every_platform(tmp_path: Path) -> None:
    settings = load_in(
        tmp_path,
        toml=TOML,
        environ={"RELEASETAG_BUILD_ARGS": "ARCH=all\nENV"},
        context="given/{arch}",
    ).default

    for platform, arch in (("linux/amd64", "amd64"), ("linux/arm64", "arm64")):
        found = settings.on_platform(platform)
        assert str(found.context).endswith(f"given/{arch}")
        assert found.build_args["ARCH"] == "all"
        assert found.build_args["ENV"] is None  # of the environment


def test_components_and_variants_have_the_shared_tables_and_their_own(tmp_path: Path) -> None:
    toml = f"""{TOML}
        [[components]]
        tag-prefix = "api/v"
        images = ["acme/api"]
        build.args = {{ SHARED = "api" }}
        build.platform."linux/arm64" = {{ args = {{ MORE = "2" }} }}
        [[components.variants]]
        name = "alpine"
        build.platform."linux/arm64".file = "Dockerfile.alpine"
    """
    (api,) = load_in(tmp_path, toml=toml).components
    (alpine,) = api.each_variant()

    for each, file in ((api, "Dockerfile.arm64"), (alpine, "Dockerfile.alpine")):
        found = each.on_platform("linux/arm64")
        assert (str(found.file), found.variant) == (file, each.variant)
        assert found.build_args["SHARED"] == "api"
        assert (found.build_args["ARCH"], found.build_args["MORE"]) == ("aarch64-linux", "2")
    assert "MORE" not in alpine.on_platform("linux/amd64").build_args


AMD64 = 'build.platforms = ["linux/amd64"]\n'


@pytest.mark.parametrize(
    ("toml", "message", "hint"),
    [
        (AMD64 + 'build.platform."linux/arm46" = {}',
         'build.platform."linux/arm46" is none of the platforms',
         "the platforms are: linux/amd64"),
        ('build.platform."linux/arm64".context = "."',
         'build.platform."linux/arm64" is none of the platforms', "list it in build.platforms"),
        (AMD64 + '[[components]]\ntag-prefix = "a"\nbuild.platform."linux/arm64" = {}',
         'build.platform."linux/arm64" is none of the platforms',
         "the platforms are: linux/amd64"),
        (AMD64 + '[[variants]]\nname = "a"\nbuild.platform."linux/arm64" = {}',
         'build.platform."linux/arm64" is none of the platforms',
         "the platforms are: linux/amd64"),
        (AMD64 + 'build.platform."linux/amd64".target = "x"',
         'releasetag.toml: build.platform."linux/amd64": target is one for all platforms',
         "write target in [build], above"),
        (AMD64 + 'build.platform."linux/amd64".fiel = "x"',
         "releasetag.toml: build.platform.\"linux/amd64\": unknown key 'fiel'",
         "the keys are: context, file, args"),
        (AMD64 + 'build.platform."linux/amd64".file = 1',
         'releasetag.toml: build.platform."linux/amd64": build.file is not a string',
         'write it as in "…"'),
        (AMD64 + 'build.platform."linux/amd64" = 1',
         'releasetag.toml: build.platform."linux/amd64" is not a table',
         'write it as in [build.platform."linux/arm64"]'),
        ('build.platform = "linux/amd64"', "releasetag.toml: unknown key 'build.platform'",
         "did you mean 'build.platforms'?"),
        ('platform."linux/amd64".file = "x"', "releasetag.toml: unknown key 'platform.linux/amd64'",
         None),
    ],
)  # fmt: skip
def test_what_no_platform_can_have_is_an_error(
    toml: str, message: str, hint: str | None, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as error:
        load_in(tmp_path, toml=f'images = ["acme/app"]\n{toml}')

    assert error.value.message == message
    assert hint is None or error.value.hint == hint


@pytest.mark.parametrize(
    ("toml", "options"),
    [
        # One platform at a time, of those in the file.
        (TOML, {"platforms": ["linux/amd64"]}),
        # Platforms of the command line alone.
        ('build.platform."linux/arm64".context = "arm"', {"platforms": ["linux/arm64"]}),
        # Another component's.
        ('build.platform."linux/arm64".context = "arm"\n[[components]]\ntag-prefix = "a"\n'
         'build.platforms = ["linux/arm64"]', {}),
        # A variant's.
        ('build.platform."linux/arm64".context = "arm"\n[[variants]]\nname = "a"\n'
         'build.platforms = ["linux/arm64"]', {}),
        ('[[components]]\ntag-prefix = "a"\nbuild.platform."linux/arm64" = {}\n'
         '[[components.variants]]\nname = "a"\nbuild.platforms = ["linux/arm64"]', {}),
    ],
)  # fmt: skip
def test_a_table_of_a_platform_that_something_is_built_for_is_none(
    toml: str, options: dict[str, Any], tmp_path: Path
) -> None:
    load_in(tmp_path, toml=toml, **options)


def test_the_schema_and_the_reference_know_the_table() -> None:
    table = {"linux/arm64": {"context": "a", "file": "b", "args": {"A": "1"}}}
    for place in ({}, {"components": 1}, {"variants": 1}):
        build = {"build": {"platform": table}}
        bad = {"build": {"platform": {"linux/arm64": {"target": "x"}}}}
        for inside, is_valid in ((build, True), (bad, False)):
            whole: dict[str, object] = dict(inside)
            if "components" in place:
                whole = {"components": [{"tag-prefix": "a", **inside}]}
            elif "variants" in place:
                whole = {"variants": [{"name": "a", **inside}]}
            assert SCHEMA.is_valid(whole) is is_valid
    assert "platform" in json_schema()["definitions"]["build"]["properties"]
    assert 'its own `context`, `file`, `args` in `[build.platform."linux/arm64"]`' in markdown()
