"""GitHub Actions: a step's outputs and its summary.

Source: GitHub Docs, "Workflow commands for GitHub Actions", sections on GITHUB_OUTPUT,
GITHUB_STEP_SUMMARY and multiline strings.
"""

import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from releasetag.errors import UsageError
from releasetag.report.json import dumps, publish_object
from releasetag.report.record import Record
from releasetag.text import printable


def write_outputs(record: Record, seconds: float, environ: Mapping[str, str]) -> None:
    """Write the step's outputs and summary, where GitHub Actions asks for them.

    Raises:
        UsageError: the files that the environment names cannot be written.
    """
    if record.plan is None:
        return
    for variable, text in (
        ("GITHUB_OUTPUT", outputs(record, seconds)),
        ("GITHUB_STEP_SUMMARY", summary(record)),
    ):
        if name := environ.get(variable):
            try:
                with Path(name).open("a", encoding="utf-8") as file:
                    file.write(text)
            except OSError as error:
                raise UsageError(
                    f"the file that {variable} names cannot be written: {error.strerror}",
                    "see the step's environment",
                ) from None


def outputs(record: Record, seconds: float) -> str:
    """The outputs of the action, in the form of GITHUB_OUTPUT."""
    plan, build = record.plan, record.build
    if plan is None:
        return ""
    version = plan.release.version
    # What names this release now; before anything was pushed, what is to.
    named = [item.reference for item in record.items if item.status in {"pushed", "unchanged"}]
    references = named if record.items else list(plan.references)
    values = {
        "version": str(version),
        "major": str(version.major),
        "minor": str(version.minor),
        "patch": str(version.patch),
        "prerelease": "true" if version.prerelease else "false",
        "digest": build.digest if build else "",
        "image-id": build.image_id if build else "",
        "tags": "\n".join(map(str, references)),
        "tag-names": "\n".join(dict.fromkeys(reference.tag for reference in references)),
        "json": dumps(publish_object(record, seconds)),
    }
    # A delimiter that nobody can guess: no value can end early and forge another output.
    end = f"end_{secrets.token_hex(16)}"
    return "".join(f"{name}<<{end}\n{value}\n{end}\n" for name, value in values.items())


def summary(record: Record) -> str:
    """The step's summary: a table of tags, decisions and digests, in Markdown."""
    plan, build = record.plan, record.build
    if plan is None:
        return ""
    lines = [f"### {_code(plan.release.git_tag)}", ""]
    if build is not None and build.digest:
        how = "taken up, nothing was built" if build.reused else f"made by {build.builder}"
        lines += [f"{_code(build.digest)} ({how})", ""]
    lines += ["| tag | decision | digest | why |", "|---|---|---|---|"]
    done = {item.reference for item in record.items}
    for item in record.items:
        why = item.reason or item.error
        lines.append(_row(str(item.reference), item.status, item.digest, why))
    for tag in plan.tags:
        references = [repository.tagged(tag.name) for repository in plan.repositories]
        if tag.action != "push" or not done.intersection(references):
            lines.append(_row(tag.name, tag.action, "", tag.reason))
    return "\n".join([*lines, "", ""])


def _row(tag: str, decision: str, digest: str, why: str) -> str:
    return f"| {_code(tag)} | {decision} | {_code(digest)} | {_plain(why)} |"


def _code(text: str) -> str:
    return f"`{printable(text).replace('`', '').replace('|', '')}`" if text else ""


def _plain(text: str) -> str:
    """Text that Markdown and HTML leave as it is."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&@-])", r"\\\1", printable(text))
