"""Snapshots: images that are no release, of a branch, a pull request, a schedule or a commit."""
