"""Images in the engine: inspect, tag, push, and commit from a container.

Source: Docker Engine API 1.24 to 1.52, ``/images`` and ``/commit``.
"""

import random as random_module
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import quote

import docker.errors

from releasetag.credentials import Credentials
from releasetag.credentials.encodings import registry_auth
from releasetag.engine import stream
from releasetag.engine.connect import Engine
from releasetag.errors import (
    AuthError,
    EngineError,
    PushError,
    ReleasetagError,
    TransientError,
    UsageError,
)
from releasetag.events import LayerPushed, PushEvent, PushRetried
from releasetag.push_failure import kind_of
from releasetag.reference import Reference, is_digest
from releasetag.retry import with_retries
from releasetag.text import printable

# Engines with containerd's image store, and Podman, report the digest as text only.
_DIGEST = re.compile(r"\bdigest: (sha256:[0-9a-f]{64})\b")

# The Docker Engine's countdown to its own retry of a layer: 5 s to the first, 10 s to the second,
# and so on (moby's distribution/xfer/upload.go).
_RETRYING = re.compile(r"Retrying in (\d+) seconds?")

# Podman reads an image's names and writes them back with the new one: of two that are added
# concurrently, one can be lost.
_TAGGING = threading.Lock()


def find(engine: Engine, name: str) -> str | None:
    """Return the ID of an image by ID or reference; None if not found.

    An ID is the digest of the configuration or, with containerd's store, of the manifest or index.

    Raises:
        EngineError: the engine refuses.
    """
    found = _inspect(engine, name)
    return str(found["Id"]) if found else None


def repo_digests(engine: Engine, name: str) -> tuple[str, ...]:
    """Return the digest references that an image was pulled or pushed by.

    Raises:
        EngineError: the engine refuses.
    """
    listed = _inspect(engine, name).get("RepoDigests") or ()
    # Old engines list "<none>@<none>" for an image without any.
    return tuple(str(each) for each in listed if "<none>" not in str(each))


def platform_of(engine: Engine, image_id: str) -> str:
    """Return the platform of an image: ``linux/arm64``.

    Raises:
        EngineError: the engine refuses.
    """
    found = _inspect(engine, image_id)
    return f"{found.get('Os')}/{found.get('Architecture')}"


def _inspect(engine: Engine, name: str) -> dict[str, Any]:
    """Inspect an image; return an empty dictionary if not found."""
    try:
        with stream.connection_errors(engine):
            found: dict[str, Any] = engine.client.inspect_image(name)  # type: ignore[no-untyped-call]
    except docker.errors.NotFound:
        return {}
    except docker.errors.APIError as error:
        raise _engine_error(f"cannot inspect {name}", error) from error
    return found


def tag(engine: Engine, image_id: str, reference: Reference) -> None:
    """Tag an image, moving the tag if another image has it.

    Raises:
        EngineError: there is no such image, or the engine refuses.
    """
    try:
        with _TAGGING, stream.connection_errors(engine):
            engine.client.tag(image_id, str(reference.repository), reference.tag, force=True)
    except docker.errors.APIError as error:
        raise _engine_error(f"cannot tag {image_id} as {reference}", error) from error


def require_container(engine: Engine, container: str) -> None:
    """Check that a container exists.

    Raises:
        UsageError: there is no such container.
        EngineError: the engine refuses.
    """
    try:
        with stream.connection_errors(engine):
            engine.client.inspect_container(container)
    except docker.errors.NotFound:
        raise _no_container_error(container) from None
    except docker.errors.APIError as error:
        raise _engine_error(f"cannot inspect {container}", error) from error


def commit(engine: Engine, container: str, labels: Mapping[str, str]) -> str:
    """Commit a container with labels; return the image ID.

    Raises:
        UsageError: there is no such container.
        EngineError: the engine refuses.
    """
    # Labels as configuration, which the engine merges with the container's, rather than as a
    # Dockerfile's LABEL instructions, where every value would have to be quoted.
    with stream.connection_errors(engine):
        response = engine.client.post(
            engine.url("/commit"),
            params={"container": container},
            json={"Labels": dict(labels)},
            timeout=None,  # copying a large container takes long
        )
    if response.status_code == 404:
        raise _no_container_error(container)
    if not response.ok:
        reason = printable(stream.error_message(response))
        raise EngineError(
            f"cannot commit the container {container!r}: {reason}",
            "see whether docker commit can do it",
        )
    return str(response.json()["Id"])


def _no_container_error(container: str) -> UsageError:
    return UsageError(
        f"there is no container {container!r}", "docker ps --all lists the containers there are"
    )


def push(
    engine: Engine,
    reference: Reference,
    credentials: Credentials | None,
    progress: Callable[[PushEvent], None],
    *,
    sleep: Callable[[float], object] = time.sleep,
    random: Callable[[], float] = random_module.random,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Push a tag and return the digest that the registry has it under.

    Transient failures are retried, see `releasetag.retry.with_retries`; what the engine retries by
    itself counts. An exception out of ``progress`` closes the connection, and the engine stops.

    Raises:
        AuthError: the credentials are missing, wrong or not sufficient.
        PushError: the registry or the engine refuses, or the last retry failed.
        EngineError: the connection to the engine was lost, and the last retry failed.
    """
    return with_retries(
        lambda: _push_once(engine, reference, credentials, progress),
        sleep=sleep,
        random=random,
        clock=clock,
        transient=(TransientError, EngineError),
        on_retry=lambda error: progress(PushRetried(str(reference), error.message)),
    )


def _push_once(
    engine: Engine,
    reference: Reference,
    credentials: Credentials | None,
    progress: Callable[[PushEvent], None],
) -> str:
    name = quote(str(reference.repository), safe="/:")
    with stream.connection_errors(engine):
        response = engine.client.post(
            engine.url(f"/images/{name}/push"),
            params={"tag": reference.tag},
            headers={"X-Registry-Auth": registry_auth(reference.repository.registry, credentials)},
            stream=True,
            timeout=None,
        )
    digest, retries = "", _EngineRetries()
    with closing(response):
        if not response.ok:
            message = stream.error_message(response)
            raise _push_error(reference, message, status=response.status_code)
        for line in stream.objects(engine, response):
            if message := stream.line_error(line):
                raise _push_error(reference, message, tries=1 + retries.count)
            digest = _digest(line) or digest
            event = _event(reference, line)
            retries.read(event)
            progress(event)
    if not digest:
        raise PushError(
            f"the engine pushed {reference} but did not report the digest",
            "update the engine to 20.10 or newer",
        )
    return digest


class _EngineRetries:
    """Count the engine's own retries of a layer: the highest count."""

    def __init__(self) -> None:
        self.count = 0
        self._retries: dict[str, int] = {}
        self._countdown: dict[str, int] = {}

    def read(self, event: LayerPushed) -> None:
        found = _RETRYING.fullmatch(event.status)
        if found is None:
            return
        seconds = int(found[1])
        # A countdown begins where it does not go on.
        if seconds > self._countdown.get(event.layer, 0):
            self._retries[event.layer] = self._retries.get(event.layer, 0) + 1
            self.count = max(self.count, self._retries[event.layer])
        self._countdown[event.layer] = seconds


def _digest(line: Mapping[str, Any]) -> str:
    aux = line.get("aux")
    if isinstance(aux, dict) and is_digest(str(aux.get("Digest", ""))):
        return str(aux["Digest"])
    found = _DIGEST.search(str(line.get("status", "")))
    return found[1] if found else ""


def _event(reference: Reference, line: Mapping[str, Any]) -> LayerPushed:
    detail = line.get("progressDetail") or {}
    return LayerPushed(
        reference=str(reference),
        layer=printable(str(line.get("id") or "")),
        status=printable(str(line.get("status") or "")),
        current=int(detail.get("current") or 0),
        total=int(detail.get("total") or 0),
    )


def _push_error(
    reference: Reference, message: str, *, status: int = 0, tries: int = 1
) -> ReleasetagError:
    """Return the error for a push that the engine or registry refused."""
    registry = reference.repository.registry
    # 404 is the engine's own: it does not have the image. Its other status codes are unrelated to
    # the registry.
    kind = "permanent" if status == 404 else kind_of(message)
    reason = f"cannot push {reference}: {printable(message)}"
    match kind:
        case "auth":
            return AuthError(
                reason,
                f"log in with releasetag login {registry} as someone who may push there",
            )
        case "immutable":
            return PushError(reason, "the registry does not replace tags: publish a new version")
        case "transient":
            hint = "run this again: it goes on where it stopped"
            return TransientError(reason, hint, tries=tries)
    return PushError(reason, "see what the registry says, then run this again")


def _engine_error(what: str, error: docker.errors.APIError) -> EngineError:
    reason = printable(str(error.explanation or error))
    return EngineError(f"{what}: {reason}", "see the engine's log for more")
