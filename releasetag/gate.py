"""Gates: commands that look at what was pushed before any floating tag names it."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from releasetag.errors import GateError, UsageError


def parse_gate(command: str, environ: Mapping[str, str]) -> list[str]:
    """A gate's command, split as a shell splits words.

    Args:
        environ: its PATH is where the program is looked for.

    Raises:
        UsageError: there are no words, a quote is not closed, or there is no such program.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        # Not the command itself: it may hold a secret.
        raise UsageError(
            f"a gate cannot be split into words: {error}", "close the quote in --gate"
        ) from None
    if not words or "\0" in command:
        raise UsageError("a gate without a command", "give --gate a command to run")
    if "=" in words[0]:
        # Its value may be a secret.
        raise UsageError(
            "a gate begins with a variable, and not with a program",
            "set the variable for releasetag, or begin with env: env NAME=value COMMAND",
        )
    if shutil.which(words[0], path=environ.get("PATH", os.defpath)) is None:
        raise UsageError(
            f"the gate {words[0]!r} is no program that can be run",
            "give --gate one that is in PATH, or the path of one",
        )
    return words


def run_gate(words: Sequence[str], environ: Mapping[str, str]) -> None:
    """Run a gate without a shell; what it prints goes to standard error, where people look.

    Args:
        environ: the whole environment of the command.

    Raises:
        GateError: it cannot be run, or refused.
    """
    again = "see its output above; no floating tag moved, and running again takes up here"
    # Started by another thread: Ctrl-C is raised in this one, and could come when the gate runs and
    # nobody knows it yet.
    starter = ThreadPoolExecutor(1)
    starting = starter.submit(
        subprocess.Popen[bytes],
        list(words),
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=2,  # standard output is a program's: with --json it holds one object
    )
    starter.shutdown(wait=False)
    try:
        code = starting.result().wait()
    except OSError as error:
        raise GateError(
            f"the gate {words[0]!r} cannot be run: {error.strerror}",
            "give --gate a program that runs here; no floating tag moved",
        ) from None
    except BaseException:
        starting.result().kill()
        starting.result().wait()
        raise
    if code < 0:
        raise GateError(f"the gate {words[0]!r} was killed by signal {-code}", again)
    if code:
        raise GateError(f"the gate {words[0]!r} refused (exit code {code})", again)
