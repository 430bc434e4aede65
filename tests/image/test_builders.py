"""The choice between the engine and buildx.

The docker command is a script that prints what docker prints.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from releasetag.config import Settings
from releasetag.errors import UsageError
from releasetag.image.builders import choose_program
from releasetag.report.record import Record

INSPECT = """Name:          fleet
Driver:        {driver}
Last Activity: 2026-01-02 03:04:05 +0000 UTC

Nodes:
Name:      fleet0
Endpoint:  unix:///var/run/docker.sock
Status:    running
Platforms: {platforms}
"""

DockerCommand = Callable[..., dict[str, str]]


@pytest.fixture
def docker(tmp_path: Path) -> DockerCommand:
    """Make a docker command that knows a builder; return the environment with it."""

    def make(driver: str, platforms: str = "", code: int = 0) -> dict[str, str]:
        program = tmp_path / "docker"
        text = INSPECT.format(driver=driver, platforms=platforms)
        check = "[ \"$*\" = 'buildx inspect' ] || exit 9"
        program.write_text(f"#!/bin/sh\n{check}\ncat << 'EOF'\n{text}EOF\nexit {code}\n")
        program.chmod(0o755)
        return {"PATH": f"{tmp_path}:/usr/bin:/bin"}

    return make  # fmt: skip


def settings(**given: object) -> Settings:
    return Settings(**given)  # type: ignore[arg-type]


SEVERAL = ("linux/amd64", "linux/arm64")


@pytest.mark.parametrize(
    ("driver", "platforms", "code", "expected"),
    [
        ("docker-container", "linux/amd64*, linux/arm64, linux/386", 0, "buildx"),
        ("remote", "", 0, "buildx"),  # it has not started, and lists none
        ("docker-container", "linux/amd64, linux/386", 0, "auto"),
        ("docker", "linux/amd64, linux/arm64", 0, "auto"),  # the engine itself
        ("docker-container", "linux/amd64, linux/arm64", 1, "auto"),
    ],
)
def test_several_platforms_are_built_by_a_builder_that_has_them(
    docker: DockerCommand, driver: str, platforms: str, code: int, expected: str
) -> None:
    environ = docker(driver, platforms, code)

    assert choose_program(settings(platforms=SEVERAL), environ, Record()) == expected


@pytest.mark.parametrize(
    "given",
    [
        {"platforms": ("linux/arm64",)},
        {"platforms": SEVERAL, "builder": "buildkit"},
        {"platforms": SEVERAL, "push": False},
        {"cache_from": ("acme/app:latest",), "inline_cache": True},
    ],
)
def test_the_engine_builds_what_it_can(docker: DockerCommand, given: dict[str, object]) -> None:
    environ = docker("docker-container", "linux/amd64, linux/arm64")
    chosen = settings(**given)

    assert choose_program(chosen, environ, Record()) == chosen.builder


def test_without_a_docker_command_the_engine_builds() -> None:
    assert choose_program(settings(platforms=SEVERAL), {"PATH": "/none"}, Record()) == "auto"


NEEDS = {
    "cache": ("registry", "--cache"),
    "cache_to": (("acme/app:buildcache",), "--cache-to"),
    "cache_from": (("type=gha",), "--cache-from type=…"),
    "provenance": ("mode=max", "--provenance"),
    "sbom": ("true", "--sbom"),
    "attests": (("type=sbom",), "--attest"),
    "annotations": (("a=b",), "--annotation"),
    "build_contexts": (("a=b",), "--build-context"),
    "ulimits": (("nofile=1",), "--ulimit"),
    "cgroup_parent": ("ci", "--cgroup-parent"),
    "allow": (("network.host",), "--allow"),
}


@pytest.mark.parametrize(("name", "value", "option"), [(n, v, o) for n, (v, o) in NEEDS.items()])
def test_a_setting_that_buildx_alone_has_chooses_it(name: str, value: object, option: str) -> None:
    assert choose_program(settings(**{name: value}), {}, Record()) == "buildx"
    named = settings(**{name: value, "builder": "buildx:fleet"})
    assert choose_program(named, {}, Record()) == "buildx:fleet"
    for builder in ("buildkit", "classic"):
        with pytest.raises(UsageError) as error:
            choose_program(settings(**{name: value, "builder": builder}), {}, Record())
        assert str(error.value) == f"--builder {builder} does not support {option}"
        assert error.value.hint == "omit one of the two, or build with --builder buildx"


DIFFER = Path("dist/{arch}")


def test_platforms_that_differ_are_not_for_buildx(docker: DockerCommand) -> None:
    environ = docker("docker-container", "linux/amd64, linux/arm64")

    found = choose_program(settings(platforms=SEVERAL, context=DIFFER), environ, Record())

    assert found == "auto"


@pytest.mark.parametrize(
    ("given", "way_out"),
    [
        ({"builder": "buildx"}, "buildx"),
        ({"builder": "buildx:fleet"}, "buildx"),
        ({"builder": "buildx", "sbom": "true"}, "--sbom"),
        ({"sbom": "true"}, "--sbom"),
    ],
)
def test_platforms_that_differ_and_need_buildx_are_refused(
    docker: DockerCommand, given: dict[str, str], way_out: str
) -> None:
    with pytest.raises(UsageError) as error:
        choose_program(
            settings(platforms=SEVERAL, context=DIFFER, **given), docker("docker"), Record()
        )

    assert error.value.message == (
        "docker buildx builds all platforms from one context, Dockerfile and arguments, and they"
        " are not to be built from the same"
    )
    assert error.value.hint == f"build each by a run of its own with --part, or omit {way_out}"
    # One at a time.
    for one in ({"platforms": SEVERAL[:1]}, {"platforms": SEVERAL, "part": SEVERAL[1]}):
        found = choose_program(
            settings(context=DIFFER, **{**one, **given}), docker("docker"), Record()
        )
        assert found == given.get("builder", "buildx")
