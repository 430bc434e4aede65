"""releasetag.registry.cache: what is kept, and for how long."""

from releasetag.reference import Repository
from releasetag.registry.cache import Content, ContentCache

APP = Repository("registry.test", "acme/app")
OTHER = Repository("registry.test", "acme/other")


def test_content_is_found_by_repository_and_digest() -> None:
    cache = ContentCache()
    cache.add(APP, "sha256:a", Content(b"a", "application/json"))

    assert cache.find(APP, "sha256:a") == Content(b"a", "application/json")
    assert cache.find(APP, "sha256:b") is None
    assert cache.find(OTHER, "sha256:a") is None


def test_the_oldest_goes_when_there_is_too_much() -> None:
    cache = ContentCache(limit=10)
    for name in ("sha256:a", "sha256:a", "sha256:b", "sha256:c"):  # a counts once
        cache.add(APP, name, Content(b"1234"))

    assert cache.find(APP, "sha256:a") is None
    assert cache.find(APP, "sha256:b") == cache.find(APP, "sha256:c") == Content(b"1234")


def test_what_is_larger_than_the_limit_is_not_kept() -> None:
    cache = ContentCache(limit=3)
    cache.add(APP, "sha256:a", Content(b"1234"))

    assert cache.find(APP, "sha256:a") is None
