"""Gates: commands that must succeed before any floating tag names the image."""

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from releasetag.errors import GateError, UsageError
from releasetag.publish.run import Run
from releasetag.reference import Reference
from releasetag.registry import Manifest
from releasetag.version import Version

# GitHub's token for the build cache, which the action hands to the build alone.
_OF_THE_BUILD = {"ACTIONS_RUNTIME_TOKEN", "ACTIONS_RESULTS_URL", "ACTIONS_CACHE_SERVICE_V2"}
# How long a gate's processes have to end by themselves, and again after SIGTERM.
_GRACE_SECONDS = 1.0
# No event tells when a process group is empty.
_POLL_SECONDS = 0.02


def parse_gate(command: str, environ: Mapping[str, str]) -> list[str]:
    """Split a gate's command into words, as a shell does.

    Args:
        environ: its PATH is searched for the program.

    Raises:
        UsageError: there are no words, a quote is not closed, or the program is not found.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        # Not the command itself: it may hold a secret.
        raise UsageError(
            f"a gate cannot be split into words: {error}", "close the quote in --gate"
        ) from None
    if not words or "\0" in command:
        raise UsageError("a gate has no command", "give --gate a command to run")
    if "=" in words[0]:
        # Its value may be a secret.
        raise UsageError(
            "a gate begins with a variable instead of a program",
            "set the variable for releasetag, or begin with env: env NAME=value COMMAND",
        )
    if shutil.which(words[0], path=environ.get("PATH", os.defpath)) is None:
        raise UsageError(
            f"gate command not found: {words[0]!r}",
            "name a program in PATH, or give the path of an executable file",
        )
    return words


def run_gates(runs: Sequence[Run], manifests: Sequence[Manifest]) -> None:
    """Run every gate once, unless the floating tags that they guard name the images already.

    Args:
        runs: one for each variant.
        manifests: the image of each.

    Raises:
        GateError: one refused, or cannot be run.
    """
    first = runs[0]
    if not first.gates:
        return
    images = list(zip(runs, manifests, strict=True))
    if all(_have_moved(run, manifest) for run, manifest in images):
        first.report.step("Running no gate: the floating tags name the image already")
        return
    references = [
        repository.at(manifest.digest)
        for run, manifest in images
        for repository in run.plan.repositories
    ]
    environ = gate_environ(first.environ, first.plan.release.version, references)
    for words in first.gates:
        first.report.step(f"Running the gate {words[0]}", prints=True)
        first.run_gate(words, environ)


def gate_environ(
    environ: Mapping[str, str], version: Version, references: Sequence[Reference]
) -> dict[str, str]:
    """Return the environment of a gate.

    Args:
        environ: of this program.
        references: the images to check, by digest.
    """
    return {
        **{name: value for name, value in environ.items() if name not in _OF_THE_BUILD},
        "RELEASETAG_VERSION": str(version),
        "RELEASETAG_DIGEST": references[0].digest,
        "RELEASETAG_REFERENCES": "\n".join(map(str, references)),
    }


def _have_moved(run: Run, manifest: Manifest) -> bool:
    """Whether all floating tags name the image already; not if there is none."""
    floats = run.references([tag.name for tag in run.plan.floating])
    digests = [digest for _, digest in run.each(run.registries.digest, floats)]
    return bool(floats) and all(digest == manifest.digest for digest in digests)


def run_gate(words: Sequence[str], environ: Mapping[str, str]) -> None:
    """Run a gate without a shell, its output on standard error.

    The gate gets a session of its own. Its whole process group ends with it: what it left running
    would hold standard error open, and whoever reads that would wait. A signal reaches releasetag
    alone, Ctrl-C too, and ends the group with SIGTERM, and with SIGKILL after a grace period.

    Args:
        environ: the whole environment of the command.

    Raises:
        GateError: the command cannot be run, or failed.
    """
    hint = "see its output above; no floating tag moved, and running again resumes here"
    # Started by another thread: Ctrl-C is raised in this one, and could come when the gate runs and
    # its process is not known here yet.
    starter = ThreadPoolExecutor(1)
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        started.append(
            subprocess.Popen(
                list(words),
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=2,  # standard output is a program's: with --json it holds one object
                start_new_session=True,
            )
        )

    try:
        starter.submit(start).result()
        starter.shutdown()
        code = started[0].wait()
    except OSError as error:
        raise GateError(
            f"the gate {words[0]!r} cannot be run: {error.strerror}",
            "give --gate a program that runs here; no floating tag moved",
        ) from None
    except BaseException:
        starter.shutdown()  # it may be starting the gate now
        for leader in started:
            _end_group(leader, signal.SIGTERM, signal.SIGKILL)
        raise
    # 0 is no signal. A last line may still be on its way, through `> >(tee log)` for instance.
    _end_group(started[0], 0, signal.SIGTERM, signal.SIGKILL)
    if code < 0:
        raise GateError(f"the gate {words[0]!r} was killed by signal {-code}", hint)
    if code:
        raise GateError(f"the gate {words[0]!r} refused (exit code {code})", hint)


def _end_group(leader: "subprocess.Popen[bytes]", *signals: int) -> None:
    """Send signals to a process group, one after another, until it is empty."""
    try:
        for number in signals:
            os.killpg(leader.pid, number)
            until = time.monotonic() + _GRACE_SECONDS
            while time.monotonic() < until:
                leader.poll()  # a leader that has ended counts until it is waited for
                os.killpg(leader.pid, 0)
                time.sleep(_POLL_SECONDS)
    except (ProcessLookupError, PermissionError):
        pass  # it is empty; or all that is left is another user's, as with sudo
    except BaseException:  # a second signal ends the grace period
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader.pid, signal.SIGKILL)
        raise
