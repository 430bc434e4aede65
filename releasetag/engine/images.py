"""Images in the engine: look at, tag, push, and make from a container.

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
    PassingError,
    PushError,
    ReleasetagError,
    UsageError,
)
from releasetag.events import LayerPushed, PushEvent, PushRetried
from releasetag.push_failure import kind_of
from releasetag.reference import Reference, is_digest
from releasetag.retry import retried
from releasetag.text import printable

# Engines with containerd's image store, and Podman, say the digest in words alone.
_DIGEST = re.compile(r"\bdigest: (sha256:[0-9a-f]{64})\b")

# Podman reads an image's names and writes them back with the new one: of two that are given at the
# same time, one can be lost.
_TAGGING = threading.Lock()


def find(engine: Engine, name: str) -> str | None:
    """The ID of the image that an ID or a reference names in the engine, None if there is none.

    An ID is the digest of the configuration or, with containerd's store, of the manifest or index.

    Raises:
        EngineError: the engine cannot say.
    """
    found = _inspect(engine, name)
    return str(found["Id"]) if found else None


def repo_digests(engine: Engine, name: str) -> tuple[str, ...]:
    """The references by digest under which an image was pulled or pushed.

    Raises:
        EngineError: the engine cannot say.
    """
    listed = _inspect(engine, name).get("RepoDigests") or ()
    # An image without any is listed as "<none>@<none>" by old engines.
    return tuple(str(each) for each in listed if "<none>" not in str(each))


def platform_of(engine: Engine, image_id: str) -> str:
    """The platform that an image is for: ``linux/arm64``.

    Raises:
        EngineError: the engine cannot say.
    """
    found = _inspect(engine, image_id)
    return f"{found.get('Os')}/{found.get('Architecture')}"


def _inspect(engine: Engine, name: str) -> dict[str, Any]:
    """What the engine says of an image; nothing if there is none."""
    try:
        with stream.connection(engine):
            found: dict[str, Any] = engine.client.inspect_image(name)  # type: ignore[no-untyped-call]
    except docker.errors.NotFound:
        return {}
    except docker.errors.APIError as error:
        raise _refused(f"cannot inspect {name}", error) from error
    return found


def tag(engine: Engine, image_id: str, reference: Reference) -> None:
    """Gives an image in the engine a name; another image that has it loses it.

    Raises:
        EngineError: there is no such image, or the engine refuses.
    """
    try:
        with _TAGGING, stream.connection(engine):
            engine.client.tag(image_id, str(reference.repository), reference.tag, force=True)
    except docker.errors.APIError as error:
        raise _refused(f"cannot tag {image_id} as {reference}", error) from error


def require_container(engine: Engine, container: str) -> None:
    """Raises UsageError if there is no such container, and EngineError if the engine cannot say."""
    try:
        with stream.connection(engine):
            engine.client.inspect_container(container)
    except docker.errors.NotFound:
        raise _no_container(container) from None
    except docker.errors.APIError as error:
        raise _refused(f"cannot inspect {container}", error) from error


def commit(engine: Engine, container: str, labels: Mapping[str, str]) -> str:
    """The ID of a new image of a container's files, its configuration and these labels.

    Raises:
        UsageError: there is no such container.
        EngineError: the engine refuses.
    """
    # Labels as configuration, which the engine merges with the container's, rather than as a
    # Dockerfile's LABEL instructions, where every value would have to be quoted.
    with stream.connection(engine):
        response = engine.client.post(
            engine.url("/commit"),
            params={"container": container},
            json={"Labels": dict(labels)},
            timeout=None,  # copying a large container takes its time
        )
    if response.status_code == 404:
        raise _no_container(container)
    if not response.ok:
        raise EngineError(
            f"cannot commit the container {container!r}: {printable(stream.refusal(response))}",
            "see whether docker commit can do it",
        )
    return str(response.json()["Id"])


def _no_container(container: str) -> UsageError:
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
) -> str:
    """Pushes a tag and gives the digest that the registry has it under.

    A failure that may pass is tried again, see `releasetag.retry.retried`.
    An exception out of ``progress`` closes the connection, which makes the engine stop pushing.

    Raises:
        AuthError: the registry does not let us push there.
        PushError: the registry or the engine refuses, or failed five times.
        EngineError: the engine went away, five times.
    """

    return retried(
        lambda: _push_once(engine, reference, credentials, progress),
        sleep=sleep,
        random=random,
        passing=(PassingError, EngineError),
        again=lambda error: progress(PushRetried(str(reference), error.message)),
    )


def _push_once(
    engine: Engine,
    reference: Reference,
    credentials: Credentials | None,
    progress: Callable[[PushEvent], None],
) -> str:
    name = quote(str(reference.repository), safe="/:")
    digest = ""
    with stream.connection(engine):
        response = engine.client.post(
            engine.url(f"/images/{name}/push"),
            params={"tag": reference.tag},
            headers={"X-Registry-Auth": registry_auth(reference.repository.registry, credentials)},
            stream=True,
            timeout=None,
        )
    with closing(response):
        if not response.ok:
            raise _failed(reference, stream.refusal(response), response.status_code)
        for line in stream.objects(engine, response):
            if message := stream.failure(line):
                raise _failed(reference, message)
            digest = _digest(line) or digest
            progress(_event(reference, line))
    if not digest:
        raise PushError(
            f"the engine pushed {reference} but did not say under which digest",
            "update the engine to 20.10 or newer",
        )
    return digest


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


def _failed(reference: Reference, message: str, status: int = 0) -> ReleasetagError:
    """The error for what the engine or, through it, the registry said about a push."""
    registry = reference.repository.registry
    # 404 is the engine's own: it does not have what should be pushed. Its other statuses say
    # nothing about the registry.
    kind = "lasting" if status == 404 else kind_of(message)
    said = f"cannot push {reference}: {printable(message)}"
    match kind:
        case "auth":
            return AuthError(
                said,
                f"log in with releasetag login {registry} as someone who may push there",
            )
        case "immutable":
            return PushError(said, "the registry holds this tag for ever: publish a new version")
        case "passing":
            return PassingError(said, "run this again: it goes on where it stopped")
    return PushError(said, "see what the registry says, then run this again")


def _refused(what: str, error: docker.errors.APIError) -> EngineError:
    said = str(error.explanation or error)
    return EngineError(f"{what}: {printable(said)}", "see the engine's log for more")
