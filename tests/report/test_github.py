"""What GitHub Actions reads: nothing that others say can forge an output, a command or a table."""

import re
from pathlib import Path

import pytest

from releasetag.errors import UsageError
from releasetag.events import StepLog, StepStarted
from releasetag.publish import Provenance
from releasetag.report.github import outputs, summary, write_outputs
from releasetag.report.json import dumps, publish_object
from releasetag.report.progress import ConsoleReport
from releasetag.report.record import Record
from releasetag.report.workflow import LogGroup, without_commands
from tests.support.records import (
    BUILD,
    DIGEST,
    HOSTILE,
    IMAGE_ID,
    Clock,
    commands,
    log,
    record,
    text,
)

MARKDOWN = "| <script>alert(1)</script> [x](http://evil) `code` **bold** @user #1 ![](y)"


def parse_outputs(written: str) -> dict[str, str]:
    """Read the file as GitHub's documentation describes it."""
    values: dict[str, str] = {}
    lines = iter(written.split("\n"))
    for line in lines:
        if not line:
            continue
        name, mark, end = line.partition("<<")
        assert mark, f"not the start of a value: {line!r}"
        value = []
        for inner in lines:
            if inner == end:
                break
            value.append(inner)
        else:
            raise AssertionError(f"{name} has no end")
        values[name] = "\n".join(value)
    return values


def test_the_outputs() -> None:
    told = record(BUILD, "pushed", "unchanged")
    values = parse_outputs(outputs(told, 1.0))
    assert values == {
        "version": "1.9.1",
        "major": "1",
        "minor": "9",
        "patch": "1",
        "prerelease": "false",
        "digest": DIGEST,
        "image-id": IMAGE_ID,
        "tags": "acme/app:1.9.1\nacme/app:1.9",
        "tag-names": "1.9.1\n1.9",
        "json": dumps(publish_object(told, 1.0)),
    }


def test_a_reference_that_names_another_version_is_no_output() -> None:
    values = parse_outputs(outputs(record(BUILD, "pushed", "kept", reason="names 1.9.2"), 1.0))
    assert values["tags"] == "acme/app:1.9.1"


def test_a_dry_run_has_the_plan_s_references_for_outputs() -> None:
    values = parse_outputs(outputs(record(Provenance("buildkit", False, 0.0, "")), 1.0))
    assert values["tags"] == "acme/app:1.9.1\nacme/app:1.9"
    assert values["digest"] == values["image-id"] == ""


def test_no_value_can_forge_another_output() -> None:
    told = record(BUILD, "failed", error="x\nend\nEOF\ndigest=sha256:forged\ndigest<<EOF\nforged\n")
    first, second = outputs(told, 1.0), outputs(told, 1.0)
    assert parse_outputs(first)["digest"] == DIGEST
    assert len(parse_outputs(first)) == 10
    ends = [set(re.findall(r"^[a-z-]+<<(\S+)$", text, re.MULTILINE)) for text in (first, second)]
    assert ends[0].isdisjoint(ends[1]), "a delimiter that can be known beforehand"


def test_the_summary() -> None:
    assert summary(record(BUILD, "pushed", "pushed")) == (
        "### `v1.9.1`\n\n"
        f"`{DIGEST}` (made by buildkit)\n\n"
        "| tag | decision | digest | why |\n"
        "|---|---|---|---|\n"
        f"| `acme/app:1.9.1` | pushed | `{DIGEST}` |  |\n"
        f"| `acme/app:1.9` | pushed | `{DIGEST}` |  |\n"
        "| `latest` | keep |  | stays at 2\\.0\\.1, which is higher |\n\n"
    ).replace("\\.", ".")


@pytest.mark.parametrize("said", [MARKDOWN, HOSTILE, "a\n\n# heading\n| b | c |"])
def test_nothing_that_others_say_is_markdown_in_the_summary(said: str) -> None:
    written = summary(record(BUILD, "kept", "failed", reason=said, error=said))
    plain = re.sub(r"\\.", "", written)
    assert "<" not in plain
    assert "](" not in plain
    assert "**" not in plain
    assert "@" not in plain
    rows = [line for line in written.splitlines() if line.startswith("| `acme")]
    assert len(rows) == 2
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 5, row


def test_files_are_added_to_and_only_where_they_are_asked_for(tmp_path: Path) -> None:
    output, page = tmp_path / "output", tmp_path / "summary"
    output.write_text("before=1\n")
    environ = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(page)}
    write_outputs(record(), 1.0, environ)
    assert output.read_text().startswith("before=1\nversion<<")
    assert page.read_text().startswith("### ")
    write_outputs(record(), 1.0, {})
    write_outputs(Record(), 1.0, {"GITHUB_OUTPUT": str(tmp_path / "nothing")})
    assert not (tmp_path / "nothing").exists()


def test_a_file_that_cannot_be_written_is_an_error_that_names_its_variable(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="GITHUB_STEP_SUMMARY"):
        write_outputs(record(), 1.0, {"GITHUB_STEP_SUMMARY": str(tmp_path)})


# The log ------------------------------------------------------------------------------------------


FORGED = ("::add-mask::a", "  ::error::b", "x ##[add-path]c", "::stop-commands::d", "::endgroup::")


def test_the_reader_of_these_tests_sees_commands() -> None:
    assert commands("\n".join(FORGED[:3])) == ["add-mask", "error", "add-path"]


@pytest.mark.parametrize("quiet", [False, True])
def test_a_build_and_a_gate_stand_in_groups_in_which_nothing_is_a_command(quiet: bool) -> None:
    console = log()
    report = ConsoleReport(console, {"GITHUB_ACTIONS": "true"}, Clock(), quiet=quiet)
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
    assert commands(text(console)) == ["group", "endgroup", "group", "endgroup"]
    assert "::group::Building 100%25\n" in text(console)
    assert "::group::Running the gate sign\n" in text(console)


def test_elsewhere_there_are_no_groups() -> None:
    console = log()
    report = ConsoleReport(console, {"GITHUB_ACTIONS": "false"}, Clock())
    report.step("Building", prints=True)
    report.building(StepStarted(1, "RUN make"))
    report.end()
    assert text(console) == "Building\n#1 RUN make\n"


def test_the_token_that_ends_a_group_is_another_one_each_time() -> None:
    assert len({LogGroup("same").end for _ in range(100)}) == 100


def test_outside_of_groups_the_commands_of_the_older_system_are_broken() -> None:
    assert commands(without_commands("failed: x ##[add-path]/tmp")) == []
