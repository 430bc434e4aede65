"""Releases that are published from what their commit has already, without a build."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.support.cli import no_engine
from tests.support.fake_registry import image as image_of
from tests.support.git import GitRepository
from tests.support.image import scratch_files
from tests.support.promises import REVISION, VERSION
from tests.support.registry import IMAGE_INDEX, IMAGE_MANIFEST, RegistryServer


@pytest.fixture
def run(run_in_process: Run) -> Run:
    return run_in_process


class Project:
    """A repository whose HEAD is no release yet."""

    def __init__(self, path: Path, run: Run, registry: RegistryServer) -> None:
        self.repository = GitRepository(path)
        self.repository.write(scratch_files())
        self.repository.commit()
        self.registry, self._run = registry, run
        self.image = f"{registry.address}/acme/app"
        self.without_engine = no_engine(path)

    def do(self, command: str, *args: str, env: dict[str, str] | None = None) -> Any:
        """Run a command with --json; what it prints, with the exit code as ``exit``."""
        given = ("-i", self.image, "--json")
        done = self._run(command, *args, *given, cwd=self.repository.path, env=env)
        return {"exit": done.returncode, **done.json}

    def publish(self, *args: str) -> Any:
        """Publish without an engine."""
        return self.do("publish", *args, env=self.without_engine)

    def index(self, tag: str) -> Any:
        return json.loads(self.registry.manifest("acme/app", tag) or b"{}")


@pytest.fixture
def project(tmp_path: Path, run: Run, registry: RegistryServer) -> Project:
    return Project(tmp_path / "project", run, registry)


@pytest.mark.parametrize("platforms", [(), ("--platform", "linux/amd64,linux/arm64")])
def test_the_snapshot_of_the_commit_becomes_the_release(
    project: Project, registry: RegistryServer, platforms: tuple[str, ...]
) -> None:
    snapshot = project.do("snapshot", *platforms)
    project.repository.tag("v1.2.3")

    done = project.publish("--from-snapshot")

    assert done["exit"] == 0, done
    assert done["build"]["builder"] == "snapshot"
    for tag in ("1.2.3", "1.2", "latest"):
        assert registry.digest("acme/app", tag) == done["digest"] != snapshot["digest"]
    before, after = project.index("edge"), project.index("1.2.3")
    assert after["mediaType"] == IMAGE_INDEX
    assert after["annotations"][VERSION] == "1.2.3"
    assert after["annotations"][REVISION] == project.repository.head
    if platforms:
        assert after["manifests"] == before["manifests"]
    else:
        (child,) = after["manifests"]
        assert child["digest"] == snapshot["digest"]
        assert child["platform"]["os"] == "linux"
    # Resume, and verify, read the annotations.
    again = project.publish()
    assert (again["digest"], again["build"]["reused"]) == (done["digest"], True)
    verified = project.do("verify", "--deep", "--strict")
    assert verified["exit"] == 0, verified
    assert registry.digest("acme/app", "edge") == snapshot["digest"]


def test_the_second_witness_reads_annotations(project: Project, registry: RegistryServer) -> None:
    """Only the registry knows 1.2.3, and its label says that it is edge."""
    project.do("snapshot")
    project.repository.tag("v1.2.3")
    project.publish("--from-snapshot")
    project.repository.git("tag", "--delete", "v1.2.3")
    project.repository.write({"hello.txt": "fix"})
    project.repository.commit()
    project.repository.tag("v1.1.9")

    done = project.do("publish")

    latest = done["published"][-1]
    assert latest["status"] == "kept"
    assert "1.2.3" in latest["reason"]


def test_a_run_that_was_stopped_makes_the_same_bytes(project: Project) -> None:
    project.do("snapshot")
    project.repository.tag("v1.2.3")

    refused = project.publish("--from-snapshot", "--gate", "false")
    done = project.publish("--from-snapshot")

    assert refused["exit"] == 10
    assert done["digest"] == refused["digest"]


def test_the_image_of_a_candidate_becomes_the_release(
    project: Project, registry: RegistryServer
) -> None:
    project.repository.tag("v2.0.0-rc.1")
    candidate = project.do("publish")
    project.repository.tag("v2.0.0")

    done = project.publish("--from-version", "2.0.0-rc.1")

    assert done["exit"] == 0, done
    assert done["build"]["builder"] == "version"
    index = project.index("2.0.0")
    assert index["annotations"][VERSION] == "2.0.0"
    assert index["manifests"][0]["digest"] == candidate["digest"]
    assert registry.digest("acme/app", "2.0.0-rc.1") == candidate["digest"]
    assert project.do("verify")["exit"] == 0


def test_a_candidate_of_another_commit_is_a_conflict(project: Project) -> None:
    project.repository.tag("v2.0.0-rc.1")
    project.do("publish")
    project.repository.write({"hello.txt": "another"})
    project.repository.commit()
    project.repository.tag("v2.0.0")

    done = project.publish("--from-version", "2.0.0-rc.1")

    assert done["exit"] == 4, done
    assert done["published"] == []


@pytest.mark.parametrize("args", [("--from-snapshot",), ("--from-version", "2.0.0-rc.1")])
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_what_is_not_there_is_not_built_instead(
    project: Project, registry: RegistryServer, args: tuple[str, ...], more: tuple[str, ...]
) -> None:
    project.repository.tag("v2.0.0")
    # Of another commit, with the same seven digits.
    tag = f"sha-{project.repository.head[:7]}"
    registry.put_image("acme/app", tag, {REVISION: "f" * 40})

    done = project.do("publish", *args, *more)

    assert done["exit"] == 2, done
    assert registry.tags("acme/app") == [tag]


def test_a_dry_run_says_what_would_be_taken(project: Project, registry: RegistryServer) -> None:
    project.do("snapshot")
    project.repository.tag("v1.2.3")
    before = registry.tags("acme/app")

    assert project.publish("--from-snapshot", "--dry-run")["exit"] == 0
    assert registry.tags("acme/app") == before


def test_a_snapshot_that_is_gone_does_no_harm_to_a_release_that_is_there(
    project: Project, registry: RegistryServer
) -> None:
    snapshot = project.do("snapshot")
    project.repository.tag("v1.2.3")
    first = project.publish("--from-snapshot")
    registry.put_image("acme/app", f"sha-{project.repository.head[:7]}", {})

    assert project.publish("--from-snapshot")["digest"] == first["digest"] != snapshot["digest"]


def test_every_variant_is_taken_from_its_own_snapshot(project: Project) -> None:
    project.repository.write(
        {
            "releasetag.toml": "from-snapshot = true\n"
            "[[variants]]\nname = 'debian'\ndefault = true\n"
            "[[variants]]\nname = 'alpine'\nbuild.labels = { of = 'alpine' }\n"
        }
    )
    project.repository.commit()
    snapshots = project.do("snapshot")
    assert snapshots["exit"] == 0, snapshots
    project.repository.tag("v1.2.3")

    done = project.publish()

    assert done["exit"] == 0, done
    for tag, variant in (("1.2.3", 0), ("1.2.3-alpine", 1)):
        child = project.index(tag)["manifests"][0]["digest"]
        assert child == snapshots["variants"][variant]["digest"]


def test_another_repository_gets_it_too(
    project: Project, registry: RegistryServer, second_registry: RegistryServer
) -> None:
    project.do("snapshot")
    project.repository.tag("v1.2.3")

    done = project.publish("--from-snapshot", "-i", f"{second_registry.address}/team/app")

    assert done["exit"] == 0, done
    assert second_registry.digest("team/app", "1.2.3") == registry.digest("acme/app", "1.2.3")


def test_attestations_stay_in_the_index(project: Project, registry: RegistryServer) -> None:
    """As buildx makes them: manifests of no platform, which say what they are about."""
    head = project.repository.head
    labels = {REVISION: head, VERSION: "edge"}
    image = registry.put_image("acme/app", "image", labels)
    attestation = registry.put_image("acme/app", "attestation", {})
    children = [
        {
            "mediaType": IMAGE_MANIFEST,
            "digest": digest,
            "size": len(registry.manifest("acme/app", digest) or b""),
            **more,
        }
        for digest, more in (
            (image, {"platform": {"os": "linux", "architecture": "amd64"}}),
            (
                attestation,
                {
                    "platform": {"os": "unknown", "architecture": "unknown"},
                    "annotations": {
                        "vnd.docker.reference.type": "attestation-manifest",
                        "vnd.docker.reference.digest": image,
                    },
                },
            ),
        )
    ]
    index = {
        "schemaVersion": 2,
        "mediaType": IMAGE_INDEX,
        "manifests": children,
        "annotations": {**labels, "own": "kept"},
    }
    tag = f"sha-{head[:7]}"
    registry.put_manifest("acme/app", tag, json.dumps(index).encode(), IMAGE_INDEX)
    project.repository.tag("v1.2.3")

    assert project.publish("--from-snapshot")["exit"] == 0
    published = project.index("latest")
    assert published["manifests"] == children
    assert published["annotations"]["own"] == "kept"
    assert published["annotations"][VERSION] == "1.2.3"


def test_an_image_that_does_not_say_its_platform_is_refused(
    project: Project, registry: RegistryServer
) -> None:
    head = project.repository.head
    image_of(registry, "acme/app", f"sha-{head[:7]}", labels={REVISION: head})
    project.repository.tag("v1.2.3")

    done = project.publish("--from-snapshot")

    assert done["exit"] == 2, done
    assert "does not say what platform it is for" in done["error"]["message"]
