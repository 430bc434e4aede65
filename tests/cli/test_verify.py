"""`releasetag verify`: what the registries serve against the history, with no engine."""

import json
import signal
import socket
from pathlib import Path

import pytest

from releasetag.cli.signals import Stopped
from releasetag.fix import Fixer
from tests.conftest import Run, StartProxy
from tests.support.cli import LABEL, no_engine, put_release, writes
from tests.support.fault import Answer
from tests.support.git import GitRepository
from tests.support.registry import IMAGE_MANIFEST, RegistryServer
from tests.support.run import start_cli


@pytest.fixture
def run(run_in_process: Run) -> Run:
    return run_in_process


@pytest.fixture
def app(git_repository: GitRepository) -> GitRepository:
    """The releases v1.9.0, v1.9.1, v2.0.0 and the prerelease v2.1.0-rc.1."""
    for name in ("v1.9.0", "v1.9.1", "v2.0.0", "v2.1.0-rc.1"):
        git_repository.commit(name)
        git_repository.tag(name)
    return git_repository


@pytest.fixture
def image(registry: RegistryServer) -> str:
    """The repository."""
    return f"{registry.address}/acme/app"


def statuses(found: object) -> dict[str, tuple[str, str | None, str]]:
    """Expected, actual and status of every tag of the one repository in the JSON."""
    assert isinstance(found, dict)
    (repository,) = found["repositories"]
    return {t["name"]: (t["expected"], t["actual"], t["status"]) for t in repository["tags"]}


def test_all_is_as_it_should_be(
    app: GitRepository, run: Run, registry: RegistryServer, image: str, tmp_path: Path
) -> None:
    put_release(registry, "1.9.0")
    put_release(registry, "1.9.1", "1.9")
    put_release(registry, "2.0.0", "2.0", "latest")
    put_release(registry, "2.1.0-rc.1")
    before = writes(registry)
    done = run("verify", "-i", image, cwd=app.path, env=no_engine(tmp_path))
    assert done.returncode == 0, done
    assert done.stderr == ""
    assert done.stdout == (
        f"{image}\n"
        "  ok  2.0     names 2.0.0\n"
        "  ok  latest  names 2.0.0\n"
        "  ok  1.9     names 1.9.1\n"
    )
    assert writes(registry) == before
    quiet = run("verify", "-i", image, "-q", cwd=app.path)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_a_tag_that_names_a_lower_version_is_drift_and_exit_code_1(
    app: GitRepository, run: Run, registry: RegistryServer, image: str
) -> None:
    put_release(registry, "1.9.0", "1.9")
    put_release(registry, "1.9.1")
    put_release(registry, "2.0.0", "2.0")
    put_release(registry, "2.1.0-rc.1", "latest")
    done = run("verify", "-i", image, "--json", cwd=app.path)
    assert done.returncode == 1, done
    assert "error" not in done.json
    assert statuses(done.json) == {
        "2.0": ("2.0.0", "2.0.0", "ok"),
        "latest": ("2.0.0", "2.1.0-rc.1", "drift"),
        "1.9": ("1.9.1", "1.9.0", "drift"),
    }
    quiet = run("verify", "-i", image, "--quiet", cwd=app.path)
    assert quiet.returncode == 1
    assert quiet.stdout == (
        f"{image}\n"
        "  drift  latest  names 2.1.0-rc.1 and should name 2.0.0\n"
        "  drift  1.9     names 1.9.0 and should name 1.9.1\n"
    )


def test_a_tag_that_is_not_there_is_missing_and_exit_code_1(
    app: GitRepository, run: Run, registry: RegistryServer, image: str
) -> None:
    put_release(registry, "2.0.0", "2.0")
    done = run("verify", "-i", image, "--json", cwd=app.path)
    assert done.returncode == 1, done
    assert statuses(done.json)["latest"] == ("2.0.0", None, "missing")


def test_a_release_that_was_never_pushed_is_no_drift(
    app: GitRepository, run: Run, registry: RegistryServer, image: str
) -> None:
    # As a publish of an old line leaves it: latest waits for 2.0.0.
    put_release(registry, "1.9.1", "1.9")
    done = run("verify", "-i", image, "--json", cwd=app.path)
    assert done.returncode == 0, done
    assert statuses(done.json) == {
        "1.9": ("1.9.1", "1.9.1", "ok"),
        "latest": ("2.0.0", None, "unpublished"),
        "2.1.0-rc.1": ("2.1.0-rc.1", None, "unpublished"),
        "2.0.0": ("2.0.0", None, "unpublished"),
        "1.9.0": ("1.9.0", None, "unpublished"),
    }


def test_an_image_without_labels_is_known_by_its_digest(
    app: GitRepository, run: Run, registry: RegistryServer, image: str
) -> None:
    for tag in ("2.0.0", "2.0"):
        registry.put_image("acme/app", tag, {})
    stranger = registry.put_image("acme/app", "latest", {"some": "thing"})
    done = run("verify", "-i", image, "--json", cwd=app.path)
    assert done.returncode == 1, done
    assert statuses(done.json)["2.0"] == ("2.0.0", "2.0.0", "ok")
    assert statuses(done.json)["latest"] == ("2.0.0", stranger, "drift")


def test_a_label_that_an_image_inherited_does_not_make_it_right(
    app: GitRepository, run: Run, registry: RegistryServer, image: str
) -> None:
    put_release(registry, "2.0.0", "2.0")
    inherited = {f"{LABEL}version": "2.0.0", "other": "image"}
    other = registry.put_image("acme/app", "latest", inherited)
    done = run("verify", "-i", image, "--json", cwd=app.path)
    assert done.returncode == 1, done
    assert statuses(done.json)["latest"] == ("2.0.0", other, "drift")


def test_a_yanked_version_counts_for_no_one(
    app: GitRepository, run: Run, registry: RegistryServer, image: str
) -> None:
    put_release(registry, "2.0.0", "2.0")
    put_release(registry, "1.9.1", "1.9", "latest")
    done = run("verify", "-i", image, "--ignore", "2.0.0", "--json", cwd=app.path)
    assert done.returncode == 0, done
    assert statuses(done.json)["latest"] == ("1.9.1", "1.9.1", "ok")


def test_every_repository_is_looked_at_and_one_that_drifts_is_enough(
    app: GitRepository, run: Run, registry: RegistryServer, second_registry: RegistryServer
) -> None:
    put_release(registry, "2.0.0", "2.0", "latest")
    put_release(second_registry, "2.0.0", "2.0", path="team/app")
    images = [f"{registry.address}/acme/app", f"{second_registry.address}/team/app"]
    done = run("verify", "-i", images[0], "-i", images[1], "--json", cwd=app.path)
    assert done.returncode == 1, done
    assert [each["repository"] for each in done.json["repositories"]] == images


def test_a_repository_of_which_nothing_is_known(
    git_repository: GitRepository, run: Run, image: str
) -> None:
    git_repository.commit()
    done = run("verify", "-i", image, cwd=git_repository.path)
    assert done.returncode == 0, done
    assert done.stdout == f"{image}\n  no release has a floating tag\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_told_in_two_lines_and_as_json(
    number: signal.Signals, app: GitRepository, home: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        image = f"127.0.0.1:{silent.getsockname()[1]}/acme/app"
        process = start_cli("verify", "-i", image, "--json", cwd=app.path, home=home)
        connection, _ = silent.accept()
        with connection:
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    error = json.loads(stdout)["error"]
    assert (error["code"], error["kind"]) == (128 + number, "interrupted")
    assert stderr.splitlines() == [f"error: {error['message']}", f"hint: {error['hint']}"]


def test_drift_is_an_error_on_the_page_of_a_run(
    app: GitRepository, run: Run, registry: RegistryServer, image: str
) -> None:
    put_release(registry, "1.9.0", "1.9", "latest")
    put_release(registry, "2.0.0", "2.0")
    verify, github = ("verify", "-i", image), {"GITHUB_ACTIONS": "true"}

    done = run(*verify, cwd=app.path, env=github)

    assert done.returncode == 1, done
    assert done.stderr == f"::error title=releasetag%3A drift::{image}: latest (drift)\n"
    registry.put_manifest(
        "acme/app", "latest", registry.manifest("acme/app", "2.0.0") or b"", IMAGE_MANIFEST
    )
    assert run(*verify, cwd=app.path, env=github).stderr == ""
    strict = run(*verify, "--strict", cwd=app.path, env=github)
    message = f"{image}: the newest release is not published"
    assert strict.stderr == f"::error title=releasetag%3A drift::{message}\n"


def test_all_components_are_verified_with_and_without_saying_so(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    names = ("one", "two")
    app.write(
        {
            "releasetag.toml": "".join(
                f'[[components]]\nname = "{name}"\ntag-prefix = "{name}/v"\n'
                f'images = ["{registry.address}/acme/{name}"]\n'
                for name in names
            )
        }
    )
    for name in names:
        app.tag(f"{name}/v1.0.0")

    done = run("verify", "--all", "--json", cwd=app.path)

    assert done.returncode == 0, done
    verified = [each["repository"] for each in done.json["repositories"]]
    assert verified == [f"{registry.address}/acme/{name}" for name in names]
    assert run("verify", "--json", cwd=app.path).json == done.json


def test_what_drifts_is_moved_up_and_verified_again(
    app: GitRepository, run_here: Run, registry: RegistryServer, image: str, tmp_path: Path
) -> None:
    for version, tags in {"1.9.0": ["1.9", "latest"], "1.9.1": [], "2.0.0": ["2.0"]}.items():
        commit = app.git("rev-parse", f"v{version}^{{commit}}").strip()
        put_release(registry, version, *tags, revision=commit)
    gate = tmp_path / "gate"
    gate.write_text(f'#!/bin/sh\necho "$RELEASETAG_VERSION" >> {gate}.log\n')
    gate.chmod(0o755)
    app.write({"releasetag.toml": f'images = ["{image}"]\ngates = ["{gate}"]\n'})
    before = registry.tags("acme/app")

    dry = run_here("verify", "--fix", cwd=app.path, env={"RELEASETAG_DRY_RUN": "true"})
    assert (dry.returncode, dry.stderr) == (1, "note: dry run: nothing is moved\n")
    assert not Path(f"{gate}.log").exists()
    done = run_here("verify", "--fix", "--json", cwd=app.path)

    assert done.returncode == 0, done
    moved = [(each["reference"], each["previous"]) for each in done.json["moved"]]
    assert moved == [(f"{image}:1.9", "1.9.0"), (f"{image}:latest", "1.9.0")]
    assert done.json["unfixed"] == []
    assert statuses(done.json)["latest"] == ("2.0.0", "2.0.0", "ok")
    assert registry.tags("acme/app") == before
    assert registry.digest("acme/app", "latest") == registry.digest("acme/app", "2.0.0")
    assert Path(f"{gate}.log").read_text() == "1.9.1\n2.0.0\n"
    wrote = writes(registry)
    again = run_here("verify", "--fix", cwd=app.path)
    assert again.returncode == 0
    assert "moved" not in again.stdout
    assert writes(registry) == wrote


def test_what_cannot_be_put_right_is_a_warning_and_exit_code_1(
    app: GitRepository, run_here: Run, registry: RegistryServer, image: str
) -> None:
    put_release(registry, "1.9.1", "1.9", "latest")
    put_release(registry, "2.0.0", "2.0")
    before = writes(registry)

    done = run_here("verify", "--fix", "-i", image, cwd=app.path)

    assert done.returncode == 1
    assert done.stderr.startswith(f"warning: latest not moved: {image}:2.0.0 does not say that")
    assert "drift        latest" in done.stdout
    assert writes(registry) == before


def test_a_registry_that_takes_nothing_is_an_error_of_its_own(
    app: GitRepository, run_here: Run, registry: RegistryServer, start_proxy: StartProxy
) -> None:
    commit = app.git("rev-parse", "v2.0.0^{commit}").strip()
    put_release(registry, "2.0.0", "2.0", revision=commit)

    def refuse(_index: int, method: str, _path: str) -> Answer | None:
        return Answer(403) if method == "PUT" else None

    image = f"{start_proxy(registry, refuse).address}/acme/app"
    done = run_here("verify", "--fix", "--json", "-i", image, cwd=app.path)

    assert done.returncode == 6, done
    assert done.json["error"]["kind"] == "auth"
    assert [each["status"] for each in done.json["moved"]] == ["failed"]


def test_a_signal_while_tags_are_moved_says_what_was(
    app: GitRepository,
    run_here: Run,
    registry: RegistryServer,
    image: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_release(registry, "2.0.0", "2.0")

    def stop(*_: object) -> None:
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr(Fixer, "run", stop)
    done = run_here("verify", "--fix", "--json", "-i", image, cwd=app.path)

    assert done.returncode == 128 + signal.SIGTERM
    assert done.json["error"]["message"] == "interrupted: nothing was moved"
    assert (done.json["repositories"], done.json["moved"]) == ([], [])
