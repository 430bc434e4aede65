"""A token server, as Docker Hub, GHCR and Harbor have one beside their registry.

It speaks both forms of the Docker registry token specification (distribution, docs/spec/auth): GET
with HTTP Basic (`token.md`), and POST with a password or a refresh token (`oauth.md`). Its tokens
are JSON Web Tokens that docker-registry verifies.
"""

import base64
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.support.certificates import Identity, make_authority
from tests.support.http_server import QuietHTTPServer

ISSUER = "token-server.test"
SERVICE = "registry.test"


@dataclass(frozen=True)
class TokenRequest:
    """What the token server was asked.

    Attributes:
        method: `GET` or `POST`.
        grant_type: of a POST: `password` or `refresh_token`; empty for a GET.
        scopes: `repository:acme/app:pull,push`, in the order they came.
        account: who asked, as the request said or as in its Basic credentials; empty if unnamed.
    """

    method: str
    grant_type: str
    scopes: tuple[str, ...]
    account: str
    service: str
    client_id: str


class TokenServer:
    """Gives tokens to the one user it knows, and tokens that only pull to everyone else.

    Args:
        username, password: the user.

    Attributes:
        realm: its address, for the registry's configuration.
        refresh_token: taken in place of the password.
        denied: repositories that not even the user may push to.
        requests: what it was asked, oldest first.
    """

    def __init__(self, username: str, password: str, host: str = "127.0.0.1") -> None:
        self.username = username
        self.password = password
        self.refresh_token = secrets.token_urlsafe(24)
        self.denied: set[str] = set()
        self.requests: list[TokenRequest] = []
        self.identity: Identity = make_authority(ISSUER)
        self._server = QuietHTTPServer((host, 0), self._handler())
        self.realm = f"http://{host}:{self._server.server_port}/token"

    def start(self) -> None:
        """Start to answer."""
        self._server.__enter__()

    def stop(self) -> None:
        """Stop, for good."""
        self._server.__exit__()

    def token(self, account: str, scopes: tuple[str, ...], seconds: int = 300) -> str:
        """A signed token for what `account` may do of what it asks for."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": account,
            "aud": SERVICE,
            "iat": now,
            "nbf": now - 10,
            "exp": now + seconds,
            "jti": secrets.token_hex(8),
            "access": [self._access(account, scope) for scope in scopes],
        }
        chain = [base64.b64encode(self.identity.certificate_der).decode()]
        header = {"typ": "JWT", "alg": "ES256", "x5c": chain}
        signed = f"{_encode_json(header)}.{_encode_json(claims)}"
        signature = self.identity.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        # JWS wants the two numbers side by side, not DER (RFC 7518, 3.4).
        r, s = decode_dss_signature(signature)
        return f"{signed}.{_encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def _access(self, account: str, scope: str) -> dict[str, object]:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        allowed = {"pull", "push", "delete", "*"} if account else {"pull"}
        if name in self.denied:
            allowed = {"pull"}
        return {
            "type": kind,
            "name": name,
            "actions": [action for action in actions.split(",") if action in allowed],
        }

    def answer(self, request: TokenRequest, password: str) -> tuple[int, dict[str, object]]:
        """The status and the JSON for a request; `password` may be the refresh token."""
        self.requests.append(request)
        account = request.account
        if request.grant_type == "refresh_token":
            known = password == self.refresh_token
            account = self.username
        else:
            known = (account, password) == (self.username, self.password)
        if (account or password) and not known:
            return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect credentials"}]}
        token = self.token(account, request.scopes)
        answer: dict[str, object] = {"token": token, "access_token": token, "expires_in": 300}
        if request.method == "POST":
            answer["refresh_token"] = self.refresh_token
        return 200, answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                basic = self.headers.get("Authorization", "").removeprefix("Basic ")
                account, _, password = base64.b64decode(basic).decode().partition(":")
                self._answer("GET", urlsplit(self.path).query, account, password)

            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._answer("POST", form, None, None)

            def _answer(
                self, method: str, fields: str, account: str | None, password: str | None
            ) -> None:
                given = parse_qs(fields)

                def first(*names: str) -> str:
                    return next((given[name][0] for name in names if name in given), "")

                request = TokenRequest(
                    method=method,
                    grant_type=first("grant_type"),
                    # Several are several fields, or one with spaces between them.
                    scopes=tuple(" ".join(given.get("scope", [])).split()),
                    account=account or first("username", "account"),
                    service=first("service"),
                    client_id=first("client_id"),
                )
                status, answer = server.answer(
                    request, first("password", "refresh_token") if password is None else password
                )
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _encode_json(value: Mapping[str, object]) -> str:
    return _encode(json.dumps(value).encode())
