"""The HTTP server under the tests' own servers."""

import sys
import threading
import traceback
from http.server import ThreadingHTTPServer
from typing import Self


class QuietHTTPServer(ThreadingHTTPServer):
    """Serves every connection in a thread, and stops without waiting for them.

    As a context manager, it answers from its start to its end.
    """

    daemon_threads = True
    block_on_close = False

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that goes away: tests kill them."""
        if not isinstance(sys.exception(), OSError):
            traceback.print_exc()
