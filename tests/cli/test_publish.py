"""What `releasetag publish` prints and writes; what it does is in tests/test_publish.py."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support.cli import writes
from tests.support.engine import Engine
from tests.support.git import GitRepository
from tests.support.github import parse_outputs
from tests.support.image import busybox_files
from tests.support.records import commands
from tests.support.registry import RegistryServer
from tests.support.run import clean_environ, start_cli


@pytest.fixture
def image(registry: RegistryServer) -> str:
    """The repository to publish to."""
    return f"{registry.address}/acme/app"


def test_the_table_is_the_result_and_everything_else_is_on_standard_error(
    app: GitRepository, run: Run, registry: RegistryServer, image: str
) -> None:
    done = run("publish", "-i", image, cwd=app.path)
    assert done.returncode == 0, done
    assert done.stdout == (
        f"v1.2.3 published as {registry.digest('acme/app', '1.2.3')}\n"
        f"  pushed  {image}:1.2.3\n"
        f"  pushed  {image}:1.2\n"
        f"  pushed  {image}:latest\n"
    )
    steps = [line for line in done.stderr.splitlines() if line and not line.startswith("#")]
    assert steps == [
        "Inspecting the registries",
        f"Building {app.path} with buildkit",
        "Pushing the exact tags",
        "Re-checking the history",
        "Moving the floating tags",
    ]
    assert "\x1b" not in done.stdout + done.stderr


def test_a_second_run_says_that_nothing_is_built(app: GitRepository, run: Run, image: str) -> None:
    run("publish", "-i", image, cwd=app.path)
    done = run("publish", "-i", image, cwd=app.path)
    assert "Published already: nothing is built\n" in done.stderr
    assert re.match(r"v1\.2\.3 reused as sha256:[0-9a-f]{64}\n  unchanged  ", done.stdout), done


def test_quiet_is_what_names_the_release_now_and_nothing_else(
    app: GitRepository, run: Run, image: str
) -> None:
    done = run("publish", "-i", image, "-q", cwd=app.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{image}:1.2.3\n{image}:1.2\n{image}:latest\n"


def test_verbose_tells_every_request_without_credentials(
    app: GitRepository, run: Run, image: str
) -> None:
    done = run("publish", "-i", image, "-v", cwd=app.path)
    assert done.returncode == 0, done
    assert re.search(
        r"^HTTP Request: PUT http://\S+/v2/acme/app/manifests/1\.2 ", done.stderr, re.M
    )
    assert f"pushed    {image}:1.2.3\n" in done.stderr


def test_a_dry_run_changes_nothing(
    app: GitRepository, run: Run, registry: RegistryServer, image: str
) -> None:
    done = run("publish", "-i", image, "--dry-run", cwd=app.path)
    assert done.returncode == 0, done
    assert done.stdout == (
        "dry run: would build with buildkit\n"
        "  push  1.2.3   names this version\n"
        "  push  1.2     highest stable release of 1.2\n"
        "  push  latest  highest stable release\n"
        f"  to {image}\n"
    )
    assert writes(registry) == []


def test_without_a_push_what_was_tagged_is_listed(
    app: GitRepository, run: Run, registry: RegistryServer, image: str
) -> None:
    done = run("publish", "-i", image, "--no-push", cwd=app.path)
    assert done.returncode == 0, done
    first, *rest = done.stdout.splitlines()
    assert re.fullmatch(r"v1\.2\.3 built as sha256:[0-9a-f]{64}", first)
    assert rest == [f"  tagged  {image}:{tag}" for tag in ("1.2.3", "1.2", "latest")]
    assert registry.requests() == []


def test_the_metadata_file_is_the_json_and_no_part_of_the_image(
    app: GitRepository, run: Run, registry: RegistryServer, image: str
) -> None:
    app.write({"Dockerfile": "FROM scratch\nCOPY . /\n"})
    app.commit("all")
    app.git("tag", "--force", "v1.2.3")
    first = run("publish", "-i", image, "--json", cwd=app.path)
    done = run(
        "publish", "-i", image.replace("acme", "other"), "--json", "--metadata-file", "meta.json",
        cwd=app.path,
    )  # fmt: skip
    assert done.returncode == 0, done
    assert json.loads((app.path / "meta.json").read_text()) == done.json
    assert done.json["digest"] == first.json["digest"]


def test_on_github_the_build_and_the_gate_are_groups_that_hold_no_commands(
    git_repository: GitRepository, run: Run, image: str, tmp_path: Path
) -> None:
    git_repository.write(busybox_files('RUN echo "::error::built ##[error]old"\n'))
    gate = tmp_path / "gate"
    gate.write_text("#!/bin/sh\necho ::error::gated\n")
    gate.chmod(0o755)
    git_repository.commit()
    git_repository.tag("v1.2.3")
    done = run(
        "publish", "-i", image, "--network", "none", "--no-cache", "--gate", gate,
        cwd=git_repository.path, env={"GITHUB_ACTIONS": "true", "FORCE_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done
    assert commands(done.stderr + done.stdout) == ["group", "endgroup"] * 2
    assert " ::error::built ##[error]old\n" in done.stderr
    assert "\n::error::gated\n" in done.stderr


class OnTerminal:
    """The program on a terminal of its own."""

    def __init__(self, directory: Path, environ: dict[str, str], *args: str) -> None:
        self._outer, inner = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "releasetag", *args],
            cwd=directory,
            env=environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        )
        os.close(inner)
        self.shown = ""
        self.changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._outer, 4096)
            except OSError:
                data = b""
            with self.changed:
                self.shown += data.decode(errors="replace")
                self.changed.notify_all()
            if not data:
                return

    def wait_for(self, text: str) -> None:
        """Until it shows a text."""
        with self.changed:
            assert self.changed.wait_for(lambda: text in self.shown, 60), self.shown

    def end(self) -> tuple[int, list[str]]:
        """The exit code, and the lines that stay, without control sequences and what was erased."""
        code = self.process.wait(120)
        self._reader.join(60)
        os.close(self._outer)
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.shown)
        return code, [line.rpartition("\r")[2] for line in plain.replace("\r\n", "\n").split("\n")]


def test_on_a_terminal_steps_are_collapsed_and_the_whole_log_of_a_failed_one_stays(
    git_repository: GitRepository, engine: Engine, home: Path, image: str
) -> None:
    steps = "RUN echo passed\nRUN for i in 1 2 3 4 5 6 7 8 9; do echo said $i; done; exit 3\n"
    git_repository.write(busybox_files(steps))
    git_repository.commit()
    git_repository.tag("v1.2.3")
    terminal = OnTerminal(
        git_repository.path, clean_environ(home) | engine.environ, "publish", "-i", image,
        "--network", "none", "--no-cache",
    )  # fmt: skip
    code, lines = terminal.end()
    assert code == 7, lines
    assert [line for line in lines if re.fullmatch(r" +\d+\.\ds  \[3/4\] RUN echo passed", line)]
    assert "passed" not in [line.strip() for line in lines[-12:]]
    first = next(n for n, line in enumerate(lines) if line.startswith("  failed  [4/4] RUN for"))
    assert lines[first + 1 : first + 10] == [f"          said {n}" for n in range(1, 10)]
    assert [line.partition(": ")[0] for line in lines[first + 10 : first + 12]] == ["error", "hint"]
    assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("\x1b[?25l"), "no cursor"


def test_ctrl_c_ends_at_once_with_two_lines_and_the_cursor_shown(
    git_repository: GitRepository, engine: Engine, home: Path, image: str, registry: RegistryServer
) -> None:
    git_repository.write(busybox_files("RUN echo waiting; while true; do true; done\n"))
    git_repository.commit()
    git_repository.tag("v1.2.3")
    terminal = OnTerminal(
        git_repository.path, clean_environ(home) | engine.environ, "publish", "-i", image,
        "--network", "none", "--no-cache",
    )  # fmt: skip
    terminal.wait_for("waiting")
    terminal.process.send_signal(signal.SIGINT)
    code, lines = terminal.end()
    assert code == 130, lines
    assert lines[-3:] == [
        "error: interrupted: nothing was pushed",
        "hint: run again: it goes on where this stopped",
        "",
    ]
    assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("\x1b[?25l"), "no cursor"
    assert writes(registry) == []


def test_sigterm_leaves_one_json_object(
    git_repository: GitRepository, engine: Engine, home: Path, image: str
) -> None:
    git_repository.write(busybox_files("RUN echo waiting; while true; do true; done\n"))
    git_repository.commit()
    git_repository.tag("v1.2.3")
    process = start_cli(
        "publish", "-i", image, "--network", "none", "--no-cache", "--json",
        cwd=git_repository.path, home=home, env=engine.environ,
    )  # fmt: skip
    assert process.stderr
    assert process.stdout
    for line in process.stderr:
        if line.endswith(" waiting\n"):
            break
    process.terminate()
    assert json.loads(process.stdout.read())["error"]["code"] == 143
    assert process.wait(60) == 143


def test_all_components_at_head_are_published_and_one_that_fails_keeps_none_back(
    git_repository: GitRepository, run: Run, registry: RegistryServer, tmp_path: Path
) -> None:
    names = ("docs", "api", "web")
    entries = [
        f'[[components]]\nname = "{name}"\ntag-prefix = "{name}/v"\n'
        f'images = ["{registry.address}/acme/{name}"]\nbuild.file = "Dockerfile.{name}"\n'
        for name in names
    ]
    files = busybox_files()
    dockerfiles = {f"Dockerfile.{name}": files["Dockerfile"] for name in names}
    dockerfiles["Dockerfile.api"] = "FROM scratch\nCOPY missing /\n"
    git_repository.write({**files, **dockerfiles, "releasetag.toml": "".join(entries)})
    git_repository.commit("first")
    git_repository.tag("docs/v0.1.0")
    git_repository.commit("second")
    git_repository.tag("api/v1.2.3")
    git_repository.tag("web/v9.0.0")
    output, metadata = tmp_path / "output", tmp_path / "metadata"
    env = {"GITHUB_OUTPUT": str(output)}
    publish = ("publish", "--all", "--json", "--metadata-file", str(metadata))

    done = run(*publish, cwd=git_repository.path, env=env)

    assert done.returncode == 7, done
    api, web = done.json["publishes"]
    assert done.json["error"] == api["error"]
    assert (api["git_tag"], api["digest"]) == ("api/v1.2.3", None)
    assert (web["git_tag"], web["digest"]) == ("web/v9.0.0", registry.digest("acme/web", "latest"))
    assert registry.tags("acme/docs") == []
    assert json.loads(metadata.read_text()) == done.json
    values = parse_outputs(output.read_text().split("version<<")[-1].join(["version<<", ""]))
    assert json.loads(values["json"]) == done.json
    assert (values["complete"], values["version"]) == ("false", "")
    assert values["tags"].split() == web["references"]

    git_repository.git("commit", "--allow-empty", "--quiet", "--message", "later")
    output.write_text("")
    none = run("publish", "--all", "--json", cwd=git_repository.path, env=env)
    assert none.returncode == 3, none
    assert json.loads(parse_outputs(output.read_text())["json"]) == none.json
    assert "api/v1.2.3, web/v9.0.0" in none.stderr
