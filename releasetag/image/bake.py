"""What a build is given, as bake files and buildx's options have it. Pure."""

from collections.abc import Mapping
from typing import Any

from releasetag.build_inputs import BuildSettings


def label_annotations(settings: BuildSettings, labels: Mapping[str, str]) -> list[str]:
    """Return the labels as annotations of the index: some registries show no others."""
    if not makes_index(settings):
        return []  # buildx refuses annotations of none
    return [f"index:{key}={value}" for key, value in sorted(labels.items())]


def makes_index(settings: BuildSettings) -> bool:
    """Whether the settings see to it that there is an index: another builder may make one too."""
    is_attested = any(not each.endswith("disabled=true") for each in attests(settings))
    return len(settings.platforms) > 1 or is_attested


def attests(settings: BuildSettings) -> list[str]:
    """Return all attestations in the one form that a bake file has."""
    found = []
    for kind, value in (("provenance", settings.provenance), ("sbom", settings.sbom)):
        if value == "false":
            found.append(f"type={kind},disabled=true")
        elif value is not None:
            found.append(f"type={kind}" if value == "true" else f"type={kind},{value}")
    return [*found, *settings.attests]


def escape(value: Any) -> Any:
    """Escape templates, which bake expands in every string and name."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, Mapping):
        return {escape(name): escape(each) for name, each in value.items()}
    return [escape(each) for each in value] if isinstance(value, list) else value
