"""The JSON that programs read: schema 1. No key is removed or changes its meaning."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from releasetag.errors import ReleasetagError
from releasetag.fanout import PlannedTag
from releasetag.plan import Plan

# Types alone: a plan imports no registry's client.
if TYPE_CHECKING:
    from releasetag.explain import Explanation
    from releasetag.findings import Finding
    from releasetag.fix import Fixes
    from releasetag.publish import Provenance
    from releasetag.release_tree import ReleaseTree
    from releasetag.report.record import PromoteResult, PublishResult
    from releasetag.snapshot.plan import SnapshotPlan, SnapshotTag
    from releasetag.tagging import TagResult
    from releasetag.verify import VerifiedRepository, VerifiedTag


def format_plan(plan: "Plan") -> str:
    """Format a plan, as ``plan --json`` prints it."""
    return format_object(_plan(plan))


def format_plans(plans: "Sequence[Plan]") -> str:
    """Format the plans of all components, as ``plan --all --json`` prints them."""
    return format_object({"plans": [_plan(plan) for plan in plans]})


def format_publishes(results: "Sequence[PublishResult]") -> str:
    """Format a publish of each component, as ``publish --all --json`` prints them."""
    errors = [result.error for result in results if result.error is not None]
    return format_object(
        {"publishes": [json.loads(format_publish(result)) for result in results]},
        errors[0] if errors else None,
    )


def format_publish(result: "PublishResult") -> str:
    """Format a publish as far as it came, as ``publish --json`` prints it."""
    values = _plan(result.plan) if result.plan is not None else {}
    values |= {**_image(result), "seconds": round(result.seconds, 3)}
    if result.plan is not None and result.plan.settings.part:
        is_dry = result.plan.settings.dry_run
        status = "waiting" if result.missing else "planned" if is_dry else "published"
        values |= {
            "status": "failed" if result.error else status,
            "complete": result.is_complete,
            "missing": list(result.missing),
        }
    if result.variants:
        values["variants"] = [
            {**planned, **_image(each)}
            for planned, each in zip(values["variants"], result.variants, strict=True)
        ]
    return format_object(values, result.error)


def _image(result: "PublishResult") -> dict[str, Any]:
    """Format what became of an image, or of the first one of several."""
    build = result.build
    values: dict[str, Any] = {
        "image_id": (build.image_id or None) if build else None,
        "digest": (build.digest or None) if build else None,
        "build": _build(build) if build else None,
        "published": [_published(item) for item in result.items],
    }
    if result.plan is not None and result.error is not None:
        values["references"] = _texts(result.references)
    return values


def format_verify(
    repositories: "Iterable[VerifiedRepository]",
    fixes: "Fixes | None" = None,
    error: ReleasetagError | None = None,
) -> str:
    """Format a comparison of registries with the history, as ``verify --json`` prints it."""
    values: dict[str, Any] = {
        "repositories": [
            {
                "repository": str(each.repository),
                "tags": [_verified(tag) for tag in each.tags],
                "lacks_newest": each.lacks_newest,
            }
            for each in repositories
        ],
    }
    if fixes is not None:
        values["moved"] = [_published(item) for item in fixes.moved.values()]
        values["unfixed"] = [
            {
                "version": str(each.release.version),
                "tags": list(each.tags),
                "message": each.error.message,
                "hint": each.error.hint,
            }
            for each in fixes.unfixed
        ]
    return format_object(values, error)


def format_promote(result: "PromoteResult") -> str:
    """Format a promotion, as ``promote --json`` prints it."""
    failed = result.error is not None
    planned = (each.reference for plan in result.plans for each in plan.moves)
    return format_object(
        {
            "version": str(result.release.version),
            "references": _texts(result.published if failed else planned),
            "published": [_published(item) for item in result.items],
        },
        result.error,
    )


def format_history(trees: "Iterable[ReleaseTree]") -> str:
    """Format the releases by lines, as ``history --json`` prints it."""
    return format_object(
        {
            "components": [
                {
                    "repositories": _texts(tree.repositories),
                    "releases": [
                        {
                            "git_tag": each.release.git_tag,
                            "version": str(each.release.version),
                            "revision": each.release.revision,
                            "line": each.line,
                            "status": each.status,
                            "tags": list(each.tags),
                            "wrong": [
                                {"name": name, "status": status} for name, status in each.wrong
                            ],
                        }
                        for each in tree.releases
                    ],
                }
                for tree in trees
            ],
        }
    )


def format_doctor(findings: "Iterable[Finding]") -> str:
    """Format what was checked, as ``doctor --json`` prints it."""
    return format_object({"checks": _checks(findings)})


def format_explain(explanations: "Iterable[Explanation]") -> str:
    """Format why tags name what they name, as ``explain --json`` prints it."""
    return format_object(
        {
            "tags": [
                {
                    "reference": str(each.reference),
                    "digest": each.digest or None,
                    "version": each.version or None,
                    "checks": _checks(each.findings),
                }
                for each in explanations
            ],
        }
    )


def _checks(findings: "Iterable[Finding]") -> list[dict[str, str | None]]:
    return [
        {
            "subject": each.subject,
            "status": each.status,
            "text": each.text,
            "hint": each.hint or None,
        }
        for each in findings
    ]


def format_object(values: dict[str, Any], error: ReleasetagError | None = None) -> str:
    """Format one object, in ASCII whatever the terminal's encoding."""
    shown = {"schema": 1, **values}
    if error is not None:
        shown["error"] = {
            "code": error.exit_code,
            "kind": error.kind,
            "message": error.message,
            "hint": error.hint,
        }
    return json.dumps(shown, indent=2) + "\n"


def _plan(plan: "Plan | SnapshotPlan") -> dict[str, Any]:
    values = {**_subject(plan), **_tags(plan)}
    if plan.variants:
        values["variants"] = [
            {"name": each.settings.variant, **_tags(each)} for each in plan.variants
        ]
    return values


def _tags(plan: "Plan | SnapshotPlan") -> dict[str, Any]:
    return {
        "tags": [_tag(tag) for tag in plan.tags],
        "images": _texts(plan.repositories),
        "references": _texts(plan.references),
    }


def _subject(plan: "Plan | SnapshotPlan") -> dict[str, Any]:
    subject = plan.subject
    named = {"version": str(subject.version), "revision": subject.revision}
    if not isinstance(plan, Plan):
        return named
    return {
        "git_tag": plan.release.git_tag,
        **named,
        "prerelease": bool(plan.release.version.prerelease),
        "history": {"source": plan.git_tags.source, "releases": len(plan.history)},
    }


def _tag(tag: "PlannedTag | SnapshotTag") -> dict[str, str]:
    decision = {"kind": tag.kind, "action": tag.action, "reason": tag.reason}
    if not isinstance(tag, PlannedTag):
        return {"name": tag.name, **decision}
    shown = {"name": tag.name, "template": tag.template.text, **decision}
    return {**shown, "held_by": str(tag.held_by)} if tag.held_by is not None else shown


def _build(build: "Provenance") -> dict[str, Any]:
    return {
        "builder": build.builder,
        "reused": build.reused,
        "seconds": round(build.seconds, 3),
    }


def _verified(tag: "VerifiedTag") -> dict[str, str | None]:
    shown: dict[str, str | None] = {
        "name": tag.name,
        "expected": tag.expected,
        "actual": tag.actual,
        "status": tag.status,
    }
    return {**shown, "reason": tag.reason} if tag.reason else shown


def _published(item: "TagResult") -> dict[str, str | None]:
    shown: dict[str, str | None] = {
        "reference": str(item.reference),
        "digest": item.digest or None,
        "status": item.status,
    }
    if item.previous:
        shown["previous"] = item.previous
    if item.reason:
        shown["reason"] = item.reason
    if item.error:
        shown["error"] = item.error
    return shown


def _texts(values: Iterable[object]) -> list[str]:
    return [str(value) for value in values]
