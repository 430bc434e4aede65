"""Every error that a user can cause, with its exit code and what to do about it.

The command line prints an error in two lines, the message and the hint; programs get the same
as JSON. Both must be free of credentials: put in what was asked for, never how.
"""

from collections.abc import Iterator
from typing import ClassVar


class ReleasetagError(Exception):
    """Something went wrong that the user can do something about.

    Args:
        message: what is wrong, one line, starting in lower case.
        hint: what to do about it, one line.
    """

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "internal"

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.hint = " ".join(hint.split())


class UsageError(ReleasetagError):
    """The command line, the configuration or the work tree is not fit for what was asked."""

    exit_code = 2
    kind = "usage"


class NoReleaseError(ReleasetagError):
    """There is no version tag to publish here."""

    exit_code = 3
    kind = "no-release"


class ConflictError(ReleasetagError):
    """Going on would replace a published image or move a tag down."""

    exit_code = 4
    kind = "conflict"


class EngineError(ReleasetagError):
    """The Docker Engine cannot be reached, or cannot do what was asked."""

    exit_code = 5
    kind = "engine"


class AuthError(ReleasetagError):
    """Authentication with a registry failed, or the account is not authorised."""

    exit_code = 6
    kind = "auth"


class BuildError(ReleasetagError):
    """The build failed.

    Args:
        log: the last lines of the failed step, for a person to read above the error.
    """

    exit_code = 7
    kind = "build"

    def __init__(self, message: str, hint: str, log: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint)
        self.log = log


class PushError(ReleasetagError):
    """A registry did not take, or did not give, what was asked."""

    exit_code = 8
    kind = "push"


class TransientError(PushError):
    """A push, or another request to a registry, failed and may succeed the next time.

    Args:
        retry_after: seconds that the registry asks to wait; None if it does not say.
        tries: how many tries have failed, where the engine has retried by itself.
    """

    def __init__(
        self, message: str, hint: str, retry_after: float | None = None, *, tries: int = 1
    ) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after
        self.tries = tries


class HistoryError(ReleasetagError):
    """The releases cannot be known, so no floating tag can be moved safely."""

    exit_code = 9
    kind = "history"


class GateError(ReleasetagError):
    """A gate refused: the exact tags are published, no floating tag moved."""

    exit_code = 10
    kind = "gate"


class InterruptError(ReleasetagError):
    """Ctrl-C or SIGTERM ended the program; its exit code is 128 and the signal's number."""

    kind = "interrupted"

    def __init__(self, message: str, hint: str, signal_number: int) -> None:
        super().__init__(message, hint)
        self.exit_code = 128 + signal_number  # type: ignore[misc] # the one error that has two


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what caused it, what caused that, and so on to the bottom."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
