"""Dockerfiles and contexts for builds by a real engine, which can pull nothing."""

import shutil
from pathlib import Path

from releasetag.engine.context import BuildContext, open_context

SHELL = """FROM scratch AS shell
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "/bin"]
"""
"""The start of a Dockerfile whose RUN instructions have a shell."""


def make_context(
    folder: Path, dockerfile: str, files: dict[str, bytes] | None = None
) -> BuildContext:
    """A context of a Dockerfile, some files and a static busybox."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    for name, content in (files or {}).items():
        (folder / name).write_bytes(content)
    busybox = shutil.which("busybox")
    assert busybox, "the tests need busybox-static"
    shutil.copy(busybox, folder / "busybox")
    return open_context(folder, None)
