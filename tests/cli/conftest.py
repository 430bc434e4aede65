"""The command line in this process."""

from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support.cli import no_engine
from tests.support.in_process import run_here as run_in_process
from tests.support.in_process import stop_time
from tests.support.misbehaving import Clock
from tests.support.run import Finished, clean_environ


@pytest.fixture
def run_here(home: Path, tmp_path: Path) -> Run:
    """Runs the program in this process, where there is no engine."""

    def run(
        *args: str | Path, cwd: Path, env: dict[str, str] | None = None, stdin: str = ""
    ) -> Finished:
        environ = clean_environ(home) | no_engine(tmp_path) | (env or {})
        return run_in_process(*args, cwd=cwd, environ=environ, stdin=stdin)

    return run


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the program in this process wait for no registry between two attempts."""
    stop_time(monkeypatch, Clock())
