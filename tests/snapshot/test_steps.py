"""`releasetag snapshot` with a real engine and registry."""

import json
import os
from pathlib import Path

import pytest

from tests.conftest import Run, StartRegistry
from tests.support.git import GitRepository
from tests.support.image import busybox_files
from tests.support.promises import REVISION, VERSION
from tests.support.registry import RegistryServer
from tests.support.run import Finished


class Clone:
    """A clone of the app with a registry, in which branches are pushed and snapshots made."""

    def __init__(self, app: GitRepository, run: Run, registry: RegistryServer) -> None:
        self.app, self.registry, self._run = app, registry, run
        self.remote = app.bare_remote()
        self.image = f"{registry.address}/acme/app"

    def commit(self, text: str, *, push: bool = True) -> str:
        self.app.write({"hello.txt": text})
        commit = self.app.commit(text)
        if push:
            self.app.git("push", "--quiet", "--force", "origin", "HEAD")
        return commit

    def snapshot(
        self, *args: str, tree: GitRepository | None = None, env: dict[str, str] | None = None
    ) -> Finished:
        where = (tree or self.app).path
        return self._run("snapshot", "-i", self.image, *args, cwd=where, env=env)

    def named(self, tag: str) -> str:
        """The commit that a tag names."""
        return self.registry.labels("acme/app", tag)[REVISION]

    @property
    def tags(self) -> set[str]:
        return set(self.registry.tags("acme/app"))


@pytest.fixture
def clone(app: GitRepository, run: Run, registry: RegistryServer) -> Clone:
    return Clone(app, run, registry)


def test_the_default_branch_has_edge_and_the_commit_its_own_tag(clone: Clone) -> None:
    head = clone.app.head
    done = clone.snapshot()

    assert done.returncode == 0, done
    digest = clone.registry.digest("acme/app", "edge")
    assert done.stdout == (
        f"edge at {head[:7]} published as {digest}\n"
        f"  pushed  {clone.image}:edge\n"
        f"  pushed  {clone.image}:sha-{head[:7]}\n"
    )
    assert clone.tags == {"edge", f"sha-{head[:7]}"}
    assert clone.registry.digest("acme/app", f"sha-{head[:7]}") == digest
    labels = clone.registry.labels("acme/app", "edge")
    assert (labels[VERSION], labels[REVISION]) == ("edge", head)


def test_a_commit_is_built_once(clone: Clone) -> None:
    first = clone.snapshot("--json")
    clone.app.git("switch", "--quiet", "--create", "feature/x")
    second = clone.snapshot("--json")

    assert second.json["build"]["reused"], second
    assert second.json["digest"] == first.json["digest"]
    assert [each["status"] for each in second.json["published"]] == ["pushed", "unchanged"]
    assert "feature-x" in clone.tags
    assert second.json["version"] == "feature-x"
