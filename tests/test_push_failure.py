"""releasetag.push_failure: registries' and engines' words."""

import pytest

from releasetag.push_failure import Kind, kind_of
from releasetag.text import printable

WORDS: list[tuple[str, Kind]] = [
    # Docker Hub, distribution, the engine
    ("unauthorized: authentication required", "auth"),
    ("unauthorized: incorrect username or password", "auth"),
    ("denied: requested access to the resource is denied", "auth"),
    ("no basic auth credentials", "auth"),
    ("insufficient_scope: authorization failed", "auth"),
    ("unexpected status from HEAD request to https://r/v2/a/blobs/x: 403 Forbidden", "auth"),
    ("Head https://r/v2/app/manifests/1: unexpected status code 401", "auth"),
    ("denied: permission_denied: write_package", "auth"),
    # Tags that may not move
    (
        "tag invalid: The image tag '1.2.3' already exists in the 'app' repository and cannot be "
        "overwritten because the repository is immutable.",
        "immutable",
    ),
    ("unknown: Failed to process request due to 'app:1.2' configured as immutable.", "immutable"),
    ("denied: Failed to process request, due to 'app:latest' is a immutable tag.", "immutable"),
    ("The requested tag already exists and cannot be overwritten.", "immutable"),
    ("denied: tag immutability is enabled for this repository", "immutable"),
    # Lasting
    ("name unknown: The repository with name 'app' does not exist in the registry", "lasting"),
    ("NAME_UNKNOWN: repository name not known to registry", "lasting"),
    ("write /var/lib/registry/x: no space left on device", "lasting"),
    ("x509: certificate signed by unknown authority", "lasting"),
    ("dial tcp: lookup registry.example.com: no such host", "lasting"),
    ("http: server gave HTTP response to HTTPS client", "lasting"),
    ("manifest invalid: manifest invalid", "lasting"),
    ("something nobody has seen before", "lasting"),
    ("", "lasting"),
    # Passing
    ("toomanyrequests: You have reached your pull rate limit", "passing"),
    ("denied: too many requests", "passing"),
    ("dial tcp 10.0.0.1:443: connect: connection refused", "passing"),
    ("read tcp 10.0.0.2:1->10.0.0.1:443: read: connection reset by peer", "passing"),
    ("write: broken pipe", "passing"),
    ('Put "https://r/v2/app/manifests/1": EOF', "passing"),
    ("unexpected EOF", "passing"),
    ("dial tcp 10.0.0.1:443: i/o timeout", "passing"),
    ("net/http: TLS handshake timeout", "passing"),
    ("net/http: request canceled (Client.Timeout exceeded while awaiting headers)", "passing"),
    ("context deadline exceeded", "passing"),
    ("received unexpected HTTP status: 500 Internal Server Error", "passing"),
    ("unexpected status from PUT request to https://r/v2/x: 502 Bad Gateway", "passing"),
    ("received unexpected HTTP status: 503 Service Unavailable", "passing"),
    ("unexpected status code 504", "passing"),
    ("error parsing HTTP 429 response body: invalid character", "passing"),
    ("blob upload unknown", "passing"),
    ("lookup r on 127.0.0.53:53: server misbehaving", "passing"),
]


@pytest.mark.parametrize(("message", "kind"), WORDS)
def test_words_say_what_kind_of_failure_it_is(message: str, kind: Kind) -> None:
    assert kind_of(message) == kind


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, "", "auth"),
        (403, "connection reset by peer", "auth"),
        (403, "denied: this tag is immutable", "immutable"),
        (412, "due to 'app:1.2' configured as immutable", "immutable"),
        (412, "", "lasting"),
        (400, "unauthorized", "lasting"),
        (404, "", "lasting"),
        (405, "", "lasting"),
        (413, "", "lasting"),
        (500, "write /var/lib/registry/x: No space left on device", "lasting"),
        (501, "", "lasting"),
        (408, "", "passing"),
        (429, "denied", "passing"),
        (500, "", "passing"),
        (502, "", "passing"),
        (503, "", "passing"),
        (504, "", "passing"),
    ],
)
def test_a_status_weighs_more_than_words(status: int, message: str, kind: Kind) -> None:
    assert kind_of(message, status) == kind


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\tand  more ", "two lines and more"),
        ("\x1b[31mred\x1b[0m\x07", "[31mred [0m"),
        ("\u202egnp.exe\u200b", "gnp.exe"),
        ("see https://r/v2/x?_state=secret&a=b now", "see https://r/v2/x now"),
        ('Put "http://r/up?state=1": EOF', 'Put "http://r/up": EOF'),
        ("what? nothing", "what? nothing"),
        ("é ü 漢", "é ü 漢"),
        ("x" * 400, "x" * 299 + "…"),
    ],
)
def test_words_from_outside_are_made_fit_to_print(text: str, shown: str) -> None:
    assert printable(text) == shown
