"""The program as a user or a CI system starts it: a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT = 300.0
_PASSED_ON = ("TMPDIR", "LANG", "LC_ALL")
_NO_DOCKER = Path(__file__).parent / "no-docker"


@dataclass(frozen=True)
class Finished:
    """What the program left behind."""

    args: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output as JSON: the whole of it, as a program would read it."""
        try:
            return json.loads(self.stdout)
        except ValueError:
            raise AssertionError(f"standard output is not one JSON value: {self}") from None

    def __str__(self) -> str:
        return (
            f"releasetag {' '.join(self.args)}: exit code {self.returncode}\n"
            f"--- standard output\n{self.stdout}\n--- standard error\n{self.stderr}"
        )


def run_cli(
    *args: str | Path,
    cwd: Path,
    home: Path,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
) -> Finished:
    """Run `releasetag ARGS` to its end.

    Args:
        home: the home directory: what is in `.docker/config.json` there counts.
        env: added to an environment that has nothing of the person's or CI system's in it.
    """
    process = start_cli(*args, cwd=cwd, home=home, env=env)
    try:
        stdout, stderr = process.communicate(stdin, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
        raise AssertionError(f"releasetag did not end in {TIMEOUT} s: {stdout}{stderr}") from None
    return Finished(tuple(map(str, args)), process.returncode, stdout, stderr)


def start_cli(
    *args: str | Path, cwd: Path, home: Path, env: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start `releasetag ARGS`, to be killed for instance; arguments as of run_cli."""
    return subprocess.Popen(
        [sys.executable, "-m", "releasetag", *args],
        cwd=cwd,
        env=clean_environ(home) | dict(env or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def clean_environ(home: Path) -> dict[str, str]:
    """The environment of a user with nothing set up yet, and no docker command that works."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {
        "HOME": str(home),
        "PATH": f"{_NO_DOCKER}:{os.environ['PATH']}",
        "GIT_CONFIG_NOSYSTEM": "1",
        "PYTHONPATH": str(ROOT),  # this tree, whatever is installed
    }
