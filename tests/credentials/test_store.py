"""Where credentials are found, stored and erased."""

import json
import os
import stat
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releasetag.credentials import Credentials, CredentialStore
from releasetag.errors import AuthError, UsageError
from tests.support.credentials import (
    ANN,
    ANN_AUTH,
    BOB_AUTH,
    FILE,
    HUB,
    SECRET,
    Machine,
    answer,
    erase,
    erase_ghcr,
    everything_said_by,
    find,
    machine_in,
    store,
    store_ann,
)
from tests.support.examples import examples


@pytest.mark.parametrize(
    "environ", [{}, {"HOME": ""}, {"HOME": "/nonexistent"}, {"HOME": "/dev/null"}]
)
def test_no_home_and_no_file_are_no_credentials(environ: dict[str, str]) -> None:
    assert find("ghcr.io", environ) is None
    assert erase("ghcr.io", environ) is False


def test_docker_config_moves_the_file(machine: Machine, tmp_path: Path) -> None:
    machine.configure({"auths": {"ghcr.io": BOB_AUTH}})
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"ghcr.io": ANN_AUTH}}))
    moved = {**machine.environ, "DOCKER_CONFIG": str(tmp_path)}
    assert find("ghcr.io", moved) == ANN
    # Docker takes an empty one for none.
    empty = {**machine.environ, "DOCKER_CONFIG": ""}
    assert find("ghcr.io", empty) == Credentials("bob", "other")


def test_docker_auth_config_wins_where_it_has_some(machine: Machine) -> None:
    machine.configure({"auths": {"ghcr.io": BOB_AUTH, "quay.io": BOB_AUTH}})
    text = json.dumps({"auths": {"https://ghcr.io": ANN_AUTH, "quay.io": {}}})
    environ = {**machine.environ, "DOCKER_AUTH_CONFIG": text}
    assert find("ghcr.io", environ) == ANN
    assert find("quay.io", environ) == Credentials("bob", "other")


def test_a_broken_file_does_not_matter_when_the_environment_answers(machine: Machine) -> None:
    machine.configure([])
    text = json.dumps({"auths": {"ghcr.io": ANN_AUTH}})
    assert find("ghcr.io", {**machine.environ, "DOCKER_AUTH_CONFIG": text}) == ANN


def test_docker_auth_config_may_name_helpers_as_gitlab_has_it(machine: Machine) -> None:
    machine.helper("vault").keep("ghcr.io", "ann", SECRET)
    text = json.dumps({"credHelpers": {"ghcr.io": "vault"}})
    assert find("ghcr.io", {**machine.environ, "DOCKER_AUTH_CONFIG": text}) == ANN


ON_ACTIONS = {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "ann", "GITHUB_TOKEN": SECRET}


@pytest.mark.parametrize(
    ("registry", "environ", "expected"),
    [
        ("ghcr.io", ON_ACTIONS, ANN),
        ("ghcr.io", {**ON_ACTIONS, "GITHUB_ACTOR": ""}, Credentials("x-access-token", SECRET)),
        ("ghcr.io", {**ON_ACTIONS, "GITHUB_ACTIONS": "false"}, None),
        ("ghcr.io", {"GITHUB_TOKEN": SECRET}, None),
        ("ghcr.io", {**ON_ACTIONS, "GITHUB_TOKEN": ""}, None),
        ("docker.io", ON_ACTIONS, None),
        ("ghcr.io.example.com", ON_ACTIONS, None),
    ],
)
def test_github_token_serves_ghcr_on_actions_alone(
    registry: str, environ: dict[str, str], expected: Credentials | None, machine: Machine
) -> None:
    assert find(registry, {**machine.environ, **environ}) == expected


def test_github_token_comes_last(machine: Machine) -> None:
    machine.configure({"auths": {"ghcr.io": BOB_AUTH}})
    found = find("ghcr.io", {**machine.environ, **ON_ACTIONS})
    assert found == Credentials("bob", "other")


@pytest.mark.parametrize(
    ("registry", "key"),
    [("docker.io", HUB), ("ghcr.io", "ghcr.io"), ("localhost:5000", "localhost:5000")],
)
def test_storing_writes_what_docker_login_writes(registry: str, key: str, machine: Machine) -> None:
    assert store(registry, ANN, machine.environ) == FILE
    assert machine.configured() == {"auths": {key: ANN_AUTH}}
    assert stat.S_IMODE(machine.config.stat().st_mode) == 0o600
    assert stat.S_IMODE(machine.config.parent.stat().st_mode) == 0o700


def test_storing_keeps_every_other_key_and_the_order(machine: Machine) -> None:
    machine.configure(
        {
            "HttpHeaders": {"X-Meta": "ä"},
            "auths": {"quay.io": BOB_AUTH, "ghcr.io": BOB_AUTH, "https://ghcr.io/v2/": BOB_AUTH},
            "credHelpers": {"gcr.io": "gcloud"},
            "someday": [1, 2.5, None],
        }
    )
    store("ghcr.io", ANN, machine.environ)
    expected = {
        "HttpHeaders": {"X-Meta": "ä"},
        "auths": {"quay.io": BOB_AUTH, "ghcr.io": ANN_AUTH},
        "credHelpers": {"gcr.io": "gcloud"},
        "someday": [1, 2.5, None],
    }
    assert json.dumps(machine.configured()) == json.dumps(expected)


def test_a_readable_file_becomes_private(machine: Machine) -> None:
    machine.configure({})
    machine.config.chmod(0o644)
    store("ghcr.io", ANN, machine.environ)
    assert stat.S_IMODE(machine.config.stat().st_mode) == 0o600


def test_the_file_stays_its_owners(machine: Machine) -> None:
    owner = os.getuid() or 1234  # another than root can only own it himself
    machine.configure({})
    os.chown(machine.config, owner, -1)
    store("ghcr.io", ANN, machine.environ)
    assert machine.config.stat().st_uid == owner


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_is_followed_to_its_target(dangling: bool, machine: Machine, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles" / "docker.json"
    if not dangling:
        target.parent.mkdir()
        target.write_text("{}")
    machine.config.parent.mkdir()
    machine.config.symlink_to("../../dotfiles/docker.json")
    store("ghcr.io", ANN, machine.environ)
    assert machine.config.is_symlink()
    assert json.loads(target.read_text()) == {"auths": {"ghcr.io": ANN_AUTH}}
    assert [path.name for path in target.parent.iterdir()] == ["docker.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.configure({"auths": {"ghcr.io": BOB_AUTH}})

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="cannot be written: No space left on device") as raised:
        store("ghcr.io", ANN, machine.environ)
    assert SECRET not in everything_said_by(raised.value)
    assert ANN_AUTH["auth"] not in everything_said_by(raised.value)
    assert machine.configured() == {"auths": {"ghcr.io": BOB_AUTH}}
    assert [path.name for path in machine.config.parent.iterdir()] == ["config.json"]


def test_writers_map_parallel_leave_a_whole_file(machine: Machine) -> None:
    def store_one(number: int) -> bool:
        registry = f"r{number}.example.com"
        store(registry, Credentials("ann", SECRET * 500), machine.environ)
        return "auths" in machine.configured()  # whoever reads meanwhile reads whole JSON

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(store_one, range(40)))
    assert [path.name for path in machine.config.parent.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({}, "neither DOCKER_CONFIG nor HOME is set"),
        ({"HOME": "/dev/null"}, "cannot be written: Not a directory"),
    ],
)
def test_storing_needs_a_place(environ: dict[str, str], fault: str) -> None:
    with pytest.raises(UsageError, match=fault) as raised:
        store("ghcr.io", ANN, environ)
    assert SECRET not in everything_said_by(raised.value)


@pytest.mark.parametrize(
    ("credentials", "fault"),
    [
        (Credentials("ann"), "a user name and a password are needed"),
        (Credentials("", SECRET), "a user name and a password are needed"),
        (Credentials("ann", registry_token=SECRET), "a user name and a password are needed"),
        (Credentials("ann", f"{SECRET}\udcff"), "is not text in UTF-8"),
        (Credentials("ann:", SECRET), "has a colon"),
        (Credentials(f"ann:{SECRET}", "x"), "has a colon"),
    ],
)
def test_what_cannot_be_stored_is_refused(
    credentials: Credentials, fault: str, machine: Machine
) -> None:
    with pytest.raises(UsageError, match=fault) as raised:
        store("docker.io", credentials, machine.environ)
    assert "docker.io" in raised.value.message
    assert SECRET not in everything_said_by(raised.value)
    assert not machine.config.exists()


@pytest.mark.parametrize(
    "setting", [{"credsStore": "vault"}, {"credsStore": "x", "credHelpers": {"ghcr.io": "vault"}}]
)
def test_a_helper_gets_secrets_over_stdin_alone(
    setting: dict[str, object], machine: Machine
) -> None:
    helper = machine.helper("vault")
    machine.configure(setting)
    before = machine.config.read_bytes()
    assert store("ghcr.io", ANN, machine.environ) == "docker-credential-vault"
    entry = {"ServerURL": "ghcr.io", "Username": "ann", "Secret": SECRET}
    assert helper.kept() == {"ghcr.io": entry}
    assert helper.calls() == [[["store"], "ghcr.io", False, None]]
    assert machine.config.read_bytes() == before


def test_storing_in_a_helper_takes_the_old_secret_out_of_the_file(machine: Machine) -> None:
    machine.helper("vault")
    auths = {"quay.io": BOB_AUTH, "ghcr.io": {}, "https://ghcr.io": BOB_AUTH}
    machine.configure({"auths": auths, "credsStore": "vault"})
    store("ghcr.io", ANN, machine.environ)
    assert machine.configured() == {"auths": {"quay.io": BOB_AUTH}, "credsStore": "vault"}
    assert find("ghcr.io", machine.environ) == ANN


@pytest.mark.parametrize("helper", [None, answer(SECRET, 1), answer(f"no such {SECRET}", 2)])
@pytest.mark.parametrize("act", [store_ann, erase_ghcr])
def test_a_helper_that_cannot_store_or_erase_is_named(
    act: Callable[[dict[str, str]], object], helper: str | None, machine: Machine
) -> None:
    if helper:
        machine.helper("vault", helper)
    machine.configure({"credsStore": "vault"})
    with pytest.raises(AuthError, match="docker-credential-vault") as raised:
        act(machine.environ)
    assert f"credsStore in {FILE}" in raised.value.message
    assert SECRET not in everything_said_by(raised.value)
    assert machine.configured() == {"credsStore": "vault"}


def test_storing_is_not_done_because_a_helper_says_not_found(machine: Machine) -> None:
    machine.helper("vault", answer("credentials not found in native keychain", 1))
    machine.configure({"credsStore": "vault"})
    with pytest.raises(AuthError, match="failed to store credentials"):
        store_ann(machine.environ)
    assert erase_ghcr(machine.environ) is False


def test_erasing_removes_all_spellings_and_nothing_else(machine: Machine) -> None:
    hub = {HUB: ANN_AUTH, "docker.io": ANN_AUTH, f"{HUB}refresh-token": ANN_AUTH}
    others = {"quay.io": BOB_AUTH, "ghcr.io/acme": BOB_AUTH}
    ghcr = {"https://ghcr.io": ANN_AUTH, "ghcr.io": {}, "http://ghcr.io/v1/": ANN_AUTH}
    machine.configure({"auths": {**hub, **others, **ghcr}, "psFormat": "x"})
    assert erase("docker.io", machine.environ) is True
    assert machine.configured() == {"auths": {**others, **ghcr}, "psFormat": "x"}
    assert erase("ghcr.io", machine.environ) is True
    assert machine.configured() == {"auths": others, "psFormat": "x"}
    before = machine.config.read_bytes()
    assert erase("ghcr.io", machine.environ) is False
    assert machine.config.read_bytes() == before


def test_erasing_nothing_makes_no_file(machine: Machine) -> None:
    assert erase("ghcr.io", machine.environ) is False
    assert not machine.config.parent.exists()


def test_erasing_asks_the_helper_for_all_spellings(machine: Machine) -> None:
    helper = machine.helper("vault")
    for server in ["ghcr.io", "https://ghcr.io", HUB, f"{HUB}access-token", "quay.io"]:
        helper.keep(server, "ann", SECRET)
    machine.configure({"credsStore": "vault", "auths": {"ghcr.io": {}, "quay.io": {}}})
    assert erase("ghcr.io", machine.environ) is True
    assert list(helper.kept()) == [HUB, f"{HUB}access-token", "quay.io"]
    assert machine.configured() == {"credsStore": "vault", "auths": {"quay.io": {}}}
    assert erase("docker.io", machine.environ) is True
    assert list(helper.kept()) == ["quay.io"]
    assert erase("docker.io", machine.environ) is False


def test_the_file_is_freed_even_if_the_helper_fails(machine: Machine) -> None:
    machine.configure({"credsStore": "vault", "auths": {"ghcr.io": ANN_AUTH}})
    with pytest.raises(AuthError, match=r"docker-credential-vault.*is not on PATH"):
        erase("ghcr.io", machine.environ)
    assert machine.configured() == {"credsStore": "vault", "auths": {}}


# Docker cuts zero bytes off a password's ends, and keeps no user name beside a helper's token.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
USERNAMES = TEXT.filter(lambda name: ":" not in name and name != "<token>")
REGISTRIES = st.sampled_from(["docker.io", "ghcr.io", "localhost:5000", "[::1]:5000"])


@given(
    registry=REGISTRIES,
    credentials=st.builds(Credentials, USERNAMES, TEXT)
    | st.builds(Credentials, USERNAMES, identity_token=TEXT),
)
def test_what_is_stored_in_the_file_is_found_and_erased(
    registry: str, credentials: Credentials
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        environ = {"HOME": directory}
        store(registry, credentials, environ)
        assert find(registry, environ) == credentials
        assert erase(registry, environ)
        assert find(registry, environ) is None


@settings(max_examples=examples(10))  # every step is a process
@given(
    registry=REGISTRIES,
    credentials=st.builds(Credentials, TEXT.filter(lambda name: name != "<token>"), TEXT)
    | st.builds(Credentials, st.just("<token>"), identity_token=TEXT),
)
def test_what_is_stored_in_a_helper_is_found(registry: str, credentials: Credentials) -> None:
    with tempfile.TemporaryDirectory() as directory:
        machine = machine_in(Path(directory))
        machine.helper("vault")
        machine.configure({"credsStore": "vault"})
        store(registry, credentials, machine.environ)
        assert find(registry, machine.environ) == credentials


# What was found is remembered


def test_a_registrys_helper_is_asked_once_in_a_run(machine: Machine) -> None:
    helper = machine.helper("vault")
    helper.keep(HUB, "ann", SECRET)
    machine.configure({"credsStore": "vault"})
    credentials = CredentialStore(machine.environ)
    names = ["docker.io", "index.docker.io", "registry-1.docker.io", HUB] * 2
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(credentials.find, names)) == [ANN] * 8
        assert list(pool.map(credentials.find, ["ghcr.io"] * 8)) == [None] * 8
    assert [call[1] for call in helper.calls()] == [HUB, "ghcr.io"]


def test_a_helper_that_fails_does_so_once_in_a_run(machine: Machine, tmp_path: Path) -> None:
    machine.helper("vault", f"#!/bin/sh\necho >> {tmp_path}/calls\nexit 1\n")
    machine.configure({"credHelpers": {"ghcr.io": "vault"}})
    credentials = CredentialStore(machine.environ)
    for _ in range(3):
        with pytest.raises(AuthError, match="failed to get credentials"):
            credentials.find("ghcr.io")
    assert (tmp_path / "calls").read_text() == "\n"
    assert credentials.find("quay.io") is None


def test_what_is_stored_or_erased_is_not_what_was_remembered(machine: Machine) -> None:
    credentials = CredentialStore(machine.environ)
    assert credentials.find("docker.io") is None
    credentials.store("index.docker.io", ANN)
    assert credentials.find("docker.io") == ANN
    credentials.erase("docker.io")
    assert credentials.find("docker.io") is None


@pytest.mark.parametrize("name", ["$(id)", "a b", "ghcr.io\n", "ghcr.io;id", "", "é.example"])
def test_what_is_no_registry_is_not_looked_up(name: str, machine: Machine) -> None:
    """An engine may ask for anything, and a hint shows what a helper was asked for."""
    machine.configure({"credsStore": "missing", "credHelpers": {name: "vault"}, "auths": {name: 1}})
    assert find(name, machine.environ) is None


def test_a_github_token_of_strange_bytes_is_an_error(machine: Machine) -> None:
    environ = {**machine.environ, **ON_ACTIONS, "GITHUB_TOKEN": f"{SECRET}\udcff"}
    with pytest.raises(UsageError, match="GITHUB_TOKEN") as raised:
        find("ghcr.io", environ)
    assert SECRET not in everything_said_by(raised.value)
