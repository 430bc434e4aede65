"""Where output goes may be full, closed or gone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.git import GitRepository
from tests.support.run import clean_environ


def plan(repository: GitRepository, home: Path, more: str) -> "subprocess.CompletedProcess[str]":
    """`releasetag plan`, and what a shell is to do with its output."""
    repository.commit()
    repository.tag("v1.2.3")
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$0" -m releasetag plan {more}', sys.executable],
        cwd=repository.path,
        env=clean_environ(home),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("options", ["", "--json", "--help"])
def test_a_full_disk_is_said_in_two_lines(
    git_repository: GitRepository, home: Path, options: str
) -> None:
    done = plan(git_repository, home, f"{options} > /dev/full")
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error == "error: what is to be said cannot be written: No space left on device"
    assert hint.startswith("hint: ")


def test_what_a_program_reads_comes_though_nobody_can_read_the_rest(
    git_repository: GitRepository, home: Path
) -> None:
    done = plan(git_repository, home, "-t '{verison}' --json 2> /dev/full")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == 2


@pytest.mark.parametrize("where", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_output_is_no_failure(git_repository: GitRepository, home: Path, where: str) -> None:
    done = plan(git_repository, home, where)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_has_enough_ends_it_as_it_ends_others(
    git_repository: GitRepository, home: Path
) -> None:
    done = plan(git_repository, home, "| true")
    assert (done.returncode, done.stderr) == (141, "")
