"""The command line: parse, call, report. No decisions."""

import logging
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from releasetag.cli import init, login, plan, promote, publish, verify
from releasetag.cli.options import with_shared
from releasetag.errors import ReleasetagError, UsageError

ISSUES = "https://github.com/releasetag/releasetag/issues"

app = typer.Typer(
    name="releasetag",
    help="From a git tag to every image tag in every registry: one build, one digest, never"
    " backwards.",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("plan")(with_shared(plan.plan))
app.command("publish")(with_shared(publish.publish))
app.command("verify")(with_shared(verify.verify))
app.command("promote")(with_shared(promote.promote))
app.command("login")(login.login)
app.command("logout")(login.logout)
app.command("init")(init.init)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"releasetag {version('releasetag')}")
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


class Terminated(BaseException):
    """SIGTERM, as an exception in the main thread, like KeyboardInterrupt."""


def main() -> NoReturn:
    """Run the command line of this process."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run a command line and say how it went.

    Returns:
        The exit code.
    """
    try:
        code = app(args, prog_name="releasetag", standalone_mode=False)
    except ReleasetagError as error:
        return _tell(error, args)
    except typer.TyperException as error:
        return _tell(_usage(error), args)
    except Terminated:
        return 143
    except (typer.Abort, EOFError):
        return 130
    except Exception as error:  # noqa: BLE001 (whatever it is, it is our fault)
        return _tell(_internal(error), args)
    return code if isinstance(code, int) else 0


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def _tell(error: ReleasetagError, args: list[str]) -> int:
    from releasetag.report.console import people_console, print_error

    if "--json" in args:
        from releasetag.report.json import SCHEMA, dumps, error_object

        print(dumps({"schema": SCHEMA, "error": error_object(error)}))
    print_error(people_console(stderr=True), error)
    return error.exit_code


def _usage(error: typer.TyperException) -> UsageError:
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "releasetag"
    near = getattr(error, "possibilities", None)
    if near:
        message = f"no such option: {getattr(error, 'option_name', '')}"
        return UsageError(message, f"did you mean {' or '.join(sorted(near))}?")
    first, rest = message[:1].lower(), message[1:]
    return UsageError(f"{first}{rest}", f"see {command} --help")


def _internal(error: Exception) -> ReleasetagError:
    """An error that says where it happened; its own text might hold anything."""
    logging.getLogger(__name__).debug("internal error", exc_info=error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else "?"
    return ReleasetagError(
        f"internal error: {type(error).__name__} in {where}",
        f"please report it at {ISSUES} with the command line and these two lines",
    )
