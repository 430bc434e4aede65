"""releasetag.git_changes: which files differ from HEAD, on real repositories."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from releasetag.git import open_work_tree
from releasetag.git_changes import changed_files
from tests.support.git import GitRepository, open_tree, write_script


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

    assert sorted(changed_files(tree)) == ["a", "b c", "d", "e", "f", "staged"]


def test_a_file_that_is_not_merged_has_changed(repository: GitRepository) -> None:
    repository.git("checkout", "--quiet", "-b", "other")
    for branch in ("other", "main"):
        repository.git("checkout", "--quiet", branch)
        repository.write({"file": branch})
        repository.commit()
    with pytest.raises(AssertionError, match="CONFLICT"):
        repository.git("merge", "other")

    assert changed_files(open_tree(repository)) == ["file"]


@pytest.fixture
def clean(git_repository: GitRepository) -> GitRepository:
    """A repository with some files, of which one is executable and one a link."""
    git_repository.write({"file": "text", "other": "text", "run": "text", "dir/file": "text"})
    (git_repository.path / "run").chmod(0o755)
    (git_repository.path / "link").symlink_to("file")
    git_repository.commit()
    # Git looks closely at files that changed in the moment of the index; these are older.
    for name in ("file", "other", "run", "dir/file"):
        os.utime(git_repository.path / name, (1, 1))
    git_repository.git("update-index", "--refresh")
    return git_repository


def contents(directory: Path) -> dict[str, bytes]:
    """Everything in a directory, by path."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


@pytest.mark.parametrize("flags", [("--assume-unchanged",), ("--skip-worktree",), None])
@pytest.mark.parametrize("change", ["other", "text", None])
@pytest.mark.parametrize("split", [False, True])
def test_a_flag_hides_no_change(
    clean: GitRepository, flags: tuple[str] | None, change: str | None, split: bool
) -> None:
    if split:
        clean.git("config", "core.splitIndex", "true")
        clean.git("update-index", "--split-index")
    for flag in flags or ("--assume-unchanged", "--skip-worktree"):
        clean.git("update-index", flag, "file", "dir/file", "run")
    file = clean.path / "file"
    if change is None:
        file.unlink()
    else:
        file.write_text(change)
    expected = [] if change == "text" else ["file"]
    before = contents(clean.path / ".git")

    assert clean.git("status", "--porcelain") == ""
    assert changed_files(open_tree(clean)) == expected
    assert contents(clean.path / ".git") == before  # the flags are the user's


@pytest.mark.parametrize("name", ["-file", "new\nline", "größe", "\udcff", "tab\tname", '"'])
def test_a_flagged_file_may_have_any_name(clean: GitRepository, name: str) -> None:
    clean.write({name: "text"})
    clean.commit()
    clean.git("update-index", "--assume-unchanged", "--", name)
    (clean.path / name).write_text("other")

    assert changed_files(open_tree(clean)) == [name]


def test_a_change_in_the_moment_of_the_commit_is_seen_beside_a_flagged_file(
    clean: GitRepository,
) -> None:
    clean.git("update-index", "--assume-unchanged", "other")
    file, index = clean.path / "file", clean.path / ".git" / "index"
    # Of the same length and in the same second as the index, which is all that tells git of it.
    while True:
        clean.write({"file": f"{time.time_ns()}"})
        clean.git("commit", "--quiet", "--message", "change", "file")
        before = file.stat()
        file.write_text("x" * before.st_size)
        times = {before.st_mtime, file.stat().st_mtime, index.stat().st_mtime}
        if len(set(map(int, times))) == 1:
            break
    while int(time.time()) in set(map(int, times)):
        pass  # a copy of the index that is made now is younger

    assert changed_files(open_tree(clean)) == ["file"]


def change_mode(path: Path) -> str:
    (path / "file").chmod(0o755)
    return "file"


def change_link(path: Path) -> str:
    (path / "link").unlink()
    (path / "link").write_text("file")
    return "link"


def change_content(path: Path) -> str:
    (path / "file").write_text("TEXT")
    return "file"


def change_all_but_ctime(path: Path) -> str:
    status = (path / "file").stat()
    while int(time.time()) == int(status.st_ctime):
        pass  # Debian's git compares whole seconds
    (path / "file").write_text("TEXT")
    os.utime(path / "file", ns=(status.st_atime_ns, status.st_mtime_ns))
    return "file"


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({"core.fileMode": "false"}, change_mode),
        ({"core.symlinks": "false"}, change_link),
        ({"core.trustctime": "false", "core.checkStat": "minimal"}, change_all_but_ctime),
        ({"core.ignoreStat": "true"}, change_content),
        ({"core.fsmonitor": "{scripts}/monitor"}, change_content),
        (
            {
                "color.status": "always",
                "core.untrackedCache": "true",
                "core.worktree": "{tree}",
                "diff.ignoreSubmodules": "all",
                "diff.renames": "copies",
                "status.branch": "true",
                "status.relativePaths": "true",
                "status.renames": "copies",
                "status.short": "true",
                "status.showUntrackedFiles": "all",
            },
            change_content,
        ),
        (
            {
                "alias.ls-files": "!touch {ran}",
                "alias.status": "!touch {ran}",
                "core.hooksPath": "{scripts}",
                "core.pager": "touch {ran}",
                "diff.external": "touch {ran}",
                "pager.status": "touch {ran}",
            },
            change_content,
        ),
    ],
    ids=["modes", "links", "times", "ignoreStat", "fsmonitor", "status", "programs"],
)
@pytest.mark.parametrize("flagged", [False, True])
def test_no_setting_hides_a_change_or_runs_a_program(
    clean: GitRepository,
    tmp_path: Path,
    settings: dict[str, str],
    change: Callable[[Path], str],
    flagged: bool,
) -> None:
    ran, scripts = tmp_path / "ran", tmp_path / "scripts"
    scripts.mkdir()
    for hook in ("post-index-change", "pre-commit", "post-checkout"):
        write_script(scripts / hook, f"touch {ran}")
    write_script(scripts / "monitor", f"touch {ran}; printf 'token\\0'")
    places = {"scripts": scripts, "ran": ran, "tree": clean.path}
    for key, value in settings.items():
        clean.git("config", key, value.format(**places))
    clean.git("update-index", "--refresh")
    if flagged:
        clean.git("update-index", "--assume-unchanged", "file", "link", "other")
    clean.git("-c", "core.fsmonitor=", "config", "core.fsmonitorHookVersion", "2")
    tree = open_work_tree(clean.path / "dir", {})
    ran.unlink(missing_ok=True)

    assert changed_files(tree) == []
    assert changed_files(tree) != [change(clean.path)]  # before the change, so to say
    assert changed_files(tree) == [change(clean.path)]
    assert not ran.exists()


def test_what_a_monitor_keeps_to_itself_is_seen(clean: GitRepository, tmp_path: Path) -> None:
    monitor = write_script(tmp_path / "monitor", "printf 'token\\0'")
    clean.git("config", "core.fsmonitor", str(monitor))
    clean.git("config", "core.fsmonitorHookVersion", "2")
    clean.git("update-index", "--fsmonitor")
    clean.git("status", "--porcelain")
    change_content(clean.path)
    assert clean.git("status", "--porcelain") == ""  # it does lie

    assert changed_files(open_tree(clean)) == ["file"]


def test_the_only_file_of_a_repository_may_become_executable(
    repository: GitRepository,
) -> None:
    repository.git("config", "core.fileMode", "false")
    change_mode(repository.path)

    assert changed_files(open_tree(repository)) == ["file"]


@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_where_a_file_system_has_no_executable_bits_none_has_changed(
    clean: GitRepository, mode: int
) -> None:
    # As git finds and configures it there: all files are alike, those of git's own too.
    clean.git("config", "core.fileMode", "false")
    for name in ("file", "other", "run", "dir/file", ".git/index"):
        (clean.path / name).chmod(mode)
    tree = open_tree(clean)

    assert changed_files(tree) == []
    (clean.path / "other").write_text("changed")
    (clean.path / "other").chmod(mode)
    assert changed_files(tree) == ["other"]


def test_a_filter_says_what_content_is(clean: GitRepository) -> None:
    # As Git LFS and git-crypt have it: the work tree holds another form of what was committed.
    clean.git("config", "filter.upper.clean", "tr a-z A-Z")
    clean.git("config", "filter.upper.smudge", "tr A-Z a-z")
    clean.write({".gitattributes": "big filter=upper\n", "big": "large"})
    clean.commit()
    assert clean.git("cat-file", "blob", "HEAD:big") == "LARGE"
    clean.git("update-index", "--assume-unchanged", "big")
    tree = open_tree(clean)

    assert changed_files(tree) == []
    (clean.path / "big").write_text("other")
    assert changed_files(tree) == ["big"]


def test_a_sparse_checkout_is_no_change(clean: GitRepository) -> None:
    clean.git("sparse-checkout", "set", "--no-cone", "/file", "/run")
    assert not (clean.path / "dir").exists()
    tree = open_tree(clean)

    assert changed_files(tree) == []
    clean.write({"file": "changed", "dir/file": "changed"})
    assert sorted(changed_files(tree)) == ["dir/file", "file"]


def test_a_file_of_a_sparse_checkout_is_seen_though_it_is_expected_elsewhere(
    clean: GitRepository,
) -> None:
    clean.git("config", "sparse.expectFilesOutsideOfPatterns", "true")
    clean.git("sparse-checkout", "set", "--no-cone", "/file")
    clean.write({"dir/file": "changed"})
    assert clean.git("status", "--porcelain") == ""

    assert changed_files(open_tree(clean)) == ["dir/file"]


def test_a_partial_clone_is_looked_at_without_its_remote(
    clean: GitRepository, tmp_path: Path
) -> None:
    clean.write({"dir/file": "left out"})
    clean.commit()
    clean.tag("v1.0.0", annotated=True)
    remote = clean.bare_remote()
    clean.git("-C", remote, "config", "uploadpack.allowFilter", "true")
    partial = tmp_path / "partial"
    clean.git("clone", "--quiet", "--filter=blob:none", "--sparse", remote.as_uri(), partial)
    clone = GitRepository(partial)
    assert "?" in clone.git("rev-list", "--objects", "--missing=print", "HEAD")
    shutil.move(remote, tmp_path / "gone")
    clone.git("update-index", "--assume-unchanged", "file")
    tree = open_work_tree(partial, {})

    assert changed_files(tree) == []
    assert tree.local_tags() == ({"v1.0.0": clean.head}, set())
    assert tree.commit_time(clean.head) == 1767323045
    (partial / "file").write_text("changed")
    assert changed_files(tree) == ["file"]


def test_a_clone_without_a_checkout_lacks_every_file(clean: GitRepository, tmp_path: Path) -> None:
    clean.git("clone", "--quiet", "--no-checkout", clean.path, tmp_path / "clone")
    tree = open_work_tree(tmp_path / "clone", {})

    assert sorted(changed_files(tree)) == ["dir/file", "file", "link", "other", "run"]


@pytest.fixture
def super_project(clean: GitRepository, tmp_path: Path) -> GitRepository:
    """A repository with the other one as a submodule in `sub`, whose changes are to be ignored."""
    project = GitRepository(tmp_path / "project")
    project.write({"file": "text"})
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(clean.path))
    project.git(*add, "sub")
    project.git("config", "--file", ".gitmodules", "submodule.sub.ignore", "all")
    project.commit()
    project.git("config", "submodule.sub.ignore", "all")
    project.git("config", "diff.ignoreSubmodules", "all")
    return project


def test_a_submodule_is_a_part_of_the_work_tree(super_project: GitRepository) -> None:
    inner = GitRepository(super_project.path / "sub")
    tree = open_tree(super_project)
    inner.write({"new": "1"})
    assert changed_files(tree) == []

    inner.git("update-index", "--assume-unchanged", "file")
    inner.write({"file": "changed", "dir/file": "changed"})
    assert sorted(changed_files(tree)) == ["sub/dir/file", "sub/file"]

    inner.commit()
    assert "sub" in changed_files(tree)

    super_project.git("update-index", "--assume-unchanged", "sub")
    assert "sub" in changed_files(tree)


def test_a_submodule_of_a_submodule_is_looked_at_as_well(
    super_project: GitRepository, tmp_path: Path
) -> None:
    project = GitRepository(tmp_path / "outer")
    allow = ("-c", "protocol.file.allow=always")
    project.git(*allow, "submodule", "--quiet", "add", str(super_project.path), "outer")
    project.git(*allow, "submodule", "--quiet", "update", "--init", "--recursive")
    project.commit()
    tree = open_tree(project)
    assert changed_files(tree) == []

    project.write({"outer/sub/file": "changed"})

    assert changed_files(tree) == ["outer/sub/file"]


@pytest.mark.parametrize("git_directory", [False, True])
def test_a_submodule_that_is_not_checked_out_is_no_change(
    super_project: GitRepository, tmp_path: Path, git_directory: bool
) -> None:
    super_project.git("clone", "--quiet", super_project.path, tmp_path / "clone")
    if git_directory:  # which is no repository
        (tmp_path / "clone" / "sub" / ".git").mkdir()

    assert changed_files(open_work_tree(tmp_path / "clone", {})) == []


def test_looking_at_the_work_tree_changes_nothing(clean: GitRepository) -> None:
    # Git would write its index anew with the file's time.
    os.utime(clean.path / "file", (2, 2))
    before = contents(clean.path / ".git")

    assert changed_files(open_tree(clean)) == []

    assert contents(clean.path / ".git") == before
