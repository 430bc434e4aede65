"""Plans and results to format, and consoles to print them on."""

import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from releasetag.config import Settings
from releasetag.errors import ReleasetagError
from releasetag.fanout import fan_out
from releasetag.history import GitTags
from releasetag.plan import Plan
from releasetag.policy import TagPolicy
from releasetag.promote import Promotion, PromotionPlan
from releasetag.publish import Provenance
from releasetag.reference import parse_reference, parse_repository
from releasetag.registry import Manifest
from releasetag.report.record import PublishResult, Record
from releasetag.tagging import TagResult
from releasetag.template import parse_template
from releasetag.version import Release, parse_version

DIGEST = f"sha256:{'0' * 64}"
IMAGE_ID = f"sha256:{'1' * 64}"
REVISION = "74f735e21870e50ccf2bbe16195a001ed9147bc2"

# What a registry, a label or a build may send: a colour, a cleared screen, a window title, rich's
# markup, text that shows itself backwards, another line, and commands of GitHub Actions.
HOSTILE = (
    "\x1b[31mred\x1b[2J\x1b]0;title\x07[bold]markup[/bold] :smile: \u202ebackwards\u2066 \u009b1m"
    "\n::error::forged\r\n::add-mask::a ##[error]old \u2028end"
)


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Always."""
        return True


def terminal(width: int = 80, height: int = 24) -> Console:
    """A terminal's console, without colours."""
    return Console(
        file=Terminal(),
        force_terminal=True,
        color_system=None,
        width=width,
        height=height,
        markup=False,
        emoji=False,
        highlight=False,
        _environ={"TERM": "xterm"},
    )


def log(width: int = 80) -> Console:
    """A console that is a file or a pipe."""
    return Console(
        file=io.StringIO(), width=width, markup=False, emoji=False, highlight=False, _environ={}
    )


def text(console: Console) -> str:
    """What was printed so far."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def release(name: str) -> Release:
    """A release by its git tag."""
    version = parse_version(name.removeprefix("v"))
    assert version
    return Release(name, version, REVISION)


def plan(
    name: str = "v1.9.1",
    *,
    history: tuple[str, ...] = ("v1.9.0", "v1.9.1", "v2.0.1"),
    tags: tuple[str, ...] = ("{version}", "{major}.{minor}", "latest"),
    images: tuple[str, ...] = ("acme/app",),
    source: Literal["local", "remote"] = "remote",
    **settings: Any,
) -> Plan:
    """A plan, as the rule makes it."""
    repositories = tuple(map(parse_repository, images))
    releases = tuple(map(release, history))
    known = Settings(
        images=repositories, tags=tuple(map(parse_template, tags)), base=Path(), **settings
    )
    git_tags = GitTags(
        {r.git_tag: r.revision for r in releases}, source, "", False, "auto", "origin"
    )
    planned = fan_out(release(name), releases, known.policy)
    return Plan(release(name), planned, repositories, git_tags, releases, known)


BUILD = Provenance("buildkit", reused=False, seconds=12.3456, image_id=IMAGE_ID, digest=DIGEST)


def record(
    made: Provenance | None = BUILD, *statuses: str, reason: str = "", error: str = "", **given: Any
) -> Record:
    """A publish whose references, in the order of the plan, came to these statuses."""
    reported = Record()
    reported.planned(plan(**given))
    if made is not None:
        reported.made(made)
    assert reported.plan
    for reference, status in zip(reported.plan.references, statuses, strict=False):
        digest = "" if status == "failed" else DIGEST
        item = TagResult(reference, digest, status)  # type: ignore[arg-type] # one of its words
        if status == "kept":
            item = replace(item, reason=reason)
        if status == "failed":
            item = replace(item, error=error)
        reported.published(item)
    return reported


def result(
    made: Provenance | None = BUILD,
    *statuses: str,
    failure: ReleasetagError | None = None,
    **given: Any,
) -> PublishResult:
    """What a publish came to, see `record`; failed with an error or not."""
    return record(made, *statuses, **given).result(15.12345, failure)


MANIFEST = Manifest("application/vnd.oci.image.index.v1+json", b"{}")


def promotion(*tags: tuple[str, str, str]) -> PromotionPlan:
    """A promotion of 1.9.1, of tags with the version and the digest that each names now."""
    moves = tuple(
        Promotion(parse_reference(f"acme/app:{tag}"), digest, parse_version(now), moves_down=False)
        for tag, now, digest in tags
    )
    policy = TagPolicy(tuple(parse_template(tag) for tag, _, _ in tags))
    return PromotionPlan(release("v1.9.1"), Settings(), policy, MANIFEST, (), moves)


@dataclass
class Clock:
    """A clock that stands still until it is set."""

    now: float = 0.0

    def __call__(self) -> float:
        """The seconds."""
        return self.now


def commands(written: str) -> list[str]:
    """The commands that the runner finds in a log.

    By ``ActionCommandManager`` and ``ActionCommand`` of actions/runner: ``::command::`` where a
    line begins, ``##[command]`` anywhere, and none while commands are stopped.
    """
    found: list[str] = []
    stopped = ""
    for line in written.splitlines():
        match = re.match(r"\s*::([^:\s]+)[^:]*::(.*)", line) or re.search(
            r"##\[([^\s\]]+)[^]]*\](.*)", line
        )
        if match is None:
            continue
        name, value = match[1], match[2]
        if stopped:
            if name == stopped:
                stopped = ""
        elif name == "stop-commands":
            stopped = value
        else:
            found.append(name)
    assert not stopped, "commands are stopped for what comes after"
    return found
