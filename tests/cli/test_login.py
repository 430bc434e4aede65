"""`releasetag login` and `logout`: checked first, stored as docker does, never shown."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from tests.conftest import Run, StartRegistry
from tests.support.registry import PASSWORD, USERNAME, free_port
from tests.support.run import clean_environ


def stored(home: Path) -> dict[str, object]:
    """What `docker login` would have stored."""
    file = home / ".docker" / "config.json"
    auths: dict[str, object] = json.loads(file.read_text())["auths"] if file.exists() else {}
    return auths


@pytest.mark.parametrize("auth", ["htpasswd", "token"])
def test_credentials_are_checked_stored_used_and_removed(
    auth: Literal["htpasswd", "token"],
    start_registry: StartRegistry,
    run_here: Run,
    home: Path,
    tmp_path: Path,
) -> None:
    registry = start_registry(auth=auth)
    login = ("login", registry.address, "-u", USERNAME, "--password-stdin")
    done = run_here(*login, cwd=tmp_path, stdin=f"{PASSWORD}\n")
    assert done.returncode == 0, done
    assert done.stdout == f"logged in to {registry.address}, stored in ~/.docker/config.json\n"
    assert PASSWORD not in done.stdout + done.stderr
    assert list(stored(home)) == [registry.address]
    assert (home / ".docker" / "config.json").stat().st_mode & 0o077 == 0
    out = run_here("logout", registry.address, "--json", cwd=tmp_path)
    assert out.json == {"schema": 1, "registry": registry.address, "erased": True}
    assert stored(home) == {}
    again = run_here("logout", registry.address, cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, f"not logged in to {registry.address}\n")


@pytest.mark.parametrize("auth", ["htpasswd", "token"])
def test_a_wrong_password_is_not_stored(
    auth: Literal["htpasswd", "token"],
    start_registry: StartRegistry,
    run_here: Run,
    home: Path,
    tmp_path: Path,
) -> None:
    registry = start_registry(auth=auth)
    done = run_here(
        "login", registry.address, "-u", USERNAME, "--password-stdin", "--json", "--verbose",
        cwd=tmp_path, stdin="hunter2",
    )  # fmt: skip
    assert done.returncode == 6, done
    assert done.json["error"]["kind"] == "auth"
    assert "hunter2" not in done.stdout + done.stderr
    assert stored(home) == {}


@pytest.mark.parametrize(
    ("args", "stdin", "code", "expected"),
    [
        (["--password-stdin"], "x", 2, "give one with --username"),
        (["-u", "alice", "--password-stdin"], "", 2, "the password is empty"),
        (["-u", "alice"], "x", 2, "there is no terminal"),
        (["-u", "alice", "--password-stdin"], "x", 8, "cannot be reached"),
    ],
)
def test_a_login_that_is_not_possible_is_two_lines(
    args: list[str],
    stdin: str,
    code: int,
    expected: str,
    run_here: Run,
    no_waiting: None,
    home: Path,
    tmp_path: Path,
) -> None:
    done = run_here("login", f"127.0.0.1:{free_port()}", *args, cwd=tmp_path, stdin=stdin)
    assert done.returncode == code, done
    assert expected in done.stderr
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == ["error", "hint"]
    assert stored(home) == {}


def test_a_password_that_is_no_text_is_refused(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "releasetag", "login", "-u", "alice", "--password-stdin"],
        input=b"\xff\n",
        env=clean_environ(home),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2, done
    assert b"the password is not text in UTF-8" in done.stderr


def test_a_password_in_place_of_a_registry_is_not_shown(run_here: Run, tmp_path: Path) -> None:
    done = run_here("login", "https://alice:hunter2@ghcr.io", cwd=tmp_path)
    assert done.returncode == 2, done
    assert "hunter2" not in done.stdout + done.stderr


def test_on_a_terminal_the_password_is_asked_for_and_not_shown(
    start_registry: StartRegistry, home: Path, tmp_path: Path
) -> None:
    registry = start_registry(auth="htpasswd")
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "releasetag", "login", registry.address],
        cwd=tmp_path,
        env=clean_environ(home) | {"TERM": "xterm"},
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
        preexec_fn=lambda: os.close(outer),  # noqa: PLW1509 (no threads here)
    )
    os.close(inner)
    shown = b""
    for prompt, answer in ((b"Username: ", USERNAME), (b"Password: ", PASSWORD)):
        while prompt not in shown:
            shown += os.read(outer, 1024)
        os.write(outer, f"{answer}\n".encode())
    while b"logged in" not in shown:
        shown += os.read(outer, 1024)
    assert process.wait(60) == 0
    os.close(outer)
    assert PASSWORD.encode() not in shown
    assert list(stored(home)) == [registry.address]


def test_what_takes_precedence_over_the_stored_is_a_warning(
    start_registry: StartRegistry, run_here: Run, tmp_path: Path
) -> None:
    registry = start_registry(auth="htpasswd")
    done = run_here(
        "login", registry.address, "-u", USERNAME, "--password-stdin", "--quiet",
        cwd=tmp_path, stdin=PASSWORD, env={"DOCKER_AUTH_CONFIG": '{"auths": {}}'},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("warning: DOCKER_AUTH_CONFIG")
