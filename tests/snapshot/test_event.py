"""releasetag.snapshot.event: what each CI system runs for."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasetag.snapshot.event import Event, read_event

HEAD = "a" * 40
MAIN = Event("branch", "main", ref="refs/heads/main")
NIGHT = Event("schedule", "main", ref="refs/heads/main")
PULL = Event("pull request", number="12")
ON_GITHUB = replace(PULL, ref="refs/pull/12/head", merge_ref="refs/pull/12/merge")
COMMIT = Event("commit")


def github(event: str, ref: str) -> dict[str, str]:
    return {"GITHUB_EVENT_NAME": event, "GITHUB_REF": ref}


def payload(head: Any, base: Any) -> dict[str, Any]:
    return {"pull_request": {"number": 12, "head": head, "base": base}}


def repo(name: str) -> dict[str, Any]:
    return {"sha": HEAD, "repo": {"full_name": name}}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        (github("push", "refs/heads/main"), MAIN),
        (github("workflow_dispatch", "refs/heads/main"), MAIN),
        (github("schedule", "refs/heads/main"), NIGHT),
        (github("push", "refs/tags/v1.2.3"), COMMIT),
        (github("merge_group", "refs/heads/gh-readonly-queue/main/pr-12-abc"), COMMIT),
        (github("something new", "refs/somewhere/else"), COMMIT),
        (github("pull_request", "refs/pull/12/merge"), ON_GITHUB),
        ({"CI_COMMIT_BRANCH": "main"}, MAIN),
        ({"CI_COMMIT_BRANCH": "main", "CI_PIPELINE_SOURCE": "push"}, MAIN),
        ({"CI_COMMIT_BRANCH": "main", "CI_PIPELINE_SOURCE": "schedule"}, NIGHT),
        ({"CI_COMMIT_TAG": "v1.2.3", "CI_COMMIT_BRANCH": "main"}, COMMIT),
        (
            {"CI_COMMIT_BRANCH": "x", "CI_DEFAULT_BRANCH": "main"},
            Event("branch", "x", ref="refs/heads/x", default_branch="main"),
        ),
        (
            {"CI_MERGE_REQUEST_IID": "12", "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": HEAD},
            Event("pull request", number="12", ref="refs/merge-requests/12/head", commit=HEAD),
        ),
        ({"CI_COMMIT_BRANCH": "main", "CI_COMMIT_PULL_REQUEST": "12"}, PULL),
        ({"CI_COMMIT_BRANCH": "main", "CI_PIPELINE_EVENT": "cron"}, NIGHT),
        ({"DRONE_BRANCH": "main"}, MAIN),
        ({"DRONE_BRANCH": "main", "DRONE_BUILD_EVENT": "cron"}, NIGHT),
        ({"DRONE_BRANCH": "main", "DRONE_PULL_REQUEST": "12"}, PULL),
        ({"CIRCLE_BRANCH": "main"}, MAIN),
        (
            {"CIRCLE_BRANCH": "pull/12", "CIRCLE_PR_NUMBER": "12"},
            Event("pull request", number="12", is_fork=True),
        ),
        ({"BRANCH_NAME": "main"}, MAIN),
        ({"BRANCH_NAME": "PR-12", "CHANGE_ID": "12"}, PULL),
        (
            {"BRANCH_NAME": "PR-12", "CHANGE_ID": "12", "CHANGE_FORK": "mallory"},
            Event("pull request", number="12", is_fork=True),
        ),
        ({"BUILD_SOURCEBRANCH": "refs/heads/main"}, MAIN),
        ({"BUILD_SOURCEBRANCH": "refs/heads/main", "BUILD_REASON": "Schedule"}, NIGHT),
        ({"BUILD_SOURCEBRANCH": "refs/tags/v1.2.3"}, COMMIT),
        (
            {
                "BUILD_SOURCEBRANCH": "refs/pull/12/merge",
                "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER": "12",
                "SYSTEM_PULLREQUEST_ISFORK": "False",
            },
            PULL,
        ),
        ({"BITBUCKET_BRANCH": "main"}, MAIN),
        ({"BITBUCKET_BRANCH": "main", "BITBUCKET_PR_ID": "12"}, PULL),
        ({"BUILDKITE_BRANCH": "main", "BUILDKITE_PULL_REQUEST": "false"}, MAIN),
        ({"BUILDKITE_BRANCH": "main", "BUILDKITE_SOURCE": "schedule"}, NIGHT),
        ({"BUILDKITE_BRANCH": "main", "BUILDKITE_PULL_REQUEST": "12"}, PULL),
        ({"TRAVIS_BRANCH": "main", "TRAVIS_PULL_REQUEST": "false"}, MAIN),
        ({"TRAVIS_BRANCH": "main", "TRAVIS_EVENT_TYPE": "cron"}, NIGHT),
        (
            {
                "TRAVIS_BRANCH": "main",
                "TRAVIS_PULL_REQUEST": "12",
                "TRAVIS_PULL_REQUEST_SLUG": "mallory/app",
                "TRAVIS_REPO_SLUG": "acme/app",
            },
            Event("pull request", number="12", is_fork=True),
        ),
        ({"BITBUCKET_BRANCH": "main", "BITBUCKET_PR_ID": "../x"}, COMMIT),
    ],
    ids=str,
)
def test_what_ci_systems_say(environ: dict[str, str], expected: Event | None) -> None:
    assert read_event(environ, {}) == expected


@pytest.mark.parametrize("event", ["pull_request", "pull_request_target", "pull_request_review"])
@pytest.mark.parametrize(
    ("head", "base", "is_fork"),
    [
        (repo("acme/app"), repo("acme/app"), False),
        (repo("mallory/app"), repo("acme/app"), True),
        ({"sha": HEAD, "repo": None}, repo("acme/app"), True),
    ],
    ids=["of the repository", "of a fork", "of a fork that was deleted"],
)
def test_a_pull_request_on_github(event: str, head: object, base: object, is_fork: bool) -> None:
    """Whatever GITHUB_REF says: for pull_request_target it is the base's branch."""
    environ = github(event, "refs/heads/main")

    expected = replace(ON_GITHUB, commit=HEAD, is_fork=is_fork)
    assert read_event(environ, payload(head, base)) == expected


def test_a_pull_request_of_dependabot_is_treated_as_one_of_a_fork() -> None:
    environ = {**github("pull_request", "refs/pull/12/merge"), "GITHUB_ACTOR": "dependabot[bot]"}

    found = read_event(environ, payload(repo("acme/app"), repo("acme/app")))

    assert found is not None
    assert found.is_fork


def test_the_default_branch_is_that_of_githubs_event() -> None:
    found = read_event(github("push", "refs/heads/x"), {"repository": {"default_branch": "dev"}})

    assert found is not None
    assert found.default_branch == "dev"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["number", "head", "base", "repo", "sha"]), inner)
    ),
    max_leaves=6,
)


@given(pull=JSON, repository=JSON)
def test_an_event_may_hold_anything(pull: object, repository: object) -> None:
    environ = github("pull_request", "refs/heads/main")
    values = json.loads(json.dumps({"pull_request": pull, "repository": repository}))

    found = read_event(environ, values)

    assert found is not None
    assert found.number.isascii()
    assert isinstance(found.commit, str)


def test_woodpecker_says_what_the_default_branch_is() -> None:
    """It names the branch as GitLab does."""
    event = read_event({"CI_COMMIT_BRANCH": "trunk", "CI_REPO_DEFAULT_BRANCH": "trunk"}, {})
    assert event is not None
    assert (event.branch, event.default_branch) == ("trunk", "trunk")
