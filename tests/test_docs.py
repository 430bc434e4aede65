"""README and the site: what they show can be run, loaded and followed."""

import base64
import difflib
import importlib
import json
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from functools import wraps
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml

from releasetag.cli import app as application
from releasetag.cli.options import Shared
from releasetag.config import load
from releasetag.config.schema import SETTINGS
from releasetag.template import FIELDS
from tests.support.config import load_in
from tests.support.documents import (
    DOCS,
    SITE,
    Block,
    anchors,
    blocks,
    commands,
    inline_commands,
    links,
    pages,
    shown_commands,
)
from tests.support.engine import Engine
from tests.support.fake_registry import image
from tests.support.git import DATE, GitRepository
from tests.support.http_server import QuietHTTPServer
from tests.support.image import scratch_files
from tests.support.in_process import run_here, stop_time
from tests.support.misbehaving import Clock
from tests.support.promises import REVISION, VERSION
from tests.support.registry import RegistryServer
from tests.support.run import ROOT, Finished, clean_environ

ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
OF_GATES = {"RELEASETAG_VERSION", "RELEASETAG_DIGEST", "RELEASETAG_REFERENCES"}
SHOWN_IMAGE = "ghcr.io/acme/app"


def test_the_reference_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/reference", "--check"],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    for link in links(page):
        target, _, anchor = link.partition("#")
        if target.startswith(SITE):
            name = target.removeprefix(SITE).strip("/")
            file = DOCS / f"{name or 'index'}.md"
        elif re.match(r"[a-z]+:", target):
            continue
        else:
            file = (page.parent / target).resolve() if target else page
        assert file.exists(), link
        if anchor:
            assert anchor in anchors(file), link


def test_every_page_is_in_the_navigation() -> None:
    navigation = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]
    listed: list[str] = []

    def collect(entries: list[Any]) -> None:
        for entry in entries:
            for value in entry.values():
                if isinstance(value, str):
                    listed.append(value)
                else:
                    collect(value)

    collect(navigation)
    assert sorted(listed) == sorted(str(each.relative_to(DOCS)) for each in DOCS.rglob("*.md"))


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Parses a command line with the real options and settings, and does nothing."""
    for name, module in application._COMMANDS.items():
        command = getattr(importlib.import_module(f"releasetag.cli.{module}"), name)

        @wraps(command)
        def only_load(shared: Shared, **_own: object) -> int:
            load(shared.settings, {}, tmp_path, tmp_path, tmp_path).all()
            return 0

        monkeypatch.setattr(f"releasetag.cli.{module}.{name}", only_load)
    return application.invoke


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_command_lines_are_ones(page: Path, parse: Any, tmp_path: Path) -> None:
    fenced = blocks("console", "yaml", "groovy", "sh", "toml", "json", "js")
    lines = [line for block in fenced if block.page == page for line in commands(block.text)]
    for line in [*lines, *inline_commands(page)]:
        if "--config" in line:
            Path(tmp_path / line[line.index("--config") + 1]).touch()
        assert parse(line) == 0, line


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_configuration_can_be_loaded(block: Block, tmp_path: Path) -> None:
    if "[tool.releasetag" in block.text:
        (tmp_path / "pyproject.toml").write_text(block.text, "utf-8")
        load_in(tmp_path)
    else:
        load_in(tmp_path, toml=block.text)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_programs_run(
    block: Block, repository: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.path)

    exec(block.text, {})  # noqa: S102 (it is what the test is of)


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_is_valid(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_workflows_use_the_inputs_and_outputs_of_the_action(block: Block) -> None:
    steps = [each for each in _tables(yaml.safe_load(block.text)) if "uses" in each]
    ours = [each for each in steps if "releasetag/releasetag@" in str(each["uses"])]
    for step in ours:
        assert set(step.get("with", {})) <= set(ACTION["inputs"]), block
    names = {step["id"] for step in ours if "id" in step}
    for name, output in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", block.text):
        assert name not in names or output in ACTION["outputs"], output


def _tables(value: Any) -> list[Mapping[str, Any]]:
    if isinstance(value, dict):
        return [value, *(each for item in value.values() for each in _tables(item))]
    return [each for item in value for each in _tables(item)] if isinstance(value, list) else []


def test_every_variable_is_one() -> None:
    known = {setting.variable for setting in SETTINGS.values()} | OF_GATES
    for page in pages():
        for name in re.findall(r"\bRELEASETAG_[A-Z_]+[A-Z]\b", page.read_text("utf-8")):
            assert name in known, f"{name} in {page.name}"


def test_every_field_of_templates_is_documented() -> None:
    page = (DOCS / "tags.md").read_text("utf-8")
    for field in FIELDS:
        assert f"`{{{field}}}`" in page


@pytest.mark.parametrize("name", ["rule", "steps"])
def test_the_pictures_that_need_no_engine_are_up_to_date(name: str) -> None:
    draw = runpy.run_path(str(ROOT / "scripts/pictures"))[name]

    assert draw() == (DOCS / f"images/{name}.svg").read_text("utf-8"), "run make pictures"


def test_nothing_is_loaded_from_elsewhere() -> None:
    for picture in DOCS.rglob("*.svg"):
        assert "url(http" not in picture.read_text("utf-8"), picture


class Scene:
    """A repository in which the commands of a console block are run."""

    def __init__(self, tmp_path: Path, address: str = "", environ: Mapping[str, str] = {}) -> None:
        self.address = address
        self.git = GitRepository(tmp_path / "app")
        home = tmp_path / "home"
        home.mkdir()
        dates = {"GIT_AUTHOR_DATE": DATE, "GIT_COMMITTER_DATE": DATE}
        self.environ = clean_environ(home) | dates | {"GIT_CONFIG_GLOBAL": "/dev/null", **environ}

    def configure(self, *lines: str) -> None:
        """Write releasetag.toml."""
        text = self._real("\n".join(lines))
        self.git.write(scratch_files() | {"releasetag.toml": f"{text}\n"})

    def release(self, *git_tags: str) -> None:
        """Commit and tag each."""
        for git_tag in git_tags:
            self.git.write({"hello.txt": f"{git_tag}\n"})
            self.git.commit(f"Release {git_tag}")
            self.git.tag(git_tag)

    def check(self, block: Block) -> None:
        """Run every command, and compare what it shows."""
        seen = []
        for shown in shown_commands(block):
            words = [self._real(word) for word in shown.words]
            line = f"$ {' '.join(shown.words)}"
            output = self._run(words)
            seen += [line, *([self._shown(output)] if output else [])]
        expected = [
            line
            for shown in shown_commands(block)
            for line in (f"$ {' '.join(shown.words)}", shown.output)
            if line
        ]
        assert _lines(seen) == _lines(expected), "\n".join(
            difflib.ndiff(_lines(expected), _lines(seen))
        )

    def _run(self, words: list[str]) -> str:
        if words[0] == "releasetag":
            done = run_here(*words[1:], cwd=self.git.path, environ=self.environ)
            return _output(done)
        if words[0] == "cat":
            return (self.git.path / words[1]).read_text("utf-8").strip("\n")
        assert words[0] == "git", words
        return self.git.git(*words[1:], env=self.environ)

    def _real(self, text: str) -> str:
        return text.replace(SHOWN_IMAGE, f"{self.address}/acme/app") if self.address else text

    def _shown(self, text: str) -> str:
        return text.replace(f"{self.address}/acme/app", SHOWN_IMAGE) if self.address else text


def _output(done: Finished) -> str:
    """What is printed, without the progress of a command that fails."""
    errors = "" if done.returncode == 0 else done.stderr
    progress = re.compile(r"^(?:#[0-9]+ |[A-Z][a-z]+ing ).*\n", re.MULTILINE)
    return f"{done.stdout}{progress.sub('', errors)}".strip("\n")


def _lines(parts: list[str]) -> list[str]:
    """The lines without what differs from run to run: digests, commits, the width of columns."""
    text = "\n".join(parts)
    text = re.sub(r"sha256:[0-9a-f]{12,64}…?", "sha256:…", text)
    text = re.sub(r"\b(at |commit |sha-)[0-9a-f]{7,12}\b", r"\1…", text)
    return [re.sub(r"(?<=\S) {2,}", "  ", line.rstrip()) for line in text.splitlines() if line]


IMAGES = f'images = ["{SHOWN_IMAGE}"]'


def _hotfix(scene: Scene) -> None:
    """v1.9.0, v2.0.0 and v2.0.1, and at HEAD the fix of 1.9 that is to be v1.9.1."""
    scene.configure(IMAGES)
    scene.release("v1.9.0")
    scene.git.git("branch", "1.9")
    scene.release("v2.0.0", "v2.0.1")
    scene.git.git("switch", "--quiet", "1.9")
    scene.git.commit("Fix")


def _prerelease(scene: Scene) -> None:
    """v1.9.0, and at HEAD what is to be v2.0.0-rc.1."""
    scene.configure(IMAGES)
    scene.release("v1.9.0")
    scene.git.commit("Next")


def _project(scene: Scene) -> None:
    """A Dockerfile, and no release yet."""
    scene.git.write(scratch_files())
    scene.git.commit()


def _monorepo(scene: Scene) -> None:
    """Two components, released at different commits."""
    scene.configure(
        "[[components]]",
        'name = "api"',
        'tag-prefix = "api/v"',
        'images = ["ghcr.io/acme/api"]',
        "[[components]]",
        'name = "web"',
        'tag-prefix = "web/v"',
        'images = ["ghcr.io/acme/web"]',
    )
    scene.release("api/v1.2.0", "web/v3.0.0", "api/v1.2.1")


def _variants(scene: Scene) -> None:
    """v1.2.3 of two variants."""
    scene.configure(
        IMAGES,
        "[[variants]]",
        'name = "debian"',
        "default = true",
        "[[variants]]",
        'name = "alpine"',
    )
    scene.release("v1.2.3")


def _first(scene: Scene) -> None:
    """A commit without a release, which the remote has."""
    scene.configure(IMAGES)
    scene.git.commit("First")
    scene.git.bare_remote()


def _release(scene: Scene) -> None:
    """v1.2.3."""
    scene.configure(IMAGES)
    scene.release("v1.2.3")


WITH_GIT_ALONE = {
    "hotfix": _hotfix,
    "prerelease": _prerelease,
    "a project": _project,
    "monorepo": _monorepo,
    "variants": _variants,
}
WITH_AN_ENGINE = {"a commit": _first, "a release": _release}
SHOWN = [block for block in blocks("console") if block.scenario]


def test_every_scene_is_one() -> None:
    known = {*WITH_GIT_ALONE, *WITH_AN_ENGINE, "published"}
    assert {block.scenario for block in SHOWN} == known


@pytest.mark.parametrize("block", [b for b in SHOWN if b.scenario in WITH_GIT_ALONE], ids=str)
def test_what_git_alone_shows(block: Block, tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    WITH_GIT_ALONE[block.scenario](scene)

    scene.check(block)


@pytest.mark.parametrize("block", [b for b in SHOWN if b.scenario in WITH_AN_ENGINE], ids=str)
def test_what_an_engine_and_a_registry_show(
    block: Block,
    tmp_path: Path,
    engine: Engine,
    registry: RegistryServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop_time(monkeypatch, Clock())
    scene = Scene(tmp_path, registry.address, engine.environ)
    WITH_AN_ENGINE[block.scenario](scene)

    scene.check(block)


def test_the_commands_of_the_readme_work_one_after_the_other(
    tmp_path: Path, engine: Engine, registry: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_time(monkeypatch, Clock())
    scene = Scene(tmp_path, registry.address, engine.environ)
    _release(scene)
    (block,) = (b for b in blocks("console") if b.page.name == "README.md" and "explain" in b.text)
    for shown in shown_commands(block):
        if shown.words[1] == "init":
            (scene.git.path / "releasetag.toml").unlink()
        done = run_here(*shown.words[1:], cwd=scene.git.path, environ=scene.environ)
        assert done.returncode == 0, done

    assert set(registry.tags("acme/app")) > {"1.2.3", "1.2", "latest", "stable", "edge"}


@pytest.fixture
def published(tmp_path: Path, registry: RegistryServer) -> Scene:
    """v1.9.0 to v2.0.1 as they are published, but for latest, which was moved by hand."""
    scene = Scene(tmp_path, registry.address)
    scene.configure(IMAGES)
    scene.release("v1.9.0", "v1.9.1", "v2.0.0", "v2.0.1")
    for version, *tags in (
        ("1.9.0", "1.9.0"),
        ("1.9.1", "1.9.1", "1.9", "latest"),
        ("2.0.0", "2.0.0"),
        ("2.0.1", "2.0.1", "2.0"),
    ):
        labels = {VERSION: version, REVISION: scene.git.git("rev-parse", f"v{version}")}
        for tag in tags:
            image(registry, "acme/app", tag, version.encode(), labels=labels)
    return scene


@pytest.mark.parametrize("block", [b for b in SHOWN if b.scenario == "published"], ids=str)
def test_what_a_registry_shows(block: Block, published: Scene) -> None:
    published.check(block)


class _PrivateGit(BaseHTTPRequestHandler):
    """A git remote that is read over HTTP, by alice alone."""

    root = Path()

    def do_GET(self) -> None:
        """Answer a file of the remote."""
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        file = self.root / self.path.lstrip("/").partition("?")[0]
        if base64.b64decode(given) != b"alice:secret":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
        elif file.is_file():
            self.send_response(200)
            self.end_headers()
            self.wfile.write(file.read_bytes())
        else:
            self.send_error(404)


@pytest.mark.parametrize(
    ("line", "user", "password"),
    [
        ("git config credential.helper", "GIT_USER", "GIT_TOKEN"),
        ("git config credential.helper", "GIT_USR", "GIT_PSW"),  # Jenkins
        ("printf 'machine ", "DRONE_NETRC_USERNAME", "DRONE_NETRC_PASSWORD"),
    ],
)
def test_a_recipe_lets_a_private_remote_be_read(
    line: str, user: str, password: str, tmp_path: Path
) -> None:
    page = (DOCS / "ci.md").read_text("utf-8").splitlines()
    (command,) = [each.strip(" -") for each in page if line in each and user in each]
    scene = Scene(tmp_path)
    scene.release("v1.0.0", "v1.1.0")
    remote = scene.git.bare_remote()
    scene.git.git("--git-dir", remote, "update-server-info")
    scene.git.git("tag", "--delete", "v1.0.0")
    handler = type("Handler", (_PrivateGit,), {"root": tmp_path})
    with QuietHTTPServer(("127.0.0.1", 0), handler) as server:
        url = f"http://127.0.0.1:{server.server_port}/{remote.name}"
        scene.git.git("remote", "set-url", "origin", url)
        environ = scene.environ | {user: "alice", password: "secret"}
        environ |= {"DRONE_NETRC_MACHINE": "127.0.0.1"}
        plan = ("plan", "--history", "remote")

        refused = run_here(*plan, cwd=scene.git.path, environ=environ)
        subprocess.run(["sh", "-c", command], cwd=scene.git.path, env=environ, check=True)
        done = run_here(*plan, cwd=scene.git.path, environ=environ)

    assert refused.returncode == 9, refused
    assert "2 releases known (remote)" in done.stdout, done
