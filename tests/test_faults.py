"""A publish whose registry, or whose engine, goes wrong: what passes is ridden out, the rest named.

The faults are played by a proxy between a real registry and both its clients, engine and program.
Every fault meets every kind of request; nobody really waits between two tries.
"""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from releasetag.credentials import Credentials
from releasetag.engine import images
from releasetag.errors import ReleasetagError
from releasetag.report.record import Record
from tests.conftest import StartProxy, StartRegistry
from tests.support.engine import Engine, PrivateEngine
from tests.support.fault import (
    Answer,
    Call,
    CutAnswer,
    CutRequest,
    Disconnect,
    Fault,
    FaultProxy,
    Reset,
    never,
)
from tests.support.git import GitRepository
from tests.support.image import scratch_files
from tests.support.promises import assert_promises, digests, publish_by_hand
from tests.support.publish import publish_here
from tests.support.registry import RegistryServer
from tests.support.run import clean_environ

BEFORE = {"1.2": "1.2.2", "latest": "1.2.2"}

# By kind, one request of it; the engine's apart, for layers it tries again by itself, in seconds.
PROGRAM = {
    "tags": r"GET \S+/tags/list",
    "look at an exact tag": r"GET \S+/manifests/1\.2\.3",
    "digest of an exact tag": r"HEAD \S+/manifests/1\.2\.3",
    "digest of a floating tag": r"HEAD \S+/manifests/latest",
    "manifest by digest": r"GET \S+/manifests/sha256",
    "configuration": r"GET \S+/blobs/sha256",
    "move of a floating tag": r"PUT \S+/manifests/latest",
}
PUSH = {"push of an exact tag": r"PUT \S+/manifests/1\.2\.3"}
MOVE = {"move of a floating tag": PROGRAM["move of a floating tag"]}
LAYERS = {
    "look for a layer": r"HEAD \S+/blobs/sha256",
    "start of an upload": r"POST \S+/blobs/uploads/",
    "upload": r"PATCH \S+/blobs/uploads/",
    "end of an upload": r"PUT \S+/blobs/uploads/",
}


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's pushes are tried again at once; the registries' client gets its own sleep."""
    monkeypatch.setattr(images, "push", partial(images.push, sleep=lambda _: None))


@dataclass
class Place:
    """A release to be published, over an older one that is published already."""

    app: GitRepository
    engine: Engine
    registry: RegistryServer
    home: Path
    waits: list[float] = field(default_factory=list)

    def prepare(self, name: str) -> None:
        """The older release, in a repository of that name."""
        publish_by_hand([self.registry], f"acme/{name}", "1.2.2", *BEFORE)

    def publish(self, proxy: FaultProxy, name: str, **more: Any) -> Record:
        """Publish v1.2.3 through a proxy."""
        environ = clean_environ(self.home) | self.engine.environ
        more = {"sleep": self.waits.append, **more}
        return publish_here(self.app.path, [f"{proxy.address}/acme/{name}"], environ, **more)

    def assert_finished(self, name: str) -> None:
        """All tags are there and name the release."""
        found = digests(self.registry, f"acme/{name}")
        assert set(found) == {"1.2.2", "1.2.3", *BEFORE}
        assert {found["1.2.3"]} == {found[tag] for tag in BEFORE} != {found["1.2.2"]}


@pytest.fixture
def place(
    git_repository: GitRepository, engine: Engine, registry: RegistryServer, tmp_path: Path
) -> Place:
    git_repository.write(scratch_files())
    git_repository.tag("v1.2.2", commit=git_repository.commit())
    git_repository.tag("v1.2.3", commit=git_repository.commit())
    return Place(git_repository, engine, registry, tmp_path)


@dataclass
class Once:
    """Has the first request of every kind meet a fault.

    Attributes:
        kinds: by name, the pattern of the requests.
        met: how many requests of a kind there were, the one with the fault among them.
    """

    kinds: dict[str, str]
    fault: Fault
    lasts: bool = False
    met: dict[str, int] = field(default_factory=dict)

    def __call__(self, _index: int, method: str, path: str) -> Fault | None:
        for kind, pattern in self.kinds.items():
            if re.match(pattern, f"{method} {path}"):
                self.met[kind] = self.met.get(kind, 0) + 1
                return self.fault if self.lasts or self.met[kind] == 1 else None
        return None


def error(status: int, code: str, message: str, **headers: str) -> Answer:
    """An answer in the form of OCI Distribution 1.1, "Error codes"."""
    body = f'{{"errors": [{{"code": "{code}", "message": "{message}"}}]}}'.encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"Content-Type": "application/json", **names}, body)


# What passes --------------------------------------------------------------------------------------

PASSING: dict[str, Fault] = {
    "closed": Disconnect(),
    "reset": Reset(),
    "reset, and the answer lost": Reset(forward=True),
    "429": error(429, "TOOMANYREQUESTS", "slow down"),
    "429 with Retry-After": error(429, "TOOMANYREQUESTS", "slow down", Retry_After="7"),
    "500": Answer(500),
    "502": Answer(502, {"Content-Type": "text/html"}, b"<h1>Bad Gateway</h1>"),
    "503": Answer(503),
    "504": error(504, "UNAVAILABLE", "try again"),
}


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_fault_at_every_kind_of_request_is_ridden_out(
    place: Place, start_proxy: StartProxy, fault: str
) -> None:
    kinds = PROGRAM | PUSH
    once = Once(kinds, PASSING[fault])
    place.prepare("app")
    place.publish(start_proxy(place.registry, once), "app")
    assert set(once.met) == set(kinds)
    assert len(place.waits) == len(PROGRAM)
    assert (max(place.waits) == 7) == (fault == "429 with Retry-After")
    place.assert_finished("app")


def test_an_answer_that_breaks_off_in_its_middle_is_asked_for_again(
    place: Place, start_proxy: StartProxy
) -> None:
    with_body = {kind: text for kind, text in PROGRAM.items() if text.startswith("GET")}
    del with_body["look at an exact tag"]  # whose answer has no body yet
    once = Once(with_body, CutAnswer(10))
    place.prepare("app")
    place.publish(start_proxy(place.registry, once), "app")
    assert set(once.met) == set(with_body)
    place.assert_finished("app")


def test_a_manifest_that_breaks_off_on_its_way_is_pushed_again(
    place: Place, start_proxy: StartProxy
) -> None:
    puts = {"push": PUSH["push of an exact tag"], "move": PROGRAM["move of a floating tag"]}
    once = Once(puts, CutRequest(10))
    place.prepare("app")
    place.publish(start_proxy(place.registry, once), "app")
    assert set(once.met) == set(puts)
    place.assert_finished("app")


def test_every_single_request_but_the_layers_may_fail_once(
    place: Place, start_proxy: StartProxy
) -> None:
    failed: set[str] = set()

    def decide(_index: int, method: str, path: str) -> Fault | None:
        request = f"{method} {path}"
        if any(re.match(pattern, request) for pattern in LAYERS.values()):
            return None
        # A request that was let through fails when it is sent for the next time.
        if request in failed:
            failed.remove(request)
            return None
        failed.add(request)
        return Reset()

    proxy = start_proxy(place.registry, decide)
    place.prepare("app")
    place.publish(proxy, "app")
    assert len(proxy.requests) > 40
    place.assert_finished("app")


def test_what_happens_to_a_layer_is_ridden_out(place: Place, start_proxy: StartProxy) -> None:
    """The engine tries again by itself, after five seconds: all at the same time."""
    faults: dict[str, Fault] = {
        "look for a layer": Answer(500),
        "start of an upload": Answer(503),
        "upload": CutRequest(20),
        "end of an upload": Reset(),
    }

    def publish(number: int, kind: str) -> None:
        once = Once({kind: LAYERS[kind]}, faults[kind])
        place.prepare(f"app{number}")
        place.publish(start_proxy(place.registry, once), f"app{number}")
        assert once.met[kind] > 1
        place.assert_finished(f"app{number}")

    with ThreadPoolExecutor(len(faults)) as executor:
        assert len(list(executor.map(publish, range(len(faults)), faults))) == len(faults)


def test_a_registry_that_is_away_for_a_moment_is_waited_for(
    place: Place, start_proxy: StartProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections are refused in three moments: at the first request, a push, and a move."""
    moments = ["GET /v2/", *PUSH.values(), PROGRAM["move of a floating tag"]]
    proxy = start_proxy(place.registry)
    gone, back, served = threading.Event(), threading.Event(), threading.Event()
    waits: list[float] = []

    def leave() -> None:
        with proxy.refusing():
            gone.set()
            back.wait(60)
        served.set()

    def decide(_index: int, method: str, path: str) -> Fault | None:
        if moments and re.match(moments[0], f"{method} {path}"):
            moments.pop(0)
            for event in (gone, back, served):
                event.clear()
            threading.Thread(target=leave).start()
            return Disconnect()
        return None

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        assert gone.wait(60)
        if len(waits) % 2 == 0:  # the try before this one was refused
            back.set()
            assert served.wait(60)

    monkeypatch.setattr(images, "push", partial(images.push, sleep=sleep))
    proxy.decide = decide
    place.prepare("app")
    place.publish(proxy, "app", sleep=sleep)
    assert moments == []
    assert len(waits) == 6
    place.assert_finished("app")


def test_a_token_that_ends_at_any_request_is_replaced(
    place: Place, start_registry: StartRegistry, start_proxy: StartProxy
) -> None:
    """The engine sees to its own tokens; it goes to the registry without the proxy's fault."""
    place.registry = start_registry(auth="token")
    server = place.registry.token_server
    assert server is not None
    challenge = f'Bearer realm="{server.realm}",service="registry.test",error="invalid_token"'
    expired = error(401, "UNAUTHORIZED", "token expired", WWW_Authenticate=challenge)
    once = Once(PROGRAM, expired)
    place.prepare("app")
    who = Credentials(place.registry.username, place.registry.password)
    place.publish(start_proxy(place.registry, once), "app", credentials=who)
    assert set(once.met) == set(PROGRAM)
    assert place.waits == []
    place.assert_finished("app")


def test_an_engine_may_be_restarted_between_any_two_steps(
    place: Place, start_proxy: StartProxy, private_engine: PrivateEngine
) -> None:
    """Before the build, between build and push, and before the tags in the engine follow."""
    place.engine = private_engine
    moments = [
        PROGRAM["tags"],
        PROGRAM["digest of an exact tag"],
        PROGRAM["move of a floating tag"],
    ]
    look = re.compile(PROGRAM["look at an exact tag"])
    looks: list[str] = []

    def decide(_index: int, method: str, path: str) -> Fault | None:
        request = f"{method} {path}"
        if look.match(request):
            looks.append(request)
        is_second_look = len(looks) == 2 and look.match(request)  # the build has just ended
        if is_second_look or (moments and re.match(moments[0], request)):
            if not is_second_look:
                moments.pop(0)
            return Call(private_engine.restart)
        return None

    place.prepare("app")
    place.publish(start_proxy(place.registry, decide), "app")
    assert moments == []
    place.assert_finished("app")


def test_what_a_gate_puts_beside_the_image_does_not_matter(
    place: Place, start_proxy: StartProxy
) -> None:
    """Attestations alone in an index, as signing tools put them there: it has no image."""

    def attest() -> None:
        there = place.registry.digest("acme/app", "1.2.3")
        assert there is not None
        place.registry.put_index("acme/app", "sha256-beside", {"unknown/unknown": there})

    once = Once(MOVE, Call(attest))
    place.prepare("app")
    place.publish(start_proxy(place.registry, once), "app")
    assert place.registry.digest("acme/app", "sha256-beside")
    assert place.registry.digest("acme/app", "latest") == place.registry.digest("acme/app", "1.2.3")


# What lasts ---------------------------------------------------------------------------------------

MANIFESTS = PUSH | MOVE
UPLOADS = {"start of an upload": LAYERS["start of an upload"]}
# Of a repository that may not be read it is not known whether it is there: see below.
READS = {kind: PROGRAM[kind] for kind in ("manifest by digest", "configuration")}


@dataclass(frozen=True)
class Lasting:
    """A refusal in a registry's own words, at the requests at which it is given."""

    answer: Answer
    words: str
    exit_code: int
    kinds: dict[str, str]


# Layers are the engine's: what else they may meet than 401 and 403, it tries again by itself for
# 50 s. It also keeps the words of a status 500 to itself: there, a full disk is no news to us.
LASTING = {
    "401": Lasting(
        error(401, "UNAUTHORIZED", "unauthorized to access repository: acme/app, action: push"),
        "unauthorized to access repository", 6, READS | UPLOADS | MANIFESTS,
    ),
    "403": Lasting(
        error(403, "DENIED", "permission_denied: write_package"),
        "permission_denied: write_package", 6, READS | UPLOADS | MANIFESTS,
    ),
    # To a question it is an answer: there is nothing.
    "404": Lasting(
        error(404, "NAME_UNKNOWN", "The repository with name 'acme/app' does not exist"),
        "The repository with name 'acme/app' does not exist", 8, MANIFESTS,
    ),
    "413": Lasting(
        error(413, "SIZE_INVALID", "request entity too large"),
        "request entity too large", 8, MANIFESTS,
    ),
    "immutable, as ECR says it": Lasting(
        error(
            400, "TAG_INVALID",
            "The image tag already exists and cannot be overwritten because the repository is"
            " immutable.",
        ),
        "because the repository is immutable", 8, MANIFESTS,
    ),
    "immutable, as Harbor says it": Lasting(
        error(
            412, "PRECONDITION",
            "Failed to process request due to 'app:1.2.3' configured as immutable.",
        ),
        "configured as immutable", 8, MANIFESTS,
    ),
    "immutable, as Docker Hub says it": Lasting(
        error(403, "DENIED", "tag immutability is enabled for this repository"),
        "tag immutability is enabled", 8, MANIFESTS,
    ),
    "disk full": Lasting(
        error(500, "UNKNOWN", "write /var/lib/registry/x: no space left on device"),
        "no space left on device", 8, MOVE,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=pytest.mark.slow if number else ())
        for name, case in LASTING.items()
        for number, kind in enumerate(case.kinds)
    ],
)
def test_a_lasting_refusal_stops_at_once_and_the_next_run_goes_on(
    place: Place, start_proxy: StartProxy, name: str, kind: str
) -> None:
    case = LASTING[name]
    once = Once({kind: case.kinds[kind]}, case.answer, lasts=True)
    proxy = start_proxy(place.registry, once)
    place.prepare("app")
    record = Record()
    with pytest.raises(ReleasetagError) as caught:
        place.publish(proxy, "app", record=record)
    assert caught.value.exit_code == case.exit_code
    assert f"{proxy.address}/acme/app" in caught.value.message
    assert case.words in caught.value.message
    if kind not in READS:  # which may be asked for several tags, and by a registry that lags
        assert once.met[kind] == 1, "it must not be tried again"
        assert place.waits == []
    assert_promises([place.registry], "acme/app", BEFORE)
    failed = [item for item in record.items if item.status == "failed"]
    assert all(case.words in item.error for item in failed)
    # Which reference failed is reported as soon as one of them is at work; looks come before that.
    assert len(failed) == (kind not in READS)
    proxy.decide = never
    served = place.registry.digest("acme/app", "1.2.3")
    place.publish(proxy, "app")
    place.assert_finished("app")
    assert served in {None, place.registry.digest("acme/app", "1.2.3")}


@pytest.mark.parametrize("kind", ["tags", "look at an exact tag"])
@pytest.mark.parametrize("status", [401, 403])
def test_what_may_not_be_read_may_be_what_is_not_there_and_the_push_decides(
    place: Place, start_proxy: StartProxy, status: int, kind: str
) -> None:
    """As Docker Hub and others answer for a repository before the first push."""
    denied = error(status, "DENIED", "requested access to the resource is denied")
    place.prepare("app")
    place.publish(start_proxy(place.registry, Once({kind: PROGRAM[kind]}, denied)), "app")
    place.assert_finished("app")
