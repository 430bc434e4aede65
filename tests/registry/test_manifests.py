"""releasetag.registry.manifests: what is read and put, and what cannot be used."""

import json
from collections.abc import Callable

import httpx
import pytest

from releasetag.errors import AuthError, PushError
from releasetag.reference import Reference, Repository
from releasetag.registry import BrokenImageError, Manifest, Registries
from releasetag.registry.image import INDEX_TYPES
from tests.support.fake_registry import (
    CONFIG,
    Faulty,
    Waits,
    answers,
    at,
    child,
    descriptor,
    digest,
    image,
    index,
    open_registries,
)
from tests.support.registry import IMAGE_INDEX, IMAGE_MANIFEST, RegistryServer
from tests.support.scripted import Answer, Asked, refusal, scripted

NOWHERE = "sha256:" + "0" * 64


def test_digest_is_read_without_the_manifest(registry: RegistryServer) -> None:
    expected = image(registry, "acme/app", "1.2.3")
    with open_registries() as registries:
        assert registries.digest(at(registry).tagged("1.2.3")) == expected
        assert registries.digest(at(registry).at(expected)) == expected
    assert "GET /v2/acme/app/manifests/1.2.3" not in registry.requests()


@pytest.mark.parametrize("path", ["acme/app", "acme/nowhere"])
def test_what_is_not_there_is_none(registry: RegistryServer, path: str) -> None:
    image(registry, "acme/app", "1.2.3")
    with open_registries() as registries:
        assert registries.digest(at(registry, path).tagged("1.2.4")) is None
        assert registries.manifest(at(registry, path).tagged("1.2.4")) is None
        assert registries.manifest(at(registry, path).at(NOWHERE)) is None


def test_manifest_is_the_bytes_that_were_put(registry: RegistryServer) -> None:
    expected = image(registry, "acme/app", "1.2.3", b"layer")
    content = registry.manifest("acme/app", "1.2.3")
    assert content is not None
    with open_registries() as registries:
        found = registries.manifest(at(registry).tagged("1.2.3"))
    assert found == Manifest(IMAGE_MANIFEST, content)
    assert (found.digest, found.is_index) == (expected, False)
    assert [layer.digest for layer in found.layers] == [digest(b"layer")]


def test_a_manifest_is_put_under_another_tag_and_by_digest(registry: RegistryServer) -> None:
    expected = image(registry, "acme/app", "1.2.3")
    with open_registries() as registries:
        manifest = registries.manifest(at(registry).tagged("1.2.3"))
        assert manifest is not None
        assert registries.put_manifest(at(registry).tagged("latest"), manifest) == expected
        assert registries.put_manifest(at(registry).at(expected), manifest) == expected
    assert registry.digest("acme/app", "latest") == expected


def test_a_manifest_whose_blobs_are_missing_is_refused_with_the_registrys_message(
    registry: RegistryServer, second_registry: RegistryServer
) -> None:
    image(registry, "acme/app", "1.2.3", b"layer")
    with open_registries() as registries:
        manifest = registries.manifest(at(registry).tagged("1.2.3"))
        assert manifest is not None
        with pytest.raises(PushError, match="BLOB_UNKNOWN: blob unknown to registry") as caught:
            registries.put_manifest(at(second_registry).tagged("1.2.3"), manifest)
    assert f"cannot push {second_registry.address}/acme/app:1.2.3" in caught.value.message


def test_labels_are_those_of_the_image(registry: RegistryServer) -> None:
    labels = {"org.opencontainers.image.version": "1.2.3", "a": "é"}
    image(registry, "acme/app", "1.2.3", labels=labels)
    image(registry, "acme/app", "bare")
    with open_registries() as registries:
        for tag, expected in (("1.2.3", labels), ("bare", {})):
            manifest = registries.manifest(at(registry).tagged(tag))
            assert manifest is not None
            config = registries.image_config(at(registry), manifest)
            assert dict(config.labels) == expected
            assert config.digest == manifest.config.digest


@pytest.mark.parametrize("nested", [False, True])
def test_labels_of_an_index_are_those_of_its_first_image(
    registry: RegistryServer, nested: bool
) -> None:
    for tag in ("attested", "unknown", "arm64", "amd64"):
        image(registry, "acme/app", tag, labels={"tag": tag})
    unknown = {"os": "unknown", "architecture": "unknown"}
    note = {"vnd.docker.reference.type": "attestation-manifest"}
    index(
        registry,
        "acme/app",
        "1.2.3",
        child(registry, "acme/app", "unknown", platform=unknown),
        child(registry, "acme/app", "attested", annotations=note),
        child(registry, "acme/app", "arm64", platform={"os": "linux", "architecture": "arm64"}),
        child(registry, "acme/app", "amd64", platform={"os": "linux", "architecture": "amd64"}),
    )
    if nested:
        inner = child(registry, "acme/app", "1.2.3")
        index(registry, "acme/app", "1.2.3", inner | {"mediaType": INDEX_TYPES[0]})
    with open_registries() as registries:
        manifest = registries.manifest(at(registry).tagged("1.2.3"))
        assert manifest is not None
        assert manifest.is_index
        assert registries.image_config(at(registry), manifest).labels["tag"] == "arm64"


def test_an_index_without_an_image_is_an_error(registry: RegistryServer) -> None:
    index(registry, "acme/app", "empty")
    with open_registries() as registries:
        manifest = registries.manifest(at(registry).tagged("empty"))
        assert manifest is not None
        with pytest.raises(PushError, match="an index without an image"):
            registries.image_config(at(registry), manifest)


IMAGE = Manifest(
    IMAGE_MANIFEST,
    json.dumps({"config": descriptor(CONFIG, b"{}"), "layers": []}).encode(),
)
TYPE = ("Content-Type", IMAGE_MANIFEST)


def look(registries: Registries, repository: Repository) -> str | None:
    """The digest of acme/app:1, read in both ways."""
    found = registries.digest(repository.tagged("1"))
    manifest = registries.manifest(repository.tagged("1"))
    assert (manifest.digest if manifest else None) == found
    return found


@pytest.mark.parametrize("status", [204, 400, 401, 403, 405, 501])
def test_where_head_is_refused_the_manifest_is_read(registry: RegistryServer, status: int) -> None:
    expected = image(registry, "acme/app", "1")
    network = Faulty(lambda r: r.method == "HEAD", answers(status), times=-1)
    with open_registries(transport=network) as registries:
        assert look(registries, at(registry)) == expected
        assert registries.digest(at(registry).tagged("2")) is None


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("Docker-Content-Digest", ""),),
        (("Docker-Content-Digest", "latest"),),
        (("Docker-Content-Digest", "sha256:short"),),
        (("Docker-Content-Digest", f"{NOWHERE}é"),),
        (("Docker-Content-Digest", b"\xff\xfe"),),
        (("Docker-Content-Digest", NOWHERE), ("Docker-Content-Digest", NOWHERE)),
    ],
)
def test_where_head_states_no_digest_it_is_computed(
    headers: tuple[tuple[str, str | bytes], ...],
) -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(200, b"" if "HEAD" in asked.line else IMAGE.content, headers)

    with scripted(answer) as server, open_registries() as registries:
        assert registries.digest(server.repository.tagged("1")) == IMAGE.digest


def test_the_digest_of_what_is_no_image_is_known() -> None:
    old = b'{"schemaVersion": 1}'
    with scripted(lambda _: Answer(body=old)) as server, open_registries() as registries:
        assert registries.digest(server.repository.tagged("1")) == digest(old)


@pytest.mark.parametrize("code", ["MANIFEST_UNKNOWN", "NAME_UNKNOWN"])
@pytest.mark.parametrize("status", [400, 404, 410])
def test_unknown_is_none_whatever_the_status(code: str, status: int) -> None:
    with scripted(lambda _: refusal(status, code)) as server, open_registries() as registries:
        assert look(registries, server.repository) is None


# Docker Hub answers 401 for what is not there to a token that may pull, and 404 to one that may
# push. GitHub's token server refuses to give the first one.


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("where", ["registry", "token server"])
def test_denial_of_a_pull_may_be_absence_for_who_may_push(status: int, where: str) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.line == "GET /token":
            (scope,) = asked.query["scope"]
            if where == "token server" and "push" not in scope:
                return refusal(403, "DENIED")
            return Answer(body=json.dumps({"token": scope}).encode())
        if not asked.token:
            return refusal(401, challenge=f'Bearer realm="http://{server.address}/token"')
        if not asked.token.endswith("push"):
            return refusal(status, challenge=f'Bearer realm="http://{server.address}/token"')
        return refusal(404, "MANIFEST_UNKNOWN")

    with scripted(answer) as server, open_registries() as registries:
        reference = server.repository.tagged("1")
        assert registries.digest(reference, denied_is_absent=True) is None
        assert registries.manifest(reference, denied_is_absent=True) is None
        for read in (registries.digest, registries.manifest):
            with pytest.raises(AuthError):
                read(reference)


@pytest.mark.parametrize("denial", [refusal(401), refusal(403, "DENIED")])
def test_what_stays_denied_is_absent_until_the_push(denial: Answer) -> None:
    with scripted(lambda _: denial) as server, open_registries() as registries:
        reference = server.repository.tagged("1")
        assert registries.digest(reference, denied_is_absent=True) is None
        assert registries.manifest(reference, denied_is_absent=True) is None
        with pytest.raises(AuthError):
            registries.put_manifest(reference, IMAGE)


def test_what_may_be_read_with_the_right_to_push_alone_is_read() -> None:
    def answer(asked: Asked) -> Answer:
        if asked.line == "GET /token":
            return Answer(body=json.dumps({"token": asked.query["scope"][0]}).encode())
        if not asked.token.endswith("push"):
            return refusal(401, challenge=f'Bearer realm="http://{server.address}/token"')
        return Answer(200, IMAGE.content, (TYPE,))

    with scripted(answer) as server, open_registries() as registries:
        reference = server.repository.tagged("1")
        assert registries.digest(reference, denied_is_absent=True) == IMAGE.digest
        assert registries.manifest(reference, denied_is_absent=True) == IMAGE


@pytest.mark.parametrize("broken", [401, 503])
def test_wrong_credentials_and_transient_errors_are_not_absence(broken: int) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.line == "GET /token":
            return refusal(broken, "UNAUTHORIZED")
        return refusal(401, challenge=f'Bearer realm="http://{server.address}/token"')

    with scripted(answer) as server, open_registries() as registries:
        for read in (registries.digest, registries.manifest):
            with pytest.raises(AuthError if broken == 401 else PushError, match="cannot log in"):
                read(server.repository.tagged("1"), denied_is_absent=True)


@pytest.mark.parametrize("late", [0, 1, 3, 5])
@pytest.mark.parametrize(
    "before", [refusal(404), refusal(401), Answer(200, b'{"the": "image before"}')]
)
def test_what_was_put_is_waited_for(late: int, before: Answer) -> None:
    waits = Waits()

    def answer(_: Asked) -> Answer:
        # The digest is read from GET alone: HEAD says nothing here.
        return before if len(waits.seconds) < late else Answer(200, IMAGE.content, (TYPE,))

    with scripted(answer) as server, open_registries(sleep=waits) as registries:
        assert registries.settled_digest(server.repository.tagged("1"), IMAGE.digest)
        assert waits.seconds == [0.25, 0.5, 1, 2, 4][:late]
        waits.seconds.clear()
        if before.status != 200:
            assert registries.settled_manifest(server.repository.tagged("1")) == IMAGE
            assert waits.seconds == [0.25, 0.5, 1, 2, 4][:late]


def test_what_is_there_at_once_costs_one_request(registry: RegistryServer) -> None:
    expected = image(registry, "acme/app", "1")
    with open_registries(sleep=Waits()) as registries:
        before = len(registry.requests())
        assert registries.settled_digest(at(registry).tagged("1"), expected) == expected
        assert registry.requests()[before + 1 :] == ["HEAD /v2/acme/app/manifests/1"]


def test_what_never_settles_is_returned_as_it_is(registry: RegistryServer) -> None:
    found = image(registry, "acme/app", "1")
    waits = Waits()
    with open_registries(sleep=waits) as registries:
        assert registries.settled_digest(at(registry).tagged("1"), NOWHERE) == found
        assert registries.settled_digest(at(registry).tagged("2"), NOWHERE) is None
        assert registries.settled_manifest(at(registry).tagged("2")) is None
    assert waits.seconds == [0.25, 0.5, 1, 2, 4] * 3


@pytest.mark.parametrize(
    "settle",
    [
        lambda registries, reference: registries.settled_digest(reference, NOWHERE),
        lambda registries, reference: registries.settled_manifest(reference),
    ],
)
def test_denial_that_stays_is_no_lag(settle: Callable[[Registries, Reference], object]) -> None:
    with (
        scripted(lambda _: refusal(403)) as server,
        open_registries() as registries,
        pytest.raises(AuthError),
    ):
        settle(registries, server.repository.tagged("1"))


def test_the_digest_in_the_answer_to_a_put_is_trusted() -> None:
    stated = Answer(201, headers=(("Docker-Content-Digest", IMAGE.digest),))
    with scripted(lambda _: stated) as server, open_registries() as registries:
        assert registries.put_manifest(server.repository.tagged("1"), IMAGE) == IMAGE.digest
    assert server.lines == ["PUT /v2/acme/app/manifests/1"]


@pytest.mark.parametrize("stated", [None, "", "1", f"{NOWHERE}é", b"\xff", f"{NOWHERE}, {NOWHERE}"])
@pytest.mark.parametrize(
    ("then", "message"),
    [
        (Answer(200, IMAGE.content, (TYPE,)), None),
        (refusal(404), "does not have it"),
        (Answer(200, b"{}", (TYPE,)), f"stored .*acme/app:1 as {digest(b'{}')}"),
    ],
)
def test_without_a_digest_in_the_answer_to_a_put_it_is_looked_for(
    stated: str | bytes | None, then: Answer, message: str | None
) -> None:
    waits = Waits()

    def answer(asked: Asked) -> Answer:
        if "PUT" in asked.line:
            headers = () if stated is None else (("Docker-Content-Digest", stated),)
            return Answer(201, headers=headers)
        return then if len(waits.seconds) > 1 else refusal(404)

    with scripted(answer) as server, open_registries(sleep=waits) as registries:
        if message is None:
            assert registries.put_manifest(server.repository.tagged("1"), IMAGE) == IMAGE.digest
            assert waits.seconds == [0.25, 0.5]
        else:
            with pytest.raises(PushError, match=message):
                registries.put_manifest(server.repository.tagged("1"), IMAGE)


def test_another_digest_in_the_answer_to_a_put_is_an_error_at_once() -> None:
    converted = Answer(201, headers=(("Docker-Content-Digest", NOWHERE),))
    with (
        scripted(lambda _: converted) as server,
        open_registries() as registries,
        pytest.raises(PushError, match=f"stored .*acme/app:1 as {NOWHERE}"),
    ):
        registries.put_manifest(server.repository.tagged("1"), IMAGE)
    assert len(server.asked) == 1


@pytest.mark.parametrize("late", [0, 3])
def test_a_push_whose_answer_was_lost_is_done_though_tags_are_immutable(
    registry: RegistryServer, late: int
) -> None:
    expected = image(registry, "acme/app", "1.2.3")
    puts = iter(["lost", "refused"])
    network = httpx.HTTPTransport(trust_env=False)
    waits = Waits()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method != "PUT":
            if "1.3" in request.url.path and len(waits.seconds) <= late:
                return httpx.Response(404)
            return network.handle_request(request)
        if next(puts) == "refused":
            return httpx.Response(412, json={"errors": [{"message": "configured as immutable"}]})
        network.handle_request(request).read()
        raise httpx.ReadError("connection reset")

    with open_registries(transport=httpx.MockTransport(answer), sleep=waits) as registries:
        manifest = registries.manifest(at(registry).tagged("1.2.3"))
        assert manifest is not None
        assert registries.put_manifest(at(registry).tagged("1.3"), manifest) == expected
    assert waits.seconds[0] == 1


def test_a_tag_that_may_not_be_replaced_is_an_error_at_once() -> None:
    def answer(asked: Asked) -> Answer:
        if "PUT" in asked.line:
            return Answer(400, b'{"errors": [{"message": "tag is immutable"}]}')
        return Answer(200, b"{}")

    waits = Waits()
    with (
        scripted(answer) as server,
        open_registries(sleep=waits) as registries,
        pytest.raises(PushError, match="tag is immutable"),
    ):
        registries.put_manifest(server.repository.tagged("1"), IMAGE)
    assert waits.seconds == []


def of(registries: Registries, repository: Repository, content: bytes) -> object:
    return registries.image_config(repository, Manifest(IMAGE_MANIFEST, content))


def of_index(registries: Registries, repository: Repository, content: bytes) -> object:
    return registries.image_config(repository, Manifest(IMAGE_INDEX, content))


def read(registries: Registries, repository: Repository, _: bytes) -> object:
    return registries.manifest(repository.tagged("1"))


def read_at(registries: Registries, repository: Repository, _: bytes) -> object:
    return registries.manifest(repository.at(NOWHERE))


def index_of(*children: dict[str, object]) -> bytes:
    return json.dumps({"manifests": children}).encode()


Reads = Callable[[Registries, Repository, bytes], object]


@pytest.mark.parametrize(
    ("do", "content", "answer", "message"),
    [
        (read, b"", Answer(body=b'{"schemaVersion": 1, "fsLayers": []}'), "neither an image nor"),
        (read, b"", Answer(body=b"{}"), "neither an image nor"),
        (read, b"", Answer(body=b'{"mediaType": 7}'), "neither an image nor"),
        (read, b"", Answer(body=b"{}", headers=(("Content-Type", b"\xff"),)), "neither an image"),
        (read, b"", Answer(body=b" " * (4 * 1024 * 1024 + 1)), "longer than"),
        (read_at, b"", Answer(body=b"{}"), "other bytes"),
        (of, b"{}", Answer(), "malformed"),
        (of, b'{"config": {}, "layers": []}', Answer(), "malformed"),
        (of, b'{"config": {"mediaType": "a", "digest": null, "size": 1}}', Answer(), "malformed"),
        (of, IMAGE.content, refusal(404, "BLOB_UNKNOWN"), "answered 404"),
        (of, IMAGE.content, refusal(404), "answered 404"),
        (of, IMAGE.content, Answer(body=b'{"a": 1}'), "other bytes"),
        (of, IMAGE.content, Answer(body=b" " * (8 * 1024 * 1024 + 1)), "longer than"),
        (of_index, b'{"manifests": 7}', Answer(), "malformed"),
        (of_index, b'{"manifests": [7]}', Answer(), "malformed"),
        (
            of_index,
            b'{"manifests": [{"mediaType": "a", "digest": "../../x", "size": 1}]}',
            Answer(),
            "malformed",
        ),
        (
            of_index,
            b'{"manifests": [{"mediaType": "a", "digest": "md5:00", "size": 1}]}',
            Answer(),
            "malformed",
        ),
        (of_index, index_of(), Answer(), "index without an image"),
        (of_index, index_of(descriptor("text/plain", b"")), Answer(), "index without an image"),
        (of_index, index_of(descriptor(IMAGE_MANIFEST, b"{}")), refusal(404), "does not have it"),
        (of_index, index_of(descriptor(IMAGE_MANIFEST, b"{}")), Answer(body=b"{}"), "neither"),
        (of_index, index_of(descriptor(IMAGE_MANIFEST, b"[]")), Answer(body=b"{}"), "other bytes"),
    ],
)
def test_what_can_never_be_used_as_an_image_is_broken(
    do: Reads, content: bytes, answer: Answer, message: str
) -> None:
    waits = Waits()
    with (
        scripted(lambda _: answer) as server,
        open_registries(sleep=waits) as registries,
        pytest.raises(PushError, match=message) as caught,
    ):
        do(registries, server.repository, content)
    assert waits.seconds == []
    # Other bytes, or no end of them, may be somebody else's answer: no word on the image.
    is_broken = message not in {"other bytes", "longer than"}
    assert isinstance(caught.value, BrokenImageError) is is_broken


STATED = ("Docker-Content-Digest", IMAGE.digest)


@pytest.mark.parametrize(
    ("do", "content", "answer"),
    [
        (read, b"", Answer(200, IMAGE.content[:-3], (TYPE,))),
        (read, b"", Answer(200, IMAGE.content[:-3], (TYPE, STATED))),
        (read, b"", Answer(200, b"{}", (TYPE, STATED))),
        (read, b"", Answer(200, b"<html>log in</html>")),
        (read, b"", Answer(200, b"")),
        (read, b"", Answer(200, b"[]")),
        (read, b"", Answer(200, b"[" * 100_000)),
        (read_at, b"", Answer(200, IMAGE.content[:-3], (TYPE,))),
        (of, IMAGE.content, Answer(200, b"{")),
        (of, IMAGE.content, Answer(200, b"")),
        (of_index, index_of(descriptor(IMAGE_MANIFEST, IMAGE.content)), Answer(200, b'{"config')),
    ],
)
def test_what_is_incomplete_is_neither_broken_nor_an_answer(
    do: Reads, content: bytes, answer: Answer
) -> None:
    with (
        scripted(lambda asked: answer if "GET" in asked.line else refusal(405)) as server,
        open_registries() as registries,
    ):
        with pytest.raises(PushError, match="is incomplete, or was changed") as caught:
            do(registries, server.repository, content)
        assert not isinstance(caught.value, BrokenImageError)
        if do is read:
            with pytest.raises(PushError, match="is incomplete, or was changed"):
                registries.digest(server.repository.tagged("1"))


def test_what_a_digest_names_is_read_once(registry: RegistryServer) -> None:
    expected = image(registry, "acme/app", "1.2.3")
    with open_registries() as registries:
        manifest = registries.manifest(at(registry).tagged("1.2.3"))
        assert manifest is not None
        config = registries.image_config(at(registry), manifest)
        read_requests = registry.requests()
        assert registries.manifest(at(registry).at(expected)) == manifest
        assert registries.image_config(at(registry), manifest) == config
    assert registry.requests() == read_requests


def test_what_a_tag_names_is_asked_every_time(registry: RegistryServer) -> None:
    first = image(registry, "acme/app", "latest", b"first")
    with open_registries() as registries:
        tag = at(registry).tagged("latest")
        found = registries.manifest(tag)
        assert found is not None
        assert (found.digest, registries.digest(tag)) == (first, first)
        second = image(registry, "acme/app", "latest", b"second")
        found = registries.manifest(tag)
        assert found is not None
        assert (found.digest, registries.digest(tag)) == (second, second)
        registry.delete("acme/app", second)
        assert registries.manifest(tag) is None
        assert registries.digest(tag) is None


def test_a_digest_that_one_repository_has_is_not_known_of_another(registry: RegistryServer) -> None:
    expected = image(registry, "acme/app", "1.2.3")
    with open_registries() as registries:
        assert registries.manifest(at(registry).at(expected)) is not None
        assert registries.manifest(at(registry, "acme/other").at(expected)) is None


@pytest.mark.parametrize("where", ["manifests", "blobs"])
def test_content_that_does_not_match_its_digest_is_not_kept(where: str) -> None:
    contents = {
        f"manifests/{IMAGE.digest}": IMAGE.content,
        f"blobs/{IMAGE.config.digest}": b"{}",
    }
    changed = [b'{"changed": true}']  # once

    def answer(asked: Asked) -> Answer:
        name = next(name for name in contents if name in asked.line)
        wrong = changed.pop() if changed and where in name else None
        return Answer(200, wrong or contents[name], (TYPE,))

    with scripted(answer) as server, open_registries() as registries:

        def look() -> str:
            manifest = registries.manifest(server.repository.at(IMAGE.digest))
            assert manifest is not None
            return registries.image_config(server.repository, manifest).digest

        with pytest.raises(PushError, match="digest"):
            look()
        assert look() == look() == IMAGE.config.digest
    assert sum(where in asked.line for asked in server.asked) == 2


@pytest.mark.parametrize("answer", [refusal(401), refusal(403), refusal(500), refusal(503)])
@pytest.mark.parametrize(
    ("do", "content"),
    [
        (read, b""),
        (of, IMAGE.content),
        (of_index, index_of(descriptor(IMAGE_MANIFEST, IMAGE.content))),
    ],
)
def test_what_cannot_be_read_now_is_not_broken(answer: Answer, do: Reads, content: bytes) -> None:
    with (
        scripted(lambda _: answer) as server,
        open_registries() as registries,
        pytest.raises((AuthError, PushError)) as caught,
    ):
        do(registries, server.repository, content)
    assert not isinstance(caught.value, BrokenImageError)


def test_an_index_in_too_many_indexes_is_broken() -> None:
    contents = {IMAGE.digest: IMAGE.content}
    top = IMAGE.content
    for _ in range(6):
        kind = IMAGE_MANIFEST if top is IMAGE.content else IMAGE_INDEX
        top = json.dumps({"mediaType": IMAGE_INDEX, "manifests": [descriptor(kind, top)]}).encode()
        contents[digest(top)] = top

    def answer(asked: Asked) -> Answer:
        return Answer(body=contents[asked.line.rpartition("/")[2]])

    with (
        scripted(answer) as server,
        open_registries() as registries,
        pytest.raises(BrokenImageError, match="index without an image"),
    ):
        of_index(registries, server.repository, top)


def test_of_a_sparse_index_the_first_image_that_is_there_is_read(registry: RegistryServer) -> None:
    gone = image(registry, "acme/app", "gone")
    image(registry, "acme/app", "there", labels={"tag": "there"})
    children = [child(registry, "acme/app", name) for name in ("gone", "there")]
    index(registry, "acme/app", "1", *children)
    registry.delete("acme/app", gone)
    with open_registries() as registries:
        manifest = registries.manifest(at(registry).tagged("1"))
        assert manifest is not None
        assert registries.image_config(at(registry), manifest).labels == {"tag": "there"}
