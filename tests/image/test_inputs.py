"""What an image is built from, resolved from settings, files, environment and git."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from releasetag.build_inputs import BuildInputs
from releasetag.config import load
from releasetag.errors import UsageError
from releasetag.git import open_work_tree
from releasetag.image.inputs import resolve_inputs
from releasetag.plan import plan_release
from tests.support.git import GitRepository

COMMIT_TIME = 1_767_323_045  # of tests.support.git.DATE


@pytest.fixture
def app(git_repository: GitRepository) -> GitRepository:
    git_repository.write({"Dockerfile": "FROM scratch\nLABEL own=dockerfile both=dockerfile\n"})
    git_repository.commit()
    git_repository.tag("v1.2.3")
    return git_repository


def resolve(
    app: GitRepository, environ: Mapping[str, str] | None = None, **options: Any
) -> BuildInputs:
    tree = open_work_tree(app.path, {})
    given = {"images": ["acme/app"], "history": "local", **options}
    plan = plan_release(tree, load(given, {}, app.path, tree.root), {}, pytest.fail)
    return resolve_inputs(tree, plan, environ or {}, plan.settings.builder)


def test_a_build_argument_without_a_value_has_the_environments_or_is_omitted(
    app: GitRepository,
) -> None:
    inputs = resolve(app, {"B": "two"}, build_args=["A=one", "B", "C"])
    assert inputs.build_args == {"SOURCE_DATE_EPOCH": str(COMMIT_TIME), "A": "one", "B": "two"}
    assert inputs.commit_time == COMMIT_TIME


def test_a_given_source_date_epoch_wins(app: GitRepository) -> None:
    inputs = resolve(app, build_args=["SOURCE_DATE_EPOCH=0"])
    assert inputs.build_args == {"SOURCE_DATE_EPOCH": "0"}
    assert inputs.commit_time == COMMIT_TIME  # of the files, all the same


def test_labels_are_the_releases_and_the_users_over_them(app: GitRepository) -> None:
    title, version = "org.opencontainers.image.title", "org.opencontainers.image.version"
    labels = resolve(app, labels=[f"{title}=Mine", f"{version}=9.9.9", "both=option"]).labels
    assert (labels[title], labels[version], labels["both"]) == ("Mine", "1.2.3", "option")
    assert labels["org.opencontainers.image.revision"] == app.head
    assert labels["org.opencontainers.image.created"] == "2026-01-02T03:04:05Z"
    assert "own" not in labels


def test_settings_are_handed_on_as_they_are(app: GitRepository) -> None:
    settings = resolve(app, network="none", pull=True, cache_from=["acme/app:1"]).settings
    assert (settings.network, settings.pull, settings.cache_from) == (
        "none", True, ("acme/app:1",),
    )  # fmt: skip


def test_a_key_is_for_buildx_alone(app: GitRepository, tmp_path: Path) -> None:
    """`docker buildx build --ssh` reads keys itself; a session forwards agents only."""
    key = tmp_path / "key"
    key.write_text("key")
    assert resolve(app, ssh=[f"default={key}"], builder="buildx").settings.ssh
    with pytest.raises(UsageError, match="is a file and not the socket of an agent"):
        resolve(app, ssh=[f"default={key}"])


def test_inputs_cannot_be_changed(app: GitRepository) -> None:
    inputs = resolve(app)
    with pytest.raises(dataclasses.FrozenInstanceError):
        inputs.commit_time = 0  # type: ignore[misc]


def test_fields_are_replaced_in_what_the_user_wrote_alone(app: GitRepository) -> None:
    inputs = resolve(
        app,
        {"B": "{version}"},
        build_args=["A={git_tag} {created} {x}", "B"],
        labels=["a.b={short_sha}"],
        annotations=["index:a.b={version}"],
    )
    assert inputs.build_args["A"] == "v1.2.3 2026-01-02T03:04:05Z {x}"
    assert inputs.build_args["B"] == "{version}"
    assert inputs.labels["a.b"] == app.head[:7]
    assert inputs.settings.annotations == ("index:a.b=1.2.3",)


@pytest.mark.parametrize(
    ("settings", "scope"),
    [
        ({}, "image"),
        ({"target": "app"}, "app"),
        ({"platforms": ["linux/arm64"]}, "image-linux-arm64"),
        ({"target": "a b", "platforms": ["linux/386,linux/arm/v7"]}, "a-b-linux-386-linux-arm-v7"),
    ],
)  # fmt: skip
def test_a_cache_has_a_scope_for_each_target_and_platform(
    app: GitRepository, settings: dict[str, Any], scope: str
) -> None:
    gha = resolve(app, cache="gha", cache_from=["acme/app:old"], **settings).settings
    assert gha.cache_from == ("acme/app:old", f"type=gha,scope={scope}")
    assert gha.cache_to == (f"type=gha,scope={scope},mode=max",)
    registry = resolve(app, cache="registry", **settings).settings
    spec = f"type=registry,ref=acme/app:buildcache-{scope}"
    assert (registry.cache_from, registry.cache_to) == ((spec,), (f"{spec},mode=max",))


@pytest.mark.parametrize(
    "spec",
    [
        "acme/app:latest",
        "docker.io/acme/app",
        "type=registry,ref=acme/app:1.2",
        "mode=max,ref=acme/app:1.2.3,type=registry",
        "type=registry,ref=acme/app:9.9.9",
        "acme/app:9.8",  # of another line
    ],
)
def test_a_cache_does_not_replace_an_image(app: GitRepository, spec: str) -> None:
    with pytest.raises(UsageError, match="has a tag that a release may have") as error:
        resolve(app, cache_to=[spec])
    assert error.value.hint == "name another tag, such as buildcache"


@pytest.mark.parametrize(
    "spec",
    ["acme/cache:latest", "acme/app:buildcache", "type=gha", "type=local,dest=/tmp/x", "type=s3,x"],
)
def test_another_cache_is_handed_on(app: GitRepository, spec: str) -> None:
    tags = ["{version}", "{major}.{minor}", "latest", "{channel}"]
    assert resolve(app, cache_to=[spec], tags=tags).settings.cache_to == (spec,)


@pytest.mark.parametrize(
    ("scheme", "spec", "is_refused"),
    [
        ("loose", "acme/app:7", True),
        ("loose", "acme/app:9.8.7-6", True),
        ("pep440", "acme/app:9.8rc1", True),
        ("loose", "acme/app:buildcache-linux-arm-v7", False),
        ("pep440", "acme/app:buildcache-7", False),
    ],
)
def test_a_cache_does_not_replace_an_image_of_any_scheme(
    app: GitRepository, scheme: str, spec: str, is_refused: bool
) -> None:
    tags = ["{version}", "{git_tag}", "latest"]
    if is_refused:
        with pytest.raises(UsageError, match="has a tag that a release may have"):
            resolve(app, cache_to=[spec], tags=tags, versions=scheme)
    else:
        resolve(app, cache_to=[spec], tags=tags, versions=scheme)


DIFFERENT = """
    images = ["acme/app"]
    [build]
    platforms = ["linux/amd64", "linux/arm64"]
    context = "dist/{os}-{arch}"
    file = "Dockerfile"
    args = { ARCH = "{arch}", VERSION = "{version}", BOTH = "{arch} {version} {x}" }
    [build.platform."linux/arm64"]
    args = { BOTH = "arm" }
"""


def write_different(app: GitRepository, *platforms: str) -> None:
    app.write({"releasetag.toml": DIFFERENT, "pyproject.toml": "[project]\ndescription = 'd'\n"})
    app.write({f"dist/linux-{platform}/app": platform for platform in platforms})


def test_every_platform_is_built_from_its_own(app: GitRepository) -> None:
    write_different(app, "amd64", "arm64")

    inputs = resolve(app)

    amd64, arm64 = (inputs.on_platform(each) for each in ("linux/amd64", "linux/arm64"))
    assert inputs.on_platform(None) is inputs
    for each, arch, both in ((amd64, "amd64", "amd64 1.2.3 {x}"), (arm64, "arm64", "arm")):
        assert each.context.root == app.path / "dist" / f"linux-{arch}"
        assert each.context.dockerfile == app.path / "Dockerfile"
        assert each.build_args == {
            "SOURCE_DATE_EPOCH": str(COMMIT_TIME),
            "ARCH": arch,
            "VERSION": "1.2.3",
            "BOTH": both,
        }
    assert inputs.labels_of_index["org.opencontainers.image.version"] == "1.2.3"


def test_a_part_needs_no_context_but_its_own_and_makes_the_same_index(app: GitRepository) -> None:
    write_different(app, "arm64")

    with pytest.raises(UsageError, match=r"the context .*dist/linux-amd64' does not exist"):
        resolve(app)
    arm64 = resolve(app, part="linux/arm64")

    assert arm64.context.root == app.path / "dist/linux-arm64"
    write_different(app, "amd64")
    amd64 = resolve(app, part="linux/amd64")
    assert amd64.labels_of_index == arm64.labels_of_index == resolve(app).labels_of_index
    assert amd64.labels_of_index["org.opencontainers.image.description"] == "d"


def test_platforms_that_do_not_differ_have_one_input(app: GitRepository) -> None:
    inputs = resolve(app, platforms=["linux/amd64", "linux/arm64"])

    assert inputs.on_platform("linux/arm64") is inputs
    assert inputs.labels_of_index == inputs.labels


def test_one_platform_has_its_fields_too(app: GitRepository) -> None:
    write_different(app, "arm64")

    assert resolve(app, platforms=["linux/arm64"]).build_args["ARCH"] == "arm64"
