"""Who we are, per registry: from files, the environment and real helper programs."""

import base64
import json
import os
import shlex
import stat
import sys
import tempfile
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releasetag import credentials as module
from releasetag.credentials import (
    Credentials,
    erase_credentials,
    find_credentials,
    store_credentials,
)
from releasetag.errors import AuthError, ReleasetagError, UsageError

HUB = "https://index.docker.io/v1/"
FILE = "~/.docker/config.json"
SECRET = "s3cr3t-Zq9"
ANN = Credentials("ann", SECRET)
ANN_AUTH = {"auth": base64.b64encode(f"ann:{SECRET}".encode()).decode()}
BOB_AUTH = {"auth": base64.b64encode(b"bob:other").decode()}

# Speaks the protocol of docker-credential-helpers, keeps what it is given in a file beside itself,
# and writes down how it was called.
KEEPER = f"""#!{sys.executable} -IS
import json, os, pathlib, sys
here = pathlib.Path(__file__)
kept_file = here.with_name(here.name + ".kept")
kept = json.loads(kept_file.read_text()) if kept_file.exists() else {{}}
action, text = sys.argv[1], sys.stdin.read()
server = json.loads(text)["ServerURL"] if action == "store" else text
with here.with_name(here.name + ".calls").open("a") as calls:
    call = [sys.argv[1:], server, os.isatty(0), os.environ.get("KEEPER_SETTING")]
    calls.write(json.dumps(call) + chr(10))
if action == "store":
    kept[server] = json.loads(text)
elif server not in kept:
    print("credentials not found in native keychain")
    sys.exit(1)
elif action == "get":
    print(json.dumps(kept[server]))
else:
    del kept[server]
kept_file.write_text(json.dumps(kept))
"""


@dataclass(frozen=True)
class Helper:
    """A helper program in the machine's PATH, and what it keeps and was asked."""

    program: Path

    def keep(self, server: str, username: str, secret: str) -> None:
        entry = {"ServerURL": server, "Username": username, "Secret": secret}
        self._file("kept").write_text(json.dumps({**self.kept(), server: entry}))

    def kept(self) -> dict[str, dict[str, str]]:
        file = self._file("kept")
        kept: dict[str, dict[str, str]] = json.loads(file.read_text()) if file.exists() else {}
        return kept

    def calls(self) -> list[list[object]]:
        file = self._file("calls")
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def _file(self, what: str) -> Path:
        return self.program.with_name(f"{self.program.name}.{what}")


@dataclass(frozen=True)
class Machine:
    """A home directory, a PATH of its own, and the environment that says so."""

    environ: dict[str, str]

    @property
    def config(self) -> Path:
        return Path(self.environ["HOME"], ".docker", "config.json")

    def configure(self, config: object) -> None:
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(json.dumps(config))

    def configured(self) -> dict[str, object]:
        config: dict[str, object] = json.loads(self.config.read_bytes())
        return config

    def helper(self, name: str, script: str = KEEPER) -> Helper:
        program = Path(self.environ["PATH"], f"docker-credential-{name}")
        program.write_text(script)
        program.chmod(0o755)
        return Helper(program)


def machine_in(directory: Path) -> Machine:
    home, programs = directory / "home", directory / "bin"
    home.mkdir()
    programs.mkdir()
    return Machine({"HOME": str(home), "PATH": str(programs)})


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_in(tmp_path)


def answer(text: str, status: int = 0) -> str:
    """A helper that says one thing, on both outputs, and does not read its input."""
    said = f"printf %s {shlex.quote(text)}"
    return f"#!/bin/sh\n{said}\n{said} >&2\nexit {status}\n"


# Where they come from


@pytest.mark.parametrize(
    ("registry", "key"),
    [
        ("docker.io", HUB),
        ("docker.io", "https://index.docker.io/v1"),
        ("docker.io", "https://index.docker.io/v2/"),
        ("docker.io", "https://index.docker.io/"),
        ("docker.io", "https://index.docker.io"),
        ("docker.io", "index.docker.io/v1/"),
        ("docker.io", "index.docker.io"),
        ("docker.io", "docker.io"),
        ("docker.io", "https://docker.io"),
        ("docker.io", "registry-1.docker.io"),
        ("docker.io", "https://registry-1.docker.io/v2/"),
        ("index.docker.io", HUB),
        ("ghcr.io", "ghcr.io"),
        ("ghcr.io", "GHCR.io"),
        ("GHCR.io", "ghcr.io"),
        ("ghcr.io", "https://ghcr.io"),
        ("ghcr.io", "http://ghcr.io"),
        ("ghcr.io", "HTTPS://ghcr.io/"),
        ("ghcr.io", "https://ghcr.io/v1/"),
        ("ghcr.io", "https://ghcr.io/v2"),
        ("ghcr.io", "ghcr.io/v2/"),
        ("localhost:5000", "localhost:5000"),
        ("localhost:5000", "http://localhost:5000/v2/"),
        ("[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_every_spelling_of_a_key_is_found(registry: str, key: str, machine: Machine) -> None:
    machine.configure({"auths": {"example.com": BOB_AUTH, key: ANN_AUTH}})
    assert find_credentials(registry, machine.environ) == ANN


@pytest.mark.parametrize(
    ("registry", "key"),
    [
        ("ghcr.io", "ghcr.io.example.com"),
        ("ghcr.io", "example.com/ghcr.io"),
        ("ghcr.io", "ghcr.io/acme"),
        ("ghcr.io", "https://ghcr.io/v2/acme"),
        ("ghcr.io", "https://ghcr.io@example.com"),
        ("ghcr.io", "ftp://ghcr.io"),
        ("ghcr.io", "ghcr.io:443"),
        ("ghcr.io", ""),
        ("localhost:5000", "localhost"),
        ("localhost", "localhost:5000"),
        ("docker.io", f"{HUB}access-token"),
        ("docker.io", f"{HUB}refresh-token"),
        ("docker.io", "hub.docker.io"),
    ],
)
def test_another_registrys_key_is_not_used(registry: str, key: str, machine: Machine) -> None:
    machine.configure({"auths": {key: ANN_AUTH}, "credHelpers": {key: "missing"}})
    assert find_credentials(registry, machine.environ) is None


@pytest.mark.parametrize(
    ("registry", "exact", "other"),
    [("docker.io", HUB, "docker.io"), ("ghcr.io", "ghcr.io", "https://ghcr.io")],
)
def test_dockers_own_spelling_wins(registry: str, exact: str, other: str, machine: Machine) -> None:
    machine.configure({"auths": {other: BOB_AUTH, exact: ANN_AUTH}})
    assert find_credentials(registry, machine.environ) == ANN


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (ANN_AUTH, ANN),
        ({"auth": base64_of("ann:a:b::c")}, Credentials("ann", "a:b::c")),
        ({"auth": base64_of("änn:pässwörd")}, Credentials("änn", "pässwörd")),
        ({"auth": base64_of("ann:word\0\0")}, Credentials("ann", "word")),
        ({"auth": base64_of("ann:" + "x" * 90)[:76] + "\n" + base64_of("ann:" + "x" * 90)[76:]},
         Credentials("ann", "x" * 90)),
        ({"username": "ann", "password": SECRET}, ANN),
        ({"username": "bob", "password": "other", **ANN_AUTH}, ANN),
        ({"identitytoken": SECRET}, Credentials("", identity_token=SECRET)),
        ({"auth": base64_of("ann:"), "identitytoken": SECRET},
         Credentials("ann", identity_token=SECRET)),
        ({"registrytoken": SECRET}, Credentials("", registry_token=SECRET)),
        ({**ANN_AUTH, "email": "ann@example.com"}, ANN),
        ({"auth": None, "username": "ann", "password": SECRET, "identitytoken": None}, ANN),
        ({}, None),
        (None, None),
        ({"auth": "", "identitytoken": ""}, None),
        ({"email": "ann@example.com"}, None),
    ],
)  # fmt: skip
def test_what_an_entry_of_auths_means(
    entry: object, expected: Credentials | None, machine: Machine
) -> None:
    machine.configure({"auths": {"ghcr.io": entry}})
    assert find_credentials("ghcr.io", machine.environ) == expected


@pytest.mark.parametrize("text", ["", " \n", "{}", '{"auths": null}', '\ufeff{"auths": {}}'])
def test_a_file_without_settings_holds_no_credentials(text: str, machine: Machine) -> None:
    machine.configure({})
    machine.config.write_text(text)
    assert find_credentials("ghcr.io", machine.environ) is None


@pytest.mark.parametrize(
    "environ", [{}, {"HOME": ""}, {"HOME": "/nonexistent"}, {"HOME": "/dev/null"}]
)
def test_no_home_and_no_file_are_no_credentials(environ: dict[str, str]) -> None:
    assert find_credentials("ghcr.io", environ) is None
    assert erase_credentials("ghcr.io", environ) is False


def test_docker_config_moves_the_file(machine: Machine, tmp_path: Path) -> None:
    machine.configure({"auths": {"ghcr.io": BOB_AUTH}})
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"ghcr.io": ANN_AUTH}}))
    moved = {**machine.environ, "DOCKER_CONFIG": str(tmp_path)}
    assert find_credentials("ghcr.io", moved) == ANN
    # Docker takes an empty one for none.
    empty = {**machine.environ, "DOCKER_CONFIG": ""}
    assert find_credentials("ghcr.io", empty) == Credentials("bob", "other")


def test_docker_auth_config_wins_where_it_has_some(machine: Machine) -> None:
    machine.configure({"auths": {"ghcr.io": BOB_AUTH, "quay.io": BOB_AUTH}})
    text = json.dumps({"auths": {"https://ghcr.io": ANN_AUTH, "quay.io": {}}})
    environ = {**machine.environ, "DOCKER_AUTH_CONFIG": text}
    assert find_credentials("ghcr.io", environ) == ANN
    assert find_credentials("quay.io", environ) == Credentials("bob", "other")


def test_a_broken_file_does_not_matter_when_the_environment_answers(machine: Machine) -> None:
    machine.configure([])
    text = json.dumps({"auths": {"ghcr.io": ANN_AUTH}})
    assert find_credentials("ghcr.io", {**machine.environ, "DOCKER_AUTH_CONFIG": text}) == ANN


def test_docker_auth_config_may_name_helpers_as_gitlab_has_it(machine: Machine) -> None:
    machine.helper("vault").keep("ghcr.io", "ann", SECRET)
    text = json.dumps({"credHelpers": {"ghcr.io": "vault"}})
    assert find_credentials("ghcr.io", {**machine.environ, "DOCKER_AUTH_CONFIG": text}) == ANN


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
    assert find_credentials(registry, {**machine.environ, **environ}) == expected


def test_github_token_comes_last(machine: Machine) -> None:
    machine.configure({"auths": {"ghcr.io": BOB_AUTH}})
    found = find_credentials("ghcr.io", {**machine.environ, **ON_ACTIONS})
    assert found == Credentials("bob", "other")


# Helpers


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
    assert find_credentials(registry, environ) == ANN
    assert helper.calls() == [[["get"], server, False, "handed on"]]


def test_a_registrys_own_helper_is_asked_and_not_the_one_for_all(machine: Machine) -> None:
    own, for_all = machine.helper("own"), machine.helper("all")
    own.keep("ghcr.io", "ann", SECRET)
    for_all.keep("ghcr.io", "bob", "other")
    machine.configure({"credsStore": "all", "credHelpers": {"https://ghcr.io": "own"}})
    assert find_credentials("ghcr.io", machine.environ) == ANN
    assert find_credentials("quay.io", machine.environ) is None
    assert [call[1] for call in for_all.calls()] == ["quay.io"]


def test_an_empty_helper_name_takes_a_registry_out_of_the_store(machine: Machine) -> None:
    for_all = machine.helper("all")
    auths = {"ghcr.io": ANN_AUTH}
    machine.configure({"auths": auths, "credsStore": "all", "credHelpers": {"ghcr.io": ""}})
    assert find_credentials("ghcr.io", machine.environ) == ANN
    assert for_all.calls() == []


def test_a_helpers_token_is_an_identity_token(machine: Machine) -> None:
    machine.helper("vault").keep("ghcr.io", "<token>", SECRET)
    machine.configure({"credsStore": "vault"})
    found = find_credentials("ghcr.io", machine.environ)
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
    assert find_credentials("ghcr.io", machine.environ) is None
    machine.configure({"credsStore": "vault", "auths": {"ghcr.io": ANN_AUTH}})
    assert find_credentials("ghcr.io", machine.environ) == ANN


def test_a_missing_helper_for_all_leaves_it_to_auths(machine: Machine) -> None:
    machine.configure({"credsStore": "desktop.exe", "auths": {"ghcr.io": ANN_AUTH}})
    assert find_credentials("ghcr.io", machine.environ) == ANN
    assert find_credentials("localhost:5000", machine.environ) is None


def test_a_missing_helper_for_one_registry_is_an_error_for_that_one(machine: Machine) -> None:
    machine.configure({"credHelpers": {"ghcr.io": "vault"}, "auths": {"ghcr.io": ANN_AUTH}})
    with pytest.raises(AuthError, match=r"docker-credential-vault.*is not on PATH") as raised:
        find_credentials("ghcr.io", machine.environ)
    assert f'credHelpers["ghcr.io"] in {FILE}' in raised.value.message
    assert find_credentials("quay.io", machine.environ) is None


@pytest.mark.parametrize("place", ["", ".", "bin"])
def test_a_helper_in_the_working_directory_is_not_run(
    place: str, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = machine.helper("vault")
    monkeypatch.chdir(tmp_path if place == "bin" else machine.environ["PATH"])
    machine.configure({"credHelpers": {"ghcr.io": "vault"}})
    with pytest.raises(AuthError, match="is not on PATH"):
        find_credentials("ghcr.io", {**machine.environ, "PATH": f"{place}:/nonexistent"})
    assert helper.calls() == []


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
        pytest.param("#!/bin/sh\nexec sleep 60\n", "did not answer within 0.2 s", id="hangs"),
    ],
)
@pytest.mark.parametrize("setting", [{"credsStore": "x"}, {"credHelpers": {"ghcr.io": "x"}}])
def test_a_helper_that_fails_is_named(
    *,
    setting: dict[str, object],
    script: str,
    fault: str,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if "sleep" in script:
        monkeypatch.setattr(module, "_HELPER_TIMEOUT", 0.2)
    machine.helper("x", script)
    machine.configure(setting)
    environ = {**machine.environ, "PATH": f"{machine.environ['PATH']}:/usr/bin:/bin"}
    with pytest.raises(AuthError, match=fault) as raised:
        find_credentials("ghcr.io", environ)
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


# Broken configurations


def store_ann(environ: dict[str, str]) -> object:
    return store_credentials("ghcr.io", ANN, environ)


def find_ghcr(environ: dict[str, str]) -> object:
    return find_credentials("ghcr.io", environ)


def erase_ghcr(environ: dict[str, str]) -> object:
    return erase_credentials("ghcr.io", environ)


ACTIONS: list[Callable[[dict[str, str]], object]] = [find_ghcr, store_ann, erase_ghcr]


def everything_said_by(error: ReleasetagError) -> str:
    """All that any handler could print of an error, causes and their documents as well."""
    said = [error.message, error.hint, repr(error), *traceback.format_exception(error)]
    cause: BaseException | None = error
    while cause is not None:
        said.append(f"{cause!r} {vars(cause)}")
        cause = cause.__cause__ or cause.__context__
    return "\n".join(said)


@pytest.mark.parametrize("act", ACTIONS)
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(f'{{"auths": {{"x": "{SECRET}"', "is not JSON (line 1, column", id="cut off"),
        pytest.param(f'"{SECRET}"', "is not a JSON object", id="text"),
        pytest.param(f'["{SECRET}"]', "is not a JSON object", id="list"),
        pytest.param("[" * 200_000, "is not JSON", id="deep"),
        pytest.param(f'{{"\udcff": "{SECRET}"}}', "is not JSON", id="not UTF-8"),
        pytest.param(f'{{"auths": ["{SECRET}"]}}', "auths in", id="auths"),
        pytest.param(f'{{"credHelpers": "{SECRET}"}}', "credHelpers in", id="credHelpers"),
        pytest.param(
            f'{{"credHelpers": {{"ghcr.io": ["{SECRET}"]}}}}',
            'credHelpers["ghcr.io"] in',
            id="a helper",
        ),
        pytest.param(f'{{"credsStore": {{"x": "{SECRET}"}}}}', "credsStore in", id="credsStore"),
        pytest.param(f'{{"credsStore": "/{SECRET}"}}', "credsStore in", id="a path"),
    ],
)
def test_a_broken_configuration_is_named_kept_and_not_shown(
    act: Callable[[dict[str, str]], object], text: str, fault: str, machine: Machine
) -> None:
    machine.config.parent.mkdir()
    machine.config.write_bytes(text.encode(errors="surrogateescape"))
    before = machine.config.read_bytes()
    with pytest.raises(UsageError) as raised:
        act(machine.environ)
    assert fault in raised.value.message
    assert FILE in raised.value.message
    assert SECRET not in everything_said_by(raised.value)
    assert machine.config.read_bytes() == before
    assert [path.name for path in machine.config.parent.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        (SECRET, 'auths["https://ghcr.io"] in'),
        ([SECRET], 'auths["https://ghcr.io"] in'),
        ({"auth": [SECRET]}, 'auths["https://ghcr.io"].auth in'),
        ({"auth": SECRET}, 'auths["https://ghcr.io"].auth in'),
        ({"auth": SECRET + "é"}, 'auths["https://ghcr.io"].auth in'),
        ({"auth": "!" + ANN_AUTH["auth"]}, 'auths["https://ghcr.io"].auth in'),
        ({"auth": base64_of(SECRET)}, 'auths["https://ghcr.io"].auth in'),
        ({"auth": base64_of(f":{SECRET}")}, 'auths["https://ghcr.io"].auth in'),
        ({"auth": base64.b64encode(b"ann:\xff").decode()}, 'auths["https://ghcr.io"].auth in'),
        ({"username": "ann", "password": 5}, 'auths["https://ghcr.io"].password in'),
        ({"identitytoken": {"x": SECRET}}, 'auths["https://ghcr.io"].identitytoken in'),
        ({"registrytoken": [SECRET]}, 'auths["https://ghcr.io"].registrytoken in'),
    ],
)
@pytest.mark.parametrize("where", [FILE, "DOCKER_AUTH_CONFIG"])
def test_a_broken_entry_is_named_and_not_shown(
    where: str, entry: object, key: str, machine: Machine
) -> None:
    config = {"auths": {"https://ghcr.io": entry, "quay.io": ANN_AUTH}}
    machine.configure(config if where == FILE else {})
    text = "" if where == FILE else json.dumps(config)
    environ = {**machine.environ, "DOCKER_AUTH_CONFIG": text}
    with pytest.raises(UsageError) as raised:
        find_credentials("ghcr.io", environ)
    assert f"{key} {where} is not" in raised.value.message
    assert SECRET not in everything_said_by(raised.value)
    assert base64_of(SECRET) not in everything_said_by(raised.value)
    # A registry's fault is that registry's alone.
    assert find_credentials("quay.io", environ) == ANN


def test_a_broken_docker_auth_config_is_an_error(machine: Machine) -> None:
    environ = {**machine.environ, "DOCKER_AUTH_CONFIG": f"/builds/{SECRET}"}
    with pytest.raises(UsageError, match="DOCKER_AUTH_CONFIG is not JSON") as raised:
        find_credentials("ghcr.io", environ)
    assert SECRET not in everything_said_by(raised.value)


@pytest.mark.parametrize("act", ACTIONS)
def test_a_file_that_cannot_be_read_is_an_error(
    act: Callable[[dict[str, str]], object], machine: Machine
) -> None:
    machine.config.mkdir(parents=True)
    with pytest.raises(UsageError, match=r"~/.docker/config.json cannot be read: Is a directory"):
        act(machine.environ)


# Storing and erasing


@pytest.mark.parametrize(
    ("registry", "key"),
    [("docker.io", HUB), ("ghcr.io", "ghcr.io"), ("localhost:5000", "localhost:5000")],
)
def test_storing_writes_what_docker_login_writes(registry: str, key: str, machine: Machine) -> None:
    assert store_credentials(registry, ANN, machine.environ) == FILE
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
    store_credentials("ghcr.io", ANN, machine.environ)
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
    store_credentials("ghcr.io", ANN, machine.environ)
    assert stat.S_IMODE(machine.config.stat().st_mode) == 0o600


def test_the_file_stays_its_owners(machine: Machine) -> None:
    owner = os.getuid() or 1234  # another than root can only own it himself
    machine.configure({})
    os.chown(machine.config, owner, -1)
    store_credentials("ghcr.io", ANN, machine.environ)
    assert machine.config.stat().st_uid == owner


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_is_followed_to_its_target(dangling: bool, machine: Machine, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles" / "docker.json"
    if not dangling:
        target.parent.mkdir()
        target.write_text("{}")
    machine.config.parent.mkdir()
    machine.config.symlink_to("../../dotfiles/docker.json")
    store_credentials("ghcr.io", ANN, machine.environ)
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
        store_credentials("ghcr.io", ANN, machine.environ)
    assert SECRET not in everything_said_by(raised.value)
    assert ANN_AUTH["auth"] not in everything_said_by(raised.value)
    assert machine.configured() == {"auths": {"ghcr.io": BOB_AUTH}}
    assert [path.name for path in machine.config.parent.iterdir()] == ["config.json"]


def test_writers_side_by_side_leave_a_whole_file(machine: Machine) -> None:
    def store(number: int) -> bool:
        registry = f"r{number}.example.com"
        store_credentials(registry, Credentials("ann", SECRET * 500), machine.environ)
        return "auths" in machine.configured()  # whoever reads meanwhile reads whole JSON

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(store, range(40)))
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
        store_credentials("ghcr.io", ANN, environ)
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
        store_credentials("docker.io", credentials, machine.environ)
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
    assert store_credentials("ghcr.io", ANN, machine.environ) == "docker-credential-vault"
    entry = {"ServerURL": "ghcr.io", "Username": "ann", "Secret": SECRET}
    assert helper.kept() == {"ghcr.io": entry}
    assert helper.calls() == [[["store"], "ghcr.io", False, None]]
    assert machine.config.read_bytes() == before


def test_storing_in_a_helper_takes_the_old_secret_out_of_the_file(machine: Machine) -> None:
    machine.helper("vault")
    auths = {"quay.io": BOB_AUTH, "ghcr.io": {}, "https://ghcr.io": BOB_AUTH}
    machine.configure({"auths": auths, "credsStore": "vault"})
    store_credentials("ghcr.io", ANN, machine.environ)
    assert machine.configured() == {"auths": {"quay.io": BOB_AUTH}, "credsStore": "vault"}
    assert find_credentials("ghcr.io", machine.environ) == ANN


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
    assert erase_credentials("docker.io", machine.environ) is True
    assert machine.configured() == {"auths": {**others, **ghcr}, "psFormat": "x"}
    assert erase_credentials("ghcr.io", machine.environ) is True
    assert machine.configured() == {"auths": others, "psFormat": "x"}
    before = machine.config.read_bytes()
    assert erase_credentials("ghcr.io", machine.environ) is False
    assert machine.config.read_bytes() == before


def test_erasing_nothing_makes_no_file(machine: Machine) -> None:
    assert erase_credentials("ghcr.io", machine.environ) is False
    assert not machine.config.parent.exists()


def test_erasing_asks_the_helper_for_all_spellings(machine: Machine) -> None:
    helper = machine.helper("vault")
    for server in ["ghcr.io", "https://ghcr.io", HUB, f"{HUB}access-token", "quay.io"]:
        helper.keep(server, "ann", SECRET)
    machine.configure({"credsStore": "vault", "auths": {"ghcr.io": {}, "quay.io": {}}})
    assert erase_credentials("ghcr.io", machine.environ) is True
    assert list(helper.kept()) == [HUB, f"{HUB}access-token", "quay.io"]
    assert machine.configured() == {"credsStore": "vault", "auths": {"quay.io": {}}}
    assert erase_credentials("docker.io", machine.environ) is True
    assert list(helper.kept()) == ["quay.io"]
    assert erase_credentials("docker.io", machine.environ) is False


def test_the_file_is_freed_even_if_the_helper_fails(machine: Machine) -> None:
    machine.configure({"credsStore": "vault", "auths": {"ghcr.io": ANN_AUTH}})
    with pytest.raises(AuthError, match=r"docker-credential-vault.*is not on PATH"):
        erase_credentials("ghcr.io", machine.environ)
    assert machine.configured() == {"credsStore": "vault", "auths": {}}


# What is stored is found


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
        store_credentials(registry, credentials, environ)
        assert find_credentials(registry, environ) == credentials
        assert erase_credentials(registry, environ)
        assert find_credentials(registry, environ) is None


@settings(max_examples=10, deadline=None)  # every step is a process
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
        store_credentials(registry, credentials, machine.environ)
        assert find_credentials(registry, machine.environ) == credentials


def test_secrets_are_not_in_the_repr() -> None:
    credentials = Credentials("ann", SECRET, SECRET, SECRET)
    assert SECRET not in f"{credentials!r} {credentials}"
    assert "ann" in repr(credentials)
