"""releasetag.git: what git says of a work tree, on real repositories and remotes."""

import contextlib
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from releasetag import git, git_command
from releasetag.errors import HistoryError, NoReleaseError, UsageError
from releasetag.git import WorkTree, open_work_tree
from releasetag.git_changes import changed_files
from tests.support.git import GitRepository, git_commands, open_tree, write_script
from tests.support.http_server import QuietHTTPServer
from tests.support.run import ROOT

# The work tree ------------------------------------------------------------------------------------


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
    assert tree.head() == other.head != repository.head
    assert set(tree.local_tags()[0]) == {"v1.0.0"}
    (linked / "file").write_text("other")
    assert changed_files(tree) == ["file"]
    assert changed_files(open_tree(repository)) == []


@pytest.mark.parametrize("name", ["a b", "-C", "größe", "new\nline", "\udcff", "\x1b[31m"])
def test_a_work_tree_may_have_any_name(tmp_path: Path, name: str) -> None:
    repository = GitRepository(tmp_path / name)
    repository.write({"inside/file": "text"})
    repository.commit()
    (repository.path / "inside" / "file").write_text("other")

    tree = open_work_tree(repository.path / "inside", {})

    assert tree.root == repository.path
    assert changed_files(tree) == ["inside/file"]


def test_a_clone_says_whether_it_is_shallow(repository: GitRepository, tmp_path: Path) -> None:
    repository.commit("second")
    repository.bare_remote()

    assert not open_tree(repository).shallow
    assert open_tree(repository.clone(tmp_path / "shallow", depth=1)).shallow


def test_no_git_repository_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not in a git repository") as error:
        open_work_tree(tmp_path, {})

    assert "releasetag COMMAND PATH" in error.value.hint
    assert "GIT_DIR" not in error.value.hint


def test_a_repository_that_only_a_variable_names_is_none(
    repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(repository.path / ".git"))

    with pytest.raises(UsageError, match="is not in a git repository") as error:
        open_work_tree(tmp_path, {})

    assert error.value.hint.startswith("GIT_DIR is not heeded")


@pytest.mark.parametrize("name", ["file", "missing", "nul\0", "x" * 5000])
def test_what_is_no_directory_is_a_usage_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match=r"is not a directory|cannot be looked at"):
        open_work_tree(tmp_path / name, {})


def test_a_bare_repository_is_a_usage_error(repository: GitRepository) -> None:
    for path in (repository.bare_remote(), repository.path / ".git"):
        with pytest.raises(UsageError, match="is a bare repository"):
            open_work_tree(path, {})


def test_a_work_tree_that_is_configured_elsewhere_is_a_usage_error(
    repository: GitRepository, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    repository.git("config", "core.worktree", str(elsewhere))

    with pytest.raises(UsageError, match=r"work tree elsewhere, in .*/elsewhere"):
        open_tree(repository)

    # In which it is no lie: the repository of a submodule is configured so.
    repository.git("config", "core.worktree", str(repository.path))
    assert open_tree(repository).root == repository.path


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
        tree.local_tags()


ALONE = """
import os, sys
from pathlib import Path
from releasetag.git import open_work_tree
tree = open_work_tree(Path(sys.argv[1]), os.environ)
print(tree.head(), sorted(n for n in sys.modules if n.partition(".")[0] in {"git", "gitdb"}))
import git
print(git.Repo(sys.argv[1]).head.commit.hexsha, tree.head())
"""


def test_the_library_is_loaded_without_its_detours_and_not_in_anyone_s_way(
    repository: GitRepository, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    done = subprocess.run(
        [sys.executable, "-c", ALONE.partition("import git\n")[0], repository.path],
        env=os.environ | {"PYTHONPATH": str(ROOT), "GIT_TRACE2_EVENT": str(trace)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{repository.head} []\n"
    assert git_commands(trace) == ["rev-parse", "rev-parse"]

    done = subprocess.run(
        [sys.executable, "-c", ALONE, repository.path],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[1] == f"{repository.head} {repository.head}"


AT_ONCE = """
import sys, threading
from pathlib import Path
from releasetag.git_command import run
barrier, heads = threading.Barrier(8), []
def ask():
    barrier.wait()
    heads.append(run(Path(sys.argv[1]), "rev-parse", "HEAD").strip())
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*heads)
"""


def test_threads_that_ask_git_at_once_load_the_library_once(repository: GitRepository) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, repository.path],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [repository.head] * 8, done.stderr


# Where git is told to look elsewhere --------------------------------------------------------------


def test_all_variables_of_one_repository_are_known(repository: GitRepository) -> None:
    known = set(repository.git("rev-parse", "--local-env-vars").splitlines())

    assert known - {"GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT"} <= set(git_command.ELSEWHERE) | {
        "GIT_NO_REPLACE_OBJECTS"
    }


@pytest.mark.parametrize("name", [*git_command.ELSEWHERE, "GIT_NO_REPLACE_OBJECTS"])
def test_a_variable_that_names_another_repository_changes_nothing(
    repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    repository.bare_remote()
    (repository.path / "file").write_text("changed")
    other = GitRepository(tmp_path / "other")
    other.write({"file": "changed"})
    other.commit("other")
    other.tag("v9.9.9")
    commit = repository.head
    values = {
        "GIT_DIR": other.path / ".git",
        "GIT_COMMON_DIR": other.path / ".git",
        "GIT_WORK_TREE": other.path,
        "GIT_INDEX_FILE": other.path / ".git" / "index",
        "GIT_OBJECT_DIRECTORY": other.path / ".git" / "objects",
        "GIT_SHALLOW_FILE": write_script(tmp_path / "shallow", ""),
        "GIT_CONFIG": other.path / ".git" / "config",
    }
    monkeypatch.setenv(name, str(values.get(name, "other")))

    tree = open_tree(repository)

    assert tree.root == repository.path
    assert tree.head() == commit
    assert tree.local_tags() == ({"v1.0.0": commit}, set())
    assert tree.remotes() == ["origin"]
    assert tree.remote_tags("origin") == {"v1.0.0": commit}
    assert tree.commit_time(commit) == 1767323045
    assert changed_files(tree) == ["file"]


def test_a_replaced_object_is_not_what_its_name_says(repository: GitRepository) -> None:
    # Clones do not have refs/replace/, so to them the revision names the first content.
    first = repository.head
    repository.write({"file": "replacement"})
    repository.git("replace", first, repository.commit("second", date="2027-01-01T00:00:00Z"))
    repository.git("reset", "--quiet", "--soft", first)
    assert repository.git("status", "--porcelain") == ""

    assert changed_files(open_tree(repository)) == ["file"]
    assert open_tree(repository).commit_time(first) == 1767323045


# Commits ------------------------------------------------------------------------------------------


def test_a_repository_without_a_commit_has_no_head(git_repository: GitRepository) -> None:
    tree = open_tree(git_repository)

    assert tree.local_tags() == ({}, set())
    with pytest.raises(NoReleaseError, match="no commit yet") as error:
        tree.head()
    assert "git tag v0.1.0" in error.value.hint


def test_a_commit_s_time_is_its_committers_and_is_not_known_of_other_commits(
    repository: GitRepository,
) -> None:
    commit = repository.commit("second", date="2026-01-02T03:04:05+02:00")
    tree = open_tree(repository)

    assert tree.commit_time(commit) == 1767315845
    assert tree.commit_time("0" * 40) is None
    assert tree.commit_time("--all") is None


@pytest.mark.parametrize("seconds", ["253402300800", "9" * 18, "9" * 30])
def test_a_time_that_no_calendar_has_is_not_known(repository: GitRepository, seconds: str) -> None:
    text = repository.git("cat-file", "commit", "HEAD").replace("1767323045", seconds)
    (repository.path / "commit").write_text(f"{text}\n")
    commit = repository.git("hash-object", "-t", "commit", "-w", "--literally", "commit")

    assert open_tree(repository).commit_time(commit) is None


def test_what_cannot_change_is_asked_once(
    repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.bare_remote()
    tree = open_tree(repository)
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(trace))

    for _ in range(2):
        tree.commit_time(repository.head)
        tree.remote_url("origin")
        tree.remotes()
        tree.remote_url("upstream")

    assert [name for name in git_commands(trace) if name != "rev-parse"] == ["rev-list", "config"]


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

    assert tree.commit_time(signed) == 1767323045
    assert tree.nearest(repository.head, {signed}) == (signed, 1)
    assert changed_files(tree) == ["größe"]


@pytest.mark.parametrize("distance", [0, 1, 3])
def test_the_nearest_commit_is_found_with_its_distance(
    repository: GitRepository, distance: int
) -> None:
    first = repository.head
    for number in range(distance):
        repository.commit(f"later {number}")

    assert open_tree(repository).nearest(repository.head, {first}) == (first, distance)


def test_a_commit_that_is_not_behind_another_is_not_near(repository: GitRepository) -> None:
    first = repository.head
    repository.commit("second")

    assert open_tree(repository).nearest(first, {repository.head}) is None


# Local tags ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_every_kind_of_tag_names_the_commit_that_it_points_at(
    repository: GitRepository, packed: bool
) -> None:
    first = repository.head
    repository.write({"file": "other"})
    second = repository.commit("second")
    repository.tag("v1.1.0", annotated=True)
    repository.tag("v1.2.0", annotated=True, commit="v1.1.0")  # a tag of a tag
    repository.tag("v1.3.0", annotated=True, commit="v1.2.0")  # of a tag of a tag
    repository.tag("api/v1.0.0")
    repository.tag("nightly")
    repository.git("symbolic-ref", "refs/tags/symbolic", "refs/tags/v1.1.0")
    if packed:
        repository.git("pack-refs", "--all")

    assert open_tree(repository).local_tags()[0] == {
        "v1.0.0": first,
        "v1.1.0": second,
        "v1.2.0": second,
        "v1.3.0": second,
        "api/v1.0.0": second,
        "nightly": second,
        "symbolic": second,
    }


@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("what", ["HEAD^{tree}", "HEAD:file"])
def test_a_tag_of_a_tree_or_a_file_names_no_commit(
    repository: GitRepository, annotated: bool, what: str
) -> None:
    repository.tag("v9.9.9", annotated=annotated, commit=what)

    commits, others = open_tree(repository).local_tags()

    assert set(commits) == {"v1.0.0"}
    assert others == {repository.git("rev-parse", what)}


# What git allows in a name; it forbids control characters, blanks and ~^:?*[\
ODD_NAMES = [
    "v1\u2028.0",
    "v2\u0085.0.0",
    "v2\u009b31m",
    "v2\u202e0.0",
    "größe",
    "-v3.0.0",
    "--all",
    "a'b\"c$(id)`id`;&|<>%00",
    "HEAD",
    "refs/tags/v1.0.0",
    "/".join(["deep"] * 100),
]


def test_names_that_no_one_expects_do_no_harm(repository: GitRepository) -> None:
    for name in ODD_NAMES:
        repository.git("update-ref", f"refs/tags/{name}", "HEAD")
    remote = repository.bare_remote()
    strange = [b"v4.0.0-\xff", b"v5.0.0-" + b"9" * 10_000]  # no name of a file
    for directory in (repository.path / ".git", remote):
        with (directory / "packed-refs").open("ab") as packed:
            packed.writelines(
                b"%s refs/tags/%s\n" % (repository.head.encode(), name) for name in strange
            )
    names = {"v1.0.0", *ODD_NAMES, *(name.decode("utf-8", "surrogateescape") for name in strange)}
    tree = open_tree(repository)

    assert tree.local_tags() == (dict.fromkeys(names, repository.head), set())
    assert tree.remote_tags("origin") == dict.fromkeys(names, repository.head)


@pytest.mark.parametrize("content", ["", "garbage", "0" * 40, "1" * 40, "ref: refs/heads/none"])
def test_a_tag_that_git_cannot_read_leaves_the_history_unknown(
    repository: GitRepository, content: str
) -> None:
    # An empty file is what a crash leaves; the tag may have been that of the highest release.
    (repository.path / ".git" / "refs" / "tags" / "v2.0.0").write_text(content)

    if content.startswith("ref:"):  # a branch that is to come; git does not list it
        assert set(open_tree(repository).local_tags()[0]) == {"v1.0.0"}
        return
    with pytest.raises(HistoryError, match=r"'v2\.0\.0' is broken") as error:
        open_tree(repository).local_tags()
    assert "git fsck" in error.value.hint


def test_a_tag_of_an_object_that_is_gone_leaves_the_history_unknown(
    repository: GitRepository,
) -> None:
    text = f"object {'1' * 40}\ntype commit\ntag v2.0.0\ntagger A <a@b> 1 +0000\n\nx\n"
    (repository.path / "tag").write_text(text)
    tag = repository.git("hash-object", "-t", "tag", "-w", "--literally", "tag")
    (repository.path / ".git" / "refs" / "tags" / "v2.0.0").write_text(tag)

    with pytest.raises(HistoryError, match=r"1{40}, which is not in this clone"):
        open_tree(repository).local_tags()


@pytest.mark.parametrize("name", ["v1.0.0 (copy)", "v2\x1b[31m", "v1..0", "v1.0.0^{}"])
def test_a_name_that_git_does_not_allow_is_shown_harmless(
    repository: GitRepository, name: str
) -> None:
    file = repository.path / ".git" / "refs" / "tags" / name
    file.write_text(repository.head)

    with pytest.raises(HistoryError, match="is broken") as error:
        open_tree(repository).local_tags()

    assert error.value.message.isprintable()


def test_ten_thousand_packed_tags_are_read_by_two_commands(
    repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"v2.{minor}.{patch}" for minor in range(100) for patch in range(100)]
    commit = repository.head
    lines = "".join(f"{commit} refs/tags/{name}\n" for name in sorted(names))
    (repository.path / ".git" / "packed-refs").write_text(f"# pack-refs with: sorted \n{lines}")
    tree = open_tree(repository)
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(tmp_path / "trace"))

    commits, _ = tree.local_tags()

    assert set(commits) == {"v1.0.0", *names}
    assert git_commands(tmp_path / "trace") == ["show-ref", "cat-file"]


# Remotes ------------------------------------------------------------------------------------------


def test_remotes_are_those_that_can_be_read(repository: GitRepository) -> None:
    repository.git("remote", "add", "upstream", "git@github.com:acme/app.git")
    repository.git("remote", "add", "fork.url", "../fork")
    repository.git("config", "remote.nowhere.pushurl", "../app.git")
    repository.git("config", "remote.pushDefault", "fork.url")
    tree = open_tree(repository)

    assert tree.remotes() == ["fork.url", "upstream"]
    assert tree.remote_url("upstream") == "git@github.com:acme/app.git"
    assert tree.remote_url("origin") is None
    assert open_work_tree(repository.path, {}).remote_url("up\0stream") is None


def test_of_several_urls_the_first_is_read(repository: GitRepository) -> None:
    repository.git("remote", "add", "origin", "../first.git")
    repository.git("remote", "set-url", "--add", "origin", "../second.git")

    assert open_tree(repository).remote_url("origin") == "../first.git"


def test_remote_tags_are_what_they_point_at_and_no_object_is_fetched(
    repository: GitRepository, tmp_path: Path
) -> None:
    repository.bare_remote()
    clone = repository.clone(tmp_path / "clone")
    repository.commit("second")
    repository.tag("v2.0.0")
    repository.tag("v2.1.0", annotated=True)
    repository.tag("v2.2.0", annotated=True, commit="v2.1.0")
    repository.tag("tree", annotated=True, commit="HEAD^{tree}")
    repository.push()
    before = clone.git("count-objects", "-v")

    tags = open_tree(clone).remote_tags("origin")

    assert tags == {
        "v1.0.0": clone.head,
        "v2.0.0": repository.head,
        "v2.1.0": repository.head,  # and not the tag object
        "v2.2.0": repository.head,
        "tree": repository.git("rev-parse", "HEAD^{tree}"),
    }
    assert clone.git("count-objects", "-v") == before
    assert "v2.0.0" not in clone.git("tag")


def test_a_remote_without_tags_has_none(repository: GitRepository) -> None:
    repository.git("tag", "--delete", "v1.0.0")
    repository.bare_remote()

    assert open_tree(repository).remote_tags("origin") == {}


def test_the_remote_s_name_is_never_an_option(repository: GitRepository, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    name = f"--upload-pack=touch {touched}; false"
    with (repository.path / ".git" / "config").open("a") as config:
        config.write(f'[remote "{name}"]\n\turl = {repository.path}\n')
    tree = open_tree(repository)
    assert tree.remotes() == [name]

    with contextlib.suppress(HistoryError):
        tree.remote_tags(name)

    assert not touched.exists()


def unreadable(tree: WorkTree) -> str:
    """Why the remote `origin` cannot be read."""
    with pytest.raises(HistoryError, match="'origin' cannot be read: ") as error:
        tree.remote_tags("origin")
    assert "--history local" in error.value.hint
    return error.value.message.partition("cannot be read: ")[2]


def test_a_remote_that_is_gone_is_named(repository: GitRepository) -> None:
    repository.git("remote", "add", "origin", "file:///nowhere/app.git")

    assert "/nowhere/app.git" in unreadable(open_tree(repository))


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
    monkeypatch.setattr(git, "_REMOTE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"git://127.0.0.1:{server.getsockname()[1]}/app.git"
        repository.git("remote", "add", "origin", url)

        assert unreadable(open_tree(repository)) == "no answer in 0.5 s"


def test_the_time_for_the_remote_is_15_seconds() -> None:
    assert git._REMOTE_SECONDS == 15


@pytest.fixture
def ssh(repository: GitRepository, tmp_path: Path) -> Callable[[str], WorkTree]:
    """A work tree whose remote is reached by a script in place of ssh."""
    repository.git("remote", "add", "origin", "ssh://git.example.com/app.git")

    def work_tree(script: str) -> WorkTree:
        path = write_script(tmp_path / "ssh", script)
        return open_tree(repository, {"GIT_SSH_COMMAND": str(path)})

    return work_tree


def test_nothing_that_git_started_outlives_it(
    ssh: Callable[[str], WorkTree], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "_REMOTE_SECONDS", 1)
    tree = ssh(f"echo $$ > {tmp_path}/pid; exec sleep 1000")

    assert "no answer" in unreadable(tree)
    assert has_ended(int((tmp_path / "pid").read_text()))


# What ssh leaves behind with its pipes: in the same session as git's credential cache does, and in
# one of its own as the master of shared connections (ControlPersist) does.
@pytest.mark.parametrize("start", ["", "setsid "])
@pytest.mark.parametrize("pipes", ["2>&1", ">&2", "1>/dev/null"])
def test_the_answer_counts_though_a_child_holds_git_s_pipes(
    ssh: Callable[[str], WorkTree],
    repository: GitRepository,
    tmp_path: Path,
    start: str,
    pipes: str,
) -> None:
    remote = repository.bare_remote("other")
    tree = ssh(
        f"{start}sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000' </dev/null {pipes} &\n"
        f"while ! test -s {tmp_path}/pid; do :; done\n"
        f"exec git upload-pack {remote}"
    )
    started = time.monotonic()

    assert tree.remote_tags("origin") == {"v1.0.0": repository.head}

    assert time.monotonic() - started < 14
    pid = int((tmp_path / "pid").read_text())
    if start:
        os.kill(pid, signal.SIGKILL)
    assert has_ended(pid)


def test_a_child_that_prints_for_ever_costs_nothing(
    ssh: Callable[[str], WorkTree], repository: GitRepository, tmp_path: Path
) -> None:
    remote = repository.bare_remote("other")
    tree = ssh(f"setsid yes >&2 &\necho $! > {tmp_path}/pid\nexec git upload-pack {remote}")
    try:
        assert tree.remote_tags("origin") == {"v1.0.0": repository.head}
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def packet(line: bytes) -> bytes:
    """A line of git's protocol, see gitprotocol-common(5)."""
    return b"%04x%s" % (len(line) + 4, line)


COMMIT = b"1" * 40


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param([], set(), id="none"),
        pytest.param([b"v1.0.0"], {"v1.0.0"}, id="one"),
        pytest.param([b"v2.0.0-\xff", b"v1"], {"v2.0.0-\udcff", "v1"}, id="no UTF-8"),
        pytest.param([b"v1.0.0^{}"], {"v1.0.0"}, id="peeled alone"),
        pytest.param([b"v" + b"9" * 10_000], {"v" + "9" * 10_000}, id="long"),
        pytest.param([b"--all", b"v1\tv2"], {"--all", "v1\tv2"}, id="odd"),
        pytest.param([b"v1\x1b[31m", b"v1\xc2\x9b1m"], {"v1\x1b[31m", "v1\x9b1m"}, id="escapes"),
    ],
)
def test_a_remote_may_give_its_tags_any_name(
    ssh: Callable[[str], WorkTree], tmp_path: Path, answer: list[bytes], expected: set[str]
) -> None:
    lines = [b"%s refs/tags/%s" % (COMMIT, name) for name in answer]
    if lines:
        lines[0] += b"\0agent=x"  # the capabilities
    (tmp_path / "answer").write_bytes(b"".join(packet(x + b"\n") for x in lines) + b"0000")

    # It reads what git sends to the end: git must not find its pipe broken.
    tree = ssh(f"cat {tmp_path}/answer; exec cat > /dev/null")

    assert set(tree.remote_tags("origin")) == expected


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage",
        b"\xff\xff\xff\xff",
        packet(b"ERR \x1b[31mno\x1b[0m\n"),
        packet(b"x" * 40 + b" refs/tags/v1.0.0\0\n") + b"0000",
        packet(COMMIT + b" refs/tags/v1.0.0\0\n"),  # and no end
        packet(COMMIT + b" refs/tags/v1\n" + COMMIT + b" refs/tags/v2\0\n") + b"0000",
    ],
)
def test_garbage_is_no_answer(
    ssh: Callable[[str], WorkTree], tmp_path: Path, answer: bytes
) -> None:
    (tmp_path / "answer").write_bytes(answer)

    assert unreadable(ssh(f"cat {tmp_path}/answer")).isprintable()


def test_what_is_kept_of_messages_has_a_limit() -> None:
    command = ["sh", "-c", "yes | head -c 10000000 >&2; echo answer"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = git_command.output(process, 60)

    assert (out, len(err)) == (b"answer\n", git_command._LONGEST_MESSAGE)


def test_messages_without_end_are_cut(ssh: Callable[[str], WorkTree]) -> None:
    assert len(unreadable(ssh("yes fatal: no | head -c 10000000 >&2; exit 1"))) < 400
    assert len(unreadable(ssh("yes | tr -d '\\n' | head -c 10000000 >&2; exit 1"))) < 400


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("yes", "more than 100000 bytes of answer"),
        ("exec >&-; exec sleep 1000", "no answer in 1 s"),
        ("echo garbage", "'garbage' does not list git tags"),
        ("printf '%s\\trefs/heads/main' " + "1" * 40, "does not list git tags"),
        ("exit 3", "no message"),
    ],
)
def test_git_itself_may_print_anything(
    repository: GitRepository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    why: str,
) -> None:
    repository.bare_remote()
    monkeypatch.setattr(git, "_REMOTE_SECONDS", 1 if "sleep" in script else 15)
    monkeypatch.setattr(git_command, "_LONGEST_ANSWER", 100_000)
    real = shutil.which("git")
    (tmp_path / "bin").mkdir()
    wrapper = f'case "$*" in *ls-remote*) {script};; *) exec {real} "$@";; esac'
    write_script(tmp_path / "bin" / "git", wrapper)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    assert why in unreadable(open_tree(repository))


@pytest.mark.parametrize("place", ["GIT_SSH_COMMAND", "GIT_SSH", "core.sshCommand"])
def test_the_user_s_own_ssh_is_used_and_told_not_to_prompt(
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

    unreadable(open_tree(repository, environ))

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
    with QuietHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        yield f"127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("path", "rewritten"), [("app.git", False), ("missing.git", False), ("app.git", True)]
)
@pytest.mark.parametrize(
    "userinfo",
    [
        "hunter2",
        "alice:hunter2",
        "alice:hunter2@hunter2",
        "alice:a'hunter2",
        "hunter2%40x:",
        "alice:hunter2%2F%40x",
        "alice:hunter2/x",
        "hunter2/x",
        "alice:1234/hunter2",
        "alice:hunter2?x",
    ],
)
def test_no_error_shows_the_credentials_in_the_remote_s_url(
    repository: GitRepository, refusing: str, userinfo: str, path: str, rewritten: bool
) -> None:
    if rewritten:
        repository.git("config", f"url.http://{userinfo}@{refusing}/.insteadOf", "acme:")
        repository.git("remote", "add", "origin", f"acme:{path}")
    else:
        repository.git("remote", "add", "origin", f"http://{userinfo}@{refusing}/{path}")
    tree = open_tree(repository)

    assert "hunter2" not in unreadable(tree)
    assert "hunter2" not in repr(tree)


def test_ssh_does_not_show_a_password_either(repository: GitRepository, tmp_path: Path) -> None:
    repository.git("remote", "add", "origin", "ssh://alice:hunter2@git.example.com/app.git")
    ssh = write_script(tmp_path / "ssh", 'for a; do echo "$a: Permission denied" >&2; done; exit 1')

    tree = open_tree(repository, {"GIT_SSH_COMMAND": str(ssh)})

    assert "hunter2" not in unreadable(tree)


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

    unreadable(open_tree(repository))

    assert not asked.exists()


ON_A_TERMINAL = """
import fcntl, os, sys, termios
from pathlib import Path
from releasetag.errors import HistoryError
from releasetag.git import open_work_tree
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
Path("/dev/tty").open("w").write("here")
try:
    open_work_tree(Path(sys.argv[1]), os.environ).remote_tags("origin")
except HistoryError as error:
    print(error.message)
"""


def test_no_one_at_a_terminal_is_asked_for_a_password(
    repository: GitRepository, refusing: str
) -> None:
    repository.git("remote", "add", "origin", f"http://{refusing}/app.git")
    repository.git("config", "credential.helper", "!echo password: > /dev/tty; true")
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
