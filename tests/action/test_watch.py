"""The action's watch: one issue as long as something is wrong.

GitHub's API is a fake over HTTP: what its documentation says of issues, and no more.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from action import watch
from tests.support.cli import put_release
from tests.support.git import GitRepository
from tests.support.http_server import QuietHTTPServer
from tests.support.registry import IMAGE_MANIFEST, RegistryServer
from tests.support.run import ROOT, clean_environ

TOKEN = "token-of-the-job"
WRONG = ["ghcr.io/acme/app", "  drift     latest: names 1.9.0 and should name 2.0.0"]


@dataclass
class FakeGitHub:
    """The issues of acme/app.

    Attributes:
        status: what every request is answered with; 0: as GitHub does.
        requests: method and path of each.
    """

    issues: list[dict[str, Any]] = field(default_factory=list)
    status: int = 0
    requests: list[str] = field(default_factory=list)

    def __enter__(self) -> "FakeGitHub":
        self._server = QuietHTTPServer(("127.0.0.1", 0), handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    def add(
        self, title: str, body: str | None, *, by: str = "Bot", role: str = "NONE", **more: object
    ) -> dict[str, Any]:
        """Open an issue, as an app or a user."""
        issue = {
            "number": len(self.issues) + 1,
            "title": title,
            "body": body,
            "state": "open",
            "user": {"type": by},
            "author_association": role,
            "comments": [],
            **more,
        }
        self.issues.append(issue)
        return issue

    def answer(self, method: str, url: str, body: Any) -> tuple[int, Any]:
        path = urlsplit(url).path.removeprefix("/repos/acme/app/")
        self.requests.append(f"{method} {path}")
        if self.status:
            return self.status, {"message": f"refused; {TOKEN}"}
        match method, path.split("/"):
            case "GET", ["issues"]:
                query = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
                assert (query["sort"], query["direction"]) == ("created", "asc")
                found = [each for each in self.issues if each["state"] == query["state"]]
                size = int(query["per_page"])
                start = (int(query["page"]) - 1) * size
                return 200, found[start : start + size]
            case "POST", ["issues"]:
                return 201, self.add(body["title"], body["body"])
            case "POST", ["issues", number, "comments"]:
                self.issues[int(number) - 1]["comments"].append(body["body"])
                return 201, {}
            case "PATCH", ["issues", number]:
                self.issues[int(number) - 1].update(body)
                return 200, {}
        return 404, {}

    @property
    def open(self) -> list[int]:
        return [each["number"] for each in self.issues if each["state"] == "open"]


def handler(github: FakeGitHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = json.loads(self.rfile.read(length)) if length else None
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                status, answer = 401, dict[str, Any]()
            else:
                status, answer = github.answer(self.command, self.path, sent)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def do_POST(self) -> None:
            self.do_GET()

        def do_PATCH(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub() as github:
        yield github


def issues(github: FakeGitHub, token: str = TOKEN) -> watch.Issues:
    api = watch.open_api({"GITHUB_API_URL": github.url, "GITHUB_TOKEN": token})
    return watch.Issues(api, "acme/app", watch.TITLE)


def test_one_issue_is_opened_kept_up_to_date_and_closed(github: FakeGitHub) -> None:
    own = issues(github)

    assert own.keep(WRONG) == "opened issue 1"
    assert own.keep(WRONG) == "issue 1 says so already"
    assert own.keep([*WRONG, "  missing   2.0: is not there"]) == "brought issue 1 up to date"
    (issue,) = github.issues
    assert issue["title"] == watch.TITLE
    assert issue["body"].startswith(watch.MARKER)
    assert "missing   2.0" in issue["body"]
    assert github.open == [1]

    assert own.close("https://github.test/run/1") == "all is as it should be; closed issue 1"
    assert (issue["state"], issue["state_reason"]) == ("closed", "completed")
    assert issue["comments"] == ["All is as it should be: https://github.test/run/1"]
    assert own.close("https://github.test/run/2") == "all is as it should be"
    # What is wrong again later is another matter.
    assert own.keep(WRONG) == "opened issue 2"


def test_what_is_not_the_watchs_own_is_left_alone(github: FakeGitHub) -> None:
    text = watch.body(WRONG)
    github.add("another title", text)
    github.add(watch.TITLE, "a question about the title")
    github.add(watch.TITLE, None)
    github.add(watch.TITLE, f"> {text}")
    github.add(watch.TITLE, text, by="User", role="CONTRIBUTOR")
    github.add(watch.TITLE, text, pull_request={})
    before = json.dumps(github.issues)

    assert issues(github).close("url") == "all is as it should be"
    assert json.dumps(github.issues) == before
    assert issues(github).keep(WRONG) == "opened issue 7"


@pytest.mark.parametrize("role", ["OWNER", "MEMBER", "COLLABORATOR"])
def test_a_persons_token_writes_its_issue(role: str, github: FakeGitHub) -> None:
    github.add(watch.TITLE, watch.body(WRONG).replace("\n", "\r\n"), by="User", role=role)

    assert issues(github).keep(WRONG) == "issue 1 says so already"


def test_of_two_that_were_opened_at_a_time_the_older_stays(github: FakeGitHub) -> None:
    for _ in range(3):
        github.add(watch.TITLE, watch.body(WRONG))

    issues(github).keep(WRONG)

    assert github.open == [1]
    assert github.issues[1]["comments"] == ["The same as #1."]
    assert github.issues[2]["state_reason"] == "not_planned"


def test_the_issue_is_found_among_many(github: FakeGitHub) -> None:
    for number in range(250):
        github.add(f"issue {number}", "")
    own = github.add(watch.TITLE, watch.body(WRONG))["number"]

    assert issues(github).close("url").endswith(f"closed issue {own}")


def test_text_of_an_image_cannot_leave_its_fence() -> None:
    wrong = watch.list_wrong(
        [
            {
                "repository": "acme/app",
                "lacks_newest": True,
                "tags": [
                    {
                        "name": "latest",
                        "status": "drift",
                        "expected": "2.0.0",
                        "actual": "1 ```` @everyone\n# <img> \x1b[1m",
                    },
                    {"name": "2.0", "status": "missing", "expected": "2.0.0", "actual": None},
                    {
                        "name": "1.9.0",
                        "status": "broken",
                        "expected": "1.9.0",
                        "actual": "1.9.0",
                        "reason": "a blob is gone",
                    },
                    {"name": "1.9", "status": "ok", "expected": "1.9.1", "actual": "1.9.1"},
                    {"name": "1.8", "status": "unpublished", "expected": "1.8.0", "actual": None},
                ],
            },
            {"repository": "acme/right", "lacks_newest": False, "tags": []},
        ]
    )

    text = watch.body(wrong)

    assert len(wrong) == 5
    assert "\x1b" not in text
    fences = re.findall(r"^`{5}(?:text)?$", text, re.MULTILINE)
    assert fences == ["`````text", "`````"]
    inside = text.split("`````")[1]
    assert "@everyone" in inside
    assert "\n#" not in text
    assert "the newest release is not published" in inside
    assert "2.0: is not there and should name 2.0.0" in inside
    assert "a blob is gone" in inside
    assert "acme/right" not in text


def test_a_text_that_is_too_long_for_an_issue_is_cut() -> None:
    text = watch.body([f"  drift     {n}: wrong" for n in range(10_000)])

    assert len(text) < 65_536
    assert "\n…\n```\n" in text


@pytest.mark.parametrize(
    ("status", "hint"),
    [(403, "issues: write"), (410, "issues are disabled"), (500, "run it again")],
)
def test_what_github_refuses_is_an_error_without_the_token(
    status: int, hint: str, github: FakeGitHub
) -> None:
    github.status = status

    with pytest.raises(watch.GitHubError) as error:
        issues(github).keep(WRONG)

    assert str(status) in error.value.message
    assert hint in error.value.hint
    assert TOKEN not in f"{error.value.message}{error.value.hint}"


def test_a_server_that_is_not_there_is_an_error() -> None:
    api = watch.open_api({"GITHUB_API_URL": "http://127.0.0.1:1", "GITHUB_TOKEN": TOKEN})

    with pytest.raises(watch.GitHubError, match="ConnectError"):
        watch.Issues(api, "acme/app", watch.TITLE).close("url")


def test_each_work_tree_and_configuration_has_an_issue_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    here = {"GITHUB_WORKSPACE": str(tmp_path)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert watch.title(here) == watch.title({}) == watch.TITLE
        assert watch.title({**here, "RELEASETAG_CONFIG": "a.toml"}) == f"{watch.TITLE} (a.toml)"
        patch.chdir(tmp_path / "api")
        assert watch.title(here) == f"{watch.TITLE} (api)"


def test_the_step_verifies_and_keeps_the_issue(
    github: FakeGitHub,
    git_repository: GitRepository,
    registry: RegistryServer,
    home: Path,
) -> None:
    for name in ("v1.9.0", "v2.0.0"):
        git_repository.commit(name)
        git_repository.tag(name)
    put_release(registry, "1.9.0", "1.9", "latest")
    put_release(registry, "2.0.0", "2.0")
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": github.url,
        "GITHUB_REPOSITORY": "acme/app",
        "GITHUB_RUN_ID": "7",
        "GITHUB_SERVER_URL": "https://github.test",
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_WORKSPACE": str(git_repository.path),
        "RELEASETAG_IMAGES": f"{registry.address}/acme/app",
    }

    def step(**more: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-I", ROOT / "action" / "watch.py"],
            env={**clean_environ(home), **environ, **more},
            cwd=git_repository.path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert TOKEN not in done.stdout + done.stderr
        return done

    done = step()
    assert (done.returncode, done.stdout) == (0, "opened issue 1\n"), done
    assert "latest: names 1.9.0 and should name 2.0.0" in github.issues[0]["body"]
    # What cannot be asked says nothing: the issue stays.
    away = step(RELEASETAG_CONFIG="missing.toml")
    assert (away.returncode, away.stdout) == (2, "")
    assert away.stderr.startswith("error: there is no configuration file missing.toml")
    assert github.open == [1]
    right = registry.manifest("acme/app", "2.0.0") or b""
    registry.put_manifest("acme/app", "latest", right, IMAGE_MANIFEST)
    done = step()
    assert (done.returncode, done.stdout) == (0, "all is as it should be; closed issue 1\n")
    assert github.issues[0]["comments"] == [
        "All is as it should be: https://github.test/acme/app/actions/runs/7"
    ]
    github.status = 403
    refused = step()
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: GitHub refuses GET issues: 403\nhint: give the job")
