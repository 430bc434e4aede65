"""`releasetag plan`: needs git alone, and is pure."""

import json
import re
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support.git import GitRepository
from tests.support.github import parse_outputs
from tests.support.registry import free_port


@pytest.fixture
def app(git_repository: GitRepository) -> GitRepository:
    """v1.9.0, v2.0.1 and, checked out, the hotfix v1.9.1 and the prerelease v1.9.2-rc.1."""
    for name in ("v1.9.0", "v2.0.1"):
        git_repository.commit(name)
        git_repository.tag(name)
    git_repository.git("checkout", "--quiet", "v1.9.0")
    git_repository.commit("rc")
    git_repository.tag("v1.9.2-rc.1")
    git_repository.git("checkout", "--quiet", "v1.9.0")
    git_repository.commit("fix")
    git_repository.tag("v1.9.1")
    return git_repository


def test_a_hotfix_of_an_old_line(app: GitRepository, run_here: Run) -> None:
    done = run_here("plan", "-i", "acme/app", "-i", "ghcr.io/acme/app", cwd=app.path)
    assert done.returncode == 0, done
    assert done.stderr == ""
    assert done.stdout == (
        f"v1.9.1 at {app.head[:7]}: version 1.9.1, 4 releases known (local)\n"
        "\n"
        "  push  1.9.1   names this version\n"
        "  push  1.9     highest stable release of 1.9\n"
        "  keep  latest  stays at 2.0.1, which is higher\n"
        "\n"
        "  to acme/app\n"
        "  to ghcr.io/acme/app\n"
    )


def test_upper_case_letters_of_a_repository_are_lowered_with_a_note(
    app: GitRepository, run_here: Run
) -> None:
    image = ("plan", "-i", "ghcr.io/Acme/App")
    done = run_here(*image, "--json", cwd=app.path)

    assert done.returncode == 0, done
    assert json.loads(done.stdout)["images"] == ["ghcr.io/acme/app"]
    text = "ghcr.io/Acme/App is read as ghcr.io/acme/app: a repository has no upper-case letters"
    assert done.stderr == f"note: {text}\n"
    assert run_here(*image, "--quiet", cwd=app.path).stderr == ""
    on_github = run_here(*image, "--quiet", cwd=app.path, env={"GITHUB_ACTIONS": "true"})
    assert f"::notice title=releasetag::{text}" in on_github.stderr


def test_a_prerelease_by_name(app: GitRepository, run_here: Run) -> None:
    done = run_here("plan", "--git-tag", "v1.9.2-rc.1", "-t", "{version}", "-t", "{major}",
               "-t", "{channel}", cwd=app.path)  # fmt: skip
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[2:] == [
        "  push  1.9.2-rc.1  names this version",
        "  skip  1           a prerelease does not move it",
        "  push  rc          highest prerelease of channel rc",
    ]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (["acme/app", "b/c"], "acme/app:1.9.1\nacme/app:1.9\nb/c:1.9.1\nb/c:1.9\n"),
        ([], "1.9.1\n1.9\n"),
    ],
)
def test_quiet_is_what_to_push_a_line_each(
    images: list[str], expected: str, app: GitRepository, run_here: Run
) -> None:
    options = [word for image in images for word in ("-i", image)]
    done = run_here("plan", "--quiet", *options, cwd=app.path)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_json_is_one_object_that_says_the_same(app: GitRepository, run_here: Run) -> None:
    done = run_here("plan", "-i", "acme/app", "--json", cwd=app.path)
    assert done.returncode == 0, done
    assert done.stderr == ""
    assert list(done.json) == [
        "schema", "git_tag", "version", "revision", "prerelease", "history", "tags", "images",
        "references",
    ]  # fmt: skip
    assert done.json["revision"] == app.head
    assert [(tag["name"], tag["action"]) for tag in done.json["tags"]] == [
        ("1.9.1", "push"),
        ("1.9", "push"),
        ("latest", "keep"),
    ]


def test_neither_an_engine_nor_a_registry_is_asked(
    app: GitRepository, run_here: Run, tmp_path: Path
) -> None:
    image = f"127.0.0.1:{free_port()}/acme/app"
    done = run_here("plan", "-i", image, cwd=app.path)
    assert done.returncode == 0, done


def test_twice_the_same(app: GitRepository, run_here: Run) -> None:
    first, second = (run_here("plan", "--json", cwd=app.path) for _ in range(2))
    assert first.stdout == second.stdout


def test_a_component_is_chosen_by_the_prefix_of_its_git_tag(
    git_repository: GitRepository, run_here: Run
) -> None:
    git_repository.write(
        {
            "releasetag.toml": '[[components]]\nname = "api"\ntag-prefix = "api/v"\n'
            'images = ["acme/api"]\n[[components]]\nname = "web"\ntag-prefix = "web/v"\n'
            'images = ["acme/web"]\n'
        }
    )
    git_repository.commit()
    git_repository.tag("api/v1.2.3")
    git_repository.tag("web/v9.0.0")
    done = run_here("plan", "--git-tag", "api/v1.2.3", "--json", cwd=git_repository.path)
    assert done.returncode == 0, done
    assert done.json["references"] == ["acme/api:1.2.3", "acme/api:1.2", "acme/api:latest"]
    both = run_here("plan", cwd=git_repository.path)
    assert both.returncode == 2, both
    assert "api/v1.2.3, web/v9.0.0" in both.stderr


@pytest.fixture
def monorepo(git_repository: GitRepository) -> GitRepository:
    """api/v1.2.2, then api/v1.2.3 and web/v9.0.0 at HEAD; docs/v0.1.0 before; no release of cli."""
    names = ("api", "web", "docs", "cli")
    entries = [
        f'[[components]]\nname = "{name}"\ntag-prefix = "{name}/v"\nimages = ["acme/{name}"]\n'
        for name in names
    ]
    git_repository.write({"releasetag.toml": "".join(entries)})
    git_repository.commit("first")
    git_repository.tag("api/v1.2.2")
    git_repository.tag("docs/v0.1.0")
    git_repository.commit("second")
    git_repository.tag("api/v1.2.3")
    git_repository.tag("web/v9.0.0")
    return git_repository


def test_all_components_are_planned_at_head_or_at_their_highest_release(
    monorepo: GitRepository, run_here: Run
) -> None:
    # Whatever tag a run is for: a push of several tags may have one for each.
    env = {"GITHUB_REF": "refs/tags/web/v9.0.0"}

    done = run_here("plan", "--all", "--json", cwd=monorepo.path, env=env)

    assert done.returncode == 0, done
    assert done.json["schema"] == 1
    plans = done.json["plans"]
    assert [plan["git_tag"] for plan in plans] == ["api/v1.2.3", "web/v9.0.0", "docs/v0.1.0"]
    assert [plan["references"][0] for plan in plans] == [
        "acme/api:1.2.3",
        "acme/web:9.0.0",
        "acme/docs:0.1.0",
    ]
    for plan in plans:
        alone = run_here("plan", "--git-tag", plan["git_tag"], "--json", cwd=monorepo.path)
        assert alone.json == {"schema": 1, **plan}
    table = run_here("plan", "--all", cwd=monorepo.path).stdout
    assert re.findall(r"^\S+/v\S+ at", table, re.MULTILINE) == [
        "api/v1.2.3 at",
        "web/v9.0.0 at",
        "docs/v0.1.0 at",
    ]
    quiet = run_here("plan", "--all", "--quiet", cwd=monorepo.path).stdout.split()
    assert quiet == [each for plan in plans for each in plan["references"]]


def test_all_components_of_a_checkout_before_a_release_are_those_of_its_commit(
    monorepo: GitRepository, run_here: Run
) -> None:
    monorepo.git("checkout", "--quiet", "api/v1.2.2")

    plans = run_here("plan", "--all", "--json", cwd=monorepo.path).json["plans"]

    assert [plan["git_tag"] for plan in plans] == ["api/v1.2.2", "web/v9.0.0", "docs/v0.1.0"]
    assert [tag["action"] for tag in plans[0]["tags"]] == ["push", "keep", "keep"]


def test_without_components_all_is_the_one_that_there_is(app: GitRepository, run_here: Run) -> None:
    (plan,) = run_here("plan", "--all", "--json", cwd=app.path).json["plans"]
    assert plan["git_tag"] == "v1.9.1"


def test_all_components_and_one_contradict_each_other(
    monorepo: GitRepository, run_here: Run
) -> None:
    done = run_here("plan", "--all", "--git-tag", "api/v1.2.3", cwd=monorepo.path)
    assert done.returncode == 2, done
    assert done.stderr.count("\n") == 2


def test_no_component_without_a_release_has_a_plan(
    git_repository: GitRepository, run_here: Run
) -> None:
    git_repository.commit()
    done = run_here("plan", "--all", cwd=git_repository.path)
    assert done.returncode == 3, done
    assert "no component has a release" in done.stderr


def test_a_remote_that_does_not_answer_is_one_warning_for_all_components(
    monorepo: GitRepository, run_here: Run, tmp_path: Path
) -> None:
    for name in ("web/v8.0.0", "docs/v0.0.1"):
        monorepo.tag(name)
    monorepo.git("remote", "add", "origin", str(tmp_path / "missing.git"))

    done = run_here("plan", "--all", "--json", cwd=monorepo.path)

    assert done.returncode == 0, done
    assert done.stderr.startswith("warning: ")
    assert done.stderr.count("\n") == 1


def test_on_github_the_plans_of_all_components_are_one_output(
    monorepo: GitRepository, run_here: Run, tmp_path: Path
) -> None:
    output, summary = tmp_path / "output", tmp_path / "summary"
    page = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}

    done = run_here("plan", "--all", "--json", cwd=monorepo.path, env=page)

    values = parse_outputs(output.read_text())
    assert json.loads(values["json"]) == done.json
    assert values["tags"].split()[:2] == ["acme/api:1.2.3", "acme/api:1.2"]
    assert values["version"] == values["labels"] == values["bake-file"] == ""
    assert re.findall("^### (.*)$", summary.read_text(), re.MULTILINE) == [
        "`api/v1.2.3`: plan",
        "`web/v9.0.0`: plan",
        "`docs/v0.1.0`: plan",
    ]


def test_a_remote_that_does_not_answer_is_a_warning_on_standard_error(
    app: GitRepository, run_here: Run, tmp_path: Path
) -> None:
    app.git("remote", "add", "origin", str(tmp_path / "missing.git"))
    done = run_here("plan", "--json", cwd=app.path)
    assert done.returncode == 0, done
    assert done.json["history"]["source"] == "local"
    assert done.stderr.startswith("warning: ")
    assert done.stderr.count("\n") == 1


def test_on_github_it_writes_outputs_and_a_summary(
    app: GitRepository, run_here: Run, tmp_path: Path
) -> None:
    output, summary = tmp_path / "output", tmp_path / "summary"
    page = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}

    done = run_here("plan", "-i", "acme/app", "--json", cwd=app.path, env=page)

    assert done.returncode == 0, done
    values = parse_outputs(output.read_text())
    assert json.loads(values["json"]) == done.json
    assert values["tags"].split() == done.json["references"] == ["acme/app:1.9.1", "acme/app:1.9"]
    assert values["tag-names"].split() == ["1.9.1", "1.9"]
    assert values["bake-file"] == ""  # where there is nowhere to put it
    assert f"org.opencontainers.image.revision={app.head}" in values["labels"].splitlines()
    assert summary.read_text() == (
        "### `v1.9.1`: plan\n"
        "\n"
        "| tag | decision | why |\n"
        "|---|---|---|\n"
        "| `1.9.1` | push | names this version |\n"
        "| `1.9` | push | highest stable release of 1.9 |\n"
        "| `latest` | keep | stays at 2.0.1, which is higher |\n"
        "\n"
        "- `acme/app`\n"
        "\n"
    )


def test_on_github_the_names_are_there_without_a_repository(
    app: GitRepository, run_here: Run, tmp_path: Path
) -> None:
    output = tmp_path / "output"

    done = run_here("plan", cwd=app.path, env={"GITHUB_OUTPUT": str(output)})

    assert done.returncode == 0, done
    values = parse_outputs(output.read_text())
    assert values["tag-names"].split() == ["1.9.1", "1.9"]
    assert (values["tags"], values["labels"]) == ("", "")


def test_on_github_an_error_is_in_the_outputs_and_the_summary(
    git_repository: GitRepository, run_here: Run, tmp_path: Path
) -> None:
    git_repository.commit()
    output, summary = tmp_path / "output", tmp_path / "summary"
    page = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}

    done = run_here("plan", "-i", "acme/app", "--json", cwd=git_repository.path, env=page)

    assert done.returncode == 3, done
    values = parse_outputs(output.read_text())
    assert json.loads(values.pop("json")) == done.json
    assert set(values.values()) == {""}
    assert summary.read_text().startswith("**error:** no version tag at HEAD")
    assert done.stderr.count("error: ") == 1
