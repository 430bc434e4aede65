"""The build context: which files of a directory a build is sent. Knows no engine."""
