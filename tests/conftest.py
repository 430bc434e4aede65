"""Real parts for the tests: an engine, registries, git repositories, and the program itself."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

import pytest
from hypothesis import HealthCheck, settings

from tests.support.engine import (
    KINDS,
    Engine,
    EngineUnavailableError,
    PrivateEngine,
    find_engine,
    start_engine,
)
from tests.support.examples import QUICK
from tests.support.fault import Decide, FaultProxy, never
from tests.support.git import GitRepository
from tests.support.image import scratch_files
from tests.support.in_process import run_here, stop_time
from tests.support.misbehaving import Clock
from tests.support.registry import RegistryServer
from tests.support.run import Finished, clean_environ, run_cli

# A slow machine is no failure; and what CI finds, it finds again. `make test-slow` is thorough.
for _name, _count in (("quick", QUICK), ("thorough", 100)):
    settings.register_profile(
        _name,
        deadline=None,
        max_examples=_count,
        derandomize=bool(os.environ.get("CI")),
        # They judge the machine and what was drawn, and not the program.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
settings.load_profile("quick")


# With nohup, what the tests start would ignore SIGHUP, too.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class StartRegistry(Protocol):
    """Starts one more registry, for the length of the test."""

    def __call__(
        self,
        *,
        auth: Literal["htpasswd", "token"] | None = None,
        tls: bool = False,
        host: str = "127.0.0.1",
    ) -> RegistryServer: ...


class StartProxy(Protocol):
    """Puts a proxy that goes wrong on demand before a registry, for the length of the test."""

    def __call__(self, registry: RegistryServer, decide: Decide = never) -> FaultProxy: ...


class Run(Protocol):
    """Runs the program, see run_cli, with the engine and a home directory of the test's own."""

    def __call__(
        self,
        *args: str | Path,
        cwd: Path,
        env: dict[str, str] | None = None,
        stdin: str = "",
    ) -> Finished: ...


@pytest.fixture(autouse=True)
def _git_without_personal_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git that a test or the program runs in this process reads no one's configuration."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine that is there, or else a private one. Never no engine: that is a failure."""
    found = find_engine(os.environ)
    if found is not None:
        yield found
        return
    private = _start("docker")
    yield private
    private.stop()


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(kind, marks=[] if kind == KINDS[0] else pytest.mark.engines) for kind in KINDS
    ],
)
def any_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Every kind of engine in turn; all but the first only in `make test-engines`."""
    if request.param == KINDS[0]:
        yield request.getfixturevalue("engine")
        return
    private = _start(request.param)
    yield private
    private.stop()


@pytest.fixture(scope="session")
def docker_28() -> Iterator[Engine]:
    """Docker 28 with the containerd store, for tests that are marked `engines`."""
    private = _start("docker-28")
    yield private
    private.stop()


@pytest.fixture
def private_engine() -> Iterator[PrivateEngine]:
    """An engine of the test's own, which it may restart or stop."""
    private = _start(KINDS[0])
    yield private
    private.stop()


def _start(kind: str) -> PrivateEngine:
    try:
        return start_engine(kind, os.environ)
    except EngineUnavailableError as error:
        pytest.exit(str(error), returncode=3)


@pytest.fixture
def start_registry(tmp_path: Path) -> Iterator[StartRegistry]:
    """Starts registries, which are stopped and removed at the end of the test."""
    started: list[RegistryServer] = []

    def start(
        *,
        auth: Literal["htpasswd", "token"] | None = None,
        tls: bool = False,
        host: str = "127.0.0.1",
    ) -> RegistryServer:
        directory = tmp_path / f"registry-{len(started)}"
        registry = RegistryServer(directory, auth=auth, tls=tls, host=host)
        started.append(registry)
        registry.start()
        return registry

    yield start
    for registry in started:
        registry.close()


@pytest.fixture
def registry(start_registry: StartRegistry) -> RegistryServer:
    """An empty registry that everyone may push to."""
    return start_registry()


@pytest.fixture
def second_registry(start_registry: StartRegistry) -> RegistryServer:
    """Another empty registry that everyone may push to."""
    return start_registry()


@pytest.fixture
def start_proxy() -> Iterator[StartProxy]:
    """Starts proxies before registries."""
    with contextlib.ExitStack() as started:

        def start(registry: RegistryServer, decide: Decide = never) -> FaultProxy:
            return started.enter_context(FaultProxy(registry.address, decide))

        yield start


@pytest.fixture
def git_repository(tmp_path: Path) -> GitRepository:
    """A git repository without a commit."""
    return GitRepository(tmp_path / "repository")


@pytest.fixture(scope="session")
def _tagged(tmp_path_factory: pytest.TempPathFactory) -> GitRepository:
    """What every test with `repository` has a copy of."""
    template = GitRepository(tmp_path_factory.mktemp("tagged") / "repository")
    template.write({"file": "text"})
    template.commit("first")
    template.tag("v1.0.0")
    return template


@pytest.fixture
def repository(_tagged: GitRepository, tmp_path: Path) -> GitRepository:
    """A repository with one file and one commit, tagged v1.0.0."""
    return _tagged.copy(tmp_path / "repository")


@pytest.fixture(scope="session")
def _app(tmp_path_factory: pytest.TempPathFactory) -> GitRepository:
    """What every test with `app` has a copy of."""
    template = GitRepository(tmp_path_factory.mktemp("app") / "repository")
    template.write(scratch_files())
    template.commit()
    template.tag("v1.2.3")
    return template


@pytest.fixture
def app(_app: GitRepository, tmp_path: Path) -> GitRepository:
    """A repository with a Dockerfile that needs no platform, released as v1.2.3."""
    return _app.copy(tmp_path / "repository")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The empty home directory that `run` gives to the program."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def run(engine: Engine, home: Path) -> Run:
    """Runs the program as a process, with the engine in its environment."""

    def run(
        *args: str | Path, cwd: Path, env: dict[str, str] | None = None, stdin: str = ""
    ) -> Finished:
        return run_cli(*args, cwd=cwd, home=home, env=engine.environ | (env or {}), stdin=stdin)

    return run


@pytest.fixture
def run_in_process(engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the program in this process, with the engine; it waits for no registry."""
    stop_time(monkeypatch, Clock())

    def run(
        *args: str | Path, cwd: Path, env: dict[str, str] | None = None, stdin: str = ""
    ) -> Finished:
        environ = clean_environ(home) | engine.environ | (env or {})
        return run_here(*args, cwd=cwd, environ=environ, stdin=stdin)

    return run


_REAL = {"engine", "any_engine", "docker_28", "private_engine", "start_registry", "run", "wheels"}
"""Fixtures that start something real, or ask the package index."""


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts an engine or a registry; see `make test-fast`.

    What only root can do is left to `make test-engines`, if this is not root.
    """
    for item in items:
        fixtures = set(item.fixturenames) if isinstance(item, pytest.Function) else set[str]()
        if fixtures & _REAL:
            item.add_marker("real")
        if "private_engine" in fixtures and os.geteuid() != 0:
            item.add_marker("engines")
