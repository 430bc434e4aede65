"""What ``--verbose`` adds: a line for every HTTP request."""

import logging
import sys

from releasetag.report.workflow import without_commands
from releasetag.text import printable


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return without_commands(printable(record.getMessage(), 1000))


def log_requests() -> None:
    """Print a line for every HTTP request, without the query: it may name accounts."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logger = logging.getLogger("httpx")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
