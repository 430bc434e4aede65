"""`releasetag history`: the releases by lines, on a real registry."""

import json
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support.cli import put_release
from tests.support.git import GitRepository
from tests.support.registry import RegistryServer


@pytest.fixture
def run(run_in_process: Run) -> Run:
    return run_in_process


@pytest.fixture
def app(git_repository: GitRepository) -> GitRepository:
    """The releases v1.9.0, v1.9.1, v2.0.0 and v2.1.0-rc.1."""
    for name in ("v1.9.0", "v1.9.1", "v2.0.0", "v2.1.0-rc.1"):
        git_repository.write({"name": name})
        git_repository.commit(name)
        git_repository.tag(name)
    return git_repository


def test_without_an_image_it_is_what_is_to_be(app: GitRepository, run: Run) -> None:
    done = run("history", "--ignore", "1.9.0", cwd=app.path)
    assert done.returncode == 0, done
    assert done.stdout == (
        "2.1\n"
        "  planned  v2.1.0-rc.1  2.1.0-rc.1\n"
        "2.0\n"
        "  planned  v2.0.0       2.0.0, 2.0, latest\n"
        "1.9\n"
        "  planned  v1.9.1       1.9.1, 1.9\n"
        "  ignored  v1.9.0\n"
    )


def test_with_images_it_is_what_is_and_what_is_missing(
    app: GitRepository, run: Run, registry: RegistryServer, second_registry: RegistryServer
) -> None:
    images = [f"{each.address}/acme/app" for each in (registry, second_registry)]
    for each in (registry, second_registry):
        put_release(each, "1.9.0", "1.9.0")
        put_release(each, "1.9.1", "1.9", "latest")
    args = ("history", "-i", images[0], "-i", images[1])

    same = run(*args, cwd=app.path)
    assert same.stdout == (
        f"{images[0]}\n{images[1]}\n"
        "2.1\n"
        "  unpublished  v2.1.0-rc.1\n"
        "2.0\n"
        "  unpublished  v2.0.0\n"
        "1.9\n"
        "  ok           v1.9.1  1.9.1, 1.9, latest\n"
        "  ok           v1.9.0  1.9.0\n"
    )
    put_release(second_registry, "2.0.0", "2.0")
    done = run(*args, "--json", cwd=app.path)
    assert done.returncode == 0, done
    first, second = done.json["components"]
    assert (first["repositories"], second["repositories"]) == ([images[0]], [images[1]])
    (release,) = [each for each in second["releases"] if each["version"] == "2.0.0"]
    assert release["tags"] == ["2.0.0", "2.0"]
    assert release["wrong"] == [{"name": "latest", "status": "drift"}]
    assert release["revision"] == app.git("rev-parse", "v2.0.0")
    quiet = run(*args[:3], "-q", cwd=app.path)
    assert quiet.stdout == "v1.9.1\nv1.9.0\n"


VARIANTS = """
[[variants]]
name = "debian"
default = true
images = ["{one}"]
[[variants]]
name = "alpine"
images = {alpine}
"""


def test_a_release_from_before_a_variant_is_published(
    app: GitRepository, run: Run, registry: RegistryServer, second_registry: RegistryServer
) -> None:
    one, two = (f"{each.address}/acme/app" for each in (registry, second_registry))
    put_release(registry, "2.0.0", "2.0", "latest", "2.0.0-debian", "2.0-debian", "debian")
    app.write({"releasetag.toml": VARIANTS.format(one=one, alpine=json.dumps([one, two]))})
    done = run("history", "--json", cwd=app.path)
    first, second = done.json["components"]
    listed = [
        {each["version"]: (each["status"], each["tags"]) for each in tree["releases"]}
        for tree in (first, second)
    ]
    tags = ["2.0.0", "2.0.0-debian", "2.0", "latest", "2.0-debian", "debian"]
    assert listed[0]["2.0.0"] == ("ok", tags)
    assert listed[1]["2.0.0"] == ("unpublished", [])
    # Each repository has the tags of its own variants.
    put_release(second_registry, "2.0.0-alpine", "2.0-alpine", "alpine")
    done = run("history", "--json", cwd=app.path)
    (found,) = [e for e in done.json["components"][1]["releases"] if e["version"] == "2.0.0"]
    assert [tag for tag in found["tags"] if "debian" in tag or tag == "latest"] == []


def test_it_can_be_a_picture(app: GitRepository, run: Run, tmp_path: Path) -> None:
    done = run("history", "--svg", str(tmp_path / "h.svg"), cwd=app.path)
    assert done.returncode == 0, done
    picture = (tmp_path / "h.svg").read_text()
    assert picture.startswith("<svg ")
    assert "v2.1.0-rc.1" in picture
    assert "url(http" not in picture, "a picture loads nothing"
    refused = run("history", "--svg", str(tmp_path), cwd=app.path)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 2


def test_a_line_has_the_numbers_that_a_version_has(app: GitRepository, run: Run) -> None:
    for name in ("v2024.01.05", "v7"):
        app.tag(name, commit=app.commit(name))
    done = run("history", "--versions", "loose", "-t", "{version}", cwd=app.path)
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[:4] == [
        "2024.01",
        "  planned  v2024.01.05  2024.01.05",
        "7",
        "  planned  v7           7",
    ]
