"""The JSON is exactly what DESIGN promises: names, types, order, and nothing that is not told."""

import json

import pytest

from releasetag.errors import ConflictError
from releasetag.policy import TagPolicy
from releasetag.promote import Promotion, PromotionPlan
from releasetag.reference import parse_reference, parse_repository
from releasetag.registry import Manifest
from releasetag.report.json import (
    dumps,
    error_object,
    plan_object,
    promote_object,
    publish_object,
    verify_object,
)
from releasetag.report.record import Record
from releasetag.tagging import TagResult
from releasetag.template import parse_template
from releasetag.verify import VerifiedRepository, VerifiedTag
from tests.support.records import BUILD, DIGEST, IMAGE_ID, REVISION, plan, record, release

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


def test_a_plan() -> None:
    told = plan_object(plan())
    assert told == PLAN
    assert list(told) == list(PLAN)
    assert json.loads(dumps(told)) == PLAN


def test_a_prerelease_lists_what_it_skips_by_its_template_if_it_has_no_name() -> None:
    told = plan_object(plan("v2.0.0-rc.1", tags=("{version}", "{channel}", "x{channel}")))
    assert told["prerelease"] is True
    stable = plan_object(plan(tags=("{version}", "{channel}")))
    assert stable["tags"][1] == {
        "name": "{channel}",
        "template": "{channel}",
        "kind": "floating",
        "action": "skip",
        "reason": "a stable release has no channel",
    }


def test_a_publish_is_its_plan_and_what_became_of_it() -> None:
    told = publish_object(record(BUILD, "pushed", "unchanged"), 15.12345)
    assert told == PLAN | {
        "image_id": IMAGE_ID,
        "digest": DIGEST,
        "build": {"builder": "buildkit", "reused": False, "seconds": 12.346},
        "published": [
            {"reference": "acme/app:1.9.1", "digest": DIGEST, "status": "pushed"},
            {"reference": "acme/app:1.9", "digest": DIGEST, "status": "unchanged"},
        ],
        "seconds": 15.123,
    }


def test_a_kept_reference_says_why_and_a_failed_one_what_went_wrong() -> None:
    told = publish_object(
        record(BUILD, "kept", "failed", reason="names 1.9.2", error="denied"), 1.0
    )
    assert told["published"] == [
        {
            "reference": "acme/app:1.9.1",
            "digest": DIGEST,
            "status": "kept",
            "reason": "names 1.9.2",
        },
        {"reference": "acme/app:1.9", "digest": None, "status": "failed", "error": "denied"},
    ]


def test_a_publish_that_came_to_nothing_has_all_names_but_those_of_the_plan() -> None:
    assert publish_object(Record(), 0.5) == {
        "schema": 1,
        "image_id": None,
        "digest": None,
        "build": None,
        "published": [],
        "seconds": 0.5,
    }


@pytest.mark.parametrize(
    ("status", "actual"),
    [("ok", "1.9.1"), ("drift", "1.9.0"), ("missing", None), ("unpublished", None)],
)
def test_a_verified_repository(status: str, actual: str | None) -> None:
    tag = VerifiedTag("1.9", "1.9.1", actual, status)  # type: ignore[arg-type] # one of its words
    told = verify_object([VerifiedRepository(parse_repository("acme/app"), (tag,))])
    assert told == {
        "schema": 1,
        "repositories": [
            {
                "repository": "acme/app",
                "tags": [{"name": "1.9", "expected": "1.9.1", "actual": actual, "status": status}],
            }
        ],
    }


def test_what_is_wrong_with_a_verified_tag_has_a_reason() -> None:
    tag = VerifiedTag("1.9.1", "1.9.1", DIGEST, "broken", "a blob is gone", DIGEST)
    told = verify_object([VerifiedRepository(parse_repository("acme/app"), (tag,))])
    assert told["repositories"][0]["tags"][0]["reason"] == "a blob is gone"


def test_a_promotion() -> None:
    reference = parse_reference("acme/app:latest")
    manifest = Manifest("application/vnd.oci.image.index.v1+json", b"{}")
    move = Promotion(reference, "", None, moves_down=False)
    policy = TagPolicy((parse_template("latest"),))
    planned = PromotionPlan(release("v1.9.1"), policy, manifest, (), (move,))
    told = promote_object(planned, [TagResult(reference, DIGEST, "pushed")])
    assert told == {
        "schema": 1,
        "version": "1.9.1",
        "references": ["acme/app:latest"],
        "published": [{"reference": "acme/app:latest", "digest": DIGEST, "status": "pushed"}],
    }
    assert promote_object(planned, [])["published"] == []


def test_an_error() -> None:
    assert error_object(ConflictError("what is wrong", "what to do")) == {
        "code": 4,
        "kind": "conflict",
        "message": "what is wrong",
        "hint": "what to do",
    }


def test_whatever_the_terminal_is_the_text_is_ascii() -> None:
    assert dumps({"message": "größer \u202e"}).isascii()
