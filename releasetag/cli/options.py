"""The options of the commands, made from the table of settings."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.models import ArgumentInfo

from releasetag.cli.completion import OF_SETTINGS
from releasetag.config.schema import SETTINGS, Setting, check_text
from releasetag.config.settings import Settings
from releasetag.errors import UsageError

_PATH = Annotated[
    str | None,
    typer.Argument(metavar="[PATH]", help="A git work tree. Default: the current directory."),
]
_JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
_QUIET = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and results only.")]
_VERBOSE = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print every request, build line and layer.")
]


@dataclass(frozen=True)
class Shared:
    """What every command is given.

    Attributes:
        path: a directory in the work tree.
        settings: the options that are settings, by name; None or an empty list if not given.
    """

    path: Path
    settings: Mapping[str, Any]
    json: bool
    quiet: bool
    verbose: bool


def with_options(name: str, command: Callable[..., int], *, has_path: bool) -> Callable[..., int]:
    """Return a command as Typer wants it: with all its options as parameters.

    Args:
        name: of the command, which selects its settings.
        command: takes a `Shared` first, and options of its own by keyword.
    """
    settings = [setting for setting in SETTINGS.values() if name in setting.commands]
    own = _own_parameters(command)
    shared = [_parameter("path", _PATH, None)] if has_path else []
    reporting = [
        _parameter(option, annotation, False)
        for option, annotation in (("json", _JSON), ("quiet", _QUIET), ("verbose", _VERBOSE))
    ]
    parameters = [
        *own,
        *shared,
        *(_parameter(each.name, _option(each), None) for each in settings),
        *reporting,
    ]

    def run(**given: Any) -> int:
        for parameter in [*own, *shared]:
            _check(given[parameter.name], parameter)
        values = {each.name: given.pop(each.name) for each in settings}
        first = Shared(
            Path(given.pop("path", None) or ""),
            {name: _value(SETTINGS[name], value) for name, value in values.items()},
            json=given.pop("json"),
            quiet=given.pop("quiet"),
            verbose=given.pop("verbose"),
        )
        if first.verbose:
            from releasetag.cli.log import log_requests

            log_requests()
        return command(first, **given)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _own_parameters(command: Callable[..., int]) -> list[inspect.Parameter]:
    hints = get_type_hints(command, include_extras=True)
    _, *own = inspect.signature(command).parameters.values()
    return [_parameter(each.name, hints[each.name], each.default) for each in own]


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _option(setting: Setting) -> Any:
    names = [setting.option, setting.short] if setting.short else [setting.option]
    match setting.kind:
        case "flag":
            kind: Any = bool | None
        case "list" | "lines" | "map":
            kind = list[str] | None
        case _:
            kind = str | None
    return Annotated[
        kind,
        typer.Option(
            *names,
            metavar=setting.value_name or None,
            help=setting.help,
            rich_help_panel=setting.panel,
            autocompletion=OF_SETTINGS.get(setting.name),
        ),
    ]


def _value(setting: Setting, given: Any) -> Any:
    """Return what an option sets: a flag the opposite of what is so without it."""
    if setting.kind == "flag" and given is not None:
        return not getattr(Settings, setting.name)
    return given


def _check(given: Any, parameter: inspect.Parameter) -> None:
    """Refuse an empty string, for which a variable may be unset, and what no request can hold."""
    info = get_args(parameter.annotation)[1]
    is_argument = isinstance(info, ArgumentInfo)
    name = info.metavar.strip("[]") if is_argument else f"--{parameter.name.replace('_', '-')}"
    for text in given if isinstance(given, list) else [given]:
        if isinstance(text, str):
            if not text.strip():
                raise UsageError(
                    f"{name} is empty", "give it a value, or leave it out; a variable may be unset"
                )
            check_text(text, name, is_path=parameter.name == "path")
