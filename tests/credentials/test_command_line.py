"""Configurations that cannot be used, as a person meets them: two lines, and exit code 2."""

import os
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support.cli import assert_refused
from tests.support.credentials import SECRET
from tests.support.git import GitRepository
from tests.support.registry import RegistryServer

NESTED = b'{"auths":' * 100_000


@pytest.fixture
def run(run_in_process: Run) -> Run:
    return run_in_process


@pytest.mark.parametrize("command", ["verify", "login -u ann", "logout"])
@pytest.mark.parametrize(
    ("directory", "content", "words"),
    [
        (b"docker", NESTED, "config.json is nested too deeply"),
        (b"docker", b'{"auths": {"' + SECRET.encode() + b"\xff", "config.json is not JSON in Unic"),
        (b"caf\xe9\n\x1b[31m", NESTED, "config.json is nested too deeply"),
    ],
    ids=["nested", "no Unicode", "in a directory of a strange name"],
)
def test_a_configuration_that_cannot_be_used_is_said_in_two_lines(
    app: GitRepository,
    run: Run,
    registry: RegistryServer,
    tmp_path: Path,
    command: str,
    directory: bytes,
    content: bytes,
    words: str,
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + directory))
    folder.mkdir()
    (folder / "config.json").write_bytes(content)
    if command.startswith("log"):
        args = [*command.split(), *(["--password-stdin"] if "-u" in command else [])]
        args.append(registry.address)
    else:
        args = [*command.split(), "-i", f"{registry.address}/acme/app"]
    done = run(
        *args, "--json", "--quiet", cwd=app.path, stdin=SECRET, env={"DOCKER_CONFIG": str(folder)}
    )
    assert_refused(done, 2, "usage", words)
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (NESTED.decode()[:100_000], "is nested too deeply"),
        ('{"auths": ["' + SECRET, "is not JSON (line 1"),
        (os.fsdecode(b'{"\xff": 1}'), "is not JSON in Unicode"),
    ],
    ids=["nested", "cut off", "no Unicode"],
)
def test_a_docker_auth_config_that_cannot_be_used_is_said_in_two_lines(
    app: GitRepository, run: Run, registry: RegistryServer, value: str, words: str
) -> None:
    done = run(
        "verify", "-i", f"{registry.address}/acme/app", "--json", "--quiet",
        cwd=app.path, env={"DOCKER_AUTH_CONFIG": value},
    )  # fmt: skip
    assert_refused(done, 2, "usage", f"DOCKER_AUTH_CONFIG {words}")
    assert SECRET not in done.stdout + done.stderr
