"""releasetag.gate: commands that look at what was pushed."""

import os
import sys
from pathlib import Path

import pytest

from releasetag.errors import GateError, UsageError
from releasetag.gate import parse_gate, run_gate


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("test sign --yes", ["test", "sign", "--yes"]),
        ("sh -c 'test -n \"$X\"'", ["sh", "-c", 'test -n "$X"']),
        ("\"t\"'es't a\\ b", ["test", "a b"]),
        # There is no shell that would see these.
        ("test && b; c > $D | `e`", ["test", "&&", "b;", "c", ">", "$D", "|", "`e`"]),
        ("/bin/sh # all", ["/bin/sh", "#", "all"]),
    ],
)
def test_a_gate_is_split_as_a_shell_splits_words(command: str, words: list[str]) -> None:
    assert parse_gate(command, {"PATH": os.environ["PATH"]}) == words


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "without a command"),
        ("  ", "without"),
        ("sh -c 'x", "quot"),
        ("a\0b", "without"),
        ("no-such-gate secret", "^the gate 'no-such-gate' is no program that can be run$"),
        ("/ secret", "^the gate '/' is no program"),
        ("PASSWORD=secret sign", "^a gate begins with a variable, and not with a program$"),
    ],
)
def test_a_gate_that_cannot_be_split_is_a_usage_error(command: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        parse_gate(command, {"PATH": os.environ["PATH"]})

    assert error.value.exit_code == 2


def test_a_gate_that_agrees_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    run_gate(["true"], {"PATH": os.environ["PATH"]})

    assert capfd.readouterr() == ("", "")


def test_a_gate_has_the_environment_that_it_is_given_and_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HIDDEN", "1")
    code = f"import json, os; json.dump(dict(os.environ), open({str(tmp_path / 'out')!r}, 'w'))"

    run_gate([sys.executable, "-c", code], {"RELEASETAG_VERSION": "1.2.3"})

    seen = (tmp_path / "out").read_text()
    assert '"RELEASETAG_VERSION": "1.2.3"' in seen
    assert "HIDDEN" not in seen


def test_what_a_gate_prints_goes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    run_gate(["sh", "-c", "echo out; echo err >&2"], {"PATH": os.environ["PATH"]})

    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == "out\nerr\n"


def test_a_gate_has_no_input_to_wait_for() -> None:
    run_gate(["sh", "-c", "! read line"], {"PATH": os.environ["PATH"]})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sh", "-c", "exit 3", "secret"], r"'sh' refused \(exit code 3\)"),
        (["sh", "-c", "kill -9 $$", "secret"], "'sh' was killed by signal 9"),
        (["no-such-gate", "secret"], "'no-such-gate' cannot be run: No such file"),
        (["/", "secret"], "'/' cannot be run: Permission denied"),
    ],
)
def test_a_gate_that_refuses_says_how_and_not_what_it_was_told(
    words: list[str], message: str
) -> None:
    with pytest.raises(GateError, match=message) as error:
        run_gate(words, {"PATH": os.environ["PATH"]})

    assert error.value.exit_code == 10
    assert "no floating tag moved" in error.value.hint
    assert "secret" not in error.value.message + error.value.hint
