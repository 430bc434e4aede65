"""Help as plain text, at most 80 columns wide, with a section for every group of options."""

from typing import TYPE_CHECKING

from typer.core import TyperArgument, TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter, Parameter  # Typer offers them nowhere else

# Wide enough for most options with their values; longer ones have a line of their own.
_NAMES_WIDTH = 26


class Command(TyperCommand):
    """A command whose options are listed by their groups."""

    def collect_usage_pieces(self, ctx: "Context") -> list[str]:  # noqa: ARG002 (Typer's signature)
        """The usage line: options last, as nobody needs them first."""
        arguments = [p.metavar for p in self.params if isinstance(p, TyperArgument) and p.metavar]
        return [*arguments, "[OPTIONS]"]

    def format_options(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write the arguments, then every group of options, the shared ones last."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        for parameter in self.get_params(ctx):
            if record := _record(parameter, ctx):
                groups.setdefault(_group(parameter), []).append(record)
        for title in sorted(groups, key=lambda title: title == "Options"):
            if groups[title]:
                with formatter.section(title):
                    _write_rows(formatter, groups[title])


class Group(TyperGroup):
    """The program: its commands with the whole first line of their help."""

    def collect_usage_pieces(self, ctx: "Context") -> list[str]:  # noqa: ARG002 (Typer's signature)
        """The usage line."""
        return ["COMMAND", "[PATH]", "[OPTIONS]"]

    def format_options(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write the commands, then the few options of the program itself."""
        commands = [(name, command.help or "") for name, command in self.commands.items()]
        records = [record for each in self.get_params(ctx) if (record := _record(each, ctx))]
        with formatter.section("Commands"):
            _write_rows(formatter, [(name, text.split("\n\n")[0]) for name, text in commands])
        with formatter.section("Options"):
            _write_rows(formatter, records)


def _record(parameter: "Parameter", ctx: "Context") -> tuple[str, str] | None:
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


def _write_rows(formatter: "HelpFormatter", rows: list[tuple[str, str]]) -> None:
    formatter.write_dl(rows, col_max=_NAMES_WIDTH)
