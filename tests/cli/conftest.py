"""The command line in this process."""

from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support.cli import no_engine
from tests.support.run import Finished
from tests.support.run import run_here as run_in_process


@pytest.fixture
def run_here(home: Path, tmp_path: Path) -> Run:
    """Runs the program in this process, where there is no engine."""

    def run(
        *args: str | Path, cwd: Path, env: dict[str, str] | None = None, stdin: str = ""
    ) -> Finished:
        environ = no_engine(tmp_path) | (env or {})
        return run_in_process(*args, cwd=cwd, home=home, env=environ, stdin=stdin)

    return run
