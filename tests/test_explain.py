"""`releasetag explain`: every link from a tag to a commit, on a real registry."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.registry.test_referrers import attach
from tests.support.fake_registry import child, image, index
from tests.support.git import GitRepository
from tests.support.promises import REVISION, VERSION
from tests.support.registry import RegistryServer
from tests.support.run import Finished


@pytest.fixture
def run(run_in_process: Run) -> Run:
    return run_in_process


@pytest.fixture
def app(git_repository: GitRepository) -> GitRepository:
    """The releases v1.2.2, v1.2.3 and v1.3.0."""
    for name in ("v1.2.2", "v1.2.3", "v1.3.0"):
        git_repository.write({"name": name})
        git_repository.commit(name)
        git_repository.tag(name)
    return git_repository


@pytest.fixture
def repository(registry: RegistryServer) -> str:
    return f"{registry.address}/acme/app"


def put(registry: RegistryServer, app: GitRepository, version: str, *tags: str) -> str:
    """Put an image of a version and its commit under some tags; its digest."""
    labels = {VERSION: version, REVISION: app.git("rev-parse", f"v{version}^{{commit}}")}
    for tag in tags:
        digest = image(registry, "acme/app", tag, version.encode(), labels=labels)
    return digest


def checks(done: Finished) -> list[tuple[str, str]]:
    (found,) = done.json["tags"]
    return [(each["subject"], each["status"]) for each in found["checks"]]


def texts(done: Finished) -> dict[str, str]:
    (found,) = done.json["tags"]
    return {each["subject"]: each["text"] for each in found["checks"]}


def test_each_link_of_a_floating_tag(
    app: GitRepository, run: Run, registry: RegistryServer, repository: str
) -> None:
    digest = put(registry, app, "1.2.3", "1.2.3", "1.2")

    done = run("explain", "1.2", "-i", repository, "--json", cwd=app.path)

    assert done.returncode == 0, done
    (found,) = done.json["tags"]
    assert (found["reference"], found["version"]) == (f"{repository}:1.2", "1.2.3")
    assert found["digest"] == digest
    assert checks(done) == [
        ("tag", "ok"), ("image", "ok"), ("rule", "ok"), ("git tag", "ok"), ("signature", "note"),
        ("exact tag", "ok"), ("attached", "note"),
    ]  # fmt: skip
    assert texts(done)["signature"] == "the git tag v1.2.3 is not signed"
    assert texts(done)["attached"] == "no attestation and no signature"
    exact = run("explain", f"{repository}:1.2.3", "-i", repository, "--json", cwd=app.path)
    assert texts(exact)["rule"] == "an exact tag of this version, which never moves"
    quiet = run("explain", "1.2", "-i", repository, "-q", cwd=app.path)
    assert quiet.stdout == f"{repository}@{digest}\n"


def test_a_higher_release_is_a_problem_only_where_it_is_published(
    app: GitRepository, run: Run, registry: RegistryServer, repository: str
) -> None:
    put(registry, app, "1.2.3", "1.2.3", "latest")
    done = run("explain", "latest", "-i", repository, cwd=app.path)
    assert done.returncode == 0, done
    assert "  note  rule       v1.3.0 is higher and was never published" in done.stdout
    put(registry, app, "1.3.0", "1.3.0")
    done = run("explain", "latest", "-i", repository, "--json", cwd=app.path)
    assert done.returncode == 1
    assert ("rule", "problem") in checks(done)
    assert done.json["tags"][0]["version"] is None


def test_what_does_not_fit_is_a_problem(
    app: GitRepository, run: Run, registry: RegistryServer, repository: str
) -> None:
    put(registry, app, "1.2.2", "1.2.2", "1.2")
    other = {VERSION: "1.2.3", REVISION: "f" * 40}
    image(registry, "acme/app", "1.2.3", b"other", labels=other)
    image(registry, "acme/app", "nightly", b"nothing")
    image(
        registry, "acme/app", "1.3.0", b"elsewhere", labels={VERSION: "9.9.9", REVISION: "f" * 40}
    )
    for tag, subject, text in (
        ("1.2", "rule", "v1.2.3 is higher and published, so that {major}.{minor} should name it"),
        ("1.2.3", "git tag", f"v1.2.3 is at {app.git('rev-parse', 'v1.2.3')[:12]}, and the image"),
        ("nightly", "image", "does not say what version it is"),
        ("1.3.0", "git tag", "no release 9.9.9 is known to git"),
        ("missing", "tag", "names nothing"),
    ):
        done = run("explain", tag, "-i", repository, "--json", cwd=app.path)
        assert done.returncode == 1, (tag, done)
        assert (subject, "problem") in checks(done), tag
        assert texts(done)[subject].startswith(text), tag


@pytest.mark.parametrize(("tag", "status"), [("1.2.3", "note"), ("1.2", "problem")])
def test_a_yanked_version_is_known_to_git(
    app: GitRepository,
    run: Run,
    registry: RegistryServer,
    repository: str,
    tag: str,
    status: str,
) -> None:
    put(registry, app, "1.2.3", "1.2.3", "1.2")
    done = run("explain", tag, "-i", repository, "--ignore", "1.2.3", "--json", cwd=app.path)
    assert done.returncode == (1 if status == "problem" else 0), done
    assert ("rule", status) in checks(done)
    assert texts(done)["rule"] == "1.2.3 is ignored (yanked) by the settings"
    assert ("git tag", "ok") in checks(done)


def test_attestations_and_signatures_are_listed(
    app: GitRepository, run: Run, registry: RegistryServer, repository: str
) -> None:
    put(registry, app, "1.2.3", "amd64")
    image(registry, "acme/app", "attestation", b"{}")
    digest = index(
        registry,
        "acme/app",
        "1.2.3",
        child(registry, "acme/app", "amd64", platform={"os": "linux", "architecture": "amd64"}),
        child(
            registry,
            "acme/app",
            "attestation",
            platform={"os": "unknown", "architecture": "unknown"},
        ),
    )
    attach(registry, "acme/app", digest, "signature")
    image(registry, "acme/app", f"{digest.replace(':', '-')}.sig", b"old")
    done = run("explain", "1.2.3", "-i", repository, "--json", cwd=app.path)
    assert done.returncode == 0, done
    found = texts(done)
    assert found["platforms"] == "linux/amd64"
    assert found["attestations"] == "1 of BuildKit, in the index"
    assert found["attached"].endswith("1 cosign's .sig: not verified here")


@pytest.mark.parametrize("is_known", [True, False])
def test_the_signature_of_the_git_tag_is_verified(
    app: GitRepository,
    run: Run,
    registry: RegistryServer,
    repository: str,
    tmp_path: Path,
    is_known: bool,
) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = key.with_suffix(".pub").read_text() if is_known else "ssh-ed25519 AAAA"
    (tmp_path / "signers").write_text(f"* {public}\n")
    for name, value in (
        ("gpg.format", "ssh"),
        ("user.signingkey", str(key)),
        ("gpg.ssh.allowedSignersFile", str(tmp_path / "signers")),
    ):
        app.git("config", name, value)
    app.git("tag", "--sign", "--force", "--message", "signed", "v1.2.3", "v1.2.3^{}")
    put(registry, app, "1.2.3", "1.2.3")
    done = run("explain", "1.2.3", "-i", repository, "--json", cwd=app.path)
    assert ("signature", "ok" if is_known else "problem") in checks(done), done
    assert done.returncode == (0 if is_known else 1)


@pytest.mark.parametrize(
    ("tag", "message"),
    [("a b", "'a b' is no tag"), ("acme/other:1", "acme/other is none of the repositories")],
)
def test_what_is_no_tag_of_ours_is_refused(
    app: GitRepository, run: Run, repository: str, tag: str, message: str
) -> None:
    done = run("explain", tag, "-i", repository, cwd=app.path)
    assert done.returncode == 2, done
    assert message in done.stderr
