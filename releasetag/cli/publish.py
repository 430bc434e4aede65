"""``releasetag publish``."""

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from releasetag.cli.github import read_build_outputs, with_digests, write_failure
from releasetag.cli.options import Shared
from releasetag.cli.prepare import prepare
from releasetag.config import Settings
from releasetag.errors import InterruptError, NoReleaseError, ReleasetagError, UsageError

if TYPE_CHECKING:
    from releasetag.git import WorkTree
    from releasetag.image import ImagePlan, Tools
    from releasetag.report.github import BuildOutputs
    from releasetag.report.messages import Messages
    from releasetag.report.record import PublishResult


def publish(
    shared: Shared,
    *,
    all_components: Annotated[
        bool, typer.Option("--all", help="Publish the release at HEAD of every component.")
    ] = False,
) -> int:
    """Build once and publish under every tag, in every repository.

    Running it again finishes what was stopped, and builds nothing that is published.
    """
    return _publish_all(shared) if all_components else Run(shared, _publish).run()


def _publish(run: "Run") -> None:
    from releasetag.plan import plan_release
    from releasetag.publish import publish_release

    tree, configuration = prepare(run.shared, run.report.messages)
    plan = plan_release(tree, configuration, os.environ, run.report.warn)
    with run.tools(tree, plan) as tools:
        publish_release(tree, plan, tools, run.report)


def _publish_all(shared: Shared) -> int:
    """Publish one component after the other; one that fails does not keep the others back.

    Returns:
        The exit code of the first one that failed.
    """
    from releasetag.report.github import write_all_outputs
    from releasetag.report.json import format_publishes
    from releasetag.report.messages import Messages

    messages = Messages(os.environ)
    try:
        names = _git_tags_at_head(shared, messages)
    except ReleasetagError as error:
        write_failure(error, os.environ)
        raise
    code = 0
    results: list[PublishResult] = []
    for name in names:
        settings = {**shared.settings, "git_tag": name}
        run = Run(replace(shared, settings=settings), _publish, is_one_of_many=True)
        own_code = run.run()
        code = code or own_code
        if run.result is not None:
            results.append(run.result)
        if own_code > 128:
            break
    text = format_publishes(results)
    if shared.json:
        print(text, end="")
    try:
        plan = next((each.plan for each in results if each.plan is not None), None)
        if plan is not None and (file := plan.settings.metadata_file):
            _write_metadata_file(file, text)
        if len(results) > 1:
            write_all_outputs(results, os.environ)
    except UsageError as error:
        messages.error(error)
        return code or error.exit_code
    return code


def _git_tags_at_head(shared: Shared, messages: "Messages") -> list[str]:
    """Return the git tag of the release at HEAD of every component."""
    from releasetag.plan import plan_all

    tree, configuration = prepare(shared, messages)
    plans = plan_all(tree, configuration, lambda _: None)  # each publish warns
    head = tree.head()
    names = [plan.release.git_tag for plan in plans if plan.release.revision == head]
    if not names:
        nearest = ", ".join(plan.release.git_tag for plan in plans)
        raise NoReleaseError(
            f"no component has a release at HEAD ({head[:7]})",
            f"check out the commit of one: {nearest}",
        )
    return names


class Run:
    """One run of a command that publishes, whose result is reported however it ends.

    Args:
        do: publishes, and reports to `report`.
        is_one_of_many: whether the caller prints the JSON, of all.

    Attributes:
        result: what it came to; None before it ended.
    """

    def __init__(
        self, shared: Shared, do: "Callable[[Run], None]", *, is_one_of_many: bool = False
    ) -> None:
        from releasetag.report.console import open_console
        from releasetag.report.progress import ConsoleReport

        self.shared = shared
        self._do = do
        self._is_one_of_many = is_one_of_many
        self.result: PublishResult | None = None
        self._started = time.monotonic()
        self._console = open_console(stderr=True)
        self.report = ConsoleReport(
            self._console,
            os.environ,
            time.monotonic,
            quiet=shared.quiet,
            verbose=shared.verbose,
            tables=not shared.json,
        )
        self._settings: Settings | None = None
        self._outputs: BuildOutputs | None = None

    def run(self) -> int:
        """Publish, and report the result.

        Returns:
            The exit code.
        """
        from releasetag.cli.signals import Stopped

        try:
            self._do(self)
        except ReleasetagError as error:
            return self._finish(error)
        except Stopped as stop:
            return self._stop(stop.signal_number)
        finally:
            self.report.end()
        return self._finish(None)

    @contextmanager
    def tools(self, tree: "WorkTree", plan: "ImagePlan") -> "Iterator[Tools]":
        """Open what publishing a plan needs.

        Raises:
            UsageError: the metadata file cannot be written.
        """
        from releasetag.image import open_tools

        self._settings = plan.settings
        _check_metadata_file(plan.settings.metadata_file)
        self._outputs = read_build_outputs(tree, plan, os.environ)
        with open_tools(os.environ, plan.settings.insecure_registries) as tools:
            yield tools
            self._outputs = with_digests(self._outputs, plan, self.report.record, tools)

    def _finish(self, error: ReleasetagError | None) -> int:
        """Write the files that are asked for, and print the JSON or the table, and the error.

        Returns:
            The exit code.
        """
        from releasetag.report.github import write_outputs

        self.report.close()
        result = self.report.record.result(time.monotonic() - self._started, error)
        try:
            self._write_metadata_file(result)
        except UsageError as unwritten:
            result = result.failed(unwritten)
        try:
            write_outputs(result, os.environ, self._outputs)
        except UsageError as unwritten:
            result = result.failed(unwritten)
        self.result = result
        self._print(result)
        if result.error is None:
            return 0
        self.report.messages.error(result.error, with_log=not self.report.shows_logs)
        return result.error.exit_code

    def _write_metadata_file(self, result: "PublishResult") -> None:
        from releasetag.report.json import format_publish

        if self._settings is not None and (file := self._settings.metadata_file):
            _write_metadata_file(file, format_publish(result))

    def _print(self, result: "PublishResult") -> None:
        from releasetag.report.console import Tables, is_live
        from releasetag.report.formats import choose_format

        shared = self.shared
        if result.error is None or shared.json:
            if is_live(self._console) and sys.stdout.isatty() and not (shared.json or shared.quiet):
                print()  # below the steps
            text = choose_format(json=shared.json, quiet=shared.quiet).format_publish(result)
            print("" if shared.json and self._is_one_of_many else text, end="")
        elif result.items:
            # What was done before the failure belongs to the error, even with --quiet.
            print(Tables(self._console).format_publish(result), end="", file=sys.stderr)
        for item in result.items:
            if item.status == "kept":
                self.report.messages.notice(f"{item.reference} is kept: {item.reason}")

    def _stop(self, signal_number: int) -> int:
        """Report what was done; do not wait for what is under way."""
        items = self.report.record.items
        done = "what was done is listed above" if items else "nothing was pushed"
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


def _write_metadata_file(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise _metadata_file_error(file, error) from None


def _metadata_file_error(file: Path, error: OSError) -> UsageError:
    return UsageError(
        f"--metadata-file: {file} cannot be written: {error.strerror}",
        "name a file in a directory that exists and can be written",
    )
