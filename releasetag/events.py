"""What happens while the engine builds and pushes, as it happens. Values only, of any builder.

All text is clean: one line each, without control characters and escape sequences.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepStarted:
    """A build step runs; steps are numbered from 1 in the order in which they start."""

    number: int
    name: str


@dataclass(frozen=True)
class StepLog:
    """A line that a step printed, so many seconds after its start."""

    number: int
    seconds: float
    text: str


@dataclass(frozen=True)
class StepStatus:
    """How far a transfer or another part of a step is, in bytes; ``total`` 0 when unknown.

    ``seconds`` since its start, None when it never said when it started.
    """

    number: int
    name: str
    current: int
    total: int
    seconds: float | None
    is_done: bool


@dataclass(frozen=True)
class StepWarning:
    """A warning by the builder."""

    number: int
    text: str


@dataclass(frozen=True)
class StepCached:
    """A step's result was there already."""

    number: int


@dataclass(frozen=True)
class StepDone:
    """A step is done, after so many seconds."""

    number: int
    seconds: float


@dataclass(frozen=True)
class StepFailed:
    """A step failed; ``is_canceled`` when it was stopped because another one failed."""

    number: int
    error: str
    is_canceled: bool = False


BuildEvent = StepStarted | StepLog | StepStatus | StepWarning | StepCached | StepDone | StepFailed


@dataclass(frozen=True)
class LayerPushed:
    """How far the push of one layer is, in bytes; ``total`` 0 when unknown.

    By the engine, or from registry to registry. ``layer`` is the engine's short ID, or the first
    digits of the digest; empty where the line is about the push as a whole.
    """

    reference: str
    layer: str
    status: str
    current: int
    total: int


@dataclass(frozen=True)
class PushRetried:
    """A push failed for a transient reason and is retried."""

    reference: str
    reason: str


PushEvent = LayerPushed | PushRetried
