"""The main job on every kind of engine (all but the first in `make test-engines`)."""

import pytest

from tests.conftest import Run
from tests.support.engine import Engine
from tests.support.git import GitRepository
from tests.support.image import busybox_files
from tests.support.registry import RegistryServer

LABEL = "org.opencontainers.image."


@pytest.fixture
def run(run_in_process: Run) -> Run:
    return run_in_process


@pytest.fixture
def app(git_repository: GitRepository) -> GitRepository:
    """A release with a step that runs something."""
    git_repository.write(busybox_files('RUN ["/bin/busybox", "touch", "/made"]\n'))
    git_repository.commit()
    git_repository.tag("v1.2.3")
    return git_repository


def test_a_release_is_one_digest_under_every_tag(
    app: GitRepository, any_engine: Engine, run: Run, registry: RegistryServer
) -> None:
    args = ("publish", "-i", f"{registry.address}/acme/app", "--network", "none", "--json")
    done = run(*args, cwd=app.path, env=any_engine.environ)
    assert done.returncode == 0, done
    digests = {tag: registry.digest("acme/app", tag) for tag in registry.tags("acme/app")}
    assert digests == dict.fromkeys(("1.2.3", "1.2", "latest"), done.json["digest"])
    labels = registry.labels("acme/app", "latest")
    assert labels[f"{LABEL}version"] == "1.2.3"
    assert labels[f"{LABEL}revision"] == app.head
    again = run(*args, cwd=app.path, env=any_engine.environ)
    assert again.json["build"]["reused"] is True, again


def test_an_image_of_the_engine_is_published_once(
    app: GitRepository, any_engine: Engine, run: Run, registry: RegistryServer
) -> None:
    env = any_engine.environ
    built = run(
        "publish", "-i", "local/engines", "--no-push", "--network", "none", "-t", "{version}",
        "--json", cwd=app.path, env=env,
    )  # fmt: skip
    assert built.returncode == 0, built
    args = ("publish", "-i", f"{registry.address}/acme/app", "--json", "--from-image")
    for reused in (False, True):
        done = run(*args, "local/engines:1.2.3", cwd=app.path, env=env)
        assert done.returncode == 0, done
        assert done.json["build"]["reused"] is reused


def test_a_secret_reaches_the_step_or_the_builder_is_refused(
    git_repository: GitRepository, any_engine: Engine, run: Run, registry: RegistryServer
) -> None:
    step = 'RUN --mount=type=secret,id=key ["/bin/busybox", "test", "-s", "/run/secrets/key"]\n'
    git_repository.write(busybox_files(step))
    git_repository.commit()
    git_repository.tag("v1.2.3")
    done = run(
        "publish", "-i", f"{registry.address}/acme/app", "--secret", "id=key,env=KEY",
        "--network", "none", "--json",
        cwd=git_repository.path, env=any_engine.environ | {"KEY": "s3cr3t"},
    )  # fmt: skip
    if any_engine.kind == "podman":
        assert done.returncode == 2, done
        assert "neither secrets nor SSH" in done.json["error"]["message"]
    else:
        assert done.returncode == 0, done
    assert "s3cr3t" not in done.stdout + done.stderr
