"""Variants on a real engine and real registries: publish, verify, promote, and what is printed."""

import json
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support.git import GitRepository
from tests.support.registry import RegistryServer

DOCKERFILE = """\
FROM scratch AS debian
COPY hello.txt /debian
FROM scratch AS alpine
ARG FLAVOUR=none
LABEL flavour=$FLAVOUR
COPY hello.txt /alpine
"""
TOML = """\
images = {images}
[[variants]]
name = "alpine"
build.target = "alpine"
build.args = {{ FLAVOUR = "{{version}}" }}
[[variants]]
name = "debian"
default = true
build.target = "debian"
"""
DEBIAN = ["1.2.3", "1.2", "latest", "1.2.3-debian", "1.2-debian", "debian"]
ALPINE = ["1.2.3-alpine", "1.2-alpine", "alpine"]


@pytest.fixture
def run(run_in_process: Run) -> Run:
    return run_in_process


@pytest.fixture
def images(registry: RegistryServer, second_registry: RegistryServer) -> list[str]:
    """The repositories to publish to."""
    return [f"{each.address}/acme/app" for each in (registry, second_registry)]


@pytest.fixture
def app(app: GitRepository, images: list[str]) -> GitRepository:
    """A repository with two variants, at v1.2.3."""
    app.write({"Dockerfile": DOCKERFILE, "releasetag.toml": TOML.format(images=json.dumps(images))})
    app.git("tag", "--force", "v1.2.3", app.commit("variants"))
    return app


def test_all_variants_are_published_everywhere_and_the_second_run_does_nothing(
    app: GitRepository,
    run: Run,
    registry: RegistryServer,
    second_registry: RegistryServer,
    images: list[str],
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    gate.write_text(f'#!/bin/sh\necho "$RELEASETAG_REFERENCES" >> {tmp_path}/references\n')
    gate.chmod(0o755)

    done = run("publish", "--gate", str(gate), "--json", cwd=app.path)

    assert done.returncode == 0, done
    debian, alpine = done.json["variants"]
    assert (debian["name"], alpine["name"]) == ("debian", "alpine")
    assert done.json["digest"] == debian["digest"] != alpine["digest"]
    for variant, tags in ((debian, DEBIAN), (alpine, ALPINE)):
        assert {each["name"] for each in variant["tags"]} == set(tags)
        assert {each["status"] for each in variant["published"]} == {"pushed"}
        assert [each["reference"] for each in variant["published"]] == variant["references"]
        for server in (registry, second_registry):
            assert {server.digest("acme/app", tag) for tag in tags} == {variant["digest"]}
    assert done.json["published"] == debian["published"] + alpine["published"]
    assert set(registry.tags("acme/app")) == {*DEBIAN, *ALPINE}
    assert registry.labels("acme/app", "alpine")["flavour"] == "1.2.3"
    seen = (tmp_path / "references").read_text().splitlines()
    assert seen == [f"{image}@{each['digest']}" for each in (debian, alpine) for image in images]

    again = run("publish", "--gate", str(gate), cwd=app.path)
    assert again.returncode == 0, again
    assert "debian is published already: nothing is built" in again.stderr
    assert "alpine is published already: nothing is built" in again.stderr
    assert again.stdout.splitlines()[0] == f"v1.2.3 debian reused as {debian['digest']}"
    assert again.stdout.count("  unchanged  ") == 2 * len(DEBIAN + ALPINE)

    verified = run("verify", "--strict", cwd=app.path)
    assert verified.returncode == 0, verified
    assert verified.stdout.startswith(f"{images[0]}\n  ok  1.2 ")
    assert [each["repository"] for each in run("verify", "--json", cwd=app.path).json[
        "repositories"
    ]] == images  # fmt: skip


def test_one_variant_is_published_and_promoted_alone(
    app: GitRepository, run: Run, registry: RegistryServer, images: list[str]
) -> None:
    assert run("publish", "-i", images[0], cwd=app.path).returncode == 0
    before = {tag: registry.digest("acme/app", tag) for tag in DEBIAN + ALPINE}
    app.write({"hello.txt": "again\n"})
    app.tag("v1.2.4", commit=app.commit("again"))

    alone = run("publish", "-i", images[0], "--variant", "alpine", cwd=app.path)

    assert alone.returncode == 0, alone
    assert alone.stdout.startswith("v1.2.4 alpine published as sha256:")
    now = {tag: registry.digest("acme/app", tag) for tag in DEBIAN + ALPINE}
    assert {tag for tag in now if now[tag] != before[tag]} == {"1.2-alpine", "alpine"}
    assert run("verify", "-i", images[0], "--variant", "alpine", cwd=app.path).returncode == 0
    verified = run("verify", "-i", images[0], "--strict", "--json", cwd=app.path)
    tags = {tag["name"]: tag for each in verified.json["repositories"] for tag in each["tags"]}
    assert verified.returncode == 1  # the other one of 1.2.4 was never published
    assert tags["alpine"]["actual"] == "1.2.4"
    assert tags["latest"]["actual"] == tags["latest"]["expected"] == "1.2.3"
    assert tags["1.2.4"]["status"] == "unpublished"

    for args, code in ((["--tag", "alpine"], 0), (["--tag", "stable"], 2)):
        down = run("promote", "1.2.3", "-i", images[0], "--allow-downgrade", *args, cwd=app.path)
        assert down.returncode == code, down
    assert "'stable' is a floating tag of no variant" in down.stderr
    now = {tag: registry.digest("acme/app", tag) for tag in DEBIAN + ALPINE}
    assert {tag for tag in now if now[tag] != before[tag]} == {"1.2-alpine"}
    up = run("promote", "1.2.4", "-i", images[0], "--variant", "alpine", cwd=app.path)
    assert up.returncode == 0, up
    # A release of which a variant is missing is not finished.
    for picks in ((), ("--tag", "alpine")):
        missing = run("promote", "1.2.4", "-i", images[0], *picks, cwd=app.path)
        assert missing.returncode == 3
        assert f"{images[0]}:1.2.4 is not published" in missing.stderr
        assert "pick variants with --variant" in missing.stderr


def test_a_plan_lists_every_variant(app: GitRepository, run: Run, images: list[str]) -> None:
    done = run("plan", cwd=app.path)
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[2:5] == [
        "debian",
        "  push  1.2.3         names this version",
        "  push  1.2           highest stable release of 1.2",
    ]
    assert "alpine\n  push  1.2.3-alpine  names this version\n" in done.stdout
    found = run("plan", "--variant", "alpine", "--json", cwd=app.path).json
    assert [each["name"] for each in found["tags"]] == ALPINE
    assert found["references"] == [f"{image}:{tag}" for image in images for tag in ALPINE]
    assert [each["name"] for each in found["variants"]] == ["alpine"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--variant", "alpin"], "there is no variant 'alpin'"),
        (["--from-image", "scratch-image"], "one image is given for several variants"),
    ],
)
def test_what_cannot_be_with_variants_is_refused_before_anything_is_done(
    app: GitRepository, run: Run, registry: RegistryServer, args: list[str], message: str
) -> None:
    done = run("publish", *args, cwd=app.path)
    assert done.returncode == 2, done
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert registry.tags("acme/app") == []


def test_when_one_variant_cannot_be_built_nothing_is_pushed(
    app: GitRepository, run: Run, registry: RegistryServer, images: list[str]
) -> None:
    app.write({"Dockerfile": DOCKERFILE.replace("hello.txt /alpine", "nothing /alpine")})
    app.tag("v1.2.4", commit=app.commit("broken"))

    done = run("publish", "-i", images[0], "--json", cwd=app.path)

    assert done.returncode == 7, done
    debian, alpine = done.json["variants"]
    assert debian["image_id"]
    assert not alpine["image_id"]
    assert done.json["references"] == debian["references"] == alpine["references"] == []
    assert registry.tags("acme/app") == []
