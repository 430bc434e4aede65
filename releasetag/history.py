"""The history: releases by local and remote git tags, and whether they may be all there are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from releasetag.errors import HistoryError, UsageError
from releasetag.git import LOCAL_HINT, WorkTree
from releasetag.remote_url import without_credentials
from releasetag.text import printable
from releasetag.version import Release, Releases, Scheme, Version

HistoryMode = Literal["auto", "local", "remote"]
HISTORY_MODES: tuple[HistoryMode, ...] = get_args(HistoryMode)


@dataclass(frozen=True)
class GitTags:
    """All git tags, whether or not they are releases.

    Attributes:
        commits: the commit that every tag points at, by the tag's name.
        source: ``remote`` if the remote was asked, else ``local``.
        unknown: why the tags may not be all there are, for a person; empty if they are.
        shallow: whether the clone is shallow, so that local tags say nothing of the others.
        mode: how they were read, so that they can be read again the same way.
        remote: the remote that was, or would have been, asked.
    """

    commits: Mapping[str, str]
    source: Literal["local", "remote"]
    unknown: str
    shallow: bool
    mode: HistoryMode
    remote: str
    _releases: dict[tuple[str | None, Scheme, frozenset[Version]], Releases] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def releases(
        self, prefix: str | None, scheme: Scheme, ignored: frozenset[Version] = frozenset()
    ) -> Releases:
        """Return the tags that are releases behind a prefix (None: an optional ``v``).

        Args:
            ignored: the yanked versions, which are left out.
        """
        key = prefix, scheme, ignored
        if key not in self._releases:
            self._releases[key] = Releases(self.commits, *key)
        return self._releases[key]

    def releases_at(self, revision: str, prefix: str | None, scheme: Scheme) -> Releases:
        """Return the releases of one commit."""
        here = {name: commit for name, commit in self.commits.items() if commit == revision}
        return Releases(here, prefix, scheme)


def read_git_tags(tree: WorkTree, mode: HistoryMode, remote: str) -> GitTags:
    """Read the git tags, of the remote as well unless it is not to be asked or there is none.

    Raises:
        UsageError: there is no such remote, though one was asked for.
        HistoryError: only the remote counts, and it cannot be read; or a local tag is broken.
    """
    local, others = tree.local_tags()
    if mode == "local":
        return GitTags(local, "local", "", tree.shallow, mode, remote)
    remotes = tree.remotes()
    if remote == "origin" and remote not in remotes and len(remotes) == 1:
        remote = remotes[0]  # `git clone --origin upstream`
    if remote not in remotes:
        if mode == "remote" or remote != "origin":
            raise UsageError(
                f"there is no git remote {printable(without_credentials(remote), 100)!r}",
                "name one of `git remote` with --remote, or use --history local",
            )
        unknown = "there is no git remote to ask" if tree.shallow else ""
        if remotes:
            names = printable(", ".join(remotes))
            unknown = f"none of the git remotes {names} is called origin"
        return GitTags(local, "local", unknown, tree.shallow, mode, remote)
    try:
        # A remote does not say which tags are no commits; the clone knows of those that it has.
        listed = tree.remote_tags(remote).items()
        theirs = {git_tag: target for git_tag, target in listed if target not in others}
    except HistoryError as error:
        if mode == "remote":
            raise
        return GitTags(local, "local", error.message, tree.shallow, mode, remote)
    commits = theirs if mode == "remote" else {**theirs, **local}
    return GitTags(commits, "remote", "", tree.shallow, mode, remote)


def reread_git_tags(tree: WorkTree, tags: GitTags) -> GitTags:
    """Read the git tags the same way once more: a release may have appeared meanwhile.

    Raises:
        HistoryError: the remote answered before and does not now.
    """
    again = read_git_tags(tree, tags.mode, tags.remote)
    if tags.source == "remote" and again.source == "local":
        raise HistoryError(
            f"{again.unknown}, so a newer release cannot be ruled out",
            "no floating tag moved; run again when the remote answers",
        )
    return again


def require_known(
    git_tags: GitTags, history: Sequence[Release], question: str, warn: Callable[[str], None]
) -> None:
    """See that the history can be relied on where the remote could not be asked.

    A complete clone that knows several releases is taken to know them all, with a warning.

    Args:
        history: the releases of the component in question.
        question: what is decided by them, for a person; empty if nothing is.

    Raises:
        HistoryError: the question cannot be answered.
    """
    if not git_tags.unknown:
        return
    several = len({str(release.version) for release in history}) > 1
    if question and (git_tags.shallow or not several):
        why = "the clone is shallow" if git_tags.shallow else "this clone knows no other release"
        raise HistoryError(f"{git_tags.unknown}, and {why}: {question} cannot be known", LOCAL_HINT)
    warn(f"{git_tags.unknown}; going on with the local tags")
