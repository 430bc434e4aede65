"""Results as tables: whole, aligned, and never more than text."""

import io
import re
import sys
import unicodedata
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.terminal_theme import (
    DEFAULT_TERMINAL_THEME,
    DIMMED_MONOKAI,
    NIGHT_OWLISH,
    SVG_EXPORT_THEME,
)

from releasetag.errors import BuildError, ConflictError, PushError
from releasetag.findings import Finding
from releasetag.fix import Fixes
from releasetag.promote import PromotionPlan
from releasetag.publish import Provenance
from releasetag.reference import parse_reference, parse_repository
from releasetag.report.console import PlainConsole, Tables, is_live, open_console, print_line
from releasetag.report.messages import Messages
from releasetag.report.record import PromoteResult, PublishResult, Record
from releasetag.tagging import TagResult
from releasetag.verify import VerifiedRepository, VerifiedTag
from tests.support.records import (
    BUILD,
    DIGEST,
    HOSTILE,
    MANIFEST,
    log,
    plan,
    promotion,
    result,
    terminal,
)
from tests.support.run import ROOT

LONG = "a reason that goes on and on " * 6
OTHER = f"sha256:{'3' * 64}"


def assert_harmless(printed: str) -> None:
    """Nothing in it moves a cursor, hides or reverses text, or is a command of GitHub's."""
    for c in printed:
        assert c == "\n" or unicodedata.category(c) not in {"Cc", "Cf", "Zl", "Zp"}, repr(c)
    assert "##[" not in printed
    assert not re.search(r"^\s*::", printed, re.MULTILINE), printed


def kept(reason: str, repository: str = "acme/app") -> PublishResult:
    """A publish with a row that has a reason."""
    return result(BUILD, "kept", reason=reason, images=(repository,), tags=("{version}", "latest"))


def test_a_plan() -> None:
    assert Tables(log()).format_plan(plan(images=("acme/app", "ghcr.io/acme/app"))) == (
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
    first = plan("v1.0.0", history=("v1.0.0",), images=(), source="local")
    shown = Tables(log()).format_plan(first)
    assert shown.splitlines()[0].endswith("1 release known (local)")
    assert " to " not in shown


def test_a_publish() -> None:
    shown = result(BUILD, "pushed", "failed", error="denied", failure=PushError("m", "h"))
    assert Tables(log()).format_publish(shown) == (
        f"v1.9.1 published as {DIGEST}\n"
        "  pushed  acme/app:1.9.1\n"
        "  failed  acme/app:1.9  denied\n"
        "  keep    latest        stays at 2.0.1, which is higher\n"
    )


def test_a_publish_that_failed_lists_what_was_not_done() -> None:
    made = Provenance("buildkit", reused=False, seconds=1.0, image_id=DIGEST)
    shown = result(made, "pushed", failure=PushError("m", "h"))
    assert Tables(log()).format_publish(shown).splitlines()[:3] == [
        f"v1.9.1 built as {DIGEST}",
        "  pushed    acme/app:1.9.1",
        "  not done  acme/app:1.9",
    ]


def test_a_publish_that_failed_before_its_plan_has_no_table() -> None:
    assert Tables(log()).format_publish(Record().result(1.0, PushError("m", "h"))) == ""


def test_a_publish_that_pushes_nothing_lists_what_it_tagged() -> None:
    made = Provenance("buildkit", reused=False, seconds=1.0, image_id=DIGEST)
    assert Tables(log()).format_publish(result(made, push=False)).splitlines()[:3] == [
        f"v1.9.1 built as {DIGEST}",
        "  tagged  acme/app:1.9.1",
        "  tagged  acme/app:1.9",
    ]


@pytest.mark.parametrize(
    ("settings", "build", "headline"),
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
    settings: dict[str, Any], build: Provenance, headline: str
) -> None:
    shown = Tables(log()).format_publish(result(build, dry_run=True, **settings))
    assert shown == (
        f"{headline}\n"
        "  push  1.9.1   names this version\n"
        "  push  1.9     highest stable release of 1.9\n"
        "  keep  latest  stays at 2.0.1, which is higher\n"
        "  to acme/app\n"
    )


def test_verified_repositories() -> None:
    tags = (
        VerifiedTag("latest", "2.0.1", "1.9.1", "drift"),
        VerifiedTag("2.0", "2.0.1", None, "missing"),
        VerifiedTag("1.9", "1.9.1", "1.9.1", "ok"),
        VerifiedTag("1.8.0", "1.8.0", "1.8.0", "broken", "a blob is gone", DIGEST),
        VerifiedTag("1.9.0", "1.9.0", None, "unpublished"),
    )
    verified = [
        VerifiedRepository(parse_repository("acme/app"), tags),
        VerifiedRepository(parse_repository("acme/new"), ()),
    ]
    assert Tables(log()).format_verify(verified) == (
        "acme/app\n"
        "  drift        latest  names 1.9.1 and should name 2.0.1\n"
        "  missing      2.0     is missing and should name 2.0.1\n"
        "  ok           1.9     names 1.9.1\n"
        "  broken       1.8.0   a blob is gone\n"
        "  unpublished  1.9.0   the image of 1.9.0 was never pushed\n"
        "acme/new\n"
        "  no release has a floating tag\n"
    )


def test_what_was_moved_stands_above_what_the_tags_name_now() -> None:
    fixes = Fixes()
    image = parse_repository("acme/app")
    fixes.report(TagResult(image.tagged("latest"), DIGEST, "pushed", previous="1.9.1"))
    fixes.report(TagResult(image.tagged("1.9"), DIGEST, "kept", "names 2.0.0", previous="2.0.0"))
    assert Tables(log()).format_verify([VerifiedRepository(image, ())], fixes) == (
        "moved\n"
        "  pushed  acme/app:latest  was 1.9.1\n"
        "  kept    acme/app:1.9     names 2.0.0\n"
        "acme/app\n"
        "  no release has a floating tag\n"
    )


def moves() -> PromotionPlan:
    """Tags that name nothing, another version, what nobody knows, and the release already."""
    return promotion(
        ("new", "", ""),
        ("stable", "1.9.0", OTHER),
        ("edge", "", OTHER),
        ("latest", "1.9.1", MANIFEST.digest),
    )


def test_a_promotion_s_dry_run() -> None:
    assert Tables(log()).format_promote(PromoteResult((moves(),), ())) == (
        "dry run: would promote 1.9.1\n"
        "  push       acme/app:new     is missing\n"
        "  push       acme/app:stable  names 1.9.0 now\n"
        f"  push       acme/app:edge    names {OTHER} now\n"
        "  unchanged  acme/app:latest  names 1.9.1\n"
    )


def test_a_promotion_that_failed_lists_what_was_not_done() -> None:
    first, second, *_ = (each.reference for each in moves().moves)
    items = (
        TagResult(first, DIGEST, "pushed"),
        TagResult(second, OTHER, "failed", error="denied"),
    )
    shown = PromoteResult((moves(),), items, ConflictError("m", "h"))
    assert Tables(log()).format_promote(shown) == (
        "promote 1.9.1\n"
        "  pushed    acme/app:new\n"
        "  failed    acme/app:stable  denied\n"
        "  not done  acme/app:edge\n"
        "  not done  acme/app:latest\n"
    )


@pytest.mark.parametrize("width", [50, 80, 120])
def test_a_table_on_a_terminal_folds_its_reasons_and_loses_none(width: int) -> None:
    shown = Tables(terminal(width)).format_publish(kept(LONG))
    lines = shown.splitlines()
    assert all(cell_len(line) <= width for line in lines if DIGEST not in line), lines
    assert all(line == line.rstrip() for line in lines)
    assert f"kept acme/app:1.9.1 {LONG.strip()} " in " ".join(shown.split())


def test_a_reason_stands_below_a_name_that_leaves_no_room() -> None:
    name = "registry.example.com/acme/application"
    lines = Tables(terminal(50)).format_publish(kept("names 1.9.2 " * 4, name)).splitlines()
    start = lines.index(f"  kept  {name}:1.9.1")
    assert lines[start + 1] == "          names 1.9.2 names 1.9.2 names 1.9.2"


def test_a_digest_stands_below_where_the_line_has_no_room() -> None:
    lines = Tables(terminal(80)).format_publish(result(BUILD, "pushed")).splitlines()
    assert lines[:2] == ["v1.9.1 published as", f"  {DIGEST}"]


def test_a_table_in_a_log_has_a_line_a_row_however_long() -> None:
    lines = Tables(log(50)).format_publish(kept(LONG)).splitlines()
    assert len([line for line in lines if LONG.strip() in line]) == 1


def test_no_line_ends_in_spaces() -> None:
    tables = Tables(log())
    shown = tables.format_plan(plan()) + tables.format_publish(result(BUILD, "pushed", "pushed"))
    assert not re.search(r" $", shown, re.MULTILINE)


@pytest.mark.parametrize("make", [log, terminal])
def test_text_from_elsewhere_is_shown_as_text_alone(make: type[Console]) -> None:
    tables = Tables(make())
    tag = VerifiedTag("latest", "1.0.0", HOSTILE, "drift")
    failed = TagResult(parse_reference("acme/app:new"), "", "failed", error=HOSTILE)
    shown = [
        tables.format_publish(result(BUILD, "kept", "failed", reason=HOSTILE, error=HOSTILE)),
        tables.format_verify([VerifiedRepository(parse_repository("acme/app"), (tag,))]),
        tables.format_promote(PromoteResult((moves(),), (failed,))),
    ]
    for each in shown:
        assert_harmless(each)
        # Markup is no markup, and no text is lost.
        assert "[bold]markup[/bold] :smile:" in " ".join(each.split())


@pytest.mark.parametrize(
    ("environ", "has_colours"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colours_are_left_out_where_nobody_wants_them(
    environ: dict[str, str], has_colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "COLORTERM", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"FORCE_COLOR": "1", **environ}.items():
        monkeypatch.setenv(name, value)
    console = open_console(stderr=False)
    assert isinstance(console, Console)
    shown = Tables(console).format_plan(plan())
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", shown)) is has_colours


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "is_drawn"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, True),
        ({"CI": "false"}, True),
        ({"CI": ""}, True),
        ({"CI": "true"}, False),
        ({"CI": "1", "FORCE_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_only_a_terminal_that_is_no_log_is_redrawn(
    environ: dict[str, str], is_drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CI", "COLORTERM", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", **environ}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", Screen())
    assert is_live(open_console(stderr=True)) is is_drawn


def test_no_colour_is_lost_on_a_light_or_a_dark_terminal() -> None:
    """Yellow, white and what is dim cannot be read on white, blue and black not on black."""
    sources = "".join(file.read_text() for file in (ROOT / "releasetag" / "report").glob("*.py"))
    styles = set(re.findall(r'"((?:bold )?(?:[a-z]+_)?(?:dim|' + "|".join(ANSI) + r'))"', sources))
    assert styles, "no style is found"
    assert styles <= {f"{bold}{name}" for bold in ("", "bold ") for name in READABLE}
    for theme in (DEFAULT_TERMINAL_THEME, DIMMED_MONOKAI, NIGHT_OWLISH, SVG_EXPORT_THEME):
        for name in READABLE:
            colour = theme.ansi_colors[ANSI.index(name)]
            assert contrast(tuple(colour), theme.background_color) >= 2.5, (name, theme)


ANSI = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
READABLE = ("red", "green", "magenta", "cyan")


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The contrast of two colours, as WCAG 2.1 has it."""

    def luminance(colour: tuple[int, ...]) -> float:
        parts = [c / 255 for c in colour]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("width", [80, 120])
def test_a_long_name_keeps_other_reasons_beside_theirs_and_no_digest_is_cut(width: int) -> None:
    image = f"registry.example.com/{'a-long-path/' * 4}app"
    findings = [
        Finding("engine", "ok", LONG.strip()),
        Finding(image, "ok", "has 6 tags"),
        Finding("tag", "ok", f"names {DIGEST}"),
    ]
    shown = Tables(terminal(width)).format_doctor(findings)
    lines = shown.splitlines()
    assert lines[0].startswith("  ok  engine  a reason that goes on")
    (end,) = [n for n, line in enumerate(lines) if line.startswith(f"  ok  {image}")]
    assert all(line.startswith(" " * 14) for line in lines[1:end])
    assert all(cell_len(line) <= width for line in lines)
    assert DIGEST in shown


def test_a_log_has_the_same_lines_as_rich_would_print(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    file = io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    plain, rich = open_console(stderr=False), log()
    assert isinstance(plain, PlainConsole)
    tags = (
        VerifiedTag("漢字", "1.0.0", HOSTILE, "drift"),
        VerifiedTag("1", "1.0.0", "1.0.0", "ok"),
    )
    for console in (plain, rich):
        tables = Tables(console)
        for text in (
            tables.format_plan(plan()),
            tables.format_publish(kept(LONG)),
            tables.format_publish(result(BUILD, "failed", error=HOSTILE)),
            tables.format_verify([VerifiedRepository(parse_repository("acme/app"), tags)]),
            tables.format_promote(PromoteResult((moves(),), ())),
        ):
            console.file.write(text)
        Messages({}, console).error(BuildError(HOSTILE, "a hint", log=("a line", HOSTILE)))
        Messages({}, console).warning(HOSTILE)
        print_line(console, ("a line", "bold"))
    assert isinstance(rich.file, io.StringIO)
    assert file.getvalue() == rich.file.getvalue()
