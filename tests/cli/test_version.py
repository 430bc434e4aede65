"""`--version`, `--help`, and the program's name alone."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support.git import GitRepository
from tests.support.run import clean_environ, run_cli

COMMANDS = ("plan", "publish", "snapshot", "verify", "promote", "login", "logout", "init")


def installed() -> str:
    """The version that is installed."""
    try:
        return importlib.metadata.version("releasetag")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def test_the_version_is_the_one_that_is_installed(home: Path, tmp_path: Path) -> None:
    done = run_cli("--version", cwd=tmp_path, home=home)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"releasetag {installed()}\n", "")


@pytest.mark.parametrize("args", [["--version"], ["--version", "plan"]])
def test_the_version_comes_before_any_command(
    args: list[str], run_here: Run, tmp_path: Path
) -> None:
    done = run_here(*args, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"releasetag {installed()}\n", "")


def test_the_name_alone_lists_the_commands(run_here: Run, tmp_path: Path) -> None:
    alone, asked = run_here(cwd=tmp_path), run_here("--help", cwd=tmp_path)
    assert (alone.returncode, alone.stderr) == (0, "")
    assert alone.stdout == asked.stdout
    for command in COMMANDS:
        assert f"\n  {command} " in alone.stdout


@pytest.mark.parametrize("columns", ["50", "80", "200"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_plain_text_that_fits(
    command: str, columns: str, run_here: Run, tmp_path: Path
) -> None:
    done = run_here(command, "-h", cwd=tmp_path, env={"COLUMNS": columns})
    assert done.returncode == 0, done
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"Usage: releasetag {command} ")
    assert max(map(len, lines)) <= min(int(columns), 80)
    assert not [line for line in lines if line != line.rstrip()]
    assert "<bool>" not in done.stdout
    assert "─" not in done.stdout


def test_publish_groups_its_options(run_here: Run, tmp_path: Path) -> None:
    lines = run_here("publish", "--help", cwd=tmp_path).stdout.splitlines()
    titles = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Arguments:", "What to publish:", "Building:", "Publishing:", "Options:"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_reports_as_json_and_more_or_less(
    command: str, run_here: Run, tmp_path: Path
) -> None:
    listed = run_here(command, "--help", cwd=tmp_path).stdout
    for option in ("--json", "--quiet", "--verbose"):
        assert option in listed


IMPORTED = """
import sys
from releasetag.cli.main import run
code = run(sys.argv[2:])
print([name for name in sys.argv[1].split() if name in sys.modules], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("args", "unwanted"),
    [
        (["--version"], "typer git rich semver docker httpx releasetag.config"),
        (["--help"], "pydantic git rich docker httpx"),
        (["publish", "--help"], "pydantic git rich docker httpx"),
        (["init", "--json"], "pydantic rich docker httpx"),
        (["plan"], "pydantic rich docker httpx releasetag.report.json"),
        (["plan", "--json"], "pydantic rich docker httpx"),
    ],
)
def test_a_command_imports_what_it_needs(
    args: list[str], unwanted: str, app: GitRepository, home: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, unwanted, *args],
        cwd=app.path,
        env=clean_environ(home),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "[]\n"


HTTP = """
import sys
from releasetag.cli.main import main
try:
    main()
except SystemExit:
    import httpx
    httpx.Client().close()
    print("click" in sys.modules, file=sys.stderr)
"""


def test_httpx_comes_without_its_command_line(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HTTP, "--version"],
        env=clean_environ(home),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "False\n"
