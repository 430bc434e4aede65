"""BuildKit's side of a build: the session that serves it, and its progress."""
