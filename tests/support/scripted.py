"""A registry of a test's own: it answers over real HTTP what the test says, byte for byte."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from releasetag.reference import Repository
from tests.support.http_server import QuietHTTPServer


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        line: ``GET /v2/acme/app/manifests/1``, without the query.
        headers: by their names in lower case.
    """

    line: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def token(self) -> str:
        """The Bearer token; empty if there is none."""
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass(frozen=True)
class Answer:
    """A response; its headers go out as they are."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str | bytes], ...] = ()


@dataclass
class Scripted:
    """The server.

    Attributes:
        asked: the requests, oldest first, without those that find out where it is.
        address: host and port.
    """

    answer: Callable[[Asked], Answer]
    asked: list[Asked] = field(default_factory=list)
    address: str = ""

    @property
    def repository(self) -> Repository:
        """acme/app in this registry."""
        return Repository(self.address, "acme/app")

    @property
    def lines(self) -> list[str]:
        """The requests, without their queries."""
        return [asked.line for asked in self.asked]


@contextmanager
def scripted(answer: Callable[[Asked], Answer]) -> Iterator[Scripted]:
    """Serve what `answer` returns, on loopback."""
    server = Scripted(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            target = urlsplit(self.path)
            asked = Asked(
                f"{self.command} {target.path}",
                parse_qs(target.query),
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(int(self.headers.get("Content-Length", 0))),
            )
            # What a client asks before it knows whether there is TLS.
            found = asked.line == "GET /v2/" and "authorization" not in asked.headers
            answered = Answer() if found else server.answer(asked)
            if not found:
                server.asked.append(asked)
            head = [b"HTTP/1.1 %d -" % answered.status]
            head += [b"%s: %s" % (name.encode(), _bytes(v)) for name, v in answered.headers]
            if "Content-Length" not in dict(answered.headers):
                head.append(b"Content-Length: %d" % len(answered.body))
            body = b"" if self.command == "HEAD" else answered.body
            self.wfile.write(b"\r\n".join([*head, b"", body]))

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _serve  # noqa: N815 - names that are looked up

        def log_message(self, *_: object) -> None:
            pass

    http = QuietHTTPServer(("127.0.0.1", 0), Handler)
    server.address = f"127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def refusal(status: int, *codes: str, challenge: str = "") -> Answer:
    """Answer with these error codes, and a challenge if there is one."""
    errors = ", ".join(f'{{"code": "{code}", "message": "no"}}' for code in codes)
    headers = (("WWW-Authenticate", challenge),) if challenge else ()
    return Answer(status, f'{{"errors": [{errors}]}}'.encode() if codes else b"", headers)
