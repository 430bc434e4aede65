"""Every command against every misbehaviour of a registry: right, or two lines and the right code.

Never a traceback, never a hang, never a wrong tag. The release is published to two repositories,
of which one registry misbehaves and the other does not; see tests/support/misbehaving.py. Time is
the test's own: waits of the program, and of what trickles, add up and take none.
"""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.git import GitRepository
from tests.support.image import scratch_files
from tests.support.in_process import run_here, stop_engine_time, stop_time
from tests.support.misbehaving import (
    ABSENT,
    BROKEN,
    LINKS,
    PASSWORD,
    USERNAME,
    Clock,
    MisbehavingRegistry,
    Misbehaviour,
)
from tests.support.promises import REVISION, VERSION, numbers
from tests.support.run import Finished, clean_environ

M = Misbehaviour
PATH, BUILDS = "acme/app", "acme/build"
FLOATING = ("1.9", "2.0", "2.1", "latest")

HANG = 60.0
"""Real seconds after which a run counts as a hang; a run takes less than one."""
PATIENCE = 300.0
"""Seconds on the test's clock that a command may wait in all."""

pytestmark = pytest.mark.slow

# What is right where nothing misbehaves: the exit code of every command. -----------------------

RIGHT: dict[str, int] = {
    "plan": 0,  # DESIGN 4: needs git alone
    "login": 0,
    "verify": 0,  # what is not published yet is no drift
    "verify_deep": 0,
    "verify_drift": 1,  # `latest` and `2.0` name 1.9.0
    "promote_up": 0,  # 2.1.0, whose exact tags are there
    "promote_down": 4,  # 1.9.0, and `latest` names 2.0.0: DESIGN 4
    "publish_fix": 0,  # 1.9.1, from another registry: `latest` stays by the history
    "publish_new": 0,  # 2.1.0, from beside, which can be mounted: `latest` moves
    "publish_blind": 0,  # 1.9.1, git does not know 2.0.0: `latest` stays by the second witness
}
GROUPS: dict[str, tuple[str, ...]] = {
    "publish": ("publish_fix", "publish_new", "publish_blind"),
    "writes": ("publish_fix", "publish_new", "publish_blind", "promote_up", "build_new"),
    "verifies": ("verify", "verify_deep"),
    "promotes": ("promote_up", "promote_down"),
}


@dataclass(frozen=True)
class Expected:
    """What is right under one misbehaviour.

    Attributes:
        reason: why, from DESIGN.
        codes: the exit codes that are right, by command; the others are as in RIGHT.
        again: the exit code of the same command when the registry behaves again.
        warns: commands that have to say that something was not as it should be.
        patience: seconds on the test's clock that a command may wait.
    """

    reason: str
    codes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    again: tuple[int, ...] = (0,)
    warns: tuple[str, ...] = ()
    patience: float = PATIENCE

    def right(self, command: str) -> tuple[int, ...]:
        """Return the exit codes that are right for a command."""
        return self.codes[command] if command in self.codes else (RIGHT[command],)


def expect(
    reason: str,
    *,
    again: tuple[int, ...] = (0,),
    warns: tuple[str, ...] = (),
    patience: float = PATIENCE,
    **codes: int | tuple[int, ...],
) -> Expected:
    """Make a row of the table; `codes` by command or by group, later ones weigh more."""
    found: dict[str, tuple[int, ...]] = {}
    for name, code in codes.items():
        for command in GROUPS.get(name, (name,)):
            found[command] = code if isinstance(code, tuple) else (code,)
    return Expected(reason, found, again, warns, patience)


_LISTING = expect(
    "7: listing tags is for the last look alone, a registry that does not list is no failure;"
    " what verify looks at, it knows by name",
    warns=GROUPS["publish"],
)
_PAGES = expect("7: a page that is written oddly is a page; RFC 8288")
_LAG = expect("7: what is served a moment later is given some seconds")
_FORM = expect("8: OCI Distribution 1.1 leaves it open")
_BAD_STORE = expect(
    "7: a copy that cannot be made is a push that failed; a mount needs no upload",
    publish_fix=8,
    publish_blind=8,
)
_CONVERTED = expect(
    "7, step 4: another digest for the same exact tag is a conflict, or a push that failed;"
    " afterwards the exact tag is another image's, and only --overwrite replaces it",
    writes=(4, 8),
    again=(0, 4),
)
_IMMUTABLE = expect(
    "7: an immutable tag fails for good; when it may move again, running again finishes",
    writes=8,
)
_UNREADABLE = expect(
    "7: an answer that is never whole is a push that failed, and no reason to replace a tag; what"
    " needs no body may be right",
    writes=8,
    verifies=(0, 8),
    verify_drift=(1, 8),
    promote_down=(4, 8),
)

EXPECTED: dict[Misbehaviour, Expected] = {
    M.LISTING_401: _LISTING,
    M.LISTING_403: _LISTING,
    M.LISTING_404: _LISTING,
    M.LISTING_405: _LISTING,
    M.LISTING_501: _LISTING,
    M.LINK_UPPER_CASE: _PAGES,
    M.LINK_ABSOLUTE: _PAGES,
    M.LINK_RELATIVE: _PAGES,
    M.LINK_OTHER_HOST: _PAGES,
    M.LINK_BARE: _PAGES,
    M.LINK_NON_ASCII: _PAGES,
    M.LINK_PAGE_MISSING: _LISTING,
    M.LINK_ENDLESS: _LISTING,
    M.LINK_LOOP: _PAGES,
    M.LAG_BY_READS: _LAG,
    M.LAG_BY_SECONDS: _LAG,
    M.NO_DIGEST_HEADER: _FORM,
    M.HEAD_405: _FORM,
    M.PLAIN_CONTENT_TYPE: _FORM,
    M.UNTAGGED_404: _FORM,
    M.CONVERTS: _CONVERTED,
    M.CONVERTS_SILENTLY: _CONVERTED,
    M.MISSING_CHILDREN: expect(
        "3: what cannot be read proves nothing, it is replaced with a warning; 6: broken."
        " 1.9.0 does not go over it: the other registry's `latest` is whole",
        verifies=1,
        warns=("publish_new", "publish_blind"),
    ),
    M.SPARSE_INDEX: expect(
        "3, 6: as MISSING_CHILDREN with --deep; the platform that is left may prove the version",
        verify=(0, 1),
        verify_deep=1,
    ),
    M.MISSING_CONFIG: expect(
        "3, 6: as MISSING_CHILDREN", verifies=1, warns=("publish_new", "publish_blind")
    ),
    M.MISSING_LAYERS: expect(
        "6: blobs with --deep; labels can be read, so nothing is replaced",
        verify=(0, 1),
        verify_deep=1,
    ),
    M.SCHEMA_1: expect(
        "3, 6: as MISSING_CHILDREN", verifies=1, warns=("publish_new", "publish_blind")
    ),
    M.UPLOAD_ABSOLUTE: _FORM,
    M.UPLOAD_RELATIVE: _FORM,
    M.UPLOAD_ELSEWHERE: _FORM,
    M.UPLOAD_NO_LOCATION: _BAD_STORE,
    M.UPLOAD_503: _BAD_STORE,
    M.MOUNT_202: _FORM,
    M.MOUNT_405: _FORM,
    M.BLOBS_307: _FORM,
    M.ABSENT_401: expect(
        "7: may be one that is not there yet, the push decides; verify and promote push nothing"
        " and cannot tell it from one that they may not see",
        verifies=6,
        verify_drift=(1, 6),
        promotes=(3, 6),
    ),
    M.ABSENT_403: expect("7: as ABSENT_401", verifies=6, verify_drift=(1, 6), promotes=(3, 6)),
    M.ABSENT_404: expect(
        "7: the push decides; to verify, what was never published is no drift",
        verifies=(0, 1),
        promotes=(3, 4),
    ),
    M.ABSENT_FOR_EVER: expect(
        "7: a push that is answered 404 fails for good",
        publish=8,
        verifies=(0, 1),
        promotes=(3, 4),
    ),
    M.TOKEN_FOR_LESS: expect("5: may not push, which is 6; nothing else is wrong", writes=6),
    M.TOKEN_ALWAYS_THE_SAME: expect(
        "5: may not push, which is 6: no answer of the token server's is the registry's", writes=6
    ),
    M.TOKEN_FOR_ANOTHER: expect(
        "5: may nothing, which is 6 and not an empty repository",
        publish=6,
        verifies=6,
        verify_drift=(1, 6),
        promotes=(3, 6),
    ),
    M.TOKEN_EXPIRES: expect("8: a token that ends is replaced"),
    M.RATE_LIMITED: expect("7: tried again, honouring Retry-After"),
    M.RATE_LIMITED_FOR_EVER: expect(
        "7: at most five tries and about 30 s in all", writes=8, patience=90
    ),
    M.ERRORS_NOW_AND_THEN: expect("7: tried again"),
    M.DOWN: expect(
        "7: at most five tries and about 30 s in all",
        login=8,
        writes=8,
        verifies=8,
        verify_drift=8,
        promote_down=8,
        patience=90,
    ),
    M.IMMUTABLE_ECR: _IMMUTABLE,
    M.IMMUTABLE_HARBOR: _IMMUTABLE,
    M.IMMUTABLE_DOCKER_HUB: _IMMUTABLE,
    M.HEADERS_NON_ASCII: expect("5: what nobody asked for hurts nobody"),
    M.HEADERS_ALL_NON_ASCII: expect(
        "5: right as far as no such header is needed, else two lines",
        login=(0, 8),
        writes=(0, 8),
        verifies=(0, 8),
        verify_drift=(1, 8),
        promote_down=(4, 8),
    ),
    M.TRICKLE_HEADERS: Expected(_UNREADABLE.reason, _UNREADABLE.codes, patience=1500),
    M.TRICKLE_BODY: Expected(_UNREADABLE.reason, _UNREADABLE.codes, patience=1500),
    M.LENGTH_SHORT: expect(
        "7: a manifest that is cut cannot be pulled, but it is there: nobody replaces it. A digest"
        " without a body is enough to some commands",
        publish_fix=(0, 8),
        publish_new=(0, 8),
        publish_blind=8,
        promote_up=8,
        verifies=(0, 1, 8),
        verify_drift=(1, 8),
        promote_down=(4, 8),
    ),
    M.LENGTH_LONG: _UNREADABLE,
    M.CUT_NOW_AND_THEN: expect("7: tried again"),
    M.CUT: _UNREADABLE,
}

# What the commands are, and what is there before. ----------------------------------------------


@dataclass(frozen=True)
class Trees:
    """The git repositories: 1.9.0, 2.0.0, 1.9.1 and 2.1.0; and one that knows 1.9.0 and 1.9.1."""

    whole: Path
    blind: Path
    revisions: Mapping[str, str]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    directory = tmp_path_factory.mktemp("trees")
    revisions = {}
    for name, versions in {
        "blind": ("1.9.0", "1.9.1"),
        "whole": ("1.9.0", "1.9.1", "2.0.0", "2.1.0"),
    }.items():
        repository = GitRepository(directory / name)
        repository.write(scratch_files())
        for version in versions:
            revisions[version] = repository.commit(version)
            repository.tag(f"v{version}")
    return Trees(directory / "whole", directory / "blind", revisions)


@dataclass
class Scene:
    """Two registries with 1.9.0 and 2.0.0, one of which misbehaves.

    Attributes:
        digests: of the images, by version.
        before: what every tag named, by registry.
        environ: added to the program's environment.
        images: the repositories, if not both registries'.
    """

    good: MisbehavingRegistry
    bad: MisbehavingRegistry
    trees: Trees
    home: Path
    patch: pytest.MonkeyPatch
    clock: Clock
    digests: dict[str, str] = field(default_factory=dict)
    before: list[dict[str, str]] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)

    @property
    def registries(self) -> tuple[MisbehavingRegistry, MisbehavingRegistry]:
        """Return the two."""
        return self.bad, self.good

    @property
    def drifting(self) -> MisbehavingRegistry:
        """Return the one where tags drift if any do: where there are tags, the one to look at."""
        return self.good if self.bad.misbehaviour in ABSENT else self.bad

    def fill(self, command: str) -> None:
        """Put there what is there before a command."""
        absent = self.bad.misbehaviour in ABSENT
        for registry in self.registries:
            for version in ("1.9.1", "2.1.0"):
                self._put(registry, BUILDS, version, version)
            if registry is self.bad and absent:
                continue
            drifts = command == "verify_drift" and registry is self.drifting
            self._put(registry, PATH, "2.0.0", "2.0.0", *(() if drifts else ("2.0", "latest")))
            self._put(
                registry, PATH, "1.9.0", "1.9.0", "1.9", *(("2.0", "latest") if drifts else ())
            )
            if command == "promote_up":
                self._put(registry, PATH, "2.1.0", "2.1.0")
        if self.bad.misbehaviour is M.SCHEMA_1:
            self.bad.damage(PATH, "latest")
        elif self.bad.misbehaviour in BROKEN:
            self.bad.damage(PATH, "2.0.0")
        self.before = [dict(registry.at(PATH).tags) for registry in self.registries]

    def _put(self, registry: MisbehavingRegistry, path: str, version: str, *tags: str) -> None:
        labels = {VERSION: version, REVISION: self.trees.revisions[version]}
        put = registry.put_image if version == "1.9.1" else registry.put_index
        self.digests[version] = put(path, *tags, labels=labels)

    def run(self, command: str) -> Finished:
        """Run a command to its end, and see that there is one."""
        named = self.images or [f"{each.address}/{PATH}" for each in self.registries]
        images = [word for each in named for word in ("-i", each)]
        good, bad = f"{self.good.address}/{BUILDS}", f"{self.bad.address}/{BUILDS}"
        arguments = {
            "plan": ("plan", "--git-tag", "v2.1.0", *images),
            "login": ("login", self.bad.address, "-u", USERNAME, "--password-stdin"),
            "verify": ("verify", *images),
            "verify_deep": ("verify", "--deep", *images),
            "verify_drift": ("verify", *images),
            "promote_up": ("promote", "2.1.0", *images),
            "promote_down": ("promote", "1.9.0", *images),
            "publish_fix": ("publish", "--git-tag=v1.9.1", f"--from-image={good}:1.9.1", *images),
            "publish_new": ("publish", "--git-tag=v2.1.0", f"--from-image={bad}:2.1.0", *images),
            "publish_blind": ("publish", "--git-tag=v1.9.1", f"--from-image={good}:1.9.1", *images),
            "build_new": ("publish", "--git-tag=v2.1.0", *images),
        }[command]
        hung = threading.Event()

        def abort() -> None:
            hung.set()
            for registry in self.registries:
                registry.abort()

        timer = threading.Timer(HANG, abort)
        timer.start()
        try:
            done = run_here(
                *arguments,
                "--json",
                cwd=self.trees.blind if command == "publish_blind" else self.trees.whole,
                environ=self._environ(),
                stdin=PASSWORD,
            )
        finally:
            timer.cancel()
        assert not hung.is_set(), f"it hangs: {done}"
        assert not any(registry.is_overrun for registry in self.registries), f"it hangs: {done}"
        assert [registry.failures for registry in self.registries] == [[], []]
        return done

    def _environ(self) -> dict[str, str]:
        auth = {"auth": base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()}
        auths = {registry.address: auth for registry in self.registries}
        folder = self.home / ".docker"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps({"auths": auths}))
        engine = f"unix://{self.home}/no-engine.sock"
        return clean_environ(self.home) | {"DOCKER_HOST": engine} | self.environ


@pytest.fixture
def scene(
    trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, misbehaviour: Misbehaviour
) -> Iterator[Scene]:
    clock = Clock()
    stop_time(monkeypatch, clock)
    with ExitStack() as stack:
        good = stack.enter_context(MisbehavingRegistry(clock=clock))
        bad = stack.enter_context(MisbehavingRegistry(misbehaviour, clock=clock))
        yield Scene(good, bad, trees, tmp_path, monkeypatch, clock)


@pytest.mark.parametrize("command", RIGHT)
@pytest.mark.parametrize("misbehaviour", M, ids=lambda each: each.name)
def test_every_command_is_right_or_says_what_is_wrong(
    scene: Scene, misbehaviour: Misbehaviour, command: str
) -> None:
    expected = EXPECTED[misbehaviour]
    scene.fill(command)
    done = scene.run(command)
    assert_explained(done, command)
    assert_no_wrong_tag(scene, command)
    assert done.returncode in expected.right(command), f"{expected.reason}\n{done}"
    assert scene.clock.now() <= expected.patience, f"it took {scene.clock.now()} s\n{done}"
    assert scene.bad.leaks == [], "the blob store was given the token"
    assert_outcome(scene, command, done)
    if command in expected.warns and done.returncode == 0:
        assert "warning:" in done.stderr, done
    if command in GROUPS["writes"] and done.returncode != 0:
        scene.bad.misbehaviour = None
        again = scene.run(command)
        assert_explained(again, command)
        assert_no_wrong_tag(scene, command)
        assert again.returncode in {*expected.again, *when_absent(misbehaviour, command)}, again
        assert_outcome(scene, command, again)


def when_absent(misbehaviour: Misbehaviour, command: str) -> tuple[int, ...]:
    """Return the exit code for promoting what a repository never had."""
    return (3,) if misbehaviour in ABSENT and command == "promote_up" else ()


@pytest.mark.parametrize("command", RIGHT)
@pytest.mark.parametrize("misbehaviour", [None])
def test_a_registry_that_behaves_is_what_the_table_takes_it_for(scene: Scene, command: str) -> None:
    scene.fill(command)
    done = scene.run(command)
    assert_explained(done, command)
    assert done.returncode == RIGHT[command], done
    assert "warning" not in done.stderr
    assert scene.clock.now() == 0, "it waited"
    assert_no_wrong_tag(scene, command)
    assert_outcome(scene, command, done)


# With the engine: what its pushes meet of all this, but for what it tries again in real time. ----

BUILT: dict[Misbehaviour, Expected] = {
    M.LISTING_403: expect("7: no failure", build_new=0),
    M.LAG_BY_READS: expect("7: is given some seconds", build_new=0),
    M.LAG_BY_SECONDS: expect("7: is given some seconds", build_new=0),
    M.NO_DIGEST_HEADER: expect(
        "the engine wants the header of a put and fails; running again takes up what it put",
        build_new=(0, 8),
    ),
    M.HEAD_405: expect("8", build_new=0),
    M.PLAIN_CONTENT_TYPE: expect("8", build_new=0),
    M.CONVERTS: expect("7, step 4", build_new=(4, 8), again=(4,)),
    M.MISSING_CHILDREN: expect("3: replaced with a warning", build_new=0, warns=("build_new",)),
    M.SCHEMA_1: expect("3: replaced with a warning", build_new=0, warns=("build_new",)),
    M.UPLOAD_ABSOLUTE: expect("8", build_new=0),
    M.UPLOAD_ELSEWHERE: expect("8", build_new=0),
    M.MOUNT_202: expect("8", build_new=0),
    M.BLOBS_307: expect("8", build_new=0),
    M.ABSENT_401: expect("7: the push decides", build_new=0),
    M.ABSENT_403: expect("7: the push decides", build_new=0),
    M.ABSENT_404: expect("7: the push decides", build_new=0),
    M.TOKEN_FOR_LESS: expect("5: may not push", build_new=6),
    M.TOKEN_ALWAYS_THE_SAME: expect("5: may not push", build_new=6),
    M.RATE_LIMITED_FOR_EVER: expect("7: about 30 s in all", build_new=8, patience=90),
    M.IMMUTABLE_ECR: expect("7: fails for good", build_new=8),
    M.IMMUTABLE_HARBOR: expect("7: fails for good", build_new=8),
    M.IMMUTABLE_DOCKER_HUB: expect("7: fails for good", build_new=8),
    M.HEADERS_NON_ASCII: expect("5: hurts nobody", build_new=0),
}


@pytest.mark.parametrize("misbehaviour", BUILT, ids=lambda each: each.name)
def test_a_build_that_the_engine_pushes_is_right_or_says_what_is_wrong(
    scene: Scene, misbehaviour: Misbehaviour, engine: Engine
) -> None:
    expected = BUILT[misbehaviour]
    stop_engine_time(scene.patch, scene.clock)
    scene.environ |= engine.environ
    scene.fill("build_new")
    done = scene.run("build_new")
    assert_explained(done, "build_new")
    assert_no_wrong_tag(scene, "build_new")
    assert done.returncode in expected.right("build_new"), f"{expected.reason}\n{done}"
    assert scene.clock.now() <= expected.patience, f"it took {scene.clock.now()} s\n{done}"
    assert scene.bad.leaks == [], "the blob store was given the token"
    built = scene.good.at(PATH).tags.get("2.1.0")
    if done.returncode == 0:
        assert ("warning:" in done.stderr) or "build_new" not in expected.warns, done
    else:
        scene.bad.misbehaviour = None
        done = scene.run("build_new")
        assert_explained(done, "build_new")
        assert_no_wrong_tag(scene, "build_new")
        assert done.returncode in expected.again, done
    scene.digests["2.1.0"] = scene.good.at(PATH).tags["2.1.0"]
    assert built in {None, scene.digests["2.1.0"]}, "it was built twice"
    assert_outcome(scene, "build_new", done)


@pytest.mark.parametrize("misbehaviour", [M.TOKEN_FOR_ANOTHER], ids=lambda each: each.name)
@pytest.mark.parametrize("command", ["verify", "promote_up"])
def test_a_token_for_one_repository_is_no_answer_of_another(scene: Scene, command: str) -> None:
    """One after the other: the first may be read with the token, the second may not."""
    scene.fill(command)
    for tag, digest in scene.bad.at(PATH).tags.items():
        scene.bad.at(BUILDS).tags[tag] = digest
    scene.bad.at(BUILDS).manifests |= scene.bad.at(PATH).manifests
    scene.bad.at(BUILDS).blobs |= scene.bad.at(PATH).blobs
    scene.environ |= {"RELEASETAG_JOBS": "1"}
    scene.images = [f"{scene.bad.address}/{BUILDS}", f"{scene.bad.address}/{PATH}"]
    done = scene.run(command)
    assert_explained(done, command)
    assert done.returncode == 6, done
    assert scene.before[0] == scene.bad.at(PATH).tags


def test_every_misbehaviour_has_its_row() -> None:
    assert set(EXPECTED) == set(M)
    assert all(each in M for each in (*BROKEN, *ABSENT, *LINKS))


# What is right. --------------------------------------------------------------------------------


def assert_explained(done: Finished, command: str) -> None:
    """An error is two lines and one JSON object; there is never a traceback."""
    assert "Traceback" not in done.stdout + done.stderr, done
    assert "internal error" not in done.stderr, done
    assert PASSWORD not in done.stdout + done.stderr, done
    found = done.json
    if done.returncode == 0 or (command.startswith("verify") and "error" not in found):
        assert "error" not in found, done
        return
    error = found["error"]
    assert error["code"] == done.returncode, done
    assert error["message"], done
    assert error["hint"], done
    assert done.stderr.endswith(f"error: {error['message']}\nhint: {error['hint']}\n"), done


def assert_no_wrong_tag(scene: Scene, command: str) -> None:
    """No exact tag changed, no floating tag went down or names what is not in place everywhere."""
    converts = scene.bad.misbehaviour in {M.CONVERTS, M.CONVERTS_SILENTLY}
    now = [dict(registry.at(PATH).tags) for registry in scene.registries]
    for registry, before, tags in zip(scene.registries, scene.before, now, strict=True):
        assert set(before) <= set(tags), "a tag is gone"
        for tag, digest in tags.items():
            if tag not in FLOATING:
                assert before.get(tag, digest) == digest, f"{tag} is another image: {now}"
                continue
            if digest == before.get(tag):
                continue
            version = registry.labels(PATH, digest)[VERSION]
            if tag in before:
                was = registry.labels(PATH, before[tag]).get(VERSION, "0")
                assert numbers(version) >= numbers(was), f"{tag} went down: {was} to {version}"
            in_place = [there.get(version) for there in now]
            assert converts or in_place == [digest, digest], f"{tag} is ahead of {version}: {now}"
    if command not in GROUPS["writes"]:
        assert now == scene.before, "a tag was changed"
        writes = {"PUT", "PATCH", "POST", "DELETE"}
        assert not [r for each in scene.registries for r in each.requests if r.method in writes]


def assert_outcome(scene: Scene, command: str, done: Finished) -> None:
    """Exit code 0 means that all is done; verify names what is wrong."""
    if command.startswith("verify") and "error" not in done.json:
        assert_verified(scene, command, done)
    if done.returncode != 0 or command not in GROUPS["writes"]:
        return
    assert_published(scene, command, done)


def assert_verified(scene: Scene, command: str, done: Finished) -> None:
    """Verify says of every tag what it is; it is not blind to a repository."""
    statuses = {
        (each["repository"], tag["name"]): tag["status"]
        for each in done.json["repositories"]
        for tag in each["tags"]
    }
    bad = set(statuses.values()) - {"ok", "unpublished"}
    assert bool(bad) == (done.returncode == 1), done
    for registry in scene.registries:
        where = f"{registry.address}/{PATH}"
        if command == "verify_drift" and registry is scene.drifting:
            # Schema 1 is no version at all, so both words are true; as of a manifest that is cut.
            both = scene.bad.misbehaviour in {M.SCHEMA_1, M.LENGTH_SHORT}
            right = {"drift", "broken"} if both else {"drift"}
            assert statuses.get((where, "latest")) in right, done
        elif registry is scene.bad and scene.bad.misbehaviour in {*BROKEN, M.LENGTH_SHORT}:
            assert done.returncode == 0 or "broken" in bad, done
        elif registry.at(PATH).tags:
            assert statuses.get((where, "latest")) == "ok", done


def assert_published(scene: Scene, command: str, done: Finished) -> None:
    """All is done, everywhere, and the JSON says so."""
    version, names = {
        "publish_fix": ("1.9.1", ("1.9.1", "1.9")),
        "publish_new": ("2.1.0", ("2.1.0", "2.1", "latest")),
        "build_new": ("2.1.0", ("2.1.0", "2.1", "latest")),
        "publish_blind": ("1.9.1", ("1.9.1", "1.9")),
        "promote_up": ("2.1.0", ("2.1.0", "2.1", "latest")),
    }[command]
    for registry, before in zip(scene.registries, scene.before, strict=True):
        wanted = before | dict.fromkeys(names, scene.digests[version])
        tags = registry.at(PATH).tags
        if command == "publish_blind" and not registry.labels(PATH, before.get("latest", "")):
            # It proved nothing; but one platform of a sparse index may prove its version.
            is_sparse = (
                scene.bad.misbehaviour is M.SPARSE_INDEX and tags["latest"] in before.values()
            )
            wanted["latest"] = before["latest"] if is_sparse else scene.digests[version]
        assert tags == wanted, done
    said = {each["reference"]: each for each in done.json["published"]}
    for registry in scene.registries:
        for name in names:
            if command.startswith("publish") or name != version:
                item = said[f"{registry.address}/{PATH}:{name}"]
                assert item["status"] in {"pushed", "unchanged"}, done
                assert item["digest"] == scene.digests[version], done
