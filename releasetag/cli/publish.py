"""``releasetag publish``."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from releasetag.cli.options import Shared
from releasetag.cli.prepare import prepare

_SOURCE, _BUILD, _PUBLISH = "What to publish", "Building", "Publishing"


def _text(metavar: str, what: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=what, rich_help_panel=panel)


def _flag(what: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=what, rich_help_panel=panel, show_default=False)


def publish(
    shared: Shared,
    context: Annotated[
        str | None, _text("DIR", "Build this directory. Default: PATH.", _SOURCE)
    ] = None,
    from_image: Annotated[
        str | None, _text("REF", "Publish an image that exists.", _SOURCE)
    ] = None,
    from_container: Annotated[
        str | None, _text("NAME", "Publish a container, as docker commit.", _SOURCE)
    ] = None,
    file: Annotated[str | None, _text("FILE", "The Dockerfile.", _BUILD, "--file", "-f")] = None,
    target: Annotated[str | None, _text("STAGE", "The stage to build.", _BUILD)] = None,
    build_args: Annotated[
        list[str] | None,
        _text("K[=V]", "A build argument; K alone takes the environment's.", _BUILD, "--build-arg"),
    ] = None,
    labels: Annotated[list[str] | None, _text("K=V", "A label.", _BUILD, "--label")] = None,
    platforms: Annotated[
        list[str] | None, _text("P[,P…]", "Platforms, as linux/arm64.", _BUILD, "--platform")
    ] = None,
    secrets: Annotated[
        list[str] | None,
        _text(
            "id=ID,src=FILE|env=VAR", "A secret for RUN --mount=type=secret.", _BUILD, "--secret"
        ),
    ] = None,
    ssh: Annotated[
        list[str] | None, _text("default|ID=SOCKET", "An SSH agent to forward.", _BUILD, "--ssh")
    ] = None,
    cache_from: Annotated[
        list[str] | None, _text("REF", "An image to take layers from.", _BUILD, "--cache-from")
    ] = None,
    inline_cache: Annotated[
        bool | None, _flag("Note in the image what --cache-from needs.", _BUILD, "--inline-cache")
    ] = None,
    no_cache: Annotated[bool | None, _flag("Run every step.", _BUILD, "--no-cache")] = None,
    pull: Annotated[bool | None, _flag("Pull base images anew.", _BUILD, "--pull")] = None,
    network: Annotated[
        str | None, _text("MODE", "The network of RUN steps: default, none, host.", _BUILD)
    ] = None,
    add_hosts: Annotated[
        list[str] | None, _text("HOST:IP", "A host that RUN steps know.", _BUILD, "--add-host")
    ] = None,
    shm_size: Annotated[str | None, _text("SIZE", "Of /dev/shm, as 64m.", _BUILD)] = None,
    builder: Annotated[
        str | None, _text("auto|buildkit|classic|buildx[:NAME]", "Who builds.", _BUILD)
    ] = None,
    no_push: Annotated[
        bool | None, _flag("Build and tag in the engine only.", _PUBLISH, "--no-push")
    ] = None,
    dry_run: Annotated[
        bool | None, _flag("Check everything, change nothing.", _PUBLISH, "--dry-run")
    ] = None,
    overwrite: Annotated[
        bool | None, _flag("Replace an exact tag that is published.", _PUBLISH, "--overwrite")
    ] = None,
    allow_dirty: Annotated[
        bool | None, _flag("Build a work tree with changes.", _PUBLISH, "--allow-dirty")
    ] = None,
    jobs: Annotated[
        int | None, _text("N", "Repositories side by side. Default: 4.", _PUBLISH)
    ] = None,
    metadata_file: Annotated[
        str | None, _text("FILE", "Write the JSON to a file.", _PUBLISH)
    ] = None,
    gates: Annotated[
        list[str] | None,
        _text("COMMAND", "Run this before any floating tag moves.", _PUBLISH, "--gate"),
    ] = None,
) -> int:
    """Build the image once and publish it under every tag, in every repository."""
    own = {name: value for name, value in locals().items() if name not in {"shared", "no_push"}}
    own["push"] = False if no_push else None
    return _Command(shared, own).run()


class _Command:
    """One run of the command: what is told at its end, however it ends."""

    def __init__(self, shared: Shared, own: dict[str, Any]) -> None:
        from releasetag.report.console import ConsoleReport, people_console

        self._shared = shared
        self._own = own
        self._started = time.monotonic()
        self._people = people_console(stderr=True)
        self._report = ConsoleReport(self._people, quiet=shared.quiet, verbose=shared.verbose)
        self._metadata_file: Path | None = None
        self._dry_run = False

    def run(self) -> int:
        """Publish and tell.

        Returns:
            The exit code.
        """
        from releasetag.cli import Terminated
        from releasetag.errors import ReleasetagError
        from releasetag.report.console import print_error

        try:
            self._publish()
            self._tell(None)
        except ReleasetagError as error:
            self._report.end_progress()
            self._tell(error)
            print_error(self._people, error)
            return error.exit_code
        except (KeyboardInterrupt, Terminated) as stop:
            self._stop(signal.SIGINT if isinstance(stop, KeyboardInterrupt) else signal.SIGTERM)
        return 0

    def _publish(self) -> None:
        from releasetag.plan import plan_release
        from releasetag.publish import publish_release
        from releasetag.source import open_tools

        tree, configuration = prepare(self._shared, self._own)
        plan = plan_release(tree, configuration, os.environ, self._report.warn)
        self._metadata_file = plan.settings.metadata_file
        self._dry_run = plan.settings.dry_run

        with open_tools(os.environ) as tools:
            publish_release(tree, plan, tools, self._report)
        self._report.end_progress()

    def _tell(self, error: Any) -> None:
        """Print the tables or the JSON, and write the files that were asked for."""
        from releasetag.report.console import people_console, print_dry_run, print_publish
        from releasetag.report.github import write_outputs
        from releasetag.report.json import dumps, error_object, publish_object

        seconds = time.monotonic() - self._started
        told = publish_object(self._report, seconds)
        if error is not None:
            told["error"] = error_object(error)
        if self._metadata_file is not None:
            self._metadata_file.write_text(dumps(told) + "\n", "utf-8")
        write_outputs(self._report, seconds, os.environ)
        if self._shared.json:
            print(dumps(told))
        elif error is not None:
            if self._report.items:
                print_publish(self._people, self._report)
        elif not self._shared.quiet:
            tell = print_dry_run if self._dry_run else print_publish
            tell(people_console(stderr=False), self._report)

    def _stop(self, signal_number: int) -> NoReturn:
        """Say what was done, and end without waiting for what is under way."""
        from releasetag.errors import InterruptError
        from releasetag.report.console import print_error

        done = "what was done is listed above" if self._report.items else "nothing was pushed"
        error = InterruptError(
            f"interrupted: {done}", "run again: it goes on where this stopped", signal_number
        )
        with suppress(Exception):
            self._report.end_progress()
            self._tell(error)
            print_error(self._people, error)
        sys.stdout.flush()
        sys.stderr.flush()
        # Threads may be in the middle of an upload; a normal exit would wait for them.
        os._exit(error.exit_code)
