"""cosign as a gate: signs what was pushed before a floating tag names it."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support.engine import forky
from tests.support.git import GitRepository
from tests.support.registry import RegistryServer

pytestmark = pytest.mark.engines

PASSWORD = "the key's own password"


class Cosign:
    """Debian forky's cosign with a key pair of the test's own, and no service of Sigstore's.

    Attributes:
        environ: what a gate needs to find it and the key.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        programs = directory / "bin"
        programs.mkdir()
        (programs / "cosign").symlink_to(forky(os.environ) / "usr/bin/cosign")
        self.environ = {
            "COSIGN_PASSWORD": PASSWORD,
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
        self._run("generate-key-pair")
        # Neither a transparency log nor a certificate authority is asked, nor where they are.
        for what in ("signing-config", "trusted-root"):
            self._run(what, "create", "--out", f"{what}.json")

    def gate(self, command: str = "sign", *options: str) -> str:
        """A gate for releasetag: sign or verify all that was pushed."""
        words = {
            "sign": (
                f"sign --yes --key {self._directory}/cosign.key"
                f" --signing-config {self._directory}/signing-config.json"
                f" --trusted-root {self._directory}/trusted-root.json"
            ),
            "verify": f"verify --insecure-ignore-tlog --key {self._directory}/cosign.pub",
        }[command]
        return f'sh -c "exec cosign {" ".join([words, *options])} $RELEASETAG_REFERENCES"'

    def has_signed(self, reference: str) -> bool:
        """Whether cosign finds a signature by this key."""
        key = ("--insecure-ignore-tlog", "--key", "cosign.pub")
        return self._run("verify", *key, reference, check=False).returncode == 0

    def _run(self, *args: str, check: bool = True) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            ["cosign", *args],
            cwd=self._directory,
            env={"HOME": str(self._directory), **self.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=check,
        )


@pytest.fixture
def cosign(tmp_path: Path) -> Cosign:
    """cosign with a new key pair."""
    return Cosign(tmp_path / "cosign")


@pytest.mark.parametrize("platforms", ["linux/amd64", "linux/amd64,linux/arm64"])
def test_every_tag_of_every_registry_names_what_cosign_signed(
    app: GitRepository,
    run: Run,
    registry: RegistryServer,
    second_registry: RegistryServer,
    cosign: Cosign,
    platforms: str,
) -> None:
    images = [f"{each.address}/acme/app" for each in (registry, second_registry)]
    args = ("publish", "-i", images[0], "-i", images[1], "--platform", platforms)
    gate = ("--gate", cosign.gate("sign", "--recursive"), "--json")
    done = run(*args, *gate, cwd=app.path, env=cosign.environ)
    assert done.returncode == 0, done
    assert done.json["digest"]  # standard output is one JSON value, whatever cosign prints
    assert PASSWORD not in done.stdout + done.stderr
    for image in images:
        assert all(cosign.has_signed(f"{image}:{tag}") for tag in ("1.2.3", "1.2", "latest"))
    if "," in platforms:
        assert cosign.has_signed(f"{images[0]}:1.2.3-linux-arm64")


def test_signatures_in_a_repository_are_no_releases(
    app: GitRepository, run: Run, registry: RegistryServer, cosign: Cosign
) -> None:
    image = f"{registry.address}/acme/app"
    args = ("-i", image, "--gate", cosign.gate(), "--json")
    for tag in ("v1.2.3", "v2.0.0", "v1.2.4"):  # the last one is a fix of an old line
        app.write({"hello.txt": tag})
        app.commit(tag)
        app.git("tag", "--force", tag)
        done = run("publish", *args, cwd=app.path, env=cosign.environ)
        assert done.returncode == 0, done
    assert registry.labels("acme/app", "latest")["org.opencontainers.image.version"] == "2.0.0"
    assert any(tag.startswith("sha256-") for tag in registry.tags("acme/app"))
    before = registry.tags("acme/app")
    again = run("publish", *args, cwd=app.path, env=cosign.environ)
    assert again.json["build"]["reused"] is True
    verified = run("verify", "-i", image, "--json", cwd=app.path)
    assert verified.returncode == 0, verified
    listed = {tag["name"] for tag in verified.json["repositories"][0]["tags"]}
    assert listed == {"1.2", "2.0", "latest"}
    assert registry.tags("acme/app") == before
    promoted = run("promote", "1.2.4", "-i", image, "-t", "stable", cwd=app.path)
    assert promoted.returncode == 0, promoted
    assert cosign.has_signed(f"{image}:stable")


def test_what_is_not_signed_gets_no_floating_tag_until_it_is(
    app: GitRepository, run: Run, registry: RegistryServer, cosign: Cosign
) -> None:
    image = f"{registry.address}/acme/app"
    args = ("publish", "-i", image, "--json")
    refused = run(*args, "--gate", cosign.gate("verify"), cwd=app.path, env=cosign.environ)
    assert refused.returncode == 10, refused
    assert registry.tags("acme/app") == ["1.2.3"]
    gates = ("--gate", cosign.gate("sign"), "--gate", cosign.gate("verify"))
    done = run(*args, *gates, cwd=app.path, env=cosign.environ)
    assert done.returncode == 0, done
    assert done.json["build"]["reused"] is True
    assert {"1.2.3", "1.2", "latest"} < set(registry.tags("acme/app"))


def test_cosign_that_would_ask_for_a_password_is_refused_and_does_not_wait(
    app: GitRepository, run: Run, registry: RegistryServer, cosign: Cosign
) -> None:
    image = f"{registry.address}/acme/app"
    environ = {"PATH": cosign.environ["PATH"]}
    done = run("publish", "-i", image, "--gate", cosign.gate(), cwd=app.path, env=environ)
    assert done.returncode == 10, done
    assert registry.tags("acme/app") == ["1.2.3"]
