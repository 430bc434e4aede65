"""requirements.txt, which the action installs, fits pyproject.toml. `make lock` makes it."""

import re
import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from typing import cast

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.run import ROOT

LOCK = (ROOT / "requirements.txt").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = [Requirement(text) for text in PROJECT["dependencies"]]
PYTHONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
ENVIRONMENTS = [
    {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": platform}
    for python in PYTHONS
    for platform in ("linux", "darwin")
]


@dataclass(frozen=True)
class Pin:
    """A package of the lock.

    Attributes:
        of: who needs it: packages, or the project itself as ``releasetag``.
    """

    requirement: Requirement
    hashes: tuple[str, ...]
    of: frozenset[str]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        (specifier,) = self.requirement.specifier
        assert specifier.operator == "=="
        return specifier.version


def read_pins() -> list[Pin]:
    pins = []
    for entry in re.split(r"^(?=\w)", LOCK, flags=re.MULTILINE)[1:]:
        requirement, *lines = entry.splitlines()
        of = re.findall(r"^    #(?: via)? +([\w-]+)(?: \(.*\))?$", entry, re.MULTILINE)
        hashes = [line.strip(" \\") for line in lines if "#" not in line]
        pins.append(Pin(Requirement(requirement.rstrip(" \\")), tuple(hashes), frozenset(of)))
    return pins


PINS = read_pins()


def pinned(requirement: Requirement, environment: dict[str, str]) -> Pin | None:
    """What an installation for this environment takes for a requirement; None if it needs none."""
    this_one = cast(dict[str, str], default_environment())
    everything = {**this_one, **environment, "extra": ""}
    if requirement.marker and not requirement.marker.evaluate(everything):
        return None
    found = [
        pin
        for pin in PINS
        if pin.name == canonicalize_name(requirement.name)
        and (pin.requirement.marker is None or pin.requirement.marker.evaluate(everything))
    ]
    assert len(found) == 1, f"{requirement}: run make lock"
    assert requirement.specifier.contains(found[0].version), f"{requirement}: run make lock"
    return found[0]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda of: "-".join(of.values()))
def test_every_dependency_is_in_the_lock_within_its_bounds(environment: dict[str, str]) -> None:
    for requirement in DEPENDENCIES:
        assert pinned(requirement, environment), requirement


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda of: "-".join(of.values()))
def test_what_a_pinned_package_needs_is_in_the_lock(environment: dict[str, str]) -> None:
    checked = 0
    for pin in PINS:
        try:
            found = distribution(pin.name)
        except PackageNotFoundError:
            continue  # for another platform
        if found.version == pin.version:  # another one may need others
            for text in found.requires or ():
                pinned(Requirement(text), environment)
            checked += 1
    assert checked


def test_nothing_is_in_the_lock_that_nobody_needs() -> None:
    direct = {pin.name for pin in PINS if "releasetag" in pin.of}
    assert direct == {canonicalize_name(each.name) for each in DEPENDENCIES}, "run make lock"
    needed, more = set[str](), direct
    while more:
        needed |= more
        more = {pin.name for pin in PINS if pin.of & more} - needed
    assert needed == {pin.name for pin in PINS}


def test_every_package_is_pinned_with_hashes() -> None:
    for pin in PINS:
        assert pin.version
        assert pin.hashes
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in pin.hashes), pin


def test_the_lock_names_no_index() -> None:
    for line in LOCK.splitlines():
        assert re.match(r"\s*#|\s+--hash=|[a-z]", line), line
        assert "://" not in line
        assert not line.startswith("-")
