"""A release built by docker buildx, on the engine that has it (`make test-engines`)."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.support.buildkit import buildkit_of
from tests.support.engine import Engine, forky
from tests.support.git import GitRepository
from tests.support.image import busybox_files
from tests.support.registry import RegistryServer
from tests.support.run import clean_environ

pytestmark = pytest.mark.engines


@pytest.fixture
def docker_command(home: Path, tmp_path: Path) -> dict[str, str]:
    """Debian forky's docker command and buildx, in PATH and in the home directory."""
    root = forky(os.environ)
    plugins = home / ".docker" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-buildx").symlink_to(root / "usr/libexec/docker/cli-plugins/docker-buildx")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker").symlink_to(root / "usr/bin/docker")
    return {"PATH": f"{programs}:{os.environ['PATH']}"}


def create_builder(name: str, address: str, home: Path, docker_command: dict[str, str]) -> None:
    """Make buildx know a BuildKit that listens at an address."""
    subprocess.run(
        ["docker", "buildx", "create", "--name", name, "--driver", "remote", address],
        env=clean_environ(home) | docker_command,
        stdout=subprocess.DEVNULL,
        check=True,
    )


@pytest.fixture(params=["default", "fleet"])
def builder(
    request: pytest.FixtureRequest, docker_28: Engine, docker_command: dict[str, str], home: Path
) -> Iterator[dict[str, str]]:
    """The engine as a builder of buildx, or a builder elsewhere; the environment that knows it."""
    if request.param == "default":
        yield docker_command | docker_28.environ | {"RELEASETAG_BUILDER": "buildx:default"}
        return
    with buildkit_of(docker_28) as address:
        create_builder("fleet", address, home, docker_command)
        away = {"DOCKER_HOST": f"unix://{home}/no.sock"}
        yield docker_command | away | {"RELEASETAG_BUILDER": "buildx:fleet"}


def test_parts_by_buildx_keep_their_attestations(
    app: GitRepository,
    builder: dict[str, str],
    run: Run,
    registry: RegistryServer,
    second_registry: RegistryServer,
) -> None:
    images = [f"{each.address}/acme/app" for each in (registry, second_registry)]
    args = (
        "publish", "-i", images[0], "-i", images[1], "--json",
        "--platform", "linux/amd64,linux/arm64", "--provenance", "mode=max",
        "--annotation", "index:a.b=c", "--annotation", "manifest:d=e",
    )  # fmt: skip
    first = run(*args, "--part", "linux/arm64", cwd=app.path, env=builder)
    assert first.returncode == 0, first
    assert (first.json["status"], first.json["complete"]) == ("waiting", False)
    assert first.json["missing"] == ["linux/amd64"]
    assert registry.tags("acme/app") == ["1.2.3-linux-arm64"]

    last = run(*args, "--part", "linux/amd64", cwd=app.path, env=builder)

    assert last.returncode == 0, last
    assert (last.json["status"], last.json["missing"]) == ("published", [])
    for each in (registry, second_registry):
        assert each.digest("acme/app", "latest") == last.json["digest"]
        index = json.loads(each.manifest("acme/app", "latest") or b"")
        assert index["annotations"]["a.b"] == "c"
        assert index["annotations"]["org.opencontainers.image.version"] == "1.2.3"
        platforms = [f"{m['platform']['os']}/{m['platform']['architecture']}"
                     for m in index["manifests"]]  # fmt: skip
        assert platforms == ["linux/amd64", "unknown/unknown", "linux/arm64", "unknown/unknown"]
        for image, attestation in (index["manifests"][:2], index["manifests"][2:]):
            refers = attestation["annotations"]["vnd.docker.reference.digest"]
            assert refers == image["digest"]
            assert each.manifest("acme/app", attestation["digest"]) is not None
            manifest = json.loads(each.manifest("acme/app", image["digest"]) or b"")
            assert manifest["annotations"]["d"] == "e"
    assert run("verify", "--deep", "-i", images[0], cwd=app.path).returncode == 0


def test_buildx_builds_once_and_its_attestations_are_under_every_tag(
    app: GitRepository,
    builder: dict[str, str],
    run: Run,
    registry: RegistryServer,
    second_registry: RegistryServer,
) -> None:
    args = (
        "publish", "-i", f"{registry.address}/acme/app",
        "-i", f"{second_registry.address}/acme/app",
        "--platform", "linux/amd64,linux/arm64", "--json",
    )  # fmt: skip
    done = run(*args, cwd=app.path, env=builder)
    assert done.returncode == 0, done
    assert done.json["build"]["builder"] == builder["RELEASETAG_BUILDER"]
    for each in (registry, second_registry):
        assert set(each.tags("acme/app")) == {"1.2.3", "1.2", "latest"}
        for tag in each.tags("acme/app"):
            assert each.digest("acme/app", tag) == done.json["digest"]
        index = json.loads(each.manifest("acme/app", "latest") or b"")
        kinds = [
            m.get("annotations", {}).get("vnd.docker.reference.type") for m in index["manifests"]
        ]
        assert kinds == [None, None, "attestation-manifest", "attestation-manifest"]
        for child in index["manifests"]:
            assert each.digest("acme/app", child["digest"]) == child["digest"]
    labels = registry.labels("acme/app", "latest")
    assert labels["org.opencontainers.image.revision"] == app.head
    again = run(*args, cwd=app.path, env=builder)
    assert again.json["build"]["reused"] is True, again
    assert run("verify", *args[1:5], cwd=app.path).returncode == 0


@pytest.mark.parametrize("argument", ["FLAVOUR=a", "DOCKER_FLAVOUR=a"])
def test_what_buildx_alone_can_reaches_it(
    git_repository: GitRepository,
    docker_28: Engine,
    builder: dict[str, str],
    run: Run,
    registry: RegistryServer,
    tmp_path: Path,
    argument: str,
) -> None:
    """By `docker buildx build`, and by `bake`, which takes the second argument."""
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "given.txt").write_text("from the named context")
    docker_28.request("POST", "/build/prune?all=true")
    script = "echo limit: $(ulimit -n)"
    step = f'COPY --from=named given.txt /\nRUN ["/bin/busybox", "sh", "-c", "{script}"]\n'
    git_repository.write(busybox_files(step))
    git_repository.write({"package.json": '{"description": "An app."}'})
    git_repository.commit()
    git_repository.tag("v1.2.3")
    cache = f"{registry.address}/acme/app:buildcache"
    environ = {**builder, "RELEASETAG_CACHE": "registry"}
    if builder["RELEASETAG_BUILDER"] == "buildx:default":
        del environ["RELEASETAG_BUILDER"]  # which the settings choose all the same

    def publish(*more: str) -> Any:
        return run(
            "publish", "-i", f"{registry.address}/acme/app", "--network", "none", "--json",
            "--build-context", f"named={tmp_path}/named", "--ulimit", "nofile=77:88",
            "--provenance", "mode=max", "--sbom", "false", "--build-arg", argument,
            "--annotation", "index,manifest:acme.note=of {version}", *more,
            "--platform", "linux/amd64,linux/arm64",
            cwd=git_repository.path, env=environ,
        )  # fmt: skip

    done = publish()

    assert done.returncode == 0, done
    assert done.json["build"]["builder"].startswith("buildx")
    assert "limit: 77" in done.stderr
    assert f"{cache}-image-linux-amd64-linux-arm64".rpartition(":")[2] in registry.tags("acme/app")
    index = json.loads(registry.manifest("acme/app", "latest") or b"")
    title = "org.opencontainers.image.title"
    assert index["annotations"]["acme.note"] == "of 1.2.3"
    assert index["annotations"][title] == "app"
    assert index["annotations"]["org.opencontainers.image.description"] == "An app."
    images = [each for each in index["manifests"] if each["platform"]["os"] == "linux"]
    assert len(images) == 2
    for image in images:
        manifest = json.loads(registry.manifest("acme/app", image["digest"]) or b"")
        assert manifest["annotations"]["acme.note"] == "of 1.2.3"
    provenance = [each for each in index["manifests"] if each["platform"]["os"] == "unknown"]
    for each in provenance:
        statement = json.loads(registry.manifest("acme/app", each["digest"]) or b"")
        (layer,) = statement["layers"]
        assert "provenance" in layer["annotations"]["in-toto.io/predicate-type"]
        assert b"buildType" in (registry.blob("acme/app", layer["digest"]) or b"")
    # Another release takes its steps from there, on a builder that never saw them.
    docker_28.request("POST", "/build/prune?all=true")
    git_repository.tag("v1.2.4")
    again = publish("--git-tag", "v1.2.4")
    assert again.returncode == 0, again
    assert "limit: 77" not in again.stderr


@pytest.mark.parametrize("argument", ["FLAVOUR=a", "DOCKER_FLAVOUR=a"])
def test_a_build_that_fails_in_buildx_ends_with_the_steps_own_output(
    git_repository: GitRepository,
    docker_28: Engine,
    docker_command: dict[str, str],
    run: Run,
    registry: RegistryServer,
    argument: str,
) -> None:
    words = "no builder failed to push"  # which buildx prints about itself, elsewhere
    step = f'RUN ["/bin/busybox", "sh", "-c", "echo it is broken; exit 3", "{words}"]\n'
    git_repository.write(busybox_files(step))
    git_repository.commit()
    git_repository.tag("v1.2.3")
    done = run(
        "publish", "-i", f"{registry.address}/acme/app", "--builder", "buildx",
        "--network", "none", "--build-arg", argument,
        cwd=git_repository.path, env=docker_28.environ | docker_command,
    )  # fmt: skip
    assert done.returncode == 7, done
    assert "| it is broken" in done.stderr
    assert "the build failed: process" in done.stderr
    assert registry.tags("acme/app") == []


def test_the_engine_uses_a_registry_cache_that_buildx_exported(
    git_repository: GitRepository,
    docker_28: Engine,
    docker_command: dict[str, str],
    home: Path,
    run: Run,
    registry: RegistryServer,
) -> None:
    step = 'RUN ["/bin/busybox", "sh", "-c", "cat /proc/sys/kernel/random/uuid"]\n'
    git_repository.write(busybox_files(step))
    git_repository.commit()
    git_repository.tag("v1.2.3")
    cache = f"{registry.address}/acme/cache:main"
    subprocess.run(
        [
            *("docker", "buildx", "build", "--network", "none", "--output", "type=cacheonly"),
            *("--cache-to", f"type=registry,ref={cache},mode=max", str(git_repository.path)),
        ],
        env=clean_environ(home) | docker_command | docker_28.environ,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    docker_28.request("POST", "/build/prune?all=true")
    done = run(
        "publish", "-i", f"{registry.address}/acme/app", "--network", "none",
        "--cache-from", cache, cwd=git_repository.path, env=docker_28.environ,
    )  # fmt: skip
    assert done.returncode == 0, done
    random_step = next(line for line in done.stderr.splitlines() if "random/uuid" in line)
    number = random_step.partition(" ")[0]
    assert f"{number} CACHED" in done.stderr, done


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--builder", "buildx:nope"), 2, 'no builder "nope"'),
        (("--builder", "buildx:nope", "--build-arg", "DOCKER_A=b"), 2, 'no builder "nope"'),
        (("--builder", "buildx", "--no-push"), 2, "for the registry"),
        (("--provenance", "false", "--annotation", "index:a.b=c"), 2, "annotations not supported"),
    ],
)
def test_what_buildx_does_not_support_is_a_usage_error(
    app: GitRepository,
    docker_28: Engine,
    docker_command: dict[str, str],
    run: Run,
    registry: RegistryServer,
    options: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    done = run(
        "publish", "-i", f"{registry.address}/acme/app", *options, "--json",
        cwd=app.path, env=docker_28.environ | docker_command,
    )  # fmt: skip
    assert done.returncode == code, done
    assert words in done.json["error"]["message"]


def test_a_builder_that_is_gone_cannot_be_reached(
    app: GitRepository,
    docker_command: dict[str, str],
    home: Path,
    run: Run,
    registry: RegistryServer,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    create_builder("gone", f"tcp://127.0.0.1:{port}", home, docker_command)
    done = run(
        "publish", "-i", f"{registry.address}/acme/app", "--builder", "buildx:gone", "--json",
        cwd=app.path, env=docker_command,
    )  # fmt: skip
    assert done.returncode == 5, done
    assert "cannot be reached" in done.json["error"]["message"]


def test_the_engines_own_builder_makes_one_platform_in_the_classic_store(
    app: GitRepository,
    private_engine: Engine,
    docker_command: dict[str, str],
    run: Run,
    registry: RegistryServer,
) -> None:
    env = private_engine.environ | docker_command
    args = ("publish", "-i", f"{registry.address}/acme/app", "--builder", "buildx", "--json")
    several = run(*args, "--platform", "linux/amd64,linux/arm64", cwd=app.path, env=env)
    if b"io.containerd.snapshotter" in private_engine.get("/info"):  # a newer distribution's
        assert several.returncode == 0, several
        return
    assert several.returncode == 2, several
    assert "cannot build for several platforms" in several.json["error"]["message"]
    assert registry.tags("acme/app") == []
    done = run(*args, cwd=app.path, env=env)
    assert done.returncode == 0, done
    named = {tag: registry.digest("acme/app", tag) for tag in registry.tags("acme/app")}
    assert named == dict.fromkeys(("1.2.3", "1.2", "latest"), done.json["digest"])


def test_without_buildx_there_is_a_hint(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    done = run(
        "publish", "-i", f"{registry.address}/acme/app", "--builder", "buildx", "--json",
        cwd=app.path, env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 5, done
    assert "docker buildx" in done.json["error"]["message"]


@pytest.fixture
def recorded(docker_command: dict[str, str], tmp_path: Path) -> Path:
    """Record the arguments of docker commands; return the file."""
    seen = tmp_path / "arguments"
    programs, path = docker_command["PATH"].split(":", 1)
    wrapper = tmp_path / "wrapper" / "docker"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {seen}\nexec {programs}/docker "$@"\n')
    wrapper.chmod(0o755)
    docker_command["PATH"] = f"{wrapper.parent}:{path}"
    return seen


SECRET = 's3cr3t-"${TOKEN}%{if}$${'


@pytest.mark.parametrize(
    ("builder", "name", "command"),
    [
        ("default", "TOKEN", "build"),
        # What the docker command or its helpers read themselves, with another value for them:
        ("fleet", "DOCKER_PASSWORD", "bake"),
        ("default", "DOCKER_HOST", "bake"),
        ("fleet", "HTTPS_PROXY", "bake"),
        ("default", "PATH", "bake"),
        ("fleet", "AWS_PROFILE", "bake"),
    ],
    indirect=["builder"],
)
def test_no_value_of_a_build_argument_is_in_the_process_list(
    app: GitRepository,
    recorded: Path,
    builder: dict[str, str],
    run: Run,
    registry: RegistryServer,
    name: str,
    command: str,
) -> None:
    label = "LABEL token=$" + name
    app.write({"Dockerfile": f"FROM scratch\nARG {name}\n{label}\nCOPY hello.txt /\n"})
    app.commit()
    app.tag("v1.2.4")
    done = run(
        "publish", "-i", f"{registry.address}/acme/app", "--network", "host", "--json",
        "--add-host", "a.test:127.0.0.1", "--label", "user=${x}", "--platform", "linux/amd64",
        cwd=app.path,
        env=builder | {"AWS_PROFILE": "ours", "RELEASETAG_BUILD_ARGS": f"{name}={SECRET}"},
    )  # fmt: skip
    assert done.returncode == 0, done
    labels = registry.labels("acme/app", "1.2.4")
    assert labels["token"] == SECRET
    assert labels["user"] == "${x}"
    assert labels["org.opencontainers.image.revision"] == app.head
    arguments = recorded.read_text()
    assert f"buildx {command} " in arguments
    assert "s3cr3t" not in arguments


def test_a_buildx_that_is_too_old_for_a_bake_file_gets_a_hint(
    app: GitRepository, docker_28: Engine, run: Run, registry: RegistryServer, tmp_path: Path
) -> None:
    """Buildx before 0.25 answers --add-host like this; none is installed here."""
    old = tmp_path / "old" / "docker"
    old.parent.mkdir()
    words = """:1,87-100: Unsupported argument; An argument named "extra-hosts" is not expected"""
    old.write_text(
        f"#!/bin/sh\n[ \"$2\" = version ] || {{ echo 'ERROR: {words} here.' >&2; exit 1; }}\n"
    )
    old.chmod(0o755)
    done = run(
        "publish", "-i", f"{registry.address}/acme/app", "--builder", "buildx", "--json",
        "--build-arg", "DOCKER_PASSWORD=s3cr3t", "--add-host", "a.test:127.0.0.1",
        cwd=app.path, env=docker_28.environ | {"PATH": f"{old.parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 2, done
    assert "update buildx" in done.json["error"]["hint"]
    assert "s3cr3t" not in done.stdout + done.stderr


def test_bake_reads_the_file_that_a_plan_writes(
    docker_command: dict[str, str], git_repository: GitRepository, home: Path, run: Run
) -> None:
    """As docker/bake-action does: with a file of the repository's that inherits from it."""
    inherits = 'target "app" {\n  inherits = ["docker-metadata-action"]\n}\n'
    git_repository.write({"Dockerfile": "FROM scratch\n", "docker-bake.hcl": inherits})
    git_repository.commit()
    git_repository.tag("v1.2.3")
    output = home / "output"
    step = {"GITHUB_OUTPUT": str(output), "RUNNER_TEMP": str(home), "TOKEN": "secret of the plan"}
    settings = {
        "RELEASETAG_BUILD_ARGS": "VERSION={version}\nTOKEN\nX=${y}",
        "RELEASETAG_LABELS": "price=${cost} %{x}",
    }

    planned = run("plan", "-i", "acme/app", cwd=git_repository.path, env={**step, **settings})
    assert planned.returncode == 0, planned
    (file,) = home.glob("releasetag-bake-*.json")
    done = subprocess.run(
        ["docker", "buildx", "bake", "--file=docker-bake.hcl", f"--file={file}", "--print", "app"],
        cwd=git_repository.path,
        env=clean_environ(home) | docker_command | {"TOKEN": "secret of the build"},
        capture_output=True,
        text=True,
        check=True,
    )

    target = json.loads(done.stdout)["target"]["app"]
    assert target["tags"] == ["acme/app:1.2.3", "acme/app:1.2", "acme/app:latest"]
    assert target["labels"]["org.opencontainers.image.revision"] == git_repository.head
    # It prints what a bake file would hold, so templates are escaped again.
    assert target["labels"]["price"] == "$${cost} %%{x}"
    assert "manifest:price=$${cost} %%{x}" in target["annotations"]
    assert target["args"].pop("SOURCE_DATE_EPOCH").isdigit()
    assert target["args"] == {"VERSION": "1.2.3", "TOKEN": "secret of the build", "X": "$${y}"}
    assert "secret of the plan" not in file.read_text() + output.read_text()
