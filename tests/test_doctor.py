"""`releasetag doctor`: what a publish needs, on a real engine and real registries."""

import shutil
from pathlib import Path

import pytest

from releasetag import doctor
from releasetag.config import load
from releasetag.doctor import examine
from releasetag.findings import Finding
from releasetag.git import open_work_tree
from releasetag.image import open_tools
from tests.conftest import Run, StartRegistry
from tests.support.cli import writes
from tests.support.engine import Engine
from tests.support.git import GitRepository
from tests.support.registry import RegistryServer
from tests.support.run import Finished


@pytest.fixture
def run(run_in_process: Run) -> Run:
    return run_in_process


def checks(done: Finished) -> dict[str, list[tuple[str, str]]]:
    """Status and text of each check, by its subject."""
    found: dict[str, list[tuple[str, str]]] = {}
    for each in done.json["checks"]:
        found.setdefault(each["subject"], []).append((each["status"], each["text"]))
    return found


def test_all_is_well(
    app: GitRepository, run: Run, registry: RegistryServer, engine: Engine
) -> None:
    image = f"{registry.address}/acme/app"
    app.bare_remote()
    done = run("doctor", "-i", image, "--json", cwd=app.path)
    assert done.returncode == 0, done
    found = checks(done)
    assert found["work tree"] == [("ok", f"{app.path} at {app.head[:7]}")]
    assert found["history"] == [("ok", "read from the git remote origin and the clone")]
    assert found["releases"] == [("ok", "1 release, the highest is v1.2.3")]
    assert found["release"] == [("ok", "v1.2.3 would be published as 1.2.3, 1.2, latest")]
    ((status, text),) = found["engine"]
    assert status == "ok"
    assert engine.environ["DOCKER_HOST"] in text
    assert found[image] == [
        ("ok", "has no tag yet, or is not there yet"),
        ("ok", "may be pushed to without credentials"),
    ]
    # It has started an upload, and left none.
    assert [each.split()[0] for each in writes(registry)] == ["POST", "DELETE"]
    assert registry.tags("acme/app") == []
    assert run("publish", "-i", image, cwd=app.path).returncode == 0
    assert ("ok", "has 3 tags") in checks(run("doctor", "-i", image, "--json", cwd=app.path))[image]


def test_what_would_fail_is_a_problem_with_what_to_do(
    git_repository: GitRepository, run: Run, start_registry: StartRegistry
) -> None:
    private = start_registry(auth="htpasswd")
    git_repository.write({"hello.txt": "1"})
    git_repository.commit()
    git_repository.write({"hello.txt": "2"})
    image = f"{private.address}/acme/app"
    done = run(
        "doctor", "-i", image, "--json", cwd=git_repository.path, env={"DOCKER_HOST": "unix:///no"}
    )
    assert done.returncode == 1, done
    found = checks(done)
    assert found["work tree"][1] == ("note", "1 tracked file is changed")
    assert found["releases"] == [("note", "there is none yet")]
    assert found["release"][0][0] == "note"
    ((status, text),) = found["engine"]
    assert (status, "unix:///no" in text) == ("problem", True)
    ((status, text),) = found[image]
    assert (status, text.startswith(f"cannot push to {image}")) == ("problem", True)
    hints = {each["subject"]: each["hint"] for each in done.json["checks"]}
    assert "log in" in hints[image]
    assert hints["releases"] == "tag a commit: git tag v0.1.0"

    quiet = run("doctor", "-q", "-i", image, cwd=git_repository.path)
    assert quiet.returncode == 1
    assert len(quiet.stdout.splitlines()) == 1
    assert quiet.stdout.startswith(f"  problem  {image}  cannot push to {image}")


def test_what_one_variant_needs_is_looked_for(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    image = f"{registry.address}/acme/app"
    toml = '[[variants]]\nname = "a"\n[[variants]]\nname = "b"\nbuild.sbom = "true"\n'
    app.write({"releasetag.toml": f'images = ["{image}"]\n{toml}'})
    done = run("doctor", "--json", cwd=app.path, env={"PATH": path_without(app, "docker")})
    assert done.returncode == 1
    ((status, text),) = checks(done)["buildx"]
    assert (status, text) == ("problem", "docker buildx is not installed, and --sbom needs it")


def path_without(app: GitRepository, program: str) -> str:
    """A PATH with git and without another program."""
    programs = app.path.parent / "programs"
    programs.mkdir()
    found = shutil.which("git")
    assert found
    (programs / "git").symlink_to(found)
    assert not (programs / program).exists()
    return str(programs)


def test_components_that_share_a_tag_are_a_problem(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    image = f"{registry.address}/acme/app"
    toml = f'images = ["{image}"]\n[[components]]\ntag-prefix = "api/v"\n'
    app.write({"releasetag.toml": toml})
    found = checks(run("doctor", "--json", cwd=app.path))
    ((status, text),) = found["release"]
    assert (status, "would both publish" in text) == ("problem", True)


def test_where_tags_may_be_immutable_the_floating_ones_are_named(
    app: GitRepository, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No registry is asked: each is a name of which there is no host."""
    monkeypatch.setattr(doctor, "_repository", lambda *_: [])
    hosts = (
        *("acme/app", "1.dkr.ecr.eu-west-1.amazonaws.com/app", "eu-docker.pkg.dev/acme/a/app"),
        *("acme.azurecr.io/app", "quay.io/acme/app", "ghcr.io/acme/app", "localhost:5000/app"),
    )
    done = run("doctor", "--json", *(f"--image={each}" for each in hosts), cwd=app.path)
    notes = [each for each in done.json["checks"] if "immutable" in each["text"]]
    assert [each["subject"] for each in notes] == list(hosts[:5])
    assert {(each["status"], each["hint"]) for each in notes} == {
        ("note", "exempt the floating tags from it: {major}.{minor}, latest")
    }


def test_no_image_is_a_problem(app: GitRepository, run: Run) -> None:
    done = run("doctor", "--json", cwd=app.path)
    assert done.returncode == 1
    assert checks(done)["images"] == [("problem", "no image is given")]


def test_a_shallow_clone_without_its_remote_is_a_problem(
    app: GitRepository, run: Run, tmp_path: Path
) -> None:
    app.commit("another")
    app.bare_remote()
    shallow = app.clone(tmp_path / "shallow", depth=1)
    shallow.git("remote", "set-url", "origin", str(tmp_path / "gone"))
    done = run("doctor", "--json", cwd=shallow.path)
    ((status, text),) = checks(done)["history"]
    assert status == "problem"
    assert text.endswith("and the clone is shallow")


@pytest.mark.parametrize(
    ("emulators", "expected"),
    [
        (["qemu-aarch64"], Finding("linux/arm64", "ok", "is emulated")),
        ([], Finding("linux/arm64", "note", "no emulator is installed: RUN steps fail")),
    ],
)
def test_emulators_are_looked_for_where_the_engine_is(
    app: GitRepository,
    engine: Engine,
    registry: RegistryServer,
    tmp_path: Path,
    emulators: list[str],
    expected: Finding,
) -> None:
    for name in emulators:
        (tmp_path / name).write_text("enabled\n")
    options = {
        "images": [f"{registry.address}/acme/app"],
        "platforms": ["linux/amd64,linux/arm64"],
    }
    tree = open_work_tree(app.path, {})
    configuration = load(options, {}, app.path, app.path, app.path)
    with open_tools(engine.environ) as tools:
        found = {each.subject: each for each in examine(tree, configuration, tools, tmp_path)}
    assert found["linux/amd64"].text == "is the engine's own"
    assert found["linux/arm64"].status == expected.status
    assert found["linux/arm64"].text == expected.text
