"""A publish in this process, put together as the command line does it."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from releasetag.config import load
from releasetag.credentials import Credentials
from releasetag.engine.connect import connect
from releasetag.git import open_work_tree
from releasetag.image import Tools
from releasetag.plan import plan_release
from releasetag.publish import publish_release
from releasetag.registry import Registries
from releasetag.report.record import Record
from tests.support.credentials import StoreThatFinds


def publish_here(
    tree: Path,
    images: list[str],
    environ: Mapping[str, str],
    *,
    record: Record | None = None,
    sleep: Callable[[float], object] = time.sleep,
    credentials: Credentials | None = None,
    **options: Any,
) -> Record:
    """Publish the release at HEAD; what became of it.

    Args:
        environ: the whole environment, with DOCKER_HOST.
        record: told what happens; to be kept when the publish fails.
        sleep: of the registries' client.
        credentials: for every registry.
        options: settings by name.

    Raises:
        ReleasetagError: as publish_release.
    """
    record = record or Record()
    work_tree = open_work_tree(tree, environ)
    configuration = load({"images": images, **options}, environ, tree, work_tree.root)
    plan = plan_release(work_tree, configuration, environ, record.warn)
    store = StoreThatFinds(lambda _: credentials)
    with Registries(store.find, environ, sleep=sleep) as registries:
        tools = Tools(
            connect=lambda: connect(environ),
            registries=registries,
            credentials=store,
            environ=environ,
            clock=time.monotonic,
        )
        publish_release(work_tree, plan, tools, record)
    return record
