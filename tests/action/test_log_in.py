"""The action's login: in a configuration of its own, in which nothing of the job's is missing."""

import base64
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartRegistry
from tests.support.registry import RegistryServer
from tests.support.run import ROOT, clean_environ

OTHER = {"auth": "b3RoZXI6b3RoZXI="}
# A credential helper that must not be called: what it has is the job's.
HELPER = '#!/bin/sh\necho "$1" >> "$0.called"\nexit 1\n'


@dataclass(frozen=True)
class Job:
    """A job with a home directory and a registry to log in to."""

    home: Path
    registry: RegistryServer
    temporary: Path

    @property
    def docker(self) -> Path:
        return self.home / ".docker"

    def configure(self, settings: object) -> None:
        """Write config.json, with the registry's address for REGISTRY."""
        self.docker.mkdir()
        text = settings if isinstance(settings, str) else json.dumps(settings)
        (self.docker / "config.json").write_text(self.with_registry(text))

    def with_registry(self, text: str) -> str:
        return text.replace("REGISTRY", self.registry.address)

    def log_in(self, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run the step of the action, with the environment that it has."""
        defaults = {
            "RUNNER_TEMP": str(self.temporary),
            "GITHUB_OUTPUT": str(self.home / "outputs"),
            "RELEASETAG_REGISTRY": self.registry.address,
            "RELEASETAG_USERNAME": self.registry.username,
            "RELEASETAG_PASSWORD": self.registry.password,
        }
        return subprocess.run(
            [sys.executable, "-I", ROOT / "action" / "log_in.py"],
            env={**clean_environ(self.home), **defaults, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def made(self, **environ: str) -> Path:
        """Log in; the directory of the configuration that was made."""
        done = self.log_in(**environ)
        assert done.returncode == 0, done.stderr
        name, _, value = (self.home / "outputs").read_text().rstrip("\n").partition("=")
        assert name == "docker-config"
        return Path(value)

    @property
    def login(self) -> dict[str, Any]:
        """What config.json has for a login that works."""
        pair = f"{self.registry.username}:{self.registry.password}"
        return {self.registry.address: {"auth": base64.b64encode(pair.encode()).decode()}}


@pytest.fixture
def job(start_registry: StartRegistry, home: Path, tmp_path: Path) -> Job:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    return Job(home, start_registry(auth="htpasswd"), temporary)


def settings_in(directory: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((directory / "config.json").read_bytes())
    return settings


@pytest.mark.parametrize(
    ("settings", "helpers"),
    [
        ({}, None),
        ("", None),
        ({"auths": {"REGISTRY": OTHER, "other": OTHER}, "currentContext": "remote"}, None),
        ({"auths": None, "credsStore": "test"}, {"REGISTRY": ""}),
        (
            {"credHelpers": {"REGISTRY": "test", "other": "test"}, "HttpHeaders": {"a": "b"}},
            {"REGISTRY": "", "other": "test"},
        ),
    ],
    ids=["empty object", "empty file", "auths", "credsStore", "credHelpers"],
)
def test_the_login_is_added_to_a_copy_of_the_jobs_settings(
    settings: dict[str, Any], helpers: dict[str, str] | None, job: Job, tmp_path: Path
) -> None:
    job.configure(settings)
    before = (job.docker / "config.json").read_bytes()
    helper = tmp_path / "docker-credential-test"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    path = f"{tmp_path}:{clean_environ(job.home)['PATH']}"

    made = settings_in(job.made(PATH=path))

    expected = json.loads(before or b"{}")
    expected["auths"] = {**(expected.get("auths") or {}), **job.login}
    if helpers is not None:
        expected["credHelpers"] = json.loads(job.with_registry(json.dumps(helpers)))
    assert made == expected
    assert (job.docker / "config.json").read_bytes() == before
    assert not helper.with_name(f"{helper.name}.called").exists()


def test_a_job_without_a_configuration_has_none_afterwards(job: Job) -> None:
    made = job.made()
    assert settings_in(made) == {"auths": job.login}
    assert not job.docker.exists()
    assert made.stat().st_mode & 0o777 == 0o700
    assert (made / "config.json").stat().st_mode & 0o777 == 0o600


def test_what_else_is_in_the_jobs_configuration_is_the_same_there(job: Job) -> None:
    job.configure({})
    (job.docker / "buildx" / "instances").mkdir(parents=True)
    (job.docker / "contexts").mkdir()
    made = job.made(DOCKER_CONFIG=str(job.docker))
    assert sorted(file.name for file in made.iterdir()) == ["buildx", "config.json", "contexts"]
    (made / "buildx" / "instances" / "new").touch()
    assert (job.docker / "buildx" / "instances" / "new").exists()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "\r\n\r\n"])
def test_line_breaks_at_the_end_of_a_secret_do_not_count(end: str, job: Job) -> None:
    made = job.made(
        RELEASETAG_REGISTRY=f"{job.registry.address}{end}",
        RELEASETAG_USERNAME=f"{job.registry.username}{end}",
        RELEASETAG_PASSWORD=f"{job.registry.password}{end}",
    )
    assert settings_in(made) == {"auths": job.login}


@pytest.mark.parametrize(
    ("password", "settings", "code", "message"),
    [
        ("wrong", {}, 6, "error: "),
        ("\n", {}, 2, "the password is empty"),
        (None, "{", 2, "is not JSON"),
        (None, "[]", 2, "is not a JSON object"),
        (None, {"auths": 1}, 2, "auths in "),
        (None, {"credHelpers": 1}, 2, "credHelpers in "),
    ],
)
def test_a_login_that_fails_says_why_and_leaves_nothing(
    password: str | None, settings: object, code: int, message: str, job: Job
) -> None:
    job.configure(settings)
    before = (job.docker / "config.json").read_bytes()
    done = job.log_in(**({} if password is None else {"RELEASETAG_PASSWORD": password}))
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(job.temporary.iterdir()) == []
    assert not (job.home / "outputs").exists()
    assert (job.docker / "config.json").read_bytes() == before
