"""Where output goes may be full, closed or gone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.git import GitRepository
from tests.support.registry import RegistryServer
from tests.support.run import clean_environ


def shell(
    command: str, repository: GitRepository, home: Path, **environ: str
) -> "subprocess.CompletedProcess[str]":
    """`releasetag COMMAND`, and what a shell is to do with its output."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$0" -m releasetag {command}', sys.executable],
        cwd=repository.path,
        env=clean_environ(home) | environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("options", ["", "--json", "--help"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_two_lines(
    app: GitRepository, home: Path, options: str, unbuffered: str
) -> None:
    done = shell(f"plan {options} > /dev/full", app, home, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error == "error: cannot write to standard output: No space left on device"
    assert hint.startswith("hint: ")


def test_what_a_program_reads_comes_though_nobody_can_read_the_rest(
    app: GitRepository, home: Path
) -> None:
    done = shell("plan -t '{verison}' --json 2> /dev/full", app, home)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == 2


def test_a_publish_goes_on_though_its_log_is_full(
    app: GitRepository, home: Path, engine: Engine, registry: RegistryServer
) -> None:
    image = f"{registry.address}/acme/app"
    command = f"publish --json -i {image} 2> /dev/full"
    done = shell(command, app, home, **engine.environ)
    assert done.returncode == 0, done
    assert [each["status"] for each in json.loads(done.stdout)["published"]] == ["pushed"] * 3
    failed = shell(
        f"publish --json -i {image} --gate nosuch 2> /dev/full", app, home, **engine.environ
    )
    assert failed.returncode == 2
    assert json.loads(failed.stdout)["error"]["code"] == 2, "one JSON value"


@pytest.mark.parametrize("where", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_output_is_no_failure(app: GitRepository, home: Path, where: str) -> None:
    done = shell(f"plan {where}", app, home)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_has_enough_ends_it_as_it_ends_others(app: GitRepository, home: Path) -> None:
    done = shell("plan | true", app, home)
    assert (done.returncode, done.stderr) == (141, "")
