"""From a work tree and settings to a plan. Needs git alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from releasetag.config import Configuration, Settings
from releasetag.errors import HistoryError, NoReleaseError, UsageError
from releasetag.fanout import PlannedTag, fan_out
from releasetag.history import (
    GitTags,
    WorkTree,
    head,
    nearest_release,
    read_git_tags,
)
from releasetag.reference import Reference, Repository
from releasetag.version import Release, Version, highest

_REF = "refs/tags/"

# Where CI systems say which git tag they run for, in the order in which they are asked, and what
# stands before the tag there: some variables name branches as well.
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
        release: what is to be published.
        tags: in the order of the templates.
        repositories: where to.
        git_tags: what the history was read from.
        history: the releases that count, ignored ones left out.
        settings: of the component that the release belongs to.
    """

    release: Release
    tags: tuple[PlannedTag, ...]
    repositories: tuple[Repository, ...]
    git_tags: GitTags
    history: tuple[Release, ...]
    settings: Settings

    @property
    def exact(self) -> tuple[PlannedTag, ...]:
        """The exact tags to push."""
        return tuple(t for t in self.tags if t.action == "push" and t.kind == "exact")

    @property
    def commit(self) -> tuple[PlannedTag, ...]:
        """The tags that name the commit, to push where they are free."""
        return tuple(t for t in self.tags if t.action == "push" and t.kind == "commit")

    @property
    def floating(self) -> tuple[PlannedTag, ...]:
        """The floating tags to push, the narrowest scope first: ``1.2`` before ``latest``."""
        pushed = [t for t in self.tags if t.action == "push" and t.kind == "floating"]
        return tuple(sorted(pushed, key=lambda tag: -len(tag.template.fields)))

    @property
    def references(self) -> tuple[Reference, ...]:
        """Every reference to push, repository by repository."""
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
        tree: the work tree.
        configuration: the settings of every component.
        environ: the environment, in which CI systems name the git tag.
        warn: told what a person should know and the plan can live with.

    Raises:
        NoReleaseError: there is no release to plan.
        HistoryError: floating tags would move though the history cannot be known.
        UsageError: a template gives an impossible tag.
    """
    default = configuration.default
    git_tags = read_git_tags(tree, default.history, default.remote)
    release, settings = choose_release(tree, configuration, git_tags, environ)
    plan = plan_for(release, settings, git_tags)
    if git_tags.unknown:
        _check_known(plan, warn)
    return plan


def plan_for(release: Release, settings: Settings, git_tags: GitTags) -> Plan:
    """The plan for a release, given what git says."""
    history = settings.policy.counted(git_tags.releases(settings.tag_prefix))
    tags = fan_out(release, history, settings.policy)
    return Plan(release, tags, settings.images, git_tags, history, settings)


def choose_release(
    tree: WorkTree,
    configuration: Configuration,
    git_tags: GitTags,
    environ: Mapping[str, str],
) -> tuple[Release, Settings]:
    """The release to publish, and the settings of the component that it belongs to.

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
    """The git tag that the CI system says it runs for, behind the variable that says so."""
    for variable, prefix in _CI_VARIABLES.items():
        value = environ.get(variable, "")
        if value.startswith(prefix) and (name := value.removeprefix(prefix)):
            return variable, name
    return None


def _named_release(
    tree: WorkTree, configuration: Configuration, git_tags: GitTags, name: str, where: str
) -> tuple[Release, Settings]:
    settings = configuration.of(name)
    if settings is None:
        raise NoReleaseError(
            f"the git tag {name!r} (from {where}) is not a version behind the tag prefix",
            _advice(tree, configuration, git_tags, "name a release, such as v1.2.3"),
        )
    commit = git_tags.commits.get(name)
    if commit is None:
        raise NoReleaseError(
            f"there is no git tag {name!r} (from {where})",
            _advice(tree, configuration, git_tags, f"fetch it: git fetch origin tag {name}"),
        )
    for release in settings.policy.counted(git_tags.releases(settings.tag_prefix)):
        if release.git_tag == name:
            return release, settings
    raise NoReleaseError(
        f"the release {name!r} is ignored (yanked) by the settings",
        "take it out of `ignore`, or publish another release",
    )


def _release_at_head(
    tree: WorkTree, configuration: Configuration, git_tags: GitTags
) -> tuple[Release, Settings]:
    revision = head(tree)
    here = [each for each in _releases(configuration, git_tags) if each[0].revision == revision]
    if len({settings.tag_prefix for _, settings in here}) > 1:
        names = ", ".join(sorted(release.git_tag for release, _ in here))
        raise UsageError(
            f"HEAD holds releases of several components: {names}",
            "name the one to publish with --git-tag",
        )
    release = highest(release for release, _ in here)
    if release is None:
        raise NoReleaseError(
            f"no version tag at HEAD ({revision[:7]})",
            _advice(tree, configuration, git_tags, "tag the commit: git tag v0.1.0"),
        )
    return release, here[0][1]


def _releases(
    configuration: Configuration, git_tags: GitTags
) -> Iterator[tuple[Release, Settings]]:
    """All releases that count, with the settings of the component that each belongs to."""
    for settings in (configuration.default, *configuration.components):
        for release in settings.policy.counted(git_tags.releases(settings.tag_prefix)):
            if configuration.of(release.git_tag) is settings:
                yield release, settings


def _advice(tree: WorkTree, configuration: Configuration, git_tags: GitTags, otherwise: str) -> str:
    """What to do where there is no release: names the nearest one, if there is any."""
    releases = [release for release, _ in _releases(configuration, git_tags)]
    commits = {r.revision: r for r in sorted(releases, key=lambda r: r.version)}
    nearest = nearest_release(tree, commits, head(tree)) if commits else None
    if nearest is None:
        return otherwise
    release, distance = nearest
    if not distance:
        return f"the release at HEAD is {release.git_tag}: --git-tag {release.git_tag} names it"
    behind = f"{distance} commit{'s' * (distance != 1)} back"
    return (
        f"the nearest release is {release.git_tag}, {behind}: tag this commit with git tag, or"
        f" run at that one: git checkout {release.git_tag}"
    )


def _check_known(plan: Plan, warn: Callable[[str], None]) -> None:
    """Go on with local tags only where they can be all there are."""
    git_tags = plan.git_tags
    others = any(r.version != plan.release.version for r in plan.history)
    if not plan.floating or (others and not git_tags.shallow):
        warn(f"{git_tags.unknown}; going on with the local tags")
        return
    why = "the clone is shallow" if git_tags.shallow else "this clone knows no other release"
    names = ", ".join(tag.name for tag in plan.floating)
    raise HistoryError(
        f"{git_tags.unknown}, and {why}: whether {names} may move cannot be known",
        "make the remote readable, or say that the local tags are all there are: --history local",
    )


def release_of(version: Version, history: Iterable[Release]) -> Release:
    """Return the release of a version; one without git tag and commit if the history has none."""
    known = (release for release in history if release.version == version)
    return next(known, Release("", version, ""))
