"""How many examples a property is tested with."""

from hypothesis import settings

QUICK = 10


def examples(number: int) -> int:
    """All of so many examples with the profile `thorough`, else a tenth."""
    return max(1, number * settings().max_examples // 100)
