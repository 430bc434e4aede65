"""What other programs are given to build a release's image with."""

from typing import Any

import pytest

from releasetag.config import load
from releasetag.git import open_work_tree
from releasetag.image.inputs import resolve_inputs
from releasetag.image.metadata import BuildMetadata, bake_definition, read_metadata
from releasetag.plan import Plan, plan_release
from tests.support.git import GitRepository

VERSION = "org.opencontainers.image.version"


@pytest.fixture
def app(git_repository: GitRepository) -> GitRepository:
    git_repository.write({"Dockerfile": "FROM scratch\nLABEL own=dockerfile\n"})
    git_repository.commit()
    git_repository.tag("v1.2.3")
    return git_repository


def plan_of(app: GitRepository, **options: Any) -> Plan:
    tree = open_work_tree(app.path, {})
    given = {"images": ["acme/app"], "history": "local", **options}
    return plan_release(tree, load(given, {}, app.path, tree.root), {}, pytest.fail)


def read(app: GitRepository, **options: Any) -> tuple[BuildMetadata, ...]:
    plan = plan_of(app, **options)
    return read_metadata(open_work_tree(app.path, {}), plan, {"FROM_ENVIRONMENT": "value"})


def test_it_is_what_a_publish_builds_with(app: GitRepository) -> None:
    options = {"labels": ["team={version}"], "build_args": ["A={git_tag}", "FROM_ENVIRONMENT", "B"]}
    inputs = resolve_inputs(
        open_work_tree(app.path, {}),
        plan_of(app, **options),
        {"FROM_ENVIRONMENT": "value"},
        "buildkit",
    )

    (metadata,) = read(app, **options)

    assert metadata.labels == inputs.labels
    assert metadata.labels["team"] == "1.2.3"
    assert {**metadata.build_args, "FROM_ENVIRONMENT": "value"} == inputs.build_args
    assert metadata.from_environment == ("FROM_ENVIRONMENT",)
    assert metadata.tags == ("acme/app:1.2.3", "acme/app:1.2", "acme/app:latest")


@pytest.mark.parametrize(
    ("options", "level"),
    [
        ({}, "manifest"),
        ({"platforms": ["linux/amd64"]}, "manifest"),
        # One of an index alone is refused where there is none.
        ({"provenance": "false"}, "manifest"),
        ({"sbom": "true"}, "index"),
        ({"platforms": ["linux/amd64,linux/arm64"]}, "index"),
    ],
)
def test_annotations_are_of_the_index_where_there_is_one(
    options: dict[str, Any], level: str, app: GitRepository
) -> None:
    (metadata,) = read(app, annotations=["index:team={version}"], **options)

    *labels, given = metadata.annotations
    assert given == "index:team=1.2.3"
    assert labels == [f"{level}:{key}={value}" for key, value in metadata.labels.items()]
    assert f"{level}:{VERSION}=1.2.3" in labels


def test_no_dockerfile_is_needed(app: GitRepository) -> None:
    (metadata,) = read(app, file="elsewhere/Dockerfile", labels=["own=given"])

    assert metadata.labels["own"] == "given"
    assert metadata.labels[VERSION] == "1.2.3"


@pytest.mark.parametrize("options", [{"from_image": "acme/app:dev"}, {"images": []}])
def test_there_is_none_where_nothing_is_built(options: dict[str, Any], app: GitRepository) -> None:
    assert read(app, **options) == ()


def test_no_value_from_the_environment_is_in_a_bake_file(app: GitRepository) -> None:
    definition = bake_definition(read(app, build_args=["A=${x}", "FROM_ENVIRONMENT", "MISSING"]))

    assert definition["variable"] == {"FROM_ENVIRONMENT": {}}
    args = definition["target"]["docker-metadata-action"]["args"]
    assert args.pop("SOURCE_DATE_EPOCH").isdigit()
    assert args == {"A": "$${x}", "FROM_ENVIRONMENT": "${FROM_ENVIRONMENT}"}


def test_a_bake_file_has_a_target_for_each_variant(app: GitRepository) -> None:
    app.write({"releasetag.toml": VARIANTS})

    definition = bake_definition(read(app, labels=["price=${cost} %{x}"]))

    targets = definition["target"]
    assert list(targets) == ["docker-metadata-action", "docker-metadata-action-alpine"]
    alpine = targets["docker-metadata-action-alpine"]
    assert alpine["tags"][0] == "acme/app:1.2.3-alpine"
    assert alpine["labels"]["price"] == "$${cost} %%{x}"
    assert alpine["args"]["BASE"] == "alpine"
    assert "BASE" not in targets["docker-metadata-action"]["args"]


VARIANTS = """
[[variants]]
name = "full"
suffix = ""
[[variants]]
name = "alpine"
suffix = "-alpine"
build.args = { BASE = "alpine" }
"""


@pytest.mark.parametrize(
    ("platforms", "expected"),
    [
        (["linux/amd64", "linux/arm64"], {"OS": "linux", "PLAIN": "1"}),
        (["linux/arm64"], {"OS": "linux", "PLAIN": "1", "ARCH": "arm64"}),
        ([], {"OS": "{os}", "PLAIN": "1", "ARCH": "{arch}"}),
    ],
)
def test_of_platforms_that_differ_it_is_what_they_share(
    app: GitRepository, platforms: list[str], expected: dict[str, str]
) -> None:
    given = ["OS={os}", "PLAIN=1", "ARCH={arch}", "SOURCE_DATE_EPOCH=0"]

    (metadata,) = read(app, platforms=platforms, build_args=given)

    assert metadata.build_args == {"SOURCE_DATE_EPOCH": "0", **expected}


def test_a_variant_without_a_repository_has_none(app: GitRepository) -> None:
    toml = '[[variants]]\nname = "a"\nimages = ["acme/a"]\n[[variants]]\nname = "b"\n'
    app.write({"releasetag.toml": toml})
    (metadata,) = read(app, images=None)
    assert metadata.variant == "a"


def test_a_target_s_name_has_no_dot(app: GitRepository) -> None:
    toml = '[[variants]]\nname = "3.20"\n[[variants]]\nname = "3.19"\n'
    app.write({"releasetag.toml": toml})
    names = list(bake_definition(read(app))["target"])
    assert names == ["docker-metadata-action", "docker-metadata-action-3_19"]
