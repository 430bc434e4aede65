"""Every error: its exit code, two lines, one JSON object; nothing built, nothing pushed."""

import json
import signal
from pathlib import Path

import pytest

from tests.conftest import Run, StartRegistry
from tests.support.cli import assert_refused, no_engine, writes
from tests.support.engine import Engine
from tests.support.git import GitRepository
from tests.support.image import busybox_files, scratch_files
from tests.support.registry import RegistryServer, free_port
from tests.support.run import run_cli, start_cli

LONG = "x" * 125

# A command line, where IMAGE stands for a repository, and words that its two lines hold. All of it
# is refused before an engine or a registry is asked.
USAGE = [
    # Commands and options.
    ("bogus", "no such command 'bogus'"),
    ("pubish", "did you mean 'publish'?"),
    ("plan --xyzzy", "no such option: --xyzzy", "plan --help"),
    ("publish --pltform=x", "no such option: --pltform", "did you mean --platform?"),
    ("publish --jobs", "requires an argument", "publish --help"),
    ("plan . elsewhere", "unexpected argument: elsewhere"),
    ("promote", "missing argument 'VERSION'"),
    ("plan missing-directory", "missing-directory is not a directory"),
    # Repositories.
    ("publish", "no image is given", "--image"),
    ("verify", "no image is given", "--image"),
    ("promote 1.2.3", "no image is given", "--image"),
    ("plan -i acme/", "not a repository", "acme/app"),
    ("verify -i acme/", "not a repository", "acme/app"),
    ("publish -i acme/app:1.2.3", "is a reference", "acme/app"),
    ("promote 1.2.3 -i acme/app@sha256:00", "is a reference"),
    ("plan -i acme//app", "is not a repository"),
    # Tag templates.
    ("plan -t {verison}", "unknown field {verison}", "did you mean {version}?"),
    ("publish -i IMAGE -t {verison}", "unknown field {verison}", "did you mean {version}?"),
    ("plan -t {version.major}", "unknown field {version.major}"),
    ("plan -t {version!r}", "unknown field {version!r}"),
    ("plan -t {0}", "unknown field {0}"),
    ("plan -t {version", "unbalanced brace"),
    ("plan -t -latest", "cannot give a tag"),
    ("plan -t a/b", "cannot give a tag"),
    (f"plan -t {LONG}-{{version}}-x", "characters"),
    ("publish -i IMAGE -t latest", "no tag template gives an exact tag"),
    # Values.
    ("plan --history all", "--history: 'all'", "auto, local, remote"),
    ("plan --remote nowhere", "no git remote 'nowhere'"),
    ("plan --ignore 1.2", "--ignore: '1.2'"),
    ("plan --config missing.toml", "no configuration file missing.toml"),
    ("snapshot", "no image is given", "--image"),
    ("snapshot -i IMAGE --edge -x", "--edge: '-x' is not a tag"),
    ("snapshot -i IMAGE --edge latest", "the tag 'latest', which a release could have", "--edge"),
    ("snapshot -i IMAGE --gate true", "no such option: --gate"),
    ("publish -i IMAGE --jobs two", "--jobs: 'two'"),
    ("publish -i IMAGE --jobs 0", "--jobs: 0"),
    ("publish -i IMAGE --builder kaniko", "--builder: 'kaniko'", "buildkit"),
    ("publish -i IMAGE --platform amd64/", "--platform: 'amd64/'"),
    ("publish -i IMAGE --shm-size big", "--shm-size: 'big'"),
    ("publish -i IMAGE --build-arg =1", "--build-arg", "NAME=value"),
    ("publish -i IMAGE --label =1", "--label", "NAME=value"),
    ("publish -i IMAGE --secret token", "a secret is not written as", "id=ID"),
    ("publish -i IMAGE --secret id=a,src=missing", "the secret 'a'", "No such file"),
    ("publish -i IMAGE --secret id=a,env=MISSING", "variable of the secret 'a' is not set"),
    ("publish -i IMAGE --ssh a=missing.sock", "the SSH agent 'a'"),
    ("publish -i IMAGE --gate 'sign", "cannot be split into words", "close the quote"),
    ("publish -i IMAGE --gate cosing", "gate command not found: 'cosing'", "in PATH"),
    ("publish -i IMAGE --context missing", "/missing' does not exist"),
    ("publish -i IMAGE -f Missing", "there is no Dockerfile at"),
    ("publish -i IMAGE --metadata-file missing/file", "missing/file cannot be written"),
    ("publish -i IMAGE --metadata-file .", "cannot be written: Is a directory"),
    (f"publish -i IMAGE --metadata-file {'a' * 300}", "cannot be written: File name too long"),
    (f"publish -i IMAGE --file {'a' * 300}", "cannot be read: File name too long"),
    (f"plan {'a' * 300}", "cannot be looked at: File name too long"),
    ("publish -i IMAGE --from-image :", "':' is not a reference"),
    ("publish -i IMAGE --from-snapshot --from-image a", "of the commit is to be published"),
    ("publish -i IMAGE --from-snapshot --from-version 1.0.0", "both a snapshot and a version"),
    ("publish -i IMAGE --from-version 1.2.3", "1.2.3 is the release itself"),
    ("publish -i IMAGE --from-version x", "--from-version: 'x'"),
    ("publish -i IMAGE --from-snapshot --no-push", "is not in the engine", "--no-push"),
    ("publish -i IMAGE --from-snapshot --platform linux/arm64 --part linux/arm64", "a part is"),
    ("publish -i IMAGE --from-image a --from-container b", "both an image and a container"),
    ("promote 1.2 -i IMAGE", "'1.2' is not a version"),
    ("promote 1.2.3 -i IMAGE -t {version}", "no floating tag of 1.2.3", "exact tags never move"),
    ("promote 1.2.3 -i IMAGE -t 1.2.4", "no floating tag of 1.2.3", "exact tags never move"),
]


# One of every kind of them as a process of its own, which is how people and CI systems see it.
PROCESSES = [
    "bogus",
    "plan --xyzzy",
    "publish -i IMAGE --jobs two",
    "publish -i IMAGE --context missing",
    "promote 1.2 -i IMAGE",
]


@pytest.fixture(scope="module")
def image() -> str:
    """A repository in a registry that is not there: asking it would be another error."""
    return f"127.0.0.1:{free_port()}/acme/app"


def words(line: str, image: str) -> list[str]:
    """A command line with ``--json`` and ``--quiet`` behind its command."""
    command, *rest = [word.replace("IMAGE", image) for word in line.split(" ")]
    return [command, "--json", "--quiet", *rest]


@pytest.mark.parametrize(("line", "expected"), [(line, expected) for line, *expected in USAGE])
def test_a_bad_command_line_is_refused_before_anything_is_asked(
    line: str, expected: list[str], app: GitRepository, run_here: Run, image: str
) -> None:
    done = run_here(*words(line, image), cwd=app.path)
    assert_refused(done, 2, "usage", *expected)


@pytest.mark.parametrize("line", PROCESSES)
def test_a_process_ends_with_the_same(
    line: str, app: GitRepository, run_here: Run, home: Path, image: str, tmp_path: Path
) -> None:
    here = run_here(*words(line, image), cwd=app.path)
    done = run_cli(*words(line, image), cwd=app.path, home=home, env=no_engine(tmp_path))
    assert (done.returncode, done.stderr) == (here.returncode, here.stderr)
    assert done.json["error"] == here.json["error"]


def test_an_image_that_is_nowhere_is_refused(
    app: GitRepository, run_here: Run, registry: RegistryServer
) -> None:
    image = f"{registry.address}/acme/app"
    line = "publish -i IMAGE --from-image IMAGE:0.0.1"
    assert_refused(run_here(*words(line, image), cwd=app.path), 2, "usage", "there is no image")
    assert writes(registry) == []


# What an unset variable leaves of a command line.
EMPTY = [
    ("publish", "--from-image", ""),
    ("publish", "--from-container", ""),
    ("publish", "--context", ""),
    ("publish", "--file", " "),
    ("publish", "--target", ""),
    ("publish", "--platform", ""),
    ("publish", "--gate", ""),
    ("publish", "--image", ""),
    ("publish", "--jobs", ""),
    ("plan", "--git-tag", ""),
    ("plan", "--remote", ""),
    ("plan", "--config", ""),
    ("promote", "1.2.3", "--tag", ""),
    ("login", "--username", ""),
]
ARGUMENTS = [
    ("plan", "PATH"),
    ("publish", "PATH"),
    ("init", "PATH"),
    ("promote", "VERSION"),
    ("login", "REGISTRY"),
    ("logout", "REGISTRY"),
]


@pytest.mark.parametrize("line", EMPTY, ids=" ".join)
def test_an_empty_value_of_an_option_is_refused(
    line: tuple[str, ...], app: GitRepository, run_here: Run, image: str
) -> None:
    command, *rest = line
    where = ["-i", image] if command in {"publish", "promote"} else []
    done = run_here(command, "--json", "--quiet", *where, *rest, cwd=app.path)
    assert_refused(done, 2, "usage", f"{line[-2]} is empty", "a variable may be unset")


@pytest.mark.parametrize(("command", "argument"), ARGUMENTS)
def test_an_empty_argument_is_refused(
    command: str, argument: str, app: GitRepository, run_here: Run
) -> None:
    done = run_here(command, "--json", "--quiet", "", cwd=app.path)
    assert_refused(done, 2, "usage", f"{argument} is empty", "a variable may be unset")


@pytest.mark.parametrize("words", [("promote", "\udcff"), ("login", "--username", "\udcff")])
def test_bytes_that_are_not_utf_8_are_refused(
    words: tuple[str, ...], app: GitRepository, run_here: Run
) -> None:
    done = run_here(*words, "--json", "--quiet", cwd=app.path)
    assert_refused(done, 2, "usage", "is not UTF-8 text")


@pytest.mark.parametrize("key", ["remote", "build.context", "build.file"])
def test_a_nul_character_in_the_file_is_refused(
    key: str, app: GitRepository, run_here: Run
) -> None:
    app.write({"releasetag.toml": f'images = ["acme/app"]\n{key} = "a\\u0000b"\n'})
    done = run_here("publish", "--json", "--quiet", cwd=app.path)
    assert_refused(done, 2, "usage", f"releasetag.toml: {key} holds a NUL character")


def test_an_error_about_hostile_names_is_printable(app: GitRepository, run_here: Run) -> None:
    app.write({"releasetag.toml": '"\\u001b]0;title\\u0007\\u202eimages" = 1\n'})
    done = run_here("plan", "--json", "--quiet", cwd=app.path)
    assert_refused(done, 2, "usage", "unknown key")
    assert all(line.isprintable() for line in done.stderr.splitlines())


@pytest.mark.parametrize("command", ["plan", "publish", "verify", "promote 1.2.3"])
def test_a_program_that_wants_no_json_finds_nothing_on_standard_output(
    command: str, app: GitRepository, run_here: Run
) -> None:
    done = run_here(*command.split(), "-i", "acme/", cwd=app.path)
    assert done.returncode == 2, done
    assert done.stdout == "", done
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == ["error", "hint"], done


TREES = ["plan -i IMAGE", "publish -i IMAGE", "verify -i IMAGE", "promote 1.2.3 -i IMAGE"]


@pytest.mark.parametrize("line", TREES)
class TestWorkTree:
    """What can be wrong with the git repository, for every command that reads it."""

    def refused(self, line: str, image: str, run_here: Run, cwd: Path, **env: str) -> None:
        """Run in a directory."""
        words = line.replace("IMAGE", image).split()
        self.done = run_here(*words, "--json", "--quiet", cwd=cwd, env=env)

    def test_no_git_repository(self, line: str, image: str, run_here: Run, tmp_path: Path) -> None:
        self.refused(line, image, run_here, tmp_path)
        assert_refused(self.done, 2, "usage", "is not in a git repository")

    def test_an_owner_whom_git_does_not_trust(
        self, line: str, image: str, app: GitRepository, run_here: Run
    ) -> None:
        self.refused(line, image, run_here, app.path, GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
        assert_refused(self.done, 2, "usage", "dubious ownership", "safe.directory")

    def test_git_is_not_installed(
        self, line: str, image: str, app: GitRepository, run_here: Run, tmp_path: Path
    ) -> None:
        self.refused(line, image, run_here, app.path, PATH=str(tmp_path))
        assert_refused(self.done, 2, "usage", "git is not installed")

    def test_a_configuration_key_that_nobody_knows(
        self, line: str, image: str, app: GitRepository, run_here: Run
    ) -> None:
        app.write({"releasetag.toml": 'imagse = ["acme/app"]\n'})
        self.refused(line, image, run_here, app.path)
        assert_refused(self.done, 2, "usage", "unknown key 'imagse'", "did you mean 'images'?")

    def test_a_configuration_file_that_is_not_toml(
        self, line: str, image: str, app: GitRepository, run_here: Run
    ) -> None:
        app.write({"releasetag.toml": "images = [\n"})
        self.refused(line, image, run_here, app.path)
        assert_refused(self.done, 2, "usage", "releasetag.toml is not TOML")

    def test_a_remote_that_cannot_be_read(
        self, line: str, image: str, app: GitRepository, run_here: Run, tmp_path: Path
    ) -> None:
        app.git("remote", "add", "origin", str(tmp_path / "missing.git"))
        self.refused(f"{line} --history remote", image, run_here, app.path)
        assert_refused(self.done, 9, "history", "'origin'", "--history local")


@pytest.mark.parametrize("command", ["plan", "publish"])
class TestRelease:
    """What can be wrong with the release."""

    def test_no_version_tag_at_all(
        self, command: str, git_repository: GitRepository, run_here: Run, image: str
    ) -> None:
        git_repository.write(scratch_files())
        git_repository.commit()
        git_repository.tag("nightly")
        done = run_here(command, "-i", image, "--json", "--quiet", cwd=git_repository.path)
        assert_refused(done, 3, "no-release", "no version tag at HEAD", "git tag v0.1.0")

    def test_no_version_tag_here_names_the_nearest(
        self, command: str, app: GitRepository, run_here: Run, image: str
    ) -> None:
        app.commit("one more")
        done = run_here(command, "-i", image, "--json", "--quiet", cwd=app.path)
        assert_refused(done, 3, "no-release", "no version tag at HEAD", "v1.2.3, 1 commit back")

    def test_no_commit(
        self, command: str, git_repository: GitRepository, run_here: Run, image: str
    ) -> None:
        done = run_here(command, "-i", image, "--json", "--quiet", cwd=git_repository.path)
        assert_refused(done, 3, "no-release", "no commit yet")

    @pytest.mark.parametrize("name", ["v9.9.9", "nightly", "v1.2"])
    def test_no_such_git_tag(
        self, command: str, name: str, app: GitRepository, run_here: Run, image: str
    ) -> None:
        done = run_here(command, "-i", image, "--git-tag", name, "--json", "-q", cwd=app.path)
        assert_refused(done, 3, "no-release", f"'{name}'")

    def test_a_tag_too_long_for_this_version(
        self, command: str, app: GitRepository, run_here: Run, image: str
    ) -> None:
        app.tag(f"v1.2.4-{'a' * 130}")
        app.git("tag", "--delete", "v1.2.3")
        done = run_here(command, "-i", image, "--json", "--quiet", cwd=app.path)
        assert_refused(done, 2, "usage", "characters long", "at most 128")


class TestPublish:
    """What a publish refuses, or fails of, before anything is in a registry."""

    @pytest.fixture(autouse=True)
    def _parts(self, app: GitRepository, run_here: Run, registry: RegistryServer) -> None:
        self.app, self.run_here, self.registry = app, run_here, registry
        self.image = f"{registry.address}/acme/app"

    def refused(self, code: int, kind: str, *expected: str, args: str = "") -> None:
        """A publish of the image, where no engine is, is refused so."""
        done = self.run_here(
            "publish", "-i", self.image, *args.split(), "--json", "--quiet", cwd=self.app.path
        )
        assert_refused(done, code, kind, *expected)
        assert writes(self.registry) == []

    def test_a_dirty_work_tree(self) -> None:
        self.app.write({"hello.txt": "changed\n"})
        self.refused(2, "usage", "dirty", "hello.txt", "--allow-dirty")

    def test_a_git_tag_that_is_not_at_head(self) -> None:
        self.app.commit("one more")
        self.refused(2, "usage", "HEAD is at", "git checkout v1.2.3", args="--git-tag v1.2.3")

    def test_no_dockerfile(self) -> None:
        self.app.git("rm", "--quiet", "Dockerfile")
        self.app.commit("no Dockerfile")
        self.app.git("tag", "--force", "v1.2.3")
        self.refused(2, "usage", "there is no Dockerfile", "--file")

    def test_no_engine(self) -> None:
        self.refused(5, "engine", "no-engine.sock")

    def test_a_dry_run_without_an_engine(self) -> None:
        self.refused(5, "engine", "no-engine.sock", args="--dry-run")

    def test_a_container_that_does_not_exist(self, engine: Engine) -> None:
        done = self.run_here(
            "publish", "-i", self.image, "--from-container", "missing", "--json", "--quiet",
            cwd=self.app.path, env=engine.environ,
        )  # fmt: skip
        assert_refused(done, 2, "usage", "no container 'missing'")
        assert writes(self.registry) == []

    def test_a_shallow_clone_whose_remote_cannot_be_read(self, tmp_path: Path) -> None:
        remote = self.app.bare_remote()
        self.app = self.app.clone(tmp_path / "shallow", depth=1, tag="v1.2.3")
        remote.rename(tmp_path / "away.git")
        self.refused(9, "history", "shallow", "--history local")

    def test_an_exact_tag_from_another_commit(self) -> None:
        self.registry.put_image("acme/app", "1.2.3", {})
        before = writes(self.registry)
        done = self.run_here("publish", "-i", self.image, "--json", "--quiet", cwd=self.app.path)
        assert_refused(done, 4, "conflict", "published already", "--overwrite")
        assert writes(self.registry) == before

    def test_an_unreachable_registry(self, engine: Engine, no_waiting: None) -> None:
        image = f"127.0.0.1:{free_port()}/acme/app"
        done = self.run_here(
            "publish", "-i", image, "--json", "--quiet", cwd=self.app.path, env=engine.environ
        )
        assert_refused(done, 8, "push", "cannot be reached")

    def test_a_build_that_fails_prints_the_end_of_its_log(self, run: Run) -> None:
        self.app.write(busybox_files('RUN echo "the reason"; exit 3\n'))
        self.app.commit("fails")
        self.app.git("tag", "--force", "v1.2.3")
        done = run(
            "publish", "-i", self.image, "--network", "none", "--json", "--quiet",
            cwd=self.app.path,
        )  # fmt: skip
        assert done.returncode == 7, done
        error = done.json["error"]
        assert (error["code"], error["kind"]) == (7, "build")
        assert "exit code: 3" in error["message"]
        *log, message, hint = done.stderr.splitlines()
        assert log == ["  | the reason"]
        assert message == f"error: {error['message']}"
        assert hint == f"hint: {error['hint']}"
        assert writes(self.registry) == []


@pytest.mark.parametrize("line", ["publish", "verify", "promote 1.2.3"])
def test_a_wrong_password(
    line: str,
    app: GitRepository,
    run_here: Run,
    engine: Engine,
    start_registry: StartRegistry,
    home: Path,
) -> None:
    registry = start_registry(auth="htpasswd")
    (home / ".docker").mkdir()
    wrong = {"auths": {registry.address: {"auth": "YWxpY2U6aHVudGVyMg=="}}}  # alice:hunter2
    (home / ".docker" / "config.json").write_text(json.dumps(wrong))
    image = f"{registry.address}/acme/app"
    done = run_here(
        *line.split(), "-i", image, "--json", "--quiet", cwd=app.path, env=engine.environ
    )
    assert_refused(done, 6, "auth", f"releasetag login {registry.address}")
    assert "hunter2" not in done.stderr + done.stdout
    assert writes(registry) == []


@pytest.mark.parametrize("line", ["verify", "promote 1.2.3"])
def test_an_unreachable_registry_needs_no_engine_to_say_so(
    line: str, app: GitRepository, run_here: Run, no_waiting: None
) -> None:
    image = f"127.0.0.1:{free_port()}/acme/app"
    done = run_here(*line.split(), "-i", image, "--json", "--quiet", cwd=app.path)
    assert_refused(done, 8, "push", "cannot be reached")


def test_an_unwritable_output_of_github_actions_is_reported(
    app: GitRepository, run: Run, registry: RegistryServer, tmp_path: Path
) -> None:
    image = f"{registry.address}/acme/app"
    env = {"GITHUB_OUTPUT": str(tmp_path / "missing" / "output")}
    done = run("publish", "-i", image, "--json", "--quiet", cwd=app.path, env=env)
    assert_refused(done, 2, "usage", "GITHUB_OUTPUT")
    assert [item["status"] for item in done.json["published"]] == ["pushed"] * 3


@pytest.mark.parametrize(
    ("line", "expected"), [("plan -i acme/app", []), ("plan -i acme/ --json", ["error", "hint"])]
)
def test_a_reader_that_has_seen_enough_is_no_error(
    line: str, expected: list[str], app: GitRepository, home: Path
) -> None:
    process = start_cli(*line.split(), cwd=app.path, home=home)
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    assert [line.partition(":")[0] for line in process.stderr] == expected
    assert process.wait() == 128 + signal.SIGPIPE
