"""Streamed responses of the engine: newline-delimited JSON objects.

Source: Docker Engine API, ``/build`` and ``/images/{name}/push``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker.errors
import requests
import urllib3

from releasetag.engine.connect import Engine, connection_lost_error
from releasetag.json_text import InvalidJsonError, parse_json


@contextmanager
def connection_errors(engine: Engine) -> Iterator[None]:
    """Turn every exception for a broken connection into an EngineError."""
    try:
        yield
    except docker.errors.APIError:
        raise  # a response of the engine, though the SDK derives it from RequestException
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise connection_lost_error(engine, error) from error


def objects(engine: Engine, response: requests.Response) -> Iterator[dict[str, Any]]:
    """Yield the objects as they arrive, until the engine ends the response.

    Raises:
        EngineError: the connection broke.
    """
    rest = b""
    # None: every chunk as it arrives. With a size, requests waits until a chunk is full.
    chunks = response.iter_content(chunk_size=None)
    while True:
        # Only the read: an OSError of the caller is not a broken connection.
        with connection_errors(engine):
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


def error_message(response: requests.Response) -> str:
    """Return the message of a response that is an error, or ``HTTP 500``."""
    try:
        message = response.json()["message"]
    except (ValueError, KeyError, TypeError):
        message = response.text.strip()
    return str(message) or f"HTTP {response.status_code}"


def line_error(line: dict[str, Any]) -> str:
    """Return the error that a line reports; empty if it reports none."""
    detail = line.get("errorDetail")
    message = detail.get("message") if isinstance(detail, dict) else None
    return str(message or line.get("error") or "")
