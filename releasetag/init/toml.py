"""Write a configuration file. Every text in it may be anyone's: it is quoted, or one comment line.

Not by tomlkit: it would be there for some forty lines, and nothing that exists is edited.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from releasetag.text import printable

Value: TypeAlias = "str | bool | Sequence[str] | Mapping[str, str]"

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH = 100


def format_comment(text: str) -> list[str]:
    """Return a comment, folded."""
    import textwrap

    return [f"# {line}" for line in textwrap.wrap(printable(text, 1000), _WIDTH - 2)]


def format_entry(key: str, value: Value) -> str:
    """Return a line, or several for a long list; the key is ours, and may have dots."""
    if isinstance(value, bool):
        return f"{key} = {str(value).lower()}"
    if isinstance(value, str):
        return f"{key} = {quote(value)}"
    if isinstance(value, Mapping):
        entries = ", ".join(f"{_key(name)} = {quote(text)}" for name, text in value.items())
        return f"{key} = {{ {entries} }}"
    line = f"{key} = [{', '.join(map(quote, value))}]"
    if len(line) <= _WIDTH:
        return line
    items = "".join(f"    {quote(item)},\n" for item in value)
    return f"{key} = [\n{items}]"


def quote(text: str) -> str:
    """Return a basic string: JSON's, but for what TOML takes no other way."""
    text = text.encode("utf-8", "replace").decode()  # no lone surrogates
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else quote(name)
