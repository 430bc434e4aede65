"""A connection to the engine, a tag and an SSH agent for a test."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from releasetag.build_secrets import (
    SshAgent,
)
from releasetag.engine.connect import Engine
from tests.support import engine as support
from tests.support.session import (
    connected_to,
)


@pytest.fixture
def connected(engine: support.Engine) -> Iterator[Engine]:
    with connected_to(engine.environ) as found:
        yield found


@pytest.fixture
def tag(engine: support.Engine) -> Iterator[str]:
    name = f"releasetag-session-{secrets.token_hex(4)}:test"
    yield name
    engine.request("DELETE", f"/images/{name}?force=true")


@pytest.fixture
def ssh_agent(tmp_path: Path) -> Iterator[SshAgent]:
    """An agent with one key, whose public half is tmp_path/key.pub."""
    path = tmp_path / "s"
    # In the foreground, so that it is ours to end.
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # it listens from here on
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True
    )
    environ = {**os.environ, "SSH_AUTH_SOCK": str(path)}
    subprocess.run(["ssh-add", "-q", tmp_path / "key"], env=environ, check=True)
    yield SshAgent("default", path)
    process.terminate()
    process.wait()
    process.stdout.close()
