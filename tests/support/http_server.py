"""The HTTP server under the tests' own servers."""

import sys
import traceback
from http.server import ThreadingHTTPServer


class QuietHTTPServer(ThreadingHTTPServer):
    """Serves every connection in a thread, and stops without waiting for them."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that goes away: tests kill them."""
        if not isinstance(sys.exception(), OSError):
            traceback.print_exc()
