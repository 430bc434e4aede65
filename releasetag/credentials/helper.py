"""Credential helpers: programs that keep credentials for the docker command line.

Not by docker.credentials of the Docker SDK: that one looks for the program in the PATH of this
process, adds its environment to the one it is given, waits for ever, and puts what the helper
printed, which may be the secret, into its errors.

Source: the README of github.com/docker/docker-credential-helpers.
"""

import json
import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from releasetag.credentials.encodings import Credentials
from releasetag.errors import AuthError
from releasetag.json_text import InvalidJsonError, parse_json

TIMEOUT = 30.0  # seconds

_MAX_OUTPUT = 1 << 20
_POLL_SECONDS = 0.05
_NOT_FOUND = b"credentials not found in native keychain"
_TOKEN_USERNAME = "<token>"  # noqa: S105 - a user name that says that the secret is a token


@dataclass(frozen=True)
class Helper:
    """A credential helper.

    Attributes:
        program: its name: ``docker-credential-pass``.
        setting: what names it, for messages: ``credsStore in FILE``.
        for_all: whether it is the one for all registries.
        timeout: seconds that it may take.
    """

    program: str
    setting: str
    for_all: bool
    timeout: float

    def is_installed(self, environ: Mapping[str, str]) -> bool:
        """Whether the program is on PATH."""
        return self._path(environ) is not None

    def get(self, server: str, environ: Mapping[str, str]) -> Credentials | None:
        """Ask for the credentials for a server address; None if there are none.

        Raises:
            AuthError: the helper is missing or fails.
        """
        output = self._run("get", server, server, environ)
        if output is None:
            return None
        answer: object = None
        with suppress(InvalidJsonError):
            answer = parse_json(output)
        username = answer.get("Username", "") if isinstance(answer, dict) else None
        secret = answer.get("Secret", "") if isinstance(answer, dict) else None
        if not isinstance(username, str) or not isinstance(secret, str):
            raise self._error(server, "did not answer with credentials")
        if not username and not secret:
            return None  # docker-credential-pass does so
        if username == _TOKEN_USERNAME:
            return Credentials(username, identity_token=secret)
        return Credentials(username, secret)

    def store(self, server: str, credentials: Credentials, environ: Mapping[str, str]) -> None:
        """Store a user name with a password, or an identity token.

        Raises:
            AuthError: the helper is missing or fails.
        """
        is_token = bool(credentials.identity_token)
        stored = {
            "ServerURL": server,
            "Username": _TOKEN_USERNAME if is_token else credentials.username,
            "Secret": credentials.identity_token or credentials.password,
        }
        self._run("store", server, json.dumps(stored), environ)

    def erase(self, server: str, environ: Mapping[str, str]) -> bool:
        """Erase the credentials for a server address; False if there are none.

        Raises:
            AuthError: the helper is missing or fails.
        """
        # Helpers disagree on the answer to erasing nothing.
        if self.get(server, environ) is None:
            return False
        return self._run("erase", server, server, environ) is not None

    def _path(self, environ: Mapping[str, str]) -> str | None:
        # Absolute directories alone: no program of the work tree may see passwords.
        path = environ.get("PATH", "").split(os.pathsep)
        directories = [each for each in path if Path(each).is_absolute()]
        return shutil.which(self.program, path=os.pathsep.join(directories))

    def _run(self, action: str, server: str, text: str, environ: Mapping[str, str]) -> bytes | None:
        """Run the program; its output, or None if it has no credentials for the server."""
        path = self._path(environ)
        if path is None:
            raise AuthError(
                f"{self.program}, the credential helper named by {self.setting}, is not on PATH",
                "install it, or remove that setting",
            )
        try:
            process = subprocess.Popen(
                [path, action],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # it may hold secrets, as the output does
                env=dict(environ),
                bufsize=0,
            )
        except OSError as error:
            raise self._error(server, f"cannot be run: {error.strerror}") from None
        with process:
            try:
                output, fault = _communicate(process, text.encode(), self.timeout)
            finally:
                process.kill()  # does nothing to one that has ended
        if fault:
            raise self._error(server, fault)
        if process.returncode == 0:
            return output
        if action != "store" and _NOT_FOUND in output:
            return None
        raise self._error(
            server, f"failed to {action} credentials (exit status {process.returncode})"
        )

    def _error(self, server: str, fault: str) -> AuthError:
        return AuthError(
            f"{self.program}, the credential helper named by {self.setting}, {fault}",
            f"see what it says: echo {server} | {self.program} get",
        )


def _communicate(
    process: "subprocess.Popen[bytes]", data: bytes, timeout: float
) -> tuple[bytes, str]:
    """Send data to a helper until it ends; its output, and what it did wrong.

    Not by ``Popen.communicate``, which waits for the end of the output: a process that the helper
    has started and left behind, such as an agent, may hold that open. Nor is the output limited.
    """
    deadline = time.monotonic() + timeout
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None  # noqa: S101 (pipes were asked for)
    assert stdout is not None  # noqa: S101
    os.set_blocking(stdin.fileno(), False)
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdin, selectors.EVENT_WRITE)
        selector.register(stdout, selectors.EVENT_READ)
        while True:
            # Asked before looking: what a process that has ended has printed is there.
            has_ended = process.poll() is not None
            left = deadline - time.monotonic()
            if not has_ended and left < 0:
                return b"", f"did not answer within {timeout:g} s"
            wait = 0 if has_ended else min(left, _POLL_SECONDS)
            ready = {key.fileobj for key, _ in selector.select(wait)}
            if stdin in ready:
                try:
                    data = data[os.write(stdin.fileno(), data) :]
                except BrokenPipeError:
                    data = b""  # it does not read
                if not data:
                    selector.unregister(stdin)
                    stdin.close()
            if stdout in ready:
                piece = os.read(stdout.fileno(), 1 << 16)
                output += piece
                if len(output) > _MAX_OUTPUT:
                    return b"", "printed more than 1 MiB"
                if not piece:
                    selector.unregister(stdout)
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(max(left, 0))
            elif has_ended:
                return output, ""
