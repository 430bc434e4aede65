"""releasetag.history: what git says, from real repositories and remotes."""

import json
import os
import pty
import select
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest

from releasetag.errors import HistoryError, NoReleaseError, UsageError
from releasetag.history import (
    GitTags,
    HistoryMode,
    WorkTree,
    changed_files,
    commit_of,
    commit_time,
    head,
    nearest_release,
    open_work_tree,
    origin_url,
    read_again,
    read_git_tags,
)
from releasetag.version import Release, version_of
from tests.support.git import GitRepository
from tests.support.http_server import QuietHTTPServer
from tests.support.run import ROOT


def open_tree(repository: GitRepository, environ: Mapping[str, str] | None = None) -> WorkTree:
    return open_work_tree(repository.path, environ or {})


def read(repository: GitRepository, mode: HistoryMode = "auto", remote: str = "origin") -> GitTags:
    return read_git_tags(open_tree(repository), mode, remote)


@pytest.fixture
def repository(git_repository: GitRepository) -> GitRepository:
    """A repository with one commit, tagged v1.0.0."""
    git_repository.commit("first")
    git_repository.tag("v1.0.0")
    return git_repository


# Local tags ---------------------------------------------------------------------------------------


def test_every_kind_of_tag_names_the_commit_that_it_points_at(repository: GitRepository) -> None:
    first = repository.head
    repository.write({"file": "text"})
    second = repository.commit("second")
    repository.tag("v1.1.0", annotated=True)
    repository.tag("v1.2.0", annotated=True, commit="v1.1.0")  # a tag of a tag
    repository.tag("v1.3.0", annotated=True, commit="v1.2.0")  # of a tag of a tag
    repository.tag("api/v1.0.0")
    repository.tag("nightly")

    assert read(repository, "local").commits == {
        "v1.0.0": first,
        "v1.1.0": second,
        "v1.2.0": second,
        "v1.3.0": second,
        "api/v1.0.0": second,
        "nightly": second,
    }


@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("what", ["HEAD^{tree}", "HEAD:file"])
@pytest.mark.parametrize("mode", ["local", "auto"])
def test_a_tag_of_a_tree_or_a_file_is_no_release(
    repository: GitRepository, annotated: bool, what: str, mode: HistoryMode
) -> None:
    repository.write({"file": "text"})
    repository.commit()
    repository.tag("v9.9.9", annotated=annotated, commit=what)
    repository.bare_remote()

    assert set(read(repository, mode).commits) == {"v1.0.0"}
    assert commit_of(open_tree(repository), "v9.9.9") is None


@pytest.mark.parametrize("mode", ["local", "auto", "remote"])
def test_names_that_no_one_expects_do_no_harm(repository: GitRepository, mode: HistoryMode) -> None:
    odd = ["v1\u2028.0", "v2\u0085.0.0", "größe", "-v3.0.0", "a'b\"c$(id)", "HEAD"]
    for name in odd:
        repository.git("update-ref", f"refs/tags/{name}", "HEAD")
    packed = repository.path / ".git" / "packed-refs"
    packed.write_bytes(f"{repository.head} refs/tags/v4.0.0-".encode() + b"\xff\n")
    repository.bare_remote()

    tags = read(repository, mode)

    assert set(odd) <= set(tags.commits)
    assert [release.git_tag for release in tags.releases(None)] == ["v1.0.0"]
    assert set(tags.commits.values()) == {repository.head}


def git_commands(trace: Path) -> list[list[str]]:
    """The command lines of all git processes, from git's own trace."""
    events = map(json.loads, trace.read_text().splitlines())
    return [event["argv"] for event in events if event["event"] == "start"]


def test_ten_thousand_packed_tags_are_read_by_one_command(
    repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"v2.{minor}.{patch}" for minor in range(100) for patch in range(100)]
    commit = repository.head
    lines = "".join(f"{commit} refs/tags/{name}\n" for name in sorted(names))
    (repository.path / ".git" / "packed-refs").write_text(f"# pack-refs with: sorted \n{lines}")
    tree = open_tree(repository)
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(tmp_path / "trace"))

    tags = read_git_tags(tree, "local", "origin")

    assert set(tags.commits) == {"v1.0.0", *names}
    assert len(tags.releases(None)) == 10_001
    commands = [argv[1] for argv in git_commands(tmp_path / "trace")]
    assert sorted(commands) == ["for-each-ref", "rev-parse"]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (None, ["1.0.0", "v1.0.0", "v2.0.0-rc.1"]),
        ("v", ["v1.0.0", "v2.0.0-rc.1"]),
        ("", ["1.0.0"]),
        ("api/v", ["api/v1.0.0"]),
        ("web/", []),
    ],
)
def test_releases_are_the_tags_behind_a_prefix(
    repository: GitRepository, prefix: str | None, expected: list[str]
) -> None:
    for name in ["1.0.0", "v2.0.0-rc.1", "v1.0", "api/v1.0.0", "nightly"]:
        repository.tag(name)

    releases = read(repository).releases(prefix)

    assert sorted(release.git_tag for release in releases) == expected
    assert all(release.revision == repository.head for release in releases)
    assert all(version_of(r.git_tag, prefix) == r.version for r in releases)


# Remote tags --------------------------------------------------------------------------------------


@pytest.fixture
def clone(repository: GitRepository, tmp_path: Path) -> GitRepository:
    """A clone that knows nothing of v2.0.0 and v2.1.0, which came to its remote later."""
    repository.bare_remote()
    clone = repository.clone(tmp_path / "clone")
    repository.commit("second")
    repository.tag("v2.0.0")
    repository.tag("v2.1.0", annotated=True)
    repository.push()
    clone.tag("v1.0.1-local")
    return clone


@pytest.mark.parametrize(
    ("mode", "source", "expected"),
    [
        ("auto", "remote", {"v1.0.0", "v1.0.1-local", "v2.0.0", "v2.1.0"}),
        ("remote", "remote", {"v1.0.0", "v2.0.0", "v2.1.0"}),
        ("local", "local", {"v1.0.0", "v1.0.1-local"}),
    ],
)
def test_the_mode_says_whose_tags_count(
    clone: GitRepository, mode: HistoryMode, source: str, expected: set[str]
) -> None:
    tags = read(clone, mode)

    assert set(tags.commits) == expected
    assert (tags.source, tags.unknown, tags.shallow) == (source, "", False)


def test_remote_tags_name_commits_and_fetch_none(
    clone: GitRepository, repository: GitRepository
) -> None:
    before = clone.git("count-objects", "-v")

    tags = read(clone)

    assert tags.commits["v2.0.0"] == repository.head
    assert tags.commits["v2.1.0"] == repository.head  # and not the tag object
    assert clone.git("count-objects", "-v") == before
    assert "v2.0.0" not in clone.git("tag")


@pytest.mark.parametrize(("mode", "expected"), [("auto", "local"), ("remote", "remote")])
def test_of_a_tag_that_was_moved_the_local_one_counts_unless_only_the_remote_does(
    clone: GitRepository, repository: GitRepository, mode: HistoryMode, expected: str
) -> None:
    clone.commit("other")
    clone.tag("v2.0.0")
    heads = {"local": clone.head, "remote": repository.head}

    assert read(clone, mode).commits["v2.0.0"] == heads[expected]


def test_another_remote_can_be_asked(repository: GitRepository) -> None:
    repository.bare_remote("upstream")
    repository.git("tag", "--delete", "v1.0.0")

    assert set(read(repository, remote="upstream").commits) == {"v1.0.0"}


def test_the_only_remote_is_asked_whatever_its_name(repository: GitRepository) -> None:
    repository.bare_remote("upstream")
    assert read(repository).source == "remote"


def test_several_remotes_of_which_none_is_origin_leave_the_history_unknown(
    repository: GitRepository,
) -> None:
    for name in ("upstream", "fork"):
        repository.bare_remote(name)
    tags = read(repository)
    assert (tags.source, bool(tags.unknown)) == ("local", True)
    assert "fork, upstream" in tags.unknown


def test_a_clone_of_depth_1_knows_all_releases(
    repository: GitRepository, clone: GitRepository, tmp_path: Path
) -> None:
    shallow = clone.clone(tmp_path / "shallow", depth=1, tag="v1.0.0")

    tags = read(shallow)

    assert set(read(shallow, "local").commits) == {"v1.0.0"}
    assert set(tags.commits) == {"v1.0.0", "v2.0.0", "v2.1.0"}
    assert (tags.source, tags.unknown, tags.shallow) == ("remote", "", True)


def test_without_a_remote_the_local_tags_are_all_there_are(repository: GitRepository) -> None:
    tags = read(repository)

    assert (set(tags.commits), tags.source, tags.unknown) == ({"v1.0.0"}, "local", "")


def test_a_shallow_clone_without_a_remote_does_not_know_its_history(
    repository: GitRepository, tmp_path: Path
) -> None:
    repository.bare_remote()
    shallow = repository.clone(tmp_path / "shallow", depth=1, tag="v1.0.0")
    shallow.git("remote", "remove", "origin")

    assert read(shallow).unknown == "there is no git remote to ask"
    assert read(shallow, "local").unknown == ""


@pytest.mark.parametrize(("mode", "remote"), [("remote", "origin"), ("auto", "upstream")])
def test_a_remote_that_was_asked_for_must_be_there(
    repository: GitRepository, mode: HistoryMode, remote: str
) -> None:
    with pytest.raises(UsageError, match=f"no git remote '{remote}'") as error:
        read(repository, mode, remote)

    assert "--history local" in error.value.hint


def test_the_remote_s_name_is_never_an_option(repository: GitRepository, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    name = f"--upload-pack=touch {touched}; false"
    with (repository.path / ".git" / "config").open("a") as config:
        config.write(f'[remote "{name}"]\n\turl = {repository.path}\n')

    tags = read(repository, remote=name)

    assert tags.source == "remote" or tags.unknown
    assert not touched.exists()


def test_a_remote_that_is_gone_leaves_the_local_tags_and_says_so(clone: GitRepository) -> None:
    clone.git("remote", "set-url", "origin", "file:///nowhere/app.git")

    tags = read(clone)

    assert set(tags.commits) == {"v1.0.0", "v1.0.1-local"}
    assert (tags.source, tags.shallow) == ("local", False)
    assert tags.unknown.startswith("the tags of the git remote 'origin' cannot be read: ")
    assert "/nowhere/app.git" in tags.unknown
    with pytest.raises(HistoryError, match="cannot be read") as error:
        read(clone, "remote")
    assert "--history local" in error.value.hint
    assert error.value.exit_code == 9


def test_reading_again_sees_a_release_that_appeared_meanwhile(
    clone: GitRepository, repository: GitRepository
) -> None:
    before = read(clone)
    repository.tag("v3.0.0")
    repository.push()

    again = read_again(open_tree(clone), before)

    assert set(again.commits) - set(before.commits) == {"v3.0.0"}
    assert (again.mode, again.remote) == (before.mode, before.remote)


def test_reading_again_is_no_use_if_the_remote_is_gone_meanwhile(clone: GitRepository) -> None:
    before = read(clone)
    clone.git("remote", "set-url", "origin", "file:///nowhere/app.git")

    with pytest.raises(HistoryError, match="newer release cannot be ruled out") as error:
        read_again(open_tree(clone), before)

    assert "no floating tag moved" in error.value.hint


@pytest.mark.parametrize("mode", ["local", "auto"])
def test_reading_again_asks_no_more_than_the_first_time(
    clone: GitRepository, mode: HistoryMode
) -> None:
    clone.git("remote", "set-url", "origin", "file:///nowhere/app.git")
    before = read(clone, mode)

    assert read_again(open_tree(clone), before) == before


# Remotes that are no help -------------------------------------------------------------------------


def has_ended(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 20)[0])
    finally:
        os.close(handle)


def test_a_remote_that_never_answers_is_given_up(
    repository: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("releasetag.history._REMOTE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"git://127.0.0.1:{server.getsockname()[1]}/app.git"
        repository.git("remote", "add", "origin", url)

        tags = read(repository)

    assert tags.unknown.endswith("no answer in 0.5 s")


def test_the_time_for_the_remote_is_15_seconds() -> None:
    from releasetag import history

    assert history._REMOTE_SECONDS == 15


def write_script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_nothing_that_git_started_outlives_it(
    repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("releasetag.history._REMOTE_SECONDS", 1)
    repository.git("remote", "add", "origin", "ssh://git.example.com/app.git")
    ssh = write_script(tmp_path / "ssh", f"echo $$ > {tmp_path}/pid; exec sleep 1000")

    tree = open_tree(repository, {"GIT_SSH_COMMAND": str(ssh)})
    tags = read_git_tags(tree, "auto", "origin")

    assert "no answer" in tags.unknown
    assert has_ended(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("place", ["GIT_SSH_COMMAND", "GIT_SSH", "core.sshCommand"])
def test_the_users_own_ssh_is_used_and_told_not_to_prompt(
    repository: GitRepository, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.git("remote", "add", "origin", "ssh://git.example.com/app.git")
    ssh = write_script(tmp_path / "my ssh", f'echo "$@" >> "{tmp_path}/args"; exit 1')
    environ = {}
    if place == "core.sshCommand":
        repository.git("config", place, f"'{ssh}'")
    else:
        environ[place] = f"'{ssh}'" if place == "GIT_SSH_COMMAND" else str(ssh)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    read_git_tags(open_tree(repository, environ), "auto", "origin")

    asked = (tmp_path / "args").read_text().splitlines()[-1]
    assert "git.example.com" in asked
    assert "-o BatchMode=yes" in asked


class _Refusing(BaseHTTPRequestHandler):
    """Asks everyone for a password, or knows nothing where the path says so."""

    def do_GET(self) -> None:
        status = 404 if "missing" in self.path else 401
        self.send_response(status)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    """The address of a server that refuses everyone."""
    server = QuietHTTPServer(("127.0.0.1", 0), _Refusing)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("path", ["app.git", "missing.git"])
@pytest.mark.parametrize(
    "userinfo",
    ["hunter2", "alice:hunter2", "alice:hunter2@hunter2", "alice:a'hunter2", "hunter2%40x:"],
)
def test_no_error_shows_the_credentials_in_the_remote_s_url(
    repository: GitRepository, refusing: str, userinfo: str, path: str
) -> None:
    repository.git("remote", "add", "origin", f"http://{userinfo}@{refusing}/{path}")

    tags = read(repository)
    with pytest.raises(HistoryError) as error:
        read(repository, "remote")

    assert "cannot be read" in tags.unknown
    assert "hunter2" not in tags.unknown
    assert "hunter2" not in repr(tags)
    assert "hunter2" not in error.value.message + error.value.hint


def test_no_program_is_asked_for_a_password(
    repository: GitRepository, refusing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    askpass = write_script(tmp_path / "askpass", f"echo asked >> {asked}; echo x")
    repository.git("remote", "add", "origin", f"http://{refusing}/app.git")
    repository.git("config", "core.askPass", str(askpass))
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.setenv(name, str(askpass))
    monkeypatch.setenv("DISPLAY", ":0")

    assert "cannot be read" in read(repository).unknown
    assert not asked.exists()


ON_A_TERMINAL = """
import fcntl, os, sys, termios
from pathlib import Path
from releasetag.history import open_work_tree, read_git_tags
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
Path("/dev/tty").open("w").write("here")
print(read_git_tags(open_work_tree(Path(sys.argv[1]), os.environ), "auto", "origin").unknown)
"""


def test_no_one_at_a_terminal_is_asked_for_a_password(
    repository: GitRepository, refusing: str
) -> None:
    repository.git("remote", "add", "origin", f"http://{refusing}/app.git")
    ours, theirs = pty.openpty()

    done = subprocess.run(
        [sys.executable, "-c", ON_A_TERMINAL, repository.path],
        stdin=theirs,
        capture_output=True,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    shown = os.read(ours, 1000)
    os.close(ours)
    os.close(theirs)

    assert "cannot be read" in done.stdout, done.stderr
    assert shown == b"here"


# Repositories that are none -----------------------------------------------------------------------


def test_a_work_tree_is_found_from_a_directory_in_it(repository: GitRepository) -> None:
    inside = repository.path / "a" / "b"
    inside.mkdir(parents=True)

    assert open_work_tree(inside, {}).root == repository.path


def test_a_linked_work_tree_is_one_of_its_own(repository: GitRepository, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    repository.git("worktree", "add", "--quiet", "--detach", linked)
    other = GitRepository(linked)
    other.commit("other")

    tree = open_work_tree(linked, {})

    assert tree.root == linked
    assert head(tree) == other.head != repository.head
    assert set(read_git_tags(tree, "auto", "origin").commits) == {"v1.0.0"}


def test_no_git_repository_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not in a git repository") as error:
        open_work_tree(tmp_path, {})

    assert "releasetag COMMAND PATH" in error.value.hint


@pytest.mark.parametrize("make", [False, True])
def test_what_is_no_directory_is_a_usage_error(tmp_path: Path, make: bool) -> None:
    path = tmp_path / "file"
    if make:
        path.touch()

    with pytest.raises(UsageError, match="is not a directory"):
        open_work_tree(path, {})


def test_a_bare_repository_is_a_usage_error(repository: GitRepository) -> None:
    with pytest.raises(UsageError, match="is a bare repository"):
        open_work_tree(repository.bare_remote(), {})


def test_a_repository_of_another_user_is_a_usage_error_that_says_what_to_do(
    repository: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")

    with pytest.raises(UsageError, match="git does not trust") as error:
        open_tree(repository)

    assert error.value.hint.endswith(f"git config --global --add safe.directory {repository.path}")


def test_git_that_is_not_installed_is_a_usage_error(
    repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UsageError, match="git is not installed"):
        open_tree(repository)


def test_a_repository_that_is_broken_is_a_usage_error(repository: GitRepository) -> None:
    tree = open_tree(repository)
    (repository.path / ".git" / "config").write_text("[broken")

    with pytest.raises(UsageError, match=r"git cannot read the repository: .*config"):
        read_git_tags(tree, "local", "origin")


def test_a_repository_without_a_commit_has_no_release(git_repository: GitRepository) -> None:
    tree = open_tree(git_repository)

    assert read_git_tags(tree, "auto", "origin").commits == {}
    with pytest.raises(NoReleaseError, match="no commit yet") as error:
        head(tree)
    assert "git tag v0.1.0" in error.value.hint


# What else is asked of git ------------------------------------------------------------------------


def test_the_commit_of_a_tag_is_asked_by_its_whole_name(repository: GitRepository) -> None:
    first = repository.head
    repository.commit("second")
    repository.git("branch", "v5.0.0")
    repository.tag("v2.0.0", annotated=True, commit="v1.0.0")
    tree = open_tree(repository)

    assert commit_of(tree, "v1.0.0") == first
    assert commit_of(tree, "v2.0.0") == first
    for name in ("v5.0.0", "HEAD", "", "--all", "v1.0.0~1", first):
        assert commit_of(tree, name) is None


def test_a_commit_s_time_is_its_committers_and_is_not_known_of_other_commits(
    repository: GitRepository,
) -> None:
    commit = repository.commit("second", date="2026-01-02T03:04:05+02:00")
    tree = open_tree(repository)

    assert commit_time(tree, commit) == 1767315845
    assert commit_time(tree, "0" * 40) is None


def test_a_person_s_settings_for_the_log_do_no_harm(
    repository: GitRepository, tmp_path: Path
) -> None:
    # A signed commit, as git prints more of if log.showSignature is set.
    unsigned = repository.git("cat-file", "commit", "HEAD")
    header, _, message = unsigned.partition("\n\n")
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    (tmp_path / "commit").write_text(f"{header}\n{signature}\n\n{message}\n")
    signed = repository.git("hash-object", "-t", "commit", "-w", tmp_path / "commit")
    repository.git("reset", "--quiet", "--hard", signed)
    repository.tag("v1.1.0")
    gpg = write_script(tmp_path / "gpg", "echo 'gpg: Schlüssel unbekannt' >&2; exit 1")
    repository.git("config", "gpg.program", str(gpg))
    for name, value in {
        "log.showSignature": "true",
        "log.date": "iso",
        "color.ui": "always",
        "status.short": "true",
        "status.branch": "true",
        "core.quotePath": "true",
    }.items():
        repository.git("config", name, value)
    repository.commit("top")
    repository.write({"größe": "1"})
    repository.git("add", "--all")
    tree = open_tree(repository)
    release = read_git_tags(tree, "local", "origin").releases(None)[-1]

    assert commit_time(tree, signed) == 1767323045
    assert nearest_release(tree, {signed: release}, repository.head) == (release, 1)
    assert changed_files(tree) == ["größe"]


def test_changed_files_are_the_tracked_ones_alone(repository: GitRepository) -> None:
    repository.write({"a": "1", "b c": "1", "d": "1", "e": "1", ".gitignore": "ignored\n"})
    repository.commit()
    tree = open_tree(repository)
    repository.write({"new": "1", "ignored": "1"})
    assert changed_files(tree) == []

    repository.write({"a": "2", "b c": "2", "staged": "1"})
    repository.git("add", "staged")
    (repository.path / "d").unlink()
    repository.git("mv", "e", "f")

    assert sorted(changed_files(tree)) == ["a", "b c", "d", "f", "staged"]


def test_the_url_of_a_remote_is_as_git_has_it(repository: GitRepository) -> None:
    repository.git("remote", "add", "origin", "git@github.com:acme/app.git")
    tree = open_tree(repository)

    assert origin_url(tree, "origin") == "git@github.com:acme/app.git"
    assert origin_url(tree, "upstream") is None


@pytest.mark.parametrize("distance", [0, 1, 3])
def test_the_nearest_release_is_found_with_its_distance(
    repository: GitRepository, distance: int
) -> None:
    tree = open_tree(repository)
    (release,) = read_git_tags(tree, "local", "origin").releases(None)
    for number in range(distance):
        repository.commit(f"later {number}")

    assert nearest_release(tree, {release.revision: release}, repository.head) == (
        release,
        distance,
    )


def test_a_release_that_is_not_behind_a_commit_is_not_near(repository: GitRepository) -> None:
    first = repository.head
    repository.commit("second")
    repository.tag("v2.0.0")
    version = version_of("v2.0.0")
    assert version is not None
    later = Release("v2.0.0", version, repository.head)

    assert nearest_release(open_tree(repository), {later.revision: later}, first) is None
