"""The engine is found at every kind of address, and obstacles are named."""

import contextlib
import os
import socket
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from releasetag.engine import connect as connect_module
from releasetag.engine.connect import connect
from releasetag.engine.endpoint import Endpoint
from releasetag.engine.ssh import command
from releasetag.errors import EngineError
from tests.conftest import StartRegistry
from tests.engine.relay import listening, write_ssh
from tests.support.certificates import Identity, make_authority, make_server_identity
from tests.support.engine import Engine


def path_of(engine: Engine) -> str:
    return engine.host.removeprefix("unix://")


def use_as_default_sockets(addresses: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the real ones: whether they are there depends on the machine."""
    found = tuple(Endpoint(address, "default") for address in addresses)
    monkeypatch.setattr(connect_module, "endpoints", lambda environ: found)


def test_an_engine_is_described(engine: Engine) -> None:
    found = connect(engine.environ)
    assert found.address == engine.host
    assert found.kind == "docker"
    assert (found.os, found.has_buildkit) == ("linux", True)
    assert found.client.ping()
    assert found.client.api_version == found.api_version
    assert found.url("/x").endswith(f"/v{found.api_version}/x")


def test_the_first_socket_that_answers_is_used(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [f"unix://{tmp_path}/docker.sock", engine.host, f"unix://{tmp_path}/other.sock"]
    use_as_default_sockets(addresses, monkeypatch)
    assert connect({}).address == engine.host


def test_an_engine_is_reached_by_tcp(engine: Engine) -> None:
    with listening(path_of(engine)) as port:
        found = connect({"DOCKER_HOST": f"tcp://127.0.0.1:{port}"})
        assert found.client.ping()
        found.client.close()


@pytest.fixture
def authority() -> Identity:
    return make_authority("engine authority")


@pytest.fixture
def tls_port(engine: Engine, authority: Identity, tmp_path: Path) -> Iterator[int]:
    """A relay that wants a client certificate of the authority, as a remote engine does."""
    server = make_server_identity(authority)
    for name, pem in (("cert", server.certificate_pem), ("key", server.key_pem)):
        (tmp_path / f"server-{name}.pem").write_bytes(pem)
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server-cert.pem", tmp_path / "server-key.pem")
    context.load_verify_locations(tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    with listening(path_of(engine), context) as port:
        yield port


def write_client(folder: Path, authority: Identity) -> None:
    client = make_server_identity(authority)
    (folder / "cert.pem").write_bytes(client.certificate_pem)
    (folder / "key.pem").write_bytes(client.key_pem)


def test_an_engine_is_reached_by_tls_with_a_client_certificate(
    tls_port: int, authority: Identity, tmp_path: Path
) -> None:
    write_client(tmp_path, authority)
    found = connect(
        {
            "DOCKER_HOST": f"tcp://127.0.0.1:{tls_port}",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(tmp_path),
        }
    )
    assert found.client.ping()
    found.client.close()


def test_an_engine_with_a_certificate_of_another_authority_is_refused(
    tls_port: int, authority: Identity, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_client(other, authority)
    (other / "ca.pem").write_bytes(make_authority("another").certificate_pem)
    environ = {"DOCKER_HOST": f"tcp://127.0.0.1:{tls_port}", "DOCKER_CERT_PATH": str(other)}
    with pytest.raises(EngineError, match=r"TLS: .*(certificate|CERTIFICATE)"):
        connect({**environ, "DOCKER_TLS_VERIFY": "1"})
    with warnings.catch_warnings(action="error"):
        # Not verified: that is what DOCKER_CERT_PATH alone means, and no reason to warn.
        connect(environ).client.close()


def test_an_engine_is_reached_through_ssh(engine: Engine, tmp_path: Path) -> None:
    arguments = write_ssh(tmp_path / "bin", path_of(engine))
    found = connect({"DOCKER_HOST": "ssh://me@engine.test:2222", "PATH": str(tmp_path / "bin")})
    assert found.client.ping()
    found.client.close()
    assert arguments.read_text().splitlines()[-7:] == [
        "-l",
        "me",
        "-p",
        "2222",
        "--",
        "engine.test",
        "docker system dial-stdio",
    ]


def test_the_message_of_ssh_is_the_reason(tmp_path: Path) -> None:
    (tmp_path / "ssh").write_text("#!/bin/sh\necho 'Host key verification failed.' >&2\nexit 255\n")
    (tmp_path / "ssh").chmod(0o755)
    with pytest.raises(EngineError, match="Host key verification failed") as caught:
        connect({"DOCKER_HOST": "ssh://engine.test", "PATH": str(tmp_path)})
    assert "without a prompt" in caught.value.hint


def test_a_missing_ssh_command_is_the_reason(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"ssh://engine\.test .*cannot be reached"):
        connect({"DOCKER_HOST": "ssh://engine.test", "PATH": str(tmp_path)})


def test_a_socket_path_in_an_ssh_address_is_quoted_for_the_other_side() -> None:
    words = command("ssh://h/run/my; sock")
    assert words[-2:] == ["h", "docker --host 'unix:///run/my; sock' system dial-stdio"]


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Without root's rights, which no file mode stops."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_missing_socket_is_reported(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"docker\.sock \(from DOCKER_HOST\) does not exist"):
        connect({"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"})


def test_a_socket_without_permission_names_the_docker_group(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        path.chmod(0)
        with nobody(), pytest.raises(EngineError, match="permission denied") as caught:
            connect({"DOCKER_HOST": f"unix://{path}"})
    assert "docker group" in caught.value.hint
    assert "sudo" in caught.value.hint


def test_a_socket_without_a_server_refuses(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
    with pytest.raises(EngineError, match="refuses the connection") as caught:
        connect({"DOCKER_HOST": f"unix://{tmp_path}/s"})
    assert "start the engine" in caught.value.hint


def test_an_engine_that_does_not_answer_times_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_module, "PING_TIMEOUT", 0.1)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        with pytest.raises(EngineError, match="did not answer in time"):
            connect({"DOCKER_HOST": f"unix://{tmp_path}/s"})


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '{"proxies": null}',
        '{"auths": {"ghcr.io": {"auth": "czNjcmV0"}}}',  # s3cret, without a user
        '{"auths":' * 100_000,
    ],
    ids=range(4),
)
def test_an_invalid_docker_configuration_is_named_and_not_quoted(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))  # the SDK looks there
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(EngineError) as caught:
        connect({"DOCKER_HOST": f"unix://{tmp_path}/s", "DOCKER_CONFIG": str(tmp_path)})
    assert caught.value.message == f"{tmp_path}/config.json is not as Docker writes it"
    assert "s3cret" not in str(caught.value.__cause__)


def test_a_registry_is_no_engine(start_registry: StartRegistry) -> None:
    registry = start_registry()
    with pytest.raises(EngineError, match="is no Docker Engine"):
        connect({"DOCKER_HOST": f"tcp://{registry.address}"})


def test_when_all_fail_all_are_listed_and_the_hint_is_for_the_one_that_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "b"))
    use_as_default_sockets([f"unix://{tmp_path}/{name}" for name in "abc"], monkeypatch)
    with pytest.raises(EngineError) as caught:
        connect({})
    assert caught.value.message == (
        f"no Docker Engine found: unix://{tmp_path}/a does not exist; "
        f"unix://{tmp_path}/b refuses the connection; unix://{tmp_path}/c does not exist"
    )
    assert "start the engine" in caught.value.hint
