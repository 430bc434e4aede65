"""What may stand in a log of GitHub Actions, where lines can be workflow commands.

Source: GitHub Docs, "Workflow commands for GitHub Actions"; ``ActionCommand`` of
github.com/actions/runner; ``core/src/command.ts`` of github.com/actions/toolkit for the escapes.
"""

from collections.abc import Mapping
from typing import Literal

from releasetag.text import printable

Level = Literal["error", "warning", "notice"]


def runs_here(environ: Mapping[str, str]) -> bool:
    """Whether this is a step of GitHub Actions."""
    return environ.get("GITHUB_ACTIONS") == "true"


class LogGroup:
    """A foldable part of the log in which nothing is a workflow command.

    The runner reads commands from the log: without this, a build step could print one.

    Args:
        title: shown when the group is folded.
    """

    def __init__(self, title: str) -> None:
        import secrets

        self._title = _escape_data(printable(title))
        # Whoever knew the token could turn commands on again.
        self._token = secrets.token_hex(16)

    @property
    def start(self) -> tuple[str, str]:
        """The lines before it."""
        return f"::group::{self._title}", f"::stop-commands::{self._token}"

    @property
    def end(self) -> tuple[str, str]:
        """The lines after it."""
        return f"::{self._token}::", "::endgroup::"


def annotation(level: Level, title: str, text: str) -> str:
    """Format the command that puts a message on the page of the run.

    Args:
        text: with line breaks where there are several lines.
    """
    return f"::{level} title={_escape_property(title)}::{_escape_data(text)}"


def without_commands(text: str) -> str:
    """Break the commands in a line, as long as something stands before it.

    The runner still takes the commands of an older system, wherever in a line they stand.
    """
    return text.replace("##[", "## [")


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")
