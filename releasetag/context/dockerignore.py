"""Read an ignore file and match paths with it, exactly as Docker does. Pure.

No library does. The docker SDK's ``PatternMatcher`` lowers the case of names and patterns, knows no
escapes, checks one parent directory only, and always sends ``.dockerignore`` and the Dockerfile;
``pathspec`` implements ``.gitignore``, whose rules differ (there ``foo`` means ``**/foo``).

Docker makes a regular expression of a pattern, which Go matches in linear time. Python's ``re``
backtracks: a pattern with ten ``*`` can take minutes for one name. So ``re`` matches nothing but
single characters here, see `_matches`.

Source: github.com/moby/patternmatcher (``ignorefile.ReadAll``, ``New``, ``Pattern.compile`` and
``MatchesUsingParentResults``).
"""

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from releasetag.errors import UsageError

# What Go's strings.TrimSpace removes. str.strip() would remove U+001C to U+001F as well.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
# What Go's filepath.Match accepts up to the second "*", which is how far Docker has it check. A
# surrogate is a byte that is not UTF-8.
_LITERAL = r"(?:\\[^\udc80-\udcff]|[^\]\\\-\udc80-\udcff])"
_VALID = re.compile(
    rf"\**+(?:\[\^?(?:{_LITERAL}(?:-{_LITERAL})?)+\]|\\.|[^\[\\*])*+(?:\*|\Z)", re.DOTALL
)
_TOKEN = re.compile(r"\*\*/?|\\.|.", re.DOTALL)
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_SPECIAL = re.compile(r"[*?\[\]\\^]")
_WILDCARD = re.compile(r"[*?\[\]\\]")

_ANY = "."
_NOT_SLASH = "[^/]"
_CLASS = r"\[\^?\]?(?:\\.|[^\]\\])*\]"
_PIECE = re.compile(
    rf"(?P<directories>\(\.\*/\)\?)|(?P<classes>\.|{_CLASS})\*|(?P<assertion>\^|\\[AbBZ])"
    rf"|(?P<class>{_CLASS}|\\[afnrtvdwDW])|\\?(?P<literal>.)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Rule:
    """One pattern of an ignore file.

    Attributes:
        exception: whether it begins with ``!``, so that it re-includes what earlier rules ignore.
        base: the leading directories without wildcards and a ``/``; it can match below them only.
        matches: whether the pattern matches a path relative to the context.
    """

    exception: bool
    base: str
    matches: Callable[[str], bool] = field(repr=False, compare=False)


class _Piece(NamedTuple):
    """A part of a pattern's regular expression.

    Attributes:
        kind: ``literal``; ``class``, one character of a class; ``classes``, any number of those;
            ``assertion``, which consumes none; ``directories``, ``(.*/)?``.
        text: of a literal its characters, else a regular expression without quantifiers.
    """

    kind: str
    text: str


def parse_rules(content: bytes, file: str) -> tuple[Rule, ...]:
    """Parse an ignore file, cleaning each line in the two steps in which Docker does."""
    rules = []
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("#"):
            continue
        # First ignorefile.ReadAll …
        pattern = line.strip(_SPACE)
        if not pattern:
            continue
        mark = "!" if pattern.startswith("!") else ""
        pattern = pattern[len(mark) :].strip(_SPACE)
        if pattern:
            pattern = _clean(pattern)
            if len(pattern) > 1:
                pattern = pattern.removeprefix("/")
        # … then patternmatcher.New, to which "/!a" is an exception by now.
        pattern = (mark + pattern).strip(_SPACE)
        if not pattern:
            continue
        pattern = _clean(pattern)
        try:
            rules.append(_rule(pattern))
        except (ValueError, re.error):
            raise UsageError(
                f"{file!r}, line {number}: {line.strip(_SPACE)!r} is not a valid pattern",
                "correct it or remove it; the syntax is that of Go's filepath.Match, and **",
            ) from None
    return tuple(rules)


def match_rules(
    rules: Sequence[Rule], name: str, parent_matches: Sequence[bool]
) -> tuple[bool, tuple[bool, ...]]:
    """Match a path: whether it is ignored, and which rules match it or a parent directory.

    Args:
        name: the path, relative to the context.
        parent_matches: which rules match its directory or a parent of that.
    """
    ignored = False
    matches = []
    for rule, parent_matched in zip(rules, parent_matches, strict=True):
        # A rule that would change nothing is not tried, so it does not count below either: with
        # "a/b" and then "!a", a/b stays ignored. That is what Docker does.
        matched = parent_matched or (rule.exception == ignored and rule.matches(name))
        matches.append(matched)
        if matched:
            ignored = not rule.exception
    return ignored, tuple(matches)


def may_hold_exceptions(rules: Sequence[Rule], directory: str) -> bool:
    """Whether a ``!`` pattern may match below an ignored directory, so that it must be entered."""
    inside = f"{directory}/"
    return any(
        rule.exception and (inside.startswith(rule.base) or rule.base.startswith(inside))
        for rule in rules
    )


def _clean(path: str) -> str:
    """Clean a path as Go's ``filepath.Clean`` does."""
    # POSIX, and so normpath, keeps exactly two leading slashes.
    return posixpath.normpath(re.sub("^//+", "/", path))


def _rule(pattern: str) -> Rule:
    exception = pattern.startswith("!")
    pattern = pattern[1:] if exception else pattern
    if not pattern or not _VALID.match(pattern):
        raise ValueError(pattern)
    special = _SPECIAL.search(pattern)
    fixed = pattern[: special.start()].rpartition("/")[0] if special else pattern
    return Rule(exception, f"{fixed}/" if fixed else "", _matcher(pattern))


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Compile a pattern as Docker's ``Pattern.compile`` does, its corners included.

    Only a pattern with a wildcard becomes a regular expression, and ``**`` at one end of an
    otherwise plain pattern does not: ``**foo`` matches ``a/barfoo``.

    Raises:
        ValueError: Docker refuses the pattern, or reads it in a way that is not supported here
            (POSIX classes, octal and hexadecimal escapes, ``\\p`` and ``\\Q``).
        re.error: likewise.
    """
    if not _WILDCARD.search(pattern):
        return pattern.__eq__
    if pattern.startswith("**") and not _WILDCARD.search(pattern[2:]):
        return lambda path: f"/{path}".endswith(pattern[2:])
    if pattern.endswith("**") and not _WILDCARD.search(pattern[:-2]):
        return lambda path: path.startswith(pattern[:-2])
    # Go reads each byte that is not UTF-8 as U+FFFD, in the pattern and in the path.
    pieces = _pieces(_regex(_NOT_UTF8.sub("\ufffd", pattern)))
    return lambda path: _matches(pieces, _NOT_UTF8.sub("\ufffd", path))


def _regex(pattern: str) -> str:
    """The regular expression that Docker makes of a pattern, written for ``re``."""
    if ":]" in pattern.partition("[:")[2]:
        raise ValueError(pattern)
    regex, in_class, start = "", False, 0
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if text.startswith("**"):
            regex += ".*" if token.end() == len(pattern) else "(.*/)?"
        elif text in ("*", "?"):
            # Docker does so inside a class too; the "]" then closes it.
            regex += (r"\[" if in_class else "[") + "^/]" + text.replace("?", "")
            in_class = False
        elif text.startswith("\\"):
            regex += _escape(text, in_class)
        elif text == "[" and not in_class:
            in_class, start = True, len(regex)
            regex += text
        elif text == "]":
            # The first character of a class is one of its members.
            in_class = in_class and regex[start:] in ("[", "[^")
            regex += text
        else:
            regex += f"\\{text}" if text in "[.+()|{}$&~" else text
    re.compile(regex)
    return regex


def _escape(text: str, in_class: bool) -> str:
    """Translate a backslash and a character, as Go's regular expressions read them, for ``re``."""
    char = text[1:]
    if not char.isascii() or not char:
        raise ValueError(text)
    if char.isalnum() and char not in "afnrtvdswDSW" + ("" if in_class else "AbBz"):
        raise ValueError(text)
    if char in "sS":  # "\v" is white space to re, not to Go
        members = r"\t\n\f\r " if char == "s" else r"\S\v"
        return members if in_class else f"[{members}]"
    return r"\Z" if char == "z" else text


def _pieces(regex: str) -> tuple[_Piece, ...]:
    """Split a regular expression of `_regex`, with as few literals as possible."""
    pieces: list[_Piece] = []
    for found in _PIECE.finditer(regex):
        kind = str(found.lastgroup)
        if kind == "literal" and pieces and pieces[-1].kind == "literal":
            pieces[-1] = _Piece(kind, pieces[-1].text + found[kind])
        else:
            pieces.append(_Piece(kind, found[kind]))
    return tuple(pieces)


def _matches(pieces: Sequence[_Piece], path: str) -> bool:
    """Match a path, in as many steps as there are pieces.

    The positions in the path at which the pieces so far can end are the bits of one number, and a
    piece moves all of them at once (bit-parallel matching, as in Parabix): nothing to backtrack to.
    """
    ends = 1
    for kind, text in pieces:
        if kind == "literal":
            ends = (ends & _starts(text, path)) << len(text)
        elif kind == "class":
            ends = (ends & _class_starts(text, path)) << 1
        elif kind == "classes":
            ends = _spread(ends, _class_starts(text, path))
        elif kind == "assertion":
            ends &= _class_starts(text, path)
        else:
            slashes = _starts("/", path)
            ends |= (_spread(ends, _class_starts(_ANY, path)) & slashes) << 1
        if not ends:
            return False
    return bool(ends >> len(path))


def _spread(ends: int, through: int) -> int:
    """The positions, and those to the right of them behind characters of a class alone."""
    # A carry runs through consecutive ones, and stops at the first zero behind them.
    return (((ends & through) + through) ^ through) | ends


def _starts(text: str, path: str) -> int:
    """The positions at which a text begins."""
    starts, at = 0, path.find(text)
    while at >= 0:
        starts |= 1 << at
        at = path.find(text, at + 1)
    return starts


@lru_cache(maxsize=1024)  # one path is matched with all rules
def _class_starts(regex: str, path: str) -> int:
    """The positions at which a class or an assertion matches."""
    everything = (1 << len(path)) - 1
    if regex == _ANY:
        return everything ^ _starts("\n", path)
    if regex == _NOT_SLASH:
        return everything ^ _starts("/", path)
    starts = 0
    for found in re.finditer(regex, path, re.ASCII):
        starts |= 1 << found.start()
    return starts
