"""What happened in a publish, gathered for those who tell it at the end."""

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from releasetag.plan import Plan
from releasetag.publish import Provenance
from releasetag.reference import Reference
from releasetag.tagging import TagResult

if TYPE_CHECKING:
    from releasetag.events import BuildEvent, PushEvent


@dataclass
class Record:
    """Keeps the last word on everything; a `releasetag.publish.Report`.

    Attributes:
        plan, build: as far as the publish came.
        published: by reference, in the order of the plan.
    """

    plan: Plan | None = None
    build: Provenance | None = None
    _published: dict[Reference, TagResult] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def planned(self, plan: Plan) -> None:
        """Keep the plan."""
        self.plan = plan

    def made(self, build: Provenance) -> None:
        """Keep where the image came from."""
        self.build = build

    def published(self, item: TagResult) -> None:
        """Keep what became of a reference."""
        with self._lock:
            self._published[item.reference] = item

    @property
    def items(self) -> tuple[TagResult, ...]:
        """What became of every reference so far, in the order of the plan."""
        with self._lock:
            known = dict(self._published)
        order = self.plan.references if self.plan else ()
        return tuple(known[reference] for reference in order if reference in known)

    def step(self, text: str, *, prints: bool = False) -> None:
        """Nothing to keep."""

    def building(self, event: "BuildEvent") -> None:
        """Nothing to keep."""

    def pushing(self, event: "PushEvent") -> None:
        """Nothing to keep."""

    def warn(self, text: str) -> None:
        """Nothing to keep."""
