"""``releasetag init``."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from releasetag.cli.options import Shared
from releasetag.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from releasetag.init.draft import Draft
    from releasetag.init.pipelines import Needs, System
    from releasetag.init.survey import Survey

_CONFIG = "releasetag.toml"


def _systems() -> list[str]:
    from releasetag.init.pipelines import SYSTEMS

    return list(SYSTEMS)


def init(
    shared: Shared,
    *,
    ci: Annotated[
        str | None,
        typer.Option(
            "--ci",
            metavar="SYSTEM",
            autocompletion=_systems,
            help="github, gitlab, woodpecker, drone, jenkins, circleci, azure, bitbucket,"
            " buildkite or forgejo. Default: by the git remote, else github.",
        ),
    ] = None,
) -> int:
    """Write a starting releasetag.toml and a pipeline, from what the project has.

    Its remote, Dockerfiles, git tags and workflows. Never over an existing file.
    """
    from releasetag.git import open_work_tree
    from releasetag.init.draft import make_draft
    from releasetag.init.pipelines import SYSTEMS, default_system
    from releasetag.init.survey import survey
    from releasetag.init.workflows import translate
    from releasetag.report.json import format_object
    from releasetag.report.messages import Messages

    if ci is not None and ci not in SYSTEMS:
        raise _unknown_system_error(ci, list(SYSTEMS))
    messages = Messages(os.environ)
    tree = open_work_tree(shared.path, os.environ)
    configuration = _configuration(tree.root)
    if configuration and ci is None:
        hint = "change it by hand, or write a pipeline beside it: releasetag init --ci SYSTEM"
        raise UsageError(f"{configuration} exists already, and nothing was written", hint)
    found = survey(tree)
    translation = translate(found)
    draft = make_draft(found, translation)
    for note in (*found.notes, *translation.notes):
        messages.warning(note)
    system = SYSTEMS[ci or default_system(found.host)]
    pipeline, how = _choose_file(tree.root, system)
    files = {pipeline: system.format(_needs(draft, found))}
    if not configuration:
        files = {_CONFIG: draft.format(), **files}
    _write(tree.root, files, prints=not (shared.quiet or shared.json))
    if how:
        messages.note(how)
    for workflow in draft.replaced:
        messages.note(f"{workflow} publishes these images as well: remove that when this works")
    if shared.json:
        print(format_object({"written": list(files)}), end="")
    return 0


def _unknown_system_error(name: str, known: list[str]) -> UsageError:
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"name one of {', '.join(known)}"
    return UsageError(f"--ci: there is no pipeline for {name!r}", hint)


def _configuration(root: "Path") -> str:
    """Return what there is of a configuration, for a message; empty if there is none."""
    from releasetag.config.file import read_file

    if os.path.lexists(root / _CONFIG):
        return _CONFIG
    top, components = read_file(None, root, root, root)
    is_there = top.layer or top.variants or components
    return "[tool.releasetag] in pyproject.toml" if is_there else ""


def _choose_file(root: "Path", system: "System") -> tuple[str, str]:
    """Return the file to write, and what to do with it if it is not the one that is read."""
    if not os.path.lexists(root / system.file):
        return system.file, ""
    if os.path.lexists(root / system.other):
        raise UsageError(
            f"{system.file} and {system.other} exist already, and nothing was written",
            "change one by hand, or move it elsewhere and run again",
        )
    return system.other, f"{system.file} exists, so {system.other} was written: {system.how}"


def _needs(draft: "Draft", found: "Survey") -> "Needs":
    from releasetag.init.pipelines import Needs
    from releasetag.reference import parse_repository

    sections = [draft.top, *draft.components]
    entries = [each.entries for one in sections for each in (one, *one.variants)]
    images = [
        name for each in entries if isinstance(own := each.get("images"), list) for name in own
    ]
    return Needs(
        draft.git_tags,
        tuple(dict.fromkeys(map(parse_repository, images))),
        found.default_branch if draft.is_snapshot else "",
        draft.schedules,
        draft.replaced,
        emulates=any("build.platforms" in each for each in entries),
        uses_buildx=any({"build.cache", "build.cache-to"} & each.keys() for each in entries),
    )


def _write(root: "Path", files: dict[str, str], *, prints: bool) -> None:
    for name, text in files.items():
        try:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            with (root / name).open("x", encoding="utf-8") as new:
                new.write(text)
        except OSError as error:
            raise UsageError(
                f"{name} cannot be written: {error.strerror}", "check who owns that directory"
            ) from None
        if prints:
            print(f"wrote {name}")
