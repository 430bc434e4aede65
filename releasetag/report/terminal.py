"""rich's console, for a terminal."""

from rich.console import Console


class Terminal(Console):
    """A console that leaves a reader who has gone away to the command line."""

    def on_broken_pipe(self) -> None:
        """Raise the error again, where rich would end the program with exit code 1."""
        raise  # noqa: PLE0704 (called while the BrokenPipeError is handled)
