"""GitHub Actions: a step's outputs and its summary.

Source: GitHub Docs, "Workflow commands for GitHub Actions", sections on GITHUB_OUTPUT,
GITHUB_STEP_SUMMARY and multiline strings.
"""

import json
import re
import secrets
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from releasetag.errors import ReleasetagError, UsageError
from releasetag.plan import Plan
from releasetag.report.json import format_publish, format_publishes
from releasetag.report.record import PublishResult, Row, shorten
from releasetag.text import printable

if TYPE_CHECKING:
    from releasetag.image.metadata import BuildMetadata
    from releasetag.publish import Provenance
    from releasetag.snapshot.plan import SnapshotPlan


@dataclass(frozen=True)
class BuildOutputs:
    """What the outputs say of the image, and the result of a publish does not.

    Attributes:
        metadata: what each image is built with, the default variant's first.
        digests: of the image's manifests, by platform.
    """

    metadata: "Sequence[BuildMetadata]" = ()
    digests: Mapping[str, str] = field(default_factory=dict)


def write_outputs(
    result: PublishResult, environ: Mapping[str, str], build: BuildOutputs | None = None
) -> None:
    """Write the step's outputs and summary to the files that GitHub Actions names.

    Raises:
        UsageError: a file cannot be written.
    """
    values = output_values(result)
    # Later steps can read the file, and no build of theirs needs what may be a secret.
    given = build or BuildOutputs()
    metadata = [replace(each, build_args={}, from_environment=()) for each in given.metadata]
    _write(values, format_summary(result), environ, replace(given, metadata=metadata))


def write_plan_outputs(
    plans: "Sequence[Plan]",
    text: str,
    environ: Mapping[str, str],
    metadata: "Sequence[BuildMetadata]" = (),
    error: ReleasetagError | None = None,
) -> None:
    """Write the outputs and the summary of a step that only plans.

    The tags are those to push. What a publish alone knows is empty, and so is what the plans of
    several components do not share.

    Args:
        plans: none if it failed.
        text: the JSON.

    Raises:
        UsageError: a file cannot be written.
    """
    only = plans[0] if len(plans) == 1 else None
    values = output_values(PublishResult(only, None, (), 0.0, error))
    values |= {"complete": "", **_references(plans), "json": text.rstrip("\n")}
    summary = _error(error) if error else []
    for plan in plans:
        summary += _plan_summary(plan)
    written = "".join(f"{line}\n" for line in summary)
    _write(values, written, environ, BuildOutputs(metadata))


def write_all_outputs(results: Sequence[PublishResult], environ: Mapping[str, str]) -> None:
    """Write the outputs of a step that has published several components.

    In place of those of each, of which the last stand: what they do not share is empty.

    Raises:
        UsageError: the file cannot be written.
    """
    references = [each for result in results for each in result.references]
    values = dict.fromkeys(output_values(results[0]), "") | {
        "complete": "true" if all(each.is_complete for each in results) else "false",
        "tags": "\n".join(map(str, references)),
        "tag-names": "\n".join(dict.fromkeys(each.tag for each in references)),
        "json": format_publishes(results).rstrip("\n"),
    }
    _write(values, "", environ, BuildOutputs())


def _references(plans: "Sequence[Plan]") -> dict[str, object]:
    names = [tag.name for plan in plans for tag in plan.tags if tag.action == "push"]
    return {
        "tags": "\n".join(str(each) for plan in plans for each in plan.references),
        "tag-names": "\n".join(dict.fromkeys(names)),
    }


def _write(
    values: Mapping[str, object], summary: str, environ: Mapping[str, str], build: BuildOutputs
) -> None:
    variable = "RUNNER_TEMP"
    try:
        if environ.get("GITHUB_OUTPUT"):
            bake_file = _write_bake_file(build.metadata, environ.get(variable))
            variable = "GITHUB_OUTPUT"
            _append(environ[variable], format_values({**values, **build_values(build, bake_file)}))
        variable = "GITHUB_STEP_SUMMARY"
        if name := environ.get(variable):
            _append(name, summary)
    except OSError as error:
        raise UsageError(
            f"cannot write to the file that {variable} names: {error.strerror}",
            "check the step's environment",
        ) from None


def _append(name: str, text: str) -> None:
    with Path(name).open("a", encoding="utf-8") as file:
        file.write(text)


def _write_bake_file(metadata: "Sequence[BuildMetadata]", directory: str | None) -> str:
    """Write a file that docker/bake-action takes, which nobody else can read; return its path."""
    if not metadata or not directory:
        return ""
    from releasetag.image.metadata import bake_definition

    with tempfile.NamedTemporaryFile(
        "w",
        encoding="utf-8",
        suffix=".json",
        prefix="releasetag-bake-",
        dir=directory,
        delete=False,
    ) as file:
        json.dump(bake_definition(metadata), file, indent=2)
    return file.name


def build_values(build: BuildOutputs, bake_file: str) -> dict[str, str]:
    """Return the outputs of the image by name."""
    first = build.metadata[0] if build.metadata else None
    labels = [f"{key}={value}" for key, value in first.labels.items()] if first else ()
    return {
        "digests": _lines(f"{name}={digest}" for name, digest in build.digests.items()),
        "labels": _lines(labels),
        "annotations": _lines(first.annotations if first else ()),
        "bake-file": bake_file,
    }


def _lines(values: Iterable[str]) -> str:
    """Return a value a line: what reads them has no other end."""
    return "\n".join(" ".join(value.splitlines()) for value in values)


def format_outputs(result: PublishResult) -> str:
    """Format the outputs of a publish."""
    return format_values(output_values(result))


def output_values(result: PublishResult) -> dict[str, object]:
    """Return the step's outputs by name.

    What is not known, as the publish failed before, is empty.
    """
    build = result.build
    # A snapshot has the name of its tag in place of a version, and no numbers.
    version = result.plan.release.version if isinstance(result.plan, Plan) else None
    return {
        "version": result.plan.subject.version if result.plan else "",
        "major": version.major if version else "",
        "minor": version.minor if version else "",
        "patch": version.patch if version else "",
        "prerelease": ("true" if version.prerelease else "false") if version else "",
        "digest": build.digest if build else "",
        "image-id": build.image_id if build else "",
        "complete": ("true" if result.is_complete else "false") if result.plan else "",
        "tags": "\n".join(map(str, result.references)),
        "tag-names": "\n".join(dict.fromkeys(each.tag for each in result.references)),
        "json": format_publish(result).rstrip("\n"),
    }


def format_values(values: Mapping[str, object]) -> str:
    """Format outputs in the form of GITHUB_OUTPUT."""
    # A delimiter that nobody can guess: no value can end early and add another output.
    end = f"end_{secrets.token_hex(16)}"
    return "".join(f"{name}<<{end}\n{value}\n{end}\n" for name, value in values.items())


def _plan_summary(plan: "Plan") -> list[str]:
    """Format a plan in Markdown: a table of tags, and where they go."""
    rows = [f"| {_code(t.name)} | {t.action} | {_escape(t.reason)} |" for t in plan.tags]
    heading = f"### {_code(plan.release.git_tag)}: plan"
    table = ["| tag | decision | why |", "|---|---|---|", *rows]
    return [heading, "", *table, "", *(f"- {_code(str(r))}" for r in plan.repositories), ""]


def format_summary(result: PublishResult) -> str:
    """Format the step's summary, in Markdown: the error, and a table of tags."""
    plan, error = result.plan, result.error
    lines = _error(error) if error else []
    if plan is not None:
        lines += [f"### {_code(plan.title)}", ""]
        for each in result.variants or (result,):
            lines += _image(each.build)
        lines += ["| tag | decision | digest | version | why |", "|---|---|---|---|---|"]
        for row in result.rows:
            cells = (
                _code(row.name),
                row.decision,
                _code(row.digest),
                _escape(_change(row, plan)),
                _escape(row.reason),
            )
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "".join(f"{line}\n" for line in lines)


def _change(row: Row, plan: "Plan | SnapshotPlan") -> str:
    """Return from which version to which a tag moved."""
    previous, version = shorten(row.previous), plan.subject.version
    match row.decision:
        case "pushed" if previous:
            return f"{previous} → {version}"
        # An exact tag that is replaced is put by an engine's push, which asks for nothing.
        case "pushed" if not plan.settings.overwrite:
            return f"new: {version}"
        case "pushed" | "unchanged":
            return f"{version}"
        case "kept" | "keep" if previous:
            return f"kept at {previous}"
    return ""


def _image(build: "Provenance | None") -> list[str]:
    if build is not None and build.missing:
        missing = ", ".join(build.missing)
        return [f"{_escape(build.variant)} waiting for {_escape(missing)}".strip(), ""]
    if build is None or not build.digest:
        return []
    how = "reused, nothing was built" if build.reused else f"builder: {build.builder}"
    variant = f"{_code(build.variant)}: " if build.variant else ""
    return [f"{variant}{_code(build.digest)} ({_escape(how)})", ""]


def _error(error: ReleasetagError) -> list[str]:
    message, hint = (_escape(text, 2000) for text in (error.message, error.hint))
    return [f"**error:** {message}", "", f"**hint:** {hint}", ""]


def _code(text: str) -> str:
    return f"`{printable(text).replace('`', '').replace('|', '')}`" if text else ""


def _escape(text: str, limit: int = 300) -> str:
    """Escape what Markdown and HTML would take for more than text, within a line."""
    return re.sub(r"([\\`*_\[\]<>#|~&@$])", r"\\\1", printable(text, limit))
