"""The configuration that a project begins with, as the program itself reads it."""

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from releasetag.config.reference import json_schema
from releasetag.git import open_work_tree
from releasetag.init.draft import make_draft
from releasetag.init.survey import Survey, survey
from releasetag.init.workflows import Image, Translation
from releasetag.version import Scheme
from tests.init.conftest import Project, job
from tests.support.config import load_in
from tests.support.examples import examples


def test_an_empty_project_has_a_configuration_to_begin_with(project: Project) -> None:
    configuration = project.load()

    assert [str(each) for each in configuration.default.images] == ["ghcr.io/acme/shop"]
    assert [each.text for each in configuration.default.tags] == [
        "{version}",
        "{major}.{minor}",
        "latest",
    ]
    assert "there is no Dockerfile yet" in project.draft().format()


@pytest.mark.parametrize(
    ("files", "build"),
    [
        (["Dockerfile"], {"context": ".", "file": "Dockerfile"}),
        (["Containerfile"], {"context": ".", "file": "Containerfile"}),
        (["docker/Dockerfile"], {"context": ".", "file": "docker/Dockerfile"}),
        (["app/Dockerfile"], {"context": "app", "file": "Dockerfile"}),
        (["app/docker/Dockerfile"], {"context": "app", "file": "docker/Dockerfile"}),
        (
            ["Dockerfile", "Dockerfile.dev", "tests/Dockerfile", ".devcontainer/Dockerfile",
             "Dockerfile.j2", "Dockerfile.dockerignore", "examples/a/Dockerfile"],
            {"context": ".", "file": "Dockerfile"},
        ),
    ],
)  # fmt: skip
def test_the_one_dockerfile_for_users_is_built(
    files: list[str], build: dict[str, str], project: Project
) -> None:
    found = project.write(*files).toml()

    assert found["build"] == build
    assert "variants" not in found
    assert "components" not in found


def test_dockerfiles_beside_each_other_are_variants(project: Project) -> None:
    project.write("Dockerfile", "Dockerfile.alpine", "slim.Dockerfile", "Dockerfile.test")

    variants = project.load().default.each_variant()

    assert [(each.variant, str(each.file), str(each.tags[0].text)) for each in variants] == [
        ("plain", "Dockerfile", "{version}"),
        ("alpine", "Dockerfile.alpine", "{version}-alpine"),
        ("slim", "slim.Dockerfile", "{version}-slim"),
    ]
    assert [each.tags[2].text for each in variants] == ["latest", "alpine", "slim"]


def test_folders_that_git_tags_name_are_components(project: Project) -> None:
    project.write("services/api/Dockerfile", "services/web/Dockerfile", "tools/Dockerfile")
    project.tags("api/v1.2.3", "api/v1.3.0", "web-v2.0.0", "unrelated-1.0.0")

    draft = project.draft()
    api, web = project.load().components

    assert (api.tag_prefix, web.tag_prefix) == ("api/v", "web-v")
    assert str(api.images[0]) == "ghcr.io/acme/shop-api"
    assert api.context == project.repository.path / "services" / "api"
    assert draft.git_tags == ["api/v*", "web-v*"]
    assert "2 releases known, the highest is api/v1.3.0; lines: 1.2, 1.3" in draft.format()
    assert not project.load().default.images


def test_folders_without_any_git_tag_are_components(project: Project) -> None:
    components = project.write("api/Dockerfile", "web/Dockerfile").load().components

    assert [each.tag_prefix for each in components] == ["api/v", "web/v"]


def test_folders_that_one_git_tag_releases_are_variants(project: Project) -> None:
    project.write("api/Dockerfile", "web/Dockerfile").tags("v1.0.0")

    variants = project.load().default.each_variant()

    assert [(each.variant, str(each.images[0])) for each in variants] == [
        ("api", "ghcr.io/acme/shop-api"),
        ("web", "ghcr.io/acme/shop-web"),
    ]
    assert {each.tags[0].text for each in variants} == {"{version}"}


def test_a_dockerfile_in_a_folder_beside_that_of_the_top_is_named(project: Project) -> None:
    text = project.write("Dockerfile", "proxy/Dockerfile").tags("v1.0.0").draft().format()

    assert "# not taken: proxy/Dockerfile; several images are" in text


@pytest.mark.parametrize(
    ("tags", "prefix", "scheme", "pattern"),
    [
        ([], None, "semver", "v*"),
        (["v1.2.3", "v1", "v1.2", "nightly"], None, "semver", "v*"),
        (["1.2.3", "1.3.0-rc.1"], None, "semver", "[0-9]*"),
        (["release-1.2.3", "release-1.3.0"], "release-", "semver", "release-*"),
        (["shop@1.2.3", "v1.0.0", "shop@1.2.4"], "shop@", "semver", "shop@*"),
        (["1.0", "1.1rc1", "1.1", "1.2.dev1"], None, "pep440", "[0-9]*"),
        (["v2024.01.05", "v2024.02.07", "v2024.12.1"], None, "loose", "v*"),
        (["39", "40", "41"], None, "loose", "[0-9]*"),
    ],
)
def test_git_tags_say_what_the_prefix_and_the_scheme_are(
    tags: list[str], prefix: str | None, scheme: Scheme, pattern: str, project: Project
) -> None:
    project.write("Dockerfile").tags(*tags)

    default = project.load().default

    assert (default.tag_prefix, default.versions) == (prefix, scheme)
    assert project.draft().git_tags == [pattern]


def test_two_builds_of_one_image_with_suffixes_are_variants(project: Project) -> None:
    tags = "images: acme/shop\ntags: type=semver,pattern={{version}}\n"
    more = """\
      - id: slim
        uses: docker/metadata-action@v5
        with:
          images: acme/shop
          tags: type=semver,pattern={{version}}
          flavor: suffix=-slim,onlatest=true
      - uses: docker/build-push-action@v6
        with: { target: slim, tags: "${{ steps.slim.outputs.tags }}" }
"""
    plain, slim = project.workflow(job(tags, more=more)).load().default.each_variant()

    assert [each.text for each in plain.tags] == ["{version}", "latest"]
    assert [each.text for each in slim.tags] == ["{version}-slim", "latest-slim"]
    assert (plain.target, slim.target) == (None, "slim")


def test_an_image_with_a_suffix_alone_has_it_in_its_tags(project: Project) -> None:
    flavor = "images: acme/shop\ntags: type=semver,pattern={{version}}\nflavor: suffix=-x"

    tags = project.workflow(job(flavor)).load().default.tags

    assert [each.text for each in tags] == ["{version}-x", "latest"]


def test_what_a_workflow_builds_of_a_component_is_the_components(project: Project) -> None:
    project.write("api/Dockerfile", "web/Dockerfile").tags("api/v1.0.0", "web/v1.0.0")
    project.workflow(job("images: quay.io/acme/api", "context: api\ntarget: web"))

    api, web = project.load().components

    assert (str(api.images[0]), api.target) == ("quay.io/acme/api", "web")
    assert str(web.images[0]) == "ghcr.io/acme/shop-web"


def test_what_the_program_refuses_is_a_remark(project: Project) -> None:
    meta = "images: |\n  not:a:repository\ntags: |\n  type=raw,value=1.2.0\n  type=raw,value=b c"
    project.workflow(job(meta, "platforms: no-platform\nshm-size: huge"))

    found, text = project.toml(), project.draft().format()

    assert found["images"] == ["acme/app"]
    assert found["tags"] == ["{version}"]
    assert "platforms" not in found.get("build", {})
    for refused in ("the tag 1.2.0", "the tag b c", "no-platform", "huge"):
        assert refused in text.replace("\n# ", " ")
    project.load()


VALIDATOR = Draft7Validator(json_schema())
ANYTHING = st.text(min_size=1, max_size=30)


@given(
    images=st.lists(ANYTHING, max_size=2),
    tags=st.lists(ANYTHING | st.sampled_from(["{version}", "1.2.3", "{major}", "latest"])),
    suffix=ANYTHING | st.just("-x"),
    build=st.dictionaries(
        st.sampled_from(["context", "file", "target", "network", "provenance", "shm-size"]),
        ANYTHING,
    ),
    lists=st.dictionaries(
        st.sampled_from(["platforms", "cache-from", "add-hosts", "annotations", "secrets"]),
        st.lists(ANYTHING, min_size=1, max_size=2),
    ),
    maps=st.dictionaries(
        st.sampled_from(["args", "labels"]), st.dictionaries(ANYTHING, ANYTHING, min_size=1)
    ),
    remark=ANYTHING,
    several=st.booleans(),
)
@settings(
    max_examples=examples(300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_a_workflow_says_the_file_is_valid(
    images: list[str],
    tags: list[str],
    suffix: str,
    build: dict[str, str],
    lists: dict[str, list[str]],
    maps: dict[str, dict[str, str]],
    remark: str,
    several: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    one = Image("a\nb.yml", images, tags, suffix, build={**build, **lists, **maps})
    one.remarks.append(remark)
    every = (one, Image("c.yml", images, tags)) if several else (one,)

    text = make_draft(an_empty_survey(), Translation(every, ())).format()

    known = tomllib.loads(text)
    assert set(known) <= {"images", "tags", "build", "variants"}
    assert list(VALIDATOR.iter_errors(known)) == []
    directory = tmp_path_factory.getbasetemp()
    default = load_in(directory, toml=text).default
    assert any(each.kind == "exact" for each in default.tags)
    assert default.all_images or not default.by_variant


def an_empty_survey() -> Survey:
    return Survey(Path(), "github.com", "acme/shop", (), {}, "main", ())


def test_what_git_ignores_is_not_found(project: Project) -> None:
    project.repository.write({".gitignore": "build/\n", "build/x/Dockerfile": "", "Dockerfile": ""})

    found = survey(open_work_tree(project.repository.path, os.environ))

    assert [str(each.path) for each in found.dockerfiles] == ["Dockerfile"]


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", "\x7f\x00\x1b", "\ud800", "é😀", "'''"])
def test_any_text_is_quoted(value: str) -> None:
    from releasetag.init.toml import format_entry

    expected: Any = value.encode("utf-8", "replace").decode()
    for entry in (value, [value], {value: value}):
        (read,) = tomllib.loads(format_entry("key", entry)).values()
        wanted = {str: expected, list: [expected], dict: {expected: expected}}[type(entry)]
        assert read == wanted
