"""`releasetag init`: two files to begin with, over none that exists."""

import tomllib

import pytest

from tests.conftest import Run
from tests.support.git import GitRepository
from tests.support.image import scratch_files

WORKFLOW = ".github/workflows/release.yml"


@pytest.mark.parametrize(
    ("url", "image"),
    [
        (None, "acme/app"),
        ("https://github.com/Acme/App.git", "ghcr.io/acme/app"),
        ("git@github.com:acme/app.git", "ghcr.io/acme/app"),
        ("https://gitlab.com/acme/app.git", "acme/app"),
        ("https://user:secret@github.com/acme/app", "ghcr.io/acme/app"),
    ],
)
def test_two_files_are_written_that_the_program_itself_reads(
    url: str | None, image: str, git_repository: GitRepository, run_here: Run
) -> None:
    git_repository.write(scratch_files())
    if url:
        git_repository.git("remote", "add", "origin", url)
    done = run_here("init", cwd=git_repository.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"wrote releasetag.toml\nwrote {WORKFLOW}\n"
    written = (git_repository.path / "releasetag.toml").read_text()
    assert "secret" not in written
    assert tomllib.loads(written)["images"] == [image]
    git_repository.commit()
    git_repository.tag("v1.2.3")
    planned = run_here("plan", "--quiet", "--history", "local", cwd=git_repository.path)
    assert planned.stdout.splitlines()[0] == f"{image}:1.2.3", planned


@pytest.mark.parametrize("there", ["releasetag.toml", WORKFLOW])
def test_no_file_is_written_over_or_beside_one_that_exists(
    there: str, git_repository: GitRepository, run_here: Run
) -> None:
    git_repository.write({there: "mine\n"})
    done = run_here("init", cwd=git_repository.path)
    assert done.returncode == 2, done
    assert done.stderr.startswith(f"error: {there} exists already")
    files = [f for f in git_repository.path.rglob("*") if f.is_file() and ".git/" not in str(f)]
    assert [str(f.relative_to(git_repository.path)) for f in files] == [there]
    assert (git_repository.path / there).read_text() == "mine\n"


def test_a_directory_that_cannot_be_made_is_two_lines(
    git_repository: GitRepository, run_here: Run
) -> None:
    git_repository.write({".github": "a file\n"})
    done = run_here("init", cwd=git_repository.path)
    assert done.returncode == 2, done
    assert done.stderr.splitlines()[0] == f"error: {WORKFLOW} cannot be written: Not a directory"


def test_in_a_folder_the_files_go_to_the_top(git_repository: GitRepository, run_here: Run) -> None:
    inside = git_repository.path / "src"
    inside.mkdir()
    done = run_here("init", "--quiet", cwd=inside)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (git_repository.path / "releasetag.toml").is_file()
    assert not list(inside.iterdir())


def test_the_written_files_are_listed_as_json(git_repository: GitRepository, run_here: Run) -> None:
    done = run_here("init", "--json", cwd=git_repository.path)
    assert done.json == {"schema": 1, "written": ["releasetag.toml", WORKFLOW]}
    assert all((git_repository.path / name).is_file() for name in done.json["written"])
    again = run_here("init", "--json", cwd=git_repository.path)
    assert (again.returncode, again.json["error"]["kind"]) == (2, "usage")
