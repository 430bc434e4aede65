"""What was read of a registry by digest, so that it is read once in a run."""

import threading
from dataclasses import dataclass

from releasetag.reference import Repository

LIMIT = 32 * 1024 * 1024
"""Bytes of content that are kept of one registry; the oldest goes first."""


@dataclass(frozen=True)
class Content:
    """A manifest, an index or an image configuration.

    Attributes:
        media_type: as the registry said; empty for a configuration.
    """

    content: bytes
    media_type: str = ""


class ContentCache:
    """Content that matched its digest, which never changes. Thread-safe.

    A digest is known of the repository that it was read from alone: another one may lack it.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._size = 0
        self._contents: dict[tuple[Repository, str], Content] = {}
        self._lock = threading.Lock()

    def find(self, repository: Repository, digest: str) -> Content | None:
        """Return the content of a digest; None if it has not been read."""
        with self._lock:
            return self._contents.get((repository, digest))

    def add(self, repository: Repository, digest: str, content: Content) -> None:
        """Keep content that matches the digest."""
        with self._lock:
            if (repository, digest) not in self._contents:
                self._contents[repository, digest] = content
                self._size += len(content.content)
            while self._size > self._limit:
                oldest = next(iter(self._contents))
                self._size -= len(self._contents.pop(oldest).content)
