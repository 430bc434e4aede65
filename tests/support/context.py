"""Dockerfiles and contexts for builds by a real engine, which can pull nothing."""

import shutil
import stat
from pathlib import Path

from releasetag.context.tree import BuildContext, open_context, walk

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


def make_tree(root: Path, *names: str, ignore: str | bytes | None = None) -> Path:
    """A context with a Dockerfile and the named files, each holding its own name."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    if ignore is not None:
        content = ignore if isinstance(ignore, bytes) else ignore.encode()
        (root / ".dockerignore").write_bytes(content)
    return root


def files_in(root: Path) -> set[str]:
    """The regular files of a context, without those that every test has."""
    found = {
        name for name, status in walk(open_context(root, None)) if stat.S_ISREG(status.st_mode)
    }
    return {name for name in found if not name.lower().startswith((".docker", "dockerfile"))}
