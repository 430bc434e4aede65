"""Build an image by the engine, with BuildKit or the classic builder.

Source: Docker Engine API 1.24 to 1.52, ``POST /build``. The classic builder takes the context as a
tar body. ``version=2`` is BuildKit; with ``remote=client-session`` it takes the context over a
session, as from Docker's own client. A tar body would have to contain an ignored Dockerfile, and
``COPY .`` would copy it.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, Literal, Protocol

import requests

from releasetag.build_inputs import BuildInputs
from releasetag.context.dockerfile import base_images
from releasetag.context.tar import archive
from releasetag.credentials import Credentials, CredentialStore
from releasetag.credentials.encodings import registry_config
from releasetag.engine import stream
from releasetag.engine.build_errors import build_error
from releasetag.engine.connect import Engine
from releasetag.errors import BuildError, UsageError
from releasetag.events import BuildEvent
from releasetag.reference import parse_reference

Builder = Literal["buildkit", "classic"]


def choose_builder(engine: Engine, wanted: str, inputs: BuildInputs) -> Builder:
    """Choose the engine's builder for a build.

    Args:
        wanted: ``auto``, ``buildkit`` or ``classic``.

    Raises:
        UsageError: the engine has no such builder, or the builder does not support a setting.
    """
    if wanted == "buildkit" and not engine.has_buildkit:
        raise UsageError(
            f"the engine at {engine.address} ({engine.kind} {engine.version}) has no BuildKit",
            "omit --builder, or use Docker Engine 18.09 or newer",
        )
    if wanted == "buildkit" or (wanted == "auto" and engine.has_buildkit):
        api_version = tuple(map(int, engine.api_version.split(".")))
        if inputs.settings.shm_size and api_version < (1, 42):
            raise UsageError(
                f"the BuildKit of {engine.kind} {engine.version} cannot size /dev/shm",
                "omit --shm-size, build with --builder classic, or use Docker Engine 23",
            )
        return "buildkit"
    if inputs.secrets or inputs.agents:
        raise UsageError(
            "the classic builder supports neither secrets nor SSH",
            "build with BuildKit (--builder buildkit), or without --secret and --ssh",
        )
    return "classic"


def build(
    engine: Engine,
    inputs: BuildInputs,
    *,
    builder: Builder,
    platform: str | None = None,
    credentials: CredentialStore,
    progress: Callable[[BuildEvent], None],
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Build an image for one platform and return its ID in the engine.

    An exception out of ``progress`` closes the connection, and the engine stops building.

    Args:
        builder: from `choose_builder`.
        platform: ``linux/arm64``; None: the engine's own.
        credentials: for private base images.
        clock: seconds, monotonic, for the classic builder, which reports no times.

    Raises:
        BuildError: the build failed; ``log`` is the end of the failed step's output.
        UsageError: the context cannot be read.
        EngineError: the connection was lost.
    """
    parameters = _parameters(inputs, platform)
    if builder == "buildkit":
        return _with_buildkit(engine, inputs, parameters, credentials, progress)
    from releasetag.engine.classic import ClassicLog

    if platform is not None:
        # The cache may hold the same steps for another platform: Podman's does not look.
        parameters["nocache"] = "1"
    return _post(
        engine,
        {"version": "1", "dockerfile": inputs.context.dockerfile_name, **parameters},
        headers={"X-Registry-Config": registry_config(_base_credentials(inputs, credentials))},
        # A generator: sent in chunks while it is read, never held in memory.
        body=archive(inputs.context, inputs.commit_time),
        reader=ClassicLog(clock),
        progress=progress,
    )


def _with_buildkit(
    engine: Engine,
    inputs: BuildInputs,
    parameters: Mapping[str, str | list[str]],
    credentials: CredentialStore,
    progress: Callable[[BuildEvent], None],
) -> str:
    """Build over a session that serves context, secrets and credentials."""
    # Imported here: gRPC and protobuf are needed for BuildKit only.
    from releasetag.engine.buildkit.filesync import ContextFiles
    from releasetag.engine.buildkit.progress import Trace
    from releasetag.engine.buildkit.session import open_session

    if inputs.settings.inline_cache:
        arguments = {"BUILDKIT_INLINE_CACHE": "1", **inputs.build_args}
        parameters = {**parameters, "buildargs": json.dumps(arguments)}
    files = ContextFiles(inputs.context, inputs.commit_time)
    with open_session(
        engine,
        files=files,
        secrets=inputs.secrets,
        agents=inputs.agents,
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
                    **parameters,
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


def _base_credentials(inputs: BuildInputs, credentials: CredentialStore) -> dict[str, Credentials]:
    """Return credentials for the registries of the Dockerfile's base images."""
    found: dict[str, Credentials] = {}
    text = inputs.context.dockerfile.read_text("utf-8", "replace")
    for image in base_images(text, inputs.build_args):
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


def _parameters(inputs: BuildInputs, platform: str | None) -> dict[str, str | list[str]]:
    """Return the query of ``POST /build`` that both builders share.

    Omit settings that are not given: the engine has defaults.
    """
    settings = inputs.settings
    given: dict[str, str | list[str] | None] = {
        "target": settings.target,
        "buildargs": json.dumps(dict(inputs.build_args)) if inputs.build_args else None,
        "labels": json.dumps(dict(inputs.labels)) if inputs.labels else None,
        "platform": platform,
        "cachefrom": json.dumps(settings.cache_from) if settings.cache_from else None,
        "nocache": "1" if settings.no_cache else None,
        "pull": "1" if settings.pull else None,
        "networkmode": settings.network,
        "extrahosts": list(settings.add_hosts),
        "shmsize": str(settings.shm_size) if settings.shm_size else None,
        # The classic builder's containers: also those of a failed build.
        "rm": "1",
        "forcerm": "1",
    }
    return {name: value for name, value in given.items() if value}
