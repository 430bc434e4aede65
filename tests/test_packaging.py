"""What is released: the wheel, the sdist, the image's build and the workflow that makes them."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from releasetag.context.dockerfile import base_images, own_labels
from releasetag.context.tree import open_context, walk
from tests.support.run import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
VERSION = PROJECT["project"]["version"]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
BUILD_LOCK = (ROOT / "requirements-build.txt").read_text("utf-8")


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the sdist."""
    directory = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", directory],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return directory


def tracked(folder: str) -> set[str]:
    """The files of a folder that git knows, or would."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder]
    return set(subprocess.check_output(listed, cwd=ROOT, text=True).split())


def test_the_wheel_holds_the_package_and_the_manual_page(distributions: Path) -> None:
    with zipfile.ZipFile(next(distributions.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        page = wheel.read(f"releasetag-{VERSION}.data/data/share/man/man1/releasetag.1")
        entry_points = wheel.read(f"releasetag-{VERSION}.dist-info/entry_points.txt").decode()

    package = {name for name in names if name.startswith("releasetag/")}
    others = {name.partition("/")[0] for name in names - package}

    assert package == tracked("releasetag")
    assert {"releasetag/py.typed", "releasetag/config/releasetag.schema.json"} <= package
    assert others == {f"releasetag-{VERSION}.dist-info", f"releasetag-{VERSION}.data"}
    assert f"releasetag-{VERSION}.dist-info/licenses/LICENSE" in names
    assert page == (ROOT / "docs/releasetag.1").read_bytes()
    assert "releasetag = releasetag.__main__:main" in entry_points


def test_the_sdist_holds_what_builds_and_tests_it(distributions: Path) -> None:
    with tarfile.open(distributions / f"releasetag-{VERSION}.tar.gz") as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}

    for folder in ("releasetag", "docs", "tests", "scripts", "action"):
        assert tracked(folder) <= names
    for file in ("LICENSE", "README.md", "pyproject.toml", "Dockerfile", "requirements-build.txt"):
        assert file in names
    assert not [name for name in names if "__pycache__" in name or name.startswith(".venv")]


def test_what_builds_the_wheel_is_pinned_with_hashes_within_the_bounds() -> None:
    entries = re.split(r"^(?=\w)", BUILD_LOCK, flags=re.MULTILINE)[1:]
    pins = {}
    for entry in entries:
        requirement = Requirement(entry.split(" \\\n")[0])
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry)
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        pins[requirement.name] = specifier.version
    wanted = [*PROJECT["build-system"]["requires"]]
    wanted += (ROOT / "requirements-build.in").read_text("utf-8").splitlines()[1:]

    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pins[requirement.name]), "run make lock"


def test_the_image_is_built_from_the_package_and_nothing_else() -> None:
    names = {name for name, status in walk(open_context(ROOT, None))}
    files = {name for name in names if (ROOT / name).is_file()}

    assert files == tracked("releasetag") | {
        "LICENSE", "README.md", "docs/releasetag.1", "pyproject.toml",
        "requirements-build.txt", "requirements.txt",
    }  # fmt: skip


def test_the_image_has_one_base_that_can_be_another_and_runs_as_a_user() -> None:
    users = re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)

    assert len(base_images(DOCKERFILE)) == 1
    assert base_images(DOCKERFILE, {"BASE": "acme/python"}) == ["acme/python"]
    assert own_labels(DOCKERFILE, None) >= {"org.opencontainers.image.source"}
    assert users == ["1000:1000"]  # a number, which Kubernetes' runAsNonRoot can check
    assert DOCKERFILE.count("--require-hashes") == DOCKERFILE.count("--requirement ")


def test_every_action_of_the_workflows_is_pinned() -> None:
    for workflow in (ROOT / ".github/workflows").iterdir():
        for uses in re.findall(r"uses: (.*)", workflow.read_text("utf-8")):
            assert re.fullmatch(r"\S+@[0-9a-f]{40} # v[0-9.]+|\./ # .*", uses)
