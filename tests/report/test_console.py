"""What a person sees: whole, aligned, and never more than text."""

import io
import re
import sys
import unicodedata

import pytest
from rich.cells import cell_len
from rich.console import Console

from releasetag.errors import BuildError, PushError
from releasetag.publish import Provenance
from releasetag.reference import parse_repository
from releasetag.report.console import (
    PlainConsole,
    people_console,
    print_dry_run,
    print_error,
    print_plan,
    print_publish,
    print_references,
    print_rows,
    print_verified,
    print_warning,
)
from releasetag.report.progress import ConsoleReport
from releasetag.tagging import TagResult
from releasetag.verify import VerifiedRepository, VerifiedTag
from tests.support.records import BUILD, DIGEST, HOSTILE, Clock, log, plan, record, terminal, text

LONG = "a reason that goes on and on " * 6


def assert_harmless(printed: str) -> None:
    """Nothing in it moves a cursor, hides or reverses text, or is a command of GitHub's."""
    for c in printed:
        assert c == "\n" or unicodedata.category(c) not in {"Cc", "Cf", "Zl", "Zp"}, repr(c)
    assert "##[" not in printed
    assert not re.search(r"^\s*::", printed, re.MULTILINE), printed


def test_a_plan() -> None:
    console = log()
    print_plan(console, plan(images=("acme/app", "ghcr.io/acme/app")))
    assert text(console) == (
        "v1.9.1 at 74f735e: version 1.9.1, 3 releases known (remote)\n"
        "\n"
        "  push  1.9.1   names this version\n"
        "  push  1.9     highest stable release of 1.9\n"
        "  keep  latest  stays at 2.0.1, which is higher\n"
        "\n"
        "  to acme/app\n"
        "  to ghcr.io/acme/app\n"
    )


def test_a_plan_for_no_repository_yet() -> None:
    console = log()
    print_plan(console, plan("v1.0.0", history=("v1.0.0",), images=(), source="local"))
    assert text(console).splitlines()[0].endswith("1 release known (local)")
    assert " to " not in text(console)


def test_a_publish() -> None:
    console = log()
    print_publish(console, record(BUILD, "pushed", "failed", error="denied"))
    assert text(console) == (
        f"v1.9.1 published as {DIGEST}\n"
        "  pushed  acme/app:1.9.1\n"
        "  failed  acme/app:1.9  denied\n"
        "  keep    latest        stays at 2.0.1, which is higher\n"
    )


def test_a_publish_that_pushes_nothing_lists_what_it_tagged() -> None:
    console = log()
    made = Provenance("buildkit", reused=False, seconds=1.0, image_id=DIGEST)
    told = record(made, push=False)
    print_publish(console, told)
    assert text(console).splitlines()[:3] == [
        f"v1.9.1 built as {DIGEST}",
        "  tagged  acme/app:1.9.1",
        "  tagged  acme/app:1.9",
    ]
    quiet = log()
    print_references(quiet, told)
    assert text(quiet) == "acme/app:1.9.1\nacme/app:1.9\n"


@pytest.mark.parametrize(
    ("settings", "build", "said"),
    [
        ({}, Provenance("buildkit", False, 0.0, ""), "dry run: would build with buildkit"),
        (
            {},
            Provenance("buildkit", True, 0.0, "", DIGEST),
            f"dry run: would reuse the published image {DIGEST}",
        ),
        (
            {"from_image": "app:edge"},
            Provenance("image", False, 0.0, ""),
            "dry run: would publish the image app:edge",
        ),
        (
            {"from_container": "web"},
            Provenance("container", False, 0.0, ""),
            "dry run: would commit the container web",
        ),
    ],
)
def test_a_dry_run_says_what_it_would_do(
    settings: dict[str, str], build: Provenance, said: str
) -> None:
    console = log()
    told = record(build, dry_run=True, **settings)
    print_dry_run(console, told)
    assert text(console).splitlines()[0] == said
    quiet = log()
    print_references(quiet, told)
    assert text(quiet) == ""


def test_verified_repositories() -> None:
    tags = (
        VerifiedTag("latest", "2.0.1", "1.9.1", "drift"),
        VerifiedTag("2.0", "2.0.1", None, "missing"),
        VerifiedTag("1.9", "1.9.1", "1.9.1", "ok"),
        VerifiedTag("1.9.0", "1.9.0", None, "unpublished"),
    )
    verified = [
        VerifiedRepository(parse_repository("acme/app"), tags),
        VerifiedRepository(parse_repository("acme/new"), ()),
    ]
    console, quiet = log(), log()
    print_verified(console, verified, quiet=False)
    print_verified(quiet, verified, quiet=True)
    assert text(console) == (
        "acme/app\n"
        "  drift        latest  names 1.9.1 and should name 2.0.1\n"
        "  missing      2.0     is not there and should name 2.0.1\n"
        "  ok           1.9     names 1.9.1\n"
        "  unpublished  1.9.0   the image of 1.9.0 was never pushed\n"
        "acme/new\n"
        "  no release is known\n"
    )
    assert text(quiet) == (
        "acme/app\n"
        "  drift    latest  names 1.9.1 and should name 2.0.1\n"
        "  missing  2.0     is not there and should name 2.0.1\n"
    )


@pytest.mark.parametrize("width", [50, 80, 120])
def test_a_table_on_a_terminal_folds_its_reasons_and_loses_none(width: int) -> None:
    console = terminal(width)
    print_rows(console, [("kept", "acme/app:1.9", LONG), ("push", "latest", "short")])
    lines = text(console).splitlines()
    assert all(cell_len(line) <= width for line in lines), lines
    assert all(line == line.rstrip() for line in lines)
    assert " ".join(text(console).split()).startswith(f"kept acme/app:1.9 {LONG.strip()} push")
    assert lines[-1] == "  push  latest        short"


def test_a_reason_stands_below_a_name_that_leaves_no_room() -> None:
    console = terminal(50)
    print_rows(console, [("kept", "registry.example.com/acme/application:1.9", "names 1.9.2 " * 4)])
    first, second, *_ = text(console).splitlines()
    assert first == "  kept  registry.example.com/acme/application:1.9"
    assert second == "          names 1.9.2 names 1.9.2 names 1.9.2"


def test_a_table_in_a_log_has_a_line_a_row_however_long() -> None:
    console = log(50)
    print_rows(console, [("kept", "acme/app:1.9", LONG), ("push", "latest", "")])
    assert len(text(console).splitlines()) == 2


def test_no_line_ends_in_spaces() -> None:
    console = log()
    print_plan(console, plan())
    print_publish(console, record(BUILD, "pushed", "pushed"))
    assert not re.search(r" $", text(console), re.MULTILINE)


def test_an_error_is_two_lines_however_long() -> None:
    console = log(40)
    print_error(console, PushError(f"m {LONG}", f"h {LONG}"))
    first, second = text(console).splitlines()
    assert first == f"error: m {LONG}".strip()
    assert second == f"hint: h {LONG}".strip()


def test_a_failed_build_tells_the_end_of_its_log_unless_it_stands_above() -> None:
    error = BuildError("failed", "see", ("one", "two"))
    console, below = log(), log()
    print_error(console, error)
    print_error(below, error, with_log=False)
    assert text(console) == "  | one\n  | two\nerror: failed\nhint: see\n"
    assert text(below) == "error: failed\nhint: see\n"


@pytest.mark.parametrize("make", [log, terminal])
def test_what_others_say_is_shown_as_text_alone(make: type[Console]) -> None:
    console: Console = make()
    print_error(console, PushError(HOSTILE, HOSTILE))
    print_warning(console, HOSTILE)
    print_rows(console, [("failed", "acme/app:1", HOSTILE)])
    print_publish(console, record(BUILD, "kept", "failed", reason=HOSTILE, error=HOSTILE))
    tag = VerifiedTag("latest", "1.0.0", HOSTILE, "drift")
    print_verified(console, [VerifiedRepository(parse_repository("acme/app"), (tag,))], quiet=False)
    assert_harmless(text(console))
    # Markup is no markup, and nobody's words are swallowed.
    assert text(console).count("[bold]markup[/bold] :smile:") >= 5


def test_a_report_shows_what_others_say_as_text_alone() -> None:
    console = log()
    report = ConsoleReport(console, {}, Clock(), tables=False)
    told = plan()
    report.planned(told)
    report.step(f"Building {HOSTILE}")
    report.warn(HOSTILE)
    report.published(TagResult(told.references[0], "", "failed", error=HOSTILE))
    assert_harmless(text(console))


def test_references_have_lines_of_their_own_where_no_table_comes() -> None:
    for tables, expected in ((False, "pushed    acme/app:1.9.1\n"), (True, "")):
        console = log()
        report = ConsoleReport(console, {}, Clock(), tables=tables)
        told = plan()
        report.planned(told)
        report.published(TagResult(told.references[0], DIGEST, "pushed"))
        report.published(TagResult(told.references[0], DIGEST, "pushed"))
        assert text(console) == expected


def test_a_quiet_report_warns_and_says_no_more() -> None:
    console = log()
    report = ConsoleReport(console, {}, Clock(), quiet=True)
    report.step("Building")
    report.warn("careful")
    report.end()
    assert text(console) == "warning: careful\n"


@pytest.mark.parametrize(
    ("environ", "codes"),
    [
        ({"TERM": "xterm"}, r"\x1b\[[0-9;]*3[0-9][0-9;]*m"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, None),
        ({"TERM": "dumb"}, None),
    ],
)
def test_colours_are_left_out_where_nobody_wants_them(
    environ: dict[str, str], codes: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "COLORTERM", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"FORCE_COLOR": "1", **environ}.items():
        monkeypatch.setenv(name, value)
    console = people_console(stderr=False)
    assert isinstance(console, Console)
    with console.capture() as captured:
        print_rows(console, [("push", "latest", "why")])
    found = re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", captured.get())
    assert bool(found) is (codes is not None)


def test_a_log_has_the_same_lines_as_rich_would_print(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    file = io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    plain, rich = people_console(stderr=False), log()
    assert isinstance(plain, PlainConsole)
    for console in (plain, rich):
        print_plan(console, plan())
        print_publish(console, record(BUILD, "pushed", "failed", error="denied " * 40))
        print_rows(console, [("push", "漢字", HOSTILE), ("keep", "latest", LONG)])
        print_error(console, BuildError(HOSTILE, "a hint", log=("a line", HOSTILE)))
        print_warning(console, HOSTILE)
    assert file.getvalue() == text(rich)
