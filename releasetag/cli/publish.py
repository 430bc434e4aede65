"""``releasetag publish``."""

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

from releasetag.cli.options import Shared
from releasetag.cli.prepare import prepare
from releasetag.config import Settings
from releasetag.errors import InterruptError, ReleasetagError, UsageError


def publish(shared: Shared) -> int:
    """Build once and publish under every tag, in every repository.

    Running it again finishes what was stopped, and builds nothing that is published.
    """
    return _Run(shared).run()


class _Run:
    """One run of the command, whose result is reported however it ends."""

    def __init__(self, shared: Shared) -> None:
        from releasetag.report.console import people_console
        from releasetag.report.progress import ConsoleReport

        self._shared = shared
        self._started = time.monotonic()
        self._people = people_console(stderr=True)
        self._report = ConsoleReport(
            self._people,
            os.environ,
            time.monotonic,
            quiet=shared.quiet,
            verbose=shared.verbose,
            tables=not shared.json,
        )
        self._settings: Settings | None = None

    def run(self) -> int:
        """Publish, and report the result.

        Returns:
            The exit code.
        """
        from releasetag.cli.signals import Stopped

        try:
            self._publish()
        except ReleasetagError as error:
            return self._finish(error)
        except Stopped as stop:
            return self._stop(stop.signal_number)
        finally:
            self._report.end()
        return self._finish(None)

    def _publish(self) -> None:
        from releasetag.image import open_tools
        from releasetag.plan import plan_release
        from releasetag.publish import publish_release

        tree, configuration = prepare(self._shared)
        plan = plan_release(tree, configuration, os.environ, self._report.warn)
        self._settings = plan.settings
        _check_metadata_file(plan.settings.metadata_file)
        with open_tools(os.environ, plan.settings.insecure_registries) as tools:
            publish_release(tree, plan, tools, self._report)

    def _finish(self, error: ReleasetagError | None) -> int:
        """Write the files that are asked for, and print the JSON or the table, and the error.

        Returns:
            The exit code.
        """
        from releasetag.report.console import print_error
        from releasetag.report.json import dumps, error_object, publish_object

        self._report.close()
        seconds = time.monotonic() - self._started
        result = publish_object(self._report, seconds)
        if error is not None:
            result["error"] = error_object(error)
        try:
            self._write_files(dumps(result) + "\n", seconds)
        except UsageError as unwritten:
            error = error or unwritten
            result["error"] = error_object(error)
        if self._shared.json:
            print(dumps(result))
        else:
            self._print_table(is_failed=error is not None)
        if error is None:
            return 0
        print_error(self._people, error, with_log=not self._report.shows_logs)
        return error.exit_code

    def _write_files(self, text: str, seconds: float) -> None:
        from releasetag.report.github import write_outputs

        if self._settings is not None and (file := self._settings.metadata_file):
            try:
                file.write_text(text, "utf-8")
            except OSError as error:
                raise _metadata_file_error(file, error) from None
        write_outputs(self._report, seconds, os.environ)

    def _print_table(self, *, is_failed: bool) -> None:
        from releasetag.report.console import (
            is_live,
            people_console,
            print_dry_run,
            print_publish,
            print_references,
        )

        if is_failed:
            # What was done before the failure belongs to the error, even with --quiet.
            if self._report.items:
                print_publish(self._people, self._report)
            return
        results = people_console(stderr=False)
        if self._shared.quiet:
            print_references(results, self._report)
            return
        if is_live(results):
            results.print()  # below the steps
        is_dry = self._settings is not None and self._settings.dry_run
        (print_dry_run if is_dry else print_publish)(results, self._report)

    def _stop(self, signal_number: int) -> int:
        """Report what was done; do not wait for what is under way."""
        done = "what was done is listed above" if self._report.items else "nothing was pushed"
        error = InterruptError(
            f"interrupted: {done}", "run again: it goes on where this stopped", signal_number
        )
        with suppress(Exception):
            self._finish(error)
        return error.exit_code


def _check_metadata_file(file: Path | None) -> None:
    """Refuse a file that cannot be written, before anything is done.

    It is not opened: in the build context, a new file would become part of the image.
    """
    if file is None:
        return
    try:
        existing = file if file.exists() else file.parent
        if file.is_dir():
            reason = errno.EISDIR
        elif not existing.exists():
            reason = errno.ENOENT
        elif not os.access(existing, os.W_OK):
            reason = errno.EACCES
        else:
            return
    except OSError as error:
        raise _metadata_file_error(file, error) from None
    raise _metadata_file_error(file, OSError(reason, os.strerror(reason)))


def _metadata_file_error(file: Path, error: OSError) -> UsageError:
    return UsageError(
        f"--metadata-file: {file} cannot be written: {error.strerror}",
        "name a file in a directory that exists and can be written",
    )
