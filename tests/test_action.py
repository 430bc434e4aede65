"""The action, in real workflows that act runs on this machine without Docker."""

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import textwrap
import threading
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Protocol

import pytest
from packaging.utils import canonicalize_name

from releasetag.config.schema import SETTINGS
from releasetag.report.github import format_values
from tests.conftest import Run, StartProxy, StartRegistry
from tests.support.certificates import make_authority, make_server_identity
from tests.support.cli import put_release
from tests.support.engine import Engine
from tests.support.fault import Answer
from tests.support.git import GitRepository
from tests.support.http_server import QuietHTTPServer
from tests.support.image import scratch_files
from tests.support.registry import RegistryServer
from tests.support.run import ROOT, TIMEOUT, clean_environ

ACTION = (ROOT / "action.yml").read_text()
TOKEN = "token-of-the-job"
STEP_VARIABLES = (
    "ALL",
    "ACTIONS_RUNTIME_TOKEN",
    "GITHUB_REF",
    "GITHUB_SERVER_URL",
    "LOGIN_DOCKER_CONFIG",
    "PLAN_ONLY",
    "RELEASETAG_DRY_RUN",
    "RELEASETAG_GIT_TAG",
    "RELEASETAG_PUSH",
    "SNAPSHOT",
    "VERIFY",
    "WATCH",
)
(GITHUB_SCRIPT,) = re.findall(r"uses: (actions/github-script@\S+)", ACTION)


def names(section: str) -> list[str]:
    """The inputs or outputs that action.yml has."""
    block = re.search(rf"^{section}:\n((?:[ #].*\n|\n)*)", ACTION, re.MULTILINE)
    assert block
    return re.findall(r"^  ([a-z-]+):$", block[1], re.MULTILINE)


def test_every_input_is_a_setting_and_is_handed_over_as_that_one() -> None:
    own = {"registry", "username", "password", "working-directory", "from-image", "verify"}
    own |= {"all", "plan-only", "snapshot", "watch"}
    settings = set(SETTINGS)

    handed_over = re.findall(
        r"^ +RELEASETAG_(\w+): \$\{\{ inputs\.([a-z-]+) \|\| env\.RELEASETAG_(\w+) \}\}$",
        ACTION,
        re.MULTILINE,
    )

    assert {name for _, name, _ in handed_over} == set(names("inputs")) - own
    for variable, name, default in handed_over:
        assert variable == default == name.replace("-", "_").upper()
        assert variable.lower() in settings
    # Without a meaning in a workflow: a container of the machine's.
    handled = {variable.lower() for variable, _, _ in handed_over}
    assert settings - handled == {"from_image", "from_container"}


def test_no_input_is_pasted_into_a_script() -> None:
    scripts = re.findall(r"^ +run: \|\n((?: {8}.*\n|\n)+)", ACTION, re.MULTILINE)

    assert len(scripts) == ACTION.count(" run: ")
    assert "${{" not in "".join(scripts)


def test_every_output_is_one_that_publish_writes(
    run: Run, registry: RegistryServer, git_repository: GitRepository, tmp_path: Path
) -> None:
    release(git_repository)
    file = tmp_path / "outputs"

    args = ("publish", "--dry-run", "--image", f"{registry.address}/acme/app")
    run(*args, cwd=git_repository.path, env={"GITHUB_OUTPUT": str(file)})

    written = re.findall(r"^([a-z-]+)<<end_", file.read_text(), re.MULTILINE)
    given = re.findall(r"value: \$\{\{ steps\.publish\.outputs\.([a-z-]+) \}\}", ACTION)
    assert written == given == names("outputs")


@dataclass(frozen=True)
class Failure:
    """A publish that fails, and the tags that it has published by then."""

    code: int
    tags: tuple[str, ...] = ()
    refused: str = "no request"
    files: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("-", "-I -m releasetag publish\n"),
        # The output of a step that did not run: GitHub hands on the empty value, act the default.
        ("", "-I -m releasetag publish --from-image \n"),
        ("acme/app:dev", "-I -m releasetag publish --from-image acme/app:dev\n"),
    ],
)
def test_an_image_that_another_step_was_to_name_is_not_built_instead(
    given: str, expected: str
) -> None:
    assert commands_of_publish(FROM_IMAGE=given) == expected


@pytest.mark.parametrize(
    ("given", "complete", "verifies"),
    [
        ({"VERIFY": "true"}, "true", True),
        ({"VERIFY": ""}, "true", False),
        # There is nothing to be verified: a part waits, or it is a dry run.
        ({"VERIFY": "true"}, "false", False),
        ({"VERIFY": "true", "RELEASETAG_PUSH": "false"}, "true", False),
    ],
)
def test_what_was_published_is_verified_if_asked_for(
    given: dict[str, str], complete: str, verifies: bool
) -> None:
    verify = "-I -m releasetag verify\n" if verifies else ""

    done = commands_of_publish(**given, complete=complete)
    assert done == f"-I -m releasetag publish\n{verify}"


@pytest.mark.parametrize(
    ("ref", "git_tag", "snapshot", "command"),
    [
        ("refs/heads/main", "", "", "publish"),
        ("refs/heads/main", "", "false", "publish"),
        ("refs/heads/main", "", "true", "snapshot"),
        ("refs/pull/12/merge", "", "true", "snapshot"),
        ("refs/tags/v1.2.3", "", "true", "publish"),
        ("refs/heads/main", "v1.2.3", "true", "publish"),
    ],
)
def test_what_is_no_tag_is_a_snapshot_if_that_is_allowed(
    ref: str, git_tag: str, snapshot: str, command: str
) -> None:
    given = {"GITHUB_REF": ref, "RELEASETAG_GIT_TAG": git_tag, "SNAPSHOT": snapshot}

    verify = "-I -m releasetag verify\n" if command == "publish" else ""
    done = commands_of_publish(**given, VERIFY="true")
    assert done == f"-I -m releasetag {command}\n{verify}"


def test_a_step_that_only_plans_runs_nothing_else() -> None:
    given = {"PLAN_ONLY": "true", "VERIFY": "true", "FROM_IMAGE": ""}
    assert commands_of_publish(**given) == "-I -m releasetag plan\n"


def test_a_step_that_watches_publishes_nothing() -> None:
    given = {"WATCH": "true", "VERIFY": "true", "FROM_IMAGE": "", "GITHUB_ACTION_PATH": "/a"}
    assert commands_of_publish(**given) == "-I /a/action/watch.py\n"
    assert commands_of_publish(WATCH="false") == "-I -m releasetag publish\n"


def test_all_components_are_published_or_planned_if_asked_for() -> None:
    assert commands_of_publish(ALL="true") == "-I -m releasetag publish --all\n"
    assert commands_of_publish(ALL="true", SNAPSHOT="true") == "-I -m releasetag publish --all\n"
    assert commands_of_publish(ALL="true", PLAN_ONLY="true") == "-I -m releasetag plan --all\n"
    assert commands_of_publish(ALL="false") == "-I -m releasetag publish\n"


def commands_of_publish(complete: str = "true", **given: str) -> str:
    """The arguments of the Python that the step starts, a line for each time.

    Args:
        complete: the output of that name.
    """
    (script,) = (
        textwrap.dedent(text)
        for text in re.findall(r"^ +run: \|\n((?: {8}.*\n|\n)+)", ACTION, re.MULTILINE)
        if "command=publish" in text
    )
    environ = {"RELEASETAG_PYTHON": "echo", "FROM_IMAGE": "-", "PATH": os.environ["PATH"]}
    with tempfile.NamedTemporaryFile("w") as outputs:
        outputs.write(format_values({"digest": "", "complete": complete, "tags": "complete<<x"}))
        outputs.flush()
        done = subprocess.run(
            ["bash", "-eu", "-c", script],
            env={**environ, **dict.fromkeys(STEP_VARIABLES, ""), **given}
            | {"GITHUB_OUTPUT": outputs.name},
            capture_output=True,
            text=True,
            check=True,
        )
    return done.stdout


@pytest.mark.parametrize(
    "failure",
    [
        Failure(4),
        Failure(4, settings={"RELEASETAG_DRY_RUN": "true"}),
        Failure(7, files={"Dockerfile": "FROM scratch\nCOPY missing /\n"}),
        Failure(8, ("1.2.3", "1.2"), refused="PUT .*/manifests/latest"),
        Failure(10, ("1.2.3",), settings={"RELEASETAG_GATES": "false"}),
    ],
    ids=["conflict", "conflict in a dry run", "build", "push", "gate"],
)
def test_a_step_that_fails_says_what_is_and_what_was_not_done(
    failure: Failure,
    run: Run,
    registry: RegistryServer,
    start_proxy: StartProxy,
    git_repository: GitRepository,
    tmp_path: Path,
) -> None:
    def refuse(_index: int, method: str, path: str) -> Answer | None:
        return Answer(400) if re.match(failure.refused, f"{method} {path}") else None

    release(git_repository, **failure.files)
    image = f"{start_proxy(registry, refuse).address}/acme/app"
    if failure.code == 4:
        revision = {"org.opencontainers.image.revision": "another commit"}
        registry.put_image("acme/app", "1.2.3", revision)
    output, summary = tmp_path / "output", tmp_path / "summary"
    page = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}

    done = run(
        *("publish", "--image", image, "--json"),
        cwd=git_repository.path,
        env={"GITHUB_ACTIONS": "true", **page, **failure.settings},
    )

    assert done.returncode == failure.code, done
    error = done.json["error"]
    references = [f"{image}:{tag}" for tag in failure.tags]
    assert done.json["references"] == references
    outputs = dict(
        re.findall(r"^([a-z-]+)<<(?:end_\w+)\n(.*?)\n?end_\w+$", output.read_text(), re.M | re.S)
    )
    assert outputs["tags"].split() == references
    assert outputs["tag-names"].split() == list(failure.tags)
    assert json.loads(outputs["json"]) == done.json
    first, *_ = lines = summary.read_text().splitlines()
    assert re.sub(r"\\(.)", r"\1", first) == f"**error:** {error['message']}"
    decisions = dict(re.findall(r"^\| `\S+:([^`:]+)` \| ([a-z ]+) \|", "\n".join(lines), re.M))
    assert {tag for tag, decision in decisions.items() if decision == "pushed"} == set(failure.tags)
    assert set(decisions.values()) <= {"pushed", "failed", "not done"}
    assert set(decisions) == {"1.2.3", "1.2", "latest"}
    annotations = re.findall(r"^::error title=(.*?)::(.*)$", done.stderr, re.M)
    escaped = f"{error['message']}\n{error['hint']}".replace("%", "%25").replace("\n", "%0A")
    assert annotations == [(f"releasetag%3A {error['kind']}", escaped)]


def test_a_tag_that_a_higher_version_keeps_is_a_notice(
    run: Run, registry: RegistryServer, git_repository: GitRepository
) -> None:
    release(git_repository)
    put_release(registry, "2.0.0", "latest")  # without a git tag

    image = f"{registry.address}/acme/app"
    done = run(
        *("publish", "--image", image), cwd=git_repository.path, env={"GITHUB_ACTIONS": "true"}
    )

    assert done.returncode == 0, done
    (notice,) = re.findall(r"^::(?:error|warning|notice) .*", done.stderr, re.MULTILINE)
    assert notice.startswith(f"::notice title=releasetag::{image}:latest is kept: names 2.0.0")


def test_the_summary_and_the_table_say_what_each_tag_named_before(
    run: Run, registry: RegistryServer, git_repository: GitRepository, tmp_path: Path
) -> None:
    image, summary = f"{registry.address}/acme/app", tmp_path / "summary"
    for version in ("1.2.2", "1.2.3"):
        git_repository.write({**scratch_files(), "version": version})
        git_repository.commit()
        git_repository.tag(f"v{version}")
        summary.write_text("")
        done = run(
            *("publish", "--image", image),
            cwd=git_repository.path,
            env={"GITHUB_STEP_SUMMARY": str(summary)},
        )
        assert done.returncode == 0, done

    rows = re.findall(
        r"^\| `\S+:([^`:]+)` \| pushed \| `\S+` \| (.*) \|  \|$", summary.read_text(), re.M
    )
    moved = "1.2.2 → 1.2.3"
    assert rows == [("1.2.3", "new: 1.2.3"), ("1.2", moved), ("latest", moved)]
    assert done.stdout.splitlines()[1:] == [
        f"  pushed  {image}:1.2.3",
        f"  pushed  {image}:1.2     was 1.2.2",
        f"  pushed  {image}:latest  was 1.2.2",
    ]


# Installing ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published_action(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What users get of this repository, so far as the action uses it."""
    copy = tmp_path_factory.mktemp("action")
    for name in ("action.yml", "requirements.txt"):
        shutil.copy(ROOT / name, copy)
    for name in ("action", "releasetag"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    return copy


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the action installs: asked of the package index once, and not by every workflow."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
    done = subprocess.run(
        [
            *pip,
            "--only-binary=:all:",
            "--no-deps",
            "--dest",
            folder,
            "--requirement",
            ROOT / "requirements.txt",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


class Index:
    """An index of these wheels, in the JSON that the package index has.

    Attributes:
        url: as pip is given it.
        seen: what was asked for, each once.
        spoiled: the names of wheels that hold something else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: set[str] = set()
        self.spoiled: set[str] = set()
        self._server = QuietHTTPServer(("127.0.0.1", 0), index_handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/simple"

    def answer(self, path: str) -> bytes | None:
        """What is there, if anything is."""
        self.seen.add(path)
        match path.strip("/").split("/"):
            case ["simple", package]:
                wheels = [w for w in self.folder.iterdir() if canonical_name(w) == package]
                return json.dumps({"files": [*map(index_entry, wheels)]}).encode()
            case ["files", name]:
                return b"spoiled" if name in self.spoiled else (self.folder / name).read_bytes()
        return None

    def __enter__(self) -> "Index":
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()


def canonical_name(wheel: Path) -> str:
    return canonicalize_name(wheel.name.partition("-")[0])


def index_entry(wheel: Path) -> dict[str, object]:
    """A file of a package, as PEP 691 has it."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    url = f"../../files/{wheel.name}"
    return {"filename": wheel.name, "url": url, "hashes": {"sha256": digest}}


def index_handler(index: Index) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = index.answer(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def index(wheels: Path) -> Iterator[Index]:
    with Index(wheels) as index:
        yield index


@dataclass(frozen=True)
class Installation:
    """What the step of the action that installs left behind."""

    output: str
    python: str
    packages: frozenset[str]


def install(action: Path, folder: Path, environ: dict[str, str], path: str = "") -> Installation:
    script = re.search(r" id: install\n(?:.*\n)*?.* run: \|\n((?: {8}.*\n|\n)+)", ACTION)
    assert script
    output = folder / "output"
    output.write_text("")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script[1]],
        env={
            **clean_environ(folder),
            "PATH": f"{path}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(folder / "runner"),
            "GITHUB_ACTION_PATH": str(action),
            "GITHUB_OUTPUT": str(output),
            **environ,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    python = output.read_text().strip().removeprefix("python=")
    shown = (
        "import releasetag, json, importlib.metadata as m; print(releasetag.__file__);"
        " print(*(f'{d.name}=={d.version}'.lower() for d in m.distributions()))"
    )
    file, packages = subprocess.run(
        [python, "-I", "-c", shown], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert file == f"{action}/releasetag/__init__.py"
    return Installation(done.stdout, python, frozenset(packages.split()))


def locked() -> frozenset[str]:
    """What the lock names for this machine."""
    lock = (ROOT / "requirements.txt").read_text()
    return frozenset(re.findall(r"^(\S+==\S+) \\$", lock, re.MULTILINE))


def test_it_installs_what_the_lock_names_without_pip(
    published_action: Path, index: Index, tmp_path: Path
) -> None:
    environ = {"PIP_INDEX_URL": index.url, "PIP_FIND_LINKS": "/nowhere"}
    done = install(published_action, tmp_path, environ)

    assert "left to pip" not in done.output
    normal = {name.replace("_", "-") for name in done.packages}
    assert normal == {name.replace("_", "-") for name in locked()}
    # One page and one wheel of each package; the Python that is there has every one of them.
    assert len(index.seen) == 2 * len(normal)
    again = install(published_action, tmp_path, {"PIP_INDEX_URL": "http://127.0.0.1:1/"})
    assert again.output == ""


def test_what_an_index_cannot_say_is_left_to_pip(
    published_action: Path, wheels: Path, tmp_path: Path
) -> None:
    environ = {"PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_RETRIES": "0"}
    environ |= {"PIP_FIND_LINKS": wheels.as_uri()}

    done = install(published_action, tmp_path, environ)

    assert "left to pip: " in done.output
    assert len(done.packages) == len(locked())


def test_a_wheel_that_the_lock_does_not_name_is_not_installed(
    published_action: Path, index: Index, tmp_path: Path
) -> None:
    index.spoiled = {file.name for file in index.folder.glob("semver-*")}

    with pytest.raises(AssertionError, match="DO NOT MATCH THE HASHES"):
        install(published_action, tmp_path, {"PIP_INDEX_URL": index.url, "PIP_FIND_LINKS": ""})

    (packages,) = (tmp_path / "runner").glob("**/site-packages")
    assert not list(packages.glob("semver*"))


@pytest.mark.slow
def test_it_installs_with_a_python_that_has_no_pip(
    published_action: Path, wheels: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    environ = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels.as_uri()}

    install(published_action, tmp_path, environ, path=f"{tmp_path}/bare/bin")


# Under act ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Workflow:
    """What a workflow left behind.

    Attributes:
        results: the folder that its steps have in `$RESULTS`.
        seen: the command lines of all processes while it ran.
    """

    returncode: int
    output: str
    results: Path
    seen: frozenset[str]

    def outputs(self, step: str) -> dict[str, str]:
        """The outputs of a step, as a later step wrote them to `$RESULTS/STEP`."""
        outputs: dict[str, str] = json.loads((self.results / step).read_text())
        return outputs


RELEASED = ("push", {"ref": "refs/tags/v1.2.3"})
"""The event of a release, and what it holds."""


class RunWorkflow(Protocol):
    """Runs a job with these steps for v1.2.3, which has secrets.PASSWORD and a token."""

    def __call__(
        self,
        repository: GitRepository,
        steps: str,
        *args: str,
        env: dict[str, str] | None = None,
        password: str = "",
        event: tuple[str, dict[str, Any]] = RELEASED,
    ) -> Workflow: ...


@pytest.fixture(scope="module")
def github_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fake of actions/github-script, which cannot be fetched here: it hands the same on.

    act has no cache with such a token, so the fake makes them up.
    """
    action = tmp_path_factory.mktemp("github-script")
    (action / "action.yml").write_text("""\
name: github-script
inputs: { script: { required: true } }
outputs:
  token: { value: "${{ steps.set.outputs.token }}" }
  url: { value: "${{ steps.set.outputs.url }}" }
  v2: { value: "${{ steps.set.outputs.v2 }}" }
runs:
  using: composite
  steps:
    - id: set
      shell: bash
      run: |
        echo token=token-of-the-cache >> "$GITHUB_OUTPUT"
        echo url=https://results.test/ >> "$GITHUB_OUTPUT"
        echo v2=true >> "$GITHUB_OUTPUT"
""")
    return action


@pytest.fixture
def run_workflow(
    engine: Engine,
    home: Path,
    tmp_path: Path,
    published_action: Path,
    github_script: Path,
    index: Index,
) -> RunWorkflow:
    """Runs workflows with a home directory of the test's own."""
    act = Path(sys.executable).with_name("act")
    results = tmp_path / "results"
    results.mkdir()

    def run_workflow(
        repository: GitRepository,
        steps: str,
        *args: str,
        env: dict[str, str] | None = None,
        password: str = "",
        event: tuple[str, dict[str, Any]] = RELEASED,
    ) -> Workflow:
        name, payload = event
        workflow, event_file, secrets = (
            tmp_path / name for name in ("job.yml", "event", "secrets")
        )
        workflow.write_text(JOB + steps)
        event_file.write_text(json.dumps(payload))
        # In a file, so that only the action can have put the password into a command line. A line
        # break is what a pasted secret often ends in.
        secrets.write_text(f'PASSWORD="{password}\\r\\n\\n"\nGITHUB_TOKEN="{TOKEN}"\n')
        (tmp_path / "constraints").write_text("rich<1\n")
        of_job = engine.environ | {
            "RESULTS": str(results),
            "PIP_INDEX_URL": index.url,
            # What a job may want for its own packages.
            "PIP_CONSTRAINT": str(tmp_path / "constraints"),
            "PIP_TARGET": str(tmp_path / "target"),
        }
        command: list[str | Path] = [
            *(act, name, "--workflows", workflow, "--eventpath", event_file),
            *("--platform", "ubuntu-latest=-self-hosted", "--container-daemon-socket=-"),
            *("--local-repository", f"releasetag/releasetag@v1={published_action}"),
            *("--local-repository", f"{GITHUB_SCRIPT}={github_script}"),
            # Without its mask over them, secrets would be seen if they were printed.
            *("--no-cache-server", "--secret-file", secrets, "--insecure-secrets"),
            *(f"--env={name}={value}" for name, value in (of_job | (env or {})).items()),
            *args,
        ]
        process = subprocess.Popen(
            command,
            cwd=repository.path,
            env=clean_environ(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with watched_processes() as seen:
            output, _ = process.communicate(timeout=TIMEOUT)
        return Workflow(process.returncode, output, results, frozenset(seen))

    return run_workflow


JOB = """\
on: { push: { tags: ["v*"], branches: [main] }, pull_request: , schedule: [{ cron: "0 0 * * *" }] }
jobs:
  publish:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
"""


@contextlib.contextmanager
def watched_processes() -> Iterator[set[str]]:
    """The command lines of all processes that anyone could see meanwhile."""
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):  # it ended meanwhile
                    seen.add(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


class GitHost:
    """A private repository as GitHub serves it: over TLS, to those who show the job's token."""

    def __init__(self, repository: Path, certificates: Path) -> None:
        authority = make_authority("git host")
        server = make_server_identity(authority)
        self.ca_file = certificates / "ca.crt"
        self.ca_file.write_bytes(authority.certificate_pem)
        identity = certificates / "server.pem"
        identity.write_bytes(server.key_pem + server.certificate_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity)
        self._server = QuietHTTPServer(("127.0.0.1", 0), handler(repository))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "GitHost":
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()


def handler(repository: Path) -> type[BaseHTTPRequestHandler]:
    """Git's "dumb" protocol: the files of a bare repository."""
    basic = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.headers.get("Authorization") != f"Basic {basic}":
                self._answer(401)
                return
            path = self.path.partition("?")[0].removeprefix("/acme/app.git/")
            self._answer(200, (repository / path).read_bytes())

        def _answer(self, status: int, body: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("WWW-Authenticate", 'Basic realm="GitHub"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def release(repository: GitRepository, **files: str) -> None:
    """Commit and tag v1.2.3 with something to build."""
    repository.write(scratch_files() | files)
    repository.commit()
    repository.tag("v1.2.3")


GATE = """\
#!/bin/sh
env > "$RESULTS/environment"
cp "$DOCKER_CONFIG/config.json" "$RESULTS/"
"""

PUBLISH = """\
      - uses: releasetag/releasetag@v1
        id: release
        with:
          images: |
            REGISTRY/acme/app
            REGISTRY/acme/mirror
          labels: team=web
          registry: REGISTRY
          username: alice
          password: ${{ secrets.PASSWORD }}
      - env:
          OUTPUTS: ${{ toJSON(steps.release.outputs) }}
          BAKE_FILE: ${{ steps.release.outputs.bake-file }}
        run: |
          printenv OUTPUTS > "$RESULTS/release"
          cp --preserve "$BAKE_FILE" "$RESULTS/bake.json"
"""


def test_a_release_of_a_private_repository_goes_to_a_registry_with_a_password(
    run_workflow: RunWorkflow,
    start_registry: StartRegistry,
    git_repository: GitRepository,
    home: Path,
    tmp_path: Path,
) -> None:
    registry = start_registry(auth="htpasswd")
    docker = home / ".docker"
    docker.mkdir()
    # The job has logged in before, and as somebody else; who comes later counts on that.
    logins = {"auths": {registry.address: {"auth": "Ym9iOmJvYg=="}}, "currentContext": "default"}
    (docker / "config.json").write_text(json.dumps(logins))
    release(git_repository, **{"gate.sh": GATE})
    bare = git_repository.bare_remote()
    # Only the remote knows this one, as it is with the usual shallow checkout.
    git_repository.git("push", "--quiet", "origin", "HEAD:refs/tags/v2.0.0")
    git_repository.git("update-server-info", env={"GIT_DIR": str(bare)})

    with GitHost(bare, tmp_path) as host:
        git_repository.git("remote", "set-url", "origin", f"https://{host.address}/acme/app.git")
        done = run_workflow(
            git_repository,
            PUBLISH.replace("REGISTRY", registry.address),
            f"--github-instance={host.address}",
            env={
                "GIT_SSL_CAINFO": str(host.ca_file),
                "RELEASETAG_TAGS": "{version},{major}.{minor},latest,{version}-web",
                "RELEASETAG_GATES": "./gate.sh",
            },
            password=registry.password,
        )

    assert done.returncode == 0, done.output
    outputs = done.outputs("release")
    printed = json.loads(outputs.pop("json"))
    published = registry.labels("acme/app", "1.2.3")
    assert outputs.pop("bake-file").endswith(".json")
    bake = done.results / "bake.json"
    assert bake.stat().st_mode & 0o077 == 0
    target = json.loads(bake.read_text())["target"]["docker-metadata-action"]
    assert target["labels"] == published
    assert target["args"] == {}  # which may be secrets, and later steps can read the file
    labels = outputs.pop("labels").splitlines()
    assert dict(line.split("=", 1) for line in labels) == published
    assert outputs.pop("annotations").splitlines() == [f"manifest:{line}" for line in labels]
    platform, _, digest = outputs.pop("digests").partition("=")
    assert re.fullmatch("linux/(amd64|arm64)", platform)
    assert digest == outputs["digest"]
    assert outputs == {
        "version": "1.2.3",
        "major": "1",
        "minor": "2",
        "patch": "3",
        "prerelease": "false",
        "digest": registry.digest("acme/app", "1.2.3"),
        "image-id": printed["image_id"],
        "complete": "true",
        "tags": "\n".join(
            f"{registry.address}/acme/{name}:{tag}"
            for name in ("app", "mirror")
            for tag in ("1.2.3", "1.2", "1.2.3-web")
        ),
        "tag-names": "1.2.3\n1.2\n1.2.3-web",
    }
    assert registry.tags("acme/mirror") == ["1.2", "1.2.3", "1.2.3-web"]
    assert registry.labels("acme/app", "1.2")["team"] == "web"
    # The remote's history was read, with the job's token: a later release holds latest.
    assert {tag["name"]: tag.get("held_by") for tag in printed["tags"]}["latest"] == "2.0.0"
    assert (
        f"| `{registry.address}/acme/app:1.2.3` | pushed | `{outputs['digest']}` |" in done.output
    )

    environment = (done.results / "environment").read_text()
    assert f"GITHUB_TOKEN={TOKEN}\n" in environment
    assert any("login --username=alice" in line for line in done.seen)  # so it was looked at
    basic = base64.b64encode(f"alice:{registry.password}".encode()).decode()
    assert json.loads((docker / "config.json").read_text()) == logins
    assert [file.name for file in docker.iterdir()] == ["config.json"]
    assert json.loads((done.results / "config.json").read_text()) == {
        **logins,
        "auths": {registry.address: {"auth": basic}},
    }
    private = re.findall("^DOCKER_CONFIG=(.*)$", environment, re.MULTILINE)
    assert len(private) == 1
    assert not Path(private[0]).exists()
    assert not (tmp_path / "target").exists()
    for place in (done.output, environment, *done.seen):
        assert registry.password not in place
        assert basic not in place


HOSTILE = """\
$(touch pwned) `touch pwned` ";touch pwned;" '; touch pwned; ' ${{ github.token }} $PATH
::set-output name=version::9.9.9
version=9.9.9
version<<EOF
9.9.9
EOF
"""

HOSTILE_INPUTS = """\
      - id: hostile
        run: |
          { echo "text<<end"; cat hostile.txt; echo end; } >> "$GITHUB_OUTPUT"
      - uses: releasetag/releasetag@v1
        id: labelled
        with:
          images: REGISTRY/acme/app
          labels: hostile=${{ steps.hostile.outputs.text }}
      - uses: releasetag/releasetag@v1
        id: login
        continue-on-error: true
        with:
          images: REGISTRY/acme/app
          registry: ${{ steps.hostile.outputs.text }}
          username: ${{ steps.hostile.outputs.text }}
          password: ${{ steps.hostile.outputs.text }}
      - uses: releasetag/releasetag@v1
        id: all
        continue-on-error: true
        with:
INPUTS
      - env:
          LABELLED: ${{ toJSON(steps.labelled.outputs) }}
          ALL: ${{ toJSON(steps.all.outputs) }}
          OUTCOMES: ${{ steps.login.outcome }} ${{ steps.all.outcome }}
        run: |
          printenv LABELLED > "$RESULTS/labelled"
          printenv ALL > "$RESULTS/all"
          printenv OUTCOMES > "$RESULTS/outcomes"
          find "$HOME" -name pwned > "$RESULTS/pwned"
"""


@pytest.mark.slow
def test_whatever_an_input_holds_is_only_text(
    run_workflow: RunWorkflow, registry: RegistryServer, git_repository: GitRepository
) -> None:
    release(git_repository, **{"hostile.txt": HOSTILE})
    login = {"registry", "username", "password", "working-directory"}
    every_input = "\n".join(
        f"          {name}: ${{{{ steps.hostile.outputs.text }}}}"
        for name in names("inputs")
        if name not in login | {"all", "verify", "plan-only"}
    )
    steps = HOSTILE_INPUTS.replace("REGISTRY", registry.address).replace("INPUTS", every_input)

    done = run_workflow(git_repository, steps)

    assert done.returncode == 0, done.output
    assert (done.results / "outcomes").read_text() == "failure failure\n"
    assert (done.results / "pwned").read_text() == ""
    assert done.outputs("labelled")["version"] == "1.2.3"
    everything = done.outputs("all")
    assert json.loads(everything.pop("json"))["error"]["kind"] == "usage"
    assert not any(everything.values())
    labels = registry.labels("acme/app", "1.2.3")
    assert labels["hostile"] == HOSTILE.splitlines()[0]


PLAN = """\
      - uses: releasetag/releasetag@v1
        id: meta
        with:
          images: registry.test/acme/app
          platforms: linux/amd64,linux/arm64
          labels: team={version}
          build-args: VERSION={version}
          username: alice
          password: ${{ secrets.PASSWORD }}
          plan-only: true
      - env:
          OUTPUTS: ${{ toJSON(steps.meta.outputs) }}
        run: |
          printenv OUTPUTS > "$RESULTS/meta"
          cp "${{ steps.meta.outputs.bake-file }}" "$RESULTS/bake.json"
"""


def test_a_step_that_only_plans_says_what_another_action_is_to_build(
    run_workflow: RunWorkflow, git_repository: GitRepository, tmp_path: Path
) -> None:
    """No registry answers at that address, and there is no docker."""
    release(git_repository)
    git_repository.bare_remote()
    # Only the remote knows this one.
    git_repository.git("push", "--quiet", "origin", "HEAD:refs/tags/v2.0.0")

    done = run_workflow(git_repository, PLAN, env={"DOCKER_HOST": "unix:///nowhere"})

    assert done.returncode == 0, done.output
    outputs = done.outputs("meta")
    references = ["registry.test/acme/app:1.2.3", "registry.test/acme/app:1.2"]
    assert outputs["tags"].splitlines() == references
    assert outputs["tag-names"] == "1.2.3\n1.2"
    assert (outputs["version"], outputs["digest"], outputs["complete"]) == ("1.2.3", "", "")
    plan = json.loads(outputs["json"])
    assert plan["references"] == references
    assert plan["tags"][-1]["held_by"] == "2.0.0"
    labels = outputs["labels"].splitlines()
    assert "team=1.2.3" in labels
    assert f"org.opencontainers.image.revision={git_repository.head}" in labels
    assert outputs["annotations"].splitlines() == [f"index:{label}" for label in labels]
    target = json.loads((done.results / "bake.json").read_text())["target"]
    assert target["docker-metadata-action"]["tags"] == references
    assert target["docker-metadata-action"]["args"]["VERSION"] == "1.2.3"
    assert "| `latest` | keep |" in done.output


ALL = """\
      - uses: releasetag/releasetag@v1
        id: all
        with:
          all: true
          verify: true
      - env:
          OUTPUTS: ${{ toJSON(steps.all.outputs) }}
        run: printenv OUTPUTS > "$RESULTS/all"
"""


def test_one_step_publishes_what_a_push_of_many_tags_has_released(
    run_workflow: RunWorkflow, registry: RegistryServer, git_repository: GitRepository
) -> None:
    names = ("api", "web")
    entries = [
        f'[[components]]\nname = "{name}"\ntag-prefix = "{name}/v"\n'
        f'images = ["{registry.address}/acme/{name}"]\nbuild.labels = {{ of = "{name}" }}\n'
        for name in names
    ]
    git_repository.write({**scratch_files(), "releasetag.toml": "".join(entries)})
    git_repository.commit()
    for name in names:
        git_repository.tag(f"{name}/v1.2.3")

    done = run_workflow(git_repository, ALL)

    assert done.returncode == 0, done.output
    outputs = done.outputs("all")
    tags = [f"{registry.address}/acme/{n}:{t}" for n in names for t in ("1.2.3", "1.2", "latest")]
    assert outputs["tags"].splitlines() == tags
    assert (outputs["complete"], outputs["digest"], outputs["bake-file"]) == ("true", "", "")
    publishes = json.loads(outputs["json"])["publishes"]
    for name, publish in zip(names, publishes, strict=True):
        assert publish["digest"] == registry.digest(f"acme/{name}", "latest")
        assert registry.labels(f"acme/{name}", "1.2.3")["of"] == name
        assert f"### `{name}/v1.2.3`" in done.output


CACHE = """\
      - id: publish
        uses: releasetag/releasetag@v1
        continue-on-error: true
        with:
          images: registry.test/acme/app
          cache: gha
      - shell: bash
        run: env > "$RESULTS/later"
"""


def test_the_token_of_the_cache_reaches_the_build_and_no_later_step(
    run_workflow: RunWorkflow, git_repository: GitRepository, tmp_path: Path
) -> None:
    """The docker command is a script that shows its environment, and has no buildx."""
    release(git_repository)
    docker = tmp_path / "programs" / "docker"
    docker.parent.mkdir()
    docker.write_text('#!/bin/sh\necho "$@" >> "$RESULTS/build"\nenv >> "$RESULTS/build"\nexit 1\n')
    docker.chmod(0o755)

    done = run_workflow(
        git_repository, CACHE, env={"PATH": f"{docker.parent}:{os.environ['PATH']}"}
    )

    assert done.returncode == 0, done.output
    assert "docker buildx is not installed" in done.output
    assert "omit --cache" in done.output
    build = (done.results / "build").read_text().splitlines()
    assert "buildx version" in build
    assert "ACTIONS_RUNTIME_TOKEN=token-of-the-cache" in build
    assert "ACTIONS_RESULTS_URL=https://results.test/" in build
    assert "token-of-the-cache" not in (done.results / "later").read_text()


SNAPSHOT = """\
      - uses: releasetag/releasetag@v1
        id: snapshot
        with:
          images: REGISTRY/acme/app
          snapshot: true
          username: alice
          password: ${{ secrets.MISSING }}
      - env:
          OUTPUTS: ${{ toJSON(steps.snapshot.outputs) }}
        run: printenv OUTPUTS > "$RESULTS/snapshot"
"""


@pytest.mark.parametrize(
    ("name", "payload", "tag"),
    [
        pytest.param("push", {"ref": "refs/heads/main"}, "edge", id="push"),
        pytest.param("pull_request", {"head": "mallory/app"}, "", id="fork"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("push", {"ref": "refs/tags/v1.2.3"}, "1.2.3"),
                ("schedule", {"ref": "refs/heads/main"}, "nightly"),
                ("pull_request", {"head": "acme/app"}, "pr-12"),
            )
        ),
    ],
)
def test_one_workflow_is_for_push_pull_request_schedule_and_tag(
    name: str,
    payload: dict[str, Any],
    tag: str,
    run_workflow: RunWorkflow,
    registry: RegistryServer,
    git_repository: GitRepository,
) -> None:
    release(git_repository)
    git_repository.bare_remote()
    head = git_repository.head
    if "head" in payload:
        of_head = {"sha": head, "ref": "topic", "repo": {"full_name": payload["head"]}}
        of_base = {"ref": "main", "repo": {"full_name": "acme/app"}}
        pull = {"number": 12, "head": of_head, "base": of_base}
        payload = {"number": 12, "pull_request": pull}
        git_repository.git("push", "--quiet", "origin", "HEAD:refs/pull/12/head")
    repository = {"default_branch": "main", "full_name": "acme/app"}

    done = run_workflow(
        git_repository,
        SNAPSHOT.replace("REGISTRY", registry.address),
        event=(name, {**payload, "repository": repository}),
    )

    assert done.returncode == 0, done.output
    outputs = done.outputs("snapshot")
    assert outputs["version"] == (tag or "pr-12")
    tags = set(registry.tags("acme/app"))
    if not tag:
        assert (tags, outputs["digest"]) == (set(), "")
        return
    expected = {"1.2.3", "1.2", "latest"} if tag == "1.2.3" else {tag, f"sha-{head[:7]}"}
    assert tags == expected
    assert outputs["digest"] == registry.digest("acme/app", tag)


FAILING = """\
      - uses: releasetag/releasetag@v1
        with:
          images: REGISTRY/acme/app
"""


def test_a_publish_that_fails_fails_the_job_with_its_exit_code(
    run_workflow: RunWorkflow, registry: RegistryServer, git_repository: GitRepository
) -> None:
    release(git_repository)
    labels = {"org.opencontainers.image.revision": "another commit"}
    registry.put_image("acme/app", "1.2.3", labels)

    done = run_workflow(git_repository, FAILING.replace("REGISTRY", registry.address))

    assert done.returncode == 1
    assert done.output.count("error: ") == 1
    assert done.output.count("hint: ") == 1
    assert done.output.count("::error title=releasetag%3A conflict::") == 1
    assert "Failure - Main Publish" in done.output
    assert "exit status 4" in done.output
    assert registry.tags("acme/app") == ["1.2.3"]
