"""The Typer application, made of the commands."""

import re
import signal
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from releasetag.cli.command import Command, Group
from releasetag.cli.options import with_options
from releasetag.cli.signals import Stopped
from releasetag.cli.version import print_version
from releasetag.errors import UsageError

if TYPE_CHECKING:
    from typer._click import Command as ClickCommand  # Typer exports it nowhere else

PROGRAM = "releasetag"

# The module in which each command is the function of that name; in the order of help.
_COMMANDS = {
    "plan": "plan",
    "publish": "publish",
    "snapshot": "snapshot",
    "verify": "verify",
    "promote": "promote",
    "history": "history",
    "explain": "explain",
    "doctor": "doctor",
    "login": "login",
    "logout": "login",
    "init": "init",
}
_WITHOUT_PATH = {"login", "logout"}


def invoke(args: list[str]) -> int:
    """Parse a command line and run its command.

    Returns:
        The exit code.

    Raises:
        UsageError: there is no such command, or it has no such option.
    """
    try:
        code = command_of(args)(args, prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        raise _usage_error(error, args) from None
    except (typer.Abort, EOFError):
        raise Stopped(signal.SIGINT) from None
    return code if isinstance(code, int) else 0


def command_of(args: list[str]) -> "ClickCommand":
    """Return the program, with the one command that the arguments are of, or all."""
    # Describing a command takes a while, so it is done for one; help and hints need them all.
    names = args[:1] if args and args[0] in _COMMANDS else list(_COMMANDS)
    return typer.main.get_command(_app(names))


def _app(names: Iterable[str]) -> typer.Typer:
    app = typer.Typer(
        name=PROGRAM,
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
    app.callback()(_without_command)
    for name in names:
        command = getattr(import_module(f"releasetag.cli.{_COMMANDS[name]}"), name)
        function = with_options(name, command, has_path=name not in _WITHOUT_PATH)
        app.command(name, cls=Command)(function)
    return app


def _on_version(wanted: bool) -> None:
    if wanted:
        print_version()
        raise typer.Exit


def _without_command(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 (its callback does it)
        bool,
        typer.Option(
            "--version", callback=_on_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


def _usage_error(error: typer.TyperException, args: list[str]) -> UsageError:
    """Return what is wrong with a command line, in a message and a hint."""
    message = error.format_message().rstrip(".")
    near = list(getattr(error, "possibilities", None) or [])
    if near:
        message = f"no such option: {getattr(error, 'option_name', '')}"
    elif found := re.fullmatch(r"(No such command .*)\. Did you mean (.*)\?", message):
        message, near = found[1], [found[2]]
    elif found := re.fullmatch(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", message):
        message = f"unexpected argument: {found[1]}"
    command = f"releasetag {args[0]}" if args and args[0] in _COMMANDS else "releasetag"
    hint = f"did you mean {' or '.join(sorted(near))}?" if near else f"see {command} --help"
    return UsageError(f"{message[:1].lower()}{message[1:]}", hint)
