"""releasetag: from a git tag to every image tag in every registry."""
