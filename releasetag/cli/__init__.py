"""The command line: parse, call, report. No decisions."""

import io
import logging
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from releasetag.cli import init, login, plan, promote, publish, verify
from releasetag.cli.help import Command, Group
from releasetag.cli.interrupt import Stopped, listen
from releasetag.cli.options import with_shared
from releasetag.errors import InterruptError, ReleasetagError, UsageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ISSUES = "https://github.com/releasetag/releasetag/issues"

app = typer.Typer(
    name="releasetag",
    cls=Group,
    help="From a git tag to every image tag in every registry: one build, one digest, never"
    " backwards.",
    epilog="releasetag COMMAND --help lists a command's options. Options can be set in the"
    " environment (RELEASETAG_IMAGES, …) and in releasetag.toml as well.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("plan", cls=Command)(with_shared(plan.plan))
app.command("publish", cls=Command)(with_shared(publish.publish))
app.command("verify", cls=Command)(with_shared(verify.verify))
app.command("promote", cls=Command)(with_shared(promote.promote))
app.command("login", cls=Command)(login.login)
app.command("logout", cls=Command)(login.logout)
app.command("init", cls=Command)(init.init)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"releasetag {version('releasetag')}")
        except PackageNotFoundError:
            print("releasetag (not installed)")
        raise typer.Exit


@app.callback()
def _global(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 (its callback does it)
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


class _Log(io.FileIO):
    """Standard error. What it cannot take is lost: no publish stops half-way for a full log."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _text(raw: io.FileIO, encoding: str) -> io.TextIOWrapper:
    # A letter that a terminal lacks is no failure.
    by_line = isinstance(raw, _Log) or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "replace", line_buffering=by_line)


def main() -> NoReturn:
    """Run the command line of this process."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed, as `releasetag … >&-` has it
            os.open(os.devnull, os.O_RDWR)  # in its place: no connection of ours is to take it
    listen()
    encoding = getattr(sys.stdout, "encoding", "utf-8")
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    # Buffered, whatever PYTHONUNBUFFERED says: what cannot be written fails again when flushed.
    sys.stdout = _text(io.FileIO(1, "w", closefd=False), encoding)
    sys.stderr = _text(_Log(2, "w", closefd=False), encoding)
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
    """Run a command line and say how it went.

    Returns:
        The exit code.
    """
    try:
        code = _run(args)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # Typer makes the one into the other
        # As `releasetag … | head` has it.
        _write_no_more()
        return 128 + signal.SIGPIPE
    except OSError as error:
        told = ReleasetagError(
            f"what is to be said cannot be written: {error.strerror}",
            "make room where standard output goes, and run this again",
        )
        _write_no_more()
        return _tell(told, args)
    return code


def _write_no_more() -> None:
    """Have Python write nothing more to standard output, which it does as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(args: list[str]) -> int:
    try:
        code = app(args, prog_name="releasetag", standalone_mode=False)
        sys.stdout.flush()
    except ReleasetagError as error:
        return _tell(error, args)
    except typer.TyperException as error:
        return _tell(_usage(error, args), args)
    except Stopped as stop:
        return _tell(_interrupted(stop.signal_number), args)
    except (typer.Abort, EOFError):
        return _tell(_interrupted(signal.SIGINT), args)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is our fault)
        sys.stdout.flush()  # or standard output's, which cannot be written: this raises it again
        return _tell(_internal(error), args)
    return code if isinstance(code, int) else 0


def _interrupted(signal_number: int) -> ReleasetagError:
    return InterruptError("interrupted", "run again: what was done counts", signal_number)


def _tell(error: ReleasetagError, args: list[str]) -> int:
    from releasetag.report.messages import Messages

    if "--json" in args:
        from releasetag.report.json import format_object

        print(format_object({}, error), end="")
    Messages(os.environ).error(error)
    return error.exit_code


def _usage(error: typer.TyperException, args: list[str]) -> UsageError:
    """What Typer says of a command line, in a message and a hint."""
    message = error.format_message().rstrip(".")
    near = list(getattr(error, "possibilities", None) or [])
    if near:
        message = f"no such option: {getattr(error, 'option_name', '')}"
    elif found := re.fullmatch(r"(No such command .*)\. Did you mean (.*)\?", message):
        message, near = found[1], [found[2]]
    elif found := re.fullmatch(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", message):
        message = f"unexpected argument: {found[1]}"
    known = {command.name for command in app.registered_commands}
    command = f"releasetag {args[0]}" if args and args[0] in known else "releasetag"
    hint = f"did you mean {' or '.join(sorted(near))}?" if near else f"see {command} --help"
    return UsageError(f"{message[:1].lower()}{message[1:]}", hint)


def _internal(error: Exception) -> ReleasetagError:
    """An error that says where it happened; its own text might hold anything."""
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
