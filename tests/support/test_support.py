"""The tests' own parts do what the tests take them for."""

import contextlib
import http.client
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode, urlsplit

import docker
import pytest

from tests.conftest import StartRegistry
from tests.support.engine import Engine, PrivateEngine
from tests.support.git import GitRepository
from tests.support.image import busybox_files, scratch_files, write_files
from tests.support.registry import RegistryServer
from tests.support.run import clean_environ
from tests.support.token_server import TokenServer


def push(
    engine: Engine, registry: RegistryServer, context: Path, *, anonymous: bool = False
) -> str:
    """Build a context and push it as `acme/app:1` with the Docker SDK; what the push printed."""
    name = f"{registry.address}/acme/app"
    login = {"username": registry.username, "password": registry.password}
    auth = login if registry.username and not anonymous else {}
    with contextlib.closing(docker.DockerClient(base_url=engine.host)) as client:
        client.images.build(path=str(context), tag=f"{name}:1", network_mode="none", rm=True)
        printed = client.images.push(name, tag="1", auth_config=auth)
        client.images.remove(f"{name}:1", force=True)
    return str(printed)


@pytest.mark.parametrize("auth", [None, "htpasswd", "token"])
@pytest.mark.parametrize("tls", [False, True])
def test_an_engine_pushes_to_a_registry(
    engine: Engine,
    start_registry: StartRegistry,
    tmp_path: Path,
    auth: Literal["htpasswd", "token"] | None,
    tls: bool,
) -> None:
    registry = start_registry(auth=auth, tls=tls)
    context = write_files(tmp_path / "context", scratch_files())

    printed = push(engine, registry, context)

    digest = registry.digest("acme/app", "1")
    assert digest is not None
    assert digest in printed
    assert registry.tags("acme/app") == ["1"]
    assert "PUT /v2/acme/app/manifests/1" in registry.requests()


@pytest.mark.parametrize("auth", ["htpasswd", "token"])
def test_a_registry_with_authentication_takes_nothing_from_a_stranger(
    engine: Engine,
    start_registry: StartRegistry,
    tmp_path: Path,
    auth: Literal["htpasswd", "token"],
) -> None:
    registry = start_registry(auth=auth)
    context = write_files(tmp_path / "context", scratch_files())

    printed = push(engine, registry, context, anonymous=True)

    assert "error" in printed
    assert registry.tags("acme/app") == []


def test_the_token_server_records_what_it_is_asked(
    engine: Engine, start_registry: StartRegistry, tmp_path: Path
) -> None:
    registry = start_registry(auth="token")
    assert registry.token_server

    push(engine, registry, write_files(tmp_path / "context", scratch_files()))

    asked = registry.token_server.requests[-1]
    assert asked.account == registry.username
    assert asked.service == "registry.test"
    # The engine names the actions in no fixed order.
    assert [scope.rsplit(":", 1)[0] for scope in asked.scopes] == ["repository:acme/app"]
    assert set(asked.scopes[0].rsplit(":", 1)[1].split(",")) == {"pull", "push"}


def test_the_token_server_takes_a_refresh_token_and_no_other(
    start_registry: StartRegistry,
) -> None:
    server = start_registry(auth="token").token_server
    assert server

    answers = [exchange(server, token) for token in (server.refresh_token, "stolen")]

    assert answers == [200, 401]
    assert [asked.grant_type for asked in server.requests] == ["refresh_token"] * 2


def exchange(server: TokenServer, refresh_token: str) -> int:
    """Ask for a token in exchange for a refresh token; the status of the answer."""
    form = {"grant_type": "refresh_token", "service": "registry.test", "client_id": "me"}
    realm = urlsplit(server.realm)
    with contextlib.closing(http.client.HTTPConnection(realm.netloc, timeout=60)) as connection:
        connection.request("POST", realm.path, urlencode({**form, "refresh_token": refresh_token}))
        answer = connection.getresponse()
        answer.read()
        return answer.status


def test_a_registry_keeps_its_address_and_its_images_when_started_again(
    registry: RegistryServer,
) -> None:
    images = {f"linux/{name}": registry.put_image("app", name) for name in ("amd64", "arm64")}
    digest = registry.put_index("app", "1", images)
    address = registry.address

    registry.stop()
    with pytest.raises(OSError, match="refused"):
        registry.tags("app")
    registry.start()

    assert registry.address == address
    assert registry.digest("app", "1") == digest
    registry.delete("app", digest)
    assert registry.digest("app", "1") is None


def test_a_shallow_clone_has_one_commit_and_one_tag(
    git_repository: GitRepository, tmp_path: Path
) -> None:
    for version in ("v1.0.0", "v1.1.0"):
        git_repository.write({"version": version})
        git_repository.commit(version)
        git_repository.tag(version, annotated=version == "v1.1.0")
    git_repository.bare_remote()

    clone = git_repository.clone(tmp_path / "clone", depth=1, tag="v1.1.0")

    assert clone.head == git_repository.head
    assert clone.git("rev-list", "--count", "HEAD") == "1"
    assert clone.git("tag") == "v1.1.0"
    assert clone.git("cat-file", "-t", "v1.1.0") == "tag"


def test_the_program_sees_nothing_of_the_persons_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GITHUB_REF", "refs/tags/v9.9.9")
    monkeypatch.setenv("DOCKER_CONFIG", "/somewhere")

    environ = clean_environ(tmp_path)

    assert "GITHUB_REF" not in environ
    assert "DOCKER_CONFIG" not in environ
    assert environ["HOME"] == str(tmp_path)


STEPS = """\
RUN echo made > /made
LABEL made=by-the-test
"""


def test_every_engine_runs_steps_and_pushes(
    any_engine: Engine, registry: RegistryServer, tmp_path: Path
) -> None:
    context = write_files(tmp_path / "context", busybox_files(STEPS))

    push(any_engine, registry, context)

    assert registry.tags("acme/app") == ["1"]
    assert registry.labels("acme/app", "1")["made"] == "by-the-test"


def test_a_private_engine_keeps_its_images_when_restarted(
    private_engine: PrivateEngine, registry: RegistryServer, tmp_path: Path
) -> None:
    context = write_files(tmp_path / "context", scratch_files())
    with contextlib.closing(docker.DockerClient(base_url=private_engine.host)) as client:
        image, _ = client.images.build(path=str(context), tag="acme/app:1", rm=True)

        private_engine.restart()

        assert client.images.get("acme/app:1").id == image.id


def test_a_private_engine_leaves_nothing_behind(
    private_engine: PrivateEngine, tmp_path: Path
) -> None:
    context = write_files(tmp_path / "context", busybox_files())
    with contextlib.closing(docker.DockerClient(base_url=private_engine.host)) as client:
        client.images.build(path=str(context), tag="acme/app:1", network_mode="none", rm=True)
        client.containers.run("acme/app:1", ["sleep", "1000"], network_mode="none", detach=True)
    name = private_engine.directory.name
    assert name in processes()

    private_engine.stop()

    assert not private_engine.directory.exists()
    assert name not in processes()
    assert name not in Path("/proc/self/mountinfo").read_text()


def processes() -> str:
    """The command lines of all processes."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            lines.append(file.read_text())
    return "\n".join(lines)
