"""The JSON that programs read: schema 1. Nothing in it is taken away or changes its meaning."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from releasetag.errors import ReleasetagError

# Types alone: a plan pays for no registry's client.
if TYPE_CHECKING:
    from releasetag.fanout import PlannedTag
    from releasetag.plan import Plan
    from releasetag.promote import PromotionPlan
    from releasetag.report.record import Record
    from releasetag.tagging import TagResult
    from releasetag.verify import VerifiedRepository, VerifiedTag

SCHEMA = 1


def plan_object(plan: "Plan") -> dict[str, Any]:
    """A plan, as `plan --json` prints it."""
    release = plan.release
    return {
        "schema": SCHEMA,
        "git_tag": release.git_tag,
        "version": str(release.version),
        "revision": release.revision,
        "prerelease": bool(release.version.prerelease),
        "history": {"source": plan.git_tags.source, "releases": len(plan.history)},
        "tags": [_tag(tag) for tag in plan.tags],
        "images": [str(repository) for repository in plan.repositories],
        "references": [str(reference) for reference in plan.references],
    }


def publish_object(record: "Record", seconds: float) -> dict[str, Any]:
    """A publish as far as it came, as `publish --json` prints it."""
    build = record.build
    return {
        **(plan_object(record.plan) if record.plan else {"schema": SCHEMA}),
        "image_id": (build.image_id or None) if build else None,
        "digest": (build.digest or None) if build else None,
        "build": {
            "builder": build.builder,
            "reused": build.reused,
            "seconds": round(build.seconds, 3),
        }
        if build
        else None,
        "published": [_published(item) for item in record.items],
        "seconds": round(seconds, 3),
    }


def verify_object(verified: "Iterable[VerifiedRepository]") -> dict[str, Any]:
    """What the registries serve against the history, as `verify --json` prints it."""
    return {
        "schema": SCHEMA,
        "repositories": [
            {"repository": str(each.repository), "tags": [_verified(tag) for tag in each.tags]}
            for each in verified
        ],
    }


def promote_object(plan: "PromotionPlan", results: "Iterable[TagResult]") -> dict[str, Any]:
    """A promotion, as `promote --json` prints it; nothing is published in a dry run."""
    return {
        "schema": SCHEMA,
        "version": str(plan.release.version),
        "references": [str(each.reference) for each in plan.moves],
        "published": [_published(item) for item in results],
    }


def error_object(error: ReleasetagError) -> dict[str, Any]:
    """An error, as it stands in any command's JSON."""
    return {
        "code": error.exit_code,
        "kind": error.kind,
        "message": error.message,
        "hint": error.hint,
    }


def dumps(value: dict[str, Any]) -> str:
    """The text of an object, in ASCII, whatever the terminal's encoding."""
    return json.dumps(value, indent=2)


def _verified(tag: "VerifiedTag") -> dict[str, str | None]:
    shown: dict[str, str | None] = {
        "name": tag.name,
        "expected": tag.expected,
        "actual": tag.actual,
        "status": tag.status,
    }
    return {**shown, "reason": tag.reason} if tag.reason else shown


def _tag(tag: "PlannedTag") -> dict[str, str]:
    shown = {
        "name": tag.name,
        "template": tag.template.text,
        "kind": tag.kind,
        "action": tag.action,
        "reason": tag.reason,
    }
    return {**shown, "held_by": str(tag.held_by)} if tag.held_by is not None else shown


def _published(item: "TagResult") -> dict[str, str | None]:
    shown: dict[str, str | None] = {
        "reference": str(item.reference),
        "digest": item.digest or None,
        "status": item.status,
    }
    if item.reason:
        shown["reason"] = item.reason
    if item.error:
        shown["error"] = item.error
    return shown
