"""TLS contexts: which certificates are trusted for which host.

Source: docs.docker.com/engine/security/certificates; newTLSConfig and CertsDir in moby's
daemon/pkg/registry.
"""

import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from releasetag.errors import PushError


def certs_d(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders of CA certificates of the engine and of the rootless engine."""
    folders = [Path("/etc/docker/certs.d")]
    if config := environ.get("XDG_CONFIG_HOME"):
        folders.append(Path(config, "docker/certs.d"))
    elif home := environ.get("HOME"):
        folders.append(Path(home, ".config/docker/certs.d"))
    return tuple(folders)


def system_context() -> ssl.SSLContext:
    """Return a context with the system's CA certificates."""
    # OpenSSL itself heeds SSL_CERT_FILE and SSL_CERT_DIR.
    context = ssl.create_default_context()
    # Python 3.13 and later require extensions of a CA certificate that the engine does not, and
    # that `openssl req -x509` does not add.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def ssl_context(host: str, folders: tuple[Path, ...]) -> ssl.SSLContext:
    """Return a context with the CA certificates of the system and of certs.d for ``host[:port]``.

    ``*.crt`` are CA certificates, ``*.cert`` with ``*.key`` a client certificate.

    Raises:
        PushError: a file there cannot be used.
    """
    context = system_context()
    for folder in folders:
        files: list[Path] = []
        # httpx omits the default port; the engine goes by what was written.
        for name in (host, f"{host}:443"):
            with suppress(OSError):  # missing, or readable by the engine only
                files += sorted(Path(folder, name).iterdir())
        for file in files:
            try:
                if file.suffix == ".crt":
                    context.load_verify_locations(file)
                elif file.suffix == ".cert":
                    context.load_cert_chain(file, file.with_suffix(".key"))
            except OSError as error:  # ssl.SSLError is one
                raise _unusable_file_error(file, error) from error
    return context


def unverified_context() -> ssl.SSLContext:
    """Return a context for insecure registries, which the engine does not verify either."""
    # Nothing is lost by it: without TLS, plain HTTP would be accepted from the same host.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _unusable_file_error(file: Path, error: OSError) -> PushError:
    reason = error.strerror or error
    return PushError(
        f"{file} cannot be used: {reason}",
        "*.crt there are CA certificates; NAME.cert and NAME.key a client certificate and its key",
    )
