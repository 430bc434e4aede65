"""Which kind of failure the messages of registries and engines mean."""

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
    # Immutable tags
    (
        "tag invalid: The image tag '1.2.3' already exists in the 'app' repository and cannot be "
        "overwritten because the repository is immutable.",
        "immutable",
    ),
    ("unknown: Failed to process request due to 'app:1.2' configured as immutable.", "immutable"),
    ("denied: Failed to process request, due to 'app:latest' is a immutable tag.", "immutable"),
    ("The requested tag already exists and cannot be overwritten.", "immutable"),
    ("denied: tag immutability is enabled for this repository", "immutable"),
    # Permanent
    ("name unknown: The repository with name 'app' does not exist in the registry", "permanent"),
    ("NAME_UNKNOWN: repository name not known to registry", "permanent"),
    ("write /var/lib/registry/x: no space left on device", "permanent"),
    ("x509: certificate signed by unknown authority", "permanent"),
    ("dial tcp: lookup registry.example.com: no such host", "permanent"),
    ("http: server gave HTTP response to HTTPS client", "permanent"),
    ("manifest invalid: manifest invalid", "permanent"),
    ("something nobody has seen before", "permanent"),
    ("", "permanent"),
    # Transient
    ("toomanyrequests: You have reached your pull rate limit", "transient"),
    ("denied: too many requests", "transient"),
    ("dial tcp 10.0.0.1:443: connect: connection refused", "transient"),
    ("read tcp 10.0.0.2:1->10.0.0.1:443: read: connection reset by peer", "transient"),
    ("write: broken pipe", "transient"),
    ('Put "https://r/v2/app/manifests/1": EOF', "transient"),
    ("unexpected EOF", "transient"),
    ("dial tcp 10.0.0.1:443: i/o timeout", "transient"),
    ("net/http: TLS handshake timeout", "transient"),
    ("net/http: request canceled (Client.Timeout exceeded while awaiting headers)", "transient"),
    ("context deadline exceeded", "transient"),
    ("received unexpected HTTP status: 500 Internal Server Error", "transient"),
    ("unexpected status from PUT request to https://r/v2/x: 502 Bad Gateway", "transient"),
    ("received unexpected HTTP status: 503 Service Unavailable", "transient"),
    ("unexpected status code 504", "transient"),
    ("error parsing HTTP 429 response body: invalid character", "transient"),
    ("blob upload unknown", "transient"),
    ("lookup r on 127.0.0.53:53: server misbehaving", "transient"),
]


@pytest.mark.parametrize(("message", "kind"), WORDS)
def test_a_message_is_classified(message: str, kind: Kind) -> None:
    assert kind_of(message) == kind


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, "", "auth"),
        (403, "connection reset by peer", "auth"),
        (403, "denied: this tag is immutable", "immutable"),
        (412, "due to 'app:1.2' configured as immutable", "immutable"),
        (412, "", "permanent"),
        (400, "unauthorized", "permanent"),
        (404, "", "permanent"),
        (405, "", "permanent"),
        (413, "", "permanent"),
        (500, "write /var/lib/registry/x: No space left on device", "permanent"),
        (501, "", "permanent"),
        (408, "", "transient"),
        (429, "denied", "transient"),
        (500, "", "transient"),
        (502, "", "transient"),
        (503, "", "transient"),
        (504, "", "transient"),
    ],
)
def test_a_status_outweighs_the_message(status: int, message: str, kind: Kind) -> None:
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
def test_untrusted_text_becomes_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
