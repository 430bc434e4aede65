"""``releasetag publish``."""

import errno
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from releasetag.cli.options import Shared
from releasetag.cli.prepare import prepare

if TYPE_CHECKING:
    from releasetag.config import Settings
    from releasetag.errors import ReleasetagError, UsageError
    from releasetag.report.record import PublishResult

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
        str | None, _text("REF", "Publish an image of the engine or of a registry.", _SOURCE)
    ] = None,
    from_container: Annotated[
        str | None, _text("NAME", "Publish a container, committed as docker commit does.", _SOURCE)
    ] = None,
    file: Annotated[
        str | None,
        _text(
            "FILE", "The Dockerfile. Default: Dockerfile in the context.", _BUILD, "--file", "-f"
        ),
    ] = None,
    target: Annotated[str | None, _text("STAGE", "The stage to build.", _BUILD)] = None,
    build_args: Annotated[
        list[str] | None,
        _text(
            "K[=V]",
            "A build argument; K alone takes the environment's value.",
            _BUILD,
            "--build-arg",
        ),
    ] = None,
    labels: Annotated[
        list[str] | None, _text("K=V", "A label for the image.", _BUILD, "--label")
    ] = None,
    platforms: Annotated[
        list[str] | None,
        _text("P[,P…]", "Platforms to build for, such as linux/arm64.", _BUILD, "--platform"),
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
        list[str] | None,
        _text("REF", "An image to take cached layers from.", _BUILD, "--cache-from"),
    ] = None,
    inline_cache: Annotated[
        bool | None, _flag("Make the image fit for a later --cache-from.", _BUILD, "--inline-cache")
    ] = None,
    no_cache: Annotated[bool | None, _flag("Build every step anew.", _BUILD, "--no-cache")] = None,
    pull: Annotated[bool | None, _flag("Ask for newer base images.", _BUILD, "--pull")] = None,
    network: Annotated[
        str | None, _text("MODE", "The network of RUN steps: default, none or host.", _BUILD)
    ] = None,
    add_hosts: Annotated[
        list[str] | None, _text("HOST:IP", "A host name for RUN steps.", _BUILD, "--add-host")
    ] = None,
    shm_size: Annotated[
        str | None, _text("SIZE", "The size of /dev/shm in RUN steps, such as 64m.", _BUILD)
    ] = None,
    builder: Annotated[
        str | None,
        _text("BUILDER", "auto, buildkit, classic or buildx[:NAME]. Default: auto.", _BUILD),
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
        bool | None, _flag("Build though tracked files are changed.", _PUBLISH, "--allow-dirty")
    ] = None,
    jobs: Annotated[
        str | None, _text("N", "How many repositories at a time. Default: 4.", _PUBLISH)
    ] = None,
    metadata_file: Annotated[
        str | None, _text("FILE", "Write what --json prints to a file.", _PUBLISH)
    ] = None,
    gates: Annotated[
        list[str] | None,
        _text(
            "COMMAND",
            "Run before floating tags move; failing stops them. Repeatable.",
            _PUBLISH,
            "--gate",
        ),
    ] = None,
) -> int:
    """Build once and publish under every tag, in every repository.

    Running it again finishes what was stopped, and builds nothing that is published.
    """
    own = {name: value for name, value in locals().items() if name not in {"shared", "no_push"}}
    own["push"] = False if no_push else None
    return _Command(shared, own).run()


class _Command:
    """One run of the command: what is told at its end, however it ends."""

    def __init__(self, shared: Shared, own: dict[str, Any]) -> None:
        from releasetag.report.console import open_console
        from releasetag.report.progress import ConsoleReport

        self._shared = shared
        self._own = own
        self._started = time.monotonic()
        self._console = open_console(stderr=True)
        self._report = ConsoleReport(
            self._console,
            os.environ,
            time.monotonic,
            quiet=shared.quiet,
            verbose=shared.verbose,
            tables=not shared.json,
        )
        self._settings: Settings | None = None

    def run(self) -> int:
        """Publish and tell.

        Returns:
            The exit code.
        """
        from releasetag.cli.interrupt import Stopped
        from releasetag.errors import ReleasetagError

        try:
            self._publish()
        except ReleasetagError as error:
            return self._tell(error)
        except Stopped as stop:
            return self._stop(stop.signal_number)
        finally:
            self._report.end()
        return self._tell(None)

    def _publish(self) -> None:
        from releasetag.image import open_tools
        from releasetag.plan import plan_release
        from releasetag.publish import publish_release

        tree, configuration = prepare(self._shared, self._own)
        plan = plan_release(tree, configuration, os.environ, self._report.warn)
        self._settings = plan.settings
        _check_metadata_file(plan.settings.metadata_file)
        with open_tools(os.environ) as tools:
            publish_release(tree, plan, tools, self._report)

    def _tell(self, error: "ReleasetagError | None") -> int:
        """Write the files that are asked for, and print the JSON or the table, and the error.

        Returns:
            The exit code.
        """
        from releasetag.errors import UsageError
        from releasetag.report.github import write_outputs

        self._report.close()
        result = self._report.record.result(time.monotonic() - self._started, error)
        try:
            self._write_metadata_file(result)
        except UsageError as unwritten:
            result = result.failed(unwritten)
        try:
            write_outputs(result, os.environ)
        except UsageError as unwritten:
            result = result.failed(unwritten)
        self._print(result)
        if result.error is None:
            return 0
        self._report.messages.error(result.error, with_log=not self._report.shows_logs)
        return result.error.exit_code

    def _write_metadata_file(self, result: "PublishResult") -> None:
        from releasetag.report.json import format_publish

        if self._settings is not None and (file := self._settings.metadata_file):
            try:
                file.write_text(format_publish(result), "utf-8")
            except OSError as error:
                raise _unwritable(file, error) from None

    def _print(self, result: "PublishResult") -> None:
        from releasetag.report.console import Tables, is_live
        from releasetag.report.formats import choose_format

        shared = self._shared
        if result.error is None or shared.json:
            if is_live(self._console) and sys.stdout.isatty() and not (shared.json or shared.quiet):
                print()  # below the steps
            text = choose_format(json=shared.json, quiet=shared.quiet).format_publish(result)
            print(text, end="")
        elif result.items:
            # What was done before the failure belongs to the error, even if quiet.
            print(Tables(self._console).format_publish(result), end="", file=sys.stderr)
        for item in result.items:
            if item.status == "kept":
                self._report.messages.notice(f"{item.reference} is kept: {item.reason}")

    def _stop(self, signal_number: int) -> int:
        """Say what was done, and do not wait for what is under way."""
        from releasetag.errors import InterruptError

        done = (
            "what was done is listed above" if self._report.record.items else "nothing was pushed"
        )
        error = InterruptError(
            f"interrupted: {done}", "run again: it goes on where this stopped", signal_number
        )
        with suppress(Exception):
            self._tell(error)
        return error.exit_code


def _check_metadata_file(file: Path | None) -> None:
    """See before anything is done that the file can be written when all is done.

    It is not opened: in the build context, a new file would become part of the image.
    """
    if file is None:
        return
    try:
        there = file if file.exists() else file.parent
        if file.is_dir():
            why = errno.EISDIR
        elif not there.exists():
            why = errno.ENOENT
        elif not os.access(there, os.W_OK):
            why = errno.EACCES
        else:
            return
    except OSError as error:
        raise _unwritable(file, error) from None
    raise _unwritable(file, OSError(why, os.strerror(why)))


def _unwritable(file: Path, error: OSError) -> "UsageError":
    from releasetag.errors import UsageError

    return UsageError(
        f"--metadata-file: {file} cannot be written: {error.strerror}",
        "name a file in a directory that exists and can be written",
    )
