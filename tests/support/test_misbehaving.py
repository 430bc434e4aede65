"""The misbehaving registry does what its switches say, and is a good one without them."""

import base64
import http.client
import json
import re
from contextlib import closing
from urllib.parse import quote

import pytest

from tests.support.misbehaving import (
    ABSENT,
    BROKEN,
    CONFIG,
    PASSWORD,
    USERNAME,
    Clock,
    MisbehavingRegistry,
    Misbehaviour,
    digest_of,
)
from tests.support.registry import IMAGE_MANIFEST

PATH = "/v2/acme/app"
BLOB = b"a new layer"


class Client:
    """A client that shares no code with the program, and forgives nothing."""

    def __init__(self, registry: MisbehavingRegistry) -> None:
        self.registry = registry
        self.seen: list[str] = []
        self._tokens: dict[str, str] = {}

    def ask(self, method: str, path: str, body: bytes = b"", scope: str = "pull,push") -> str:
        """Ask for something, note the answer, and return the Location."""
        if scope not in self._tokens:
            self._tokens[scope] = self._token(scope)
        given = {"Authorization": self._tokens[scope], "Content-Type": IMAGE_MANIFEST}
        try:
            status, headers, content = self._send(method, path, given, body)
        except (OSError, http.client.HTTPException) as error:
            self.seen.append(f"{method} {path}: {type(error).__name__}")
            return ""
        text = f"{method} {path}: {status} {sorted(headers.items())} {content!r}"
        text = text.replace(self.registry.elsewhere, "STORE").replace(self.registry.address, "HOST")
        self.seen.append(re.sub(r"\b[0-9a-f]{16}\b", "ID", text))
        return quote(headers.get("Location", ""), safe="/:?&=")

    def _token(self, scope: str) -> str:
        """Return an Authorization header."""
        basic = "Basic " + base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        if self.registry.auth == "basic":
            return basic
        query = f"scope=repository:acme/app:{scope}&scope=repository:acme/other:pull"
        _, _, content = self._send("GET", f"/token?{query}", {"Authorization": basic}, b"")
        return f"Bearer {json.loads(content)['token']}"

    def _send(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        host, port = self.registry.address.split(":")
        trickles = path.startswith(PATH) and "TRICKLE" in str(self.registry.misbehaviour)
        timeout = 0.01 if trickles else 20  # no byte more ever comes
        with closing(http.client.HTTPConnection(host, int(port), timeout=timeout)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()


def transcript(misbehaviour: Misbehaviour | None) -> list[str]:
    """Ask a registry for all that there is, and return what it answers."""
    clock = Clock()
    with MisbehavingRegistry(misbehaviour, clock=clock) as registry:
        client = Client(registry)
        layer = digest_of(b"other")
        registry.put_image("acme/other", "1", layers=(b"other",))
        if misbehaviour not in ABSENT:
            for tag in ("1", "2", "3"):
                registry.put_index("acme/app", tag, labels={"tag": tag})
        manifests, blobs = [*registry.at("acme/app").manifests], [*registry.at("acme/app").blobs]
        if misbehaviour not in ABSENT:
            registry.damage("acme/app", "3")
        for _ in range(2):
            client.ask("GET", "/v2/")
            client.ask("GET", f"{PATH}/tags/list?n=100", scope="pull")
            client.ask("GET", f"{PATH}/tags/list?n=100&last=2", scope="pull")
            for name in [*registry.at("acme/app").tags, *manifests, "4"]:
                client.ask("HEAD", f"{PATH}/manifests/{name}", scope="pull")
                client.ask("GET", f"{PATH}/manifests/{name}", scope="pull")
            for name in blobs:
                client.ask("GET", f"{PATH}/blobs/{name}", scope="pull")
        client.ask("POST", f"{PATH}/blobs/uploads/?mount={layer}&from=acme/other")
        location = client.ask("POST", f"{PATH}/blobs/uploads/") or f"{PATH}/blobs/uploads/0"
        if location.startswith("/"):
            client.ask("PUT", f"{location}&digest={digest_of(BLOB)}", BLOB)
        client.ask("GET", f"{PATH}/blobs/{digest_of(BLOB)}")
        config = {"mediaType": CONFIG, "digest": digest_of(BLOB), "size": len(BLOB)}
        manifest = {"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": config, "layers": []}
        content = json.dumps(manifest).encode()
        client.ask("PUT", f"{PATH}/manifests/{digest_of(content)}", content)
        client.ask("GET", f"{PATH}/manifests/{digest_of(content)}")
        for tag in ("4", "1"):
            client.ask("PUT", f"{PATH}/manifests/{tag}", content)
            client.ask("GET", f"{PATH}/manifests/{tag}")
        assert registry.failures == []
    return [*client.seen, f"{clock.now()} s"]


@pytest.fixture(scope="module")
def good() -> list[str]:
    return transcript(None)


def test_without_a_switch_everything_is_as_the_specification_has_it(good: list[str]) -> None:
    statuses = [re.sub(r"sha256:\w+", "D", line.partition(" [")[0]) for line in good]
    assert not [line for line in statuses if re.search(": 5|: 401|: 403|: 405", line)]
    assert statuses[-9:] == [
        f"PUT {PATH}/blobs/uploads/ID?_state=abc&digest=D: 201",
        f"GET {PATH}/blobs/D: 200",
        f"PUT {PATH}/manifests/D: 201",
        f"GET {PATH}/manifests/D: 200",
        f"PUT {PATH}/manifests/4: 201",
        f"GET {PATH}/manifests/4: 200",
        f"PUT {PATH}/manifests/1: 201",
        f"GET {PATH}/manifests/1: 200",
        "0.0 s",
    ]
    assert {line for line in statuses if line.endswith(": 404")} == {
        f"{method} {PATH}/manifests/4: 404" for method in ("GET", "HEAD")
    }


@pytest.mark.slow  # as all that uses the registry
@pytest.mark.parametrize("misbehaviour", Misbehaviour, ids=lambda each: each.name)
def test_every_switch_changes_an_answer(good: list[str], misbehaviour: Misbehaviour) -> None:
    assert transcript(misbehaviour) != good


@pytest.mark.parametrize("misbehaviour", sorted(BROKEN, key=str), ids=lambda each: each.name)
def test_what_is_broken_is_so_at_one_tag_alone(misbehaviour: Misbehaviour) -> None:
    with MisbehavingRegistry(misbehaviour) as registry:
        registry.put_index("acme/app", "1", labels={"tag": "1"})
        registry.put_index("acme/app", "2", labels={"tag": "2"})
        before = registry.labels("acme/app", registry.at("acme/app").tags["2"])
        registry.damage("acme/app", "1")
        assert registry.labels("acme/app", registry.at("acme/app").tags["2"]) == before
