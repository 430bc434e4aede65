"""GitHub Actions: a step's outputs and its summary.

Source: GitHub Docs, "Workflow commands for GitHub Actions", sections on GITHUB_OUTPUT,
GITHUB_STEP_SUMMARY and multiline strings.
"""

import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from releasetag.errors import ReleasetagError, UsageError
from releasetag.report.json import format_publish
from releasetag.report.record import PublishResult
from releasetag.text import printable

if TYPE_CHECKING:
    from releasetag.publish import Provenance


def write_outputs(result: PublishResult, environ: Mapping[str, str]) -> None:
    """Write the step's outputs and summary to the files that GitHub Actions names.

    Raises:
        UsageError: a file cannot be written.
    """
    for variable, format_result in (
        ("GITHUB_OUTPUT", format_outputs),
        ("GITHUB_STEP_SUMMARY", format_summary),
    ):
        if name := environ.get(variable):
            try:
                with Path(name).open("a", encoding="utf-8") as file:
                    file.write(format_result(result))
            except OSError as error:
                raise UsageError(
                    f"cannot write to the file that {variable} names: {error.strerror}",
                    "check the step's environment",
                ) from None


def format_outputs(result: PublishResult) -> str:
    """Format the step's outputs, in the form of GITHUB_OUTPUT.

    What is not known, as the publish failed before, is empty.
    """
    build = result.build
    version = result.plan.release.version if result.plan else None
    values = {
        "version": version or "",
        "major": version.major if version else "",
        "minor": version.minor if version else "",
        "patch": version.patch if version else "",
        "prerelease": ("true" if version.prerelease else "false") if version else "",
        "digest": build.digest if build else "",
        "image-id": build.image_id if build else "",
        "complete": ("true" if result.is_complete else "false") if version else "",
        "tags": "\n".join(map(str, result.references)),
        "tag-names": "\n".join(dict.fromkeys(each.tag for each in result.references)),
        "json": format_publish(result).rstrip("\n"),
    }
    # A delimiter that nobody can guess: no value can end early and add another output.
    end = f"end_{secrets.token_hex(16)}"
    return "".join(f"{name}<<{end}\n{value}\n{end}\n" for name, value in values.items())


def format_summary(result: PublishResult) -> str:
    """Format the step's summary, in Markdown: the error, and a table of tags."""
    plan, error = result.plan, result.error
    lines = _error(error) if error else []
    if plan is not None:
        lines += [f"### {_code(plan.release.git_tag)}", ""]
        for each in result.variants or (result,):
            lines += _image(each.build)
        lines += ["| tag | decision | digest | why |", "|---|---|---|---|"]
        for row in result.rows:
            cells = _code(row.name), row.decision, _code(row.digest), _escape(row.reason)
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "".join(f"{line}\n" for line in lines)


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
