"""Check what a publish needs, before there is something to publish. Changes nothing.

Whether an account may push is asked as crane asks it: an upload is started, and cancelled.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from releasetag.config import Configuration, Settings
from releasetag.errors import EngineError, NoReleaseError, ReleasetagError
from releasetag.findings import Finding, FindingStatus
from releasetag.git import WorkTree
from releasetag.git_changes import changed_files
from releasetag.history import GitTags, read_git_tags
from releasetag.image import Tools
from releasetag.image.builders import run_buildx
from releasetag.parallel import map_parallel
from releasetag.plan import choose_release, plan_for, refuse_shared_images
from releasetag.reference import Repository
from releasetag.version import highest

_BINFMT = Path("/proc/sys/fs/binfmt_misc")
# The names that qemu's emulators have there.
_EMULATORS = {
    "amd64": "x86_64", "arm64": "aarch64", "arm": "arm", "386": "i386", "ppc64le": "ppc64le",
    "s390x": "s390x", "riscv64": "riscv64",
}  # fmt: skip

# Docker Hub, ECR, Artifact Registry, ACR, Quay. Harbor and GitLab have any name.
_HAS_RULES = re.compile(
    r"(^|\.)docker\.io$|\.dkr\.ecr\..*\.amazonaws\.com|-docker\.pkg\.dev$|\.azurecr\.io$|^quay\.io$"
)


def examine(
    tree: WorkTree,
    configuration: Configuration,
    tools: Tools,
    binfmt: Path = _BINFMT,
) -> Iterator[Finding]:
    """Check git, settings, engine, builders and registries, one after another.

    Args:
        binfmt: where the kernel lists emulators.
    """
    yield from _git(tree, configuration, tools.environ)
    publishable = [each for each in configuration.all() if each.all_images]
    # What is built: each variant, or the component.
    built = [image for each in publishable for image in each.by_variant or (each,)]
    if not publishable:
        yield Finding(
            "images",
            "problem",
            "no image is given",
            "name one with --image, in RELEASETAG_IMAGES or as images in releasetag.toml",
        )
    yield from _engine(built, tools, binfmt)
    yield from _buildx(built, tools.environ)
    repositories = dict.fromkeys(
        repository for settings in publishable for repository in settings.all_images
    )
    jobs = configuration.default.jobs
    for _, found in map_parallel(lambda each: _repository(tools, each), list(repositories), jobs):
        yield from found
    for repository in repositories:
        tags = dict.fromkeys(
            template.text
            for each in built
            if repository in each.images
            for template in each.tags
            if template.kind == "floating"
        )
        yield from _immutability(repository, list(tags))


def _problem(subject: str, error: ReleasetagError, status: FindingStatus = "problem") -> Finding:
    return Finding(subject, status, error.message, error.hint)


def _git(
    tree: WorkTree, configuration: Configuration, environ: Mapping[str, str]
) -> Iterator[Finding]:
    try:
        yield Finding("work tree", "ok", f"{tree.root} at {tree.head()[:7]}")
        git_tags = read_git_tags(tree, configuration.default.history, configuration.default.remote)
    except ReleasetagError as error:
        yield _problem("git", error)
        return
    changed = changed_files(tree)
    if changed:
        count = f"{len(changed)} tracked file{'s are' if len(changed) > 1 else ' is'} changed"
        yield Finding("work tree", "note", count, "publish wants a clean one: commit or stash")
    yield _history(git_tags)
    for settings in configuration.all():
        releases = settings.releases(git_tags)
        top = highest(releases)
        if top is not None:
            known = f"{len(releases)} release{'s' * (len(releases) != 1)}"
            yield Finding("releases", "ok", f"{known}, the highest is {top.git_tag}")
        elif settings.all_images:
            prefix = "v" if settings.tag_prefix is None else settings.tag_prefix
            tag = f"{prefix}0.1.0"
            yield Finding("releases", "note", "there is none yet", f"tag a commit: git tag {tag}")
    yield from _plan(tree, configuration, git_tags, environ)


def _history(git_tags: GitTags) -> Finding:
    if git_tags.unknown:
        status: FindingStatus = "problem" if git_tags.shallow else "note"
        what = f"{git_tags.unknown}{', and the clone is shallow' if git_tags.shallow else ''}"
        return Finding("history", status, what, "floating tags may not move: see --history")
    source = f"the git remote {git_tags.remote} and the clone"
    if git_tags.source == "local":
        source = "the clone alone"
    return Finding("history", "ok", f"read from {source}")


def _plan(
    tree: WorkTree,
    configuration: Configuration,
    git_tags: GitTags,
    environ: Mapping[str, str],
) -> Iterator[Finding]:
    try:
        release, settings = choose_release(tree, configuration, git_tags, environ)
        refuse_shared_images(configuration, settings)
        plan = plan_for(release, settings, git_tags)
    except NoReleaseError as error:
        yield _problem("release", error, "note")
    except ReleasetagError as error:
        yield _problem("release", error)
    else:
        names = ", ".join(tag.name for tag in plan.tags if tag.action == "push")
        yield Finding("release", "ok", f"{release.git_tag} would be published as {names}")


def _engine(built: list[Settings], tools: Tools, binfmt: Path) -> Iterator[Finding]:
    try:
        engine = tools.connect()
    except EngineError as error:
        # A builder elsewhere, and a release that is published, need none.
        away = built and all(each.builder.startswith("buildx:") for each in built)
        yield _problem("engine", error, "note" if away else "problem")
        return
    name = {"docker": "Docker", "podman": "Podman"}[engine.kind]
    builds = "BuildKit" if engine.has_buildkit else "no BuildKit: no secrets, no SSH"
    yield Finding(
        "engine",
        "ok" if engine.has_buildkit else "note",
        f"{name} {engine.version} at {engine.address}, {engine.os}/{engine.arch}, {builds}",
    )
    native = engine.arch
    wanted = {platform for each in built for platform in each.platforms}
    for platform in sorted(wanted):
        architecture = platform.split("/")[1]
        if architecture == native:
            yield Finding(platform, "ok", "is the engine's own")
        elif not engine.address.startswith(("unix:", "http+unix:")):
            yield Finding(platform, "note", "needs an emulator where the engine runs")
        elif (binfmt / f"qemu-{_EMULATORS.get(architecture, architecture)}").exists():
            yield Finding(platform, "ok", "is emulated")
        else:
            yield Finding(
                platform,
                "note",
                "no emulator is installed: RUN steps fail",
                "docker run --privileged --rm tonistiigi/binfmt --install all, or a native runner"
                " with --part",
            )


def _buildx(built: list[Settings], environ: Mapping[str, str]) -> Iterator[Finding]:
    asked = [each for each in built if each.needs_buildx or each.builder.startswith("buildx")]
    version = run_buildx(environ, "version")
    if version is None:
        if asked:
            option = asked[0].needs_buildx or f"--builder {asked[0].builder}"
            text = f"docker buildx is not installed, and {option} needs it"
            yield Finding("buildx", "problem", text, "install docker-buildx-plugin")
        return
    number = re.search(r"\bv?[0-9]+\.[0-9]+\S*", version)
    for name in dict.fromkeys(each.builder.partition(":")[2] for each in asked or built):
        found = run_buildx(environ, "inspect", *([name] if name else []))
        fields = dict(re.findall(r"^(\w+):\s*(\S+)", found or "", re.MULTILINE))
        platforms = re.search(r"^\s*Platforms:[ \t]*(\S.*)$", found or "", re.MULTILINE)
        if found is None:
            yield Finding(
                "buildx",
                "problem" if asked else "note",
                f"the builder {name or 'in use'} cannot be inspected",
                "see docker buildx ls",
            )
            continue
        named = f"builder {fields.get('Name', name)} by {fields.get('Driver', '?')}"
        on = f", for {platforms[1].strip()}" if platforms else ""
        yield Finding("buildx", "ok", f"{number[0] if number else '?'}, {named}{on}")


def _repository(tools: Tools, repository: Repository) -> list[Finding]:
    name = str(repository)

    def checked(check: Callable[[], Finding]) -> Finding:
        try:
            return check()
        except ReleasetagError as error:
            return _problem(name, error)

    def tags() -> Finding:
        found = tools.registries.tags(repository)
        if found is None:
            text = f"{repository.registry} does not list tags: a release that git does not know"
            return Finding(name, "note", f"{text} cannot be seen there")
        if not found.names:
            return Finding(name, "ok", "has no tag yet, or is not there yet")
        return Finding(name, "ok", f"has {len(found.names)} tag{'s' * (len(found.names) != 1)}")

    def push() -> Finding:
        login = tools.credentials.find(repository.registry)
        tools.registries.check_push(repository)
        return Finding(name, "ok", f"may be pushed to {'with' if login else 'without'} credentials")

    listed, pushed = checked(tags), checked(push)
    # What cannot be reached, or not without a login, is said once.
    is_all = pushed.status == "problem" and listed.status != "ok"
    return [pushed] if is_all else [listed, pushed]


def _immutability(repository: Repository, floating: Sequence[str]) -> Iterator[Finding]:
    """Say where tags may be immutable by a rule, which no registry can be asked for."""
    if floating and _HAS_RULES.search(repository.registry):
        yield Finding(
            str(repository),
            "note",
            "may have a rule that makes tags immutable, which cannot be asked for",
            f"exempt the floating tags from it: {', '.join(floating)}",
        )


def worst(findings: list[Finding]) -> int:
    """Return the exit code: 1 if there is a problem."""
    return 1 if any(each.status == "problem" for each in findings) else 0
