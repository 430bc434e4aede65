"""From a work tree and settings to a plan. Needs git alone."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from releasetag.config import Configuration, Settings
from releasetag.errors import NoReleaseError, UsageError
from releasetag.fanout import PlannedTag, fan_out
from releasetag.git import WorkTree
from releasetag.history import GitTags, read_git_tags, require_known
from releasetag.reference import Reference, Repository
from releasetag.text import printable
from releasetag.version import Release, Version, highest

_REF = "refs/tags/"

# The variables in which CI systems name the git tag that they run for, first match first, with what
# stands before the tag: some name branches as well.
_CI_VARIABLES = {
    "GITHUB_REF": _REF,
    "CI_COMMIT_TAG": "",  # GitLab, Woodpecker, Drone
    "DRONE_TAG": "",
    "CIRCLE_TAG": "",
    "TAG_NAME": "",  # Jenkins
    "BUILD_SOURCEBRANCH": _REF,  # Azure Pipelines
    "BITBUCKET_TAG": "",
    "BUILDKITE_TAG": "",
    "TRAVIS_TAG": "",
}


@dataclass(frozen=True)
class Plan:
    """The fan-out with a decision and a reason for every tag, before anything is done.

    Attributes:
        release: the release to publish.
        tags: in the order of the templates.
        repositories: those to publish to.
        git_tags: what the history was read from.
        history: the releases that count, ignored ones left out.
        settings: of the component, or of the variant, that is published.
        variants: a plan for each variant, the default one first; this one is of all of them then.
            Empty if the component has none.
    """

    release: Release
    tags: tuple[PlannedTag, ...]
    repositories: tuple[Repository, ...]
    git_tags: GitTags
    history: Sequence[Release]
    settings: Settings
    variants: "tuple[Plan, ...]" = ()

    @property
    def images(self) -> "tuple[Plan, ...]":
        """Return a plan for each image that is made: of the variants, or this one."""
        return self.variants or (self,)

    @property
    def subject(self) -> Release:
        """What the image says that it is."""
        return self.release

    @property
    def title(self) -> str:
        """What is published, for a person."""
        return self.release.git_tag

    @property
    def exact(self) -> tuple[PlannedTag, ...]:
        """Return the exact tags to push."""
        return tuple(t for t in self.tags if t.action == "push" and t.kind == "exact")

    @property
    def commit(self) -> tuple[PlannedTag, ...]:
        """The tags that name the commit, to push where they are free."""
        return tuple(t for t in self.tags if t.action == "push" and t.kind == "commit")

    @property
    def floating(self) -> tuple[PlannedTag, ...]:
        """Return the floating tags to push, narrowest scope first: ``1.2`` before ``latest``."""
        pushed = [t for t in self.tags if t.action == "push" and t.kind == "floating"]
        return tuple(sorted(pushed, key=lambda tag: -len(tag.template.fields)))

    @property
    def references(self) -> tuple[Reference, ...]:
        """Return every reference to push, image by image, repository by repository."""
        if self.variants:
            return tuple(each for plan in self.variants for each in plan.references)
        names = [tag.name for tag in self.tags if tag.action == "push"]
        return tuple(r.tagged(name) for r in self.repositories for name in names)


def plan_release(
    tree: WorkTree,
    configuration: Configuration,
    environ: Mapping[str, str],
    warn: Callable[[str], None],
) -> Plan:
    """Plan the release that the settings, the CI system or HEAD name.

    Args:
        environ: the environment, in which CI systems name the git tag.
        warn: called with each warning.

    Raises:
        NoReleaseError: there is no release to plan.
        HistoryError: floating tags would move though the history cannot be known.
        UsageError: a template gives an impossible tag.
    """
    default = configuration.default
    git_tags = read_git_tags(tree, default.history, default.remote)
    release, settings = choose_release(tree, configuration, git_tags, environ)
    refuse_shared_images(configuration, settings)
    plan = plan_for(release, settings, git_tags)
    names = ", ".join(tag.name for tag in plan.floating)
    require_known(git_tags, plan.history, names and f"whether {names} may move", warn)
    return plan


def plan_all(
    tree: WorkTree, configuration: Configuration, warn: Callable[[str], None]
) -> tuple[Plan, ...]:
    """Plan a release of every component: the one at HEAD, else its highest.

    Whatever tag the CI system runs for: a push of many tags may have one run, or none, for each.

    Args:
        warn: called with each warning.

    Raises:
        NoReleaseError: no component has a release.
        HistoryError, UsageError: as of `plan_release`.
    """
    default, head = configuration.default, tree.head()
    if default.git_tag:
        raise UsageError("--all is for every component, and --git-tag names one", "omit one")
    git_tags = read_git_tags(tree, default.history, default.remote)
    plans, warned = [], set[str]()
    for settings in _all_settings(configuration):
        of_component = _counting(
            git_tags.releases(settings.tag_prefix, settings.versions), configuration, settings
        )
        here = [release for release in of_component if release.revision == head]
        release = highest(here or of_component)
        if release is not None:
            refuse_shared_images(configuration, settings)
            plan = plan_for(release, settings, git_tags)
            names = ", ".join(tag.name for tag in plan.floating)
            require_known(git_tags, plan.history, names and f"whether {names} may move", warned.add)
            plans.append(plan)
    for text in sorted(warned):
        warn(text)
    if not plans:
        raise NoReleaseError(
            "no component has a release",
            _advice(tree, configuration, git_tags, "tag the commit: git tag v0.1.0"),
        )
    return tuple(plans)


def refuse_shared_images(configuration: Configuration, settings: Settings) -> None:
    """Raise UsageError if another component would have the same tag in the same repository.

    The one would take the other's image for its own: both say the same version and commit.

    Args:
        settings: of the component to publish.
    """
    own = _templates_by_image(settings)
    for other in _all_settings(configuration):
        if other is settings or other.tag_prefix == settings.tag_prefix:
            continue
        for repository, templates in _templates_by_image(other).items():
            shared = sorted(templates & own.get(repository, set()))
            if shared:
                prefixes = (each.tag_prefix or "v" for each in (settings, other))
                raise UsageError(
                    f"the components {' and '.join(map(repr, prefixes))} would both publish"
                    f" {repository}:{shared[0]}",
                    "give each component its own images, or --tag-prefix to have one component",
                )


def _templates_by_image(settings: Settings) -> dict[Repository, set[str]]:
    found: dict[Repository, set[str]] = {}
    for each in settings.by_variant or (settings,):
        for repository in each.images:
            found.setdefault(repository, set()).update(t.text for t in each.tags)
    return found


def plan_for(release: Release, settings: Settings, git_tags: GitTags) -> Plan:
    """Plan a release whose settings are known, given the git tags.

    Raises:
        UsageError: a template gives an impossible tag, two variants would have one tag, or there is
            no variant of a name that is picked.
    """
    history = settings.releases(git_tags)
    plans = [
        Plan(
            release,
            fan_out(release, history, each.policy),
            each.images,
            git_tags,
            history,
            each,
        )
        for each in settings.each_variant()
    ]
    if not plans[0].settings.variant:
        return plans[0]
    for plan in plans:
        _refuse_shared_tags(plan, settings)
    return Plan(
        release,
        tuple(tag for plan in plans for tag in plan.tags),
        tuple(dict.fromkeys(each for plan in plans for each in plan.repositories)),
        git_tags,
        history,
        settings,
        tuple(plans),
    )


def _refuse_shared_tags(plan: Plan, component: Settings) -> None:
    """Raise UsageError for a tag of a variant that another one may have in the same repository."""
    own = plan.settings
    names = {tag.name: tag for tag in plan.tags}
    for other in component.by_variant:
        if other.variant == own.variant or not {*other.images} & {*plan.repositories}:
            continue
        policy = other.policy
        taken = {
            name: release
            for release in (plan.release, *plan.history)
            for name in (
                *policy.exact_tags(release.version, release.revision, release.git_tag),
                *policy.floating_tags(release.version, release.revision),
            )
            if name in names
        }
        taken |= {
            name: plan.release
            for name, tag in names.items()
            if tag.kind == "floating" and policy.is_reserved(name)
        }
        for name, release in taken.items():
            raise UsageError(
                f"the tag {name!r} of the variant {own.variant!r} could be one of the variant"
                f" {other.variant!r}, of {release.version}",
                "give the variants other suffixes, or other repositories",
            )


def choose_release(
    tree: WorkTree,
    configuration: Configuration,
    git_tags: GitTags,
    environ: Mapping[str, str],
) -> tuple[Release, Settings]:
    """Choose the release to publish, and the settings of its component.

    The first of: the setting ``git_tag``; the tag that the CI system says it runs for; the
    highest release at HEAD.

    Raises:
        NoReleaseError: none of these is a release that counts.
    """
    if name := configuration.default.git_tag:
        return _named_release(tree, configuration, git_tags, name.removeprefix(_REF), "--git-tag")
    if named := ci_git_tag(environ):
        variable, name = named
        return _named_release(tree, configuration, git_tags, name, variable)
    return _release_at_head(tree, configuration, git_tags)


def ci_git_tag(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the git tag that the CI system runs for, behind the variable that names it."""
    for variable, prefix in _CI_VARIABLES.items():
        value = environ.get(variable, "")
        if value.startswith(prefix) and (name := value.removeprefix(prefix)):
            return variable, name
    return None


def _named_release(
    tree: WorkTree, configuration: Configuration, git_tags: GitTags, name: str, where: str
) -> tuple[Release, Settings]:
    shown = f"{printable(name, 100)!r}"
    settings = configuration.of(name)
    if settings is None:
        raise NoReleaseError(
            f"the git tag {shown} (from {where}) is not a version behind the tag prefix",
            _advice(tree, configuration, git_tags, "name a release, such as v1.2.3"),
        )
    commit = git_tags.commits.get(name)
    if commit is None:
        raise NoReleaseError(
            f"there is no git tag {shown} (from {where})",
            _advice(tree, configuration, git_tags, f"fetch it: git fetch origin tag {name}"),
        )
    releases = git_tags.releases_at(commit, settings.tag_prefix, settings.versions)
    for release in settings.policy.counted(releases):
        if release.git_tag == name:
            return release, settings
    raise NoReleaseError(
        f"the release {shown} is ignored (yanked) by the settings",
        "take it out of `ignore`, or publish another release",
    )


def _release_at_head(
    tree: WorkTree, configuration: Configuration, git_tags: GitTags
) -> tuple[Release, Settings]:
    revision = tree.head()
    here = [
        (release, settings)
        for settings in _all_settings(configuration)
        for release in _counting(
            git_tags.releases_at(revision, settings.tag_prefix, settings.versions),
            configuration,
            settings,
        )
    ]
    if len({settings.tag_prefix for _, settings in here}) > 1:
        names = ", ".join(sorted(release.git_tag for release, _ in here))
        raise UsageError(
            f"HEAD holds releases of several components: {names}",
            "name the one to publish with --git-tag, or publish each with --all",
        )
    release = highest(release for release, _ in here)
    if release is None:
        raise NoReleaseError(
            f"no version tag at HEAD ({revision[:7]})",
            _advice(tree, configuration, git_tags, "tag the commit: git tag v0.1.0"),
        )
    return release, here[0][1]


def _all_settings(configuration: Configuration) -> tuple[Settings, ...]:
    return (configuration.default, *configuration.components)


def _counting(
    releases: Iterable[Release], configuration: Configuration, settings: Settings
) -> list[Release]:
    """Return the releases that belong to a component and are not ignored."""
    return [
        release
        for release in settings.policy.counted(releases)
        if configuration.of(release.git_tag) is settings
    ]


def _advice(tree: WorkTree, configuration: Configuration, git_tags: GitTags, otherwise: str) -> str:
    """Return what to do where there is no release: names the nearest one, if there is any."""
    # Of several at one commit the highest, component by component: their versions may be of
    # schemes that cannot be compared.
    commits = {
        release.revision: release
        for settings in _all_settings(configuration)
        for release in sorted(
            _counting(
                git_tags.releases(settings.tag_prefix, settings.versions), configuration, settings
            ),
            key=lambda release: release.version,
        )
    }
    nearest = tree.nearest(tree.head(), commits) if commits else None
    if nearest is None:
        return otherwise
    revision, distance = nearest
    git_tag = commits[revision].git_tag
    if not distance:
        return f"the release at HEAD is {git_tag}: --git-tag {git_tag} names it"
    behind = f"{distance} commit{'s' * (distance != 1)} back"
    return (
        f"the nearest release is {git_tag}, {behind}: tag this commit with git tag, or run at that"
        f" one: git checkout {git_tag}"
    )


def release_of(version: Version, history: Iterable[Release]) -> Release:
    """Return the release of a version; one without git tag and commit if the history has none."""
    known = (release for release in history if release.version == version)
    return next(known, Release("", version, ""))
