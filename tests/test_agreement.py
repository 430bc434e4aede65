"""Plan, publish, verify and promote agree with one second reading of the rule.

Over histories with build metadata and prereleases, of which versions are yanked, tags deleted, and
tags moved by hand. The registries are fakes in memory (tests/support/world.py).
"""

from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from releasetag.errors import ConflictError, NoReleaseError, ReleasetagError, UsageError
from releasetag.promote import plan_promotion, promote_release
from releasetag.registry import Registries
from releasetag.verify import verify_repositories
from releasetag.version import Scheme
from tests import oracle
from tests.support.examples import examples
from tests.support.world import Direct, FakeRegistry, Runner, World

TEMPLATES = ("{version}", "{major}.{minor}", "{major}{minor}", "latest", "{channel}")
VERSIONS = (
    "0.9.0",
    "1.2.3",
    "1.2.3+9",
    "1.2.3+10",
    "1.2.4-rc.2",
    "1.2.4-rc.10",
    "1.11.0",
    "11.1.0",
)
# Few in one run, so that the same version is published, deleted and promoted again and again.
numbers = st.integers(0, 2)


def exact(version: str) -> str:
    """The exact tag of a version."""
    return version.replace("+", "_").replace("!", "-")


class Agreement(RuleBasedStateMachine):
    """What people do to one component, and what the commands have to make of it."""

    scheme: Scheme = "semver"
    templates: tuple[str, ...] = TEMPLATES
    known: tuple[str, ...] = VERSIONS

    def __init__(self) -> None:
        super().__init__()
        self.world = World(templates=self.templates, scheme=self.scheme)
        self.count = 0
        self.versions: list[str] = []

    @initialize(hosts=st.integers(1, 2), order=st.permutations(range(len(VERSIONS))))
    def begin(self, hosts: int, order: list[int]) -> None:
        self.versions = [self.known[number] for number in order[:3]]
        self.world.registries = {f"{number}.test": FakeRegistry() for number in range(hosts)}

    # What people do -------------------------------------------------------------------------------

    @rule(order=st.permutations([0, 1, 2]))
    def publish_all(self, order: list[int]) -> None:
        for number in order:
            self.publish(number)

    @rule(number=numbers)
    def tag(self, number: int) -> None:
        self.tag_version(self.versions[number])

    def tag_version(self, version: str) -> None:
        self.world.commits.setdefault(f"v{version}", f"{self.known.index(version) + 1:040x}")

    @precondition(lambda self: any(r.tags for r in self.world.registries.values()))
    @rule(data=st.data())
    def delete_tag(self, data: st.DataObject) -> None:
        """Somebody deletes a tag in one registry, or everywhere."""
        some = data.draw(st.sampled_from([r for r in self.world.registries.values() if r.tags]))
        name = data.draw(st.sampled_from(sorted(some.tags)))
        for registry in data.draw(st.sampled_from([[some], list(self.world.registries.values())])):
            registry.tags.pop(name, None)

    @precondition(lambda self: any(r.tags for r in self.world.registries.values()))
    @rule(data=st.data())
    def move_tag_by_hand(self, data: st.DataObject) -> None:
        """Somebody moves a floating tag to the image of any version that chooses it."""
        registry = data.draw(st.sampled_from([r for r in self.world.registries.values() if r.tags]))
        digest = data.draw(st.sampled_from(sorted(set(registry.tags.values()))))
        name = data.draw(st.sampled_from(sorted(self.names(registry.version(digest)))))
        registry.tags[name] = digest

    @precondition(lambda self: any(r.tags for r in self.world.registries.values()))
    @rule(number=numbers)
    def delete_exact_tag(self, number: int) -> None:
        for registry in self.world.registries.values():
            registry.tags.pop(exact(self.versions[number]), None)

    @rule(number=numbers)
    def yank(self, number: int) -> None:
        self.world.ignore ^= {self.versions[number]}

    # What the commands make of it -----------------------------------------------------------------

    @rule(number=numbers)
    def publish(self, number: int) -> None:
        version = self.versions[number]
        self.tag_version(version)
        if version in self.world.ignore:
            return
        before = {host: dict(r.tags) for host, r in self.world.registries.items()}
        known = self.images_of(version)
        self.count += 1
        runner = Runner(self.world, f"v{version}", f"build {self.count}").finish()
        if len(known) > 1:
            assert isinstance(runner.error, ConflictError)
            assert before == {host: r.tags for host, r in self.world.registries.items()}
            return
        assert runner.error is None, runner.error
        (digest,) = {r.tags[exact(version)] for r in self.world.registries.values()}
        assert known <= {digest}, "a published version was built again"
        history = self.history()
        for host, registry in self.world.registries.items():
            for name in self.names(version):
                top = self.holder(name, history)
                was, now = before[host].get(name), registry.tags.get(name)
                if top == version:
                    assert now == digest, name
                elif now != was:
                    # It named this release, and a higher one is published: it is given that.
                    assert was == digest, name
                    assert now is not None
                    assert self.is_higher(registry.version(now), version), name

    @rule(number=numbers, allow_downgrade=st.booleans())
    def promote(self, number: int, allow_downgrade: bool) -> None:
        version = self.versions[number]
        self.tag_version(version)
        before = {host: dict(r.tags) for host, r in self.world.registries.items()}
        error: ReleasetagError | None = None
        try:
            self.run_promote(version, allow_downgrade=allow_downgrade)
        except ReleasetagError as raised:
            error = raised
        everywhere = [self.image_of(version, r) for r in self.world.registries.values()]
        if version in self.world.ignore or None in everywhere:
            assert isinstance(error, NoReleaseError | UsageError), error
        elif len(set(everywhere)) > 1 or (self.moves_down(version, before) and not allow_downgrade):
            assert isinstance(error, ConflictError), error
        else:
            assert error is None, error
            for registry in self.world.registries.values():
                assert {registry.tags[name] for name in self.names(version)} == {everywhere[0]}
            return
        assert before == {host: r.tags for host, r in self.world.registries.items()}

    @rule()
    def verify(self) -> None:
        settings = self.world.settings
        history = self.world.history
        with Registries(lambda _: None, {}, transport=Direct(self.world)) as registries:
            verified = verify_repositories(registries, settings, history)
        for each in verified:
            registry = self.world.registries[each.repository.registry]
            found = {tag.name: tag for tag in each.tags}
            published = [v for v in self.history() if self.image_of(v, registry)]
            for name in {name for version in published for name in self.names(version)}:
                expected = self.holder(name, published)
                digest = registry.tags.get(name)
                tag = found[name]
                if digest is None:
                    top = self.holder(name, self.history())
                    assert tag.status == ("missing" if top == expected else "unpublished")
                    assert tag.expected == (expected if top == expected else top)
                else:
                    actual = registry.version(digest)
                    right = actual == expected and digest == self.image_of(actual, registry)
                    assert tag.status in ({"ok", "differs"} if right else {"drift"}), tag
                    assert tag.expected == expected
            for version in self.history():
                if exact(version) not in registry.tags:
                    gone = version in published
                    assert found[exact(version)].status == ("missing" if gone else "unpublished")

    # The second reading ---------------------------------------------------------------------------

    def read(self, version: str) -> oracle.Version:
        return oracle.read_version(version, self.scheme)

    def names(self, version: str) -> set[str]:
        """The floating tags of a version."""
        return oracle.floating_names(self.templates, self.read(version))

    def holder(self, name: str, among: Iterable[str]) -> str | None:
        """The version that a floating tag is to name if these are published."""
        top = oracle.holder(name, self.templates, map(self.read, among))
        return top.text if top else None

    def is_higher(self, one: str, other: str) -> bool:
        return self.read(one).order > self.read(other).order

    def history(self) -> list[str]:
        """The versions that are tagged and not yanked."""
        tagged = [name.removeprefix("v") for name in self.world.commits]
        return [version for version in tagged if version not in self.world.ignore]

    def image_of(self, version: str, registry: FakeRegistry) -> str | None:
        """The image of a version in a registry: its exact tag's, or else a floating tag's of it."""
        if exact(version) in registry.tags:
            return registry.tags[exact(version)]
        named = [registry.tags[name] for name in self.names(version) if name in registry.tags]
        return next((d for d in named if registry.version(d) == version), None)

    def images_of(self, version: str) -> set[str]:
        """The images of a version: where its exact tag is, or else a floating tag that names it."""
        all_tags = [r.tags for r in self.world.registries.values()]
        by_exact = {tags[exact(version)] for tags in all_tags if exact(version) in tags}
        if by_exact:
            return by_exact
        return {
            tags[name]
            for registry in self.world.registries.values()
            for tags in [registry.tags]
            for name in self.names(version)
            if name in tags and registry.version(tags[name]) == version
        }

    def moves_down(self, version: str, before: dict[str, dict[str, str]]) -> bool:
        """Whether a tag of this version proves to name a higher one that counts."""
        for host, tags in before.items():
            registry = self.world.registries[host]
            for name in self.names(version) & tags.keys():
                now = registry.version(tags[name])
                proven = tags.get(exact(now), tags[name]) == tags[name]
                if proven and now not in self.world.ignore and self.is_higher(now, version):
                    return True
        return False

    def run_promote(self, version: str, *, allow_downgrade: bool) -> None:
        settings = self.world.settings
        releases = self.world.git_tags.releases(None, self.scheme)
        (release,) = [each for each in releases if str(each.version) == version]
        with Registries(lambda _: None, {}, transport=Direct(self.world)) as registries:
            plan = plan_promotion(
                registries,
                settings,
                release,
                self.world.history,
                warn=lambda _: None,
                allow_downgrade=allow_downgrade,
            )
            promote_release(
                registries,
                plan,
                lambda: self.world.history,
                report=lambda _: None,
                warn=lambda _: None,
                allow_downgrade=allow_downgrade,
            )


class AgreementOfPep440(Agreement):
    """The same for versions of PEP 440."""

    scheme: Scheme = "pep440"
    known = (
        "0.9.0",
        "1.2.0.dev3",
        "1.2.0rc1",
        "1.2.3",
        "1.2.3+5",
        "1.2.3.post1",
        "1.11.0",
        "1!0.1",
    )


class AgreementOfLoose(Agreement):
    """The same for loose versions, of which some have two numbers."""

    scheme: Scheme = "loose"
    templates = ("{version}", "v{major}.{minor}", "{minor}-{patch}", "latest", "{channel}")
    known = ("0.9.0", "1.2", "1.2-1", "1.2.3", "1.2.3-2", "1.2.3-10", "2024.01.05", "1.10.0.7")


TestAgreement = Agreement.TestCase
TestAgreement.settings = settings(max_examples=examples(200, quick=4), stateful_step_count=30)
TestAgreementOfPep440 = AgreementOfPep440.TestCase
TestAgreementOfPep440.settings = settings(
    max_examples=examples(60, quick=2), stateful_step_count=20
)
TestAgreementOfLoose = AgreementOfLoose.TestCase
TestAgreementOfLoose.settings = settings(max_examples=examples(60, quick=2), stateful_step_count=20)
