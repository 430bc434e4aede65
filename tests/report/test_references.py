"""What --quiet prints: references, and of a comparison only what is wrong."""

from releasetag.publish import Provenance
from releasetag.reference import parse_repository
from releasetag.report import references
from releasetag.verify import VerifiedRepository, VerifiedTag
from tests.support.records import BUILD, plan, result


def test_a_plan_is_its_references_or_without_a_repository_its_tags() -> None:
    assert references.format_plan(plan()) == "acme/app:1.9.1\nacme/app:1.9\n"
    assert references.format_plan(plan(images=())) == "1.9.1\n1.9\n"


def test_a_publish_is_what_names_the_release() -> None:
    assert references.format_publish(result(BUILD, "pushed", "kept")) == "acme/app:1.9.1\n"


def test_a_publish_that_pushes_nothing_is_what_it_tagged() -> None:
    made = Provenance("buildkit", reused=False, seconds=1.0, image_id="sha256:1")
    shown = references.format_publish(result(made, push=False))
    assert shown == "acme/app:1.9.1\nacme/app:1.9\n"


def test_a_dry_run_is_nothing() -> None:
    assert references.format_publish(result(BUILD, dry_run=True)) == ""


def test_of_a_comparison_only_what_is_wrong_is_left() -> None:
    tags = (
        VerifiedTag("latest", "2.0.1", "1.9.1", "drift"),
        VerifiedTag("2.0", "2.0.1", None, "missing"),
        VerifiedTag("1.9", "1.9.1", "1.9.1", "ok"),
        VerifiedTag("1.9.0", "1.9.0", None, "unpublished"),
    )
    verified = [
        VerifiedRepository(parse_repository("acme/app"), tags),
        VerifiedRepository(parse_repository("acme/good"), tags[2:]),
        VerifiedRepository(parse_repository("acme/new"), ()),
    ]
    assert references.format_verify(verified) == (
        "acme/app\n"
        "  drift    latest  names 1.9.1 and should name 2.0.1\n"
        "  missing  2.0     is missing and should name 2.0.1\n"
    )
