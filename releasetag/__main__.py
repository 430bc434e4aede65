"""``python -m releasetag``, and the command that is installed."""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process."""
    # While modules load there is nothing to tidy up, and nobody to catch an exception.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from releasetag.cli.main import main as run_command_line

    run_command_line()


if __name__ == "__main__":
    main()
