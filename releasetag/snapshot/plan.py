"""From a work tree and settings to the plan of a snapshot. Needs git alone."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from releasetag.config import Configuration, Settings
from releasetag.errors import HistoryError, UsageError
from releasetag.fanout import Action
from releasetag.git import WorkTree
from releasetag.history import read_git_tags, require_known
from releasetag.json_text import parse_json
from releasetag.policy import TagPolicy
from releasetag.reference import Reference, Repository
from releasetag.snapshot.event import Event, read_event
from releasetag.snapshot.names import (
    NIGHTLY,
    branch_tag,
    check_branch_tag,
    check_edge,
    check_own_name,
    pull_request_tag,
)
from releasetag.snapshot.order import Commits, Line, Order
from releasetag.text import printable
from releasetag.version import Release, Snapshot, commit_tags

_LARGEST_PAYLOAD = 64 << 20


@dataclass(frozen=True)
class SnapshotTag:
    """One tag of a snapshot with its decision; see `releasetag.fanout.PlannedTag`.

    Attributes:
        kind: ``floating``: names the newest of a branch or its like; ``commit``: names the commit.
        held_by: None, as no version keeps it.
    """

    name: str
    kind: Literal["floating", "commit"]
    action: Action
    reason: str
    held_by: None = None


@dataclass(frozen=True)
class SnapshotPlan:
    """The tags of a snapshot, before anything is done.

    Attributes:
        settings: of the component, or of the variant.
        line: what the floating tags follow; None if there are only the commit's.
        variants: see `releasetag.plan.Plan`.
    """

    subject: Snapshot
    tags: tuple[SnapshotTag, ...]
    repositories: tuple[Repository, ...]
    settings: Settings
    line: Line | None
    variants: "tuple[SnapshotPlan, ...]" = ()

    @property
    def images(self) -> "tuple[SnapshotPlan, ...]":
        """Return a plan for each image that is made: of the variants, or this one."""
        return self.variants or (self,)

    @property
    def title(self) -> str:
        """What is published, for a person."""
        return f"{self.subject.version} at {self.subject.revision[:7]}"

    @property
    def exact(self) -> tuple[SnapshotTag, ...]:
        """The commit's tags, under which the image is pushed first."""
        return tuple(tag for tag in self.tags if tag.kind == "commit")

    @property
    def floating(self) -> tuple[SnapshotTag, ...]:
        """Return the floating tags to push."""
        return tuple(t for t in self.tags if t.kind == "floating" and t.action == "push")

    @property
    def references(self) -> tuple[Reference, ...]:
        """Return every reference to push, image by image, repository by repository."""
        if self.variants:
            return tuple(each for plan in self.variants for each in plan.references)
        names = [tag.name for tag in self.tags if tag.action == "push"]
        return tuple(r.tagged(name) for r in self.repositories for name in names)

    def with_commit_tag(self, name: str) -> "SnapshotPlan":
        """Return the plan of an image with another tag for the commit."""
        suffixes = iter(self.settings.suffixes)
        tags = (
            replace(tag, name=f"{name}{next(suffixes)}") if tag.kind == "commit" else tag
            for tag in self.tags
        )
        return replace(self, tags=tuple(tags))

    def kept(self, reason: str) -> "SnapshotPlan":
        """Return the plan of an image whose floating tags stay."""
        tags = (
            replace(tag, action="keep", reason=reason) if tag.kind == "floating" else tag
            for tag in self.tags
        )
        return replace(self, tags=tuple(tags))


def of_variants(plans: Sequence[SnapshotPlan], settings: Settings) -> SnapshotPlan:
    """Return the plan of all variants; the only one's where there are none."""
    first = plans[0]
    if not first.settings.variant:
        return first
    return replace(
        first,
        tags=tuple(tag for plan in plans for tag in plan.tags),
        repositories=tuple(dict.fromkeys(each for plan in plans for each in plan.repositories)),
        settings=settings,
        variants=tuple(plans),
    )


def plan_snapshot(
    tree: WorkTree,
    configuration: Configuration,
    environ: Mapping[str, str],
    warn: Callable[[str], None],
) -> SnapshotPlan:
    """Plan the snapshot of HEAD, for what the CI system or git says it is.

    Args:
        environ: the environment, in which CI systems say what they run for.
        warn: called with each warning.

    Raises:
        UsageError: a release could have its tag; or the component is not known.
        HistoryError: whether a release has it cannot be known.
    """
    # Those are about releases.
    settings = replace(_component(configuration), from_snapshot=False, from_version=None)
    revision = tree.head()
    payload = _read_payload(environ.get("GITHUB_EVENT_PATH"))
    event = read_event(environ, payload)
    if event is None:
        branch = tree.branch()
        event = Event("branch" if branch else "commit", branch, is_ci=False)
        event = replace(event, ref=f"refs/heads/{branch}")
    name, reason = _floating_tag(tree, settings, event)
    _check_names(tree, settings, event, name or commit_tags(revision)[0], warn)
    line = None
    if name:
        line = Line(
            event.branch or f"pull request {event.number}",
            event.ref,
            event.commit or revision,
            event.merge_ref,
            is_pull=event.kind == "pull request",
            is_ci=event.is_ci,
        )
    variants = [
        replace(each, from_snapshot=False, from_version=None) for each in settings.each_variant()
    ]
    if event.is_fork:
        settings, *variants = map(_without_push, (settings, *variants))
    plans = [_plan_image(each, revision, name, reason, line) for each in variants]
    plan = of_variants(plans, settings)
    for number, reference in enumerate(plan.references):
        if reference in plan.references[:number]:
            raise UsageError(
                f"two variants would both have the tag {reference}",
                "give the variants other suffixes, or other repositories",
            )
    return plan


def _without_push(settings: Settings) -> Settings:
    """Return the settings for a build that leaves nothing, of a part's platform alone."""
    platforms = settings.platforms_here or settings.platforms
    return replace(settings, push=False, part=None, platforms=platforms)


def _plan_image(
    settings: Settings, revision: str, name: str, reason: str, line: Line | None
) -> SnapshotPlan:
    commit, _ = commit_tags(revision)
    floating = [
        SnapshotTag(f"{name}{suffix}", "floating", "push", reason)
        for suffix in settings.suffixes
        if name
    ]
    tags = [
        SnapshotTag(f"{commit}{suffix}", "commit", "push", "names this commit")
        for suffix in settings.suffixes
    ]
    subject = Snapshot(name or commit, revision)
    return SnapshotPlan(subject, (*floating, *tags), settings.images, settings, line)


def _suffixes(settings: Settings) -> tuple[str, ...]:
    """Return the suffixes of all variants; an empty one where there are none."""
    of_variants = (suffix for each in settings.by_variant for suffix in each.suffixes)
    return tuple(dict.fromkeys(of_variants)) or ("",)


def _policy(settings: Settings) -> TagPolicy:
    """Return the policy of all variants together."""
    of_variants = (template for each in settings.by_variant for template in each.tags)
    templates = tuple(dict.fromkeys((*settings.tags, *of_variants)))
    return replace(settings.policy, templates=templates)


def _check_names(
    tree: WorkTree, settings: Settings, event: Event, name: str, warn: Callable[[str], None]
) -> None:
    """Raise UsageError if a release could have one of the tags."""
    history = cache(partial(_history, tree, settings, name, warn))
    for suffix in _suffixes(settings):
        if event.kind == "branch" and name != settings.edge:
            check_branch_tag(f"{name}{suffix}", event.branch, _policy(settings))
        else:
            check_own_name(f"{name}{suffix}", _policy(settings), history)


def read_order(
    tree: WorkTree, settings: Settings, line: Line, warn: Callable[[str], None]
) -> Order:
    """Look at a line as it is now.

    Raises:
        HistoryError: the remote does not answer, and the clone does not know.
    """
    tip, merge, remote = _read_tip(tree, settings, line, warn)
    known, lock = cache(partial(_load, tree, line, remote, tip)), Lock()

    def load() -> Commits:
        with lock:  # several threads, one for each repository, fetch once
            return known()

    return Order(line, tip, load, merge)


def _read_tip(
    tree: WorkTree, settings: Settings, line: Line, warn: Callable[[str], None]
) -> tuple[str | None, str, str]:
    """Return the tip of a line, the merge of a pull request, and the remote that has them."""
    remote = _remote(tree, settings)
    if not remote or not line.ref:
        return None, "", remote
    try:
        refs, _ = tree.remote_refs(remote, *filter(None, (line.ref, line.merge_ref)))
    except HistoryError as error:
        if tree.shallow or settings.history == "remote" or line.is_pull:
            raise
        warn(f"{error.message}; going on with the commits of this clone")
        return None, "", remote
    return refs.get(line.ref, ""), refs.get(line.merge_ref, ""), remote


def _load(tree: WorkTree, line: Line, remote: str, tip: str | None) -> Commits:
    own = (tree.head(), tip) if tip else (tree.head(),)
    if (known := tree.parents(*own)) is not None:
        return Commits(known)
    if tip:
        return Commits(tree.fetch_parents(remote, line.ref))
    raise HistoryError(
        f"the clone is shallow, and no remote has {line.name}: which of two commits is newer cannot"
        " be known",
        "fetch the whole history (fetch-depth: 0)",
    )


def _remote(tree: WorkTree, settings: Settings) -> str:
    """Return the remote to ask; empty if there is none, or none is to be asked."""
    if settings.history == "local":
        return ""
    remotes, remote = tree.remotes(), settings.remote
    if remote == "origin" and remote not in remotes and len(remotes) == 1:
        return remotes[0]
    if remote in remotes:
        return remote
    if settings.history == "remote" or remote != "origin":
        raise UsageError(
            f"there is no git remote {printable(remote, 100)!r}",
            "name one of `git remote` with --remote, or use --history local",
        )
    return ""


def _component(configuration: Configuration) -> Settings:
    found = configuration.publishable()
    # A prefix from above the file chooses a component.
    prefix = configuration.default.tag_prefix
    named = [each for each in configuration.components if each.tag_prefix == prefix]
    found = tuple(each for each in found if each in named) or found
    if len(found) > 1:
        prefixes = ", ".join(each.tag_prefix or "v" for each in found)
        raise UsageError(
            "there are several components, and no git tag says which one is built",
            f"name one with --tag-prefix: {prefixes}",
        )
    return found[0]


def _floating_tag(tree: WorkTree, settings: Settings, event: Event) -> tuple[str, str]:
    """Return the floating tag of an event, and why it has it; empty if it has none."""
    shown = printable(event.branch, 100)
    match event.kind:
        case "commit":
            return "", ""
        case "pull request":
            reason = "the newest of the pull request"
            if event.is_fork:
                reason = "the pull request is from a fork, or Dependabot's: nothing is pushed"
            return pull_request_tag(event.number), reason
        case "schedule":
            return NIGHTLY, f"the newest of {shown}, by schedule"
    if event.branch == (event.default_branch or _default_branch(tree, settings)):
        check_edge(settings.edge)
        return settings.edge, f"the newest of {shown}, the default branch"
    name = branch_tag(event.branch, settings.edge, _suffixes(settings), _policy(settings))
    return name, f"the newest of {shown}"


def _default_branch(tree: WorkTree, settings: Settings) -> str:
    remote = _remote(tree, settings)
    if remote:
        try:
            _, default = tree.remote_refs(remote)
        except HistoryError:
            default = tree.known_default_branch(remote)
        if default:
            return default
    branch = tree.branch()
    return branch if branch in {"main", "master"} else "main"


def _history(
    tree: WorkTree, settings: Settings, name: str, warn: Callable[[str], None]
) -> Iterable[Release]:
    git_tags = read_git_tags(tree, settings.history, settings.remote)
    history = settings.releases(git_tags)
    require_known(git_tags, history, f"whether a release has the tag {name}", warn)
    return history


def _read_payload(file: str | None) -> Mapping[str, Any]:
    """Read the event of GitHub; empty if there is none that can be read."""
    if not file:
        return {}
    try:
        with Path(file).open("rb") as opened:
            found = parse_json(opened.read(_LARGEST_PAYLOAD))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
