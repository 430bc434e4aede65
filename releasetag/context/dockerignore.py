"""The ignore file: which files of a context are left out, exactly as Docker reads it. Pure.

It is read by code of our own, because no library reads it as Docker does. The ``PatternMatcher`` of
the docker SDK lowers the case of names and patterns, knows no escapes, looks at one parent
directory only, and always sends ``.dockerignore`` and the Dockerfile; ``pathspec`` implements
``.gitignore``, whose rules are others (there ``foo`` means ``**/foo``).

Source: github.com/moby/patternmatcher (``ignorefile.ReadAll``, ``New``, ``Pattern.compile`` and
``MatchesUsingParentResults``).
"""

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from releasetag.errors import UsageError

# What Go's strings.TrimSpace removes. str.strip() would remove U+001C to U+001F as well.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
# What Go's filepath.Match takes up to the second "*", which is how far Docker has it check. A
# surrogate is a byte that is not UTF-8.
_LITERAL = r"(?:\\[^\udc80-\udcff]|[^\]\\\-\udc80-\udcff])"
_VALID = re.compile(
    rf"\**+(?:\[\^?(?:{_LITERAL}(?:-{_LITERAL})?)+\]|\\.|[^\[\\*])*+(?:\*|\Z)", re.DOTALL
)
_TOKEN = re.compile(r"\*\*/?|\\.|.", re.DOTALL)
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_SPECIAL = re.compile(r"[*?\[\]\\^]")


@dataclass(frozen=True)
class Rule:
    """One pattern of an ignore file.

    Attributes:
        pattern: without the ``!``, cleaned.
        exception: whether it began with ``!``, so brings back what earlier rules ignore.
        base: the leading directories without wildcards and a ``/``; only below them can it match.
        matches: tells for a path relative to the context whether the pattern matches it.
    """

    pattern: str
    exception: bool
    base: str
    matches: Callable[[str], bool] = field(repr=False, compare=False)


def parse_rules(content: bytes, file: str) -> tuple[Rule, ...]:
    """The rules of an ignore file, each line cleaned in the two steps in which Docker does it."""
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


def judge(rules: Sequence[Rule], name: str, above: Sequence[bool]) -> tuple[bool, tuple[bool, ...]]:
    """Whether a path is ignored, and which rules matched it or a directory above it.

    Args:
        name: the path, relative to the context.
        above: which rules matched the directory that it is in.
    """
    ignored = False
    results = []
    for rule, inherited in zip(rules, above, strict=True):
        # A rule that would change nothing is not asked, so it does not count below either: with
        # "a/b" and then "!a", a/b stays ignored. That is what Docker does.
        matched = inherited or (rule.exception == ignored and rule.matches(name))
        results.append(matched)
        if matched:
            ignored = not rule.exception
    return ignored, tuple(results)


def may_hold_exceptions(rules: Sequence[Rule], directory: str) -> bool:
    """Whether a ``!`` pattern may match below an ignored directory, so that it must be entered."""
    inside = f"{directory}/"
    return any(
        rule.exception and (inside.startswith(rule.base) or rule.base.startswith(inside))
        for rule in rules
    )


def _clean(path: str) -> str:
    """Go's ``filepath.Clean``. POSIX, and so normpath, keeps exactly two leading slashes."""
    return posixpath.normpath(re.sub("^//+", "/", path))


def _rule(pattern: str) -> Rule:
    exception = pattern.startswith("!")
    pattern = pattern[1:] if exception else pattern
    if not pattern or not _VALID.match(pattern):
        raise ValueError(pattern)
    special = _SPECIAL.search(pattern)
    fixed = pattern[: special.start()].rpartition("/")[0] if special else pattern
    return Rule(pattern, exception, f"{fixed}/" if fixed else "", _matcher(pattern))


def _matcher(pattern: str) -> Callable[[str], bool]:
    """What Docker's ``Pattern.compile`` makes of a pattern, its corners included.

    Only a pattern with a wildcard becomes a regular expression, and ``**`` at one end of an
    otherwise plain pattern does not: ``**foo`` matches ``a/barfoo``.

    Raises:
        ValueError: Docker refuses the pattern, or takes it in a way that is not supported here
            (POSIX classes, octal and hexadecimal escapes, ``\\p`` and ``\\Q``).
        re.error: likewise.
    """
    kind, regex, in_class = "exact", "", False
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if text.startswith("**"):
            at_end = token.end() == len(pattern)
            regex += ".*" if at_end else "(.*/)?"
            kind = "prefix" if at_end and kind == "exact" else "regex"
            if token.start() == 0:
                kind = "suffix"
        elif text in ("*", "?"):
            # Docker does so inside a class too; the "]" then closes it.
            regex += (r"\[" if in_class else "[") + "^/]" + text.replace("?", "")
            kind, in_class = "regex", False
        elif text.startswith("\\"):
            regex += _escape(text, in_class)
            kind = "regex"
        elif text in ("[", "]"):
            regex += r"\[" if text == "[" and in_class else text
            kind, in_class = "regex", text == "["
        else:
            regex += f"\\{text}" if text in ".+()|{}$&~" else text
    if kind == "exact":
        return pattern.__eq__
    if kind == "prefix":
        return lambda path: path.startswith(pattern[:-2])
    if kind == "suffix":
        return lambda path: f"/{path}".endswith(pattern[2:])
    if re.search(r"\[:.*:\]", pattern):
        raise ValueError(pattern)
    # Go reads each byte that is not UTF-8 as U+FFFD, in the pattern and in the path.
    compiled = re.compile(_NOT_UTF8.sub("\ufffd", regex), re.ASCII)
    return lambda path: compiled.fullmatch(_NOT_UTF8.sub("\ufffd", path)) is not None


def _escape(text: str, in_class: bool) -> str:
    """A backslash and a character as Go's regular expressions read them, written for ``re``."""
    char = text[1:]
    if not char.isascii() or not char:
        raise ValueError(text)
    if char.isalnum() and char not in "afnrtvdswDSW" + ("" if in_class else "AbBz"):
        raise ValueError(text)
    return r"\Z" if char == "z" else text
