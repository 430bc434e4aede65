"""The releases as a picture, for a README."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from releasetag.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from releasetag.release_tree import ReleaseTree

_WIDTH = 80


def write_svg(trees: "Sequence[ReleaseTree]", file: Path) -> None:
    """Write the releases to a file, as a terminal shows them.

    Raises:
        UsageError: the file cannot be written.
    """
    import io

    from releasetag.report.console import Tables, print_line
    from releasetag.report.terminal import Terminal

    recorded = Terminal(
        record=True,
        width=_WIDTH,
        file=io.StringIO(),
        force_terminal=True,
        markup=False,
        emoji=False,
        highlight=False,
    )
    for line in Tables(recorded).history_lines(trees):
        print_line(recorded, *line)
    picture = format_svg(recorded, "releasetag history")
    try:
        file.write_text(picture, "utf-8")
    except OSError as error:
        raise UsageError(
            f"--svg: {file} cannot be written: {error.strerror}",
            "name a file in a directory that exists and can be written",
        ) from None


def format_svg(recorded: "Console", title: str) -> str:
    """Format what a console has recorded as a picture that loads nothing.

    Rich takes the fonts from a CDN.
    """
    style, end, content = recorded.export_svg(title=title).partition("</style>")
    return re.sub(r"@font-face \{.*?\}", "", style, flags=re.DOTALL) + end + content
