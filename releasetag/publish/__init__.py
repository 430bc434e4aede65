"""Publish a release. `steps` is the sentence, and each act has a file."""

from releasetag.publish.run import Provenance, Report
from releasetag.publish.steps import publish_release

__all__ = ["Provenance", "Report", "publish_release"]
