"""The labels that say what an image was built from. Pure.

Source: OCI Image Format Specification 1.1, annotations.md, "Pre-Defined Annotation Keys".
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from releasetag.reference import Repository
from releasetag.remote_url import web_url
from releasetag.version import Release

PREFIX = "org.opencontainers.image."
VERSION = f"{PREFIX}version"
REVISION = f"{PREFIX}revision"
CREATED = f"{PREFIX}created"
SOURCE = f"{PREFIX}source"
TITLE = f"{PREFIX}title"


def release_labels(
    release: Release, commit_time: int | None, remote_url: str | None, repository: Repository
) -> dict[str, str]:
    """Return the labels of a release's image.

    Args:
        commit_time: the commit's time, in seconds since 1970; None where it is not known.
        remote_url: where git reads from.
        repository: the first repository that the image is published in.
    """
    labels = {
        VERSION: str(release.version),
        REVISION: release.revision,
        TITLE: repository.path.rpartition("/")[2],
    }
    if commit_time is not None:
        labels[CREATED] = datetime.fromtimestamp(commit_time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if source := web_url(remote_url or ""):
        labels[SOURCE] = source
    return labels


def merge(
    own: Mapping[str, str], given: Mapping[str, str], in_dockerfile: frozenset[str]
) -> dict[str, str]:
    """Merge labels: the user's and the Dockerfile's win, but for version and revision.

    Args:
        own: from `release_labels`.
        given: the user's.
        in_dockerfile: the keys that the Dockerfile sets.
    """
    fixed = {key: own[key] for key in (VERSION, REVISION)}
    ours = {key: value for key, value in own.items() if key not in in_dockerfile}
    return {**ours, **given, **fixed}
