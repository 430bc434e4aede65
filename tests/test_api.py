"""The public names: all there, and what the command line itself uses."""

import ast
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
from tests.support.run import ROOT


@pytest.mark.parametrize("name", releasetag.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(releasetag, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="publsh"):
        getattr(releasetag, "publsh")  # noqa: B009 (type checkers know that it is not there)


def test_type_checkers_read_the_list_that_is_imported_on_use() -> None:
    tree = ast.parse(Path(releasetag.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    typed = {
        (f"{node.module}".removeprefix("releasetag."), alias.name, alias.asname)
        for node in imports
        if f"{node.module}".startswith("releasetag.")
        for alias in node.names
    }
    # Without "as", strict checkers take a name for private.
    assert typed == {(m, name, name) for m, names in releasetag._NAMES.items() for name in names}


@pytest.mark.slow
def test_type_checkers_see_the_public_names_and_no_others(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    names = "".join(f"reveal_type(releasetag.{name})\n" for name in releasetag.__all__)
    imports = f"import releasetag\nfrom releasetag import {', '.join(releasetag.__all__)}\n"
    program.write_text(f"{imports}{names}releasetag.publsh\n")
    options = ("--strict", "--no-error-summary", f"--cache-dir={tmp_path}/cache")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, program],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    *revealed, unknown = done.stdout.splitlines()
    assert '"publsh"' in unknown
    assert len(revealed) == len(releasetag.__all__)
    assert all("Revealed type is" in line and '"Any"' not in line for line in revealed)


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
