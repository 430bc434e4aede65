"""The JSON is exactly what DESIGN promises: names, types, order, and nothing that is not known."""

import json
from dataclasses import replace
from typing import Any

import pytest

from releasetag.errors import ConflictError, PushError
from releasetag.fix import Fixes, Unfixed
from releasetag.publish import Provenance
from releasetag.reference import parse_repository
from releasetag.report.json import (
    format_object,
    format_plan,
    format_promote,
    format_publish,
    format_verify,
)
from releasetag.report.record import PromoteResult, Record
from releasetag.tagging import TagResult
from releasetag.verify import VerifiedRepository, VerifiedTag
from tests.support.records import BUILD, DIGEST, IMAGE_ID, REVISION, plan, promotion, record, result

PLAN = {
    "schema": 1,
    "git_tag": "v1.9.1",
    "version": "1.9.1",
    "revision": REVISION,
    "prerelease": False,
    "history": {"source": "remote", "releases": 3},
    "tags": [
        {
            "name": "1.9.1",
            "template": "{version}",
            "kind": "exact",
            "action": "push",
            "reason": "names this version",
        },
        {
            "name": "1.9",
            "template": "{major}.{minor}",
            "kind": "floating",
            "action": "push",
            "reason": "highest stable release of 1.9",
        },
        {
            "name": "latest",
            "template": "latest",
            "kind": "floating",
            "action": "keep",
            "reason": "stays at 2.0.1, which is higher",
            "held_by": "2.0.1",
        },
    ],
    "images": ["acme/app"],
    "references": ["acme/app:1.9.1", "acme/app:1.9"],
}


ERROR = {
    "code": 4,
    "kind": "conflict",
    "message": "what is wrong",
    "hint": "what to do",
}
FAILURE = ConflictError("what is wrong", "what to do")


def read(text: str) -> Any:
    """One JSON object, with keys in their order."""
    assert text.endswith("}\n")
    return json.loads(text)


def test_a_plan() -> None:
    shown = read(format_plan(plan()))
    assert shown == PLAN
    assert list(shown) == list(PLAN)


def test_a_prerelease_lists_what_it_skips_by_its_template_if_it_has_no_name() -> None:
    shown = read(format_plan(plan("v2.0.0-rc.1", tags=("{version}", "{channel}", "x{channel}"))))
    assert shown["prerelease"] is True
    stable = read(format_plan(plan(tags=("{version}", "{channel}"))))
    assert stable["tags"][1] == {
        "name": "{channel}",
        "template": "{channel}",
        "kind": "floating",
        "action": "skip",
        "reason": "a stable release has no channel",
    }


def test_a_publish_is_its_plan_and_what_became_of_it() -> None:
    shown = read(format_publish(result(BUILD, "pushed", "unchanged")))
    expected = PLAN | {
        "image_id": IMAGE_ID,
        "digest": DIGEST,
        "build": {"builder": "buildkit", "reused": False, "seconds": 12.346},
        "published": [
            {"reference": "acme/app:1.9.1", "digest": DIGEST, "status": "pushed"},
            {"reference": "acme/app:1.9", "digest": DIGEST, "status": "unchanged"},
        ],
        "seconds": 15.123,
    }
    assert shown == expected
    assert list(shown) == list(expected)


def test_a_reference_that_was_kept_or_failed_says_why() -> None:
    made = Provenance("buildkit", reused=True, seconds=0.0, image_id="")
    shown = read(
        format_publish(result(made, "kept", "failed", reason="names 1.9.2", error="denied"))
    )
    assert shown["image_id"] is shown["digest"] is None
    assert shown["build"] == {"builder": "buildkit", "reused": True, "seconds": 0.0}
    assert shown["published"] == [
        {
            "reference": "acme/app:1.9.1",
            "digest": DIGEST,
            "status": "kept",
            "reason": "names 1.9.2",
        },
        {"reference": "acme/app:1.9", "digest": None, "status": "failed", "error": "denied"},
    ]


def test_a_reference_that_was_moved_says_what_it_named_before() -> None:
    reported = record(BUILD, "pushed")
    (item,) = reported.items
    reported.published(replace(item, previous="1.9.0"))

    (shown,) = read(format_publish(reported.result(1.0)))["published"]
    assert shown["previous"] == "1.9.0"


@pytest.mark.parametrize(
    ("made", "statuses", "settings", "references"),
    [
        (BUILD, ("pushed", "failed"), {}, ["acme/app:1.9.1"]),
        (None, (), {}, []),
        (BUILD, (), {"dry_run": True}, []),
    ],
    ids=["push", "build", "dry run"],
)
def test_a_failed_publish_has_the_references_that_are(
    made: Provenance | None,
    statuses: tuple[str, ...],
    settings: dict[str, bool],
    references: list[str],
) -> None:
    shown = read(format_publish(result(made, *statuses, failure=FAILURE, **settings)))
    assert shown["references"] == references
    assert shown["tags"] == PLAN["tags"]
    assert shown["error"] == ERROR
    assert list(shown)[-1] == "error"


def test_a_dry_run_has_the_references_of_its_plan() -> None:
    shown = read(format_publish(result(BUILD, dry_run=True)))
    assert shown["references"] == PLAN["references"]


def test_a_publish_without_a_plan_has_all_keys_but_those_of_the_plan() -> None:
    assert read(format_publish(Record().result(0.5, FAILURE))) == {
        "schema": 1,
        "image_id": None,
        "digest": None,
        "build": None,
        "published": [],
        "seconds": 0.5,
        "error": ERROR,
    }


@pytest.mark.parametrize(
    ("status", "actual"),
    [("ok", "1.9.1"), ("drift", "1.9.0"), ("missing", None), ("unpublished", None)],
)
def test_a_verified_repository(status: str, actual: str | None) -> None:
    tag = VerifiedTag("1.9", "1.9.1", actual, status)  # type: ignore[arg-type] # one of its words
    repository = VerifiedRepository(parse_repository("acme/app"), (tag,))
    assert read(format_verify([repository])) == {
        "schema": 1,
        "repositories": [
            {
                "repository": "acme/app",
                "tags": [{"name": "1.9", "expected": "1.9.1", "actual": actual, "status": status}],
                "lacks_newest": False,
            }
        ],
    }


def test_what_was_moved_to_where_it_should_be_and_what_was_not() -> None:
    reference = parse_repository("acme/app").tagged("latest")
    fixes = Fixes()
    assert read(format_verify([], fixes)) == {
        "schema": 1,
        "repositories": [],
        "moved": [],
        "unfixed": [],
    }
    fixes.report(TagResult(reference, DIGEST, "pushed", previous="1.9.0"))
    fixes.unfixed.append(Unfixed(promotion().release, ("1.9",), FAILURE))
    assert read(format_verify([], fixes, FAILURE)) == {
        "schema": 1,
        "repositories": [],
        "moved": [
            {
                "reference": "acme/app:latest",
                "digest": DIGEST,
                "status": "pushed",
                "previous": "1.9.0",
            }
        ],
        "unfixed": [
            {
                "version": "1.9.1",
                "tags": ["1.9"],
                "message": FAILURE.message,
                "hint": FAILURE.hint,
            }
        ],
        "error": ERROR,
    }


def test_what_is_wrong_with_a_verified_tag_has_a_reason() -> None:
    tag = VerifiedTag("1.9.1", "1.9.1", DIGEST, "broken", "a blob is gone", DIGEST)
    shown = read(format_verify([VerifiedRepository(parse_repository("acme/app"), (tag,))]))
    assert shown["repositories"][0]["tags"][0]["reason"] == "a blob is gone"


def test_a_promotion() -> None:
    planned = promotion(("stable", "", ""), ("latest", "", ""))
    done = (TagResult(planned.moves[0].reference, DIGEST, "pushed"),)
    pushed = {"reference": "acme/app:stable", "digest": DIGEST, "status": "pushed"}
    dry_run = {
        "schema": 1,
        "version": "1.9.1",
        "references": ["acme/app:stable", "acme/app:latest"],
        "published": [],
    }
    assert read(format_promote(PromoteResult((planned,), ()))) == dry_run
    failed = PromoteResult((planned,), done, FAILURE)
    assert read(format_promote(failed)) == dry_run | {
        "references": ["acme/app:stable"],
        "published": [pushed],
        "error": ERROR,
    }


def test_an_error_of_any_command() -> None:
    assert read(format_object({}, FAILURE)) == {"schema": 1, "error": ERROR}


def test_whatever_the_terminal_is_the_text_is_ascii() -> None:
    assert format_object({"name": "größer"}, PushError("größer \u202e", "")).isascii()
