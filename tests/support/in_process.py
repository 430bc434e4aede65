"""The command line in this process, and time that does not pass: fast, for many runs.

Whatever has to do with processes (signals, pipes, exit codes of the interpreter) is tested with
real ones; see run.py.
"""

import contextlib
import io
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from unittest import mock

import pytest

from releasetag.cli.main import run as run_command_line
from releasetag.engine import images
from releasetag.registry import Registries
from tests.support.misbehaving import Clock
from tests.support.run import Finished


def stop_time(patch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Have the program wait on a clock of the test's, wherever it asks a registry."""
    defaults = Registries.__init__.__kwdefaults__
    assert defaults is not None
    patch.setitem(defaults, "sleep", clock.sleep)
    patch.setitem(defaults, "clock", clock.now)
    patch.setitem(defaults, "random", lambda: 0.0)


def stop_engine_time(patch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Have the program wait on the test's clock between two pushes by the engine."""
    patch.setattr(images, "push", partial(images.push, sleep=clock.sleep))


def run_here(*args: str | Path, cwd: Path, environ: Mapping[str, str], stdin: str = "") -> Finished:
    """Run `releasetag ARGS` in this process.

    Args:
        environ: the whole environment.
    """
    words = [str(each) for each in args]
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        mock.patch.dict(os.environ, environ, clear=True),
        mock.patch.object(sys, "stdin", io.StringIO(stdin)),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        code = run_command_line(words)
    return Finished(tuple(words), code, stdout.getvalue(), stderr.getvalue())
