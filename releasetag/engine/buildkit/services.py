"""A session's gRPC services: secrets, credentials, SSH agents, context.

Source: ``session/{secrets,auth,sshforward}/*.proto`` of github.com/moby/buildkit.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from releasetag.build_secrets import DEFAULT_AGENT, Secret, SshAgent
from releasetag.engine.buildkit.ssh_agent import forward_request, split_requests
from releasetag.errors import ReleasetagError

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from grpclib.const import Handler

    from releasetag.credentials import CredentialStore
    from releasetag.engine.buildkit.filesync import ContextFiles


class Services:
    """The handlers of a session's gRPC methods, for grpclib."""

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
            "/moby.filesync.v1.Auth/FetchToken": _decline,
            "/moby.filesync.v1.Auth/GetTokenAuthority": _decline,
            "/moby.filesync.v1.Auth/VerifyTokenAuthority": _decline,
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
        # The engine checks the health of a session every few seconds, and closes an unhealthy one.
        return handlers | Health().__mapping__()

    async def _get_secret(self, request: Any) -> "Message":
        from grpclib.const import Status
        from grpclib.exceptions import GRPCError

        if request.ID not in self._secrets:
            # The only status with which a mount that is not `required` is skipped.
            raise GRPCError(Status.NOT_FOUND, f"secret {request.ID} not found")
        return _message("GetSecretResponse", data=self._secrets[request.ID])

    async def _credentials(self, request: Any) -> "Message":
        found = await asyncio.to_thread(self._credentials_store.find, request.Host)
        if found is None:
            return _message("CredentialsResponse")
        if found.identity_token:
            # To the engine, a secret without a user name is an identity token.
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
                requests, pending = split_requests(pending + chunk.data)
                for request in requests:
                    reply = await forward_request(request, reader, writer)
                    await stream.send_message(_message("BytesMessage", data=reply))
        finally:
            writer.close()

    def _agent_socket(self, name: str) -> Path:
        from grpclib.const import Status
        from grpclib.exceptions import GRPCError

        socket = self._agents.get(name or DEFAULT_AGENT)
        if socket is None:
            # The status for which the engine's own message is that no such agent was forwarded.
            raise GRPCError(Status.UNIMPLEMENTED, "no such SSH agent")
        return socket


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
                # Declined, so that their fields do not matter.
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


def _message(name: str, **fields: object) -> "Message":
    message: Message = _messages()[name](**fields)
    return message


async def _decline(_: Any) -> "Message":
    """Refuse to fetch tokens, so that the engine requests credentials.

    An unknown method would not do: grpclib's response to one has no content type, which the engine
    treats as a broken connection.
    """
    from grpclib.const import Status
    from grpclib.exceptions import GRPCError

    raise GRPCError(Status.UNIMPLEMENTED, "registry tokens are left to the engine")


def _unary(answer: Callable[[Any], "Awaitable[Message]"]) -> Callable[[Any], Awaitable[None]]:
    async def serve(stream: Any) -> None:
        await stream.send_message(await answer(await stream.recv_message()))

    return serve


def _guarded(serve: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """Turn every error into a status without secrets; grpclib logs none."""

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
