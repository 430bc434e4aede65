"""The options that commands share, each described once."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and results only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print every request, build line and layer.")
]


WorkTreePath = Annotated[
    Path, typer.Argument(metavar="[PATH]", help="A git work tree. Default: the one we are in.")
]


@dataclass(frozen=True)
class Shared:
    """The options of every command that works on releases."""

    path: WorkTreePath = Path()
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            "-i",
            metavar="REPOSITORY",
            help="A repository to publish to; may be repeated.",
        ),
    ] = None
    tags: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            "-t",
            metavar="TEMPLATE",
            help="A tag template; may be repeated. Default: {version}, {major}.{minor}, latest.",
        ),
    ] = None
    git_tag: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The release. Default: the CI run's, or the highest at HEAD."
        ),
    ] = None
    tag_prefix: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX", help="Stands before the version in git tags. Default: an optional v."
        ),
    ] = None
    history: Annotated[
        str | None,
        typer.Option(
            metavar="auto|local|remote",
            help="Whose git tags count. Default: auto, the remote's too if there is one.",
        ),
    ] = None
    remote: Annotated[
        str | None, typer.Option(metavar="NAME", help="The git remote to ask. Default: origin.")
    ] = None
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VERSION", help="A yanked version, which counts for no one; may be repeated."
        ),
    ] = None
    config: Annotated[
        str | None, typer.Option(metavar="FILE", help="Configuration in place of releasetag.toml.")
    ] = None
    json: Json = False
    quiet: Quiet = False
    verbose: Verbose = False

    @property
    def settings(self) -> dict[str, Any]:
        """The options that are settings, by name."""
        told = {"path", "json", "quiet", "verbose"}
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in told}


def with_shared(command: Callable[..., int]) -> Callable[..., int]:
    """Put the shared options in the place of a command's first parameter, for Typer to see.

    Args:
        command: takes a `Shared` first, and its own options by keyword.
    """
    own = get_type_hints(command, include_extras=True)
    shared = get_type_hints(Shared, include_extras=True)
    _, *more = inspect.signature(command).parameters.values()
    parameters = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=own[p.name]) for p in more
    ]
    parameters += [
        inspect.Parameter(
            f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=shared[f.name]
        )
        for f in fields(Shared)
    ]

    def run(**given: Any) -> int:
        first = Shared(**{f.name: given.pop(f.name) for f in fields(Shared)})
        return command(first, **given)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
