"""Where output goes may be full, closed or gone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.git import GitRepository
from tests.support.run import clean_environ


def shell(
    command: str, repository: GitRepository, home: Path
) -> "subprocess.CompletedProcess[str]":
    """`releasetag COMMAND`, and what a shell is to do with its output."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$0" -m releasetag {command}', sys.executable],
        cwd=repository.path,
        env=clean_environ(home),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("options", ["", "--json", "--help"])
def test_a_full_disk_is_said_in_two_lines(app: GitRepository, home: Path, options: str) -> None:
    done = shell(f"plan {options} > /dev/full", app, home)
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error == "error: what is to be said cannot be written: No space left on device"
    assert hint.startswith("hint: ")


def test_what_a_program_reads_comes_though_nobody_can_read_the_rest(
    app: GitRepository, home: Path
) -> None:
    done = shell("plan -t '{verison}' --json 2> /dev/full", app, home)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == 2


def test_what_a_publish_did_comes_though_its_log_is_full(app: GitRepository, home: Path) -> None:
    done = shell("publish --json -i 127.0.0.1:1/app 2> /dev/full", app, home)
    assert done.returncode == 1
    assert "cannot be written" in json.loads(done.stdout)["error"]["message"]


@pytest.mark.parametrize("where", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_output_is_no_failure(app: GitRepository, home: Path, where: str) -> None:
    done = shell(f"plan {where}", app, home)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_has_enough_ends_it_as_it_ends_others(app: GitRepository, home: Path) -> None:
    done = shell("plan | true", app, home)
    assert (done.returncode, done.stderr) == (141, "")
