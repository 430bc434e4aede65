"""What is kept of a publish, and what names the release at its end."""

from dataclasses import replace

import pytest

from releasetag.errors import BuildError, ConflictError, PushError, UsageError
from releasetag.publish import Provenance
from releasetag.report.record import PublishResult, Record, Row
from releasetag.tagging import TagResult
from tests.support.records import BUILD, DIGEST, plan, record, result

FAILURE = PushError("the registry is down", "run again")
NOT_PUSHED = Provenance("buildkit", reused=False, seconds=1.0, image_id=DIGEST)


def names(shown: PublishResult) -> list[str]:
    return [str(reference) for reference in shown.references]


def test_the_last_report_on_a_reference_counts_and_the_plan_gives_the_order() -> None:
    kept = record(BUILD, "failed", "pushed", error="denied")
    assert kept.plan
    first, second = kept.plan.references
    kept.published(TagResult(first, DIGEST, "pushed"))
    assert [(item.reference, item.status) for item in kept.items] == [
        (first, "pushed"),
        (second, "pushed"),
    ]


def test_before_the_plan_nothing_is_known() -> None:
    failed = Record().result(1.0, UsageError("no", "yes"))
    assert (failed.plan, failed.build, failed.items) == (None, None, ())
    assert failed.references == failed.published == ()
    assert failed.rows == []


@pytest.mark.parametrize(
    ("statuses", "settings", "failure", "expected"),
    [
        (("pushed", "unchanged"), {}, None, ["1.9.1", "1.9"]),
        (("pushed", "kept"), {}, None, ["1.9.1"]),
        (("pushed", "failed"), {}, FAILURE, ["1.9.1"]),
        (("failed",), {}, FAILURE, []),
        ((), {}, BuildError("the build failed", "see its log"), []),
        ((), {"dry_run": True}, None, ["1.9.1", "1.9"]),
        ((), {"dry_run": True}, FAILURE, []),
        ((), {"push": False}, None, ["1.9.1", "1.9"]),
        ((), {"push": False}, FAILURE, []),
    ],
)
def test_the_references_are_what_is_and_after_a_dry_run_what_would_be(
    statuses: tuple[str, ...],
    settings: dict[str, bool],
    failure: PushError | None,
    expected: list[str],
) -> None:
    shown = result(BUILD, *statuses, failure=failure, **settings)
    assert names(shown) == [f"acme/app:{tag}" for tag in expected]


def test_a_reference_that_another_run_moved_to_its_own_image_names_this_one_no_more() -> None:
    shown = result(BUILD, "pushed", "pushed", failure=ConflictError("two runs", "verify"))
    first, second = shown.items
    shown = replace(shown, items=(first, replace(second, digest=f"sha256:{'2' * 64}")))
    assert names(shown) == ["acme/app:1.9.1"]


def test_before_the_digest_is_known_everywhere_a_pushed_reference_counts() -> None:
    assert names(result(NOT_PUSHED, "pushed", failure=FAILURE)) == ["acme/app:1.9.1"]


def test_the_first_error_counts() -> None:
    second = PushError("second", "")
    assert result(failure=FAILURE).failed(second).error is FAILURE
    assert result().failed(second).error is second


KEEP = Row("keep", "latest", reason="stays at 2.0.1, which is higher", previous="2.0.1")


@pytest.mark.parametrize(
    ("shown", "rows"),
    [
        (
            result(BUILD, "pushed", "kept", reason="names 1.9.2"),
            [
                Row("pushed", "acme/app:1.9.1", DIGEST),
                Row("kept", "acme/app:1.9", DIGEST, "names 1.9.2"),
                KEEP,
            ],
        ),
        (
            result(BUILD, "failed", error="denied", failure=FAILURE),
            [Row("failed", "acme/app:1.9.1", "", "denied"), Row("not done", "acme/app:1.9"), KEEP],
        ),
        (
            result(None, push=False),
            [Row("tagged", "acme/app:1.9.1"), Row("tagged", "acme/app:1.9"), KEEP],
        ),
        (
            result(None, failure=FAILURE, push=False),
            [Row("not done", "acme/app:1.9.1"), Row("not done", "acme/app:1.9"), KEEP],
        ),
        (
            result(None, failure=FAILURE, dry_run=True),
            [Row("not done", "acme/app:1.9.1"), Row("not done", "acme/app:1.9"), KEEP],
        ),
        (
            result(None, dry_run=True),
            [
                Row("push", "1.9.1", reason="names this version"),
                Row("push", "1.9", reason="highest stable release of 1.9"),
                KEEP,
            ],
        ),
    ],
    ids=["done", "failed", "tagged", "not tagged", "failed dry run", "dry run"],
)
def test_a_row_says_what_became_of_a_reference(shown: PublishResult, rows: list[Row]) -> None:
    assert shown.rows == rows


def test_every_repository_has_a_row_of_its_own() -> None:
    shown = result(BUILD, "pushed", images=("acme/app", "acme/mirror"), failure=FAILURE)
    assert [(row.decision, row.name) for row in shown.rows] == [
        ("pushed", "acme/app:1.9.1"),
        ("not done", "acme/app:1.9"),
        ("not done", "acme/mirror:1.9.1"),
        ("not done", "acme/mirror:1.9"),
        ("keep", "latest"),
    ]


def test_a_record_takes_every_report_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    silent = Record()
    silent.planned(plan())
    silent.step("Building", prints=True)
    silent.warn("careful")
    assert capfd.readouterr() == ("", "")
