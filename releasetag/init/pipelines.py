"""A pipeline for every CI system, which publishes what a git tag releases.

Sources: the systems' own documentation. The variables that name the git tag are those that
`releasetag.plan` reads. Those systems do not run in the tests of this project, but for GitHub's.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from releasetag.reference import DOCKER_HUB, Repository

_INSTALL = "pip install --quiet releasetag"
_DRONE_NETRC = (
    "printf 'machine %s login %s password %s\\n' \"$DRONE_NETRC_MACHINE\""
    ' "$DRONE_NETRC_USERNAME" "$DRONE_NETRC_PASSWORD" > ~/.netrc'
)
# Git asks nobody for a password when releasetag runs it.
_JENKINS_HELPER = (
    "git config credential.helper"
    """ '!f() { echo "username=$GIT_USR"; echo "password=$GIT_PSW"; }; f'"""
)


@dataclass(frozen=True)
class Needs:
    """What a pipeline has to provide for.

    Attributes:
        git_tags: patterns of the git tags that it runs for: ``v*``.
        images: the repositories that are published to.
        branch: the default branch, if what is no release is published, too; else empty.
        schedules: the cron expressions of builds that are no release.
        replaced: the workflows that publish the images now.
        emulates: whether several platforms are built.
        uses_buildx: whether a setting needs a buildx builder that keeps a cache.
    """

    git_tags: Sequence[str]
    images: Sequence[Repository]
    branch: str = ""
    schedules: Sequence[str] = ()
    replaced: Sequence[str] = ()
    emulates: bool = False
    uses_buildx: bool = False

    @property
    def registry(self) -> str:
        """The registry to log in to: the first one."""
        return self.images[0].registry if self.images else DOCKER_HUB

    def login(self, program: str = "releasetag", dollar: str = "$", registry: str = "") -> str:
        """Return the command that logs in, with the password of a variable."""
        host = registry or self.registry
        return (
            f"printf '%s' \"{dollar}REGISTRY_PASSWORD\" | {program} login {host}"
            f' -u "{dollar}REGISTRY_USER" --password-stdin'
        )


@dataclass(frozen=True)
class System:
    """A CI system.

    Attributes:
        file: that it reads, from the top of the work tree.
        other: in place of one that exists.
        format: the file's text.
        how: what to do with the other one.
    """

    file: str
    other: str
    format: Callable[[Needs], str] = field(repr=False)
    how: str = "add what it holds to the one that exists"


def _flow(values: Sequence[str]) -> str:
    """Return a list of YAML: JSON is YAML."""
    return json.dumps(list(values))


def _github(needs: Needs) -> str:
    lines = ["name: release", "on:", "  push:"]
    if needs.branch:
        lines.append(f"    branches: {_flow([needs.branch])}")
    lines.append(f"    tags: {_flow(needs.git_tags)}")
    if needs.branch:
        lines.append("  pull_request:")
        crons = [f"    - cron: {json.dumps(each)}" for each in needs.schedules]
        lines += ["  schedule:", *crons] if crons else []
    lines += ["permissions:", "  contents: read", "  packages: write # to push to ghcr.io"]
    lines += ["jobs:", "  publish:", "    runs-on: ubuntu-latest", "    steps:"]
    lines += ["      - uses: actions/checkout@v5"]
    lines += ["        with:", "          persist-credentials: false"]
    if needs.emulates:
        lines.append("      - uses: docker/setup-qemu-action@v3")
    if needs.emulates or needs.uses_buildx:
        lines.append("      - uses: docker/setup-buildx-action@v3")
    lines.append("      - uses: releasetag/releasetag@v0")
    inputs = {"snapshot": "true"} if needs.branch else {}
    others = [each for each in dict.fromkeys(i.registry for i in needs.images) if each != "ghcr.io"]
    if others and str(needs.images[0]) != "acme/app":
        inputs |= {
            "registry": others[0],
            "username": "${{ vars.REGISTRY_USER }}",
            "password": "${{ secrets.REGISTRY_PASSWORD }}",
        }
    if inputs:
        lines.append("        with:")
        lines += [f"          {name}: {value}" for name, value in inputs.items()]
    lines += ["        env:", "          GITHUB_TOKEN: ${{ github.token }}"]
    if len(others) > 1:
        lines.append(
            f"# Log in to {', '.join(others[1:])} as well: docker/login-action, before it."
        )
    return _replaced(needs) + "\n".join(lines) + "\n"


def _replaced(needs: Needs) -> str:
    files = [f"# {file} publishes these images as well: remove that when this works.\n"
             for file in needs.replaced]  # fmt: skip
    return "".join(files)


def _forgejo(needs: Needs) -> str:
    return f"""\
# A runner whose jobs reach an engine: docker_host: automount in its configuration.
on:
  push:
    tags: {_flow(needs.git_tags)}
jobs:
  publish:
    runs-on: docker
    container:
      image: node:22-bookworm
    steps:
      - run: apt-get update -q && apt-get install -qy python3-venv
      - uses: actions/checkout@v4
        with:
          persist-credentials: false
      - uses: https://github.com/releasetag/releasetag@v0
        with:
          registry: {needs.registry}
          username: ${{{{ github.actor }}}}
          password: ${{{{ secrets.REGISTRY_TOKEN }}}}
"""


def _gitlab(needs: Needs) -> str:
    if needs.registry.startswith("registry."):
        registry, user, password = '"$CI_REGISTRY"', "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD"
        about = ""
    else:
        registry, user, password = needs.registry, "REGISTRY_USER", "REGISTRY_PASSWORD"
        about = "# REGISTRY_USER and REGISTRY_PASSWORD are variables of the project.\n"
    return f"""\
{about}publish:
  image: python:3.13
  services: ["docker:dind"] # needs a runner that allows privileged containers
  variables:
    DOCKER_HOST: tcp://docker:2376
    DOCKER_TLS_CERTDIR: /certs
    DOCKER_CERT_PATH: /certs/client
    DOCKER_TLS_VERIFY: "1"
    RELEASETAG_HISTORY: remote
  script:
    - {_INSTALL}
    - printf '%s' "${password}" | releasetag login {registry} -u "${user}" --password-stdin
    - releasetag publish
  rules:
    - if: $CI_COMMIT_TAG
"""


def _woodpecker(needs: Needs) -> str:
    return f"""\
# The clone step has the repository's credentials and fetches all tags; later steps have none.
when:
  - event: tag
clone:
  git:
    image: woodpeckerci/plugin-git
    settings:
      depth: 0
      partial: false
      tags: true
steps:
  publish:
    image: python:3.13
    environment:
      RELEASETAG_HISTORY: local
      REGISTRY_USER:
        from_secret: registry_user
      REGISTRY_PASSWORD:
        from_secret: registry_password
    volumes: # needs a trusted repository
      - /var/run/docker.sock:/var/run/docker.sock
    commands:
      - {_INSTALL}
      - {needs.login()}
      - releasetag publish
"""


def _drone(needs: Needs) -> str:
    return f"""\
kind: pipeline
type: docker
name: publish
trigger:
  event: [tag]
steps:
  - name: publish
    image: python:3.13
    environment:
      RELEASETAG_HISTORY: remote
      REGISTRY_USER:
        from_secret: registry_user
      REGISTRY_PASSWORD:
        from_secret: registry_password
    volumes: # needs a trusted repository
      - name: docker
        path: /var/run/docker.sock
    commands:
      - {_DRONE_NETRC}
      - {_INSTALL}
      - {needs.login()}
      - releasetag publish
volumes:
  - name: docker
    host:
      path: /var/run/docker.sock
"""


def _jenkins(needs: Needs) -> str:
    login = needs.login().replace("$REGISTRY_PASSWORD", "$REGISTRY_PSW")
    return f"""\
// For a multibranch pipeline that discovers tags, with the credentials `registry` and `git`.
pipeline {{
    agent any
    stages {{
        stage('publish') {{
            when {{ buildingTag() }}
            environment {{
                RELEASETAG_HISTORY = 'remote'
                REGISTRY = credentials('registry')
                GIT = credentials('git')
            }}
            steps {{
                sh '''
                    {_JENKINS_HELPER}
                    python3 -m venv .releasetag
                    PATH=$PWD/.releasetag/bin:$PATH
                    {_INSTALL}
                    {login.replace("$REGISTRY_USER", "$REGISTRY_USR")}
                    releasetag publish
                '''
            }}
        }}
    }}
}}
"""


def _circleci(needs: Needs) -> str:
    only = "|".join(_regex(each) for each in needs.git_tags)
    return f"""\
version: 2.1
jobs:
  publish:
    machine:
      image: ubuntu-2404:current
    environment:
      RELEASETAG_HISTORY: remote
    steps:
      - checkout
      - run: |
          python3 -m venv ~/releasetag
          ~/releasetag/bin/{_INSTALL}
          {needs.login("~/releasetag/bin/releasetag")}
          ~/releasetag/bin/releasetag publish
workflows:
  publish:
    jobs:
      - publish:
          context: registry # with REGISTRY_USER and REGISTRY_PASSWORD
          filters:
            branches: {{ ignore: /.*/ }}
            tags: {{ only: {json.dumps(f"/^({only})$/")} }}
"""


def _regex(pattern: str) -> str:
    """Return what matches as a pattern of git tags does, between slashes."""
    return ".*".join(
        part if part == "[0-9]" else re.escape(part).replace("/", r"\/")
        for part in pattern.split("*")
    )


def _azure(needs: Needs) -> str:
    return f"""\
trigger:
  branches: {{ exclude: ["*"] }}
  tags: {{ include: {_flow(needs.git_tags)} }}
pool:
  vmImage: ubuntu-24.04
steps:
  - checkout: self
    persistCredentials: true
  - script: |
      python3 -m venv "$AGENT_TEMPDIRECTORY/releasetag"
      PATH="$AGENT_TEMPDIRECTORY/releasetag/bin:$PATH"
      {_INSTALL}
      {needs.login()}
      releasetag publish
    env:
      RELEASETAG_HISTORY: remote
      REGISTRY_USER: $(registryUser)
      REGISTRY_PASSWORD: $(registryPassword)
"""


def _bitbucket(needs: Needs) -> str:
    step = f"""\
      - step:
          services: [docker]
          script:
            - export RELEASETAG_HISTORY=remote
            - {_INSTALL}
            - {needs.login()}
            - releasetag publish
"""
    tags = "".join(f"    {json.dumps(each)}:\n{step}" for each in needs.git_tags)
    return f"""\
# REGISTRY_USER and REGISTRY_PASSWORD are variables of the repository.
image: python:3.13
pipelines:
  tags:
{tags}"""


def _buildkite(needs: Needs) -> str:
    folder = "/tmp/releasetag-$$BUILDKITE_JOB_ID"  # noqa: S108 (on the agent, for one job)
    return f"""\
steps:
  - label: publish
    if: build.tag != null
    env:
      RELEASETAG_HISTORY: remote
    commands:
      - python3 -m venv {folder}
      - {folder}/bin/{_INSTALL}
      - {needs.login(f"{folder}/bin/releasetag", "$$")}
      - {folder}/bin/releasetag publish
"""


SYSTEMS: Mapping[str, System] = {
    "github": System(
        ".github/workflows/release.yml",
        ".github/workflows/releasetag.yml",
        _github,
        "see that one of them publishes",
    ),
    "gitlab": System(
        ".gitlab-ci.yml",
        ".gitlab/releasetag.yml",
        _gitlab,
        "include it there: include: { local: .gitlab/releasetag.yml }",
    ),
    "woodpecker": System(".woodpecker/release.yml", ".woodpecker/releasetag.yml", _woodpecker),
    "drone": System(".drone.yml", "releasetag.drone.yml", _drone),
    "jenkins": System("Jenkinsfile", "Jenkinsfile.releasetag", _jenkins),
    "circleci": System(".circleci/config.yml", ".circleci/releasetag.yml", _circleci),
    "azure": System("azure-pipelines.yml", "releasetag.azure-pipelines.yml", _azure),
    "bitbucket": System(
        "bitbucket-pipelines.yml", "releasetag.bitbucket-pipelines.yml", _bitbucket
    ),
    "buildkite": System(".buildkite/pipeline.yml", ".buildkite/releasetag.yml", _buildkite),
    "forgejo": System(
        ".forgejo/workflows/release.yml",
        ".forgejo/workflows/releasetag.yml",
        _forgejo,
        "see that one of them publishes",
    ),
}
"""The CI systems by name, in the order of help."""


def default_system(host: str) -> str:
    """Return the CI system of a git remote's host; GitHub's for one that is not known."""
    from releasetag.init.survey import is_forgejo

    if "gitlab" in host.split(".", maxsplit=1)[0]:
        return "gitlab"
    if is_forgejo(host):
        return "forgejo"
    if host == "bitbucket.org":
        return "bitbucket"
    return "azure" if host in {"dev.azure.com", "ssh.dev.azure.com"} else "github"
