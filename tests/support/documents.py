"""The documentation: its pages, and the code blocks, commands and links in them."""

import html
import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from releasetag.cli.app import _COMMANDS
from tests.support.run import ROOT

DOCS = ROOT / "docs"
SITE = "https://releasetag.github.io/releasetag/"

_FENCE = re.compile(
    r"(?:^<!-- run: (?P<scenario>[^\n]+) -->\n\n?)?"
    r"^(?P<indent> *)```(?P<language>[a-z]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"!?\[[^]]*\]\(([^)\s]+)\)")
_COMMAND = re.compile(rf"(?:^|[\s'\"`|;&(/])releasetag ((?:{'|'.join(_COMMANDS)})\b.*)")
_JSON_COMMAND = re.compile(r'"(releasetag [^"]*)"')
_VARIABLE = re.compile(r"\$\{\{[^}]*\}\}|\$\{[^}]*\}|\$\(\w+\)|\$\w+")


@dataclass(frozen=True)
class Block:
    """A fenced code block.

    Attributes:
        line: its first one in the page.
        scenario: in which its commands are run and its output is compared; empty: in none.
    """

    page: Path
    line: int
    language: str
    text: str
    scenario: str = ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """README and all pages of the site."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks(*languages: str) -> list[Block]:
    """The code blocks in these languages, of all pages."""
    return [block for page in pages() for block in _blocks_of(page) if block.language in languages]


def _blocks_of(page: Path) -> Iterator[Block]:
    content = page.read_text("utf-8")
    for found in _FENCE.finditer(content):
        line = content.count("\n", 0, found.start("language")) + 1
        text = textwrap.dedent(found["text"])
        yield Block(page, line, found["language"], text, found["scenario"] or "")


def without_blocks(page: Path) -> str:
    """A page without its code blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def commands(text: str) -> Iterator[list[str]]:
    """The command lines of releasetag in some text, without the word itself.

    What only the reader or a CI system knows, `$NAME`, is replaced by a word.
    """
    lines = _JSON_COMMAND.findall(text) or text.replace("\\\n", " ").splitlines()
    for line in lines:
        for found in _COMMAND.finditer(line):
            yield _words(found[1])


def inline_commands(page: Path) -> Iterator[list[str]]:
    """The command lines in the sentences of a page, but for a command that is only named."""
    for code in re.findall(r"`(releasetag [^`]+)`", without_blocks(page)):
        yield from (words for words in commands(" ".join(code.split())) if words[1:])


def _words(line: str) -> list[str]:
    parser = shlex.shlex(_VARIABLE.sub("value", line), posix=True, punctuation_chars="|;&<>()")
    parser.whitespace_split = True
    words: list[str] = []
    try:
        for word in parser:
            if set(word) <= set("|;&<>()"):
                break
            words.append(word)
    except ValueError:  # the quote that ends a string of another language
        words = line.rstrip("'\"`,)").split()
    return words


@dataclass(frozen=True)
class Shown:
    """A command of a console block, and what it shows."""

    words: list[str]
    output: str


def shown_commands(block: Block) -> list[Shown]:
    """The commands of a console block with the output behind each."""
    parts = re.split(r"^\$ ", block.text.replace("\\\n", " "), flags=re.MULTILINE)
    assert not parts[0].strip(), f"{block}: output before a command"
    found = []
    for part in parts[1:]:
        command, _, output = part.partition("\n")
        found.append(Shown(shlex.split(command, comments=True), output.strip("\n")))
    return found


def links(page: Path) -> list[str]:
    """The targets of the links and pictures of a page."""
    return _LINK.findall(without_blocks(page))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site both make them."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(page), re.MULTILINE)
    return {_slug(html.unescape(each)) for each in headings}


def _slug(heading: str) -> str:
    text = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\s-]", "", text).strip().replace(" ", "-")
