"""The public names: all there, and what the command line itself uses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import releasetag
from tests.support.engine import Engine
from tests.support.git import GitRepository
from tests.support.image import scratch_files
from tests.support.registry import RegistryServer


@pytest.mark.parametrize("name", releasetag.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(releasetag, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="publsh"):
        _ = releasetag.publsh


def test_a_program_publishes_as_the_command_line_does(
    git_repository: GitRepository, engine: Engine, registry: RegistryServer, home: Path
) -> None:
    git_repository.write(scratch_files())
    git_repository.commit()
    git_repository.tag("v1.2.3")
    environ = {**engine.environ, "HOME": str(home), "PATH": os.environ["PATH"]}
    tree = releasetag.open_work_tree(git_repository.path, environ)
    options = {"images": [f"{registry.address}/acme/app"]}
    configuration = releasetag.load(options, environ, git_repository.path, tree.root)
    plan = releasetag.plan_release(tree, configuration, environ, pytest.fail)
    record = releasetag.Record()
    with releasetag.open_tools(environ) as tools:
        build = releasetag.publish_release(tree, plan, tools, record)
    assert [item.status for item in record.items] == ["pushed"] * 3
    assert registry.digest("acme/app", "latest") == build.digest


def test_importing_the_package_imports_no_library() -> None:
    script = (
        "import sys, releasetag; print([m for m in ('docker', 'httpx', 'git', 'rich', 'typer',"
        " 'grpclib', 'google.protobuf', 'semver') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
