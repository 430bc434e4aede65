"""A registry that misbehaves in one way at a time, for tests.

It has OCI Distribution 1.1 as far as clients that push and pull images use it, over real HTTP on
loopback: manifests, blobs, uploads, mounts, lists of tags in pages, a token server, and a blob
store on a port of its own. Content is in memory and can be put there directly, so that no engine
is needed. Without a `Misbehaviour` it does all that a client may rely on.
"""

import base64
import contextlib
import hashlib
import itertools
import json
import re
import secrets
import socket
import struct
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Literal, Self
from urllib.parse import parse_qsl, urlsplit

from tests.support.http_server import QuietHTTPServer
from tests.support.registry import IMAGE_INDEX, IMAGE_MANIFEST

USERNAME = "alice"
PASSWORD = "correct horse"

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
SCHEMA_1_TYPE = "application/vnd.docker.distribution.manifest.v1+prettyjws"

LAG_READS = 2
LAG_SECONDS = 3.0
TOKEN_USES = 8  # more than a client has requests under way: they all may find a token ended
TRICKLE_SECONDS = 20.0
"""Between two bytes of a trickle: less than any client waits for the next one."""
TRICKLE_PAUSE = 0.01
"""Real seconds after the first byte in which a client can give up; after every byte twice as long.
Time that passes while a client is not reading is not the client's: a slow one sees more bytes."""
TRICKLE_BYTES = 12

MOST_REQUESTS = 5000
"""More than any command needs; who goes on has no end, and gets no more answers."""


class Misbehaviour(Enum):
    """What a registry does; the value says so, and who is known for it.

    "now and then" is every third time that the same thing is asked for, beginning with the first.
    """

    # Lists of tags.
    LISTING_401 = "401 to listing tags alone: ECR without ListImages"
    LISTING_403 = "403 to listing tags alone: Artifact Registry without artifactregistry.tags.list"
    LISTING_404 = "404 to listing tags alone: ECR Public until 2023"
    LISTING_405 = "405 to listing tags alone: proxies that pass manifests and blobs alone"
    LISTING_501 = "501 to listing tags alone: small registries that have no such endpoint"
    LINK_UPPER_CASE = "pages, Link with REL=NEXT: relations have no case (RFC 8288, section 2.1)"
    LINK_ABSOLUTE = "pages, Link with scheme and host: Harbor, GitLab"
    LINK_RELATIVE = "pages, Link relative to the path: <list?last=…>, which RFC 8288 allows"
    LINK_OTHER_HOST = "pages, Link with the host inside: any registry behind a proxy"
    LINK_BARE = "pages, Link without angle brackets: Quay in 2016"
    LINK_NON_ASCII = "pages, Link with bytes that are not ASCII"
    LINK_PAGE_MISSING = "pages, and the second is not found: a registry whose cursor expires"
    LINK_ENDLESS = "pages without end, each with new tags"
    LINK_LOOP = "pages, and the second names itself as the next"

    # Reads and writes of manifests.
    LAG_BY_READS = "a tag is seen after two reads of what was there before: caches, GHCR"
    LAG_BY_SECONDS = "a tag is seen three seconds after it was put: GHCR, replicas"
    NO_DIGEST_HEADER = "no Docker-Content-Digest: ECR, registry.access.redhat.com"
    HEAD_405 = "405 to HEAD of a manifest: gateways that let GET and PUT pass"
    PLAIN_CONTENT_TYPE = "application/octet-stream for every manifest: object stores"
    UNTAGGED_404 = "a manifest is not found by digest until it has a tag (distribution-spec 412)"
    CONVERTS = "stores another manifest than was put, and says so: Artifactory, old Quay"
    CONVERTS_SILENTLY = "stores another manifest than was put, and answers without its digest"

    # What a tag names is broken; see `damage`.
    MISSING_CHILDREN = "an index whose manifests are gone: 'delete untagged' of ECR and GHCR"
    SPARSE_INDEX = "an index of which one manifest is gone: mirrors of one platform"
    MISSING_CONFIG = "images whose configuration is gone: a garbage collector during a push"
    MISSING_LAYERS = "images whose layers are gone: a garbage collector during a push"
    SCHEMA_1 = "a manifest of Docker's schema 1: Quay, images of 2016"

    # Blobs.
    UPLOAD_ABSOLUTE = "absolute upload locations: distribution's default"
    UPLOAD_RELATIVE = "upload locations relative to the path of the request"
    UPLOAD_ELSEWHERE = "upload locations in a blob store on another port, without the token"
    UPLOAD_NO_LOCATION = "202 to starting an upload, without a Location"
    UPLOAD_503 = "503 to the content of every upload: a full or broken blob store"
    MOUNT_202 = "no mounts, an upload starts instead: ECR for years"
    MOUNT_405 = "405 to a request to mount: GCR's mirrors"
    BLOBS_307 = "307 for blobs to a store that refuses a second authorization: S3 behind anyone"

    # What is not there yet.
    ABSENT_401 = "401 with a token that may pull; 404 with one that may push: Docker Hub"
    ABSENT_403 = "403 until the first push: Artifact Registry, Harbor"
    ABSENT_404 = "404 until the first push, Basic authentication: ECR with creation on push"
    ABSENT_FOR_EVER = "404 to every push as well: ECR without creation on push"

    # Tokens.
    TOKEN_FOR_LESS = "a token that may pull where one to push was asked for: Docker Hub, any"
    TOKEN_ALWAYS_THE_SAME = "one token for whatever is asked, that may only pull: GHCR's way"
    TOKEN_FOR_ANOTHER = "one token for whatever is asked, that may nothing here: GHCR's way"
    TOKEN_EXPIRES = "tokens that end after eight requests, whatever expires_in says"

    # Failures.
    RATE_LIMITED = "429 with Retry-After now and then: Docker Hub"
    RATE_LIMITED_FOR_EVER = "429 to every put of a manifest, Retry-After a day: Docker Hub"
    ERRORS_NOW_AND_THEN = "500, 502, 503 or 504 now and then"
    DOWN = "503 to everything"
    IMMUTABLE_ECR = "a tag that is there cannot be put again: ECR, 400"
    IMMUTABLE_HARBOR = "a tag that is there cannot be put again: Harbor, 412"
    IMMUTABLE_DOCKER_HUB = "a tag that is there cannot be put again: Docker Hub, 403"

    # Bytes.
    HEADERS_NON_ASCII = "bytes that are not ASCII in headers and parameters nobody asked for"
    HEADERS_ALL_NON_ASCII = "bytes that are not ASCII at the end of every header's value"
    TRICKLE_HEADERS = "a head of which a byte comes every 20 seconds"
    TRICKLE_BODY = "a body of which a byte comes every 20 seconds"
    LENGTH_SHORT = "a Content-Length shorter than the body"
    LENGTH_LONG = "a Content-Length longer than the body"
    CUT_NOW_AND_THEN = "connections that are reset in the middle of an answer, now and then"
    CUT = "connections that are reset in the middle of every answer with a body"


M = Misbehaviour

BROKEN = frozenset(
    {M.MISSING_CHILDREN, M.SPARSE_INDEX, M.MISSING_CONFIG, M.MISSING_LAYERS, M.SCHEMA_1}
)
ABSENT = frozenset({M.ABSENT_401, M.ABSENT_403, M.ABSENT_404, M.ABSENT_FOR_EVER})
LINKS = frozenset(each for each in M if each.name.startswith("LINK_"))

_LISTING = {
    M.LISTING_401: 401,
    M.LISTING_403: 403,
    M.LISTING_404: 404,
    M.LISTING_405: 405,
    M.LISTING_501: 501,
}
_IMMUTABLE = {
    M.IMMUTABLE_ECR: (
        400,
        "TAG_INVALID",
        "The image tag 'latest' already exists in the 'acme/app' repository and cannot be"
        " overwritten because the repository is immutable.",
    ),
    M.IMMUTABLE_HARBOR: (
        412,
        "PRECONDITION",
        "Failed to process request due to 'app:latest' configured as immutable.",
    ),
    M.IMMUTABLE_DOCKER_HUB: (403, "DENIED", "tag immutability is enabled for this repository"),
}
_STATUS = {401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN", 405: "UNSUPPORTED"}
_PAGE = 2  # tags in an answer, where it is about Links


class Clock:
    """Time that passes when somebody waits, and at no other time.

    Hand `sleep` and `now` to the program; what trickles lets time pass, too.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the seconds since the start."""
        return self._seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass, at once."""
        with self._lock:
            self._seconds += seconds


@dataclass(frozen=True)
class Request:
    """What a client asks.

    Attributes:
        headers: by their names in lower case.
        elsewhere: whether it came to the port of the blob store.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    elsewhere: bool = False

    @property
    def kind(self) -> str:
        """Say what it is about: ``tags``, ``manifests``, ``blobs``, ``uploads``, or nothing."""
        found = _PATH.fullmatch(self.path)
        if found is None:
            return ""
        return "uploads" if found["name"].startswith("uploads/") else found["kind"]

    @property
    def repository(self) -> str:
        """Return the repository's path, or nothing."""
        found = _PATH.fullmatch(self.path)
        return found["path"] if found else ""

    @property
    def name(self) -> str:
        """Return the tag, the digest, or the upload's name."""
        found = _PATH.fullmatch(self.path)
        return found["name"].removeprefix("uploads/") if found else ""

    @property
    def reads(self) -> bool:
        """Tell whether it changes nothing."""
        return self.method in {"GET", "HEAD"}

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


_PATH = re.compile(
    r"/v2/(?P<path>[a-z0-9/._-]+?)/(?P<kind>tags|manifests|blobs|referrers)/(?P<name>.*)"
)


@dataclass
class Answer:
    """What a registry answers.

    Attributes:
        headers: Latin-1 text, so that any byte can be sent.
        body: not sent to HEAD, and counted all the same.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def error(status: int, code: str = "", message: str = "refused", **headers: str) -> Answer:
    """Make an answer in the form of OCI Distribution 1.1, "Error codes"."""
    content = {"errors": [{"code": code or _STATUS.get(status, "UNKNOWN"), "message": message}]}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(
        status, {"Content-Type": "application/json", **names}, json.dumps(content).encode()
    )


def digest_of(content: bytes) -> str:
    """Return the sha256 digest of some content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index, as it is stored."""

    media_type: str
    content: bytes

    @property
    def is_readable(self) -> bool:
        """Tell whether it is JSON, and names what it needs."""
        try:
            self.names("config", "layers", "manifests")
        except (ValueError, TypeError, KeyError):
            return False
        return True

    def names(self, *kinds: str) -> list[str]:
        """Return the digests that it names as ``config``, ``layers`` or ``manifests``."""
        parsed = json.loads(self.content)
        found = itertools.chain.from_iterable(
            [parsed[kind]] if kind == "config" else parsed[kind] for kind in kinds if kind in parsed
        )
        return [each["digest"] for each in found]


@dataclass
class _Lag:
    """What is still seen of a tag after it was put."""

    before: str | None
    reads: int
    until: float


@dataclass
class Repository:
    """One repository's content."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    lags: dict[str, _Lag] = field(default_factory=dict)


@dataclass
class _Token:
    """What a token is good for."""

    access: dict[str, set[str]]
    uses: int


class MisbehavingRegistry:
    """A registry in memory; as a context manager, on two ports of loopback.

    Args:
        misbehaviour: what it does; may be changed at any time.
        clock: for lag and trickle.
        auth: what it wants of a client; None: everyone may do everything.
        misbehaves_at: the one repository that it misbehaves in, besides its `/v2/` and its tokens.

    Attributes:
        address, elsewhere: host and port of the registry, and of its blob store.
        scheme: of its token server's URL.
        requests: what was asked so far.
        mangle: changes the bytes of an answer, head and body; the connection is closed after it.
        leaks: requests to the blob store that carried an Authorization.
        failures: what went wrong in this class itself.
    """

    def __init__(
        self,
        misbehaviour: Misbehaviour | None = None,
        *,
        clock: Clock | None = None,
        auth: Literal["token", "basic"] | None = "token",
        misbehaves_at: str = "acme/app",
    ) -> None:
        self.misbehaviour = misbehaviour
        self.clock = clock or Clock()
        self.auth = "basic" if misbehaviour is M.ABSENT_404 else auth
        self.misbehaves_at = misbehaves_at
        self.address = self.elsewhere = "registry.test"
        self.scheme = "http"
        self.requests: list[Request] = []
        self.mangle: Callable[[Request, bytes], bytes] | None = None
        self.leaks: list[str] = []
        self.failures: list[str] = []
        self.repositories: dict[str, Repository] = {}
        self._uploads: dict[str, bytes] = {}
        self._tokens: dict[str, _Token] = {}
        self._asked: Counter[str] = Counter()
        self._pages = itertools.count()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._servers: list[_Server] = []

    # Its content, directly -----------------------------------------------------------------------

    def at(self, path: str) -> Repository:
        """Return a repository, which is made if it is not there."""
        return self.repositories.setdefault(path, Repository())

    def put_image(
        self,
        path: str,
        *tags: str,
        labels: Mapping[str, str] | None = None,
        layers: tuple[bytes, ...] = (b"layer",),
        platform: str = "linux/amd64",
    ) -> str:
        """Put an image there, under some tags; its digest."""
        system, architecture = platform.split("/")
        config = {"os": system, "architecture": architecture, "config": {"Labels": labels}}
        content = {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "config": self._put_blob(path, CONFIG, json.dumps(config).encode()),
            "layers": [self._put_blob(path, LAYER, layer) for layer in layers],
        }
        return self.put_manifest(path, IMAGE_MANIFEST, json.dumps(content).encode(), *tags)

    def put_index(self, path: str, *tags: str, labels: Mapping[str, str] | None = None) -> str:
        """Put an index of two platforms there, under some tags; its digest."""
        children = []
        for platform in ("linux/amd64", "linux/arm64"):
            layer = platform.encode()
            digest = self.put_image(path, labels=labels, layers=(layer,), platform=platform)
            system, architecture = platform.split("/")
            children.append(
                {
                    "mediaType": IMAGE_MANIFEST,
                    "digest": digest,
                    "size": len(self.at(path).manifests[digest].content),
                    "platform": {"os": system, "architecture": architecture},
                }
            )
        content = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": children}
        return self.put_manifest(path, IMAGE_INDEX, json.dumps(content).encode(), *tags)

    def put_manifest(self, path: str, media_type: str, content: bytes, *tags: str) -> str:
        """Put a manifest there as it is, under some tags; its digest."""
        digest = digest_of(content)
        self.at(path).manifests[digest] = Manifest(media_type, content)
        self.at(path).tags.update(dict.fromkeys(tags, digest))
        return digest

    def damage(self, path: str, tag: str) -> None:
        """Break the index that a tag names, if that is the misbehaviour."""
        there = self.at(path)
        index = there.manifests[there.tags[tag]]
        children = [there.manifests[digest] for digest in index.names("manifests")]
        match self.misbehaviour:
            case M.MISSING_CHILDREN:
                for digest in index.names("manifests"):
                    del there.manifests[digest]
            case M.SPARSE_INDEX:
                del there.manifests[index.names("manifests")[0]]
            case M.MISSING_CONFIG | M.MISSING_LAYERS as which:
                kind = "config" if which is M.MISSING_CONFIG else "layers"
                for child in children:
                    for digest in child.names(kind):
                        del there.blobs[digest]
            case M.SCHEMA_1:
                old = {"schemaVersion": 1, "name": path, "tag": tag, "fsLayers": [], "history": []}
                self.put_manifest(path, SCHEMA_1_TYPE, json.dumps(old).encode(), tag)
            case _:
                pass

    def labels(self, path: str, digest: str) -> dict[str, str]:
        """Return the labels of an image, or of the first in an index; none if they are lost."""
        there = self.at(path)
        manifest = there.manifests.get(digest, Manifest("", b"{}"))
        if children := manifest.names("manifests"):
            return self.labels(path, children[0])
        configs = [there.blobs.get(each, b"{}") for each in manifest.names("config")]
        parsed: dict[str, dict[str, dict[str, str]]] = json.loads(configs[0]) if configs else {}
        return parsed.get("config", {}).get("Labels") or {}

    def _put_blob(self, path: str, media_type: str, content: bytes) -> dict[str, object]:
        digest = digest_of(content)
        self.at(path).blobs[digest] = content
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    # Its network ---------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._servers = [_Server(self, elsewhere=elsewhere) for elsewhere in (False, True)]
        self.address, self.elsewhere = (
            f"127.0.0.1:{server.server_port}" for server in self._servers
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.stop()
        self.abort()

    def abort(self) -> None:
        """Reset every connection, so that no client waits for anything any more."""
        self.misbehaviour = None
        self.requests += [Request("GET", "aborted")] * MOST_REQUESTS
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @property
    def is_overrun(self) -> bool:
        """Tell whether more was asked than any command needs."""
        return len(self.requests) > MOST_REQUESTS

    @contextlib.contextmanager
    def connected(self, connection: socket.socket) -> Iterator[None]:
        """Know of a client's connection while it is open."""
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)

    # Its answers ---------------------------------------------------------------------------------

    def answer(self, request: Request) -> Answer:
        """Answer a request."""
        with self._lock:
            self.requests.append(request)
            if request.elsewhere:
                return self._distorted(request, self._store(request))
            if request.path == "/token":
                return self._distorted(request, self._give_token(request))
            refused = self._fail(request) or self._authorize(request) or self._refuse(request)
            return self._distorted(request, refused or self._serve(request))

    def misbehaves(self, request: Request, *which: Misbehaviour) -> bool:
        """Tell whether it does one of these, in this request's repository."""
        return self.misbehaviour in which and request.repository in {"", self.misbehaves_at}

    def now_and_then(self, request: Request) -> bool:
        """Tell every third time that the same is asked, beginning with the first."""
        name = request.query.get("digest", "") if request.kind == "uploads" else request.name
        key = f"{request.method} {request.repository} {request.kind} {name}"
        key += " with authorization" if "authorization" in request.headers else ""
        self._asked[key] += 1
        return self._asked[key] % 3 == 1

    def _fail(self, request: Request) -> Answer | None:
        """Fail before anything is looked at, as load balancers do."""
        if self.misbehaves(request, M.DOWN):
            return Answer(503, {"Content-Type": "text/html"}, b"<h1>Service Unavailable</h1>")
        if self.misbehaves(request, M.RATE_LIMITED) and self.now_and_then(request):
            return error(429, "TOOMANYREQUESTS", "slow down", Retry_After="2")
        if self.misbehaves(request, M.ERRORS_NOW_AND_THEN) and self.now_and_then(request):
            return Answer((500, 502, 503, 504)[len(self.requests) % 4])
        return None

    def _refuse(self, request: Request) -> Answer | None:
        """Refuse what a client with the right token asks."""
        if request.repository != self.misbehaves_at:
            return None
        kind, there = request.kind, self.at(request.repository)
        if self.misbehaviour in ABSENT and not there.tags and not there.blobs:
            return self._absent(request)
        if kind == "tags" and self.misbehaviour in _LISTING:
            status = _LISTING[self.misbehaviour]
            return self._challenge(request) if status == 401 else error(status)
        if kind == "manifests" and request.method == "HEAD" and self.misbehaviour is M.HEAD_405:
            return error(405)
        if kind == "manifests" and request.method == "PUT":
            return self._refuse_put(request)
        if kind == "uploads" and request.method != "POST" and self.misbehaviour is M.UPLOAD_503:
            return Answer(503)
        is_mount = "mount" in request.query
        return error(405) if is_mount and self.misbehaviour is M.MOUNT_405 else None

    def _refuse_put(self, request: Request) -> Answer | None:
        """Refuse to store a manifest."""
        if self.misbehaviour is M.RATE_LIMITED_FOR_EVER:
            return error(429, "TOOMANYREQUESTS", "slow down", Retry_After="86400")
        if self.misbehaviour in _IMMUTABLE and request.name in self.at(request.repository).tags:
            return error(*_IMMUTABLE[self.misbehaviour])
        return None

    def _absent(self, request: Request) -> Answer | None:
        """Answer for a repository that is not there; None lets a push make it."""
        name = f"The repository with name '{request.repository}' does not exist in the registry"
        if self.misbehaviour is M.ABSENT_FOR_EVER:
            return error(404, "NAME_UNKNOWN", name)
        if not request.reads:
            return None
        if self.misbehaviour is M.ABSENT_403:
            return error(403, "DENIED", "Unauthenticated request, or it does not exist")
        return error(404, "NAME_UNKNOWN", name)

    # Who a client is -----------------------------------------------------------------------------

    def _authorize(self, request: Request) -> Answer | None:
        """Answer 401 to a client that may not do this."""
        given = request.headers.get("authorization", "")
        if self.auth is None:
            return None
        if self.auth == "basic":
            return None if _account(given) else self._challenge(request)
        token = self._tokens.get(given.removeprefix("Bearer "))
        if token is None or not token.uses:
            return self._challenge(request, "invalid_token" if given else "")
        token.uses -= 1
        needed = "pull" if request.reads else "push"
        if request.repository and needed not in token.access.get(request.repository, ()):
            return self._challenge(request, "insufficient_scope")
        return None

    def _challenge(self, request: Request, why: str = "") -> Answer:
        if self.auth == "basic":
            return error(401, WWW_Authenticate='Basic realm="registry"')
        parameters = {"realm": f"{self.scheme}://{self.address}/token", "service": "registry.test"}
        if request.repository:
            actions = "pull" if request.reads else "pull,push"
            parameters["scope"] = f"repository:{request.repository}:{actions}"
        if why:
            parameters["error"] = why
        text = ",".join(f'{name}="{value}"' for name, value in parameters.items())
        return error(
            401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=f"Bearer {text}"
        )

    def _give_token(self, request: Request) -> Answer:
        given = request.headers.get("authorization", "")
        account = _account(given)
        if given and not account:
            return error(401, message="incorrect username or password")
        access: dict[str, set[str]] = {}
        # Several scopes are several fields; see _Handler, which joins them.
        for scope in request.query.get("scope", "").split():
            _, path, actions = scope.split(":")
            access[path] = self._granted(path, set(actions.split(",")), account)
        uses = TOKEN_USES if self.misbehaviour is M.TOKEN_EXPIRES else 1 << 30
        value = secrets.token_hex(8)
        if self.misbehaviour in {M.TOKEN_ALWAYS_THE_SAME, M.TOKEN_FOR_ANOTHER}:
            value = "always-the-same"
            access = {path: {"pull", "push"} for path in self.repositories}
            may = {"pull"} if self.misbehaviour is M.TOKEN_ALWAYS_THE_SAME else set[str]()
            access[self.misbehaves_at] = may
        self._tokens[value] = _Token(access, uses)
        content = {"token": value, "access_token": value, "expires_in": 300}
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(content).encode())

    def _granted(self, path: str, asked: set[str], account: str) -> set[str]:
        granted = asked & ({"pull", "push"} if account else {"pull"})
        if path != self.misbehaves_at:
            return granted
        if self.misbehaviour is M.TOKEN_FOR_LESS:
            return granted - {"push"}
        there = self.at(path)
        if self.misbehaviour is M.ABSENT_401 and not there.blobs and granted == {"pull"}:
            return set()
        return granted

    # What it has ---------------------------------------------------------------------------------

    def _serve(self, request: Request) -> Answer:
        if request.path == "/v2/":
            return Answer(200, {"Content-Type": "application/json"}, b"{}")
        serve = {
            "tags": self._list_tags,
            "manifests": self._put if request.method == "PUT" else self._manifest,
            "blobs": self._blob,
            "uploads": self._upload,
        }.get(request.kind)
        return serve(request) if serve else error(404)

    def _list_tags(self, request: Request) -> Answer:
        there = self.repositories.get(request.repository, Repository())
        names = sorted(tag for tag in there.tags if self._seen(request, tag))
        odd = request.repository == self.misbehaves_at and self.misbehaviour in LINKS
        size = _PAGE if odd else int(request.query.get("n", "100"))
        last = request.query.get("last", "")
        if odd and last and self.misbehaviour is M.LINK_PAGE_MISSING:
            return error(404)
        page = [name for name in names if name > last][:size]
        headers = {"Content-Type": "application/json"}
        if odd and self.misbehaviour is M.LINK_ENDLESS:
            number = next(self._pages)
            page = page or [f"tag-{number}"]
            headers["Link"] = self._link(request, f"{page[-1]}-{number}")
        elif page and page[-1] != names[-1]:
            headers["Link"] = self._link(request, page[-1])
        if odd and last and self.misbehaviour is M.LINK_LOOP:
            headers["Link"] = self._link(request, last)
        content = {"name": request.repository, "tags": page}
        return Answer(200, headers, json.dumps(content).encode())

    def _link(self, request: Request, last: str) -> str:
        query = f"list?n={_PAGE}&last={last}"
        path = f"/v2/{request.repository}/tags/{query}"
        odd = self.misbehaviour if request.repository == self.misbehaves_at else None
        match odd:
            case M.LINK_UPPER_CASE:
                return f'<{path}>; REL="NEXT"'
            case M.LINK_ABSOLUTE:
                return f'<http://{self.address}{path}>; rel="next"'
            case M.LINK_RELATIVE:
                return f"<{query}>; rel=next"
            case M.LINK_OTHER_HOST:
                return f'<http://{self.elsewhere}{path}>; rel="next"'
            case M.LINK_BARE:
                return f'{path}; rel="next"'
            case M.LINK_NON_ASCII:
                return f'<{path}&caf\xe9=\xff>; rel="next"; title="n\xe4chste"'
            case _:
                return f'<{path}>; rel="next"'

    def _seen(self, request: Request, tag: str) -> str | None:
        """Return the digest that a tag is seen to name."""
        there = self.at(request.repository)
        lag = there.lags.get(tag)
        if lag is not None and (lag.reads > 0 or self.clock.now() < lag.until):
            return lag.before
        return there.tags.get(tag)

    def _manifest(self, request: Request) -> Answer:
        there = self.repositories.get(request.repository, Repository())
        digest: str | None = request.name
        if ":" not in request.name:
            digest = self._seen(request, request.name)
            if request.name in there.lags:
                there.lags[request.name].reads -= 1
        elif self.misbehaves(request, M.UNTAGGED_404) and not self._is_tagged(there, request.name):
            digest = None
        manifest = there.manifests.get(digest or "")
        if manifest is None or digest is None:
            return error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        headers = {"Content-Type": manifest.media_type, "Docker-Content-Digest": digest}
        return Answer(200, headers, manifest.content)

    def _is_tagged(self, there: Repository, digest: str) -> bool:
        named = set(there.tags.values())
        return digest in named or any(
            digest in there.manifests[each].names("manifests") for each in named
        )

    def _put(self, request: Request) -> Answer:
        there = self.at(request.repository)
        manifest = Manifest(request.headers.get("content-type", ""), request.body)
        digest = digest_of(request.body)
        if not manifest.is_readable:
            return error(400, "MANIFEST_INVALID", "manifest invalid")
        if ":" in request.name and request.name != digest:
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        lost = [each for each in manifest.names("config", "layers") if each not in there.blobs]
        lost += [each for each in manifest.names("manifests") if each not in there.manifests]
        if lost:
            return error(404, "MANIFEST_BLOB_UNKNOWN", f"blob unknown to registry: {lost[0]}")
        headers = {"Location": f"/v2/{request.repository}/manifests/{digest}"}
        if ":" not in request.name:
            if self.misbehaves(request, M.CONVERTS, M.CONVERTS_SILENTLY):
                content = json.dumps(json.loads(request.body), indent=5).encode()
                manifest, digest = Manifest(manifest.media_type, content), digest_of(content)
            self._tag(request, digest)
        there.manifests[digest] = manifest
        if not self.misbehaves(request, M.CONVERTS_SILENTLY):
            headers["Docker-Content-Digest"] = digest
        return Answer(201, headers)

    def _tag(self, request: Request, digest: str) -> None:
        there = self.at(request.repository)
        before = self._seen(request, request.name)
        if there.tags.get(request.name) != digest:
            if self.misbehaves(request, M.LAG_BY_READS):
                there.lags[request.name] = _Lag(before, LAG_READS, 0.0)
            if self.misbehaves(request, M.LAG_BY_SECONDS):
                there.lags[request.name] = _Lag(before, 0, self.clock.now() + LAG_SECONDS)
        there.tags[request.name] = digest

    def _blob(self, request: Request) -> Answer:
        there = self.repositories.get(request.repository, Repository())
        content = there.blobs.get(request.name)
        if content is None:
            return error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        headers = {
            "Content-Type": "application/octet-stream",
            "Docker-Content-Digest": request.name,
        }
        if request.method == "GET" and self.misbehaves(request, M.BLOBS_307):
            url = f"http://{self.elsewhere}/{request.repository}/{request.name}?signature=abc"
            return Answer(307, {**headers, "Location": url})
        return Answer(200, headers, content)

    def _upload(self, request: Request) -> Answer:
        if request.method == "POST":
            return self._start_upload(request)
        if request.name not in self._uploads:
            return error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        self._uploads[request.name] += request.body
        if request.method == "PATCH":
            size = len(self._uploads[request.name])
            return self._started(request, request.name, Range=f"0-{max(size - 1, 0)}")
        if request.method != "PUT":
            return error(405)
        return self._finish_upload(request.repository, request.name, request.query)

    def _start_upload(self, request: Request) -> Answer:
        there = self.at(request.repository)
        mount, source = request.query.get("mount", ""), request.query.get("from", "")
        content = self.repositories.get(source, Repository()).blobs.get(mount)
        if content is not None and not self.misbehaves(request, M.MOUNT_202):
            there.blobs[mount] = content
            headers = {"Location": f"/v2/{request.repository}/blobs/{mount}"}
            return Answer(201, {**headers, "Docker-Content-Digest": mount})
        name = secrets.token_hex(8)
        self._uploads[name] = b""
        return self._started(request, name)

    def _started(self, request: Request, name: str, **headers: str) -> Answer:
        path = f"/v2/{request.repository}/blobs/uploads/{name}?_state=abc"
        odd = self.misbehaviour if request.repository == self.misbehaves_at else None
        match odd:
            case M.UPLOAD_ABSOLUTE:
                path = f"http://{self.address}{path}"
            case M.UPLOAD_RELATIVE:
                path = f"{name}?_state=abc"
            case M.UPLOAD_ELSEWHERE:
                path = f"http://{self.elsewhere}/{request.repository}/{name}?signature=abc"
            case M.UPLOAD_NO_LOCATION:
                return Answer(202, {"Docker-Upload-UUID": name, **headers})
            case _:
                pass
        return Answer(202, {"Location": path, "Docker-Upload-UUID": name, **headers})

    def _finish_upload(self, repository: str, name: str, query: Mapping[str, str]) -> Answer:
        content, digest = self._uploads.pop(name), query.get("digest", "")
        if digest != digest_of(content):
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.at(repository).blobs[digest] = content
        headers = {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest}
        return Answer(201, headers)

    def _store(self, request: Request) -> Answer:
        """Answer for the blob store, which goes by the signature in the URL alone."""
        if "authorization" in request.headers:
            self.leaks.append(str(request))
            return error(400, "InvalidArgument", "Only one auth mechanism allowed")
        repository, _, name = request.path.strip("/").rpartition("/")
        if request.method == "GET":
            content = self.at(repository).blobs.get(name)
            return Answer(200, {}, content) if content is not None else error(404)
        if name not in self._uploads:
            return error(404)
        self._uploads[name] += request.body
        if request.method == "PATCH":
            url = f"http://{self.elsewhere}{request.path}?signature=abc"
            size = len(self._uploads[name])
            return Answer(202, {"Location": url, "Range": f"0-{max(size - 1, 0)}"})
        return self._finish_upload(repository, name, request.query)

    # What becomes of an answer on its way --------------------------------------------------------

    def _distorted(self, request: Request, answer: Answer) -> Answer:
        if request.repository not in {"", self.misbehaves_at}:
            return answer
        headers = answer.headers
        match self.misbehaviour:
            case M.NO_DIGEST_HEADER:
                headers.pop("Docker-Content-Digest", None)
            case M.PLAIN_CONTENT_TYPE if request.kind == "manifests" and answer.status == 200:
                headers["Content-Type"] = "application/octet-stream"
            case M.HEADERS_NON_ASCII:
                headers |= {"Server": "caf\xe9", "X-Powered-By": "\xff\xfe", "Warning": "\x80"}
                for name, mark in (("Content-Type", ";"), ("WWW-Authenticate", ",")):
                    if name in headers:
                        headers[name] += f'{mark}note="caf\xe9"'
            case M.HEADERS_ALL_NON_ASCII:
                for name in headers:
                    headers[name] += "\xe9"
            case _:
                pass
        return answer


def _account(authorization: str) -> str:
    """Return who a Basic header says that it is; nothing if the password is wrong."""
    basic = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
    return USERNAME if authorization == f"Basic {basic}" else ""


class _Server(QuietHTTPServer):
    def __init__(self, registry: MisbehavingRegistry, *, elsewhere: bool) -> None:
        self.registry = registry
        self.elsewhere = elsewhere
        super().__init__(("127.0.0.1", 0), _Handler)
        self.__enter__()

    def stop(self) -> None:
        self.__exit__()

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):
            self.registry.failures.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or small answers wait for the client's delayed ACK
    server: _Server

    def handle(self) -> None:
        with self.server.registry.connected(self.connection):
            super().handle()

    def do_GET(self) -> None:
        """Serve a request, of whatever method."""
        registry = self.server.registry
        parts = urlsplit(self.path)
        query: dict[str, str] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            query[name] = f"{query[name]} {value}" if name in query else value
        request = Request(
            self.command,
            parts.path,
            query,
            {name.lower(): value for name, value in self.headers.items()},
            self._body(),
            self.server.elsewhere,
        )
        if registry.is_overrun:
            self._reset()
            return
        self._send(request, registry.answer(request))

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the base class's names

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b"\n", b""):
            pass  # trailers
        return body

    def _send(self, request: Request, answer: Answer) -> None:
        """Send an answer, or what a misbehaviour makes of its bytes."""
        registry = self.server.registry
        odd = registry.misbehaviour if request.repository == registry.misbehaves_at else None
        length = len(answer.body)
        body = b"" if request.method == "HEAD" else answer.body
        if odd is M.LENGTH_SHORT and body:
            length -= 3
        if odd is M.LENGTH_LONG and body:
            length += 3
        lines = [f"HTTP/1.1 {answer.status} Status"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        head = "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode("latin-1")
        if registry.mangle is not None:
            self.wfile.write(registry.mangle(request, head + body))
            self.close_connection = True
        elif odd is M.TRICKLE_HEADERS:
            self._trickle(head)
        elif odd is M.TRICKLE_BODY and body:
            self.wfile.write(head)
            self._trickle(body)
        elif odd is M.CUT and body:
            self.wfile.write(head + body[: len(body) // 2])
            self._reset()
        elif odd is M.CUT_NOW_AND_THEN and registry.now_and_then(request):
            self.wfile.write(head[: len(head) // 2])
            self._reset()
        else:
            self.wfile.write(head + body)
        if odd is M.LENGTH_LONG:
            self.close_connection = True  # or the client waits for the rest

    def _trickle(self, content: bytes) -> None:
        """Send a byte at a time, each a while after the last, until the client has enough."""
        for number, byte in enumerate(content[:TRICKLE_BYTES]):
            try:
                self.wfile.write(bytes([byte]))
                self.server.registry.clock.sleep(TRICKLE_SECONDS)
                self.connection.settimeout(TRICKLE_PAUSE * 2**number)
                self.connection.recv(1)
            except TimeoutError:
                continue
            except OSError:
                pass  # it was reset
            break
        else:
            self.server.registry.failures.append("a client waits on and on for an answer")
        self._reset()

    def _reset(self) -> None:
        """Reset the connection (RST)."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Print nothing."""
