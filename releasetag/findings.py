"""Finding: the outcome of one check, for a person and a program."""

from dataclasses import dataclass
from typing import Literal

FindingStatus = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        subject: what was checked: ``engine``, ``ghcr.io/acme/app``.
        status: ``ok``; ``note``: it works, and may surprise; ``problem``: it does not.
        text: what is so, for a person.
        hint: what to do; empty if there is nothing.
    """

    subject: str
    status: FindingStatus
    text: str
    hint: str = ""
