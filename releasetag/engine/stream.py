"""The engine's answers that grow while it works: JSON objects, one a line.

Source: Docker Engine API, ``/build`` and ``/images/{name}/push``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker.errors
import requests
import urllib3

from releasetag.engine.connect import Engine, lost
from releasetag.json_text import InvalidJsonError, parse_json


@contextmanager
def connection(engine: Engine) -> Iterator[None]:
    """Turns the ways in which a connection can break into an EngineError."""
    try:
        yield
    except docker.errors.APIError:
        raise  # an answer of the engine, though the SDK derives it from RequestException
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise lost(engine, error) from error


def objects(engine: Engine, response: requests.Response) -> Iterator[dict[str, Any]]:
    """The objects as they come, until the engine ends the answer.

    Raises:
        EngineError: the connection broke.
    """
    rest = b""
    # None: every chunk as it comes. With a size, requests waits until so much is there.
    chunks = response.iter_content(chunk_size=None)
    while True:
        # The reading alone: an OSError of the caller is not a broken connection.
        with connection(engine):
            chunk = next(chunks, None)
        if chunk is None:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield from _parsed(line)
    yield from _parsed(rest)


def _parsed(line: bytes) -> Iterator[dict[str, Any]]:
    try:
        value = parse_json(line)
    except InvalidJsonError:
        return
    if isinstance(value, dict):
        yield value


def refusal(response: requests.Response) -> str:
    """What the engine says in an answer that is an error, or ``HTTP 500``."""
    try:
        message = response.json()["message"]
    except (ValueError, KeyError, TypeError):
        message = response.text.strip()
    return str(message) or f"HTTP {response.status_code}"


def failure(line: dict[str, Any]) -> str:
    """What a line says went wrong; empty when it says no such thing."""
    detail = line.get("errorDetail")
    message = detail.get("message") if isinstance(detail, dict) else None
    return str(message or line.get("error") or "")
