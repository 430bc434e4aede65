"""Platforms that several machines build, on two engines and real registries."""

import json
import subprocess
from pathlib import Path

import pytest

from releasetag.image.parts import make_index
from releasetag.registry import Manifest
from tests.conftest import Run
from tests.support.engine import Engine, PrivateEngine
from tests.support.git import GitRepository
from tests.support.registry import RegistryServer
from tests.support.run import start_cli

PLATFORMS = ("linux/amd64", "linux/arm64")
PARTS = {"1.2.3-linux-amd64", "1.2.3-linux-arm64"}


def arguments(registry: RegistryServer, part: str) -> list[str]:
    image = f"{registry.address}/acme/app"
    return ["publish", "-i", image, "--platform", ",".join(PLATFORMS), "--part", part]


def test_two_machines_publish_one_release_without_a_merge(
    app: GitRepository, run: Run, private_engine: PrivateEngine, registry: RegistryServer
) -> None:
    first = run(*arguments(registry, "linux/amd64"), cwd=app.path)
    assert first.returncode == 0, first
    assert first.stdout == (
        "v1.2.3 waits for linux/arm64\n"
        f"  pushed   {registry.address}/acme/app:1.2.3-linux-amd64\n"
        f"  waiting  {registry.address}/acme/app:1.2.3\n"
        f"  waiting  {registry.address}/acme/app:1.2\n"
        f"  waiting  {registry.address}/acme/app:latest\n"
    )
    assert registry.tags("acme/app") == ["1.2.3-linux-amd64"]

    args = [*arguments(registry, "linux/arm64"), "--json"]
    last = run(*args, cwd=app.path, env=private_engine.environ)

    assert last.returncode == 0, last
    assert last.json["complete"] is True
    index = json.loads(registry.manifest("acme/app", "latest") or b"")
    assert [f"{m['platform']['os']}/{m['platform']['architecture']}" for m in index["manifests"]
            ] == list(PLATFORMS)  # fmt: skip
    assert set(registry.tags("acme/app")) == {"1.2.3", "1.2", "latest", *PARTS}
    assert registry.digest("acme/app", "latest") == last.json["digest"]
    images = ("-i", f"{registry.address}/acme/app")
    assert run("verify", "--strict", "--deep", *images, cwd=app.path).returncode == 0


def test_two_machines_at_the_same_time(
    app: GitRepository,
    engine: Engine,
    private_engine: PrivateEngine,
    registry: RegistryServer,
    home: Path,
    run: Run,
) -> None:
    processes: list[subprocess.Popen[str]] = [
        start_cli(*arguments(registry, part), "--json", cwd=app.path, home=home, env=each.environ)
        for part, each in zip(PLATFORMS, (engine, private_engine), strict=True)
    ]
    ended = [(process.communicate(timeout=120), process.returncode) for process in processes]
    assert [code for _, code in ended] == [0, 0], ended
    results = [json.loads(stdout) for (stdout, _), _ in ended]
    assert any(each["complete"] for each in results)
    digest = registry.digest("acme/app", "1.2.3")
    assert {each["digest"] for each in results} <= {digest, None}
    assert set(registry.tags("acme/app")) == {"1.2.3", "1.2", "latest", *PARTS}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--part", "linux/arm64"], "a part is one of several platforms, and none are given"),
        (
            ["--part", "linux/arm64", "--platform", "linux/amd64"],
            "the part 'linux/arm64' is none of the platforms",
        ),
        (["--part", "arm64", "--platform", "linux/amd64"], "'arm64' is not a platform"),
        (
            ["--part", "linux/amd64", "--platform", "linux/amd64", "--overwrite"],
            "parts that replace a release would mix its images with the new ones",
        ),
        (
            ["--part", "linux/amd64", "--platform", "linux/amd64", "--no-push"],
            "a part is for other runs to find in the registry",
        ),
        (
            ["--part", "linux/amd64", "--from-image", "scratch-image"],
            "a part is built, and an image is given",
        ),
    ],
)
def test_what_a_part_cannot_be_is_refused_before_anything_is_done(
    app: GitRepository, run: Run, registry: RegistryServer, args: list[str], message: str
) -> None:
    done = run("publish", "-i", f"{registry.address}/acme/app", *args, cwd=app.path)
    assert done.returncode == 2, done
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert registry.tags("acme/app") == []


def test_what_an_index_of_an_index_has() -> None:
    """buildx makes an index for an image with attestations."""
    own = [
        {"digest": "sha256:1", "platform": {"os": "linux", "architecture": "arm64"}},
        {
            "digest": "sha256:2",
            "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
        },
    ]
    media_type = "application/vnd.oci.image.index.v1+json"
    part = Manifest(media_type, json.dumps({"manifests": own}).encode())
    image = Manifest("application/vnd.oci.image.manifest.v1+json", b"{}")
    made = make_index([("linux/arm64", part), ("linux/arm/v7", image)], {})
    assert json.loads(made.content)["manifests"] == [
        *own,
        {
            "mediaType": image.media_type,
            "digest": image.digest,
            "size": 2,
            "platform": {"os": "linux", "architecture": "arm", "variant": "v7"},
        },
    ]
