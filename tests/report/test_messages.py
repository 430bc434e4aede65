"""Errors and warnings: two lines for people, one annotation on GitHub Actions."""

import re

import pytest

from releasetag.errors import BuildError, ConflictError, PushError
from releasetag.report.messages import Messages
from tests.support.records import HOSTILE, commands, log, text

LONG = "a reason that goes on and on " * 6
ACTIONS = {"GITHUB_ACTIONS": "true"}


def test_an_error_is_two_lines_however_long() -> None:
    console = log(40)
    Messages({}, console).error(PushError(f"m {LONG}", f"h {LONG}"))
    first, second = text(console).splitlines()
    assert first == f"error: m {LONG}".strip()
    assert second == f"hint: h {LONG}".strip()


def test_a_failed_build_has_the_end_of_its_log_unless_that_stands_above() -> None:
    error = BuildError("failed", "see", ("one", "  two ##[error]"))
    console, below = log(), log()
    Messages({}, console).error(error)
    Messages({}, below).error(error, with_log=False)
    assert text(console) == "  | one\n  |   two ## [error]\nerror: failed\nhint: see\n"
    assert text(below) == "error: failed\nhint: see\n"


def test_elsewhere_nothing_is_annotated() -> None:
    console = log()
    messages = Messages({"GITHUB_ACTIONS": "false"}, console)
    messages.error(PushError("m", "h"))
    messages.warning("w")
    messages.notice("n")
    assert text(console) == "error: m\nhint: h\nwarning: w\n"


def test_on_github_actions_every_level_is_annotated_once() -> None:
    console = log()
    messages = Messages(ACTIONS, console)
    messages.warning("careful: 100%, really")
    messages.warning("careful: 100%, really")
    messages.notice("acme/app:1.9 is kept")
    messages.error(ConflictError("what is wrong", "what to do"))
    assert text(console) == (
        "warning: careful: 100%, really\n"
        "::warning title=releasetag::careful: 100%25, really\n"
        "warning: careful: 100%, really\n"
        "::notice title=releasetag::acme/app:1.9 is kept\n"
        "error: what is wrong\n"
        "hint: what to do\n"
        "::error title=releasetag%3A conflict::what is wrong%0Awhat to do\n"
    )


def test_nothing_from_elsewhere_is_a_command_of_its_own() -> None:
    console = log()
    messages = Messages(ACTIONS, console)
    messages.warning(HOSTILE)
    messages.notice(HOSTILE)
    messages.error(PushError(HOSTILE, HOSTILE))
    assert commands(text(console)) == ["warning", "notice", "error"]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text(console).replace("\n", ""))


def test_annotations_wait_while_the_log_takes_no_commands() -> None:
    console = log()
    messages = Messages(ACTIONS, console)
    messages.hold()
    messages.warning("first")
    messages.hold()
    messages.warning("second")
    assert text(console) == "warning: first\nwarning: second\n"
    messages.release()
    messages.release()
    assert text(console).splitlines()[2:] == [
        "::warning title=releasetag::first",
        "::warning title=releasetag::second",
    ]


def test_without_a_console_messages_go_to_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Messages({}).warning("careful")
    assert capsys.readouterr() == ("", "warning: careful\n")
