"""What the tests of `releasetag init` share."""

import os
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from releasetag.config import Configuration
from releasetag.git import open_work_tree
from releasetag.init.draft import Draft, make_draft
from releasetag.init.survey import survey
from releasetag.init.workflows import Translation, translate
from tests.support.config import load_in
from tests.support.git import GitRepository


class Project:
    """A git repository at https://github.com/Acme/Shop, and what is made of it."""

    def __init__(self, repository: GitRepository) -> None:
        self.repository = repository
        repository.git("remote", "add", "origin", "https://github.com/Acme/Shop.git")

    def write(self, *names: str, **files: str) -> "Project":
        """Write files, empty ones by their names alone."""
        self.repository.write({**dict.fromkeys(names, "FROM scratch\n"), **files})
        return self

    def workflow(self, text: str, name: str = "docker.yml") -> "Project":
        """Write a workflow."""
        self.repository.write({f".github/workflows/{name}": text})
        return self

    def tags(self, *names: str) -> "Project":
        """Tag a commit of its own with every name."""
        for name in names:
            self.repository.commit(name)
            self.repository.tag(name)
        return self

    def translate(self) -> Translation:
        return translate(survey(open_work_tree(self.repository.path, os.environ)))

    def draft(self) -> Draft:
        found = survey(open_work_tree(self.repository.path, os.environ))
        return make_draft(found, translate(found))

    def load(self) -> Configuration:
        """The drafted configuration, as the program itself reads it."""
        return load_in(self.repository.path, toml=self.draft().format())

    def toml(self) -> dict[str, Any]:
        """The drafted configuration, as TOML."""
        return tomllib.loads(self.draft().format())


@pytest.fixture
def project(git_repository: GitRepository) -> Project:
    return Project(git_repository)


MakeJob = Callable[..., str]


def job(meta: str = "", build: str = "", more: str = "") -> str:
    """A workflow with metadata-action and build-push-action, with these inputs."""
    return f"""\
on:
  push:
env:
  REGISTRY: ghcr.io
  IMAGE: ${{{{ env.REGISTRY }}}}/${{{{ github.repository }}}}
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - id: meta
        uses: docker/metadata-action@v5
        with:
{_indented(meta or "images: acme/shop")}
      - uses: docker/build-push-action@v6
        with:
          push: true
          tags: ${{{{ steps.meta.outputs.tags }}}}
          labels: ${{{{ steps.meta.outputs.labels }}}}
{_indented(build)}
{more}
"""


def _indented(text: str) -> str:
    return "\n".join(f"          {line}" for line in text.splitlines())
