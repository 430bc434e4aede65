"""Docker's configuration: which entry is a registry's, and what a broken one is."""

import base64
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releasetag.credentials import Credentials
from releasetag.errors import UsageError
from tests.support.credentials import (
    ACTIONS,
    ANN,
    ANN_AUTH,
    BOB_AUTH,
    FILE,
    HUB,
    SECRET,
    Machine,
    base64_of,
    check_outcome,
    everything_said_by,
    find,
    machine_in,
)
from tests.support.examples import examples


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
    assert find(registry, machine.environ) == ANN


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
    assert find(registry, machine.environ) is None


@pytest.mark.parametrize(
    ("registry", "exact", "other"),
    [("docker.io", HUB, "docker.io"), ("ghcr.io", "ghcr.io", "https://ghcr.io")],
)
def test_dockers_own_spelling_wins(registry: str, exact: str, other: str, machine: Machine) -> None:
    machine.configure({"auths": {other: BOB_AUTH, exact: ANN_AUTH}})
    assert find(registry, machine.environ) == ANN


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
    assert find("ghcr.io", machine.environ) == expected


@pytest.mark.parametrize("text", ["", " \n", "{}", '{"auths": null}', '\ufeff{"auths": {}}'])
def test_a_file_without_settings_holds_no_credentials(text: str, machine: Machine) -> None:
    machine.configure({})
    machine.config.write_text(text)
    assert find("ghcr.io", machine.environ) is None


@pytest.mark.parametrize("act", ACTIONS)
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(f'{{"auths": {{"x": "{SECRET}"', "is not JSON (line 1, column", id="cut off"),
        pytest.param(f'"{SECRET}"', "is not a JSON object", id="text"),
        pytest.param(f'["{SECRET}"]', "is not a JSON object", id="list"),
        pytest.param("[" * 200_000, "is nested too deeply", id="deep"),
        pytest.param('{"a":' * 500 + "1" + "}" * 500, "is nested too deeply", id="rather deep"),
        pytest.param('{"a": ' + "1" * 5000 + "}", "is not JSON", id="a long number"),
        pytest.param(r'{"\ud800": "x"}', "is not JSON in Unicode", id="half a character"),
        pytest.param(" " * (16 << 20) + "{}", "is larger than 16 MiB", id="large"),
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
        ({"registrytoken": f"{SECRET}\n"}, 'auths["https://ghcr.io"].registrytoken in'),
        ({"registrytoken": f"{SECRET}é"}, 'auths["https://ghcr.io"].registrytoken in'),
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
        find("ghcr.io", environ)
    assert f"{key} {where} is not" in raised.value.message
    assert SECRET not in everything_said_by(raised.value)
    assert base64_of(SECRET) not in everything_said_by(raised.value)
    # A registry's fault is that registry's alone.
    assert find("quay.io", environ) == ANN


def test_a_broken_docker_auth_config_is_an_error(machine: Machine) -> None:
    environ = {**machine.environ, "DOCKER_AUTH_CONFIG": f"/builds/{SECRET}"}
    with pytest.raises(UsageError, match="DOCKER_AUTH_CONFIG is not JSON") as raised:
        find("ghcr.io", environ)
    assert SECRET not in everything_said_by(raised.value)


@pytest.mark.parametrize("act", ACTIONS)
def test_a_file_that_cannot_be_read_is_an_error(
    act: Callable[[dict[str, str]], object], machine: Machine
) -> None:
    machine.config.mkdir(parents=True)
    with pytest.raises(UsageError, match=r"~/.docker/config.json cannot be read: Is a directory"):
        act(machine.environ)


# Configuration from hostile bytes

KEYS = st.sampled_from(["ghcr.io", "https://ghcr.io/v2/", "GHCR.IO", "quay.io", "ghcr.io/acme", ""])
FIELDS = st.sampled_from(["auth", "username", "password", "identitytoken", "registrytoken", "x"])
STRINGS = st.text(max_size=3) | st.sampled_from(
    [
        SECRET,
        f"{SECRET}\n",
        ANN_AUTH["auth"],
        base64_of("ann"),
        base64_of(f"ann:{SECRET}\n\0"),
        base64_of(f"a\0:{SECRET}"),
        base64.b64encode(b"ann:\xff").decode(),
    ]
)
OTHERS = st.none() | st.integers() | st.lists(st.just(SECRET), max_size=2)
HELPERS = st.sampled_from(["vault", "", "a/b", "../vault", "..", "-x", "$(id)", "v\0", "é"])
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "auths": st.dictionaries(KEYS, st.dictionaries(FIELDS, STRINGS | OTHERS) | OTHERS) | OTHERS,
        "credHelpers": st.dictionaries(KEYS, HELPERS | OTHERS) | OTHERS,
        "credsStore": HELPERS | OTHERS,
    },
)
MUTATIONS = st.tuples(st.integers(0, 400), st.integers(0, 8), st.binary(max_size=4))


@settings(max_examples=examples(150))
@given(
    content=st.binary(max_size=40) | CONFIGS.map(lambda value: json.dumps(value).encode()),
    mutation=st.none() | MUTATIONS,
    in_environment=st.booleans(),
)
def test_any_configuration_is_credentials_none_or_an_error_without_a_secret(
    content: bytes, mutation: tuple[int, int, bytes] | None, in_environment: bool
) -> None:
    if mutation is not None:
        start, length, other = mutation
        content = content[:start] + other + content[start + length :]
    with tempfile.TemporaryDirectory() as directory:
        machine = machine_in(Path(directory))
        environ = machine.environ
        if in_environment:
            text = content.replace(b"\0", b"").decode("utf-8", "surrogateescape")
            environ = {**environ, "DOCKER_AUTH_CONFIG": text}
        else:
            machine.configure({})
            machine.config.write_bytes(content)
        for act in ACTIONS:
            check_outcome(partial(act, environ))
