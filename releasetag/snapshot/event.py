"""What a CI system runs for: a branch, a pull request, a schedule, or a commit alone. Pure.

Sources: GitHub Docs, "Variables reference" and "Events that trigger workflows"; GitLab, Woodpecker,
Drone, CircleCI, Jenkins, Azure Pipelines, Bitbucket, Buildkite, Travis: their lists of variables.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from releasetag.plan import ci_git_tag

_HEADS = "refs/heads/"
_NO = {"", "false", "False"}
_DEPENDABOT = "dependabot[bot]"

EventKind = Literal["branch", "schedule", "pull request", "commit"]


@dataclass(frozen=True)
class Event:
    """What a snapshot is built for.

    Attributes:
        branch: of a branch or a schedule.
        number: of a pull request.
        ref: where the remote has it; empty if that is not known.
        merge_ref: where the remote has the merge of a pull request; empty if that is not known.
        commit: the last one of a pull request's branch; empty: HEAD. HEAD may be a merge of it.
        is_fork: whether the pull request is from another repository, or treated so: its run has
            neither secrets nor the right to push.
        default_branch: of the repository; empty if that is not known.
        is_ci: whether a CI system says so.
    """

    kind: EventKind
    branch: str = ""
    number: str = ""
    ref: str = ""
    merge_ref: str = ""
    commit: str = ""
    is_fork: bool = False
    default_branch: str = ""
    is_ci: bool = True


@dataclass(frozen=True)
class _System:
    """The variables of a CI system.

    Attributes:
        branch: names the branch.
        pull: holds the number of a pull request.
        schedule: a variable and its value in a scheduled run.
        fork: holds something if a pull request is from a fork; or two that differ then.
        pull_ref: where the remote has a pull request.
        pull_commit: holds its last commit.
    """

    branch: str
    pull: str
    schedule: tuple[str, str] = ("", "")
    fork: tuple[str, ...] = ()
    pull_ref: str = ""
    pull_commit: str = ""
    default_branch: str = ""


# First match first.
_SYSTEMS = (
    _System(  # GitLab
        "CI_COMMIT_BRANCH",
        "CI_MERGE_REQUEST_IID",
        ("CI_PIPELINE_SOURCE", "schedule"),
        ("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "CI_MERGE_REQUEST_PROJECT_ID"),
        "refs/merge-requests/{}/head",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA",
        "CI_DEFAULT_BRANCH",
    ),
    _System(  # Woodpecker
        "CI_COMMIT_BRANCH",
        "CI_COMMIT_PULL_REQUEST",
        ("CI_PIPELINE_EVENT", "cron"),
        default_branch="CI_REPO_DEFAULT_BRANCH",
    ),
    _System("DRONE_BRANCH", "DRONE_PULL_REQUEST", ("DRONE_BUILD_EVENT", "cron")),
    _System("CIRCLE_BRANCH", "CIRCLE_PR_NUMBER", fork=("CIRCLE_PR_NUMBER",)),
    _System("BRANCH_NAME", "CHANGE_ID", fork=("CHANGE_FORK",)),  # Jenkins
    _System(  # Azure Pipelines
        "BUILD_SOURCEBRANCH",
        "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER",
        ("BUILD_REASON", "Schedule"),
        ("SYSTEM_PULLREQUEST_ISFORK",),
    ),
    _System("BITBUCKET_BRANCH", "BITBUCKET_PR_ID"),
    _System(
        "BUILDKITE_BRANCH",
        "BUILDKITE_PULL_REQUEST",
        ("BUILDKITE_SOURCE", "schedule"),
        default_branch="BUILDKITE_PIPELINE_DEFAULT_BRANCH",
    ),
    _System(
        "TRAVIS_BRANCH",
        "TRAVIS_PULL_REQUEST",
        ("TRAVIS_EVENT_TYPE", "cron"),
        ("TRAVIS_PULL_REQUEST_SLUG", "TRAVIS_REPO_SLUG"),
    ),
)


def read_event(environ: Mapping[str, str], payload: Mapping[str, Any]) -> Event | None:
    """Return what the CI system runs for; None if none says.

    Args:
        payload: of GitHub's event; it may be anything.
    """
    if ci_git_tag(environ):
        return Event("commit")
    if environ.get("GITHUB_REF"):
        return _github_event(environ, payload)
    # Several systems share names, and pull requests have a branch as well.
    for system in _SYSTEMS:
        if (number := environ.get(system.pull, "")) not in _NO:
            return _pull_request(environ, system, number)
    schedules = {system.schedule for system in _SYSTEMS}
    is_scheduled = any(environ.get(variable, "") == value != "" for variable, value in schedules)
    for system in _SYSTEMS:
        if branch := environ.get(system.branch, "").removeprefix(_HEADS):
            # Woodpecker names the branch as GitLab does, and its default branch otherwise.
            same = [each for each in _SYSTEMS if each.branch == system.branch]
            found = (environ.get(each.default_branch, "") for each in same)
            default = next(filter(None, found), "")
            return _branch(branch, default, is_scheduled=is_scheduled)
    return None


def _branch(branch: str, default: str, *, is_scheduled: bool) -> Event:
    kind: EventKind = "schedule" if is_scheduled else "branch"
    return Event(kind, branch, ref=f"{_HEADS}{branch}", default_branch=default)


def _pull_request(environ: Mapping[str, str], system: _System, number: str) -> Event:
    if not re.fullmatch("[0-9]+", number):
        return Event("commit")
    fork = [environ.get(name, "") for name in system.fork]
    differs = len(fork) == 2 and all(fork) and fork[0] != fork[1]
    return Event(
        "pull request",
        number=number,
        ref=system.pull_ref.format(number),
        commit=environ.get(system.pull_commit, ""),
        is_fork=differs or (len(fork) == 1 and fork[0] not in _NO),
    )


def _github_event(environ: Mapping[str, str], payload: Mapping[str, Any]) -> Event:
    ref, name = environ["GITHUB_REF"], environ.get("GITHUB_EVENT_NAME", "")
    pull = _table(payload, "pull_request")
    number = str(pull.get("number") or "")
    if not number and (found := re.fullmatch("refs/pull/([0-9]+)/(?:merge|head)", ref)):
        number = found[1]
    # pull_request_target runs for the base's branch, though what is checked out may be the head.
    if re.fullmatch("[0-9]+", number):
        head, base = _table(pull, "head"), _table(pull, "base")
        from_repository, to_repository = head.get("repo", {}), _table(base, "repo")
        is_fork = (
            from_repository is None  # it was deleted
            or _table(head, "repo").get("full_name") != to_repository.get("full_name")
            or environ.get("GITHUB_ACTOR") == _DEPENDABOT
        )
        commit = head.get("sha")
        return Event(
            "pull request",
            number=number,
            ref=f"refs/pull/{number}/head",
            merge_ref=f"refs/pull/{number}/merge",
            commit=commit if isinstance(commit, str) else "",
            is_fork=is_fork,
        )
    # The branch of a merge queue has one commit, which becomes that of the branch.
    if not ref.startswith(_HEADS) or name == "merge_group":
        return Event("commit")
    default = _table(payload, "repository").get("default_branch")
    return _branch(
        ref.removeprefix(_HEADS),
        default if isinstance(default, str) else "",
        is_scheduled=name == "schedule",
    )


def _table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, dict) else {}
