"""Build contexts that need no image from anywhere."""

import shutil
from collections.abc import Mapping
from pathlib import Path

SCRATCH = """\
FROM scratch
COPY hello.txt /
"""

# For steps that run something. A test's engine has no network: build with network none.
BUSYBOX = """\
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
"""


def scratch_files(dockerfile: str = SCRATCH, **files: str) -> dict[str, str]:
    """A Dockerfile and what it copies, by name, for GitRepository.write or write_files."""
    return {"Dockerfile": dockerfile, "hello.txt": "hello\n", **files}


def busybox_files(steps: str = "") -> dict[str, str | bytes]:
    """A Dockerfile whose RUN steps have a shell, /bin/sh, and its context.

    Args:
        steps: Dockerfile instructions after the shell is there.
    """
    return {"Dockerfile": BUSYBOX + steps, "busybox": busybox().read_bytes()}


def busybox() -> Path:
    """The static busybox of this machine (package busybox-static)."""
    path = shutil.which("busybox")
    assert path, "there is no busybox: apt-get install busybox-static"
    return Path(path)


def write_files(directory: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files by their path in a directory; programs and scripts executable. The directory."""
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(0o755 if data.startswith((b"\x7fELF", b"#!")) else 0o644)
    return directory
