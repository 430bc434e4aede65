"""``python -m releasetag``, and the command that is installed."""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process."""
    # As long as modules load there is nothing to tidy up, and nobody to catch an exception.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from releasetag import cli

    cli.main()


if __name__ == "__main__":
    main()
