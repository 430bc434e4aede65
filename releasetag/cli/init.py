"""``releasetag init``."""

import os

from releasetag.cli.options import Shared
from releasetag.errors import UsageError

_CONFIG = """\
#:schema https://raw.githubusercontent.com/releasetag/releasetag/main/releasetag/config/releasetag.schema.json
# What `releasetag publish` does: https://github.com/releasetag/releasetag#configuration
images = [{image}]
tags = ["{{version}}", "{{major}}.{{minor}}", "latest"]

[build]
context = "."
file = "Dockerfile"
"""

_WORKFLOW = """\
name: release
on:
  push:
    tags: ["v*"]
permissions:
  contents: read
  packages: write # to push to ghcr.io
jobs:
  publish:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
        with:
          persist-credentials: false
      - uses: releasetag/releasetag@v0
        env:
          GITHUB_TOKEN: ${{ github.token }}
"""


def init(shared: Shared) -> int:
    """Write a starting releasetag.toml and a GitHub workflow.

    Never over an existing file.
    """
    from releasetag.git import open_work_tree
    from releasetag.report.json import format_object

    tree = open_work_tree(shared.path, os.environ)
    files = {
        tree.root / "releasetag.toml": _CONFIG.format(image=_image(tree.remote_url("origin"))),
        tree.root / ".github" / "workflows" / "release.yml": _WORKFLOW,
    }
    for file in files:
        if os.path.lexists(file):
            raise UsageError(
                f"{file.relative_to(tree.root)} exists already, and nothing was written",
                "change it by hand, or move it elsewhere and run again",
            )
    for file, text in files.items():
        name = file.relative_to(tree.root)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as new:
                new.write(text)
        except OSError as error:
            raise UsageError(
                f"{name} cannot be written: {error.strerror}", "check who owns that directory"
            ) from None
        if not (shared.quiet or shared.json):
            print(f"wrote {name}")
    if shared.json:
        print(format_object({"written": [str(f.relative_to(tree.root)) for f in files]}), end="")
    return 0


def _image(remote_url: str | None) -> str:
    """Return a first repository: in GitHub's registry for a remote there, else an example."""
    from releasetag.remote_url import web_url

    name = web_url(remote_url or "").removeprefix("https://github.com/").lower()
    return f'"ghcr.io/{name}"' if name.count("/") == 1 and ":" not in name else '"acme/app"'
