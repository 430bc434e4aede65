"""`releasetag init`: a configuration and a pipeline to begin with, over no file that exists."""

import re
import tomllib

import pytest
import yaml

from releasetag.init.pipelines import SYSTEMS
from tests.conftest import Run
from tests.init.conftest import job
from tests.support.config import load_in
from tests.support.git import GitRepository
from tests.support.image import scratch_files
from tests.support.run import ROOT

WORKFLOW = ".github/workflows/release.yml"


@pytest.mark.parametrize(
    ("url", "image"),
    [
        (None, "acme/app"),
        ("https://github.com/Acme/App.git", "ghcr.io/acme/app"),
        ("git@github.com:acme/app.git", "ghcr.io/acme/app"),
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ({"releasetag.toml": "mine\n"}, "releasetag.toml"),
        (
            {"pyproject.toml": '[tool.releasetag]\nimages = ["acme/app"]\n'},
            "[tool.releasetag] in pyproject.toml",
        ),
    ],
)
def test_no_file_is_written_over_or_beside_a_configuration(
    text: dict[str, str], shown: str, git_repository: GitRepository, run_here: Run
) -> None:
    git_repository.write(text)
    done = run_here("init", cwd=git_repository.path)
    assert done.returncode == 2, done
    assert done.stderr.startswith(f"error: {shown} exists already, and nothing was written")
    assert files(git_repository) == text


def test_a_pipeline_is_written_beside_a_configuration_if_it_is_named(
    git_repository: GitRepository, run_here: Run
) -> None:
    mine = 'images = ["acme/app"]\n'
    git_repository.write({"releasetag.toml": mine})
    done = run_here("init", "--ci", "drone", cwd=git_repository.path)
    assert (done.returncode, done.stdout) == (0, "wrote .drone.yml\n"), done
    assert files(git_repository)["releasetag.toml"] == mine


def files(repository: GitRepository) -> dict[str, str]:
    """What is in the work tree."""
    found = (each for each in repository.path.rglob("*") if each.is_file())
    names = {str(each.relative_to(repository.path)): each for each in found}
    return {n: each.read_text() for n, each in names.items() if not n.startswith(".git/")}


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_pipeline_is_valid_and_goes_where_there_is_no_file(
    system: str, git_repository: GitRepository, run_here: Run
) -> None:
    git_repository.write(scratch_files())
    for name in ("api/v1.2.3", "v1.2.3"):
        git_repository.commit(name)
        git_repository.tag(name)
    known = SYSTEMS[system]
    assert run_here("init", "--ci", system, cwd=git_repository.path).returncode == 0
    first = files(git_repository)
    (git_repository.path / "releasetag.toml").unlink()

    done = run_here("init", "--ci", system, cwd=git_repository.path)

    assert done.returncode == 0, done
    assert done.stdout == f"wrote releasetag.toml\nwrote {known.other}\n"
    assert done.stderr.startswith(f"note: {known.file} exists, so {known.other} was written: ")
    assert files(git_repository) == {**first, known.other: first[known.file]}
    again = run_here("init", "--ci", system, cwd=git_repository.path)
    assert (again.returncode, files(git_repository)) == (
        2,
        {**first, known.other: first[known.file]},
    )
    planned = run_here("plan", "--quiet", "--history", "local", cwd=git_repository.path)
    assert planned.stdout.splitlines()[0] == "acme/app:1.2.3", planned
    text = first[known.file]
    if system != "jenkins":
        parsed = yaml.safe_load(text)
        assert isinstance(parsed, dict)
    # What it sets is a setting, with a value that is possible.
    variables = dict(re.findall(r"(RELEASETAG_[A-Z]+)\W+(\w+)", text))
    load_in(git_repository.path, environ=variables)
    assert "secret" not in variables
    if system not in {"github", "forgejo"}:
        assert set(re.findall(r"releasetag (\w+)", text)) == {"login", "publish"}
        assert "--password-stdin" in text
    assert not re.search(r"\{\w+\}", text.replace("${{", "")), "a field that was not filled in"


@pytest.mark.parametrize(
    ("url", "file", "image"),
    [
        ("https://gitlab.com/a/group/app.git", ".gitlab-ci.yml", "registry.gitlab.com/a/group/app"),
        ("git@gitlab.example.com:acme/app.git", ".gitlab-ci.yml", "acme/app"),
        ("git@bitbucket.org:acme/app.git", "bitbucket-pipelines.yml", "acme/app"),
        ("https://codeberg.org/A/app.git", ".forgejo/workflows/release.yml", "codeberg.org/a/app"),
        ("git@ssh.dev.azure.com:v3/acme/app/app", "azure-pipelines.yml", "acme/app"),
        ("https://example.com/a b", WORKFLOW, "acme/app"),
    ],
)  # fmt: skip
def test_the_remote_says_which_pipeline_and_registry(
    url: str, file: str, image: str, git_repository: GitRepository, run_here: Run
) -> None:
    git_repository.git("remote", "add", "origin", url)
    assert run_here("init", cwd=git_repository.path).returncode == 0
    written = files(git_repository)
    assert file in written
    assert tomllib.loads(written["releasetag.toml"])["images"] == [image]


def test_a_system_that_is_not_known_has_a_hint(
    git_repository: GitRepository, run_here: Run
) -> None:
    done = run_here("init", "--ci", "gitlub", cwd=git_repository.path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --ci: there is no pipeline for 'gitlub'\nhint: did you")
    assert files(git_repository) == {}


def test_a_workflow_of_other_actions_is_translated_and_named(
    git_repository: GitRepository, run_here: Run
) -> None:
    meta = "images: acme/shop\ntags: type=semver,pattern={{version}}\n"
    build = "platforms: linux/amd64,linux/arm64\ncache-from: type=gha"
    old = ".github/workflows/old.yml"
    git_repository.write({**scratch_files(), old: job(meta, build), ".github/workflows/x.yml": "["})
    git_repository.git("remote", "add", "origin", "https://github.com/acme/app")

    done = run_here("init", cwd=git_repository.path)

    assert done.returncode == 0, done
    notes = done.stderr.splitlines()
    assert notes[0].startswith("warning: .github/workflows/x.yml cannot be read and is passed over")
    assert notes[1] == f"note: {old} publishes these images as well: remove that when this works"
    written = files(git_repository)
    assert tomllib.loads(written["releasetag.toml"])["build"]["cache"] == "gha"
    workflow = written[WORKFLOW]
    assert workflow.startswith(f"# {old} publishes these images as well")
    steps = yaml.safe_load(workflow)["jobs"]["publish"]["steps"]
    assert [each["uses"].partition("@")[0] for each in steps] == [
        "actions/checkout",
        "docker/setup-qemu-action",
        "docker/setup-buildx-action",
        "releasetag/releasetag",
    ]
    inputs = re.findall(r"^  ([a-z-]+):$", (ROOT / "action.yml").read_text(), re.MULTILINE)
    assert steps[-1]["with"].keys() <= set(inputs)


def test_builds_of_branches_and_nights_are_snapshots(
    git_repository: GitRepository, run_here: Run
) -> None:
    text = job().replace("on:\n", "on:\n  schedule: [{ cron: '7 3 * * *' }]\n")
    git_repository.write({".github/workflows/old.yml": text})
    assert run_here("init", cwd=git_repository.path).returncode == 0
    workflow = yaml.load(files(git_repository)[WORKFLOW], Loader=yaml.BaseLoader)  # noqa: S506 (it is safe)
    assert workflow["on"] == {
        "push": {"branches": ["main"], "tags": ["v*"]},
        "pull_request": "",
        "schedule": [{"cron": "7 3 * * *"}],
    }
    assert workflow["jobs"]["publish"]["steps"][-1]["with"]["snapshot"] == "true"


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
