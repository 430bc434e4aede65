"""Completion of command lines in bash, zsh and fish.

Typer has the scripts and says which value is wanted. The values are those of the local git
repository and of the configuration: nothing goes over the network, and what cannot be read has
none.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from releasetag.config.schema import SETTINGS
from releasetag.config.settings import BUILDERS, Configuration
from releasetag.version import Release

if TYPE_CHECKING:
    from releasetag.git import WorkTree

VARIABLE = "_RELEASETAG_COMPLETE"
"""Has the instruction: ``source_bash`` for the script, which sets ``complete_bash``."""

Values = Callable[..., list[str]]

# The scripts put values into a command line, and zsh's into code that it evaluates, as they are.
# Names of git tags and of components are of whoever wrote the repository.
_PLAIN = re.compile(r"[\w.+,:/@-]+", re.ASCII)


def complete(instruction: str, environ: Mapping[str, str]) -> int:
    """Print a script, or what may stand at the cursor.

    Returns:
        The exit code. An error has no other sign: a message would break the line that is typed.
    """
    from typer._completion_classes import completion_init
    from typer.completion import shell_complete

    from releasetag.cli.app import PROGRAM, command_of

    # Typer would read help texts as Rich's markup, which takes 0.1 s and loses what is in brackets.
    modules: dict[str, object] = sys.modules  # type: ignore[assignment]
    rich = modules.get("rich")
    words = (environ.get("COMP_WORDS") or environ.get("_TYPER_COMPLETE_ARGS") or "").split()
    try:
        modules["rich"] = None
        completion_init()
        return shell_complete(command_of(words[1:]), {}, PROGRAM, VARIABLE, instruction)
    except SystemExit as end:  # fish reads from the code whether there is anything
        return int(end.code or 0)
    except Exception:  # noqa: BLE001 (whatever it is, it is not what the user is about)
        return 1
    finally:
        del modules["rich"]
        if rich is not None:
            modules["rich"] = rich


def _values(read: Callable[["WorkTree", Configuration], Iterable[str]]) -> Values:
    """Return the completion by what is read of the work tree that the command line names."""

    def values(ctx: typer.Context) -> list[str]:
        try:
            from releasetag.config import load
            from releasetag.git import open_work_tree

            path = _path(ctx)
            tree = open_work_tree(path, os.environ)
            options = {"config": ctx.params.get("config")}
            configuration = load(options, os.environ, path.resolve(), tree.root, Path.cwd())
            return [text for text in dict.fromkeys(read(tree, configuration)) if _is_plain(text)]
        except Exception:  # noqa: BLE001 (see complete)
            return []

    return values


def _path(ctx: typer.Context) -> Path:
    # At the cursor an option may lack its value: then Click does not know PATH from other words.
    given = [ctx.params.get("path"), *ctx.args]
    return next((Path(each) for each in given if each and Path(each).is_dir()), Path())


def _is_plain(text: str) -> bool:
    return _PLAIN.fullmatch(text) is not None and not text.startswith("-")


def _releases(tree: "WorkTree", configuration: Configuration) -> list[Release]:
    commits, _ = tree.local_tags()
    return [
        Release(name, version, commit)
        for name, commit in commits.items()
        for settings in [configuration.of(name)]
        if settings is not None and (version := settings.version_of(name)) is not None
    ]


def _git_tags(tree: "WorkTree", configuration: Configuration) -> Iterable[str]:
    return (release.git_tag for release in _releases(tree, configuration))


def _versions(tree: "WorkTree", configuration: Configuration) -> Iterable[str]:
    """Return the versions; with components the git tags, as a version may be of several."""
    if configuration.components:
        return _git_tags(tree, configuration)
    return (str(release.version) for release in _releases(tree, configuration))


def _tags(tree: "WorkTree", configuration: Configuration, *, exact: bool) -> Iterable[str]:
    for release in _releases(tree, configuration):
        settings = configuration.of(release.git_tag) or configuration.default
        for each in settings.by_variant or (settings,):
            named = release.version, release.revision
            yield from each.policy.floating_tags(*named)
            if exact:
                yield from each.policy.exact_tags(*named, release.git_tag)


def _variants(_: "WorkTree", configuration: Configuration) -> Iterable[str]:
    return (each.variant for settings in configuration.all() for each in settings.by_variant)


def _prefixes(_: "WorkTree", configuration: Configuration) -> Iterable[str]:
    return (settings.tag_prefix or "" for settings in configuration.components)


def _platforms(_: "WorkTree", configuration: Configuration) -> Iterable[str]:
    return (each for settings in configuration.all() for each in settings.platforms)


def _builders() -> list[str]:
    """Return the builders, with those of buildx that are configured in the user's files."""
    folder = os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker"
    buildx = Path(os.environ.get("BUILDX_CONFIG") or Path(folder, "buildx"))
    try:
        names = sorted(each.name for each in (buildx / "instances").iterdir())
    except OSError:
        names = []
    return [*BUILDERS, *(f"buildx:{name}" for name in filter(_is_plain, names))]


def _choices(name: str) -> Values:
    return lambda: list(SETTINGS[name].choices)


complete_version = _values(_versions)
complete_floating = _values(lambda tree, config: _tags(tree, config, exact=False))
complete_tag = _values(lambda tree, config: _tags(tree, config, exact=True))

OF_SETTINGS: Mapping[str, Values] = {
    "git_tag": _values(_git_tags),
    "from_version": complete_version,
    "ignore": complete_version,
    "remote": _values(lambda tree, _: tree.remotes()),
    "tag_prefix": _values(_prefixes),
    "variants": _values(_variants),
    "platforms": _values(_platforms),
    "part": _values(_platforms),
    "builder": _builders,
    **{name: _choices(name) for name, setting in SETTINGS.items() if setting.choices},
}
"""How the values of options are completed, by the setting's name; of others, as files."""
