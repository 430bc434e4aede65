"""HTTP to a remote engine, through the system's ``ssh``.

As the docker command does it: ``docker system dial-stdio`` on the remote side connects its standard
input and output to the engine's socket. The SDK has such an adapter, but it needs paramiko even
when it runs the system's ssh, has no timeouts and loses the messages of ssh when it fails. Here ssh
gets one end of a socket pair, so that the rest is an ordinary socket.
"""

import shlex
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool


def command(address: str) -> list[str]:
    """Return the command for ``ssh://[user@]host[:port][/path/of/socket]``."""
    parts = urlsplit(address)
    # BatchMode: never prompt; an unseen prompt would look like a dead engine.
    argv = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
    if parts.username:
        argv += ["-l", parts.username]
    if parts.port:
        argv += ["-p", str(parts.port)]
    remote = "docker"
    if parts.path.strip("/"):
        # ssh passes its arguments to the remote shell.
        remote += f" --host {shlex.quote(f'unix://{parts.path}')}"
    return [*argv, "--", parts.hostname or "", f"{remote} system dial-stdio"]


class SshAdapter(HTTPAdapter):
    """A requests adapter whose every connection is one ssh process.

    Args:
        address: ``ssh://[user@]host[:port][/path/of/socket]``.
        environ: the environment of the ssh processes (``SSH_AUTH_SOCK``, ``HOME``, ``PATH``).
        size: how many connections are kept for the next request.
    """

    def __init__(self, address: str, environ: Mapping[str, str], size: int) -> None:
        super().__init__()
        self._command = command(address)
        self._environ = dict(environ)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 # lives as long as the adapter
        self._processes: list[subprocess.Popen[bytes]] = []
        self._pool = _Pool(self, size)

    def dial(self) -> socket.socket:
        """Return a socket whose other end is the engine's."""
        ours, theirs = socket.socketpair()
        with theirs:
            # In its own session: Ctrl-C interrupts this process, which then closes the connection.
            process = subprocess.Popen(
                self._command,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._errors.fileno(),
                env=self._environ,
                start_new_session=True,
            )
        self._processes.append(process)
        return ours

    def last_error(self) -> str:
        """Return the last line of standard error of ssh or the remote docker."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def get_connection_with_tls_context(self, *_: object, **__: object) -> HTTPConnectionPool:
        """Return the one pool, whatever the URL."""
        return self._pool

    get_connection = get_connection_with_tls_context  # what requests before 2.32 calls

    def request_url(self, request: Any, _proxies: object) -> str:
        """Return the path only: a socket pair has neither host nor proxy."""
        return str(request.path_url)

    def close(self) -> None:
        """Terminate all ssh processes."""
        super().close()
        self._pool.close()
        for process in self._processes:
            process.terminate()
            process.wait()
        self._errors.close()


class _Pool(HTTPConnectionPool):
    def __init__(self, adapter: SshAdapter, size: int) -> None:
        super().__init__("localhost", maxsize=size)
        self._adapter = adapter

    def _new_conn(self) -> HTTPConnection:
        return _Connection(self._adapter)


class _Connection(HTTPConnection):
    def __init__(self, adapter: SshAdapter) -> None:
        super().__init__("localhost")
        self._adapter = adapter

    def connect(self) -> None:
        self.sock = self._adapter.dial()
        if self.timeout is None or isinstance(self.timeout, int | float):
            self.sock.settimeout(self.timeout)
