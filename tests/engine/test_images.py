"""Images of a real engine, pushed to real registries."""

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from releasetag.credentials import Credentials
from releasetag.engine import images
from releasetag.engine.build import build
from releasetag.engine.connect import Engine, connect
from releasetag.errors import AuthError, EngineError, PushError, UsageError
from releasetag.events import LayerPushed, PushEvent, PushRetried
from releasetag.parallel import map_parallel
from releasetag.reference import Reference, parse_reference
from tests.conftest import StartProxy, StartRegistry
from tests.support.build import build_inputs
from tests.support.context import make_context
from tests.support.credentials import NO_CREDENTIALS
from tests.support.engine import Engine as RealEngine
from tests.support.engine import PrivateEngine
from tests.support.fault import Answer, Call, Decide, Fault, Hold
from tests.support.registry import RegistryServer


@pytest.fixture(scope="module")
def docker(engine: RealEngine) -> Iterator[Engine]:
    found = connect(engine.environ)
    yield found
    found.client.close()


@pytest.fixture(scope="module")
def image_id(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_image(docker, tmp_path_factory.mktemp("image"))


def push(
    docker: Engine,
    reference: Reference,
    credentials: Credentials | None,
    progress: Callable[[PushEvent], None],
) -> str:
    """Push without the waits between two tries."""
    return images.push(docker, reference, credentials, progress, sleep=lambda _: None)


def make_image(docker: Engine, folder: Path) -> str:
    dockerfile = 'FROM scratch\nCOPY busybox /\nENV A=b\nLABEL x="1 2"\nCMD ["/busybox", "true"]\n'
    inputs = build_inputs(make_context(folder, dockerfile))
    return build(
        docker, inputs, builder="classic", credentials=NO_CREDENTIALS, progress=lambda _: None
    )


def ignore(_event: PushEvent) -> None:
    pass


def named(docker: Engine, image_id: str, name: str) -> Reference:
    reference = parse_reference(name)
    images.tag(docker, image_id, reference)
    return reference


def has_containerd_store(docker: Engine) -> bool:
    drivers = docker.client.info()["DriverStatus"] or []
    return ["driver-type", "io.containerd.snapshotter.v1"] in drivers


def test_an_image_is_found_by_reference_and_by_id(docker: Engine, image_id: str) -> None:
    reference = named(docker, image_id, "releasetag.test/app:1.2.3")
    assert images.find(docker, str(reference)) == image_id
    assert images.find(docker, image_id) == image_id


@pytest.mark.parametrize("name", ["releasetag.test/none:1", "sha256:" + "0" * 64])
def test_an_image_that_is_not_there_is_none(docker: Engine, name: str) -> None:
    assert images.find(docker, name) is None


def test_tags_that_are_set_concurrently_all_stay(any_engine: RealEngine, tmp_path: Path) -> None:
    """Podman alone loses one now and then: some of so many, as long as they may meet."""
    docker = connect(any_engine.environ)
    image_id = make_image(docker, tmp_path)
    names = [parse_reference(f"127.0.0.1:5000/side-by-side:{number}") for number in range(64)]
    map_parallel(lambda name: images.tag(docker, image_id, name), names, 8)
    missing = [name for name in names if images.find(docker, str(name)) is None]
    docker.client.close()
    assert missing == []


def test_tagging_what_is_not_there_is_an_engine_error(docker: Engine) -> None:
    with pytest.raises(EngineError, match=r"cannot tag sha256:0+ as app:1"):
        images.tag(docker, "sha256:" + "0" * 64, parse_reference("app:1"))


def test_a_push_returns_the_digest_in_the_registry(
    docker: Engine, image_id: str, registry: RegistryServer
) -> None:
    reference = named(docker, image_id, f"{registry.address}/team/app:1.2.3")
    events: list[PushEvent] = []
    digest = push(docker, reference, None, events.append)
    assert digest == registry.digest("team/app", "1.2.3")
    assert push(docker, reference, None, ignore) == digest
    layers = [event for event in events if isinstance(event, LayerPushed) and event.layer]
    assert {event.reference for event in layers} == {str(reference)}
    if not has_containerd_store(docker):  # which tells sizes of large layers alone
        assert any(event.total > 0 for event in layers)


def test_credentials_open_a_registry(
    docker: Engine, image_id: str, start_registry: StartRegistry
) -> None:
    registry = start_registry(auth="htpasswd")
    reference = named(docker, image_id, f"{registry.address}/app:1")
    right = Credentials(registry.username, registry.password)
    assert push(docker, reference, right, ignore).startswith("sha256:")


@pytest.mark.parametrize("credentials", [None, Credentials("alice", "wrong-password")])
def test_without_the_right_credentials_a_push_fails_at_once(
    docker: Engine,
    image_id: str,
    start_registry: StartRegistry,
    credentials: Credentials | None,
) -> None:
    registry = start_registry(auth="htpasswd")
    reference = named(docker, image_id, f"{registry.address}/app:1")
    events: list[PushEvent] = []
    with pytest.raises(AuthError, match=f"cannot push {reference}") as caught:
        push(docker, reference, credentials, events.append)
    assert f"releasetag login {registry.address}" in caught.value.hint
    assert "wrong-password" not in str(caught.value)
    assert not any(isinstance(event, PushRetried) for event in events)


def test_a_tag_that_the_engine_does_not_have_cannot_be_pushed(
    docker: Engine, registry: RegistryServer
) -> None:
    reference = parse_reference(f"{registry.address}/none:1")
    with pytest.raises(PushError, match=f"cannot push {reference}: .*not exist"):
        push(docker, reference, None, ignore)


def manifests_meet(faults: Iterator[Fault | None]) -> Decide:
    """What happens to each PUT of a manifest. (The engine retries layers by itself, slowly.)"""

    def decide(index: int, method: str, path: str) -> Fault | None:
        return next(faults, None) if method == "PUT" and "/manifests/" in path else None

    return decide


def test_a_transient_failure_is_retried(
    docker: Engine, image_id: str, registry: RegistryServer, start_proxy: StartProxy
) -> None:
    busy = [Answer(503), Answer(429, {"Retry-After": "1"}, b"toomanyrequests"), None]
    proxy = start_proxy(registry, manifests_meet(iter(busy)))
    reference = named(docker, image_id, f"{proxy.address}/app:1")
    events: list[PushEvent] = []
    digest = push(docker, reference, None, events.append)
    assert digest == registry.digest("app", "1")
    if not has_containerd_store(docker):  # which retries by itself, silently
        retried = [event for event in events if isinstance(event, PushRetried)]
        assert [event.reference for event in retried] == [str(reference)] * 2


def test_a_transient_failure_is_an_error_after_five_tries(
    docker: Engine, image_id: str, registry: RegistryServer, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(registry, manifests_meet(itertools.repeat(Answer(503))))
    reference = named(docker, image_id, f"{proxy.address}/app:1")
    with pytest.raises(PushError, match=f"cannot push {reference}: .*503") as caught:
        push(docker, reference, None, ignore)
    assert caught.value.exit_code == 8
    assert "again" in caught.value.hint
    tries = sum("PUT /v2/app/manifests/1" in each for each in proxy.requests)
    assert tries >= 5 if has_containerd_store(docker) else tries == 5


def test_the_engines_own_retries_count(
    docker: Engine, image_id: str, registry: RegistryServer, start_proxy: StartProxy
) -> None:
    """It retries a layer after five seconds; so there are three tries left for what fails then."""
    layers = iter([Answer(500)])

    def decide(_index: int, method: str, path: str) -> Fault | None:
        if method == "POST":
            return next(layers, None)
        return Answer(503) if method == "PUT" and "/manifests/" in path else None

    proxy = start_proxy(registry, decide)
    reference = named(docker, image_id, f"{proxy.address}/app:1")
    with pytest.raises(PushError, match="503"):
        push(docker, reference, None, ignore)
    tries = sum("PUT /v2/app/manifests/1" in each for each in proxy.requests)
    assert tries >= 4 if has_containerd_store(docker) else tries == 4


def test_retries_of_the_worst_layer_are_counted() -> None:
    retries = images._EngineRetries()
    countdown = [f"Retrying in {left} second{'s' if left > 1 else ''}" for left in (5, 4, 3, 2, 1)]
    again = [f"Retrying in {left} seconds" for left in (10, 9, 8)]
    for layer, status in [
        ("a", "Preparing"),
        *(("a", status) for status in countdown),
        *(("b", status) for status in countdown),
        ("a", "Pushing"),
        *(("b", status) for status in again),
        ("b", "Pushed"),
    ]:
        retries.read(LayerPushed("app:1", layer, status, 0, 0))
    assert retries.count == 2


def test_a_permanent_refusal_is_not_retried(
    docker: Engine, image_id: str, registry: RegistryServer, start_proxy: StartProxy
) -> None:
    body = b'{"errors": [{"code": "TAG_INVALID", "message": "tag 1 is immutable"}]}'
    proxy = start_proxy(
        registry,
        manifests_meet(iter([Answer(400, {"Content-Type": "application/json"}, body)] * 9)),
    )
    reference = named(docker, image_id, f"{proxy.address}/app:1")
    with pytest.raises(PushError, match="immutable") as caught:
        push(docker, reference, None, ignore)
    assert "publish a new version" in caught.value.hint
    assert sum("PUT /v2/app/manifests/1" in each for each in proxy.requests) == 1


def test_an_exception_out_of_progress_stops_the_push(
    docker: Engine, tmp_path: Path, registry: RegistryServer, start_proxy: StartProxy
) -> None:
    released = threading.Event()

    def hold(index: int, method: str, path: str) -> Fault | None:
        return Hold(released) if method == "POST" and path.startswith("/v2/stopped/") else None

    proxy = start_proxy(registry, hold)
    image_id = make_image(docker, tmp_path)
    reference = named(docker, image_id, f"{proxy.address}/stopped:1")

    def stop(event: PushEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push(docker, reference, None, stop)
    released.set()
    # By the time that another push is through, this one would be as well.
    other = named(docker, image_id, f"{proxy.address}/other:1")
    push(docker, other, None, ignore)
    assert not any("PUT /v2/stopped/manifests/" in each for each in proxy.requests)


def test_an_engine_that_was_restarted_is_pushed_from_again(
    private_engine: PrivateEngine,
    registry: RegistryServer,
    start_proxy: StartProxy,
    tmp_path: Path,
) -> None:
    stopped = threading.Event()

    def stop() -> None:  # in a thread of the proxy
        private_engine._end()
        stopped.set()

    proxy = start_proxy(registry, manifests_meet(iter([Call(stop)])))
    docker = connect(private_engine.environ)
    reference = named(docker, make_image(docker, tmp_path), f"{proxy.address}/app:1")
    reasons: list[str] = []

    def restart(event: PushEvent) -> None:
        if isinstance(event, PushRetried):
            reasons.append(event.reason)
            assert stopped.wait(60)
            private_engine.start()

    digest = push(docker, reference, None, restart)
    assert digest == registry.digest("app", "1")
    assert len(reasons) == 1
    assert f"the connection to the Docker Engine at {docker.address} was lost" in reasons[0]


def test_an_engine_that_is_gone_is_an_engine_error(
    private_engine: PrivateEngine, tmp_path: Path
) -> None:
    docker = connect(private_engine.environ)
    reference = named(docker, make_image(docker, tmp_path), "127.0.0.1:1/app:1")
    private_engine.stop()
    calls: list[Callable[[], object]] = [
        lambda: push(docker, reference, None, ignore),
        lambda: images.find(docker, "app"),
        lambda: images.tag(docker, "sha256:00", reference),
        lambda: images.commit(docker, "container", {}),
    ]
    for call in calls:
        with pytest.raises(EngineError, match="was lost: no such file"):
            call()


def test_a_container_becomes_an_image_with_labels(docker: Engine, image_id: str) -> None:
    container = docker.client.create_container(image_id)["Id"]
    try:
        labels = {"a": 'quote " and $x\n', "x": "new"}
        committed = images.commit(docker, container, labels)
    finally:
        docker.client.remove_container(container)
    config = docker.client.inspect_image(committed)["Config"]  # type: ignore[no-untyped-call]
    assert config["Labels"] == labels
    assert config["Cmd"] == ["/busybox", "true"]
    assert "A=b" in config["Env"]


def test_a_container_that_is_not_there_is_a_usage_error(docker: Engine) -> None:
    with pytest.raises(UsageError, match="no container 'nope'"):
        images.commit(docker, "nope", {})


@pytest.mark.parametrize(
    "line",
    [
        {"aux": {"Tag": "1", "Digest": "sha256:" + "a" * 64, "Size": 528}},
        {"status": "1: digest: sha256:" + "a" * 64 + " size: 528"},
    ],
)
def test_the_digest_is_found_in_both_forms(line: dict[str, object]) -> None:
    assert images._digest(line) == "sha256:" + "a" * 64


@pytest.mark.parametrize(
    "line",
    [{}, {"status": "Pushed"}, {"aux": None}, {"aux": {"Digest": "sha256:x"}}],
)
def test_other_lines_hold_no_digest(line: dict[str, object]) -> None:
    assert images._digest(line) == ""
