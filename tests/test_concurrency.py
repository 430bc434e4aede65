"""Two runs at a time, for v1.2.4 and v1.2.5, each a process in a clone of its own, in bad orders.

Proxies in front of two registries stop the one and let the other go on. Whatever the order is,
floating tags end at 1.2.5, and meanwhile name nothing that is not in place everywhere. Many more
orders, with fakes, are in test_state_machine.py.
"""

import re
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import StartProxy
from tests.support.engine import Engine
from tests.support.examples import mostly_slow
from tests.support.fault import Call, Decide, Fault, Hold, never
from tests.support.git import GitRepository
from tests.support.image import scratch_files
from tests.support.promises import assert_promises, publish_by_hand, versions
from tests.support.registry import RegistryServer
from tests.support.run import start_cli

BEFORE = {"1.2": "1.2.3", "latest": "1.2.3"}
AFTER = {
    "1.2.3": "1.2.3", "1.2.4": "1.2.4", "1.2.5": "1.2.5", "1.2": "1.2.5", "latest": "1.2.5",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Two clones, and two registries in which v1.2.3 is published."""

    lower: GitRepository
    higher: GitRepository
    registries: list[RegistryServer]
    engine: Engine
    home: Path
    start_proxy: StartProxy

    def start(self, tree: GitRepository, *decide: Decide) -> "subprocess.Popen[str]":
        """Publish, through a proxy in front of each registry."""
        args = []
        for registry, each in zip(self.registries, decide or (never, never), strict=True):
            args += ["-i", f"{self.start_proxy(registry, each).address}/acme/app"]
        return start_cli("publish", *args, cwd=tree.path, home=self.home, env=self.engine.environ)

    def finish(self, process: "subprocess.Popen[str]") -> None:
        """Wait for its end."""
        with process:
            said = process.communicate(timeout=60)
        assert process.returncode == 0, said

    def check(self) -> None:
        """The promises hold now."""
        assert_promises(self.registries, "acme/app", BEFORE)


@pytest.fixture
def place(
    git_repository: GitRepository,
    engine: Engine,
    registry: RegistryServer,
    second_registry: RegistryServer,
    start_proxy: StartProxy,
    home: Path,
    tmp_path: Path,
) -> Place:
    git_repository.write(scratch_files())
    git_repository.tag("v1.2.3", commit=git_repository.commit())
    git_repository.bare_remote()

    def clone(name: str) -> GitRepository:
        clone = git_repository.clone(tmp_path / name)
        clone.write({"hello.txt": f"{name}\n"})
        clone.tag(name, commit=clone.commit(name))
        return clone

    lower, higher = clone("v1.2.4"), clone("v1.2.5")
    lower.git("push", "--quiet", "origin", "v1.2.4")
    registries = [registry, second_registry]
    publish_by_hand(registries, "acme/app", "1.2.3", *BEFORE)
    return Place(lower, higher, registries, engine, home, start_proxy)


def push_tag(place: Place) -> None:
    place.higher.git("push", "--quiet", "origin", "v1.2.5")


def at(pattern: str, function: Callable[[], object], skip: int = 0) -> Decide:
    """Call the function before a request that matches, after so many that do as well; once."""
    left = [skip]

    def decide(_index: int, method: str, path: str) -> Fault | None:
        if not re.fullmatch(pattern, f"{method} {path}") or left[0] < 0:
            return None
        left[0] -= 1
        return Call(function) if left[0] < 0 else None

    return decide


# Where the lower release's run stands while all of the higher one's takes place.
ORDERS = {
    "it looks for the exact tag": ("GET .*/manifests/1.2.4", 0),
    "it looks once more": ("GET .*/manifests/1.2.4", 1),
    "it pushes the exact tag": ("PUT .*/manifests/1.2.4", 0),
    "it looks at 1.2": ("HEAD .*/manifests/1.2", 0),
    "it has looked and moves 1.2": ("PUT .*/manifests/1.2", 0),
    "it sees where 1.2 is": ("HEAD .*/manifests/1.2", 1),
    "it looks at latest": ("HEAD .*/manifests/latest", 0),
    "it has looked and moves latest": ("PUT .*/manifests/latest", 0),
    "it sees where latest is": ("HEAD .*/manifests/latest", 1),
    "it has a last look": ("GET .*/tags/list.*", 1),
}


@pytest.mark.parametrize(
    "order", mostly_slow(ORDERS, "it looks once more", "it has looked and moves latest")
)
def test_a_higher_release_is_published_while(place: Place, order: str) -> None:
    """Its git tag is pushed just before its own run."""
    pattern, skip = ORDERS[order]
    done: list[str] = []

    def publish_higher() -> None:
        push_tag(place)
        place.finish(place.start(place.higher))
        done.append("higher")

    place.finish(place.start(place.lower, at(pattern, publish_higher, skip), never))
    assert done, "the order has to have happened"
    assert [versions(registry, "acme/app") for registry in place.registries] == [AFTER, AFTER]


def test_a_higher_release_whose_git_tag_was_there_first(place: Place) -> None:
    """The lower one's run knows of it, and leaves the floating tags alone from the start."""
    push_tag(place)
    place.finish(place.start(place.lower))
    assert versions(place.registries[0], "acme/app")["latest"] == "1.2.3"
    place.finish(place.start(place.higher))
    assert [versions(registry, "acme/app") for registry in place.registries] == [AFTER, AFTER]


@pytest.mark.parametrize(
    "held",
    mostly_slow(
        ["PUT .*/manifests/1.2.5", "PUT .*/manifests/1.2", "PUT .*/manifests/latest"],
        "PUT .*/manifests/1.2",
    ),
)
@pytest.mark.parametrize("order", ["it has looked and moves 1.2", "it has looked and moves latest"])
def test_the_lower_release_ends_while_the_higher_one_is_held(
    place: Place, order: str, held: str
) -> None:
    """It must not move floating tags on to a release that is not in place everywhere."""
    pattern, skip = ORDERS[order]
    reached, released = threading.Event(), threading.Event()
    started: list[subprocess.Popen[str]] = []

    def hold(_index: int, method: str, path: str) -> Fault | None:
        if not re.fullmatch(held, f"{method} {path}"):
            return None
        reached.set()
        return Hold(released)

    def start_higher() -> None:
        push_tag(place)
        started.append(place.start(place.higher, never, hold))
        assert reached.wait(60)

    lower = place.start(place.lower, at(pattern, start_higher, skip), never)
    try:
        place.finish(lower)
        place.check()
    finally:
        released.set()
    place.finish(started[0])
    assert [versions(registry, "acme/app") for registry in place.registries] == [AFTER, AFTER]


def test_both_start_together(place: Place) -> None:
    push_tag(place)
    for process in [place.start(place.lower), place.start(place.higher)]:
        place.finish(process)
    assert [versions(registry, "acme/app") for registry in place.registries] == [AFTER, AFTER]
