"""releasetag.registry.tls: which certificates are trusted for which host."""

import socket
import ssl
import threading
from pathlib import Path

import pytest

from releasetag.errors import PushError
from releasetag.registry.tls import certs_d, ssl_context
from tests.support.certificates import make_authority, make_server_identity


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ["/etc/docker/certs.d"]),
        ({"HOME": "/h"}, ["/etc/docker/certs.d", "/h/.config/docker/certs.d"]),
        (
            {"HOME": "/h", "XDG_CONFIG_HOME": "/x"},
            ["/etc/docker/certs.d", "/x/docker/certs.d"],
        ),
    ],
)
def test_certs_d_is_where_the_engines_look(environ: dict[str, str], expected: list[str]) -> None:
    assert certs_d(environ) == tuple(Path(folder) for folder in expected)


def test_a_client_certificate_in_certs_d_is_presented(tmp_path: Path) -> None:
    (tmp_path / "registry.test").mkdir()
    identity = make_server_identity(make_authority("clients"))
    (tmp_path / "registry.test/client.cert").write_bytes(identity.certificate_pem)
    (tmp_path / "registry.test/client.key").write_bytes(identity.key_pem)
    assert presented_to_a_server(tmp_path) == identity.certificate_der


def presented_to_a_server(folder: Path) -> bytes | None:
    """Return the client certificate that a TLS server receives (docker-registry requests none)."""
    authority = make_authority("servers")
    server = make_server_identity(authority)
    files = folder / "server"
    files.mkdir()
    (files / "crt").write_bytes(server.certificate_pem)
    (files / "key").write_bytes(server.key_pem)
    # The server has to trust the client's certificate, of which the issuer is not at hand: so it
    # is a trust anchor itself.
    (folder / "registry.test/ca.crt").write_bytes(authority.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "crt", files / "key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(folder / "registry.test/client.cert")
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    theirs.settimeout(10)
    seen: list[bytes | None] = []

    def serve() -> None:
        with context.wrap_socket(theirs, server_side=True) as connection:
            seen.append(connection.getpeercert(binary_form=True))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    client = ssl_context("registry.test", (folder,))
    with client.wrap_socket(ours, server_hostname="registry.test") as connection:
        connection.recv(1)
    thread.join(60)
    return seen[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [("ca.crt", "no certificate"), ("client.cert", "no certificate"), ("client.cert", "")],
)
def test_a_file_in_certs_d_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, content: str
) -> None:
    file = tmp_path / "registry.test" / name
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(PushError, match=f"registry.test/{name} cannot be used"):
        ssl_context("registry.test", (tmp_path,))


def test_certs_d_without_the_usual_port_serves_the_usual_port(tmp_path: Path) -> None:
    (tmp_path / "registry.test:443").mkdir()
    authority = make_authority("mine")
    (tmp_path / "registry.test:443/ca.crt").write_bytes(authority.certificate_pem)
    context = ssl_context("registry.test", (tmp_path,))
    assert authority.certificate_der in context.get_ca_certs(binary_form=True)
