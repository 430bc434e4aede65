"""A registry's HTTP API: Registry HTTP API V2, OCI Distribution 1.1."""

from releasetag.registry.errors import BrokenImageError
from releasetag.registry.image import Descriptor, ImageConfig, Manifest
from releasetag.registry.registries import Registries
from releasetag.registry.tags import TagList

__all__ = ["BrokenImageError", "Descriptor", "ImageConfig", "Manifest", "Registries", "TagList"]
