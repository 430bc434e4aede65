"""Run a command line, and turn whatever comes of it into two lines and an exit code."""

import gc
import os
import signal
import sys
from typing import NoReturn

from releasetag.cli.signals import Stopped, listen
from releasetag.cli.streams import open_streams, stop_output
from releasetag.errors import InterruptError, ReleasetagError

ISSUES = "https://github.com/releasetag/releasetag/issues"


def main() -> NoReturn:
    """Run the command line of this process."""
    # Nearly all that a run makes stays to its end, 100,000 tags for instance: searching it for
    # garbage as often as Python does finds none, and takes a quarter of a plan's time.
    gc.set_threshold(20_000, 50, 50)
    # httpx imports its own command line with it, if rich and click are there: a tenth of the time
    # that a small publish takes. None is to Python a module that cannot be imported, which httpx
    # allows for.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type] # as importlib has it
    open_streams()  # first: it takes the numbers of what is closed
    listen()
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        os._exit(code)  # Python would try again as it ends, and end with another code
    if code > 128:
        # Threads may be in the middle of a request: a normal exit would wait for them.
        os._exit(code)
    sys.exit(code)


def run(args: list[str]) -> int:
    """Run a command line and report its error, if any.

    Returns:
        The exit code.
    """
    try:
        code = _run(args)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # Typer turns the one into the other
        # As in `releasetag … | head`.
        stop_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        stop_output()
        return _report(
            ReleasetagError(
                f"cannot write to standard output: {error.strerror}",
                "make room where standard output goes, and run this again",
            ),
            args,
        )
    return code


def _run(args: list[str]) -> int:
    try:
        if args == ["--version"]:
            from releasetag.cli.version import print_version  # which needs no Typer

            print_version()
            return 0
        if instruction := os.environ.get("_RELEASETAG_COMPLETE"):
            from releasetag.cli.completion import complete

            return complete(instruction, os.environ)
        from releasetag.cli.app import invoke

        code = invoke(args)
        sys.stdout.flush()
    except ReleasetagError as error:
        return _report(error, args)
    except Stopped as stop:
        return _report(
            InterruptError("interrupted", "run again: what was done counts", stop.signal_number),
            args,
        )
    except Exception as error:  # noqa: BLE001 (whatever it is, it is a bug)
        sys.stdout.flush()  # or standard output's, which cannot be written: this raises it again
        return _report(_internal_error(error), args)
    return code


def _report(error: ReleasetagError, args: list[str]) -> int:
    from releasetag.report.messages import Messages

    if "--json" in args:
        from releasetag.report.json import format_object

        print(format_object({}, error), end="")
    Messages(os.environ).error(error)
    return error.exit_code


def _internal_error(error: Exception) -> ReleasetagError:
    """Return an error that names the place; the text of the exception might hold a secret."""
    import logging

    logging.getLogger(__name__).debug("internal error", exc_info=error)
    where, trace = "?", error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        if module.startswith("releasetag"):  # where a library was when it failed helps less
            where = f"{module}:{trace.tb_lineno}"
        trace = trace.tb_next
    return ReleasetagError(
        f"internal error: {type(error).__name__} in {where}",
        f"please report it at {ISSUES} with the command line and these two lines",
    )
