"""Several platforms under one index, on every kind of engine."""

import json
import shutil
import urllib.request
from pathlib import Path

import pytest

from releasetag.image.parts import make_index
from releasetag.registry import Manifest
from tests.conftest import Run
from tests.support.engine import Engine
from tests.support.git import GitRepository
from tests.support.image import busybox_files
from tests.support.registry import RegistryServer

PLATFORMS = ("linux/amd64", "linux/arm64")
ARGS = ("--platform", ",".join(PLATFORMS), "--json")
TAGS = {"1.2.3", "1.2", "latest", "1.2.3-linux-amd64", "1.2.3-linux-arm64"}


@pytest.fixture
def run(run_in_process: Run) -> Run:
    return run_in_process


def tags(registry: RegistryServer) -> dict[str, str]:
    """What every tag names."""
    return {tag: registry.digest("acme/app", tag) or "" for tag in registry.tags("acme/app")}


def children(registry: RegistryServer, tag: str) -> dict[str, str]:
    """The digest of every platform's image in an index."""
    content = registry.manifest("acme/app", tag)
    assert content is not None
    index = json.loads(content)
    return {
        f"{each['platform']['os']}/{each['platform']['architecture']}": each["digest"]
        for each in index["manifests"]
    }


def test_two_platforms_are_one_digest_under_every_tag_everywhere(
    app: GitRepository,
    any_engine: Engine,
    run: Run,
    registry: RegistryServer,
    second_registry: RegistryServer,
) -> None:
    images = ("-i", f"{registry.address}/acme/app", "-i", f"{second_registry.address}/acme/app")
    done = run("publish", *images, *ARGS, cwd=app.path, env=any_engine.environ)
    assert done.returncode == 0, done
    for each in (registry, second_registry):
        named = tags(each)
        assert set(named) == TAGS
        assert {named[tag] for tag in ("1.2.3", "1.2", "latest")} == {done.json["digest"]}
        assert children(each, "latest") == {
            "linux/amd64": named["1.2.3-linux-amd64"],
            "linux/arm64": named["1.2.3-linux-arm64"],
        }
    assert len(set(children(registry, "latest").values())) == 2
    for platform, digest in children(registry, "latest").items():
        manifest = json.loads(registry.manifest("acme/app", digest) or b"")
        blob = f"{registry.url}/v2/acme/app/blobs/{manifest['config']['digest']}"
        with urllib.request.urlopen(blob) as answer:  # noqa: S310 (our own registry)
            config = json.load(answer)
        assert f"{config['os']}/{config['architecture']}" == platform
    again = run("publish", *images, *ARGS, cwd=app.path, env=any_engine.environ)
    assert again.returncode == 0, again
    assert again.json["build"]["reused"] is True
    assert again.json["digest"] == done.json["digest"]
    assert {each["status"] for each in again.json["published"]} == {"unchanged"}
    assert run("verify", *images, cwd=app.path).returncode == 0


def test_platforms_that_a_cut_off_run_has_pushed_are_not_built_again(
    app: GitRepository, run: Run, registry: RegistryServer, tmp_path: Path
) -> None:
    image = f"{registry.address}/acme/app"
    done = run("publish", "-i", image, *ARGS, cwd=app.path)
    assert done.returncode == 0, done
    before = children(registry, "1.2.3")
    registry.delete("acme/app", done.json["digest"])  # the index, and with it the release's tags
    assert set(registry.tags("acme/app")) == {"1.2.3-linux-amd64", "1.2.3-linux-arm64"}
    # No engine: nothing can be built.
    away = {"DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    again = run("publish", "-i", image, *ARGS, cwd=app.path, env=away)
    assert again.returncode == 0, again
    assert again.json["digest"] == done.json["digest"]
    assert children(registry, "latest") == before


def test_a_platforms_tag_is_as_immutable_as_the_releases(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    image = f"{registry.address}/acme/app"
    theirs = registry.put_image("acme/app", "1.2.3-linux-arm64", {}, platform="linux/arm64")
    refused = run("publish", "-i", image, *ARGS, cwd=app.path)
    assert refused.returncode == 4, refused
    assert tags(registry) == {"1.2.3-linux-arm64": theirs}
    done = run("publish", "-i", image, *ARGS, "--overwrite", cwd=app.path)
    assert done.returncode == 0, done
    assert theirs not in tags(registry).values()


def test_a_step_for_another_platform_without_an_emulator_gets_a_hint(
    git_repository: GitRepository, run: Run, registry: RegistryServer
) -> None:
    # A shell that is not the machine's: an ELF header of a machine that nobody has.
    shell = bytearray(b"\x7fELF\x02\x01\x01".ljust(64, b"\0"))
    shell[16:20] = b"\x02\0\xf3\0"
    git_repository.write(
        {**busybox_files('RUN ["/bin/busybox", "true"]\n'), "busybox": bytes(shell)}
    )
    git_repository.commit()
    git_repository.tag("v1.2.3")
    image = f"{registry.address}/acme/app"
    done = run("publish", "-i", image, "--network", "none", *ARGS, cwd=git_repository.path)
    assert done.returncode == 7, done
    assert "emulator" in done.json["error"]["hint"]
    assert registry.tags("acme/app") == []


def test_the_index_is_the_same_bytes_for_the_same_images() -> None:
    media_type = "application/vnd.oci.image.manifest.v1+json"
    images = [
        ("linux/amd64", Manifest(media_type, b"{}")),
        ("linux/arm/v7", Manifest(media_type, b"[]")),
    ]
    labels = {"b": "2", "a": "1"}
    first = make_index(images, labels)
    assert first.content == make_index(images, dict(reversed(labels.items()))).content
    assert json.loads(first.content)["manifests"][1]["platform"] == {
        "architecture": "arm", "os": "linux", "variant": "v7",
    }  # fmt: skip
    assert [child.digest for child in first.children] == [image.digest for _, image in images]


PREBUILT = """
images = {images}
[build]
platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7"]
context = "dist/{{os}}-{{arch}}{{variant}}"
file = "Dockerfile"
args = {{ ARCH = "{{arch}}" }}
[build.platform."linux/arm/v7"]
file = "Dockerfile.arm"
args = {{ ARCH = "old" }}
"""


def test_binaries_that_were_built_before_are_the_images_of_their_platforms(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    image = f"{registry.address}/acme/app"
    dockerfile = "FROM scratch\nARG ARCH\nLABEL arch=$ARCH file={}\nCOPY app /\n"
    app.write(
        {
            "releasetag.toml": PREBUILT.format(images=json.dumps([image])),
            "Dockerfile": dockerfile.format("plain"),
            "Dockerfile.arm": dockerfile.format("arm"),
            **{f"dist/linux-{each}/app": f"{each}\n" for each in ("amd64", "arm64", "armv7")},
        }
    )
    app.git("tag", "--force", "v1.2.3", app.commit("binaries"))

    done = run("publish", "--json", cwd=app.path)

    assert done.returncode == 0, done
    assert f"Building {app.path}/dist with buildkit for linux/amd64, linux/arm64" in done.stderr
    expected = {
        "linux-amd64": ("amd64", "plain"),
        "linux-arm64": ("arm64", "plain"),
        "linux-arm-v7": ("old", "arm"),
    }
    layers = set()
    for platform, (arch, file) in expected.items():
        labels = registry.labels("acme/app", f"1.2.3-{platform}")
        assert (labels["arch"], labels["file"]) == (arch, file)
        manifest = json.loads(registry.manifest("acme/app", f"1.2.3-{platform}") or b"")
        layers.add(manifest["layers"][0]["digest"])
    assert len(layers) == 3, "every platform has a binary of its own"
    index = json.loads(registry.manifest("acme/app", "latest") or b"")
    assert index["annotations"]["org.opencontainers.image.version"] == "1.2.3"
    again = run("publish", "--json", cwd=app.path)
    assert again.json["build"]["reused"] is True, again


def test_a_platform_that_is_not_built_is_refused_before_anything_is(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    toml = PREBUILT.format(images=json.dumps([f"{registry.address}/acme/app"]))
    app.write(
        {"releasetag.toml": toml.replace('"linux/arm/v7"]\ncontext', '"linux/386"]\ncontext')}
    )

    done = run("publish", "--allow-dirty", cwd=app.path)

    assert (done.returncode, done.stderr) == (
        2,
        'error: build.platform."linux/arm/v7" is none of the platforms\n'
        "hint: the platforms are: linux/amd64, linux/arm64, linux/386\n",
    )
    assert registry.tags("acme/app") == []


def test_each_runner_needs_the_binary_of_its_own_part_alone(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    toml = PREBUILT.format(images=json.dumps([f"{registry.address}/acme/app"]))
    toml = toml.partition("[build.platform")[0].replace(', "linux/arm/v7"', "")
    app.write({"releasetag.toml": toml, "Dockerfile": "FROM scratch\nCOPY app /\n"})
    app.git("tag", "--force", "v1.2.3", app.commit("binaries"))
    complete = []
    for arch in ("amd64", "arm64"):
        app.write({f"dist/linux-{arch}/app": f"{arch}\n"})  # which is not in git
        done = run("publish", "--part", f"linux/{arch}", "--json", cwd=app.path)
        assert done.returncode == 0, done
        complete.append(done.json["complete"])
        shutil.rmtree(app.path / "dist")

    assert complete == [False, True]
    assert set(children(registry, "latest")) == {"linux/amd64", "linux/arm64"}
