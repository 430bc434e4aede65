"""A registry of a test's own: it answers over real HTTP what the test says, byte for byte."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from releasetag.reference import Repository
from tests.support.fake_registry import CONFIG, LAYER, descriptor, digest
from tests.support.http_server import QuietHTTPServer
from tests.support.registry import IMAGE_MANIFEST


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        line: ``GET /v2/acme/app/manifests/1``, without the query.
        target: the path and the query, as they came.
        headers: by their names in lower case.
    """

    line: str
    target: str
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
                self.path,
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
            if {"Content-Length", "Transfer-Encoding"} & dict(answered.headers).keys():
                # It may promise what does not come.
                self.close_connection = True
                head.append(b"Connection: close")
            else:
                head.append(b"Content-Length: %d" % len(answered.body))
            body = b"" if self.command == "HEAD" else answered.body
            self.wfile.write(b"\r\n".join([*head, b"", body]))

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _serve  # noqa: N815 - names that are looked up

        def log_message(self, *_: object) -> None:
            pass

    with QuietHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.address = f"127.0.0.1:{http.server_port}"
        yield server


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def refusal(status: int, *codes: str, challenge: str = "") -> Answer:
    """Answer with these error codes, and a challenge if there is one."""
    errors = ", ".join(f'{{"code": "{code}", "message": "no"}}' for code in codes)
    headers = (("WWW-Authenticate", challenge),) if challenge else ()
    return Answer(status, f'{{"errors": [{errors}]}}'.encode() if codes else b"", headers)


@dataclass
class MemoryRegistry:
    """A registry that holds one image in acme/app, and takes what it is given.

    Args:
        before: its answer to reading a repository that nothing was uploaded to.
        mount, start, upload: what it answers in place of taking a mount, the start of an upload,
            an upload.
    """

    before: Answer = field(default_factory=lambda: refusal(404))
    mount: Callable[[str], Answer] | None = None
    start: Callable[[str], Answer] | None = None
    upload: Callable[[Asked], Answer | None] = lambda _: None
    held: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def put_image(self, *layers: bytes) -> str:
        """Hold an image in acme/app; its digest."""
        config = b"{}"
        described = [descriptor(LAYER, content) for content in layers]
        manifest = {"config": descriptor(CONFIG, config), "layers": described}
        body = json.dumps({"mediaType": IMAGE_MANIFEST, **manifest}).encode()
        self.held["acme/app"] = {digest(each): each for each in (body, config, *layers)}
        return digest(body)

    def __call__(self, asked: Asked) -> Answer:
        method, _, path = asked.line.partition(" /v2/")
        repository, _, rest = path.replace("/manifests/", "/blobs/").partition("/blobs/")
        if method == "POST":
            url = f"/v2/{repository}/blobs/uploads/7?state=a%2Bb+c%3D"
            if "mount" not in asked.query:
                return self.start(url) if self.start else with_location(url)
            if self.mount is not None:
                return self.mount(url)
            content = self.held[asked.query["from"][0]][asked.query["mount"][0]]
            self.held.setdefault(repository, {})[digest(content)] = content
            return Answer(201)
        if method == "PUT":
            answer = self.upload(asked) if "uploads" in rest else None
            if answer is None:
                self.held.setdefault(repository, {})[digest(asked.body)] = asked.body
                stated = ("Docker-Content-Digest", digest(asked.body))
                answer = Answer(201, headers=(stated,))
            return answer
        if repository not in self.held:
            return self.before
        content = self.held[repository].get(rest)  # type: ignore[assignment]
        return refusal(404) if content is None else Answer(200, content)


def with_location(location: str | bytes, status: int = 202) -> Answer:
    """Answer with a Location."""
    return Answer(status, headers=(("Location", location),))
