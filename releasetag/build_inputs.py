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
        cache: where layers are kept between runs: ``gha``, ``registry`` or ``off``.
        cache_from: references whose layers may be reused, or buildx's ``type=…``.
        cache_to: where buildx exports the cache of the build.
        inline_cache: whether the image is to hold what ``cache_from`` needs.
        network: of RUN instructions: ``default``, ``none``, ``host``.
        add_hosts: ``name:address``.
        shm_size: of ``/dev/shm``, in bytes.
        secrets, ssh: as the options have them.
    """

    target: str | None = None
    platforms: tuple[str, ...] = ()
    cache: str = "off"
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    inline_cache: bool = False
    no_cache: bool = False
    pull: bool = False
    network: str | None = None
    add_hosts: tuple[str, ...] = ()
    shm_size: int | None = None
    # Somebody may have put a secret itself where its name belongs.
    secrets: tuple[str, ...] = field(default=(), repr=False)
    ssh: tuple[str, ...] = ()
    # As buildx has them.
    provenance: str | None = None
    sbom: str | None = None
    attests: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    build_contexts: tuple[str, ...] = ()
    ulimits: tuple[str, ...] = ()
    cgroup_parent: str | None = None
    allow: tuple[str, ...] = ()

    @property
    def needs_buildx(self) -> str:
        """An option that is set and that buildx alone has; empty if there is none."""
        by_option = {
            "--cache": self.cache != "off",
            "--cache-to": self.cache_to,
            "--cache-from type=…": any("=" in each for each in self.cache_from),
            "--provenance": self.provenance,
            "--sbom": self.sbom,
            "--attest": self.attests,
            "--annotation": self.annotations,
            "--build-context": self.build_contexts,
            "--ulimit": self.ulimits,
            "--cgroup-parent": self.cgroup_parent,
            "--allow": self.allow,
        }
        return next((option for option, value in by_option.items() if value), "")


@dataclass(frozen=True)
class BuildInputs:
    """What an image is built from.

    Attributes:
        settings: those that need no resolving.
        commit_time: of the release, in seconds since 1970; the time of every file in the context.
        build_args: values by name.
        labels: of the image, without those that the Dockerfile's own win over.
        secrets, agents: what RUN instructions may mount, read from ``settings``.
        index_labels: of an index, whose platforms are built from different ones; None: ``labels``.
        by_platform: what platforms are built from, where that is another.
    """

    context: "BuildContext"
    settings: BuildSettings = BuildSettings()
    commit_time: int = 0
    # People pass tokens as build arguments, though they should not.
    build_args: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple["Secret", ...] = ()
    agents: tuple["SshAgent", ...] = ()
    index_labels: Mapping[str, str] | None = None
    by_platform: "Mapping[str, BuildInputs]" = field(default_factory=dict)

    def on_platform(self, platform: str | None) -> "BuildInputs":
        """Return what the image of a platform is built from."""
        return self.by_platform.get(platform or "", self)

    @property
    def labels_of_index(self) -> Mapping[str, str]:
        """The labels that an index of several platforms has as annotations."""
        return self.labels if self.index_labels is None else self.index_labels
