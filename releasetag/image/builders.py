"""Choose between the engine and ``docker buildx``, before either is asked to build."""

import re
import shutil
import subprocess
from collections.abc import Collection, Mapping

from releasetag.config import Settings
from releasetag.errors import UsageError
from releasetag.image.source import EngineReport


def choose_program(settings: Settings, environ: Mapping[str, str], report: EngineReport) -> str:
    """Return ``buildx`` or ``buildx:NAME``, or what the settings say of the engine's builder.

    ``auto`` is buildx where a setting needs it, or where it has a builder for several platforms.

    Raises:
        UsageError: a setting needs buildx, and the settings name another builder; or buildx cannot
            build what the platforms are built from.
    """
    builder, option = settings.builder, settings.needs_buildx
    differ = len(settings.platforms_here) > 1 and settings.platforms_differ
    if differ and (builder.startswith("buildx") or (option and builder == "auto")):
        raise UsageError(
            "docker buildx builds all platforms from one context, Dockerfile and arguments, and"
            " they are not to be built from the same",
            f"build each by a run of its own with --part, or omit {option or 'buildx'}",
        )
    if builder.startswith("buildx"):
        return builder
    if option and builder != "auto":
        raise UsageError(
            f"--builder {builder} does not support {option}",
            "omit one of the two, or build with --builder buildx",
        )
    if option:
        report.step(f"Choosing buildx: {option} needs it")
        return "buildx"
    platforms = settings.platforms_here
    is_free = builder == "auto" and settings.push and len(settings.platforms) > 1 and not differ
    if is_free and (name := _builder_for(platforms, environ)):
        report.step(f"Choosing buildx: its builder {name} is for {', '.join(platforms)}")
        return "buildx"
    return builder


def run_buildx(environ: Mapping[str, str], *words: str) -> str | None:
    """Run a command of buildx that asks; return what it prints, None if it fails or is absent."""
    docker = shutil.which("docker", path=environ.get("PATH"))
    if docker is None:
        return None
    try:
        done = subprocess.run(
            [docker, "buildx", *words],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")


def _builder_for(platforms: Collection[str], environ: Mapping[str, str]) -> str:
    """Return the name of buildx's current builder if it is for these platforms; else empty.

    The driver ``docker`` is the engine, which needs no buildx. A builder that has not started lists
    no platforms.
    """
    found = run_buildx(environ, "inspect") or ""
    driver = re.search(r"^Driver:\s*(\S+)", found, re.MULTILINE)
    name = re.search(r"^Name:\s*(\S+)", found, re.MULTILINE)
    listed = re.findall(r"^\s*Platforms:[ \t]*(\S.*)$", found, re.MULTILINE)
    known = {part.strip().rstrip("*") for line in listed for part in line.split(",")}
    if driver is None or name is None or driver[1] == "docker":
        return ""
    return "" if known and not known.issuperset(platforms) else name[1]
