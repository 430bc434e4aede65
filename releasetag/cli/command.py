"""Typer's commands, with help as plain text and without a conversion of values."""

from typing import TYPE_CHECKING, Any

from typer.core import TyperArgument, TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter, Parameter  # Typer exports them nowhere else

# Wide enough for most options with their values; longer ones have a line of their own.
_NAMES_WIDTH = 26


class _AsGiven:
    """Stands in for Typer's conversion of values by pydantic.

    All of ours are flags, or strings that the settings convert; pydantic takes longer to import
    than Typer. A version of Typer that does not look for this loses nothing but that time.
    """

    def coerce(self, value: Any, param: "Parameter", ctx: "Context") -> Any:  # noqa: ARG002 (Typer's signature)
        """Return the value."""
        return value


def _convert_nothing(command: TyperCommand | TyperGroup, ctx: "Context") -> None:
    for parameter in command.get_params(ctx):
        parameter._runtime_param = _AsGiven()  # type: ignore[attr-defined]


class Command(TyperCommand):
    """A command whose help has a section for every group of options, for any terminal and log.

    Typer's own has a box around three columns, which leaves 36 of 80 columns to the text, cuts
    words in narrow terminals, and puts lines and blanks into logs.
    """

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        """Parse the options, and leave them as they are given."""
        _convert_nothing(self, ctx)
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: "Context") -> list[str]:  # noqa: ARG002 (Typer's signature)
        """Return the usage line, with the options last: they are optional."""
        arguments = [p.metavar for p in self.params if isinstance(p, TyperArgument) and p.metavar]
        return [*arguments, "[OPTIONS]"]

    def format_options(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write the arguments, then every group of options, the shared ones last."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        for parameter in self.get_params(ctx):
            if row := _row(parameter, ctx):
                groups.setdefault(_group(parameter), []).append(row)
        for title in sorted(groups, key=lambda title: title == "Options"):
            _write_section(formatter, title, groups[title])


class Group(TyperGroup):
    """The program: its commands with the whole first line of their help."""

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        """Parse the options of the program itself."""
        _convert_nothing(self, ctx)
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: "Context") -> list[str]:  # noqa: ARG002 (Typer's signature)
        """Return the usage line."""
        return ["COMMAND", "[PATH]", "[OPTIONS]"]

    def format_options(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write the commands, then the few options of the program itself."""
        commands = [(name, command.help or "") for name, command in self.commands.items()]
        rows = [(name, text.split("\n\n")[0]) for name, text in commands]
        _write_section(formatter, "Commands", rows)
        options = [row for each in self.get_params(ctx) if (row := _row(each, ctx))]
        _write_section(formatter, "Options", options)


def _row(parameter: "Parameter", ctx: "Context") -> tuple[str, str] | None:
    if isinstance(parameter, TyperArgument):
        return (parameter.metavar or parameter.name, parameter.help or "")
    record: tuple[str, str] | None = parameter.get_help_record(ctx)
    if record is None:
        return None
    names, text = record
    # Options without a short name are indented to where the long names are.
    return (names if names.startswith("-") and names[1:2] != "-" else f"    {names}", text)


def _group(parameter: "Parameter") -> str:
    if isinstance(parameter, TyperArgument):
        return "Arguments"
    return getattr(parameter, "rich_help_panel", None) or "Options"


def _write_section(formatter: "HelpFormatter", title: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows, col_max=_NAMES_WIDTH)
