"""Credential helpers: real programs."""

import json
import os
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releasetag.credentials import Credentials, CredentialStore
from releasetag.errors import AuthError, UsageError
from tests.support.credentials import (
    ACTIONS,
    ANN,
    ANN_AUTH,
    FILE,
    HUB,
    SECRET,
    Machine,
    answer,
    check_outcome,
    everything_said_by,
    find,
    machine_in,
    store,
)
from tests.support.examples import examples


@pytest.mark.parametrize(
    ("registry", "server"),
    [("docker.io", HUB), ("ghcr.io", "ghcr.io"), ("localhost:5000", "localhost:5000")],
)
@pytest.mark.parametrize("setting", ["credsStore", "credHelpers"])
def test_a_helper_is_asked_as_docker_asks_it(
    registry: str, server: str, setting: str, machine: Machine
) -> None:
    helper = machine.helper("vault")
    helper.keep(server, "ann", SECRET)
    machine.configure({setting: "vault" if setting == "credsStore" else {server: "vault"}})
    environ = {**machine.environ, "KEEPER_SETTING": "handed on"}
    assert find(registry, environ) == ANN
    assert helper.calls() == [[["get"], server, False, "handed on"]]


def test_a_registrys_own_helper_is_asked_and_not_the_one_for_all(machine: Machine) -> None:
    own, for_all = machine.helper("own"), machine.helper("all")
    own.keep("ghcr.io", "ann", SECRET)
    for_all.keep("ghcr.io", "bob", "other")
    machine.configure({"credsStore": "all", "credHelpers": {"https://ghcr.io": "own"}})
    assert find("ghcr.io", machine.environ) == ANN
    assert find("quay.io", machine.environ) is None
    assert [call[1] for call in for_all.calls()] == ["quay.io"]


def test_an_empty_helper_name_takes_a_registry_out_of_the_store(machine: Machine) -> None:
    for_all = machine.helper("all")
    auths = {"ghcr.io": ANN_AUTH}
    machine.configure({"auths": auths, "credsStore": "all", "credHelpers": {"ghcr.io": ""}})
    assert find("ghcr.io", machine.environ) == ANN
    assert for_all.calls() == []


def test_a_helpers_token_is_an_identity_token(machine: Machine) -> None:
    machine.helper("vault").keep("ghcr.io", "<token>", SECRET)
    machine.configure({"credsStore": "vault"})
    found = find("ghcr.io", machine.environ)
    assert found == Credentials("<token>", identity_token=SECRET)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(answer("credentials not found in native keychain\r\n", 1), id="says so"),
        pytest.param(answer('{"ServerURL":"","Username":"","Secret":""}'), id="pass"),
        pytest.param(answer("{}"), id="empty"),
    ],
)
def test_a_helper_that_has_none_leaves_it_to_auths(script: str, machine: Machine) -> None:
    machine.helper("vault", script)
    machine.configure({"credsStore": "vault"})
    assert find("ghcr.io", machine.environ) is None
    machine.configure({"credsStore": "vault", "auths": {"ghcr.io": ANN_AUTH}})
    assert find("ghcr.io", machine.environ) == ANN


def test_a_missing_helper_for_all_leaves_it_to_auths(machine: Machine) -> None:
    machine.configure({"credsStore": "desktop.exe", "auths": {"ghcr.io": ANN_AUTH}})
    assert find("ghcr.io", machine.environ) == ANN
    assert find("localhost:5000", machine.environ) is None


def test_a_missing_helper_for_one_registry_is_an_error_for_that_one(machine: Machine) -> None:
    machine.configure({"credHelpers": {"ghcr.io": "vault"}, "auths": {"ghcr.io": ANN_AUTH}})
    with pytest.raises(AuthError, match=r"docker-credential-vault.*is not on PATH") as raised:
        find("ghcr.io", machine.environ)
    assert f'credHelpers["ghcr.io"] in {FILE}' in raised.value.message
    assert find("quay.io", machine.environ) is None


@pytest.mark.parametrize("place", ["", ".", "bin"])
def test_a_helper_in_the_working_directory_is_not_run(
    place: str, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = machine.helper("vault")
    monkeypatch.chdir(tmp_path if place == "bin" else machine.environ["PATH"])
    machine.configure({"credHelpers": {"ghcr.io": "vault"}})
    with pytest.raises(AuthError, match="is not on PATH"):
        find("ghcr.io", {**machine.environ, "PATH": f"{place}:/nonexistent"})
    assert helper.calls() == []


GOOD = json.dumps({"ServerURL": "ghcr.io", "Username": "ann", "Secret": SECRET})


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        pytest.param(answer(SECRET, 1), "failed to get credentials", id="fails"),
        pytest.param("#!/bin/sh\nkill -9 $$\n", "failed to get credentials", id="is killed"),
        pytest.param(answer(SECRET), "did not answer with credentials", id="no JSON"),
        pytest.param(answer(f'["{SECRET}"]'), "did not answer with credentials", id="no object"),
        pytest.param(answer(""), "did not answer with credentials", id="nothing"),
        pytest.param(
            answer(f'{{"Username": "ann", "Secret": ["{SECRET}"]}}'),
            "did not answer with credentials",
            id="wrong type",
        ),
        pytest.param("#!/nonexistent\n", "cannot be run", id="cannot be run"),
        pytest.param("#!/bin/sh\nexec sleep 60\n", "did not answer within 1 s", id="hangs"),
        pytest.param(
            f"#!/bin/sh\nprintf %s '{GOOD}'\nexec sleep 60\n",
            "did not answer within 1 s",
            id="answers and hangs",
        ),
        pytest.param(
            f"#!/bin/sh\nprintf %s '{GOOD}'\nexec >&-\nexec sleep 60\n",
            "did not answer within 1 s",
            id="answers, says that this is all, and hangs",
        ),
        pytest.param(f"#!/bin/sh\nexec yes '{GOOD}'\n", "printed more than 1 MiB", id="endless"),
        pytest.param(answer(GOOD + GOOD), "did not answer with credentials", id="two answers"),
        pytest.param(
            answer('{"Username": "ann", "Secret": ' + "[" * 100_000),
            "did not answer with credentials",
            id="nested",
        ),
        pytest.param(
            answer(r'{"Username": "ann", "Secret": "\ud800"}'),
            "did not answer with credentials",
            id="half a character",
        ),
    ],
)
@pytest.mark.parametrize("setting", [{"credsStore": "x"}, {"credHelpers": {"ghcr.io": "x"}}])
def test_a_helper_that_fails_is_named(
    *,
    setting: dict[str, object],
    script: str,
    fault: str,
    machine: Machine,
    capfd: pytest.CaptureFixture[str],
) -> None:
    machine.helper("x", script)
    machine.configure(setting)
    environ = {**machine.environ, "PATH": f"{machine.environ['PATH']}:/usr/bin:/bin"}
    timeout = 1 if "sleep" in script else 60
    with pytest.raises(AuthError, match=fault) as raised:
        CredentialStore(environ, helper_timeout=timeout).find("ghcr.io")
    assert "docker-credential-x" in raised.value.message
    assert FILE in raised.value.message
    assert SECRET not in everything_said_by(raised.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["../vault", "va ult", "vault;id", "vault\n", "väult", "a/b"])
@pytest.mark.parametrize("setting", ["credsStore", "credHelpers"])
def test_an_impossible_helper_name_is_refused(setting: str, name: str, machine: Machine) -> None:
    machine.configure({setting: name if setting == "credsStore" else {"ghcr.io": name}})
    for act in ACTIONS:
        with pytest.raises(UsageError, match=f"{setting}.*is not the name") as raised:
            act(machine.environ)
        assert name not in raised.value.message


@pytest.mark.parametrize("stream", ["1", "2", "0"])
def test_a_process_that_a_helper_leaves_behind_is_not_waited_for(
    stream: str, machine: Machine, tmp_path: Path
) -> None:
    """As gpg-agent and keyrings are; it has the helper's input, output or standard error."""
    others = " ".join(f"{each}>/dev/null" for each in "12" if each != stream)
    left = f"sleep 600 {others} & echo $! > {tmp_path}/pid"
    machine.helper("x", f"#!/bin/sh\n{left}\nprintf %s '{GOOD}'\n")
    machine.configure({"credsStore": "x"})
    environ = {**machine.environ, "PATH": f"{machine.environ['PATH']}:/usr/bin:/bin"}
    try:
        assert CredentialStore(environ, helper_timeout=60).find("ghcr.io") == ANN
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_secret_larger_than_a_pipe_reaches_the_helper(machine: Machine) -> None:
    helper = machine.helper("vault")
    machine.configure({"credsStore": "vault"})
    large = Credentials("ann", SECRET * 50_000)
    store("ghcr.io", large, machine.environ)
    assert helper.kept()["ghcr.io"]["Secret"] == large.password
    assert find("ghcr.io", machine.environ) == large


def test_a_helper_that_does_not_read_a_large_secret_is_no_hindrance(machine: Machine) -> None:
    machine.helper("vault", answer("", 0))
    machine.configure({"credsStore": "vault"})
    store("ghcr.io", Credentials("ann", SECRET * 50_000), machine.environ)


RESULTS = st.binary(max_size=60) | st.builds(
    lambda answer, before, after: before + json.dumps(answer).encode() + after,
    st.dictionaries(
        st.sampled_from(["Username", "Secret", "ServerURL", "username"]),
        st.just(SECRET) | st.text(max_size=5) | st.none() | st.lists(st.just(SECRET), max_size=2),
    ),
    st.sampled_from([b"", b"warning\n", b"\xef\xbb\xbf", b"\0"]),
    st.sampled_from([b"", b"\n", b"\nmore", b"{}", b"\xff"]),
)


@settings(max_examples=examples(60))  # each is a process
@given(printed=RESULTS, status=st.sampled_from([0, 0, 0, 1, 255]))
def test_any_answer_is_credentials_none_or_an_error_without_the_secret(
    printed: bytes, status: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        machine = machine_in(Path(directory))
        (Path(directory) / "printed").write_bytes(printed)
        machine.helper("x", f"#!/bin/sh\n/bin/cat {directory}/printed\nexit {status}\n")
        machine.configure({"credsStore": "x"})
        check_outcome(lambda: find("ghcr.io", machine.environ))
