"""BuildInputs: what an image is built from, resolved once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from releasetag.build_secrets import Secret, SshAgent
    from releasetag.context.tree import BuildContext


@dataclass(frozen=True)
class BuildSettings:
    """The settings of a build that a builder takes as they are.

    A new one is a field here, a row in `config.schema`, and a line in each builder that has it.

    Attributes:
        platforms: ``linux/arm64``; none: the engine's own.
        cache_from: references whose layers may be reused.
        inline_cache: whether the image is to hold what ``cache_from`` needs.
        network: of RUN instructions: ``default``, ``none``, ``host``.
        add_hosts: ``name:address``.
        shm_size: of ``/dev/shm``, in bytes.
        secrets, ssh: as the options have them.
    """

    target: str | None = None
    platforms: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    inline_cache: bool = False
    no_cache: bool = False
    pull: bool = False
    network: str | None = None
    add_hosts: tuple[str, ...] = ()
    shm_size: int | None = None
    # Somebody may have put a secret itself where its name belongs.
    secrets: tuple[str, ...] = field(default=(), repr=False)
    ssh: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildInputs:
    """What an image is built from.

    Attributes:
        settings: those that need no resolving.
        commit_time: of the release, in seconds since 1970; the time of every file in the context.
        build_args: values by name.
        labels: of the image, without those that the Dockerfile's own win over.
        secrets, agents: what RUN instructions may mount, read from ``settings``.
    """

    context: "BuildContext"
    settings: BuildSettings = BuildSettings()
    commit_time: int = 0
    # People pass tokens as build arguments, though they should not.
    build_args: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple["Secret", ...] = ()
    agents: tuple["SshAgent", ...] = ()
