"""The ignore file, against temporary directories.

The tables of patterns were checked with github.com/moby/patternmatcher and with what the docker
command sends.
"""

import itertools
import os
import posixpath
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from releasetag.context.dockerignore import parse_rules
from releasetag.context.tree import open_context
from releasetag.errors import UsageError
from tests.support.context import files_in, make_tree
from tests.support.examples import examples


@pytest.mark.parametrize(
    ("ignore", "ignored"),
    [
        # plain names, and the directory of a name
        ("a", {"a"}),
        ("dir", {"dir/a", "dir/sub/b.go"}),
        ("dir/a", {"dir/a"}),
        ("b.go", {"b.go"}),
        ("sub", set()),
        ("A", set()),
        # cleaning
        ("/a", {"a"}),
        ("//a", {"a"}),
        ("./a", {"a"}),
        ("dir/", {"dir/a", "dir/sub/b.go"}),
        ("dir/../a", {"a"}),
        ("../a", set()),
        (".", set()),
        ("/", set()),
        ("  a\t", {"a"}),
        ("\u00a0a\u2003", {"a"}),
        ("a\r\nb.go\r\n", {"a", "b.go"}),
        # comments, blank lines, byte order mark
        ("# a\n\n  \n", set()),
        ("#a", set()),
        (" #a", {"#a"}),
        ("\ufeffa", {"a"}),
        ("\ufeff# a\nb.go", {"b.go"}),
        ("a\n\ufeffb.go", {"a"}),
        # wildcards
        ("*.go", {"b.go"}),
        ("*/a", {"dir/a"}),
        ("?", {"a"}),
        ("[a-c]", {"a"}),
        ("[^b]", {"a"}),
        ("[!a]", {"a"}),
        ("*", {"a", "b.go", "#a", "!a", "[a]", "dir/a", "dir/sub/b.go"}),
        ("**", {"a", "b.go", "#a", "!a", "[a]", "dir/a", "dir/sub/b.go"}),
        ("**/a", {"a", "dir/a"}),
        ("**/b.go", {"b.go", "dir/sub/b.go"}),
        ("**/*.go", {"b.go", "dir/sub/b.go"}),
        ("dir/**", {"dir/a", "dir/sub/b.go"}),
        ("dir/**/b.go", {"dir/sub/b.go"}),
        ("**.go", {"b.go", "dir/sub/b.go"}),
        ("**/sub/*", {"dir/sub/b.go"}),
        # regular expressions have no say
        ("b+go\n(a|b)\na{1}\n.*\n^a$", set()),
        # escapes
        ("\\a", set()),
        ("\\[a\\]", {"[a]"}),
        ("[a]", {"a"}),
        ("\\*", set()),
        ("\\#a", {"#a"}),
        ("\\!a", {"!a"}),
        # exceptions and order
        ("*\n!a", {"b.go", "#a", "!a", "[a]", "dir/a", "dir/sub/b.go"}),
        ("!a\n*", {"a", "b.go", "#a", "!a", "[a]", "dir/a", "dir/sub/b.go"}),
        ("dir\n! dir/a", {"dir/sub/b.go"}),
        ("dir\n!/dir/a", {"dir/sub/b.go"}),
        ("dir\n/!dir/a", {"dir/sub/b.go"}),
        ("dir\n!dir/sub", {"dir/a"}),
        ("dir\n!dir/sub\ndir/sub/*.go", {"dir/a", "dir/sub/b.go"}),
        ("**/*.go\n!**/sub/*.go", {"b.go"}),
        ("dir\n!**/*.go", {"dir/a"}),
        ("dir\n!d*/sub/**", {"dir/a"}),
        ("!!a", set()),
        ("*\n!!a", {"a", "b.go", "#a", "[a]", "dir/a", "dir/sub/b.go"}),
        # an exception for a directory brings nothing back that only a deeper rule ignores
        ("dir/sub\n!dir", {"dir/sub/b.go"}),
    ],
)
def test_ignores_what_docker_ignores(tmp_path: Path, ignore: str, ignored: set[str]) -> None:
    names = {"a", "b.go", "#a", "!a", "[a]", "dir/a", "dir/sub/b.go"}
    root = make_tree(tmp_path / "context", *names, ignore=ignore)
    assert names - files_in(root) == ignored


@pytest.mark.parametrize(
    ("ignore", "line"),
    [
        ("[", 1),
        ("a\n\n# b\n[]a]\n", 4),
        ("a[b-\n", 1),
        ("[-a]", 1),
        ("[b-a]", 1),
        ("a\\", 1),
        ("a*\\", 1),
        ("**/[", 1),
        ("a\n!\n", 2),
        ("!  ", 1),
        ("a\\q*", 1),
        ("[[:alpha:]]", 1),
        ("[\\b]", 1),
        (b"[\xff]", 1),
    ],
)
def test_invalid_pattern_names_file_and_line(
    tmp_path: Path, ignore: str | bytes, line: int
) -> None:
    root = make_tree(tmp_path, ignore=ignore)
    with pytest.raises(UsageError) as caught:
        open_context(root, None)
    assert f".dockerignore', line {line}: " in caught.value.message


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (b"caf?", b"caf\xc3\xa9", b"cafe\xcc\x81"),
        (b"caf\xe9", b"caf\xe9", b"caf\xe8"),
        (b"caf\xe9*", b"caf\xe9s", b"cafes"),
        (b"a?b", b"a\nb", b"ab"),
        (b"a\\s*b", b"a b", b"a\vb"),
        (b"a[\\S]*b", b"a\vb", b"a b"),
    ],
)
def test_names_are_matched_as_utf8_and_other_bytes_do_not_crash(
    tmp_path: Path, pattern: bytes, matching: bytes, other: bytes
) -> None:
    root = make_tree(tmp_path, ignore=pattern)
    for name in (matching, other):
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).touch()
    assert {os.fsencode(name) for name in files_in(root)} == {other}


PATHS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4).map("/".join)
PATTERNS = st.lists(st.sampled_from(["a", "b", "ab", "*", "?"]), min_size=1, max_size=3)
RULES = st.lists(st.tuples(st.booleans(), PATTERNS), max_size=6)


def sent_naively(rules: list[tuple[bool, list[str]]], name: str) -> bool:
    """The definition, without regular expressions, for one path from the top down."""
    took_effect: set[int] = set()
    ignored = False
    parts = name.split("/")
    for level in range(1, len(parts) + 1):
        ignored = False
        for index, (exception, pattern) in enumerate(rules):
            matches = len(pattern) == level and all(
                wanted in ("*", part) or (wanted == "?" and len(part) == 1)
                for wanted, part in zip(pattern, parts[:level], strict=True)
            )
            if matches and exception == ignored:
                took_effect.add(index)
            if index in took_effect:
                ignored = not exception
    return not ignored


@settings(max_examples=examples(150))
@given(st.sets(PATHS, min_size=1, max_size=8), RULES)
def test_patterns_are_taken_in_order(paths: set[str], rules: list[tuple[bool, list[str]]]) -> None:
    names = {p for p in paths if not any(q.startswith(f"{p}/") for q in paths)}
    lines = [("!" if exception else "") + "/".join(pattern) for exception, pattern in rules]
    with tempfile.TemporaryDirectory() as directory:
        root = make_tree(Path(directory) / "context", *names, ignore="\n".join(lines))
        assert files_in(root) == {name for name in names if sent_naively(rules, name)}


@given(st.text(st.sampled_from("ab/*?[]^!-\\.# \n\u00e9"), max_size=12))
def test_any_ignore_file_is_read_or_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = make_tree(Path(directory), "a/b", ignore=text)
        try:
            sent, refused = files_in(root), ""
        except UsageError as error:
            sent, refused = set(), error.message
    assert sent <= {"a/b"}
    assert not refused or "is not a valid pattern" in refused


TOKENS = st.lists(
    st.sampled_from(["a", "b", "ab", ".", "/", "*", "?", "**/", "[ab]", "[^a]", "[a-c/]", r"\*"]),
    min_size=1,
    max_size=7,
)
SHORT_NAMES = st.text(st.sampled_from("abc./*"), min_size=1, max_size=7)


def matches_naively(tokens: list[str], name: str) -> bool:
    """The definition, by trying everything."""
    if not tokens:
        return not name
    token, rest = tokens[0], tokens[1:]
    ends = range(len(name) + 1)
    if token == "*":
        return any("/" not in name[:end] and matches_naively(rest, name[end:]) for end in ends)
    if token == "**/":
        below = (end for end in ends if end == 0 or name[end - 1] == "/")
        return any(matches_naively(rest, name[end:]) for end in below)
    of_one = {"?": "abc.*", "[ab]": "ab", "[^a]": "bc./*", "[a-c/]": "abc/", r"\*": "*"}
    if token in of_one:
        return name[:1] != "" and name[0] in of_one[token] and matches_naively(rest, name[1:])
    return name.startswith(token) and matches_naively(rest, name.removeprefix(token))


@settings(max_examples=examples(300))
@given(TOKENS, SHORT_NAMES)
def test_a_pattern_matches_what_its_definition_says(tokens: list[str], name: str) -> None:
    pattern = "".join(tokens)
    # Cleaning would make it another one; "**" and no slash behind it is another thing.
    assume(posixpath.normpath(pattern) == pattern != "." and not pattern.startswith("/"))
    assume(not any(pair in (("*", "*"), ("*", "**/")) for pair in itertools.pairwise(tokens)))
    (rule,) = parse_rules(pattern.encode(), "file")
    assert rule.matches(name) == matches_naively(tokens, name)


@contextmanager
def cpu_seconds(limit: float) -> Iterator[None]:
    """Fail what takes more time of the processor, instead of waiting for it."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


UNLUCKY = ["*a", "**/*", "*[ab]", "?*", r"*\w", "**/a*", "**/**/*a", "[^b]*"]


@pytest.mark.parametrize("part", UNLUCKY)
def test_no_pattern_is_slow(part: str) -> None:
    """With backtracking each of these takes longer than anybody can wait."""
    (rule,) = parse_rules((part * 60 + "*b").encode(), "file")
    with cpu_seconds(2):
        assert not rule.matches("a" * 4000)
        assert not rule.matches("a/" * 2000 + "a")


@pytest.mark.parametrize("part", UNLUCKY)
@pytest.mark.parametrize(("repetitions", "length"), [(10, 200), (40, 200), (40, 3200)])
def test_a_match_takes_as_many_steps_as_the_pattern_is_long(
    part: str, repetitions: int, length: int
) -> None:
    pattern = part * repetitions + "*b"
    (rule,) = parse_rules(pattern.encode(), "file")
    steps = 0

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal steps
        steps += event == "call"

    sys.setprofile(count)
    try:
        with cpu_seconds(2):
            rule.matches("a" * length)
    finally:
        sys.setprofile(None)
    assert steps <= 3 * len(pattern) + 10


def test_an_ignore_file_of_strange_lines_is_read_in_a_time_that_grows_with_it() -> None:
    with cpu_seconds(2):
        for part in ("[", "[:", "[a-", "[^", "*[", "[[:", "[a]["):
            with pytest.raises(UsageError, match="is not a valid pattern"):
                parse_rules(f"*a*{part * 5_000}".encode(), "file")
