"""The exact tags: built once, taken from what is published, never replaced.

Registries and engine are fakes in memory (tests/support/world.py).
"""

import httpx
import pytest

from releasetag.errors import ConflictError
from tests.support.world import FakeRegistry, Runner, World


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


def test_the_engine_pushes_to_one_repository_and_the_others_get_a_copy(world: World) -> None:
    requests = publish(world).requests

    copied = [each for each in requests if each.startswith("PUT ") and "/manifests/sha256:" in each]
    assert ["two.test" in each for each in copied] == [True]
    assert None not in named(world, "1.2.3")


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
