"""Completion: the values, and real shells that ask for them."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support.git import GitRepository, git_commands, write_script
from tests.support.run import clean_environ

CONFIG = """
images = ["acme/app"]
build.platforms = ["linux/amd64", "linux/arm64"]

[[variants]]
name = "alpine"
"""
COMPONENTS = """
images = ["acme/app"]
[[components]]
tag-prefix = "api/v"
images = ["acme/api"]
"""


@pytest.fixture
def project(git_repository: GitRepository) -> GitRepository:
    git_repository.write({"releasetag.toml": CONFIG})
    git_repository.commit()
    for name in ("v1.2.2", "v1.2.3", "v2.0.0-rc.1", "nightly"):
        git_repository.tag(name)
    git_repository.bare_remote()
    git_repository.bare_remote("upstream")
    return git_repository


@pytest.fixture
def complete(run_here: Run, project: GitRepository) -> "Complete":
    return Complete(run_here, project.path)


class Complete:
    """Asks for what may come at the end of a line, as the script for bash does."""

    def __init__(self, run_here: Run, cwd: Path) -> None:
        self.run_here, self.cwd = run_here, cwd

    def __call__(self, line: str, **env: str) -> list[str]:
        words = line.split(" ")
        asked = {
            "_RELEASETAG_COMPLETE": "complete_bash",
            "COMP_WORDS": "\n".join(words),
            "COMP_CWORD": str(len(words) - 1),
        }
        done = self.run_here(cwd=self.cwd, env=asked | env)
        assert done.stderr == "", done
        return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("releasetag pu", ["publish"]),
        ("releasetag publish --git", ["--git-tag"]),
        ("releasetag publish --git-tag ", ["v1.2.2", "v1.2.3", "v2.0.0-rc.1"]),
        ("releasetag plan --git-tag v2", ["v2.0.0-rc.1"]),
        ("releasetag plan --git-tag=v2", ["v2.0.0-rc.1"]),
        ("releasetag plan --remote ", ["origin", "upstream"]),
        ("releasetag plan --variant ", ["alpine"]),
        ("releasetag plan --history ", ["auto", "local", "remote"]),
        ("releasetag publish --part linux/a", ["linux/amd64", "linux/arm64"]),
        ("releasetag publish --builder b", ["buildkit", "buildx"]),
        ("releasetag publish --ignore 1", ["1.2.2", "1.2.3"]),
        ("releasetag promote ", ["1.2.2", "1.2.3", "2.0.0-rc.1"]),
        ("releasetag promote 1.2.3 -t ", ["1.2-alpine", "alpine"]),
        ("releasetag explain 1.2.3", ["1.2.3-alpine"]),
        ("releasetag publish --jobs ", []),
        ("releasetag plan ", []),  # the shell completes directories
    ],
)
def test_values_at_the_cursor(line: str, values: list[str], complete: Complete) -> None:
    assert complete(line) == values


def test_in_a_monorepo_versions_are_git_tags_of_components(
    complete: Complete, project: GitRepository
) -> None:
    project.write({"releasetag.toml": COMPONENTS})
    project.tag("api/v3.0.0")

    assert complete("releasetag promote api") == ["api/v3.0.0"]
    assert complete("releasetag plan --tag-prefix ") == ["api/v"]
    assert "api/v3.0.0" in complete("releasetag plan --git-tag ")


def test_the_work_tree_that_the_line_names_is_the_one_that_is_read(
    complete: Complete, project: GitRepository, tmp_path: Path
) -> None:
    complete.cwd = tmp_path

    assert complete("releasetag plan --git-tag ") == []
    assert complete(f"releasetag plan {project.path} --git-tag v2") == ["v2.0.0-rc.1"]


def test_the_builders_of_buildx_are_those_of_its_files(complete: Complete, tmp_path: Path) -> None:
    instances = tmp_path / "buildx" / "instances"
    instances.mkdir(parents=True)
    (instances / "fleet").write_text("{}")
    (instances / "$(id)").write_text("{}")

    found = complete("releasetag publish --builder buildx", DOCKER_CONFIG=str(tmp_path))

    assert found == ["buildx", "buildx:fleet"]


@pytest.mark.parametrize("toml", ["images = [", "imagse = []", "jobs = 0"])
def test_a_configuration_that_is_wrong_is_not_a_message(
    toml: str, complete: Complete, project: GitRepository
) -> None:
    project.write({"releasetag.toml": toml})

    assert complete("releasetag plan --git-tag ") == []
    assert complete("releasetag plan --hist") == ["--history"]


def test_what_a_shell_might_run_is_not_a_value(complete: Complete, project: GitRepository) -> None:
    """Zsh evaluates what it is given, and a repository may be anybody's."""
    names = ["$(id)/v1.0.0", "`id`/v1.0.0", "a;b/v1.0.0", "a'b/v1.0.0", 'a"b/v1.0.0', "é/v1.0.0"]
    prefixes = [name.removesuffix("1.0.0") for name in names]
    toml = "".join(f"[[components]]\ntag-prefix = '''{prefix}'''\n" for prefix in prefixes)
    project.write({"releasetag.toml": toml})
    for name in names:
        project.tag(name)
    project.git("config", "remote.$(id).url", "https://example.com/a.git")

    assert complete("releasetag plan --tag-prefix ") == []
    assert complete("releasetag plan --git-tag ") == []
    assert complete("releasetag plan --remote ") == ["origin", "upstream"]


def test_no_remote_is_asked(complete: Complete, tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    assert complete("releasetag promote 2", GIT_TRACE2_EVENT=str(trace)) == ["2.0.0-rc.1"]

    commands = git_commands(trace)
    assert "show-ref" in " ".join(commands)
    assert not [each for each in commands if "ls-remote" in each or "fetch" in each]


def test_an_unknown_shell_fails(run_here: Run, tmp_path: Path) -> None:
    done = run_here(cwd=tmp_path, env={"_RELEASETAG_COMPLETE": "source_tcsh"})

    assert (done.returncode, done.stdout) == (1, "")


@pytest.fixture
def environ(project: GitRepository, home: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a shell that finds the program as it is installed."""
    (tmp_path / "bin").mkdir()
    write_script(tmp_path / "bin/releasetag", f'exec {sys.executable} -m releasetag "$@"')
    found = clean_environ(home)
    path = f"{tmp_path / 'bin'}:{found['PATH']}"
    return found | {"PATH": path, "TERM": "dumb", "PS1": "ready> ", "HISTFILE": ""}


@contextmanager
def terminal(cwd: Path, environ: dict[str, str], *command: str) -> Iterator["Terminal"]:
    """A shell with a terminal of its own."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, cwd=cwd, env=environ, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        try:
            yield Terminal(ours)
        finally:
            process.kill()
            os.close(ours)


class Terminal:
    """The end of a terminal at which a person types."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def wait_for(self, pattern: str) -> str:
        """Return what is printed up to a text."""
        seen = ""
        end = time.monotonic() + 60
        while not re.search(pattern, seen):
            ready, _, _ = select.select([self.descriptor], [], [], max(0, end - time.monotonic()))
            assert ready, f"{pattern} did not come after {seen!r}"
            seen += os.read(self.descriptor, 4096).decode(errors="replace")
        return seen


BASH = 'eval "$(_RELEASETAG_COMPLETE=source_bash releasetag)"'
ZSH = "autoload -Uz compinit && compinit -u -D; "
ZSH += 'eval "$(_RELEASETAG_COMPLETE=source_zsh releasetag)"'


@pytest.mark.parametrize(
    ("shell", "script"),
    [(("bash", "--norc", "--noprofile"), BASH), (("zsh", "-f", "-i"), ZSH)],
    ids=["bash", "zsh"],
)
def test_a_shell_completes_commands_options_and_values(
    shell: tuple[str, ...], script: str, project: GitRepository, environ: dict[str, str]
) -> None:
    with terminal(project.path, environ, *shell) as user:
        user.wait_for("ready> ")
        user.type(f"{script}; echo do''ne\n")
        user.wait_for("done")
        for typed, completed in (
            ("releasetag promo\t", "releasetag promote "),
            ("2\t", r"2\.0\.0-rc\.1 "),
            ("--allow-d\t", "--allow-downgrade "),
        ):
            user.type(typed)
            user.wait_for(completed)


def test_fish_completes_commands_options_and_values(
    project: GitRepository, environ: dict[str, str], home: Path
) -> None:
    completions = home / ".config/fish/completions"
    completions.mkdir(parents=True)
    script = (
        "_RELEASETAG_COMPLETE=source_fish releasetag > ~/.config/fish/completions/releasetag.fish"
    )

    def fish(command: str) -> list[str]:
        printed = subprocess.check_output(
            ["fish", "-c", command], cwd=project.path, env=environ, text=True
        )
        return [line.partition("\t")[0] for line in printed.splitlines()]

    assert fish(script) == []
    assert fish("complete -C 'releasetag promote 2'") == ["2.0.0-rc.1"]
    assert fish("complete -C 'releasetag plan --config rel'") == ["releasetag.toml"]
