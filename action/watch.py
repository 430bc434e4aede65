"""Keep one GitHub issue open while tags are not as they should be, and close it afterwards.

Called by action.yml, in the git work tree, with the inputs in the environment. Runs ``releasetag
verify --strict --deep``. Where that cannot ask a registry, the issue stays as it is.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from releasetag.errors import ReleasetagError
from releasetag.report.messages import Messages
from releasetag.text import printable

TITLE = "releasetag: tags are not as they should be"
MARKER = "<!-- releasetag watch -->"
VERIFY = [sys.executable, "-I", "-m", "releasetag", "verify", "--strict", "--deep", "--json"]

# GitHub takes 65,536 characters.
_LIMIT = 60_000
_PAGES = 100
# Who may have written the issue, besides apps: anyone can write one with the same text.
_TRUSTED = {"OWNER", "MEMBER", "COLLABORATOR"}


class GitHubError(ReleasetagError):
    """GitHub did not do what was asked for."""

    kind = "github"


def main() -> int:
    """Verify, and bring the issue up to date.

    Returns:
        0, also if the issue says that something is wrong; else what verify failed with.
    """
    messages = Messages(os.environ)
    done = subprocess.run(VERIFY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return done.returncode or 1
    if done.returncode not in {0, 1} or "error" in found:
        return done.returncode or 1  # standard error says why
    wrong = list_wrong(found["repositories"])
    try:
        with open_api(os.environ) as api:
            issues = Issues(api, os.environ.get("GITHUB_REPOSITORY", ""), title(os.environ))
            print(issues.keep(wrong) if wrong else issues.close(run_url(os.environ)))
    except GitHubError as error:
        messages.error(error)
        return 1
    return 0


def title(environ: Mapping[str, str]) -> str:
    """Return the issue's title, which is its key: one for each work tree and configuration."""
    where = [os.path.relpath(os.curdir, environ.get("GITHUB_WORKSPACE") or os.curdir)]
    where.append(environ.get("RELEASETAG_CONFIG", ""))
    own = [printable(each, 60) for each in where if each not in {"", os.curdir}]
    return f"{TITLE} ({', '.join(own)})" if own else TITLE


def list_wrong(repositories: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for everything that is wrong, below its repository."""
    lines = []
    for repository in repositories:
        rows = [
            f"  {tag['status']:8}  {tag['name']}: {_why(tag)}"
            for tag in repository["tags"]
            if tag["status"] not in {"ok", "unpublished"}
        ]
        if repository["lacks_newest"]:
            rows.append("  the newest release is not published")
        if rows:
            lines += [printable(repository["repository"], 300), *(printable(r, 500) for r in rows)]
    return lines


def _why(tag: Mapping[str, Any]) -> str:
    reason: str = tag.get("reason") or ""
    if not reason and tag["actual"]:
        reason = f"names {tag['actual']} and should name {tag['expected']}"
    return reason or f"is not there and should name {tag['expected']}"


def body(wrong: Sequence[str]) -> str:
    """Return the issue's text. What is wrong is fenced: image labels are anyone's text."""
    text = "\n".join(wrong)
    if len(text) > _LIMIT:
        text = f"{text[:_LIMIT]}\n…"
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in re.findall("`+", text))])
    return (
        f"{MARKER}\n"
        "What the registries have is not what the git tags say. `releasetag verify --strict --deep`"
        " finds:\n\n"
        f"{fence}text\n{text}\n{fence}\n\n"
        "`releasetag verify --fix` moves floating tags up where that is safe. This text is kept up"
        " to date, and the issue is closed when all is right again.\n"
    )


def run_url(environ: Mapping[str, str]) -> str:
    """Return the page of the run."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, repository, run = (environ.get(name, "") for name in names)
    return f"{server}/{repository}/actions/runs/{run}"


def open_api(environ: Mapping[str, str]) -> httpx.Client:
    """Open a client of GitHub's REST API."""
    return httpx.Client(
        base_url=environ.get("GITHUB_API_URL") or "https://api.github.com",
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {environ.get('GITHUB_TOKEN', '')}",
            "User-Agent": "releasetag",
            "X-GitHub-Api-Version": "2022-11-28",
        },
        timeout=30,
    )


@dataclass(frozen=True)
class Issues:
    """The issues of a repository that are this watch's.

    Attributes:
        repository: as GitHub names it: ``acme/app``.
        title: the key.
    """

    api: httpx.Client
    repository: str
    title: str

    def keep(self, wrong: Sequence[str]) -> str:
        """Have one open issue say what is wrong; return what was done."""
        text = body(wrong)
        first, *more = [*self._open(), None]
        if first is None:
            made = self._call("POST", "issues", {"title": self.title, "body": text})
            return f"opened issue {made['number']}"
        # Two runs at a time may each have opened one.
        for each in more:
            if each is not None:
                self._close(each, f"The same as #{first['number']}.", "not_planned")
        if first["body"].replace("\r\n", "\n").strip() == text.strip():
            return f"issue {first['number']} says so already"
        self._call("PATCH", f"issues/{first['number']}", {"body": text})
        return f"brought issue {first['number']} up to date"

    def close(self, url: str) -> str:
        """Close the issue, as all is right; return what was done."""
        found = list(self._open())
        for each in found:
            self._close(each, f"All is as it should be: {url}", "completed")
        numbers = ", ".join(str(each["number"]) for each in found)
        return f"all is as it should be{f'; closed issue {numbers}' if found else ''}"

    def _open(self) -> Iterator[dict[str, Any]]:
        """Yield the watch's open issues, the oldest first."""
        query = {"state": "open", "sort": "created", "direction": "asc", "per_page": "100"}
        for page in range(1, _PAGES):
            found = self._call("GET", "issues", query={**query, "page": str(page)})
            yield from (each for each in found if self._is_own(each))
            if len(found) < 100:
                return

    def _is_own(self, issue: Mapping[str, Any]) -> bool:
        is_trusted = issue["user"]["type"] == "Bot" or issue["author_association"] in _TRUSTED
        return (
            is_trusted
            and issue["title"] == self.title
            and (issue["body"] or "").startswith(MARKER)
            and "pull_request" not in issue
        )

    def _close(self, issue: Mapping[str, Any], comment: str, reason: str) -> None:
        path = f"issues/{issue['number']}"
        self._call("POST", f"{path}/comments", {"body": comment})
        self._call("PATCH", path, {"state": "closed", "state_reason": reason})

    def _call(
        self,
        method: str,
        path: str,
        content: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        what = f"{method} {path}"
        try:
            answer = self.api.request(
                method, f"/repos/{self.repository}/{path}", json=content, params=query
            )
            if answer.is_success:
                return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise GitHubError(
                f"GitHub cannot be asked ({what}): {type(error).__name__}", "run it again"
            ) from None
        hint = "see https://www.githubstatus.com, and run it again"
        if answer.status_code in {401, 403, 404}:
            hint = "give the job `permissions: issues: write`, and GITHUB_TOKEN"
        elif answer.status_code == 410:
            hint = "issues are disabled: enable them in the repository's settings"
        raise GitHubError(f"GitHub refuses {what}: {answer.status_code}", hint)


if __name__ == "__main__":
    sys.exit(main())
