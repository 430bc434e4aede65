"""What GitHub Actions reads: what is, and text from elsewhere forges no output and no table."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from releasetag.errors import BuildError, NoReleaseError, PushError, UsageError
from releasetag.publish import Provenance
from releasetag.report.github import format_outputs, format_summary, write_outputs
from releasetag.report.json import format_publish
from releasetag.report.record import PublishResult, Record
from tests.support.github import parse_outputs
from tests.support.records import BUILD, DIGEST, HOSTILE, IMAGE_ID, record, result

MARKDOWN = "| <script>alert(1)</script> [x](http://evil) `code` **bold** @user #1 ![](y)"


def test_the_outputs() -> None:
    shown = result(BUILD, "pushed", "unchanged")
    assert parse_outputs(format_outputs(shown)) == {
        "version": "1.9.1",
        "major": "1",
        "minor": "9",
        "patch": "1",
        "prerelease": "false",
        "digest": DIGEST,
        "image-id": IMAGE_ID,
        "complete": "true",
        "tags": "acme/app:1.9.1\nacme/app:1.9",
        "tag-names": "1.9.1\n1.9",
        "json": format_publish(shown).rstrip(),
    }


@pytest.mark.parametrize(
    ("shown", "tags"),
    [
        (result(BUILD, "pushed", "kept", reason="names 1.9.2"), ["1.9.1"]),
        (result(BUILD, "pushed", "failed", failure=PushError("m", "h")), ["1.9.1"]),
        (result(None, failure=BuildError("m", "h")), []),
        (result(None, failure=PushError("m", "h"), dry_run=True), []),
        (result(Provenance("buildkit", False, 0.0, ""), dry_run=True), ["1.9.1", "1.9"]),
    ],
    ids=["kept", "a failed push", "a failed build", "a failed dry run", "a dry run"],
)
def test_the_tags_are_those_that_name_the_release(shown: PublishResult, tags: list[str]) -> None:
    values = parse_outputs(format_outputs(shown))
    assert values["tags"].split() == [f"acme/app:{tag}" for tag in tags]
    assert values["tag-names"].split() == tags


def test_without_a_plan_all_outputs_but_the_json_are_empty() -> None:
    shown = Record().result(1.0, NoReleaseError("no version tag at HEAD", "tag the commit"))
    values = parse_outputs(format_outputs(shown))
    assert values.pop("json") == format_publish(shown).rstrip()
    assert set(values.values()) == {""}


def test_no_value_can_forge_another_output() -> None:
    shown = result(
        BUILD, "failed", error="x\nend\nEOF\ndigest=sha256:forged\ndigest<<EOF\nforged\n"
    )
    first, second = format_outputs(shown), format_outputs(shown)
    assert parse_outputs(first)["digest"] == DIGEST
    assert len(parse_outputs(first)) == 11
    ends = [set(re.findall(r"^[a-z-]+<<(\S+)$", text, re.MULTILINE)) for text in (first, second)]
    assert ends[0].isdisjoint(ends[1]), "a delimiter that can be known beforehand"


def test_the_summary() -> None:
    assert format_summary(result(BUILD, "pushed", "pushed")) == (
        "### `v1.9.1`\n\n"
        f"`{DIGEST}` (builder: buildkit)\n\n"
        "| tag | decision | digest | version | why |\n"
        "|---|---|---|---|---|\n"
        f"| `acme/app:1.9.1` | pushed | `{DIGEST}` | new: 1.9.1 |  |\n"
        f"| `acme/app:1.9` | pushed | `{DIGEST}` | new: 1.9.1 |  |\n"
        "| `latest` | keep |  | kept at 2.0.1 | stays at 2.0.1, which is higher |\n\n"
    )


@pytest.mark.parametrize(
    ("status", "previous", "overwrite", "shown"),
    [
        ("pushed", "1.9.0", False, "1.9.0 → 1.9.1"),
        ("pushed", f"sha256:{'ab' * 32}", False, "sha256:abababababab → 1.9.1"),
        ("pushed", "", False, "new: 1.9.1"),
        # An engine's push may have replaced another image.
        ("pushed", "", True, "1.9.1"),
        ("unchanged", "", False, "1.9.1"),
        ("kept", "2.0.0", False, "kept at 2.0.0"),
        ("kept", "", False, ""),
        ("failed", "1.9.0", False, ""),
        ("pushed", "1|<b>", False, "1\\|\\<b\\> → 1.9.1"),
    ],
)
def test_the_summary_says_from_which_version_to_which_a_tag_moved(
    status: str, previous: str, overwrite: bool, shown: str
) -> None:
    reported = record(BUILD, status, overwrite=overwrite)
    (item,) = reported.items
    reported.published(replace(item, previous=previous))

    assert f" | {shown} |  |\n" in format_summary(reported.result(1.0))


def test_the_summary_of_a_failure_begins_with_the_error_and_says_what_was_not_done() -> None:
    made = Provenance("buildkit", reused=False, seconds=1.0, image_id=IMAGE_ID)
    failure = PushError("cannot push acme/app:1.9.1: 503", "run again: <later>")
    shown = result(made, "failed", error="503", failure=failure)
    assert format_summary(shown) == (
        "**error:** cannot push acme/app:1.9.1: 503\n\n"
        "**hint:** run again: \\<later\\>\n\n"
        "### `v1.9.1`\n\n"
        "| tag | decision | digest | version | why |\n"
        "|---|---|---|---|---|\n"
        "| `acme/app:1.9.1` | failed |  |  | 503 |\n"
        "| `acme/app:1.9` | not done |  |  |  |\n"
        "| `latest` | keep |  | kept at 2.0.1 | stays at 2.0.1, which is higher |\n\n"
    )


def test_the_summary_of_a_failure_without_a_plan_is_the_error() -> None:
    shown = Record().result(1.0, NoReleaseError("no version tag at HEAD", "tag the commit"))
    assert format_summary(shown) == (
        "**error:** no version tag at HEAD\n\n**hint:** tag the commit\n\n"
    )


@pytest.mark.parametrize("text", [MARKDOWN, HOSTILE, "a\n\n# heading\n| b | c |"])
def test_no_text_from_elsewhere_is_markdown_in_the_summary(text: str) -> None:
    failure = PushError(text, text)
    shown = result(BUILD, "kept", "failed", reason=text, error=text, failure=failure)
    written = format_summary(shown)
    plain = re.sub(r"\\.", "", written)
    assert "<" not in plain
    assert "](" not in plain
    assert "**" not in plain.replace("**error:**", "").replace("**hint:**", "")
    assert "@" not in plain
    assert re.findall(r"^#+ .*", plain, re.MULTILINE) == ["### `v1.9.1`"]
    rows = [line for line in written.splitlines() if line.startswith("| `acme")]
    assert len(rows) == 2
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 6, row


def test_files_are_appended_to_where_the_environment_names_them(tmp_path: Path) -> None:
    output, page = tmp_path / "output", tmp_path / "summary"
    output.write_text("before=1\n")
    environ = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(page)}
    write_outputs(result(), environ)
    assert output.read_text().startswith("before=1\nversion<<")
    assert page.read_text().startswith("### ")
    write_outputs(result(), {})
    assert sorted(tmp_path.iterdir()) == [output, page]


def test_a_file_that_cannot_be_written_is_an_error_that_names_its_variable(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="GITHUB_STEP_SUMMARY"):
        write_outputs(result(), {"GITHUB_STEP_SUMMARY": str(tmp_path)})
