"""A machine of its own for every test."""

from pathlib import Path

import pytest

from tests.support.credentials import Machine, machine_in


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_in(tmp_path)
