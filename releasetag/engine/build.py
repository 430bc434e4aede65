"""Builds an image through the Docker Engine API, with BuildKit or the classic builder.

Source: Docker Engine API 1.24 to 1.52, ``POST /build``. The classic builder takes the context as a
tar body. ``version=2`` is BuildKit; with ``remote=client-session`` it takes the context over a
session, as from Docker's own client. A tar body would have to contain an ignored Dockerfile, and
``COPY .`` would copy it.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import requests

from releasetag.context.dockerfile import base_images
from releasetag.context.tar import archive
from releasetag.context.tree import BuildContext
from releasetag.credentials import Credentials, CredentialStore
from releasetag.credentials.encodings import registry_config
from releasetag.engine import stream
from releasetag.engine.buildkit.secrets import Secret, SshAgent
from releasetag.engine.connect import Engine
from releasetag.errors import BuildError, UsageError
from releasetag.events import BuildEvent
from releasetag.reference import parse_reference
from releasetag.text import printable

Builder = Literal["buildkit", "classic"]


@dataclass(frozen=True)
class BuildOptions:
    """The inputs of a build, apart from its context.

    Attributes:
        build_args: values by name; None for an argument of the Dockerfile without a value.
        platform: a single one, ``linux/arm64``; None for the engine's own.
        cache_from: references whose layers may be reused.
        network: of RUN instructions: ``default``, ``none``, ``host``.
        add_hosts: ``name:address``.
        shm_size: of ``/dev/shm``, in bytes.
        inline_cache: whether BuildKit stores in the image what ``cache_from`` needs.
        secrets, agents: what RUN instructions may mount; BuildKit only.
    """

    target: str | None = None
    # Hidden: people pass tokens as build arguments, though they should not.
    build_args: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    platform: str | None = None
    cache_from: tuple[str, ...] = ()
    no_cache: bool = False
    pull: bool = False
    network: str | None = None
    add_hosts: tuple[str, ...] = ()
    shm_size: int | None = None
    inline_cache: bool = False
    builder: Literal["auto", "buildkit", "classic"] = "auto"
    secrets: tuple[Secret, ...] = ()
    agents: tuple[SshAgent, ...] = ()


def choose_builder(engine: Engine, options: BuildOptions) -> Builder:
    """Choose the builder for a build with these options.

    Raises:
        UsageError: the engine has no such builder, or the builder does not support an option.
    """
    if options.builder == "buildkit" and not engine.has_buildkit:
        raise UsageError(
            f"the engine at {engine.address} ({engine.kind} {engine.version}) has no BuildKit",
            "omit --builder, or use Docker Engine 18.09 or newer",
        )
    if options.builder == "buildkit" or (options.builder == "auto" and engine.has_buildkit):
        if options.shm_size and tuple(map(int, engine.api_version.split("."))) < (1, 42):
            raise UsageError(
                f"the BuildKit of {engine.kind} {engine.version} cannot size /dev/shm",
                "omit --shm-size, build with --builder classic, or use Docker Engine 23",
            )
        return "buildkit"
    if options.secrets or options.agents:
        raise UsageError(
            "the classic builder supports neither secrets nor SSH",
            "build with BuildKit (--builder buildkit), or without --secret and --ssh",
        )
    return "classic"


def build(
    engine: Engine,
    context: BuildContext,
    options: BuildOptions,
    *,
    mtime: int,
    credentials: CredentialStore,
    progress: Callable[[BuildEvent], None],
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Build an image and return its ID in the engine.

    An exception out of ``progress`` closes the connection, and the engine stops building.

    Args:
        mtime: of all files in the context, seconds since the epoch.
        credentials: for private base images.
        clock: seconds, monotonic, for the classic builder, which reports no times.

    Raises:
        BuildError: the build failed; ``log`` is the end of the failed step's output.
        UsageError: the builder does not support an option, or the context cannot be read.
        EngineError: the connection was lost.
    """
    if choose_builder(engine, options) == "buildkit":
        return _with_buildkit(
            engine,
            context,
            options,
            mtime=mtime,
            credentials=credentials,
            progress=progress,
        )
    from releasetag.engine.classic import ClassicLog

    return _post(
        engine,
        {"version": "1", "dockerfile": context.dockerfile_name, **_parameters(options)},
        headers={
            "X-Registry-Config": registry_config(
                _base_credentials(context, options.build_args, credentials)
            )
        },
        # A generator: sent in chunks while it is read, never held in memory.
        body=archive(context, mtime),
        reader=ClassicLog(clock),
        progress=progress,
    )


def _with_buildkit(
    engine: Engine,
    context: BuildContext,
    options: BuildOptions,
    *,
    mtime: int,
    credentials: CredentialStore,
    progress: Callable[[BuildEvent], None],
) -> str:
    """Build over a session, on which the engine asks for the context, secrets and credentials."""
    # Imported here: gRPC and protobuf are needed for BuildKit only.
    from releasetag.engine.buildkit.filesync import ContextFiles
    from releasetag.engine.buildkit.progress import Trace
    from releasetag.engine.buildkit.session import open_session

    arguments = dict(options.build_args)
    if options.inline_cache:
        arguments.setdefault("BUILDKIT_INLINE_CACHE", "1")
    files = ContextFiles(context, mtime)
    with open_session(
        engine,
        files=files,
        secrets=options.secrets,
        agents=options.agents,
        credentials=credentials,
    ) as session:
        try:
            return _post(
                engine,
                {
                    "version": "2",
                    "remote": "client-session",
                    "session": session,
                    "dockerfile": files.dockerfile_name,
                    **_parameters(replace(options, build_args=arguments)),
                },
                headers={},
                body=None,
                reader=Trace(),
                progress=progress,
            )
        except BuildError:
            if files.error is not None:
                raise files.error from None
            raise


def _base_credentials(
    context: BuildContext,
    build_args: Mapping[str, str | None],
    credentials: CredentialStore,
) -> dict[str, Credentials]:
    """Return credentials for the registries of the Dockerfile's base images."""
    found: dict[str, Credentials] = {}
    text = context.dockerfile.read_text("utf-8", "replace")
    for image in base_images(text, build_args):
        try:
            registry = parse_reference(image).repository.registry
        except UsageError:
            continue  # the engine reports it better, with its line
        if known := credentials.find(registry):
            found[registry] = known
    return found


def _post(
    engine: Engine,
    parameters: Mapping[str, str | list[str]],
    *,
    headers: Mapping[str, str],
    body: Iterator[bytes] | None,
    reader: "_Reader",
    progress: Callable[[BuildEvent], None],
) -> str:
    with stream.connection_errors(engine):
        response = engine.client.post(
            engine.url("/build"),
            params=parameters,
            headers={"Content-Type": "application/x-tar", **headers},
            data=body,
            stream=True,
            timeout=None,  # a RUN instruction may be silent for any length of time
        )
    with closing(response):
        if not response.ok:
            raise build_error(stream.error_message(response), ())
        return _follow(engine, response, reader, progress)


class _Reader(Protocol):
    """Reads a builder's response."""

    def read(self, line: Mapping[str, Any]) -> Iterator[BuildEvent]: ...

    def end(self, error: str) -> Iterator[BuildEvent]: ...

    def failed_step_log(self) -> tuple[str, ...]: ...


def _follow(
    engine: Engine,
    response: requests.Response,
    reader: _Reader,
    progress: Callable[[BuildEvent], None],
) -> str:
    """Read the response to its end and return the image ID in it."""
    image_id = error = ""
    for line in stream.objects(engine, response):
        for event in reader.read(line):
            progress(event)
        aux = line.get("aux")
        if isinstance(aux, dict) and aux.get("ID"):
            image_id = str(aux["ID"])  # the classic builder reports one for every stage
        error = error or stream.line_error(line)
    for event in reader.end(error):
        progress(event)
    if error:
        raise build_error(error, reader.failed_step_log())
    if not image_id:
        raise BuildError(
            "the build ended without an image",
            "see the engine's log; it may have been restarted during the build",
        )
    return image_id


def _parameters(options: BuildOptions) -> dict[str, str | list[str]]:
    """Return the query of ``POST /build``; unset options are left to the engine."""
    arguments = dict(options.build_args)
    wanted: dict[str, str | list[str] | None] = {
        "target": options.target,
        "buildargs": json.dumps(arguments) if arguments else None,
        "labels": json.dumps(dict(options.labels)) if options.labels else None,
        "platform": options.platform,
        "cachefrom": json.dumps(options.cache_from) if options.cache_from else None,
        "nocache": "1" if options.no_cache else None,
        "pull": "1" if options.pull else None,
        "networkmode": options.network,
        "extrahosts": list(options.add_hosts),
        "shmsize": str(options.shm_size) if options.shm_size else None,
        # The classic builder's containers: also those of a failed build.
        "rm": "1",
        "forcerm": "1",
    }
    return {name: value for name, value in wanted.items() if value}


# What BuildKit's layers wrap the message in.
_WRAPPING = re.compile(
    r"(?:rpc error: code = \w+ desc = |failed to solve(?: with frontend [\w./:-]+)?: "
    r"|failed to create LLB definition: )*"
)

_LOG_IN = "log in to the registry of the base image, or # syntax image: releasetag login REGISTRY"
_NO_EMULATOR = (
    "the image's platform is not the engine's: omit --platform, or install emulators "
    "(docker run --privileged --rm tonistiigi/binfmt --install all)"
)
_FULL = "free disk space of the engine: docker system prune"

# In order: patterns of the builder's message, in lower case.
_HINTS = (
    ("exec format error", _NO_EMULATOR),
    ("no space left on device", _FULL),
    ("requires buildkit", "build with BuildKit: --builder buildkit"),
    (
        "experimental features",
        "build with BuildKit (--builder buildkit), or enable the engine's experimental features",
    ),
    ("pull access denied", "check the base image's name, and log in to its registry"),
    ("authorization failed|no basic auth credentials|401 unauthorized", _LOG_IN),
    ("no result for incomplete build", "the image on the # syntax line is no BuildKit frontend"),
    ("parse error", "correct the Dockerfile at that line"),
    (
        r"\bdial tcp\b|\bno such host\b|connection refused",
        "the engine cannot reach that host: check its name, and the engine's network",
    ),
    ("build target|target stage", "--target names a stage of the Dockerfile: FROM … AS STAGE"),
    (r"\bsecret \S+ not found", "give it with --secret id=ID,src=FILE or id=ID,env=VARIABLE"),
    ("no ssh key", "forward an agent with --ssh default"),
    ("not supported by build server", "use a newer Docker Engine, or omit that feature"),
    (
        "cache key: failed to (?:calculate checksum|walk)|cache key: .*not found|build context",
        "COPY takes files of the context that .dockerignore does not exclude, or of --from",
    ),
    (r"\bnot found$", "check the image's name, in FROM or on the # syntax line"),
)

# How a failed RUN instruction is quoted, which may contain any text.
_QUOTED = re.compile(
    r"process \".*\" did not complete|executor failed running \[.*\]|command '.*' returned",
    re.DOTALL,
)

# The same for the failed step's output, which may contain anything: what no step prints itself.
_LOG_HINTS = (("exec format error", _NO_EMULATOR), ("no space left on device", _FULL))


def without_command(message: str) -> str:
    """Return a builder's message without the instruction that it quotes."""
    return _QUOTED.sub("", message)


def build_error(message: str, log: tuple[str, ...]) -> BuildError:
    """Return the error for a builder's message and the end of the failed step's output.

    Only the log reveals a missing emulator.
    """
    general = (
        "the last lines of the failed step show why"
        if log
        else "correct the Dockerfile, or what it runs"
    )
    texts = [(without_command(message), _HINTS), ("\n".join(log), _LOG_HINTS)]
    found = (h for text, hints in texts for words, h in hints if re.search(words, text.lower()))
    hint = next(found, general)
    reason = printable(_WRAPPING.sub("", message, count=1))
    return BuildError(f"the build failed: {reason}", hint, log)
