"""Which endpoints are tried, in which order, and with which TLS material."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from releasetag.engine.endpoint import Endpoint, Tls, endpoints
from releasetag.errors import EngineError

NESTED = '{"currentContext":' * 100_000


def store_context(folder: Path, name: str, docker: dict[str, object], *files: str) -> Path:
    """What ``docker context create`` writes, and where its TLS material is."""
    identity = hashlib.sha256(os.fsencode(name)).hexdigest()
    meta = folder / "contexts/meta" / identity
    meta.mkdir(parents=True)
    shown = name.encode("utf-8", "replace").decode()
    content = {"Name": shown, "Metadata": {}, "Endpoints": {"docker": docker}}
    (meta / "meta.json").write_text(json.dumps(content))
    material = folder / "contexts/tls" / identity / "docker"
    if files:
        material.mkdir(parents=True)
    for file in files:
        (material / file).touch()
    return material


def test_without_anything_the_default_sockets_are_tried_in_order() -> None:
    found = endpoints({"HOME": "/home/a", "XDG_RUNTIME_DIR": "/run/user/7"})
    assert [each.address for each in found] == [
        "unix:///var/run/docker.sock",
        "unix:///run/user/7/docker.sock",
        "unix:///home/a/.docker/run/docker.sock",
        "unix:///run/user/7/podman/podman.sock",
        "unix:///run/podman/podman.sock",
    ]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("unix:///run/x.sock", "unix:///run/x.sock"),
        (" unix:///run/x.sock ", "unix:///run/x.sock"),
        ("tcp://10.0.0.7:2375", "tcp://10.0.0.7:2375"),
        ("tcp://10.0.0.7", "tcp://10.0.0.7:2375"),
        ("http://engine.test:80", "tcp://engine.test:80"),
        ("tcp://[::1]:99", "tcp://[::1]:99"),
        ("ssh://me@engine.test:22", "ssh://me@engine.test:22"),
    ],
)
def test_docker_host_names_the_one_endpoint(host: str, address: str, tmp_path: Path) -> None:
    environ = {"DOCKER_HOST": host, "DOCKER_CONTEXT": "ignored", "HOME": str(tmp_path)}
    assert endpoints(environ) == (Endpoint(address, "DOCKER_HOST"),)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "unix://",
        "tcp://",
        "tcp://h:port",
        "ftp://h:1",
        "ssh://",
        "ssh://-oProxyCommand=id",
        "ssh://u:hunter2@h",
        "npipe:////./pipe/docker_engine",
        "unix:///run/docker\0.sock",
        "tcp://h\0:1",
    ],
)
def test_an_address_that_is_invalid_is_refused_and_not_repeated(host: str) -> None:
    with pytest.raises(EngineError, match="DOCKER_HOST does not hold an address") as caught:
        endpoints({"DOCKER_HOST": host})
    assert "hunter2" not in str(caught.value)


def test_an_https_address_means_tls() -> None:
    tls = Tls(None, None, None, verify=True)
    found = endpoints({"DOCKER_HOST": "https://engine.test"})
    assert found == (Endpoint("tcp://engine.test:2376", "DOCKER_HOST", tls),)


def test_docker_tls_verify_takes_the_material_from_the_docker_folder(tmp_path: Path) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).touch()
    environ = {"DOCKER_HOST": "tcp://h", "DOCKER_TLS_VERIFY": "1", "DOCKER_CONFIG": str(tmp_path)}
    tls = Tls(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem", verify=True)
    assert endpoints(environ) == (Endpoint("tcp://h:2376", "DOCKER_HOST", tls),)


def test_a_certificate_path_alone_means_tls_that_is_not_verified(tmp_path: Path) -> None:
    environ = {"DOCKER_HOST": "tcp://h:1", "DOCKER_CERT_PATH": str(tmp_path), "DOCKER_CONFIG": "/x"}
    (endpoint,) = endpoints({**environ, "DOCKER_TLS_VERIFY": ""})
    assert endpoint.tls == Tls(None, None, None, verify=False)


def test_docker_context_comes_before_the_current_context(tmp_path: Path) -> None:
    store_context(tmp_path, "a", {"Host": "unix:///a.sock"})
    store_context(tmp_path, "b", {"Host": "unix:///b.sock"})
    (tmp_path / "config.json").write_text('{"currentContext": "a"}')
    config = {"DOCKER_CONFIG": str(tmp_path)}
    assert endpoints(config) == (Endpoint("unix:///a.sock", "the docker context 'a'"),)
    assert endpoints({**config, "DOCKER_CONTEXT": "b"})[0].address == "unix:///b.sock"


def test_the_context_named_default_means_the_default_sockets(tmp_path: Path) -> None:
    store_context(tmp_path, "a", {"Host": "unix:///a.sock"})
    (tmp_path / "config.json").write_text('{"currentContext": "a"}')
    environ = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "default"}
    assert endpoints(environ)[0].address == "unix:///var/run/docker.sock"


def test_a_context_brings_its_tls_material(tmp_path: Path) -> None:
    docker: dict[str, object] = {"Host": "tcp://h:2376", "SkipTLSVerify": False}
    material = store_context(tmp_path, "a", docker, "ca.pem", "cert.pem", "key.pem")
    tls = Tls(material / "ca.pem", material / "cert.pem", material / "key.pem", verify=True)
    assert endpoints({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "a"})[0].tls == tls


def test_a_context_without_client_certificate_keeps_its_authority(tmp_path: Path) -> None:
    material = store_context(tmp_path, "a", {"Host": "tcp://h:2376"}, "ca.pem")
    found = endpoints({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "a"})[0].tls
    assert found == Tls(material / "ca.pem", None, None, verify=True)


def test_a_context_may_have_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    config = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": os.fsdecode(b"caf\xe9")}
    with pytest.raises(EngineError, match="no docker context"):
        endpoints(config)
    store_context(tmp_path, config["DOCKER_CONTEXT"], {"Host": "unix:///a.sock"})
    assert endpoints(config)[0].address == "unix:///a.sock"


def test_an_unknown_context_names_the_known_ones(tmp_path: Path) -> None:
    store_context(tmp_path, "b", {"Host": "unix:///b.sock"})
    store_context(tmp_path, "a", {"Host": "unix:///a.sock"})
    with pytest.raises(EngineError, match="no docker context 'c'") as caught:
        endpoints({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "c"})
    assert "default, a, b" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"Endpoints": {"docker": {}}}', "\ufeff", NESTED, r'{"Name": "\ud800"}'],
    ids=range(7),
)
def test_an_invalid_context_is_an_error(content: str, tmp_path: Path) -> None:
    store_context(tmp_path, "a", {})
    next(tmp_path.glob("contexts/meta/*/meta.json")).write_text(content)
    with pytest.raises(EngineError, match="context 'a' cannot be read"):
        endpoints({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "a"})


@pytest.mark.parametrize(
    "config",
    ["", "[]", '{"currentContext": 1}', '{"currentContext": ""}', NESTED],
    ids=range(5),
)
def test_a_config_file_that_names_no_context_means_the_default_sockets(
    config: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(config)
    found = endpoints({"DOCKER_CONFIG": str(tmp_path)})
    assert found[0].address == "unix:///var/run/docker.sock"
