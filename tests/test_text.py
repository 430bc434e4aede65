"""What a build prints is shown without what could steer a terminal."""

import pytest

from releasetag.text import LONGEST, Lines, clean


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain \xc3\xa9\tx", "plain é\tx"),
        (b"\x1b[91merror\x1b[0m", "error"),
        (b"\x1b[38;5;196mred\x1b[m", "red"),
        (b"\x1b]0;title\x07text", "text"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred".encode(), "red"),
        (b"\x1bP1$rq\x1b\\a", "a"),
        (b"\x1b(Bx\x1b=y\x1bcz", "xyz"),
        (b"10%\r50%\r100%", "100%"),
        (b"10%\r100%\r", "100%"),
        (b"line\r\n", "line"),
        (b"a\x00b\x08c\x7f", "abc"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("user\u202etxt.exe".encode(), "usertxt.exe"),
        (b"\x1b", ""),
        (b"\x1b[", ""),
        (b"", ""),
    ],
)
def test_a_line_is_cleaned(raw: bytes, text: str) -> None:
    assert clean(raw) == text


def test_lines_come_whole_however_they_were_cut() -> None:
    whole = "eins\nzw€i\r\n\ndrei".encode()
    for size in range(1, len(whole)):
        lines = Lines()
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        found = [line for piece in pieces for line in lines.feed(piece)]
        assert [*found, *lines.end()] == ["eins", "zw€i", "", "drei"]
        assert lines.end() == []


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    lines = Lines()
    for _ in range(100):
        assert lines.feed(b"x" * LONGEST) == []
    assert len(lines.end()[0]) == LONGEST
