"""What the settings of a build do, on a real engine."""

import json
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support.engine import Engine, PrivateEngine
from tests.support.git import GitRepository
from tests.support.image import BUSYBOX, busybox_files, scratch_files
from tests.support.registry import RegistryServer


@pytest.fixture
def run(run_in_process: Run) -> Run:
    return run_in_process


def released(repository: GitRepository, version: str, files: dict[str, str | bytes]) -> None:
    """Commit files and tag them."""
    repository.write(files)
    repository.commit()
    repository.tag(version)


def test_layers_come_from_an_inline_cache_in_the_registry(
    git_repository: GitRepository,
    private_engine: PrivateEngine,
    run: Run,
    registry: RegistryServer,
) -> None:
    step = (
        'RUN ["/bin/busybox", "sh", "-c", "echo slow step"]\n'
        'ARG LAST\nRUN ["/bin/sh", "-c", "true"]\n'
    )
    released(git_repository, "v1.2.3", busybox_files(step))
    image = f"{registry.address}/acme/app"
    args = ("publish", "-i", image, "--network", "none", "--builder", "buildkit")
    env = private_engine.environ
    first = run(*args, "--inline-cache", cwd=git_repository.path, env=env)
    assert first.returncode == 0, first
    assert "slow step" in first.stderr
    # An engine that has never seen it.
    for tag in ("1.2.3", "1.2", "latest"):
        private_engine.request("DELETE", f"/images/{image}:{tag}?force=1")
    private_engine.request("POST", "/build/prune?all=1")
    released(git_repository, "v1.2.4", {})
    second = run(
        *args, "--cache-from", f"{image}:1.2.3", "--build-arg", "LAST=other",
        cwd=git_repository.path, env=env,
    )  # fmt: skip
    assert second.returncode == 0, second
    assert "0 slow step" not in second.stderr  # the output of the step, behind its time
    assert "CACHED" in second.stderr


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_target_arguments_hosts_and_shared_memory_reach_the_step(
    git_repository: GitRepository, run: Run, engine: Engine, builder: str
) -> None:
    sized = ("--shm-size", "8m") if builder == "classic" else ()
    script = (
        "echo host: $(grep -c registry.test /etc/hosts); echo arg: $A-$B-$C;"
        " df -k /dev/shm | tail -1"
    )
    steps = (
        f'ARG A\nARG B\nARG C=unset\nRUN ["/bin/busybox", "sh", "-c", "{script}"]\n'
        'FROM scratch AS other\nCOPY busybox /broken\nRUN ["/missing"]\n'
    )
    files = busybox_files(steps)
    files["Dockerfile"] = str(files["Dockerfile"]).replace("FROM scratch", "FROM scratch AS app", 1)
    released(git_repository, "v1.2.3", files)
    done = run(
        "publish", "-i", "local/options", "--no-push", "--builder", builder, "--target", "app",
        "--network", "none", "--no-cache", "--build-arg", "A=one", "--build-arg", "B",
        "--build-arg", "C", "--add-host", "registry.test:127.0.0.1", *sized,
        cwd=git_repository.path, env={"B": "two"},
    )  # fmt: skip
    assert done.returncode == 0, done
    assert "arg: one-two-unset" in done.stderr
    assert "host: 1" in done.stderr
    assert ("8192" in done.stderr) is bool(sized)


def test_a_buildkit_that_cannot_size_shared_memory_is_a_usage_error(
    git_repository: GitRepository, run: Run, engine: Engine
) -> None:
    released(git_repository, "v1.2.3", {**scratch_files()})
    args = ("publish", "-i", "local/app", "--no-push", "--builder", "buildkit", "--shm-size", "8m")
    done = run(*args, cwd=git_repository.path)
    old = json.loads(engine.get("/version"))["ApiVersion"].split(".") < ["1", "42"]
    assert done.returncode == (2 if old else 0), done


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        ("FROM scratch\nCOPY missing /\n", "missing"),
        ("FROM scratch\nCOPPY a b\n", "COPPY"),
        ("FROM 127.0.0.1:1/private/base\n", "127.0.0.1:1"),
    ],
    ids=["file", "instruction", "base"],
)
def test_a_failed_build_quotes_the_builder(
    git_repository: GitRepository, run: Run, dockerfile: str, words: str
) -> None:
    released(git_repository, "v1.2.3", {**scratch_files(dockerfile)})
    done = run("publish", "-i", "local/app", "--no-push", cwd=git_repository.path)
    assert done.returncode == 7, done
    error, hint = done.stderr.splitlines()[-2:]
    assert words in error
    assert hint.startswith("hint: ")
    assert "Traceback" not in done.stderr


def test_a_dockerfile_outside_and_an_ignored_one_are_not_in_the_image(
    git_repository: GitRepository, run: Run, engine: Engine
) -> None:
    list_names = "echo names: $(find /in | sort)"
    dockerfile = f'{BUSYBOX}COPY . /in/\nRUN ["/bin/sh", "-c", "{list_names}"]\n'
    files = {
        "ctx/busybox": busybox_files()["busybox"],
        "ctx/Dockerfile": dockerfile,
        "ctx/.dockerignore": "Dockerfile\nsecret\nke*\n!kept\n",
        "ctx/kept": "kept\n",
        "ctx/secret": "secret\n",
        "docker/Dockerfile.prod": dockerfile,
    }
    released(git_repository, "v1.2.3", files)
    for options in ((), ("--file", "docker/Dockerfile.prod")):
        for builder in ("buildkit", "classic"):
            done = run(
                "publish", "-i", "local/ignored", "--no-push", "--no-cache", "--network", "none",
                "--context", "ctx", "--builder", builder, *options, cwd=git_repository.path,
            )  # fmt: skip
            assert done.returncode == 0, done
            assert "names: /in /in/.dockerignore /in/busybox /in/kept" in done.stderr, done


def test_the_image_says_what_the_projects_files_say_of_it(
    git_repository: GitRepository, run: Run, registry: RegistryServer, tmp_path: Path
) -> None:
    dockerfile = "FROM scratch\nARG BUILT\nLABEL built=$BUILT\nCOPY f /\n"
    event = tmp_path / "event.json"
    event.write_text('{"repository": {"html_url": "https://github.com/acme/app"}}')
    released(
        git_repository,
        "v1.2.3",
        {
            "api/Dockerfile": dockerfile,
            "api/f": "1",
            "api/package.json": '{"description": "The API."}',
            "pyproject.toml": '[project]\ndescription = "All of it."\nlicense = "MIT"',
        },
    )
    created = git_repository.git("log", "-1", "--format=%cd", "--date=format:%Y")[:4]

    done = run(
        "publish", "-i", f"{registry.address}/acme/app", "--context", "api",
        "--build-arg", "BUILT={git_tag} at {short_sha} {created} {x}", "--build-arg", "ENVIRON",
        "--label", "acme.version={version}", "--label", "acme.braces={{}}",
        cwd=git_repository.path,
        env={"GITHUB_EVENT_PATH": str(event), "ENVIRON": "{version}"},
    )  # fmt: skip

    assert done.returncode == 0, done
    labels = registry.labels("acme/app", "1.2.3")
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}description"] == "The API."
    assert labels[f"{prefix}licenses"] == "MIT"
    assert labels[f"{prefix}url"] == "https://github.com/acme/app"
    assert f"{prefix}base.name" not in labels
    assert labels["acme.version"] == "1.2.3"
    assert labels["acme.braces"] == "{{}}"
    head = git_repository.head[:7]
    assert labels["built"].startswith(f"v1.2.3 at {head} {created}-")
    assert labels["built"].endswith("Z {x}")
