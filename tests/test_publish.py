"""The main job on a real engine and real registries, with the command line in this process.

As a process it is in tests/cli, test_concurrency.py, test_crash.py and test_interrupt.py.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Run, StartProxy, StartRegistry
from tests.support.engine import Engine
from tests.support.fault import Call
from tests.support.git import DATE, GitRepository
from tests.support.image import busybox_files
from tests.support.registry import IMAGE_MANIFEST, RegistryServer

LABEL = "org.opencontainers.image."


@pytest.fixture
def run(run_in_process: Run) -> Run:
    return run_in_process


def release(app: GitRepository, name: str, content: str | None = None) -> None:
    """One more release, with another content."""
    app.write({"hello.txt": content or f"{name}\n"})
    app.commit(name)
    app.tag(name)


def names(registry: RegistryServer, repository: str = "acme/app") -> dict[str, str]:
    """What every tag of a repository names, asked without the program's own client."""
    return {tag: registry.digest(repository, tag) or "" for tag in registry.tags(repository)}


def versions(registry: RegistryServer, repository: str = "acme/app") -> dict[str, str]:
    """The version that the image behind every tag says it is."""
    tags = registry.tags(repository)
    return {tag: registry.labels(repository, tag)[f"{LABEL}version"] for tag in tags}


def test_a_release_is_one_digest_under_every_tag_of_every_registry(
    app: GitRepository, run: Run, registry: RegistryServer, second_registry: RegistryServer
) -> None:
    images = [f"{registry.address}/acme/app", f"{second_registry.address}/team/app"]
    done = run("publish", "-i", images[0], "-i", images[1], "--json", cwd=app.path)
    assert done.returncode == 0, done
    digest = done.json["digest"]
    expected = {"1.2.3": digest, "1.2": digest, "latest": digest}
    assert names(registry) == expected
    assert names(second_registry, "team/app") == expected
    assert [(each["reference"], each["status"]) for each in done.json["published"]] == [
        (f"{image}:{tag}", "pushed") for image in images for tag in ("1.2.3", "1.2", "latest")
    ]
    assert done.json["build"]["builder"] == "buildkit"
    assert done.json["build"]["reused"] is False
    assert re.fullmatch("sha256:[0-9a-f]{64}", done.json["image_id"])


def test_the_image_says_what_it_was_built_from(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    app.git("remote", "add", "origin", "https://alice:hunter2@example.invalid/acme/app.git")
    app.write(
        {"Dockerfile": f'FROM scratch\nLABEL {LABEL}title="Own title" {LABEL}version=0\nCOPY . /\n'}
    )
    revision = app.commit("labels")
    app.git("tag", "--force", "v1.2.3")
    done = run(
        "publish", "-i", f"{registry.address}/acme/app", "--history", "local",
        "--label", f"{LABEL}revision=forged", "--label", "team=core", cwd=app.path,
    )  # fmt: skip
    assert done.returncode == 0, done
    labels = registry.labels("acme/app", "1.2.3")
    assert labels == {
        f"{LABEL}version": "1.2.3",
        f"{LABEL}revision": revision,
        f"{LABEL}created": DATE.replace("+00:00", "Z"),
        f"{LABEL}source": "https://example.invalid/acme/app",
        f"{LABEL}title": "Own title",
        "team": "core",
    }


def test_no_blob_is_uploaded_twice_to_the_same_repository(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    done = run(
        "publish", "-i", f"{registry.address}/acme/app", "-t", "{version}", "-t", "{sha}",
        "-t", "{major}.{minor}", "-t", "latest", cwd=app.path,
    )  # fmt: skip
    assert done.returncode == 0, done
    uploads = [r for r in registry.requests() if r.startswith("PUT ") and "/blobs/uploads/" in r]
    assert len(uploads) == 2, uploads  # one layer, one configuration


def test_a_hotfix_of_an_old_line_leaves_latest_alone(
    app: GitRepository, run: Run, registry: RegistryServer, tmp_path: Path
) -> None:
    image = f"{registry.address}/acme/app"
    app.git("branch", "1.x")
    release(app, "v2.0.1")
    assert run("publish", "-i", image, cwd=app.path).returncode == 0
    app.git("checkout", "--quiet", "1.x")
    release(app, "v1.9.1")
    app.bare_remote()
    # As CI systems check out: one commit, one tag.
    shallow = app.clone(tmp_path / "checkout", depth=1, tag="v1.9.1")
    assert shallow.git("tag") == "v1.9.1"
    done = run("publish", "-i", image, "--json", cwd=shallow.path)
    assert done.returncode == 0, done
    assert versions(registry) == {
        "2.0.1": "2.0.1", "2.0": "2.0.1", "latest": "2.0.1", "1.9.1": "1.9.1", "1.9": "1.9.1",
    }  # fmt: skip
    kept = [tag for tag in done.json["tags"] if tag["action"] == "keep"]
    assert [(tag["name"], tag["held_by"]) for tag in kept] == [("latest", "2.0.1")]


def test_a_second_run_builds_nothing_and_fills_what_is_missing(
    app: GitRepository,
    run: Run,
    registry: RegistryServer,
    second_registry: RegistryServer,
    tmp_path: Path,
) -> None:
    first, added = f"{registry.address}/acme/app", f"{second_registry.address}/acme/app"
    done = run("publish", "-i", first, "--json", cwd=app.path)
    assert done.returncode == 0, done
    # Another machine: no engine there, and a registry that is new.
    away = {"DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    again = run("publish", "-i", first, "-i", added, "--json", cwd=app.path, env=away)
    assert again.returncode == 0, again
    assert again.json["build"]["reused"] is True
    assert again.json["digest"] == done.json["digest"]
    assert again.json["image_id"] == done.json["image_id"]
    assert names(second_registry) == names(registry)
    statuses = [each["status"] for each in again.json["published"]]
    assert statuses == ["unchanged"] * 3 + ["pushed"] * 3


def test_a_published_version_is_replaced_only_when_told_to(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    image = f"{registry.address}/acme/app"
    assert run("publish", "-i", image, cwd=app.path).returncode == 0
    before = names(registry)
    app.write({"hello.txt": "other\n"})
    app.commit("other")
    app.git("tag", "--force", "v1.2.3")
    refused = run("publish", "-i", image, "--json", cwd=app.path)
    assert refused.returncode == 4, refused
    assert refused.json["error"]["kind"] == "conflict"
    assert refused.json["build"] is None, "it must be refused before anything is built"
    assert names(registry) == before
    done = run("publish", "-i", image, "--overwrite", "--json", cwd=app.path)
    assert done.returncode == 0, done
    after = names(registry)
    assert set(after) == set(before)
    assert set(after.values()) == {done.json["digest"]} != set(before.values())


def test_the_same_commit_gives_the_same_digest(
    app: GitRepository,
    run: Run,
    registry: RegistryServer,
    second_registry: RegistryServer,
    tmp_path: Path,
) -> None:
    app.bare_remote()
    clone = app.clone(tmp_path / "clone")  # whose files are of another time
    digests = set()
    for tree, where in ((app, registry), (clone, second_registry)):
        image = f"{where.address}/acme/app"
        done = run("publish", "-i", image, "--json", cwd=tree.path)
        assert done.returncode == 0, done
        digests.add(done.json["digest"])
    assert len(digests) == 1


def test_an_image_of_the_engine_is_published_as_it_is(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    image = f"{registry.address}/acme/app"
    built = run(
        "publish", "-i", "local/app", "--no-push", "-t", "{version}", "--json", cwd=app.path
    )
    assert built.returncode == 0, built
    done = run("publish", "-i", image, "--from-image", "local/app:1.2.3", "--json", cwd=app.path)
    assert done.returncode == 0, done
    assert done.json["build"]["builder"] == "image"
    assert set(names(registry)) == {"1.2.3", "1.2", "latest"}
    again = run("publish", "-i", image, "--from-image", "local/app:1.2.3", "--json", cwd=app.path)
    assert again.json["build"]["reused"] is True, again


def test_an_image_without_labels_is_known_by_its_configuration(
    app: GitRepository, run: Run, registry: RegistryServer, second_registry: RegistryServer
) -> None:
    digest = second_registry.put_image("base/thing", "a", {})
    other = second_registry.put_image("base/thing", "b", {"some": "label"})
    args = ("publish", "-i", f"{registry.address}/acme/app", "--json", "--from-image")
    thing = f"{second_registry.address}/base/thing"
    for status in ("pushed", "unchanged"):
        done = run(*args, f"{thing}:a", cwd=app.path)
        assert done.returncode == 0, done
        assert {each["status"] for each in done.json["published"]} == {status}
    assert set(names(registry).values()) == {digest}
    refused = run(*args, f"{thing}@{other}", cwd=app.path)
    assert refused.returncode == 4, refused


def test_a_container_is_published_with_the_labels_of_the_release(
    app: GitRepository, run: Run, registry: RegistryServer, engine: Engine
) -> None:
    base = run(
        "publish", "-i", "local/base", "--no-push", "-t", "{version}", "--json", cwd=app.path
    )
    created = engine.request(
        "POST",
        "/containers/create",
        json.dumps({"Image": base.json["image_id"], "Cmd": ["none"]}).encode(),
    )
    container = json.loads(created)["Id"]
    done = run(
        "publish", "-i", f"{registry.address}/acme/app", "--from-container", container,
        "--json", cwd=app.path,
    )  # fmt: skip
    assert done.returncode == 0, done
    assert done.json["build"]["builder"] == "container"
    assert registry.labels("acme/app", "latest")[f"{LABEL}revision"] == app.head


def test_without_push_the_engine_alone_has_the_tags(
    app: GitRepository, run: Run, registry: RegistryServer, engine: Engine
) -> None:
    image = f"{registry.address}/acme/app"
    done = run("publish", "-i", image, "--no-push", "--json", cwd=app.path)
    assert done.returncode == 0, done
    assert registry.requests() == []
    for tag in ("1.2.3", "1.2", "latest"):
        found = json.loads(engine.get(f"/images/{image}:{tag}/json"))
        assert found["Id"] == done.json["image_id"]


def test_a_dry_run_changes_nothing_anywhere(
    app: GitRepository, run: Run, registry: RegistryServer, engine: Engine
) -> None:
    release(app, "v1.3.0", f"of {registry.address} alone\n")  # so that no other test has its commit
    image = f"{registry.address}/acme/app"
    done = run("publish", "-i", image, "--dry-run", "--json", cwd=app.path)
    assert done.returncode == 0, done
    assert done.json["published"] == []
    assert {request.split()[0] for request in registry.requests()} <= {"GET", "HEAD"}
    images = json.loads(engine.get("/images/json?all=1"))
    assert app.head not in [(i["Labels"] or {}).get(f"{LABEL}revision") for i in images]


def test_the_classic_builder_builds_the_same_release(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    image = f"{registry.address}/acme/app"
    done = run("publish", "-i", image, "--builder", "classic", "--json", cwd=app.path)
    assert done.returncode == 0, done
    assert done.json["build"]["builder"] == "classic"
    assert set(versions(registry).values()) == {"1.2.3"}


def test_a_failed_step_is_in_the_error_and_nothing_is_pushed(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    app.write(busybox_files('RUN ["/bin/busybox", "sh", "-c", "echo it is broken; exit 3"]\n'))
    app.commit("broken")
    app.tag("v1.2.4")
    done = run("publish", "-i", f"{registry.address}/acme/app", "--network", "none", cwd=app.path)
    assert done.returncode == 7, done
    assert "| it is broken" in done.stderr
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith("error: ")
    assert "exit code: 3" in error
    assert hint.startswith("hint: ")
    assert registry.tags("acme/app") == []


# Gates --------------------------------------------------------------------------------------------


def gate(directory: Path, script: str) -> str:
    """A gate command that runs a Python script."""
    path = directory / "gate.py"
    path.write_text(script)
    return f"python3 '{path}'"


def test_a_gate_sees_the_exact_tags_and_no_floating_one(
    app: GitRepository,
    run: Run,
    registry: RegistryServer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    command = gate(
        tmp_path,
        "import json, os, urllib.request\n"
        f"answer = urllib.request.urlopen('{registry.url}/v2/acme/app/tags/list')\n"
        "seen = {k: v for k, v in os.environ.items() if k.startswith('RELEASETAG_')}\n"
        "seen['tags'] = json.load(answer)['tags']\n"
        f"open(r'{tmp_path}/seen', 'w').write(json.dumps(seen))\n"
        "print('on standard output')\n",
    )
    image = f"{registry.address}/acme/app"
    done = run("publish", "-i", image, "--gate", command, "--json", cwd=app.path)
    assert done.returncode == 0, done
    digest = done.json["digest"]
    assert json.loads((tmp_path / "seen").read_text()) == {
        "RELEASETAG_VERSION": "1.2.3",
        "RELEASETAG_DIGEST": digest,
        "RELEASETAG_REFERENCES": f"{image}@{digest}",
        "tags": ["1.2.3"],
    }
    assert capfd.readouterr() == ("", "on standard output\n")
    assert set(names(registry)) == {"1.2.3", "1.2", "latest"}


def test_a_gate_that_refuses_leaves_the_exact_tag_and_the_next_run_takes_up_there(
    app: GitRepository, run: Run, registry: RegistryServer, tmp_path: Path
) -> None:
    script = f"import sys, os; sys.exit(0 if os.path.exists(r'{tmp_path}/open') else 3)"
    args = ("publish", "-i", f"{registry.address}/acme/app", "--gate", gate(tmp_path, script))
    refused = run(*args, "--json", cwd=app.path)
    assert refused.returncode == 10, refused
    assert refused.json["error"]["kind"] == "gate"
    assert set(names(registry)) == {"1.2.3"}
    (tmp_path / "open").touch()
    done = run(*args, "--json", cwd=app.path)
    assert done.returncode == 0, done
    assert done.json["build"]["reused"] is True
    assert set(names(registry)) == {"1.2.3", "1.2", "latest"}
    (tmp_path / "open").unlink()
    again = run(*args, "--json", cwd=app.path)
    assert again.returncode == 0, "it is published: there is nothing that a gate could hold back"
    assert "Running no gate" in again.stderr


def test_a_gate_runs_without_a_shell(
    app: GitRepository, run: Run, registry: RegistryServer, tmp_path: Path
) -> None:
    done = run(
        "publish", "-i", f"{registry.address}/acme/app",
        "--gate", f"echo $(touch {tmp_path}/pwned) ; touch {tmp_path}/pwned", cwd=app.path,
    )  # fmt: skip
    assert done.returncode == 0, done
    assert not (tmp_path / "pwned").exists()


# Second witness -----------------------------------------------------------------------------------


def test_a_higher_version_that_git_does_not_know_keeps_its_tag(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    higher = registry.put_image("acme/app", "1.9.0", {f"{LABEL}version": "1.9.0"})
    registry.put_image("acme/app", "latest", {f"{LABEL}version": "1.9.0"})
    done = run("publish", "-i", f"{registry.address}/acme/app", "--json", cwd=app.path)
    assert done.returncode == 0, done
    kept = [each for each in done.json["published"] if each["status"] == "kept"]
    assert [each["reference"].rpartition(":")[2] for each in kept] == ["latest"]
    assert "1.9.0" in kept[0]["reason"]
    assert registry.digest("acme/app", "latest") == higher


@pytest.mark.parametrize("ignore", [(), ("--ignore", "1.9.0")], ids=["inherited", "yanked"])
def test_a_label_alone_keeps_no_tag_and_neither_does_a_yanked_version(
    app: GitRepository, run: Run, registry: RegistryServer, ignore: tuple[str, ...]
) -> None:
    if ignore:
        registry.put_image("acme/app", "1.9.0", {f"{LABEL}version": "1.9.0"})
    registry.put_image("acme/app", "latest", {f"{LABEL}version": "1.9.0"})
    done = run("publish", "-i", f"{registry.address}/acme/app", *ignore, "--json", cwd=app.path)
    assert done.returncode == 0, done
    assert versions(registry)["latest"] == "1.2.3"


# Credentials --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("auth", ["htpasswd", "token"])
def test_a_registry_that_asks_who_we_are_is_told_what_login_stored(
    app: GitRepository, run: Run, start_registry: StartRegistry, home: Path, auth: str, tls: bool
) -> None:
    registry = start_registry(auth=auth, tls=tls)  # type: ignore[arg-type]
    image = f"{registry.address}/{registry.username}/app"
    nobody = run("publish", "-i", image, "--json", cwd=app.path)
    assert nobody.returncode == 6, nobody
    assert f"releasetag login {registry.address}" in nobody.json["error"]["hint"]
    wrong = run(
        "login", registry.address, "-u", registry.username, "--password-stdin",
        cwd=app.path, stdin="wrong-password-4711\n",
    )  # fmt: skip
    assert wrong.returncode == 6, wrong
    right = run(
        "login", registry.address, "-u", registry.username, "--password-stdin",
        cwd=app.path, stdin=f"{registry.password}\n",
    )  # fmt: skip
    assert right.returncode == 0, right
    done = run("publish", "-i", image, "-v", "--json", cwd=app.path)
    assert done.returncode == 0, done
    assert {each["status"] for each in done.json["published"]} == {"pushed"}
    for each in (nobody, wrong, right, done):
        for secret in (registry.password, "wrong-password-4711"):
            assert secret not in each.stdout + each.stderr
    stored = home / ".docker" / "config.json"
    assert json.loads(stored.read_text())["auths"].keys() == {registry.address}
    out = run("logout", registry.address, cwd=app.path)
    assert out.returncode == 0, out
    assert not json.loads(stored.read_text())["auths"]


def test_no_secret_is_in_any_output_or_in_the_image(
    app: GitRepository, run: Run, start_registry: StartRegistry, engine: Engine
) -> None:
    """Recognisable secrets through every path that takes one, at the highest verbosity."""
    registry = start_registry(auth="htpasswd")
    secret = "s3cr3t-recognisable"
    app.write(
        busybox_files(
            'RUN --mount=type=secret,id=key ["/bin/busybox", "sh", "-c",'
            ' "test $(wc -c < /run/secrets/key) -eq 19"]\n'
        )
    )
    app.commit("secret")
    app.tag("v1.3.0")
    app.git("remote", "add", "origin", f"http://bob:{secret}@127.0.0.1:1/acme/app.git")
    auths = {registry.address: {"username": registry.username, "password": registry.password}}
    env = {
        "KEY": secret,
        "GITHUB_TOKEN": secret,
        "DOCKER_AUTH_CONFIG": json.dumps({"auths": auths}),
    }
    image = f"{registry.address}/acme/app"
    done = run(
        "publish", "-i", image, "--secret", "id=key,env=KEY", "--network", "none", "-v", "--json",
        cwd=app.path, env=env,
    )  # fmt: skip
    assert done.returncode == 0, done
    auths[registry.address]["password"] = secret
    env["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": auths})
    denied = run("publish", "-i", image, "-v", "--json", cwd=app.path, env=env)
    assert denied.returncode == 6, denied
    for each in (done, denied):
        assert secret not in each.stdout + each.stderr
        assert registry.password not in each.stdout + each.stderr
    saved = engine.get(f"/images/{done.json['image_id']}/get")
    history = engine.get(f"/images/{done.json['image_id']}/history")
    assert len(saved) > 100_000, "the saved image holds its layers"
    assert secret.encode() not in saved + history


# Concurrency --------------------------------------------------------------------------------------


def test_a_higher_release_published_between_look_and_move_gets_its_tags_back(
    app: GitRepository,
    run: Run,
    registry: RegistryServer,
    start_proxy: StartProxy,
    tmp_path: Path,
) -> None:
    """The other run does all its work while this one's first move is on its way."""
    app.bare_remote()
    other = app.clone(tmp_path / "other")
    release(other, "v1.2.4")
    ran: list[subprocess.CompletedProcess[str]] = []

    def publish_other() -> None:
        other.push()
        done = run("publish", "-i", f"{registry.address}/acme/app", cwd=other.path)
        assert done.returncode == 0, done
        ran.append(done)  # type: ignore[arg-type]

    def decide(_index: int, method: str, path: str) -> Call | None:
        first = not ran and method == "PUT" and path.endswith("/manifests/1.2")
        return Call(publish_other) if first else None

    proxy = start_proxy(registry, decide)
    done = run("publish", "-i", f"{proxy.address}/acme/app", "--json", cwd=app.path)
    assert done.returncode == 0, done
    assert ran, "the other run has to have happened"
    assert versions(registry) == {
        "1.2.3": "1.2.3", "1.2.4": "1.2.4", "1.2": "1.2.4", "latest": "1.2.4",
    }  # fmt: skip
    statuses = {e["reference"].rpartition(":")[2]: e["status"] for e in done.json["published"]}
    assert statuses == {"1.2.3": "pushed", "1.2": "kept", "latest": "kept"}


def test_a_run_that_pushed_over_a_finished_one_of_the_same_version_puts_it_back(
    app: GitRepository, run: Run, registry: RegistryServer, start_proxy: StartProxy
) -> None:
    """The other run, whose build came out differently, ends while this one still uploads."""
    labels = {f"{LABEL}version": "1.2.3", f"{LABEL}revision": app.head}
    first: list[str] = []

    def publish_other() -> None:
        first.append(registry.put_image("acme/app", "1.2.3", labels))
        for tag in ("1.2", "latest"):
            registry.put_image("acme/app", tag, labels)

    def decide(_index: int, method: str, path: str) -> Call | None:
        is_first = not first and method == "PUT" and path.endswith("/manifests/1.2.3")
        return Call(publish_other) if is_first else None

    proxy = start_proxy(registry, decide)
    done = run("publish", "-i", f"{proxy.address}/acme/app", "--json", cwd=app.path)
    assert done.returncode == 0, done
    assert done.json["digest"] == first[0]
    assert names(registry) == dict.fromkeys(("1.2.3", "1.2", "latest"), first[0])


def test_no_floating_tag_moves_once_another_run_has_replaced_the_exact_tag(
    app: GitRepository, run: Run, registry: RegistryServer, tmp_path: Path
) -> None:
    labels = {f"{LABEL}version": "1.2.3", f"{LABEL}revision": app.head}
    theirs = registry.put_image("acme/app", "other", labels)
    script = (
        "import urllib.request as r\n"
        f"url = '{registry.url}/v2/acme/app/manifests/'\n"
        f"body = r.urlopen(r.Request(url + 'other', headers={{'Accept': '{IMAGE_MANIFEST}'}}))\n"
        "kind = body.headers['Content-Type']\n"
        "put = r.Request(url + '1.2.3', body.read(), {'Content-Type': kind}, method='PUT')\n"
        "r.urlopen(put)\n"
    )
    image = f"{registry.address}/acme/app"
    done = run("publish", "-i", image, "--gate", gate(tmp_path, script), "--json", cwd=app.path)
    assert done.returncode == 4, done
    assert names(registry) == {"1.2.3": theirs, "other": theirs}


def test_floating_tags_follow_the_exact_tag_that_another_run_replaced_in_the_last_moment(
    app: GitRepository, run: Run, registry: RegistryServer, start_proxy: StartProxy
) -> None:
    labels = {f"{LABEL}version": "1.2.3", f"{LABEL}revision": app.head}
    theirs: list[str] = []

    def decide(_index: int, method: str, path: str) -> Call | None:
        is_first = not theirs and method == "PUT" and path.endswith("/manifests/latest")
        replace = lambda: theirs.append(registry.put_image("acme/app", "1.2.3", labels))  # noqa: E731
        return Call(replace) if is_first else None

    proxy = start_proxy(registry, decide)
    done = run("publish", "-i", f"{proxy.address}/acme/app", "--json", cwd=app.path)
    assert done.returncode == 4, done
    assert names(registry) == dict.fromkeys(("1.2.3", "1.2", "latest"), theirs[0])


def test_a_dry_run_misses_a_container_that_is_not_there(
    app: GitRepository, run: Run, registry: RegistryServer
) -> None:
    args = ("publish", "-i", f"{registry.address}/acme/app", "--from-container", "nosuch")
    for more in ((), ("--dry-run",)):
        done = run(*args, *more, "--json", cwd=app.path)
        assert done.returncode == 2, done
        assert "nosuch" in done.json["error"]["message"]


def test_an_image_that_the_engine_pulled_one_platform_of_keeps_all_of_them(
    app: GitRepository, run: Run, registry: RegistryServer, engine: Engine
) -> None:
    digests = {
        f"linux/{arch}": registry.put_image("base/app", arch, {}, platform=f"linux/{arch}")
        for arch in ("amd64", "arm64")
    }
    index = registry.put_index("base/app", "1", digests)
    base = f"{registry.address}/base/app"
    engine.request("POST", f"/images/create?fromImage={base}&tag=1")
    image = f"{registry.address}/acme/app"
    done = run("publish", "-i", image, "--from-image", f"{base}:1", "--json", cwd=app.path)
    assert done.returncode == 0, done
    assert done.json["digest"] == index
    assert set(names(registry).values()) == {index}
