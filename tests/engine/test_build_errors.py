"""The error for a failed build, by what the builder reports."""

import pytest

from releasetag.engine.build_errors import build_error


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("failed to solve: secret npm: not found", "--secret"),
        ('failed to solve: no SSH key "" forwarded from the client', "--ssh"),
        ("failed to solve: no result for incomplete build", "# syntax"),
        ("requested experimental feature exec.secretenv is not supported by build server", "newer"),
        (
            'failed to compute cache key: failed to calculate checksum of ref a: "/c": not found',
            "files of the context",
        ),
        ('failed to solve: failed to compute cache key: "/c" not found: not found', "the context"),
        (
            "failed to load cache key: Get http://h/x: dial tcp 127.0.0.1:1: connection refused",
            "cannot reach",
        ),
        ("r.test/app: failed to resolve source metadata for r.test/app: not found", "FROM"),
        ("failed to authorize: unexpected status: 401 Unauthorized", "releasetag login"),
        # The text of an instruction is not the builder's own.
        (
            'process "/bin/sh -c cmake --build target; echo 401 unauthorized" did not complete'
            " successfully: exit code: 1",
            "correct the Dockerfile, or",
        ),
        (
            "executor failed running [/bin/sh -c echo build context not found]: exit code: 1",
            "correct the Dockerfile, or",
        ),
        (
            "The command '/bin/sh -c echo parse error' returned a non-zero code: 1",
            "or what it runs",
        ),
    ],
)
def test_the_hint_is_for_the_builders_message(message: str, hint: str) -> None:
    assert hint in build_error(message, ()).hint


def test_a_hint_from_a_steps_output_is_for_what_no_step_prints_itself() -> None:
    assert "last lines" in build_error("exit code: 1", ("HTTP 401 Unauthorized",)).hint
    assert "emulators" in build_error("exit code: 1", ("sh: exec format error",)).hint
