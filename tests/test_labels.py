"""releasetag.labels: what an image says that it was built from."""

import pytest

from releasetag.labels import merge, release_labels
from releasetag.project import Project
from releasetag.reference import parse_repository
from releasetag.version import Release, parse_version

REVISION = "0123456789abcdef0123456789abcdef01234567"
DIGEST = "sha256:" + "0123456789abcdef" * 4
PREFIX = "org.opencontainers.image."


def release(text: str) -> Release:
    version = parse_version(text)
    assert version is not None
    return Release(f"v{text}", version, REVISION)


def test_a_release_has_the_labels_of_the_specification() -> None:
    made = release_labels(
        release("1.2.3+b.5"),
        1767323045,
        "git@github.com:acme/app.git",
        parse_repository("ghcr.io/acme/api"),
        Project("An app.", "https://app.example", "MIT"),
        f"alpine:3.22@{DIGEST}",
    )

    assert made == {
        PREFIX + "description": "An app.",
        PREFIX + "url": "https://app.example",
        PREFIX + "licenses": "MIT",
        PREFIX + "base.name": "docker.io/library/alpine:3.22",
        PREFIX + "base.digest": DIGEST,
        PREFIX + "version": "1.2.3+b.5",
        PREFIX + "revision": REVISION,
        PREFIX + "created": "2026-01-02T03:04:05Z",
        PREFIX + "source": "https://github.com/acme/app",
        PREFIX + "title": "api",
    }


@pytest.mark.parametrize(
    "remote_url",
    [None, "", "/srv/git/app.git", "file:///srv/git/app.git", "https://al:hunter2/x@git.example/a"],
)
def test_what_is_not_known_is_not_claimed(remote_url: str | None) -> None:
    app = parse_repository("app")
    made = release_labels(release("1.2.3"), None, remote_url, app, Project(), "")

    assert set(made) == {PREFIX + "version", PREFIX + "revision", PREFIX + "title"}
    assert made[PREFIX + "title"] == "app"


def test_time_zero_is_a_time() -> None:
    app = parse_repository("app")
    made = release_labels(release("1.2.3"), 0, None, app, Project(), "")

    assert made[PREFIX + "created"] == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("ghcr.io/acme/base", {"base.name": "ghcr.io/acme/base:latest"}),
        (f"acme/base@{DIGEST}", {"base.name": "docker.io/acme/base", "base.digest": DIGEST}),
        ("not a reference", {}),
    ],
)
def test_the_base_image_is_named_in_full(base: str, expected: dict[str, str]) -> None:
    app = parse_repository("app")
    made = release_labels(release("1.2.3"), None, None, app, Project(), base)

    assert {key: value for key, value in made.items() if ".base." in key} == {
        PREFIX + key: value for key, value in expected.items()
    }


OWN = {
    PREFIX + "version": "1.2.3",
    PREFIX + "revision": REVISION,
    PREFIX + "title": "app",
}


@pytest.mark.parametrize(
    ("given", "in_dockerfile", "expected"),
    [
        ({}, set(), OWN),
        ({"maintainer": "alice"}, set(), OWN | {"maintainer": "alice"}),
        ({PREFIX + "title": "App"}, set(), OWN | {PREFIX + "title": "App"}),
        # Left out, the Dockerfile's own stands.
        ({}, {"title"}, {k: v for k, v in OWN.items() if k != PREFIX + "title"}),
        ({PREFIX + "title": "App"}, {"title"}, OWN | {PREFIX + "title": "App"}),
        # What the image is proved by is ours alone.
        ({PREFIX + "version": "9.9.9", PREFIX + "revision": "x"}, {"version", "revision"}, OWN),
    ],
)
def test_other_labels_win_but_for_version_and_revision(
    given: dict[str, str], in_dockerfile: set[str], expected: dict[str, str]
) -> None:
    assert merge(OWN, given, frozenset(PREFIX + name for name in in_dockerfile)) == expected
