"""What verify sees behind the tags. The registries are fakes in memory (tests/support/world.py)."""

import json
from collections.abc import Callable

import pytest

from releasetag.errors import UsageError
from releasetag.reference import Repository
from releasetag.verify import VerifiedRepository, VerifiedTag, VerifyStatus, verify_repositories
from tests.support.promises import REVISION, VERSION
from tests.support.registry import IMAGE_MANIFEST
from tests.support.world import (
    HOSTS,
    PATH,
    Direct,
    FakeRegistry,
    Runner,
    World,
    image_manifest,
    open_registries,
    published_world,
)

VERSIONS = ("1.9.0", "1.9.1", "2.0.0")


@pytest.fixture
def world() -> World:
    """Three releases, published in two registries."""
    return published_world(VERSIONS)


def verify(
    world: World, requests: list[str] | None = None, **deep: bool
) -> tuple[VerifiedRepository, ...]:
    """Verify a world; what is asked is added to the requests."""
    history = world.history
    network = Direct(world, [] if requests is None else requests)
    with open_registries(network) as registries:
        return verify_repositories(registries, world.settings, history, **deep)


def statuses(repository: VerifiedRepository) -> dict[str, str]:
    return {tag.name: tag.status for tag in repository.tags}


def first(world: World) -> FakeRegistry:
    return next(iter(world.registries.values()))


ALL_OK = {"1.9": "ok", "2.0": "ok", "latest": "ok"}


def test_exact_tags_that_are_right_are_not_listed(world: World) -> None:
    assert [statuses(each) for each in verify(world, deep=True)] == [ALL_OK, ALL_OK]
    assert not any(each.has_drift(strict=True) for each in verify(world))


def test_an_exact_tag_whose_image_says_another_version_is_a_mismatch(world: World) -> None:
    first(world).tags["1.9.0"] = first(world).tags["1.9.1"]

    one, other = verify(world)

    assert statuses(one) == {**ALL_OK, "1.9.0": "mismatch"}
    assert statuses(other) == ALL_OK
    (tag,) = [tag for tag in one.tags if tag.name == "1.9.0"]
    assert (tag.expected, tag.actual) == ("1.9.0", "1.9.1")
    assert one.has_drift()


def test_an_exact_tag_whose_image_says_another_revision_is_a_mismatch(world: World) -> None:
    world.commits["v1.9.0"] = "f" * 40

    one, _ = verify(world)

    assert statuses(one)["1.9.0"] == "mismatch"
    assert "from commit 00000000000…, and v1.9.0 is at ffffffffffff" in one.tags[-1].reason


def test_repositories_that_have_different_images_of_a_release_differ(world: World) -> None:
    registry = first(world)
    other = World(templates=world.templates, commits={"v2.0.0": "2" * 40})
    other.registries = {"one.test": registry}
    registry.tags.clear()
    assert Runner(other, "v2.0.0", "another build").finish().error is None

    one, two = verify(world)

    for each in (one, two):
        assert statuses(each)["2.0.0"] == statuses(each)["latest"] == "differs"
        assert each.has_drift()


@pytest.mark.parametrize("broken", ["configuration", "child", "schema 1"])
def test_what_cannot_be_used_is_broken(world: World, broken: str) -> None:
    registry = first(world)
    digest = registry.tags["2.0.0"]
    if broken == "configuration":
        registry.delete_config(digest)
    elif broken == "child":
        registry.put_index("2.0.0", [digest])
        registry.tags["latest"] = registry.tags["2.0.0"]
        registry.manifests.discard(digest)
    else:
        registry.put_schema_1("2.0.0")
        registry.tags["latest"] = registry.tags["2.0.0"]

    one, two = verify(world)

    assert statuses(one)["2.0.0"] == statuses(one)["latest"] == "broken"
    assert one.has_drift()
    assert statuses(two) == ALL_OK


def test_a_platform_that_is_gone_is_seen_by_looking_deep(world: World) -> None:
    """The first platform says what the image is; the second one is gone."""
    registry = first(world)
    whole = registry.tags["2.0.0"]
    registry.put_index("latest", [whole, registry.put_image("arm64", "2.0.0")])
    registry.tags["2.0.0"] = registry.tags["2.0"] = registry.tags["latest"]
    registry.manifests.remove(registry.put_image("arm64", "2.0.0"))

    shallow, _ = verify(world)
    deep, _ = verify(world, deep=True)

    assert statuses(shallow)["latest"] != "broken"
    assert statuses(deep)["latest"] == statuses(deep)["2.0.0"] == "broken"
    (tag,) = [tag for tag in deep.tags if tag.name == "latest"]
    assert tag.reason.startswith("the manifest sha256:")


def test_an_exact_tag_that_is_gone_is_missing_and_its_release_published(world: World) -> None:
    """`latest` proves to name it: going down to the next lower version would be wrong."""
    for registry in world.registries.values():
        del registry.tags["2.0.0"]

    for each in verify(world):
        assert statuses(each) == {**ALL_OK, "2.0.0": "missing"}
        assert each.has_drift()


def unpublish(world: World) -> None:
    for registry in world.registries.values():
        for tag in ("2.0.0", "2.0", "latest"):
            del registry.tags[tag]


def tag_candidate(world: World) -> None:
    world.commits["v2.1.0-rc.1"] = "a" * 40


def tag_old(world: World) -> None:
    world.commits["v1.8.9"] = "a" * 40


@pytest.mark.parametrize(
    ("happens", "is_wrong"), [(unpublish, True), (tag_candidate, True), (tag_old, False)]
)
def test_an_unpublished_newest_release_is_wrong_if_strict(
    world: World, happens: Callable[[World], None], is_wrong: bool
) -> None:
    happens(world)
    if happens is unpublish:
        for registry in world.registries.values():
            registry.tags["latest"] = registry.tags["1.9"]

    for each in verify(world):
        assert "unpublished" in statuses(each).values()
        assert not each.has_drift()
        assert each.has_drift(strict=True) is is_wrong


def test_the_rule_is_the_one_of_the_plan() -> None:
    """{major}{minor} is 111 for both, and 11.1.0 is the higher."""
    commits = {"v1.11.0": "1" * 40, "v11.1.0": "2" * 40}
    world = World(templates=("{version}", "{major}{minor}"), commits=commits)
    for version in ("11.1.0", "1.11.0"):
        assert Runner(world, f"v{version}", "build").finish().error is None

    assert [statuses(each) for each in verify(world)] == [{"111": "ok"}, {"111": "ok"}]


def test_build_metadata_count(world: World) -> None:
    for number in (10, 9):
        world.commits[f"v2.0.0+{number}"] = f"{number:040x}"
        assert Runner(world, f"v2.0.0+{number}", "build").finish().error is None

    one, _ = verify(world)

    assert {tag.name: tag.actual for tag in one.tags} == {
        "1.9": "1.9.1",
        "2.0": "2.0.0+10",
        "latest": "2.0.0+10",
    }


def test_a_floating_tag_that_is_an_exact_one_is_refused(world: World) -> None:
    world.templates = ("{version}", "1.9.0")

    with pytest.raises(UsageError):
        verify(world)


def test_a_registry_that_does_not_list_tags_is_asked_for_each(world: World) -> None:
    for registry in world.registries.values():
        registry.lists_tags = False
        del registry.tags["1.9.0"]

    for each in verify(world):
        assert statuses(each) == {**ALL_OK, "1.9.0": "unpublished"}


# Value by value -----------------------------------------------------------------------------------

ONE, TWO = (Repository(host, PATH) for host in HOSTS)


def says(version: str, revision: str = "") -> dict[str, str]:
    return {VERSION: version, REVISION: revision}


def put(world: World, labels: dict[str, str], *tags: str) -> str:
    """Put an image under tags of both registries."""
    for registry in world.registries.values():
        digest = registry.put_image("by hand", "?", labels)
        registry.tags |= dict.fromkeys(tags, digest)
    return digest


def row(
    world: World,
    name: str,
    expected: str,
    status: VerifyStatus = "ok",
    *,
    actual: str | None = "",
    digest: str | None = "",
    reason: str = "",
) -> VerifiedTag:
    """A row whose image is the one that the first registry has, unless said otherwise."""
    digest = first(world).tags.get(name) if digest == "" else digest
    return VerifiedTag(name, expected, expected if actual == "" else actual, status, reason, digest)


def test_what_is_right_is_a_row_for_every_floating_tag_the_highest_first(world: World) -> None:
    world.templates = ("{version}", "latest", "{major}.{minor}")
    rows = (
        row(world, "latest", "2.0.0"),
        row(world, "2.0", "2.0.0"),
        row(world, "1.9", "1.9.1"),
    )

    assert verify(world) == (VerifiedRepository(ONE, rows), VerifiedRepository(TWO, rows))


def test_tags_that_are_not_there(world: World) -> None:
    """2.0.0, 1.9.2 and 1.8.9 were never published, and the floating tags are deleted."""
    world.commits |= {"v1.8.9": "8" * 40, "v1.9.2": "9" * 40}
    for registry in world.registries.values():
        registry.tags = {tag: registry.tags[tag] for tag in ("1.9.0", "1.9.1")}

    for found in verify(world):
        assert found.tags == (
            row(world, "1.9", "1.9.2", "unpublished", actual=None),
            row(world, "latest", "2.0.0", "unpublished", actual=None),
            row(world, "2.0.0", "2.0.0", "unpublished", actual=None),
            row(world, "1.9.2", "1.9.2", "unpublished", actual=None),
            row(world, "1.8.9", "1.8.9", "unpublished", actual=None),
        )
        assert found.lacks_newest

    put(world, says("2.0.0", "2" * 40), "2.0.0")
    assert verify(world)[0].tags[:2] == (
        row(world, "2.0", "2.0.0", "missing", actual=None),
        row(world, "latest", "2.0.0", "missing", actual=None),
    )


def test_an_exact_tag_that_is_gone_is_known_from_a_floating_tag(world: World) -> None:
    for registry in world.registries.values():
        del registry.tags["2.0.0"]
    reason = "the exact tag is gone, and a floating tag names its image"

    for found in verify(world):
        assert found.tags[-1] == row(world, "2.0.0", "2.0.0", "missing", actual=None, reason=reason)
        assert not found.lacks_newest


def test_a_release_without_an_exact_tag_goes_by_its_git_tag(world: World) -> None:
    world.templates = ("{major}.{minor}.{patch}", "latest")
    world.commits["v2.1.0-rc.1"] = "a" * 40

    (found, _) = verify(world)

    name = "v2.1.0-rc.1"
    assert found.tags[1] == row(world, name, name[1:], "unpublished", actual=None)


@pytest.mark.parametrize(
    ("labels", "exact", "actual"),
    [
        (says("1.9.0", "0" * 40), True, "1.9.0"),
        (says("3.0.0"), True, "3.0.0"),
        ({}, True, ""),
        # By digest it is another image than the release's, whatever it says.
        (says("2.0.0", "2" * 40), True, ""),
        (says("2.0.0", "f" * 40), False, ""),
    ],
)
def test_a_floating_tag_that_names_another_image_drifts(
    world: World, labels: dict[str, str], exact: bool, actual: str
) -> None:
    digest = put(world, labels, "latest")
    if not exact:
        for registry in world.registries.values():
            del registry.tags["2.0.0"]

    (found, _) = verify(world)

    expected = row(world, "latest", "2.0.0", "drift", actual=actual or digest)
    assert found.tags[1] == expected


@pytest.mark.parametrize(
    ("labels", "actual", "reason"),
    [
        (says("v1.8.0"), "v1.8.0", "its image says that it is version v1.8.0"),
        (
            says("1.9.0", "c" * 40),
            "1.9.0",
            "its image says that it was built from commit ccccccccccc…, and v1.9.0 is at"
            " 000000000000",
        ),
    ],
)
def test_an_exact_tag_whose_image_says_something_else(
    world: World, labels: dict[str, str], actual: str, reason: str
) -> None:
    put(world, labels, "1.9.0")

    (found, _) = verify(world)

    assert found.tags[3:] == (
        row(world, "1.9.0", "1.9.0", "mismatch", actual=actual, reason=reason),
    )


def test_an_image_that_says_nothing_is_taken_at_its_exact_tag(world: World) -> None:
    digest = put(world, {}, "2.0.0", "2.0", "latest")

    assert verify(world)[0].tags[:2] == (
        row(world, "2.0", "2.0.0", digest=digest),
        row(world, "latest", "2.0.0", digest=digest),
    )


def test_what_is_broken_says_why_and_what_it_would_be(world: World) -> None:
    digest = first(world).tags["2.0.0"]
    first(world).delete_config(digest)
    reason = f"cannot read the configuration of {ONE.at(digest)}: {ONE.registry} answered 404"
    reason += " (Not Found)"

    (found, _) = verify(world)

    assert found.tags == (
        row(world, "2.0", "2.0.0", "broken", reason=reason),
        row(world, "latest", "2.0.0", "broken", reason=reason),
        row(world, "1.9", "1.9.1"),
        row(world, "2.0.0", "2.0.0", "broken", reason=reason),
    )


def test_an_index_whose_first_platform_is_gone_is_broken(world: World) -> None:
    registry = first(world)
    gone, arm64 = (registry.put_image(name, "", says("2.0.0")) for name in ("gone", "arm64"))
    registry.put_index("2.0.0", [gone, arm64])
    registry.manifests.remove(gone)
    reason = f"cannot read {ONE.at(gone)}: {ONE.registry} does not have it"

    (found, _) = verify(world)

    assert found.tags[-1] == row(world, "2.0.0", "2.0.0", "broken", reason=reason)


@pytest.mark.parametrize(
    ("blobs", "platforms", "reason"),
    [
        (0, 0, ""),
        (1, 0, "the blob sha256:{} is gone"),
        (2, 0, "the blob sha256:{} and 1 more is gone"),
        (3, 0, "the blob sha256:{} and 2 more is gone"),
        (0, 1, "the manifest sha256:{} is gone"),
        (1, 2, "the manifest sha256:{} and 2 more is gone"),
    ],
)
def test_what_is_gone_is_counted_by_looking_deep(
    world: World, blobs: int, platforms: int, reason: str
) -> None:
    registry = first(world)
    whole = registry.put_image("amd64", "", says("2.0.0"))
    config = registry.content[registry.config(whole)]
    layers = [
        {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": f"sha256:{n:064}"}
        for n in range(blobs)
    ]
    parsed = json.loads(image_manifest(config))
    parsed["layers"] = [{**layer, "size": 1} for layer in layers]
    image = registry.put_manifest(json.dumps(parsed).encode(), IMAGE_MANIFEST)
    children = [registry.put_image(f"gone {n}", "", {}) for n in range(platforms)]
    registry.put_index("1.9.0", [image, *children])
    registry.manifests -= {*children}
    gone = children[0].removeprefix("sha256:") if children else "0" * 64

    shallow, _ = verify(world)
    deep, _ = verify(world, deep=True)

    assert [tag.name for tag in shallow.tags] == ["2.0", "latest", "1.9", "1.9.0"]
    assert shallow.tags[3].status == "mismatch"  # it says that it is 2.0.0
    assert deep.tags[3] == (
        row(world, "1.9.0", "1.9.0", "broken", actual="2.0.0", reason=reason.format(gone))
        if reason
        else shallow.tags[3]
    )


def test_repositories_that_differ_name_both_digests(world: World) -> None:
    registry = first(world)
    other = registry.put_image("other", "2.0.0", says("2.0.0", "2" * 40))
    before = registry.tags["2.0.0"]
    registry.tags |= dict.fromkeys(("2.0.0", "2.0", "latest"), other)

    for found, digest in zip(verify(world), (other, before), strict=True):
        reason = f"names {digest} here, and another digest in another repository"
        assert found.tags == (
            row(world, "2.0", "2.0.0", "differs", digest=digest, reason=reason),
            row(world, "latest", "2.0.0", "differs", digest=digest, reason=reason),
            row(world, "1.9", "1.9.1"),
            row(world, "2.0.0", "2.0.0", "differs", digest=digest, reason=reason),
        )


def test_a_stable_release_that_is_lacking_is_seen_behind_a_candidate(world: World) -> None:
    world.commits |= {"v2.1.0": "a" * 40, "v2.2.0-rc.1": "b" * 40}
    put(world, says("2.2.0-rc.1", "b" * 40), "2.2.0-rc.1")

    assert [found.lacks_newest for found in verify(world)] == [True, True]


@pytest.mark.parametrize(
    ("tags", "asked"),
    [
        # New, as far as its newest release shows: nothing else is asked for.
        ([], ["2.0.0", "2.0", "latest"]),
        # It lists what it has.
        (["1.9.0", "other"], ["1.9.0"]),
        # It lists nothing, and has something.
        (None, ["2.0.0", "2.0", "latest", "1.9.0", "1.9.1", "2.0.0", "2.0", "latest", "1.9"]),
    ],
)
def test_only_tags_that_may_be_there_are_asked_for(
    world: World, tags: list[str] | None, asked: list[str]
) -> None:
    registry = first(world)
    digest = registry.tags["1.9.0"]
    if tags is None:
        registry.lists_tags = False
        registry.tags = {"2.0.0": registry.tags["2.0.0"]}
    else:
        registry.tags = dict.fromkeys(tags, digest)
    requests: list[str] = []

    verify(world, requests)

    head = f"HEAD {ONE.registry} manifests/"
    assert [each.removeprefix(head) for each in requests if each.startswith(head)] == asked


def test_without_a_release_nothing_is_asked_of_a_repository_but_its_tags(world: World) -> None:
    world.commits.clear()
    for registry in world.registries.values():
        registry.tags.clear()
    requests: list[str] = []

    assert verify(world, requests) == (VerifiedRepository(ONE, ()), VerifiedRepository(TWO, ()))
    assert requests == [f"GET {host} tags/list" for host in HOSTS]


def test_exact_tags_are_those_of_the_releases_as_git_has_them(world: World) -> None:
    """v2.0.0 and 2.0.0 are one version of one commit, with an exact tag each."""
    world.templates = ("{git_tag}-{short_sha}", "latest")
    world.commits["2.0.0"] = "2" * 40
    put(world, says("2.0.0", "2" * 40), "v2.0.0-2222222", "latest")
    put(world, says("1.9.1", "1" * 40), "v1.9.1-1111111")
    # Neither is what v1.9.0 and v2.0.0 are published as.
    put(world, says("1.9.0", "0" * 40), "1.9.0-0000000")
    other = put(world, says("2.0.1"), "2.0.0-2222222")
    wrong = (
        row(
            world,
            "2.0.0-2222222",
            "2.0.0",
            "mismatch",
            actual="2.0.1",
            reason="its image says that it is version 2.0.1",
        ),
        row(world, "v1.9.0-0000000", "1.9.0", "unpublished", actual=None),
    )

    (found, _) = verify(world)
    assert found.tags == (row(world, "latest", "2.0.0"), *wrong)

    for registry in world.registries.values():
        registry.tags["latest"] = other
    (found, _) = verify(world)
    assert found.tags == (row(world, "latest", "2.0.0", "drift", actual="2.0.1"), *wrong)


def test_a_new_repository_is_known_by_the_exact_tag_as_git_has_it(world: World) -> None:
    world.templates = ("{git_tag}-{short_sha}", "latest")
    for registry in world.registries.values():
        registry.tags.clear()
    requests: list[str] = []

    verify(world, requests)

    head = f"HEAD {ONE.registry} manifests/"
    assert [each.removeprefix(head) for each in requests if each.startswith(head)] == [
        "v2.0.0-2222222",
        "latest",
    ]


LOOSE_OK = {"1.2": "ok", "2024.01": "ok", "latest": "ok"}


@pytest.fixture
def loose_world() -> World:
    """Loose versions, published, whose floating tags look like versions."""
    versions = ("1.2.3", "1.2.3-1", "2024.01.05")
    world = World(
        templates=("{version}", "{major}.{minor}", "latest"),
        commits={f"v{version}": str(n) * 40 for n, version in enumerate(versions)},
        scheme="loose",
    )
    for version in versions:
        assert Runner(world, f"v{version}", "build").finish().error is None
    return world


def test_floating_tags_that_could_be_exact_ones_are_listed(loose_world: World) -> None:
    assert [statuses(each) for each in verify(loose_world)] == [LOOSE_OK, LOOSE_OK]


def test_the_version_that_a_loose_tag_names_is_read_by_the_scheme(loose_world: World) -> None:
    registry = first(loose_world)
    registry.tags["1.2"] = registry.tags["1.2.3"]
    registry.tags["1.2.3-1"] = registry.put_image("other", "9", {VERSION: "1.2.3-2"})

    (one, two) = verify(loose_world)

    found = {tag.name: (tag.status, tag.expected, tag.actual) for tag in one.tags}
    assert found["1.2"] == ("drift", "1.2.3-1", "1.2.3")
    assert found["1.2.3-1"] == ("mismatch", "1.2.3-1", "1.2.3-2")
    assert statuses(two) == LOOSE_OK


def test_a_floating_tag_that_is_the_exact_tag_of_a_release_is_refused(loose_world: World) -> None:
    loose_world.commits["v1.2"] = "9" * 40

    with pytest.raises(UsageError, match=r"floating tag '1\.2' .* is the exact tag of v1\.2$"):
        verify(loose_world)


def test_two_spellings_of_one_commit_are_one_release(loose_world: World) -> None:
    loose_world.commits["v2024.1.5"] = loose_world.commits["v2024.01.05"]
    loose_world.templates = ("{version}", "latest")
    for registry in loose_world.registries.values():
        registry.tags.pop("2024.01")
        registry.tags.pop("1.2")

    # Its other name is not published, and it is.
    expected = {"latest": "ok", "2024.1.5": "missing"}
    assert [statuses(each) for each in verify(loose_world)] == [expected, expected]
    assert Runner(loose_world, "v2024.1.5", "build").finish().error is None
    assert [statuses(each) for each in verify(loose_world)] == [{"latest": "ok"}] * 2
