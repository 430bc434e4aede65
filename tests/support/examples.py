"""How much of a sweep is tested in `make test`; `make test-slow` tests all of it."""

from collections.abc import Iterable
from typing import TypeVar

import pytest
from hypothesis import settings

QUICK = 10

T = TypeVar("T")


def examples(number: int, *, quick: int = 0) -> int:
    """All of so many examples with the profile `thorough`, else so few, or a tenth."""
    is_quick = settings().max_examples == QUICK
    return quick or max(1, number // 10) if is_quick else number


def mostly_slow(values: Iterable[T], *often: T) -> list[object]:
    """Parameters that are marked `slow`, but for some."""
    found = list(values)
    assert set(often) <= set(found)
    return [pytest.param(each, marks=() if each in often else pytest.mark.slow) for each in found]
