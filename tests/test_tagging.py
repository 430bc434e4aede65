"""Exact tags are not replaced, floating tags do not go down. The registries are fakes in memory."""

from functools import partial

import pytest

from releasetag.errors import AuthError, ConflictError
from releasetag.events import LayerPushed, PushEvent
from releasetag.reference import Repository
from releasetag.registry import Registries
from releasetag.tagging import (
    Mover,
    TagResult,
    copy_progress,
    higher_holder,
    move,
    put,
    require_floating,
)
from releasetag.version import Release, Scheme, parse_version
from tests.support.promises import REVISION, VERSION
from tests.support.world import HOSTS, PATH, Direct, FakeRegistry, World, open_registries

ONE, TWO = (Repository(host, PATH) for host in HOSTS)
LATEST = ONE.tagged("latest")
A, B = "a" * 40, "b" * 40


class Movement:
    """The move of floating tags to 1.2.3, whose image is in both registries."""

    def __init__(self) -> None:
        self.world = World(templates=("{version}", "{major}.{minor}", "latest"))
        for registry in self.world.registries.values():
            self.own = registry.put_image("", "1.2.3", {VERSION: "1.2.3", REVISION: A})
            registry.tags["1.2.3"] = self.own
        self.network = Direct(self.world)
        self.history = [release("1.2.3")]
        self.reported: list[TagResult] = []
        self.warnings: list[str] = []

    @property
    def first(self) -> FakeRegistry:
        return self.world.registries[HOSTS[0]]

    @property
    def registries(self) -> Registries:
        return open_registries(self.network)

    def mover(self) -> Mover:
        manifest = self.registries.manifest(ONE.tagged("1.2.3"))
        assert manifest is not None
        return Mover(
            self.registries,
            (ONE, TWO),
            self.world.settings.policy,
            release("1.2.3", scheme=self.world.scheme),
            manifest,
            self.history,
            self.reported.append,
            self.warnings.append,
            1,
        )

    def puts(self) -> list[str]:
        return [each for each in self.network.requests if each.startswith("PUT")]


@pytest.fixture
def moving() -> Movement:
    return Movement()


def release(version: str, revision: str = A, scheme: Scheme = "semver") -> Release:
    parsed = parse_version(version, scheme)
    assert parsed is not None
    return Release(f"v{version}", parsed, revision)


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("now", ["", "own", "another"])
def test_a_tag_that_names_another_image_is_put_only_where_it_may_be_replaced(
    moving: Movement, now: str, replace: bool
) -> None:
    another = moving.first.put_image("another", "1.2.3")
    if now:
        moving.first.tags["1.2.3"] = moving.own if now == "own" else another
    else:
        del moving.first.tags["1.2.3"]
    exact = ONE.tagged("1.2.3")
    manifest = moving.registries.manifest(ONE.at(moving.own))
    assert manifest is not None

    if now == "another" and not replace:
        with pytest.raises(ConflictError) as error:
            put(moving.registries, exact, manifest, replace=replace)
        assert (str(error.value), error.value.hint) == (
            f"{exact} was published meanwhile as {another}, and this is {moving.own}",
            "see who publishes the same version, or replace it with --overwrite",
        )
        assert moving.first.tags["1.2.3"] == another
    else:
        status = "unchanged" if now == "own" else "pushed"
        result = put(moving.registries, exact, manifest, replace=replace)
        assert result == TagResult(
            exact,
            moving.own,
            status,  # type: ignore[arg-type] # a literal
        )
        assert result.previous == (another if now == "another" else "")
        assert moving.first.tags["1.2.3"] == moving.own
        assert len(moving.puts()) == (0 if now == "own" else 1)


def test_floating_tags_move_one_after_the_other_in_all_repositories(moving: Movement) -> None:
    higher = moving.first.put_image("", "1.3.0", {VERSION: "1.3.0"})
    moving.first.tags |= {"latest": higher, "1.3.0": higher}
    moving.world.registries[HOSTS[1]].tags["1.2"] = moving.own

    results = moving.mover().move_all(["1.2", "latest"])

    assert results == [
        TagResult(ONE.tagged("1.2"), moving.own, "pushed"),
        TagResult(TWO.tagged("1.2"), moving.own, "unchanged"),
        TagResult(LATEST, higher, "kept", "names 1.3.0, which is higher and published"),
        TagResult(TWO.tagged("latest"), moving.own, "pushed"),
    ]
    assert moving.reported == results
    assert moving.puts() == ["PUT one.test manifests/1.2", "PUT two.test manifests/latest"]
    assert moving.first.tags["latest"] == higher
    assert moving.warnings == []


@pytest.mark.parametrize(
    ("version", "revision", "is_known"),
    [
        ("1.2.2", A, True),
        # A base image may say that it is any release, of another commit.
        ("1.2.2", "b" * 40, False),
        ("1.1.9", A, False),
        ("", "", False),
    ],
)
def test_what_a_tag_named_before_is_a_release_that_git_knows_or_a_digest(
    version: str, revision: str, is_known: bool, moving: Movement
) -> None:
    labels = {VERSION: version, REVISION: revision}
    before = moving.first.tags["latest"] = moving.first.put_image("before", version, labels)
    moving.history.append(release("1.2.2"))
    mover = moving.mover()
    moving.network.requests.clear()

    results = mover.move_all(["latest", "1.2"])

    assert [result.previous for result in results] == [
        version if is_known else before,
        "",
        "",
        "",
    ]
    # The look before the move knows it: no request is made for it.
    gets = [each for each in moving.network.requests if each.startswith("GET")]
    assert len(gets) == 2, "the manifest and the configuration of what latest named"


def test_what_a_kept_tag_names_is_the_version_that_holds_it(moving: Movement) -> None:
    higher = moving.first.put_image("", "1.3.0", {VERSION: "1.3.0"})
    moving.first.tags |= {"latest": higher, "1.3.0": higher}

    assert move(moving.mover(), LATEST).previous == "1.3.0"


def test_a_refusal_is_reported_and_ends_the_move(moving: Movement) -> None:
    moving.first.refuse = lambda method, _: 403 if method == "PUT" else 0

    with pytest.raises(AuthError) as error:
        moving.mover().move_all(["1.2", "latest"])

    assert moving.reported == [
        TagResult(ONE.tagged("1.2"), "", "failed", error=str(error.value)),
        TagResult(TWO.tagged("1.2"), moving.own, "pushed"),
    ]


# The tag, the version and revision that its image says, and the exact tags that name that image.
WITNESSES = [
    # It says a higher version, and is it.
    ("latest", ("1.3.0", B), ["1.3.0"], "1.3.0"),
    ("1.2", ("1.2.4", B), ["1.2.4"], "1.2.4"),
    ("latest", ("1.3.0-rc.1", B), ["1.3.0-rc.1"], None),  # latest is not for prereleases
    ("1.2", ("1.3.0", B), ["1.3.0"], None),  # nor is 1.2 for 1.3.0
    ("latest", ("1.3.0", B), [], None),
    ("latest", ("1.4.0", B), [], "1.4.0"),  # its exact tag is gone, and the history has it
    ("latest", ("1.4.0", A), [], None),
    ("latest", ("1.9.0", B), ["1.9.0"], None),  # yanked
    ("latest", ("1.2.2", B), ["1.2.2"], None),
    ("latest", ("1.2.3", A), ["1.2.3"], None),  # another build of the same version
    # It says nothing, or what its base image says.
    ("latest", ("", ""), ["1.5.0"], "1.5.0"),
    ("latest", ("", ""), ["1.4.0"], "1.4.0"),
    ("latest", ("", ""), ["1.4.0", "1.5.0", "1.6.0"], "1.6.0"),
    ("latest", ("0.1.0", ""), ["1.5.0"], "1.5.0"),
    ("latest", ("", ""), ["1.2.3"], None),
    ("latest", ("", ""), ["1.9.0"], None),
    ("latest", ("", ""), ["1.7.0"], None),  # not in the history
    ("1.2", ("", ""), ["1.5.0"], None),
]


@pytest.mark.parametrize(("tag", "says", "exact", "holder"), WITNESSES)
def test_a_tag_is_held_by_the_higher_version_that_its_image_proves_to_be(
    moving: Movement, tag: str, says: tuple[str, str], exact: list[str], holder: str | None
) -> None:
    moving.world.ignore.add("1.9.0")
    known = ("1.2.3", "1.4.0", "1.5.0", "1.6.0")
    moving.history = [release(version, B) for version in known]
    mover = moving.mover()
    held = moving.first.put_image("held", "?", {VERSION: says[0], REVISION: says[1]})
    for version in {"1.5.0", "1.6.0"} - {*exact}:
        moving.first.tags[version] = moving.first.put_image("", version)
    moving.first.tags |= dict.fromkeys([tag, *exact], held)

    found = higher_holder(mover, ONE.tagged(tag), held)

    assert (found and str(found)) == holder
    expected = (
        TagResult(ONE.tagged(tag), held, "kept", f"names {holder}, which is higher and published")
        if holder
        else TagResult(ONE.tagged(tag), moving.own, "pushed")
    )
    assert move(mover, ONE.tagged(tag)) == expected
    assert moving.warnings == []


def test_what_cannot_be_used_holds_no_tag_and_is_warned_of(moving: Movement) -> None:
    held = moving.first.put_image("", "1.3.0", {VERSION: "1.3.0"})
    moving.first.tags |= dict.fromkeys(("latest", "1.3.0"), held)
    moving.first.delete_config(held)
    gone = "sha256:" + "0" * 64

    assert higher_holder(moving.mover(), LATEST, held) is None
    assert higher_holder(moving.mover(), LATEST, gone) is None

    unusable = f"{LATEST} names an image that cannot be used, and is replaced: "
    problem = f"cannot read the configuration of {ONE.at(held)}: {ONE.registry} answered 404"
    assert moving.warnings == [f"{unusable}{problem} (Not Found)", f"{unusable}it is gone"]


@pytest.mark.parametrize(
    ("scheme", "says", "is_refused"),
    [
        ("loose", {VERSION: "1.2", REVISION: B}, True),
        ("pep440", {VERSION: "1.2", REVISION: B}, True),
        # An image of 1.2.2, of a base image that is 1.2, of nobody, of another spelling.
        ("loose", {VERSION: "1.2.2", REVISION: B}, False),
        ("loose", {VERSION: "1.2"}, False),
        ("loose", {}, False),
        ("loose", {VERSION: "1.02", REVISION: B}, False),
        # Under SemVer, 1.2 is no version.
        ("semver", {VERSION: "1.2", REVISION: B}, False),
    ],
)
def test_the_exact_tag_of_a_version_that_git_does_not_know_is_no_floating_tag(
    moving: Movement, scheme: Scheme, says: dict[str, str], is_refused: bool
) -> None:
    moving.world.scheme, moving.history = scheme, []
    held = moving.first.tags["1.2"] = moving.first.put_image("held", "1.2", says)
    reference = ONE.tagged("1.2")

    if not is_refused:
        assert move(moving.mover(), reference) == TagResult(reference, moving.own, "pushed")
        return
    with pytest.raises(ConflictError) as error:
        move(moving.mover(), reference)
    assert (str(error.value), error.value.hint) == (
        f"{reference} is the exact tag of version 1.2, and is to be a floating tag of 1.2.3",
        "exact tags never move: choose another name for the floating tag",
    )
    assert moving.first.tags["1.2"] == held
    assert moving.puts() == []


def test_what_is_behind_an_exact_tag_and_cannot_be_read_is_replaced(moving: Movement) -> None:
    moving.world.scheme = "loose"
    mover, gone = moving.mover(), "sha256:" + "0" * 64

    require_floating(mover, ONE.tagged("1.2"), gone)
    require_floating(mover, LATEST, gone)


@pytest.mark.parametrize(("says", "holder"), [("1.2.3-4", "1.2.3-4"), ("1.2", None), ("9", "9")])
def test_the_witness_reads_versions_by_the_scheme(
    moving: Movement, says: str, holder: str | None
) -> None:
    moving.world.scheme, moving.history = "loose", []
    held = moving.first.put_image("held", says, {VERSION: says, REVISION: B})
    moving.first.tags |= {"latest": held, says: held}

    found = higher_holder(moving.mover(), LATEST, held)

    assert (found and str(found)) == holder


def test_a_copy_between_registries_is_reported_as_a_push_of_the_tag() -> None:
    reference = Repository("one.test", PATH).tagged("1.2.3")
    events: list[PushEvent] = []
    progress = copy_progress(reference, events.append)

    progress("sha256:0123456789abcdef", 1, 2)
    progress("sha256:0123456789abcdef", 2, 2)

    layer = partial(LayerPushed, str(reference), "0123456789ab")
    assert events == [layer("Copying", 1, 2), layer("Copying", 2, 2), layer("Copied", 0, 0)]
