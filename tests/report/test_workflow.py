"""Workflow commands: escaped as GitHub's toolkit does, and broken where they are not ours."""

import pytest

from releasetag.report.workflow import LogGroup, annotation, without_commands
from tests.support.records import commands


def test_the_reader_of_these_tests_sees_commands() -> None:
    printed = "::add-mask::a\n  ::error::b\nx ##[add-path]c"
    assert commands(printed) == ["add-mask", "error", "add-path"]


@pytest.mark.parametrize(
    ("title", "message", "expected"),
    [
        ("a: b, c", "d: e, f", "::error title=a%3A b%2C c::d: e, f"),
        ("100%", "100%\r\n::error::x", "::error title=100%25::100%25%0D%0A::error::x"),
        ("%3A", "%0A", "::error title=%253A::%250A"),
    ],
)
def test_an_annotation_is_escaped(title: str, message: str, expected: str) -> None:
    assert annotation("error", title, message) == expected


def test_the_title_of_a_group_is_one_line() -> None:
    assert LogGroup("Building 100%\n::error::x").start[0] == "::group::Building 100%25 ::error::x"


def test_the_token_that_ends_a_group_is_another_one_each_time() -> None:
    assert len({LogGroup("same").end for _ in range(100)}) == 100


def test_commands_of_the_older_system_are_broken() -> None:
    assert commands(without_commands("failed: x ##[add-path]/tmp")) == []
