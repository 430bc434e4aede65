"""A publish while it runs: lines, groups and warnings; see test_live for what is drawn."""

import re

import pytest

from releasetag.errors import PushError
from releasetag.events import LayerPushed, PushRetried, StepLog, StepStarted
from releasetag.publish import Provenance
from releasetag.report.progress import ConsoleReport
from releasetag.tagging import TagResult
from tests.report.test_console import assert_harmless
from tests.support.records import BUILD, DIGEST, HOSTILE, Clock, commands, log, plan, terminal, text

ACTIONS = {"GITHUB_ACTIONS": "true"}
FORGED = ("::add-mask::a", "  ::error::b", "x ##[add-path]c", "::stop-commands::d", "::endgroup::")


def test_what_is_reported_is_recorded() -> None:
    report, planned = ConsoleReport(log(), {}, Clock()), plan()
    report.planned(planned)
    report.made(BUILD)
    report.published(TagResult(planned.references[0], DIGEST, "pushed"))
    assert (report.record.plan, report.record.build) == (planned, BUILD)
    assert [item.status for item in report.record.items] == ["pushed"]


def test_untrusted_text_is_printed_as_text_only() -> None:
    console = log()
    report = ConsoleReport(console, {}, Clock(), tables=False)
    planned = plan()
    report.planned(planned)
    report.step(f"Building {HOSTILE}")
    report.warn(HOSTILE)
    report.published(TagResult(planned.references[0], "", "failed", error=HOSTILE))
    assert_harmless(text(console))


@pytest.mark.parametrize(
    ("tables", "expected"), [(False, "pushed    acme/app:1.9.1\n"), (True, "")]
)
def test_references_have_lines_of_their_own_if_no_table_follows(
    tables: bool, expected: str
) -> None:
    console = log()
    report = ConsoleReport(console, {}, Clock(), tables=tables)
    planned = plan()
    report.planned(planned)
    report.published(TagResult(planned.references[0], DIGEST, "pushed"))
    report.published(TagResult(planned.references[0], DIGEST, "pushed"))
    assert text(console) == expected


def test_a_reused_image_is_reported_once() -> None:
    console = log()
    report = ConsoleReport(console, {}, Clock())
    report.made(Provenance("buildkit", reused=True, seconds=0.0, image_id=""))
    report.made(Provenance("buildkit", reused=True, seconds=0.0, image_id="", digest=DIGEST))
    assert text(console) == "Published already: nothing is built\n"


def test_a_retry_is_a_warning_and_a_layer_is_printed_if_verbose() -> None:
    console = log()
    report = ConsoleReport(console, {}, Clock(), verbose=True)
    report.pushing(PushRetried("acme/app:1", "503"))
    report.pushing(LayerPushed("acme/app:1", "a1b2", "Pushing", 1, 2))
    report.pushing(LayerPushed("acme/app:1", "a1b2", "Pushed", 0, 0))
    assert text(console) == "warning: pushing acme/app:1 again: 503\nacme/app:1: a1b2 Pushed\n"


def test_a_quiet_report_prints_warnings_only() -> None:
    console = log()
    report = ConsoleReport(console, {}, Clock(), quiet=True)
    report.step("Building")
    report.warn("careful")
    report.end()
    assert text(console) == "warning: careful\n"


@pytest.mark.parametrize("quiet", [False, True])
def test_a_build_and_a_gate_are_groups_in_which_nothing_is_a_command(quiet: bool) -> None:
    console = log()
    report = ConsoleReport(console, ACTIONS, Clock(), quiet=quiet)
    report.step("Looking")
    report.step("Building 100%", prints=True)
    report.building(StepStarted(1, "RUN ::error::name"))
    for line in FORGED:
        report.building(StepLog(1, 0.1, line))
    report.warn(f"pushing again: {FORGED[2]}")
    report.step("Running the gate sign", prints=True)
    console.print("\n".join(FORGED))  # as a gate does, which writes itself
    report.end()
    report.end()
    assert commands(text(console)) == ["group", "endgroup", "warning", "group", "endgroup"]
    assert "::group::Building 100%25\n" in text(console)
    assert "::group::Running the gate sign\n" in text(console)


def test_an_error_below_a_group_is_annotated() -> None:
    console = log()
    report = ConsoleReport(console, ACTIONS, Clock())
    report.step("Running the gate sign", prints=True)
    report.close()
    report.messages.error(PushError("m", "h"))
    assert commands(text(console)) == ["group", "endgroup", "error"]


def test_elsewhere_there_are_no_groups() -> None:
    console = log()
    report = ConsoleReport(console, {"GITHUB_ACTIONS": "false"}, Clock())
    report.step("Building", prints=True)
    report.building(StepStarted(1, "RUN make"))
    report.end()
    assert text(console) == "Building\n#1 RUN make\n"


@pytest.mark.parametrize("options", [{"quiet": True}, {"verbose": True}])
def test_quiet_and_verbose_are_never_live(options: dict[str, bool]) -> None:
    assert not ConsoleReport(terminal(), {}, Clock(), **options).shows_logs


def test_a_terminal_is_live_and_neither_a_log_nor_github_actions_is() -> None:
    assert ConsoleReport(terminal(), {}, Clock()).shows_logs
    assert not ConsoleReport(log(), {}, Clock()).shows_logs
    assert not ConsoleReport(terminal(), ACTIONS, Clock()).shows_logs


def test_a_step_on_a_terminal_ends_what_is_drawn() -> None:
    console = terminal()
    report = ConsoleReport(console, {}, Clock())
    report.building(StepStarted(1, "RUN make"))
    report.step("Pushing")
    assert re.search(r"\x1b\[\?25h.*Pushing\n$", text(console), re.DOTALL)
