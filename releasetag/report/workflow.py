"""GitHub Actions reads commands from a step's log: what may stand in it.

Source: GitHub Docs, "Workflow commands for GitHub Actions", sections on grouping log lines and on
stopping workflow commands; ``ActionCommand`` of github.com/actions/runner.
"""

from releasetag.text import printable


class LogGroup:
    """A part of the log that can be folded, in which nothing is a workflow command.

    The runner reads commands from the log: without this, a build step could print one.

    Args:
        title: shown when the group is folded.
    """

    def __init__(self, title: str) -> None:
        import secrets

        self._title = printable(title).replace("%", "%25")
        # Whoever knew the token could make commands count again.
        self._token = secrets.token_hex(16)

    @property
    def start(self) -> tuple[str, str]:
        """The lines before it."""
        return f"::group::{self._title}", f"::stop-commands::{self._token}"

    @property
    def end(self) -> tuple[str, str]:
        """The lines after it."""
        return f"::{self._token}::", "::endgroup::"


def without_commands(text: str) -> str:
    """A line in which the runner finds no command, as long as something stands before it.

    The runner still takes the commands of an older system, wherever in a line they stand.
    """
    return text.replace("##[", "## [")
