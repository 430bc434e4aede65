"""BuildKit: the session that serves a build, and its progress."""
