"""The labels that say what an image was built from. Pure.

Source: OCI Image Format Specification 1.1, annotations.md, "Pre-Defined Annotation Keys".
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from releasetag.errors import UsageError
from releasetag.project import Project
from releasetag.reference import Repository, parse_reference
from releasetag.remote_url import web_url
from releasetag.version import Release, Snapshot

PREFIX = "org.opencontainers.image."
VERSION = f"{PREFIX}version"
REVISION = f"{PREFIX}revision"
CREATED = f"{PREFIX}created"
SOURCE = f"{PREFIX}source"
TITLE = f"{PREFIX}title"
DESCRIPTION = f"{PREFIX}description"
URL = f"{PREFIX}url"
LICENSES = f"{PREFIX}licenses"
BASE_NAME = f"{PREFIX}base.name"
BASE_DIGEST = f"{PREFIX}base.digest"


def release_labels(
    subject: Release | Snapshot,
    commit_time: int | None,
    remote_url: str | None,
    repository: Repository,
    project: Project,
    base: str,
) -> dict[str, str]:
    """Return the labels of an image; what is not known is left out.

    Args:
        commit_time: the commit's time, in seconds since 1970; None where it is not known.
        remote_url: where git reads from.
        repository: the first repository that the image is published in.
        project: what the project's files say of it.
        base: the base image as the Dockerfile names it; empty if there is none.
    """
    labels = {
        VERSION: str(subject.version),
        REVISION: subject.revision,
        TITLE: repository.path.rpartition("/")[2],
        DESCRIPTION: project.description,
        URL: project.url,
        LICENSES: project.licenses,
        CREATED: "" if commit_time is None else rfc3339(commit_time),
        SOURCE: web_url(remote_url or ""),
        **_base_labels(base),
    }
    return {key: value for key, value in labels.items() if value}


def rfc3339(seconds: int) -> str:
    """Write a time, in seconds since 1970: ``2026-01-02T03:04:05Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _base_labels(base: str) -> dict[str, str]:
    name, _, digest = base.partition("@")
    try:
        reference = parse_reference(name)
    except UsageError:
        return {}
    repository = reference.repository
    # The digest is known only if it is given: the builder decides what a tag names.
    tag = "" if digest and ":" not in name.rpartition("/")[2] else f":{reference.tag}"
    return {BASE_NAME: f"{repository.registry}/{repository.path}{tag}", BASE_DIGEST: digest}


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
