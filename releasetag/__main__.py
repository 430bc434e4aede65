"""``python -m releasetag``."""

from releasetag.cli import main

main()
