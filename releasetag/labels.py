"""The labels that tell what an image was built from. Pure.

Source: OCI Image Format Specification 1.1, annotations.md, "Pre-Defined Annotation Keys".
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from releasetag.reference import Repository
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
    """The labels of a release's image.

    Args:
        commit_time: the commit's time, in seconds since 1970; None where it is not known.
        remote_url: where git pushes to.
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
    """The labels to build with: others win over ours, but for the version and the revision.

    Args:
        own: from `release_labels`.
        given: the user's.
        in_dockerfile: the keys that the Dockerfile sets itself.
    """
    fixed = {key: own[key] for key in (VERSION, REVISION)}
    ours = {key: value for key, value in own.items() if key not in in_dockerfile}
    return {**ours, **given, **fixed}


def web_url(remote_url: str) -> str:
    """A git remote's URL as a person opens it, without credentials; empty for a local one.

    ``git@github.com:acme/app.git`` and ``https://user:secret@github.com/acme/app.git`` are both
    ``https://github.com/acme/app``.
    """
    scp = re.fullmatch(r"(?:[^@/\s]+@)?([A-Za-z0-9.-]+\.[A-Za-z0-9-]+):(?!//)/?(\S+)", remote_url)
    if scp:
        host, path = scp[1], f"/{scp[2]}"
    else:
        try:
            parts = urlsplit(remote_url)
            port = f":{parts.port}" if parts.port and parts.scheme.startswith("http") else ""
        except ValueError:
            return ""
        if parts.scheme not in {"http", "https", "ssh", "git", "git+ssh"} or not parts.hostname:
            return ""
        host, path = f"{parts.hostname}{port}", parts.path
    return f"https://{host}{path.rstrip('/').removesuffix('.git')}"
