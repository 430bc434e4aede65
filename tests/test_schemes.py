"""Versions that are not SemVer, on a real engine and a real registry, from publish to promote."""

import json
from collections.abc import Sequence

import pytest

from tests.conftest import Run
from tests.support.git import GitRepository
from tests.support.registry import RegistryServer

VERSION = "org.opencontainers.image.version"

# Git tags in the order in which they are published, and the version that every tag names then.
PEP440 = ["v1.2", "v1.10.0", "v2.0.0-RC.1", "v1.2.1", "v1.2.1.post1"]
LOOSE = ["2024.02.10", "2024.10.01", "2024.02.10-1", "2024.02.9", "2025.1.0.7"]


@pytest.fixture
def run(run_in_process: Run) -> Run:
    return run_in_process


@pytest.fixture
def repository(app: GitRepository) -> GitRepository:
    """A repository with a Dockerfile and no release."""
    app.git("tag", "--delete", "v1.2.3")
    return app


def publish_all(app: GitRepository, run: Run, git_tags: Sequence[str], toml: str) -> None:
    for git_tag in git_tags:
        app.write({"hello.txt": f"{git_tag}\n", "releasetag.toml": toml})
        app.tag(git_tag, commit=app.commit(git_tag))
        done = run("publish", cwd=app.path)
        assert done.returncode == 0, done
        assert done.stdout.startswith(f"{git_tag} published as sha256:"), done


def named(registry: RegistryServer) -> dict[str, str]:
    """The version that the image behind every tag says it is."""
    tags = registry.tags("acme/app")
    return {tag: registry.labels("acme/app", tag)[VERSION] for tag in tags}


@pytest.mark.parametrize(
    ("scheme", "git_tags", "tags", "expected", "down"),
    [
        (
            "pep440",
            PEP440,
            ["{version}", "{major}.{minor}.x", "latest", "{channel}"],
            {"1.2": "1.2", "1.10.0": "1.10.0", "2.0.0rc1": "2.0.0rc1", "1.2.1": "1.2.1",
             "1.2.1.post1": "1.2.1.post1", "1.2.x": "1.2.1.post1", "1.10.x": "1.10.0",
             "latest": "1.10.0", "rc": "2.0.0rc1"},
            "1.2.1",
        ),
        (
            "loose",
            LOOSE,
            ["{version}", "{major}.{minor}", "latest"],
            {"2024.02.10": "2024.02.10", "2024.10.01": "2024.10.01", "2024.02.9": "2024.02.9",
             "2024.02.10-1": "2024.02.10-1", "2025.1.0.7": "2025.1.0.7",
             "2024.02": "2024.02.10-1", "2024.10": "2024.10.01", "2025.1": "2025.1.0.7",
             "latest": "2025.1.0.7"},
            "2024.02.10",
        ),
    ],
)  # fmt: skip
def test_releases_are_published_verified_and_promoted(
    repository: GitRepository,
    run: Run,
    registry: RegistryServer,
    scheme: str,
    git_tags: list[str],
    tags: list[str],
    expected: dict[str, str],
    down: str,
) -> None:
    image = f"{registry.address}/acme/app"
    toml = f'images = ["{image}"]\nversions = "{scheme}"\ntags = {json.dumps(tags)}\n'

    publish_all(repository, run, git_tags, toml)

    assert named(registry) == expected
    verified = run("verify", "--strict", "--deep", "--json", cwd=repository.path)
    assert verified.returncode == 0, verified
    floating = expected.keys() - {each.removeprefix("v") for each in git_tags} - {"2.0.0rc1"}
    shown = {tag["name"] for tag in verified.json["repositories"][0]["tags"]}
    assert shown == floating
    again = run("publish", cwd=repository.path)
    assert "nothing is built" in again.stderr, again

    for name, names in (("latest", expected["latest"]), (down, down)):
        explained = run("explain", name, "--json", cwd=repository.path)
        assert explained.json["tags"][0]["version"] == names, explained
    history = run("history", "--json", cwd=repository.path)
    (component,) = history.json["components"]
    assert {each["version"] for each in component["releases"]} == {*expected.values()}
    assert {tag for each in component["releases"] for tag in each["tags"]} == {*expected}

    refused = run("promote", down, "-t", "latest", cwd=repository.path)
    assert refused.returncode == 4, refused
    assert f"{down} would move tags down" in refused.stderr
    done = run("promote", down, "-t", "latest", "--allow-downgrade", cwd=repository.path)
    assert done.returncode == 0, done
    assert named(registry) == {**expected, "latest": down}
    drift = run("verify", cwd=repository.path)
    assert drift.returncode == 1, drift


@pytest.mark.parametrize("scheme", ["pep440", "loose"])
def test_a_floating_tag_that_is_an_exact_one_is_refused_before_anything_is_built(
    repository: GitRepository, run: Run, registry: RegistryServer, scheme: str
) -> None:
    commit = repository.git("rev-parse", "HEAD")
    repository.tag("v1.2.3", commit=repository.commit("next"))
    repository.tag("v1.2", commit=commit)

    for command in ("plan", "publish", "verify"):
        done = run(
            command, "-i", f"{registry.address}/acme/app", "--versions", scheme, cwd=repository.path
        )
        assert done.returncode == 2, done
        assert done.stderr == (
            "error: the floating tag '1.2' from template '{major}.{minor}' is the exact tag of"
            " v1.2\nhint: exact tags never move: choose another name for the floating tag\n"
        )
    assert registry.tags("acme/app") == []
