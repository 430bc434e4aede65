"""The pre-commit hook that checks the configuration."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pre_commit.clientlib import load_manifest  # type: ignore[import-untyped]

from releasetag.cli.check_config import main
from tests.config.test_json_schema import documents_of_pages
from tests.support.run import ROOT


@pytest.mark.parametrize("toml", documents_of_pages())
def test_what_pages_show_is_right(
    toml: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / ("pyproject.toml" if "[tool." in toml else "releasetag.toml")
    file.write_text(toml)

    assert main([str(file)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("imagse = []", "unknown key 'imagse'"),
        ("jobs = 0", "jobs: 0 is not possible"),
        ("images = [", "is not TOML"),
        ('tags = ["{version}", "1.2.0"]', "could be the exact tag of a version"),
        ('[[variants]]\nname = "a"\nlatest = "/"', "cannot give a tag"),
        (
            'images = ["acme/app"]\n[[variants]]\nname = "a"\nsuffix = ""\n'
            '[[variants]]\nname = "b"\nsuffix = ""',
            "could be one of the variant 'b'",
        ),
        (
            'images = ["acme/app"]\n[[components]]\ntag-prefix = "a/v"\n'
            '[[components]]\ntag-prefix = "b/v"',
            "would both publish",
        ),
    ],
)
def test_what_is_wrong_is_an_error(
    toml: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "pyproject.toml", tmp_path / "releasetag.toml"
    good.write_text("[tool.other]\nimagse = 1")
    bad.write_text(toml)

    assert main([str(good), str(bad)]) == 2

    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert hint.startswith("hint: ")


def test_the_table_of_a_pyproject_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").write_text("[tool.releasetag]\nimagse = 1")

    assert main(["pyproject.toml"]) == 2
    assert "pyproject.toml: unknown key 'imagse'" in capsys.readouterr().err


def test_variables_of_who_commits_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELEASETAG_JOBS", "none")
    file = tmp_path / "releasetag.toml"
    file.write_text('images = ["acme/app"]')

    assert main([str(file)]) == 0


def test_the_manifest_is_what_pre_commit_reads() -> None:
    (hook,) = load_manifest(str(ROOT / ".pre-commit-hooks.yaml"))
    _, *module = hook["entry"].split()

    for name in ("releasetag.toml", "a/pyproject.toml"):
        assert re.search(hook["files"], name)
    assert not re.search(hook["files"], "my-releasetag.toml")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        subprocess.check_output([sys.executable, *module, "none.toml"], cwd=ROOT)
    assert failed.value.returncode == 2
