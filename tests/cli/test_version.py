"""`--version`, `--help`, and the program's name alone."""

import importlib.metadata
from pathlib import Path

import pytest

from tests.conftest import Run

COMMANDS = ("plan", "publish", "verify", "promote", "login", "logout", "init")


def test_the_version_is_the_one_that_is_installed(run: Run, tmp_path: Path) -> None:
    try:
        expected = importlib.metadata.version("releasetag")
    except importlib.metadata.PackageNotFoundError:
        expected = "(not installed)"
    done = run("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"releasetag {expected}\n", "")


def test_the_name_alone_lists_the_commands(run: Run, tmp_path: Path) -> None:
    alone, asked = run(cwd=tmp_path), run("--help", cwd=tmp_path)
    assert (alone.returncode, alone.stderr) == (0, "")
    assert alone.stdout == asked.stdout
    for command in COMMANDS:
        assert f"\n  {command} " in alone.stdout


@pytest.mark.parametrize("columns", ["50", "80", "200"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_plain_text_that_fits(command: str, columns: str, run: Run, tmp_path: Path) -> None:
    done = run(command, "-h", cwd=tmp_path, env={"COLUMNS": columns})
    assert done.returncode == 0, done
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"Usage: releasetag {command} ")
    assert max(map(len, lines)) <= min(int(columns), 80)
    assert not [line for line in lines if line != line.rstrip()]
    assert "<bool>" not in done.stdout
    assert "─" not in done.stdout


def test_publish_groups_its_options(run: Run, tmp_path: Path) -> None:
    lines = run("publish", "--help", cwd=tmp_path).stdout.splitlines()
    titles = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Arguments:", "What to publish:", "Building:", "Publishing:", "Options:"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_as_json_and_more_or_less(
    command: str, run: Run, tmp_path: Path
) -> None:
    listed = run(command, "--help", cwd=tmp_path).stdout
    for option in ("--json", "--quiet", "--verbose"):
        assert option in listed
