"""Results, progress and messages, for people, programs and GitHub Actions."""
