"""What a build may ask us for while it runs: secrets, registry credentials, an SSH agent.

The SDK has no BuildKit sessions (docker/docker-py issue 2230). Here a gRPC server answers on a
connection that the engine upgraded for us (``transport``), in one thread with one event loop, for
as long as the build runs. Nothing that it hands out is written down: the engine mounts secrets and
agent sockets into single RUN steps, in memory.

Source: the services are BuildKit's, in ``session/{secrets,auth,sshforward}/*.proto``.
"""

import asyncio
import csv
import functools
import logging
import os
import re
import stat
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from releasetag.errors import ReleasetagError, UsageError

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from grpclib.const import Handler
    from grpclib.protocol import H2Protocol
    from grpclib.server import Server

    from releasetag.credentials import CredentialStore
    from releasetag.engine.buildkit.filesync import ContextFiles
    from releasetag.engine.connect import Engine

MAX_SECRET_BYTES = 500 * 1024
"""BuildKit's own limit (``session/secrets/secretsprovider``)."""

_SYNTAX = "write it as id=ID,src=FILE or id=ID,env=VARIABLE"
_SSH_SYNTAX = "write it as default, ID or ID=SOCKET"
_CSV_FIELD = r'(?:"(?:[^"]|"")*"|[^",\r\n]*)'
_CSV = re.compile(f"{_CSV_FIELD}(?:,{_CSV_FIELD})*")

_CLOSE_SECONDS = 5
_MAX_HEADER_LIST_SIZE = 6  # RFC 9113, section 6.5.2
_METADATA_BYTES = 1 << 20  # of one call; h2 takes no more than 64 frames of 16 KiB

_DEFAULT_AGENT = "default"

# The SSH agent protocol: draft-ietf-sshm-ssh-agent, sections 3 and 5.
_AGENT_REQUESTS = {11, 13}  # list the identities, sign with one
_AGENT_FAILURE = b"\0\0\0\1\5"
_AGENT_MAX_BYTES = 256 * 1024  # OpenSSH's limit for one message


@dataclass(frozen=True)
class Secret:
    """A build secret: the id that ``RUN --mount=type=secret`` names, and its value."""

    id: str
    value: bytes = field(repr=False)


@dataclass(frozen=True)
class SshAgent:
    """An SSH agent: the id that ``RUN --mount=type=ssh`` names, and the agent's Unix socket."""

    id: str
    socket: Path


def parse_secret(text: str, environ: Mapping[str, str]) -> Secret:
    """The secret that a ``--secret`` option means, read once, now.

    Args:
        text: as ``docker buildx build --secret`` takes it, comma-separated values with quotes:
            ``id=ID,src=FILE``, ``id=ID,env=VARIABLE``, ``type=file|env``, or ``id=ID`` alone for
            the variable of that name, else the file of that name.
        environ: the environment that variables are looked up in.

    Raises:
        UsageError: it is not written so, or there is no such file or variable. What was written is
            not repeated: a value put where a name belongs would be shown with it.
    """
    given = _secret_fields(text)
    name, kind = given.get("id", ""), given.get("type", "")
    variable, path = given.get("env", ""), given.get("src", "")
    if not name:
        raise UsageError("a secret has no id", _SYNTAX)
    if kind not in {"", "file", "env"}:
        raise UsageError(f"the secret {name!r} has an unknown type", "its type is file or env")
    if kind == "env" and not variable:
        variable, path = path, ""
    if variable and (path or kind == "file"):
        raise UsageError(f"the secret {name!r} has a file and a variable", _SYNTAX)
    if not variable and not path:
        if kind == "env" or (not kind and name in environ):
            variable = name
        else:
            path = name
    if variable and variable not in environ:
        raise UsageError(
            f"the variable of the secret {name!r} is not set",
            "env= takes the name of an environment variable that is set and exported",
        )
    value = os.fsencode(environ[variable]) if variable else _read_secret(name, path)
    if len(value) > MAX_SECRET_BYTES:
        raise UsageError(
            f"the secret {name!r} is larger than {MAX_SECRET_BYTES // 1024} KiB",
            "BuildKit takes no larger ones: pass a key, and fetch the rest in the build",
        )
    return Secret(name, value)


def _secret_fields(text: str) -> dict[str, str]:
    if not _CSV.fullmatch(text):
        raise UsageError("a secret has a stray quote or line break", _SYNTAX)
    fields: dict[str, str] = {}
    for item in next(csv.reader([text]), []):
        key, equals, value = item.partition("=")
        key = {"source": "src"}.get(key.lower(), key.lower())
        if not equals or key not in {"type", "id", "src", "env"}:
            raise UsageError(
                "a secret is not written as key=value pairs of id, src, env and type", _SYNTAX
            )
        fields[key] = value
    return fields


def _read_secret(name: str, path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_SECRET_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        raise UsageError(
            f"the file of the secret {name!r} cannot be read: {reason}",
            "src= takes the path of a file, from the current directory",
        ) from None


def parse_ssh(text: str, environ: Mapping[str, str]) -> SshAgent:
    """The SSH agent that an ``--ssh`` option means.

    Args:
        text: ``ID=SOCKET``, or ``default`` or another ID alone for ``SSH_AUTH_SOCK``'s agent.
        environ: the environment that ``SSH_AUTH_SOCK`` is looked up in.

    Raises:
        UsageError: there is no agent, or a key file is named in its place.
    """
    name, equals, path = text.partition("=")
    name = name or _DEFAULT_AGENT
    if equals and not path:
        raise UsageError(f"the SSH agent {name!r} has no socket", _SSH_SYNTAX)
    path = path or environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise UsageError(
            f"there is no SSH agent to forward as {name!r}: SSH_AUTH_SOCK is not set",
            'start one with: eval "$(ssh-agent)" && ssh-add',
        )
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        raise UsageError(f"the SSH agent {name!r} has no socket: {reason}", _SSH_SYNTAX) from None
    if not stat.S_ISSOCK(mode):
        raise UsageError(
            f"the SSH agent {name!r} is given by a file, but the socket of an agent is wanted",
            "load a key into an agent with ssh-add, and pass default or ID=SOCKET",
        )
    return SshAgent(name, Path(path))


@contextmanager
def open_session(
    engine: "Engine",
    *,
    files: "ContextFiles",
    secrets: Sequence[Secret],
    agents: Sequence[SshAgent],
    credentials: "CredentialStore",
) -> Iterator[str]:
    """A session for one build. What comes out is its id, for the build's ``session`` parameter.

    Args:
        engine: the engine that builds.
        files: the build context.
        secrets: what ``RUN --mount=type=secret`` can have.
        agents: what ``RUN --mount=type=ssh`` can have: to list keys and to sign with them, not to
            change the agent.
        credentials: for base images; asked in another thread.

    Raises:
        EngineError: the engine cannot be reached, or opens no sessions.
    """
    services = _Services(files, secrets, agents, credentials)
    session_id = uuid.uuid4().hex
    started: Future[None] = Future()
    stop: Future[None] = Future()
    # A daemon, and joined for a limited time: nothing that the engine or a credential helper
    # fails to do may keep the program from ending.
    thread = threading.Thread(
        target=_run,
        args=(engine, session_id, services, started, stop),
        name="buildkit-session",
        daemon=True,
    )
    thread.start()
    try:
        started.result()
        yield session_id
    finally:
        stop.set_result(None)
        thread.join(_CLOSE_SECONDS)


def _run(
    engine: "Engine",
    session_id: str,
    services: "_Services",
    started: "Future[None]",
    stop: "Future[None]",
) -> None:
    try:
        asyncio.run(_serve(engine, session_id, services, started, stop))
    except BaseException as error:  # noqa: BLE001  # raised again in the thread that waits
        if not started.done():
            started.set_exception(error)


async def _serve(
    engine: "Engine",
    session_id: str,
    services: "_Services",
    started: "Future[None]",
    stop: "Future[None]",
) -> None:
    from grpclib.server import Server

    from releasetag.engine.buildkit import upgrade as transport

    # A connection that breaks is the build's to report. Tracebacks of it, on standard error or in
    # a log, would only be in the way, and could hold what was being handed out.
    logging.getLogger("grpclib").setLevel(logging.CRITICAL + 1)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    server = Server([services])
    methods = services.__mapping__()
    async with transport.connect(engine, session_id, methods, lambda: _protocol(server)):
        started.set_result(None)
        await asyncio.wrap_future(stop)


def _protocol(server: "Server") -> "H2Protocol":
    """What serves one connection that is there already; grpclib has no public way to.

    The names that the engine asks for, and the patterns of the ignore file, come as a call's
    metadata: that may be long, and on Docker Engine 20.10 hold names that are not ASCII.
    """
    from grpclib.protocol import H2Protocol

    from releasetag.engine.buildkit.filesync import HEADER_ENCODING

    class Protocol(H2Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.connection._connection.update_settings({_MAX_HEADER_LIST_SIZE: _METADATA_BYTES})
            self.connection.flush()

    made = server._protocol_factory()
    made.h2_config.header_encoding = HEADER_ENCODING
    return Protocol(made.handler, made.config, made.h2_config)


@functools.cache
def _messages() -> dict[str, Any]:
    from releasetag.engine.buildkit.protobuf import define

    return {
        **define(
            "moby.buildkit.secrets.v1",
            {
                "GetSecretRequest": {"ID": (1, "string")},
                "GetSecretResponse": {"data": (1, "bytes")},
            },
        ),
        **define(
            "moby.filesync.v1",
            {
                "CredentialsRequest": {"Host": (1, "string")},
                "CredentialsResponse": {"Username": (1, "string"), "Secret": (2, "string")},
                # Refused, so that their fields do not matter.
                "FetchTokenRequest": {},
                "FetchTokenResponse": {},
                "GetTokenAuthorityRequest": {},
                "GetTokenAuthorityResponse": {},
                "VerifyTokenAuthorityRequest": {},
                "VerifyTokenAuthorityResponse": {},
            },
        ),
        **define(
            "moby.sshforward.v1",
            {
                "CheckAgentRequest": {"ID": (1, "string")},
                "CheckAgentResponse": {},
                "BytesMessage": {"data": (1, "bytes")},
            },
        ),
    }


class _Services:
    """The gRPC services of a session, as grpclib wants them."""

    def __init__(
        self,
        files: "ContextFiles",
        secrets: Sequence[Secret],
        agents: Sequence[SshAgent],
        credentials: "CredentialStore",
    ) -> None:
        self._files = files
        self._secrets = {secret.id: secret.value for secret in secrets}
        self._agents = {agent.id: agent.socket for agent in agents}
        self._credentials_store = credentials

    def __mapping__(self) -> "dict[str, Handler]":
        from grpclib.const import Cardinality, Handler
        from grpclib.health.service import Health

        from releasetag.engine.buildkit import filesync

        types = _messages()
        unary: dict[str, Callable[[Any], Awaitable[Message]]] = {
            "/moby.buildkit.secrets.v1.Secrets/GetSecret": self._get_secret,
            "/moby.filesync.v1.Auth/Credentials": self._credentials,
            "/moby.filesync.v1.Auth/FetchToken": _refuse,
            "/moby.filesync.v1.Auth/GetTokenAuthority": _refuse,
            "/moby.filesync.v1.Auth/VerifyTokenAuthority": _refuse,
            "/moby.sshforward.v1.SSH/CheckAgent": self._check_agent,
        }
        handlers = {
            path: Handler(
                _guarded(_unary(answer)),
                Cardinality.UNARY_UNARY,
                types[f"{path.rpartition('/')[2]}Request"],
                types[f"{path.rpartition('/')[2]}Response"],
            )
            for path, answer in unary.items()
        }
        handlers["/moby.sshforward.v1.SSH/ForwardAgent"] = Handler(
            _guarded(self._forward_agent),
            Cardinality.STREAM_STREAM,
            types["BytesMessage"],
            types["BytesMessage"],
        )
        packet = filesync.packet_type()
        handlers[filesync.METHOD] = Handler(
            _guarded(self._files.serve), Cardinality.STREAM_STREAM, packet, packet
        )
        # The engine asks every few seconds whether we are well, and gives up a session that is not.
        return handlers | Health().__mapping__()

    async def _get_secret(self, request: Any) -> "Message":
        from grpclib.const import Status
        from grpclib.exceptions import GRPCError

        if request.ID not in self._secrets:
            # This status and no other lets a mount without `required` go on.
            raise GRPCError(Status.NOT_FOUND, f"secret {request.ID} not found")
        return _message("GetSecretResponse", data=self._secrets[request.ID])

    async def _credentials(self, request: Any) -> "Message":
        found = await asyncio.to_thread(self._credentials_store.find, request.Host)
        if found is None:
            return _message("CredentialsResponse")
        if found.identity_token:
            # A secret without a user name is what the engine takes for an identity token.
            return _message("CredentialsResponse", Secret=found.identity_token)
        return _message("CredentialsResponse", Username=found.username, Secret=found.password)

    async def _check_agent(self, request: Any) -> "Message":
        self._agent_socket(request.ID)
        return _message("CheckAgentResponse")

    async def _forward_agent(self, stream: Any) -> None:
        socket = self._agent_socket(stream.metadata.get("buildkit.ssh.id", ""))
        reader, writer = await asyncio.open_unix_connection(socket)
        try:
            pending = b""
            async for chunk in stream:
                requests, pending = _split_agent_requests(pending + chunk.data)
                for request in requests:
                    reply = await _ask_agent(request, reader, writer)
                    await stream.send_message(_message("BytesMessage", data=reply))
        finally:
            writer.close()

    def _agent_socket(self, name: str) -> Path:
        from grpclib.const import Status
        from grpclib.exceptions import GRPCError

        socket = self._agents.get(name or _DEFAULT_AGENT)
        if socket is None:
            # For this status the engine itself says that no such agent was forwarded.
            raise GRPCError(Status.UNIMPLEMENTED, "no such SSH agent")
        return socket


def _message(name: str, **fields: object) -> "Message":
    message: Message = _messages()[name](**fields)
    return message


async def _refuse(_: Any) -> "Message":
    """Decline to fetch registry tokens, whereupon the engine asks for credentials.

    It must be said by name: what grpclib answers to an unknown method is missing its content type,
    and the engine takes that for a broken connection.
    """
    from grpclib.const import Status
    from grpclib.exceptions import GRPCError

    raise GRPCError(Status.UNIMPLEMENTED, "registry tokens are left to the engine")


def _unary(answer: Callable[[Any], "Awaitable[Message]"]) -> Callable[[Any], Awaitable[None]]:
    async def serve(stream: Any) -> None:
        await stream.send_message(await answer(await stream.recv_message()))

    return serve


def _guarded(serve: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """Let nothing out that grpclib would log, or that could say more than what went wrong."""

    async def guarded(stream: Any) -> None:
        from grpclib.const import Status
        from grpclib.exceptions import GRPCError

        try:
            await serve(stream)
        except GRPCError:
            raise
        except ReleasetagError as error:
            raise GRPCError(Status.UNKNOWN, error.message) from None
        except Exception as error:  # noqa: BLE001
            raise GRPCError(Status.INTERNAL, type(error).__name__) from None

    return guarded


def _split_agent_requests(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole requests at the front, each with its length, and the bytes left over."""
    requests = []
    while len(data) >= 4:
        end = 4 + int.from_bytes(data[:4], "big")
        if end > _AGENT_MAX_BYTES:
            raise ValueError("a request to the SSH agent is too long")
        if len(data) < end:
            break
        requests.append(data[:end])
        data = data[end:]
    return requests, data


async def _ask_agent(
    request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bytes:
    """The agent's reply, length first; failure for what would change the agent.

    A build step may use the keys that it was lent. It may not add or remove any, nor lock the agent
    (nor may it with the docker command).
    """
    if not _AGENT_REQUESTS.intersection(request[4:5]):
        return _AGENT_FAILURE
    writer.write(request)
    await writer.drain()
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length, "big"))
