"""releasetag.registry.auth: tokens, what they are good for, and where credentials may go."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import httpx
import pytest

from releasetag.credentials import Credentials
from releasetag.errors import AuthError, PushError
from releasetag.reference import Repository
from releasetag.registry import Manifest, Registries
from tests.conftest import StartRegistry
from tests.support.fake_registry import Waits, at, descriptor, digest, open_registries, tag_names
from tests.support.registry import IMAGE_MANIFEST
from tests.support.scripted import Answer, Asked, refusal, scripted

REPOSITORY = Repository("registry.example.com", "acme/app")
REALM = "https://auth.example.com/token"
SECRET = Credentials("alice", "s3cret pa:ss")
IDENTITY = Credentials("<token>", identity_token="id3ntity")


def basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


@dataclass
class Guarded:
    """A registry with a token server (made up: a real one has no clock to be turned).

    Args:
        realm: what the challenge names.
        token: the token server's answer to its n-th request.
        inside: the registry's answer to an authorised request.
    """

    realm: str = REALM
    token: Callable[[int], httpx.Response] = lambda n: httpx.Response(200, json={"token": f"t{n}"})
    inside: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(
        200, json={"tags": ["1"]}
    )
    refused: set[str] = field(default_factory=set)
    asked: list[httpx.Request] = field(default_factory=list)
    tokens: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.host == httpx.URL(self.realm).host and "/token" in request.url.path:
            self.tokens.append(request)
            return self.token(len(self.tokens))
        if request.url.host != REPOSITORY.registry:
            return self.inside(request)
        header = request.headers.get("Authorization", "")
        if not header.startswith("Bearer ") or header.removeprefix("Bearer ") in self.refused:
            challenge = f'Bearer realm="{self.realm}",service="reg",scope="extra:x:pull"'
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        return self.inside(request)

    def registries(
        self, credentials: Credentials | None = SECRET, clock: Callable[[], float] = lambda: 0.0
    ) -> Registries:
        return Registries(
            lambda _: credentials,
            {},
            sleep=Waits(),
            clock=clock,
            transport=httpx.MockTransport(self),
        )


def test_a_token_is_asked_for_with_basic_credentials_service_and_scopes() -> None:
    guard = Guarded(realm=REALM + "?tenant=a")
    with guard.registries() as registries:
        assert tag_names(registries, REPOSITORY) == ["1"]
    (asked,) = guard.tokens
    assert asked.method == "GET"
    assert asked.headers["Authorization"] == basic(SECRET)
    assert parse_qs(asked.url.query.decode()) == {
        "tenant": ["a"],
        "service": ["reg"],
        "scope": ["repository:acme/app:pull", "extra:x:pull"],
    }


def test_without_credentials_a_token_is_requested_anonymously() -> None:
    guard = Guarded()
    with guard.registries(None) as registries:
        assert tag_names(registries, REPOSITORY) == ["1"]
    assert "Authorization" not in guard.tokens[0].headers


def test_an_identity_token_is_exchanged_as_oauth2_has_it() -> None:
    guard = Guarded(token=lambda _: httpx.Response(200, json={"access_token": "t1"}))
    with guard.registries(IDENTITY) as registries:
        assert tag_names(registries, REPOSITORY) == ["1"]
    (asked,) = guard.tokens
    assert (asked.method, asked.headers.get("Authorization")) == ("POST", None)
    assert parse_qs(asked.content.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["id3ntity"],
        "service": ["reg"],
        "client_id": ["releasetag"],
        "scope": ["repository:acme/app:pull extra:x:pull"],
    }


def test_an_identity_token_is_accepted_by_a_real_registry(start_registry: StartRegistry) -> None:
    registry = start_registry(auth="token")
    assert registry.token_server is not None
    expected = registry.put_image("acme/app", "1.2.3")
    known = Credentials("<token>", identity_token=registry.token_server.refresh_token)
    with Registries(lambda _: known, {}) as registries:
        manifest = registries.manifest(at(registry).tagged("1.2.3"))
        assert manifest is not None
        assert registries.put_manifest(at(registry).tagged("latest"), manifest) == expected
        registries.check(registry.address, known)
        with pytest.raises(AuthError):
            registries.check(registry.address, Credentials("<token>", identity_token="wrong"))


def test_a_registry_token_is_sent_as_it_is() -> None:
    guard = Guarded()
    with guard.registries(Credentials("", registry_token="r3gistry")) as registries:
        assert tag_names(registries, REPOSITORY) == ["1"]
    assert guard.tokens == []
    assert guard.asked[-1].headers["Authorization"] == "Bearer r3gistry"


@pytest.mark.parametrize(
    ("answer", "headers", "seconds", "fetched"),
    [
        ({}, {}, 49, 1),
        ({}, {}, 61, 2),
        ({"expires_in": 300}, {}, 280, 1),
        ({"expires_in": 300}, {}, 295, 2),
        ({"expires_in": 5}, {}, 2, 1),
        ({"expires_in": 5}, {}, 6, 2),
        ({"expires_in": 0}, {}, 30, 1),  # as if it were absent
        (
            {"expires_in": 300, "issued_at": "2026-10-21T07:28:00.123456789Z"},
            {"Date": "Wed, 21 Oct 2026 07:31:20 GMT"},
            80,
            1,
        ),
        (
            {"expires_in": 300, "issued_at": "2026-10-21T07:28:00Z"},
            {"Date": "Wed, 21 Oct 2026 07:31:20 GMT"},
            120,
            2,
        ),
        ({"expires_in": 300, "issued_at": "yesterday"}, {"Date": "today"}, 280, 1),
        ({"expires_in": 300}, {"Date": f"Wed, 21 Oct {10**12} 07:31:20 GMT"}, 280, 1),
    ],
)
def test_a_token_is_used_until_shortly_before_its_end(
    answer: dict[str, object], headers: dict[str, str], seconds: float, fetched: int
) -> None:
    now = 1000.0
    guard = Guarded(
        token=lambda n: httpx.Response(200, json={"token": f"t{n}", **answer}, headers=headers)
    )
    with guard.registries(clock=lambda: now) as registries:
        registries.tags(REPOSITORY)
        now += seconds
        registries.tags(REPOSITORY)
    assert len(guard.tokens) == fetched
    assert guard.asked[-1].headers["Authorization"] == f"Bearer t{fetched}"


def test_a_token_that_is_refused_is_replaced_once() -> None:
    guard = Guarded(token=lambda n: httpx.Response(200, json={"token": f"t{n}"}))
    with guard.registries() as registries:
        registries.tags(REPOSITORY)
        guard.refused.add("t1")
        assert tag_names(registries, REPOSITORY) == ["1"]
        guard.refused.update({"t2", "t3", "t4"})
        with pytest.raises(AuthError):
            registries.manifest(REPOSITORY.tagged("1"))
    assert len(guard.tokens) == 3


def test_the_second_request_gets_its_token_before_it_is_challenged() -> None:
    guard = Guarded()
    with guard.registries() as registries:
        registries.tags(REPOSITORY)
        before = len(guard.asked)
        registries.tags(Repository(REPOSITORY.registry, "acme/other"))
    assert [r.url.host for r in guard.asked[before:]] == ["auth.example.com", REPOSITORY.registry]


def test_basic_credentials_go_with_every_request_once_they_are_asked_for() -> None:
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Authorization"))
        if asked[-1] != basic(SECRET):
            return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return httpx.Response(200, json={"tags": []})

    transport = httpx.MockTransport(answer)
    with Registries(lambda _: SECRET, {}, transport=transport) as registries:
        registries.tags(REPOSITORY)
        registries.tags(REPOSITORY)
    assert asked == [None, basic(SECRET), basic(SECRET)]


@pytest.mark.parametrize(
    "realm",
    [
        "http://auth.example.com/token",
        "http://127.0.0.1:5001/token",
        "ftp://auth.example.com/token",
        "//auth.example.com/token",
        "/token",
        "https://",
        "",
        "https://auth.example.com:port/token",
        "http://registry.example.com/token",
    ],
)
@pytest.mark.parametrize("credentials", [SECRET, IDENTITY])
def test_no_password_goes_to_a_token_server_without_tls(
    realm: str, credentials: Credentials
) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})

    transport = httpx.MockTransport(answer)
    with (
        Registries(lambda _: credentials, {}, transport=transport) as registries,
        pytest.raises(AuthError, match="not reached over https"),
    ):
        registries.manifest(REPOSITORY.tagged("1"))
    assert [str(request.url.copy_with(query=None)) for request in asked] == [
        "https://registry.example.com/v2/acme/app/manifests/1"
    ]


@pytest.mark.parametrize("registry", ["127.0.0.1:5000", "localhost:5000"])
@pytest.mark.parametrize(
    ("realm", "allowed"),
    [
        ("http://127.0.0.1:5001/token", True),
        ("http://auth.example.com/token", False),
        ("https://auth.example.com/token", True),
    ],
)
def test_a_registry_on_this_machine_may_have_its_token_server_here_without_tls(
    registry: str, realm: str, allowed: bool
) -> None:
    tokens: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.scheme == "https" and "5000" in str(request.url):
            raise httpx.ConnectError("no TLS here")
        if request.url.path == "/token":
            tokens.append(request)
            return httpx.Response(200, json={"token": "t"})
        if "Authorization" not in request.headers:
            return httpx.Response(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})
        return httpx.Response(200, json={"tags": ["1"]})

    transport = httpx.MockTransport(answer)
    with Registries(lambda _: SECRET, {}, transport=transport) as registries:
        if allowed:
            assert tag_names(registries, Repository(registry, "app")) == ["1"]
        else:
            with pytest.raises(AuthError):
                registries.manifest(Repository(registry, "app").tagged("1"))
    assert len(tokens) == allowed


def test_a_redirect_to_another_host_gets_no_credentials() -> None:
    content = b"{}"
    seen: list[httpx.Request] = []

    def inside(request: httpx.Request) -> httpx.Response:
        if request.url.host == REPOSITORY.registry:
            return httpx.Response(
                307, headers={"Location": "https://store.example.com/m?sig=s3cret"}
            )
        seen.append(request)
        return httpx.Response(
            200,
            content=content,
            headers={"Content-Type": "application/vnd.oci.image.index.v1+json"},
        )

    with Guarded(inside=inside).registries() as registries:
        manifest = registries.manifest(REPOSITORY.at(digest(content)))
    assert manifest is not None
    assert [request.headers.get("Authorization") for request in seen] == [None]


def test_a_challenge_from_where_a_redirect_led_is_not_answered() -> None:
    def inside(request: httpx.Request) -> httpx.Response:
        if request.url.host == REPOSITORY.registry:
            return httpx.Response(307, headers={"Location": "https://store.example.com/m"})
        challenge = {"WWW-Authenticate": 'Bearer realm="https://evil.example.com/token"'}
        return httpx.Response(401, headers=challenge)

    guard = Guarded(inside=inside)
    with guard.registries() as registries, pytest.raises(AuthError):
        registries.manifest(REPOSITORY.tagged("1"))
    assert "evil.example.com" not in {request.url.host for request in guard.asked}


@pytest.mark.parametrize("credentials", [SECRET, IDENTITY])
def test_a_token_server_that_sends_us_elsewhere_sends_no_secret_along(
    credentials: Credentials,
) -> None:
    guard = Guarded(
        token=lambda _: httpx.Response(
            307, headers={"Location": "https://evil.example.com/collect"}
        ),
        inside=lambda _: httpx.Response(404),
    )
    with guard.registries(credentials) as registries, pytest.raises(PushError):
        registries.tags(REPOSITORY)
    for request in guard.asked:
        if request.url.host == "evil.example.com":
            assert "Authorization" not in request.headers
            assert b"id3ntity" not in request.content


def test_an_upload_to_another_host_gets_no_credentials() -> None:
    config = b"{}"
    manifest = (
        b'{"config": {"mediaType": "c", "digest": "%s", "size": 2}, "layers": []}'
        % digest(config).encode()
    )
    uploads: list[httpx.Request] = []

    def inside(request: httpx.Request) -> httpx.Response:
        match request.method, request.url.host:
            case "HEAD", _:
                return httpx.Response(404)
            case "POST", _:
                location = "https://store.example.com/up?_state=st4te"
                return httpx.Response(202, headers={"Location": location})
            case "PUT", "store.example.com":
                request.read()
                uploads.append(request)
                return httpx.Response(201)
            case "PUT", _:
                return httpx.Response(201, headers={"Docker-Content-Digest": digest(manifest)})
        blob = "/blobs/" in request.url.path
        return httpx.Response(200, stream=httpx.ByteStream(config if blob else manifest))

    with Guarded(inside=inside).registries() as registries:
        registries.copy(Repository("other.example.com", "app").tagged("1"), REPOSITORY)
    (upload,) = uploads
    assert "Authorization" not in upload.headers
    assert upload.headers["Content-Length"] == "2"
    assert upload.content == config
    assert dict(upload.url.params) == {"_state": "st4te", "digest": digest(config)}


@pytest.mark.parametrize(
    ("status", "credentials", "expected"),
    [
        (400, SECRET, PushError),
        (400, IDENTITY, AuthError),
        (401, SECRET, AuthError),
        (401, IDENTITY, AuthError),
        (403, SECRET, AuthError),
        (404, SECRET, PushError),
    ],
)
def test_a_refused_token_is_an_error_at_once(
    status: int, credentials: Credentials, expected: type[Exception]
) -> None:
    body = {"error": "invalid_grant", "error_description": "no\nway"}
    guard = Guarded(token=lambda _: httpx.Response(status, json=body))
    with guard.registries(credentials) as registries, pytest.raises(expected) as caught:
        registries.manifest(REPOSITORY.tagged("1"))
    assert len(guard.tokens) == 1
    assert f"{status} (invalid_grant: no way)" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"token": ""}',
        b'{"token": 7}',
        b'{"token": "a b"}',
        b'{"token": "a\\r\\nX-Evil: 1"}',
        b'{"token": "a", "expires_in": "soon"}',
        b'{"token": "a", "expires_in": [1]}',
        b"[" * 100_000,
    ],
)
def test_an_answer_without_a_token_is_an_auth_error(content: bytes) -> None:
    guard = Guarded(token=lambda _: httpx.Response(200, content=content))
    with guard.registries() as registries, pytest.raises(AuthError, match="holds no token"):
        registries.manifest(REPOSITORY.tagged("1"))


@pytest.mark.parametrize("credentials", [SECRET, IDENTITY])
@pytest.mark.parametrize("where", ["registry", "token server"])
def test_secrets_that_a_registry_sends_back_are_not_shown(
    credentials: Credentials, where: str
) -> None:
    secrets = [
        SECRET.password,
        basic(SECRET).removeprefix("Basic "),
        IDENTITY.identity_token,
        "t0ken-of-ours",
    ]
    if where == "token server":
        secrets.remove("t0ken-of-ours")  # there is none yet
    secrets = [s for s in secrets if (s == "id3ntity") == (credentials is IDENTITY) or "t0" in s]
    echo = {"errors": [{"code": "DENIED", "message": f"you sent {' '.join(secrets)}"}]}

    def token(_: int) -> httpx.Response:
        if where == "token server":
            return httpx.Response(403, json=echo)
        return httpx.Response(200, json={"token": "t0ken-of-ours"})

    guard = Guarded(token=token, inside=lambda _: httpx.Response(403, json=echo))
    with guard.registries(credentials) as registries, pytest.raises(AuthError) as caught:
        registries.manifest(REPOSITORY.tagged("1"))
    shown = f"{caught.value.message} {caught.value.hint} {caught.value!r}"
    assert "you sent ***" in shown
    assert not [secret for secret in secrets if secret in shown]


ACTIONS: dict[str, Callable[[Registries, Repository, Manifest], object]] = {
    "list": lambda r, at, _: r.tags(at),
    "digest": lambda r, at, _: r.digest(at.tagged("1")),
    "manifest": lambda r, at, _: r.manifest(at.tagged("1")),
    "config": lambda r, at, image: r.image_config(at, image),
    "missing": lambda r, at, image: r.missing(at, image),
    "copy from": lambda r, at, _: r.copy(at.tagged("1"), Repository(at.registry, "acme/two")),
    "put": lambda r, at, image: r.put_manifest(at.tagged("2"), image),
    "copy to": lambda r, at, _: r.copy(Repository(at.registry, "acme/two").tagged("1"), at),
}
READS = ("list", "digest", "manifest", "config", "missing", "copy from")


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("allowed", ["", "pull"])
@pytest.mark.parametrize("same", [True, False])
def test_a_token_for_less_than_was_asked_is_no_answer(
    start_registry: StartRegistry,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    allowed: str,
    same: bool,
) -> None:
    registry = start_registry(auth="token")
    assert registry.token_server is not None
    registry.put_image("acme/app", "1")
    registry.put_image("acme/two", "1", {"another": "image"})
    content = registry.manifest("acme/app", "1")
    assert content is not None
    issue = registry.token_server.token
    access = (f"repository:acme/app:{allowed}",) if allowed else ()
    two = "repository:acme/two:pull,push"
    fixed = issue("alice", (*access, two))

    def token(account: str, scopes: tuple[str, ...], seconds: int = 300) -> str:
        return fixed if same else issue(account, (*access, two), seconds)

    monkeypatch.setattr(registry.token_server, "token", token)
    waits = Waits()
    with open_registries(registry, sleep=waits) as registries:

        def act() -> object:
            return ACTIONS[action](registries, at(registry), Manifest(IMAGE_MANIFEST, content))

        if allowed and action in READS:
            act()
        elif action == "list":
            assert act() is None
        else:
            with pytest.raises(AuthError, match=r"answered 401 \(UNAUTHORIZED"):
                act()
    monkeypatch.undo()
    assert registry.tags("acme/app") == ["1"]
    assert sum(waits.seconds) in {0, 7.75}  # of the origin of a copy, which may be late


@pytest.mark.parametrize("action", [name for name in ACTIONS if name != "list"])
@pytest.mark.parametrize(
    "denial",
    [
        refusal(401),
        refusal(401, "UNAUTHORIZED"),
        refusal(403),
        refusal(403, "DENIED"),
        refusal(404, "DENIED"),
        refusal(404, "UNAUTHORIZED"),
    ],
)
def test_denial_is_an_auth_error_in_every_form(action: str, denial: Answer) -> None:
    config = b"{}"
    image = Manifest(
        IMAGE_MANIFEST,
        json.dumps({"config": descriptor("c", config), "layers": []}).encode(),
    )

    def answer(asked: Asked) -> Answer:
        if "acme/app" in asked.line:
            # Of an answer to HEAD nobody sees more than the status.
            return Answer(403) if "HEAD" in asked.line else denial
        if "manifests" in asked.line and "GET" in asked.line:
            return Answer(body=image.content)
        return Answer(body=config) if "GET" in asked.line else refusal(404)

    with (
        scripted(answer) as server,
        open_registries() as registries,
        pytest.raises(AuthError, match=f"answered {denial.status}"),
    ):
        ACTIONS[action](registries, server.repository, image)
