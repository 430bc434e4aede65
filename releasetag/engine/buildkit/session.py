"""A BuildKit session: serves what a build requests while it runs.

The SDK has no sessions (docker/docker-py issue 2230). Here a gRPC server answers on a connection
that the engine upgraded (``upgrade``), in one thread with one event loop, for as long as the build
runs. Nothing that it serves is stored: the engine mounts secrets and agent sockets into
single RUN steps, in memory.
"""

import asyncio
import logging
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING

from releasetag.build_secrets import Secret, SshAgent
from releasetag.engine.buildkit.services import Services

if TYPE_CHECKING:
    from grpclib.protocol import H2Protocol
    from grpclib.server import Server

    from releasetag.credentials import CredentialStore
    from releasetag.engine.buildkit.filesync import ContextFiles
    from releasetag.engine.connect import Engine

_CLOSE_SECONDS = 5
_MAX_HEADER_LIST_SIZE = 6  # RFC 9113, section 6.5.2
_METADATA_BYTES = 1 << 20  # of one call; h2 takes no more than 64 frames of 16 KiB


@contextmanager
def open_session(
    engine: "Engine",
    *,
    files: "ContextFiles",
    secrets: Sequence[Secret],
    agents: Sequence[SshAgent],
    credentials: "CredentialStore",
) -> Iterator[str]:
    """Open a session for one build; yield the build's ``session`` parameter.

    Args:
        secrets: for ``RUN --mount=type=secret``.
        agents: for ``RUN --mount=type=ssh``: to list keys and sign with them, not to change any.
        credentials: for base images; used in another thread.

    Raises:
        EngineError: the engine cannot be reached, or opens no sessions.
    """
    services = Services(files, secrets, agents, credentials)
    session_id = uuid.uuid4().hex
    started: Future[None] = Future()
    stop: Future[None] = Future()
    # A daemon, joined with a timeout: neither an engine nor a credential helper that hangs may keep
    # the program from exiting.
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
    services: Services,
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
    services: Services,
    started: "Future[None]",
    stop: "Future[None]",
) -> None:
    from grpclib.server import Server

    from releasetag.engine.buildkit import upgrade

    # A broken connection is reported by the build. Its tracebacks, on standard error or in a log,
    # could hold what was being sent.
    logging.getLogger("grpclib").setLevel(logging.CRITICAL + 1)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    server = Server([services])
    methods = services.__mapping__()
    async with upgrade.connect(engine, session_id, methods, lambda: _protocol(server)):
        started.set_result(None)
        await asyncio.wrap_future(stop)


def _protocol(server: "Server") -> "H2Protocol":
    """Make a server for an open connection; grpclib has no API for that.

    The names that the engine requests, and the patterns of the ignore file, are a call's metadata:
    that may be long, and from Docker Engine 20.10 hold names that are not ASCII.
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
