"""What the engine reports of its configuration."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from releasetag.engine import images
from releasetag.engine.connect import connect
from releasetag.engine.info import insecure_registries
from releasetag.errors import EngineError
from releasetag.image import open_tools
from releasetag.reference import parse_reference
from tests.engine.relay import listening
from tests.engine.test_images import make_image
from tests.support.engine import KINDS, Engine, PrivateEngine, start_engine
from tests.support.fake_registry import open_registries
from tests.support.registry import RegistryServer, lan_address


@pytest.fixture(scope="module")
def lan_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry over plain HTTP that is not on loopback."""
    registry = RegistryServer(tmp_path_factory.mktemp("lan") / "registry", host=lan_address())
    registry.start()
    yield registry
    registry.close()


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(kind, marks=[] if kind == KINDS[0] else pytest.mark.engines) for kind in KINDS
    ],
)
def private_engine(
    request: pytest.FixtureRequest, lan_registry: RegistryServer
) -> Iterator[PrivateEngine]:
    """Each kind of engine, with insecure registries."""
    # Docker has networks. Podman has the repositories of a host, which are not reported.
    kind = request.param
    insecure = [lan_registry.address, "other.lan/team" if kind == "podman" else "10.0.0.0/8"]
    engine = start_engine(kind, os.environ, insecure)
    yield engine
    engine.stop()


def test_the_insecure_registries_are_reported(
    private_engine: PrivateEngine, lan_registry: RegistryServer
) -> None:
    found = set(insecure_registries(connect(private_engine.environ)))
    if private_engine.kind == "podman":  # with the one entry that all tests have
        assert found == {"127.0.0.1", lan_registry.address}
    else:  # from Docker 23 or so on, with IPv6
        assert found - {"::1/128"} == {lan_registry.address, "10.0.0.0/8", "127.0.0.0/8"}


def test_a_registry_that_the_engine_calls_insecure_is_pushed_to_and_read(
    private_engine: PrivateEngine, lan_registry: RegistryServer, tmp_path: Path
) -> None:
    docker = connect(private_engine.environ)
    reference = parse_reference(f"{lan_registry.address}/team/app:1.2.3")
    images.tag(docker, make_image(docker, tmp_path), reference)
    digest = images.push(docker, reference, None, lambda _: None)
    with open_registries(insecure=insecure_registries(docker)) as registries:
        assert registries.digest(reference) == digest == lan_registry.digest("team/app", "1.2.3")


def test_an_engine_that_went_away_is_an_engine_error(engine: Engine) -> None:
    with listening(engine.host.removeprefix("unix://")) as port:
        docker = connect({"DOCKER_HOST": f"tcp://127.0.0.1:{port}"})
        docker.client.close()
    with pytest.raises(EngineError, match="was lost"):
        insecure_registries(docker)


def test_every_command_uses_the_engines_insecure_registries(
    private_engine: PrivateEngine, lan_registry: RegistryServer
) -> None:
    """A registry on the network without TLS, that no setting names."""
    digest = lan_registry.put_image("team/app", "1.2.3")
    with open_tools(private_engine.environ) as tools:
        found = tools.registries.digest(parse_reference(f"{lan_registry.address}/team/app:1.2.3"))
    assert found == digest
