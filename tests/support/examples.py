"""How much of a sweep is tested in `make test`; `make test-slow` tests all of it."""

from collections.abc import Iterable

import pytest
from hypothesis import settings

QUICK = 10


def examples(number: int) -> int:
    """All of so many examples with the profile `thorough`, else a tenth."""
    return max(1, number * settings().max_examples // 100)


def mostly_slow(values: Iterable[str], *often: str) -> list[object]:
    """Parameters that are marked `slow`, but for some."""
    found = list(values)
    assert set(often) <= set(found)
    return [pytest.param(each, marks=() if each in often else pytest.mark.slow) for each in found]
