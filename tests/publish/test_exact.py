"""The exact tags: built once, taken from what is published, never replaced.

Registries and engine are fakes in memory (tests/support/world.py).
"""

from dataclasses import replace

import httpx
import pytest

from releasetag.errors import ConflictError, EngineError, PushError, ReleasetagError
from releasetag.image import MadeImage, Preflight
from releasetag.publish import steps
from releasetag.publish.exact import ExactTags, find_published, put_commit_tags
from releasetag.publish.exact import publish as publish_exact
from releasetag.publish.run import Provenance, Run
from releasetag.reference import Reference, Repository
from releasetag.registry import TagList
from releasetag.tagging import Status, TagResult
from tests.support.promises import REVISION, VERSION
from tests.support.world import (
    HOSTS,
    PATH,
    PREFLIGHT,
    Direct,
    FakeRegistry,
    FakeSource,
    FullRecord,
    Runner,
    World,
    make_run,
)


@pytest.fixture
def world() -> World:
    return World(commits={"v1.2.2": "2" * 40, "v1.2.3": "3" * 40})


def publish(world: World, version: str = "1.2.3", build: str = "first") -> Runner:
    return Runner(world, f"v{version}", build).finish()


def named(world: World, tag: str) -> set[str | None]:
    """What a tag names in the registries."""
    return {registry.tags.get(tag) for registry in world.registries.values()}


def delete(world: World, tag: str) -> None:
    for registry in world.registries.values():
        registry.tags.pop(tag)


def first(world: World) -> FakeRegistry:
    return next(iter(world.registries.values()))


def test_an_exact_tag_that_is_gone_is_restored_from_a_floating_tag(world: World) -> None:
    publish(world)
    before = named(world, "1.2.3")
    delete(world, "1.2.3")

    again = publish(world, build="second")

    assert again.error is None
    assert named(world, "1.2.3") == named(world, "latest") == before
    build = again.record.build
    assert build is not None
    assert build.reused
    assert {build.digest} == before
    # Digest and image ID are of one image.
    assert first(world).version(build.digest) == "1.2.3"
    assert build.image_id in first(world).content[build.digest].decode()


def test_in_an_empty_repository_one_tag_is_looked_for_before_the_image_is_made(
    world: World,
) -> None:
    requests = publish(world).requests

    pushes = next(n for n, each in enumerate(requests) if each.startswith(("POST ", "PUT ")))
    assert {each.rpartition("/")[2] for each in requests[:pushes]} == {"list", "1.2.3"}


class EmptyLists(FakeRegistry):
    """A registry that lists no tag, whatever it has."""

    def answer(self, method: str, url: httpx.URL, body: bytes) -> httpx.Response:
        if url.path.endswith("/tags/list"):
            return httpx.Response(200, json={"name": "acme/app", "tags": []})
        return super().answer(method, url, body)


def test_an_empty_list_is_not_believed_where_a_tag_is_there() -> None:
    world = World({"one.test": EmptyLists()}, ("{version}", "{version}-slim", "latest"))
    world.commits = {"v1.2.3": "3" * 40}
    publish(world)
    other = first(world).put_image("other", "1.2.3")
    first(world).tags["1.2.3-slim"] = other

    refused = publish(world)

    assert isinstance(refused.error, ConflictError)
    assert not refused.puts
    assert first(world).tags["1.2.3-slim"] == other


def test_a_floating_tag_of_another_release_restores_nothing(world: World) -> None:
    publish(world, "1.2.2")
    publish(world)
    delete(world, "1.2.2")

    again = publish(world, "1.2.2", "second")

    assert again.error is None
    assert not (again.record.build and again.record.build.reused)
    assert named(world, "latest") == named(world, "1.2.3")


def test_an_image_of_the_same_commit_and_another_version_is_not_this_release() -> None:
    """A candidate and its release may be one commit, and may share a tag that names the commit."""
    templates = ("{version}", "sha-{short_sha}", "latest")
    world = World(templates=templates, commits={"v1.0.0-rc.1": "a" * 40, "v1.0.0": "a" * 40})
    publish(world, "1.0.0-rc.1")
    candidate = named(world, "1.0.0-rc.1")

    released = publish(world, "1.0.0", "second")

    assert released.error is None
    assert released.record.build is not None
    assert not released.record.build.reused
    assert named(world, "1.0.0") == named(world, "latest") != candidate
    # What names the commit is left alone where it is not free.
    assert named(world, "sha-aaaaaaa") == candidate
    shared = [item for item in released.record.items if item.reference.tag == "sha-aaaaaaa"]
    assert {item.status for item in shared} == {"kept"}


def test_a_commit_tag_of_a_branch_build_is_no_release(world: World) -> None:
    """A branch build puts sha-… of the same commit, labelled with the name of the branch."""
    world.templates = ("{version}", "sha-{short_sha}")
    branch = World(templates=("sha-{short_sha}", "{version}"), commits={"v0.0.1": "3" * 40})
    branch.registries = world.registries
    publish(branch, "0.0.1", "of the branch")
    delete(world, "0.0.1")

    released = publish(world)

    assert released.error is None
    assert named(world, "1.2.3") != named(world, "sha-3333333")


def test_an_exact_tag_that_names_another_version_of_the_commit_is_a_conflict(world: World) -> None:
    world.commits["v1.2.4"] = "3" * 40
    publish(world, "1.2.4")
    for registry in world.registries.values():
        registry.tags["1.2.3"] = registry.tags["1.2.4"]

    refused = publish(world)

    assert isinstance(refused.error, ConflictError)
    assert "as version 1.2.4" in refused.error.message


@pytest.mark.parametrize("broken", ["child", "configuration"])
def test_an_exact_tag_that_cannot_be_read_is_a_conflict(world: World, broken: str) -> None:
    publish(world)
    registry = first(world)
    digest = registry.tags["1.2.3"]
    if broken == "child":
        registry.put_index("1.2.3", [digest])
        registry.manifests.discard(digest)
    else:
        registry.delete_config(digest)

    refused = publish(world)

    assert isinstance(refused.error, ConflictError)
    assert "cannot be used" in refused.error.message


def test_a_given_image_is_not_taken_for_another_with_the_same_labels() -> None:
    world = World(labelled=False, commits={"v1.2.3": "3" * 40})
    publish(world)
    other = first(world).put_image("other", "1.2.3")
    for registry in world.registries.values():
        registry.content |= first(world).content
        registry.manifests |= first(world).manifests
        registry.tags["1.2.3"] = other

    refused = publish(world)

    assert isinstance(refused.error, ConflictError)
    assert named(world, "1.2.3") == {other}


# Value by value -----------------------------------------------------------------------------------

ONE, TWO = (Repository(host, PATH) for host in HOSTS)
OWN = {VERSION: "1.2.3", REVISION: "3" * 40}
OVERWRITE = "publish a new version, or replace this one with --overwrite"


class Publication:
    """A publish of 1.2.3 under two exact tags, request by request.

    Args:
        source: its engine.
    """

    def __init__(self, source: type[FakeSource] = FakeSource) -> None:
        templates = ("{version}", "{git_tag}", "sha-{short_sha}", "{major}.{minor}", "latest")
        self.world = World(templates=templates, commits={"v1.2.3": "3" * 40})
        self.first, self.second = self.world.registries.values()
        self.network = Direct(self.world)
        self.record = FullRecord()
        self.source = source

    def run(self, **settings: object) -> Run:
        plan = self.world.plan("v1.2.3")
        plan = replace(plan, settings=replace(plan.settings, **settings))  # type: ignore[arg-type]
        return make_run(self.world, plan, self.network, self.record, source=self.source)

    def put(self, registry: FakeRegistry, comment: str, labels: dict[str, str], *tags: str) -> str:
        digest = registry.put_image(comment, "1.2.3", labels)
        registry.tags |= dict.fromkeys(tags, digest)
        return digest

    def put_everywhere(self, comment: str, *tags: str) -> str:
        for registry in (self.first, self.second):
            digest = self.put(registry, comment, OWN, *tags)
        return digest

    def named(self, *tags: str) -> set[str | None]:
        return {reg.tags.get(tag) for reg in self.world.registries.values() for tag in tags}

    @property
    def image_id(self) -> str:
        """Of the image that is built."""
        return FakeSource(self.world, self.world.plan("v1.2.3"), self.network, "build").image_id

    @property
    def digest(self) -> str:
        """Of the image that is built."""
        return FakeSource(self.world, self.world.plan("v1.2.3"), self.network, "build").digest


def refusal(error: pytest.ExceptionInfo[ReleasetagError]) -> tuple[str, str]:
    return str(error.value), error.value.hint


def outcomes(
    *tags: str, digest: str, status: Status = "pushed", reason: str = ""
) -> list[TagResult]:
    return [
        TagResult(repository.tagged(tag), digest, status, reason)
        for tag in tags
        for repository in (ONE, TWO)
    ]


def test_a_release_is_built_pushed_and_reported_once() -> None:
    it = Publication()
    run = it.run()

    assert steps.publish(run) == it.record.all_builds[-1]

    assert it.record.all_builds == [
        Provenance("fake", False, 1, it.image_id),
        Provenance("fake", False, 1, it.image_id, it.digest),
    ]
    assert it.record.steps == [
        "Inspecting the registries",
        "Pushing the exact tags",
        "Re-checking the history",
        "Moving the floating tags",
    ]
    assert it.record.outcomes == outcomes(
        "1.2.3", "v1.2.3", "sha-3333333", "1.2", "latest", digest=it.digest
    )
    engine: FakeSource = run.source  # type: ignore[assignment] # a fake
    assert engine.pushed == [
        (run.preflight, MadeImage(it.image_id), each.tagged("1.2.3")) for each in (ONE, TWO)
    ]
    assert engine.tagged == [
        (it.image_id, f"{host}/acme/app:{tag}") for tag in ("1.2", "latest") for host in HOSTS
    ]
    # After its push, before the floating tags move, and after that.
    assert it.network.requests.count("HEAD one.test manifests/1.2.3") == 3
    assert it.record.warnings == []


def test_a_release_that_one_repository_has_is_copied_and_put_everywhere() -> None:
    it = Publication()
    digest = it.put(it.first, "published", OWN, "1.2.3")

    assert steps.publish(it.run()) == Provenance("fake", True, 1, it.first.config(digest), digest)

    assert it.named("1.2.3", "v1.2.3", "sha-3333333", "1.2", "latest") == {digest}
    assert it.first.config(digest) in it.second.content
    assert len(it.record.all_builds) == 1
    changes = [each for each in it.network.requests if each[:4] in {"PUT ", "POST"}]
    assert changes[:5] == [
        "POST two.test blobs/uploads/",
        "PUT two.test blobs/uploads/1",
        f"PUT two.test manifests/{digest}",
        "PUT two.test manifests/1.2.3",
        "PUT one.test manifests/v1.2.3",
    ]
    # Read by its tag, and then neither to be put nor to be copied.
    assert f"GET one.test manifests/{digest}" not in it.network.requests


def test_only_tags_that_may_be_there_are_looked_for() -> None:
    """The first exact tag always: the engine's push of it cannot be told to leave it alone."""
    it = Publication()
    run = it.run()

    assert (
        find_published(run, {ONE: TagList(frozenset({"other"})), TWO: TagList(frozenset())}) is None
    )

    assert it.network.requests == [
        "GET one.test manifests/1.2.3",
        "GET two.test manifests/1.2.3",
        "GET two.test manifests/v1.2.3",
        "GET two.test manifests/1.2",
        "GET two.test manifests/latest",
    ]


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2.3", "1.2", "latest"])
def test_the_image_of_the_release_is_found_by_digest(tag: str) -> None:
    it = Publication()
    digest = it.put(it.second, "published", OWN, tag)

    assert find_published(it.run(), {}) == TWO.at(digest)
    assert find_published(it.run(overwrite=True), {}) is None


@pytest.mark.parametrize(
    ("labels", "from_image", "what"),
    [
        ({VERSION: "1.2.4", REVISION: "3" * 40}, None, "as version 1.2.4"),
        ({VERSION: "1.2.3", REVISION: "b" * 40}, None, f"built from commit {'b' * 11}…"),
        ({VERSION: "1.2.3"}, None, "which does not say what commit it was built from"),
        ({REVISION: "3" * 40}, None, f"built from commit {'3' * 11}…"),
        ({VERSION: "1.2.4"}, "app", "as another image than the one that is given"),
    ],
)
def test_another_image_under_an_exact_tag_is_a_conflict(
    labels: dict[str, str], from_image: str | None, what: str
) -> None:
    it = Publication()
    it.put(it.second, "other", labels, "1.2.3")

    with pytest.raises(ConflictError) as error:
        find_published(it.run(from_image=from_image), {})

    assert refusal(error) == (
        f"two.test/acme/app:1.2.3 is published already, {what}, and v1.2.3 is 1.2.3 at"
        " 333333333333",
        OVERWRITE,
    )


def test_two_images_of_the_release_are_a_conflict() -> None:
    it = Publication()
    one, two = it.put(it.first, "a", OWN, "1.2.3"), it.put(it.second, "b", OWN, "1.2.3")

    with pytest.raises(ConflictError) as error:
        find_published(it.run(), {})

    assert refusal(error) == (
        "the release is published under different digests:"
        f" one.test/acme/app:1.2.3 is {one}, two.test/acme/app:1.2.3 is {two}",
        "publish one image in place of them with --overwrite",
    )


def test_a_registry_that_cannot_be_asked_ends_the_run_unless_there_is_no_engine_either() -> None:
    it = Publication()
    it.first.refuse = lambda *_: 503

    with pytest.raises(PushError):
        find_published(it.run(), {})

    no_engine = EngineError("no engine", "start one")
    with pytest.raises(EngineError) as error:
        find_published(replace(it.run(), preflight=Preflight("fake", engine_error=no_engine)), {})
    assert error.value is no_engine


def test_a_repository_that_may_not_be_read_may_not_exist_yet() -> None:
    """Docker Hub denies to read a repository before the first push."""
    it = Publication()
    it.second.refuse = lambda method, _: (
        403 if method in {"GET", "HEAD"} and not it.second.tags else 0
    )

    steps.publish(it.run())

    assert it.named("1.2.3", "latest") == {it.digest}


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_exact_tag_is_replaced_if_that_is_asked_for(overwrite: bool) -> None:
    it = Publication()
    labels = {VERSION: "1.2.4", REVISION: "4" * 40}
    for registry in (it.first, it.second):
        other = it.put(registry, "other", labels, "1.2.3", "v1.2.3", "1.2")

    if overwrite:
        assert steps.publish(it.run(overwrite=True)) == Provenance(
            "fake", False, 1, it.image_id, it.digest
        )
    else:
        with pytest.raises(ConflictError):
            steps.publish(it.run())

    assert it.named("1.2.3", "v1.2.3") == {it.digest if overwrite else other}


def test_an_image_that_the_other_run_finished_is_replaced_if_that_is_asked_for() -> None:
    it = Publication()
    it.put_everywhere("other", "1.2.3", "v1.2.3", "1.2", "latest")

    steps.publish(it.run(overwrite=True))

    assert it.named("1.2.3", "v1.2.3", "1.2", "latest") == {it.digest}


def test_an_image_that_is_gone_is_an_error() -> None:
    it = Publication()
    gone = ONE.at("sha256:" + "0" * 64)

    with pytest.raises(PushError) as error:
        publish_exact(it.run(), gone)

    assert refusal(error) == (f"{gone} is gone", "see who deletes it, and run again")


@pytest.mark.parametrize("reused", [False, True])
def test_an_image_that_exists_keeps_its_id_in_the_engine(reused: bool) -> None:
    it = Publication()
    digest = it.put_everywhere("given", "1.2.3")
    origin = ONE.at(digest)
    preflight = replace(PREFLIGHT, image_id="image-id", origin=None if reused else origin)
    run = replace(it.run(), preflight=preflight)

    done = publish_exact(run, origin if reused else None)

    manifest = run.registries.manifest(ONE.at(digest))
    assert manifest is not None
    provenance = Provenance("fake", reused, 1, it.first.config(digest), digest)
    assert done == ExactTags(manifest, provenance, "image-id")


# Pushes -------------------------------------------------------------------------------------------


class Uneven(FakeSource):
    """A registry changes what it is given."""

    def push(self, preflight: Preflight, made: MadeImage, reference: Reference) -> str:
        if reference.repository == ONE:
            return super().push(preflight, made, reference)
        registry = self.world.registries[HOSTS[1]]
        digest = registry.tags[reference.name] = registry.put_image("changed", "1.2.3", OWN)
        return digest


def test_digests_that_differ_are_a_conflict_and_move_nothing() -> None:
    it = Publication(Uneven)

    with pytest.raises(ConflictError) as error:
        steps.publish(it.run())

    one, two = it.first.tags["1.2.3"], it.second.tags["1.2.3"]
    assert refusal(error) == (
        "one image was pushed, and the digests differ:"
        f" one.test/acme/app:1.2.3 is {one}, two.test/acme/app:1.2.3 is {two}",
        "no floating tag moved; see why a registry changes what it is given",
    )
    assert it.named("latest", "v1.2.3") == {None}
    assert it.record.outcomes == [
        TagResult(ONE.tagged("1.2.3"), one, "pushed"),
        TagResult(TWO.tagged("1.2.3"), two, "pushed"),
    ]


class Deleted(FakeSource):
    """Another program deletes what is pushed."""

    def push(self, preflight: Preflight, made: MadeImage, reference: Reference) -> str:
        digest = super().push(preflight, made, reference)
        del self.world.registries[reference.repository.registry].tags["1.2.3"]
        return digest


class Replaced(FakeSource):
    """Another program replaces what is pushed."""

    def push(self, preflight: Preflight, made: MadeImage, reference: Reference) -> str:
        digest = super().push(preflight, made, reference)
        registry = self.world.registries[reference.repository.registry]
        registry.tags["1.2.3"] = registry.put_image("other", "1.2.3")
        return digest


@pytest.mark.parametrize("source", [Deleted, Replaced])
def test_a_tag_that_does_not_name_what_was_pushed_is_a_conflict(source: type[FakeSource]) -> None:
    it = Publication(source)

    with pytest.raises(ConflictError) as error:
        steps.publish(it.run())

    now = it.first.tags.get("1.2.3", "nothing")
    assert refusal(error) == (
        f"one.test/acme/app:1.2.3 was pushed as {it.digest} and names {now}",
        "another program pushes or deletes this tag: see which, then run again",
    )


class Buildx(FakeSource):
    """A builder that pushes the first exact tag of the first repository, as buildx does."""

    def make(self, preflight: Preflight) -> MadeImage:
        tag = ONE.tagged("1.2.3")
        digest = self.push(preflight, MadeImage(), tag)
        return MadeImage(origin=ONE.at(digest), pushed=(tag,))


def test_what_the_builder_has_pushed_is_reported_and_copied() -> None:
    it = Publication(Buildx)

    assert steps.publish(it.run()) == Provenance("fake", False, 1, "", it.digest)

    first = it.record.outcomes[0]
    assert first == TagResult(ONE.tagged("1.2.3"), it.digest, "pushed")
    assert it.image_id in {it.second.config(it.digest)} & it.second.content.keys()
    assert it.named("1.2.3", "v1.2.3", "1.2", "latest") == {it.digest}


class OtherRunWhileBuilding(FakeSource):
    """Another run publishes its own build of the release while this one builds."""

    def make(self, preflight: Preflight) -> MadeImage:
        for registry in self.world.registries.values():
            registry.tags["1.2.3"] = registry.put_image("other", "1.2.3", OWN)
        return super().make(preflight)


class SameBytesWhileBuilding(FakeSource):
    """Another run publishes the same bytes while this one builds."""

    def make(self, preflight: Preflight) -> MadeImage:
        for repository in (ONE, TWO):
            self.push(preflight, MadeImage(), repository.tagged("1.2.3"))
        return super().make(preflight)


class OtherRunWhilePushing(FakeSource):
    """Another run finishes with its own build just before this one pushes."""

    tags: tuple[str, ...] = ("1.2.3", "v1.2.3", "1.2", "latest")

    def push(self, preflight: Preflight, made: MadeImage, reference: Reference) -> str:
        registry = self.world.registries[reference.repository.registry]
        registry.tags |= dict.fromkeys(self.tags, registry.put_image("other", "1.2.3", OWN))
        return super().push(preflight, made, reference)


class OneTagWhilePushing(OtherRunWhilePushing):
    """Only a wide floating tag names another image: its run would have put the narrow one first."""

    tags = ("latest",)


class OldTagsWhilePushing(FakeSource):
    """Floating tags name the release before, or, where builds are reproducible, these bytes."""

    def push(self, preflight: Preflight, made: MadeImage, reference: Reference) -> str:
        digest = super().push(preflight, made, reference)
        registry = self.world.registries[reference.repository.registry]
        registry.tags["1.2"] = digest
        if reference.repository == ONE:
            registry.tags["1.2"] = registry.put_image("", "1.2.2", {VERSION: "1.2.2"})
        return digest


@pytest.mark.parametrize(
    ("source", "is_dropped", "is_other"),
    [
        (OtherRunWhileBuilding, True, True),
        (OtherRunWhilePushing, True, True),
        (SameBytesWhileBuilding, True, False),
        (OneTagWhilePushing, False, False),
        (OldTagsWhilePushing, False, False),
    ],
)
def test_the_image_of_a_run_that_was_first_is_used_in_place_of_the_own(
    source: type[FakeSource], is_dropped: bool, is_other: bool
) -> None:
    """Digest and image ID are of one image, and no other is tagged in the engine."""
    it = Publication(source)
    run = it.run()

    done = steps.publish(run)

    digest = it.first.put_image("other", "1.2.3", OWN) if is_other else it.digest
    assert done == Provenance("fake", is_dropped, 1, it.first.config(digest), digest)
    assert it.named("1.2.3", "v1.2.3", "1.2", "latest") == {digest}
    tagged = {image for image, _ in run.source.tagged}  # type: ignore[attr-defined] # a fake
    assert tagged == {"" if is_other else it.image_id}


def test_commit_tags_are_put_where_they_are_free() -> None:
    it = Publication()
    digest = it.put_everywhere("published", "1.2.3", "v1.2.3")
    other = it.put(it.first, "other", {}, "sha-3333333")
    run = it.run()
    manifest = run.registries.manifest(TWO.at(digest))
    assert manifest is not None

    for second in ("pushed", "unchanged"):
        it.record.outcomes.clear()
        it.network.requests.clear()
        put_commit_tags(run, manifest)

        assert it.record.outcomes == [
            TagResult(
                ONE.tagged("sha-3333333"), other, "kept", "names another image of this commit"
            ),
            TagResult(TWO.tagged("sha-3333333"), digest, second),
        ]
        assert [each for each in it.network.requests if each.startswith("PUT")] == (
            ["PUT two.test manifests/sha-3333333"] if second == "pushed" else []
        )
