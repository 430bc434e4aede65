"""Real parts outside of pytest, for scripts: used once, and gone afterwards."""

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import quote

from tests.support.engine import KINDS, Engine, find_engine, start_engine
from tests.support.git import GitRepository
from tests.support.registry import RegistryServer
from tests.support.run import clean_environ


@dataclass(frozen=True)
class Parts:
    """An engine, an empty registry and an empty git repository.

    Attributes:
        environ: what the program is to be run with: the engine, and a home directory of its own.
    """

    engine: Engine
    registry: RegistryServer
    repository: GitRepository
    environ: dict[str, str]


@contextmanager
def throwaway_parts() -> Iterator[Parts]:
    """Real parts, which are removed at the end, whether by return, Ctrl-C or SIGTERM.

    In an engine that was there before, those are the images of the registry, and what came to its
    build cache meanwhile.

    Raises:
        EngineUnavailableError: there is no engine, and none can be started.
    """
    signal.signal(signal.SIGTERM, _end)
    with ExitStack() as stack:
        engine = find_engine(os.environ)
        if engine is None:
            engine = start_engine(KINDS[0], os.environ)
            stack.callback(engine.stop)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="releasetag-")))
        stack.callback(_remove_cache, engine, _build_cache(engine))
        registry = RegistryServer(directory / "registry")
        stack.callback(registry.stop)
        registry.start()
        stack.callback(_remove_images, engine, f"{registry.address}/")
        home = directory / "home"
        home.mkdir()
        environ = clean_environ(home) | engine.environ
        yield Parts(engine, registry, GitRepository(directory / "app"), environ)


def _end(signal_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal_number)


def _remove_images(engine: Engine, prefix: str) -> None:
    for image in json.loads(engine.get("/images/json")):
        for name in image["RepoTags"] or ():
            if name.startswith(prefix):
                engine.request("DELETE", f"/images/{quote(name)}")


def _build_cache(engine: Engine) -> list[str]:
    records = json.loads(engine.get("/system/df?type=build-cache"))["BuildCache"] or ()
    # The newest first: what was made from another has to go before it.
    return [record["ID"] for record in sorted(records, key=lambda r: r["CreatedAt"], reverse=True)]


def _remove_cache(engine: Engine, before: list[str]) -> None:
    for name in _build_cache(engine):
        if name not in before:
            filters = quote(json.dumps({"id": [name]}))  # the engine takes one at a time
            engine.request("POST", f"/build/prune?all=true&filters={filters}")
