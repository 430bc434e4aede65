"""Find what a project has: its remote, Dockerfiles, git tags and workflows. Changes nothing."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from releasetag.errors import UsageError
from releasetag.git import WorkTree
from releasetag.history import read_git_tags
from releasetag.reference import parse_repository
from releasetag.remote_url import web_url
from releasetag.version import SCHEMES, Release, Releases, Scheme, highest

_DOCKERFILE = re.compile(r"(?:Dockerfile|Containerfile)(?:[._-]([A-Za-z0-9][A-Za-z0-9._-]*))?")
_BEFORE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\.(?:Dockerfile|Containerfile)")
# What is no Dockerfile though it is called so, and what is built for no user.
_NO_SUFFIX = {"dockerignore", "j2", "jinja", "tmpl", "tpl", "template", "in", "md", "erb", "bak"}
_OF_DEVELOPERS = {
    *("ci", "debug", "dev", "devcontainer", "development", "e2e", "lint", "local", "test"),
    *("tests", "builder", "base"),
}
_NO_FOLDERS = {
    *("ci", "dev", "doc", "docs", "e2e", "example", "examples", "fixtures", "hack", "node_modules"),
    *("sample", "samples", "script", "scripts", "test", "testdata", "tests", "third_party"),
    *("tools", "vendor"),
}
# Folders that are no project of their own: what they hold is built from the top.
_OF_BUILDS = {"build", "container", "deploy", "deployment", "docker", "package", "packaging"}
_PREFIXED = re.compile(r"([A-Za-z0-9/@_.-]*?[A-Za-z/@_.-])[0-9]+(?:\.[0-9]+)+\S*")
_PEP440_ONLY = re.compile(r"[0-9](?:a|b|rc)[0-9]|\.(?:post|dev)[0-9]")


@dataclass(frozen=True)
class Dockerfile:
    """A Dockerfile for users.

    Attributes:
        path: from the top of the work tree.
        variant: what its name adds: ``alpine`` of ``Dockerfile.alpine``.
    """

    path: PurePosixPath
    variant: str

    @property
    def folder(self) -> PurePosixPath:
        """Where what it builds is: not in a folder that is for building alone."""
        parent = self.path.parent
        return parent.parent if parent.name.lstrip(".") in _OF_BUILDS else parent


@dataclass(frozen=True)
class Tags:
    """How git tags name versions.

    Attributes:
        prefix: None: an optional ``v``.
        releases: all that are read so.
    """

    prefix: str | None
    scheme: Scheme
    releases: tuple[Release, ...]

    @property
    def lines(self) -> list[str]:
        """The lines of releases, such as ``1.9``, the lowest first."""
        ordered = sorted(self.releases, key=lambda each: each.version)
        return list(dict.fromkeys(".".join(each.version.numbers[:2]) for each in ordered))

    @property
    def summary(self) -> str:
        """What is known of them, for a person."""
        top = highest(self.releases)
        if top is None:
            return "no release is known yet"
        count, lines = len(self.releases), self.lines
        shown = ", ".join(["…", *lines[-6:]] if len(lines) > 6 else lines)
        plural = "s" * (count != 1)
        return f"{count} release{plural} known, the highest is {top.git_tag}; lines: {shown}"


@dataclass(frozen=True)
class Survey:
    """What a project has.

    Attributes:
        host: of the remote: ``github.com``; empty if there is none.
        path: of the project there: ``Acme/App``.
        files: all files that git knows or would know, from the top.
        git_tags: the names of all git tags, with their commits.
        default_branch: of the remote; ``main`` if that is not known.
        notes: what could not be found out.
    """

    root: Path
    host: str
    path: str
    files: tuple[PurePosixPath, ...]
    git_tags: dict[str, str]
    default_branch: str
    notes: tuple[str, ...]

    @property
    def image(self) -> str:
        """A first repository: in the registry beside the remote, if there is one."""
        path = self.path.lower()
        if self.host == "github.com":
            wanted = f"ghcr.io/{path}"
        elif self.host == "gitlab.com":
            wanted = f"registry.gitlab.com/{path}"
        elif is_forgejo(self.host):
            wanted = f"{self.host}/{path}"
        else:
            wanted = path if path.count("/") == 1 else ""
        try:
            return str(parse_repository(wanted)) if "/" in path else "acme/app"
        except UsageError:
            return "acme/app"

    @cached_property
    def dockerfiles(self) -> tuple[Dockerfile, ...]:
        """The Dockerfiles for users, the topmost first."""
        found = [each for file in self.files if (each := _dockerfile(file)) is not None]
        return tuple(sorted(found, key=lambda each: (len(each.path.parts), str(each.path))))

    @property
    def workflows(self) -> tuple[PurePosixPath, ...]:
        """The workflows of GitHub Actions."""
        folder = PurePosixPath(".github/workflows")
        return tuple(
            file
            for file in self.files
            if file.parent == folder and file.suffix in {".yml", ".yaml"}
        )

    def tags(self, prefixes: Sequence[str | None]) -> Tags:
        """Read the git tags behind the prefix and by the scheme that most of them fit.

        Args:
            prefixes: those that may be; of equals the first counts.
        """
        found = [self._tags(prefix) for prefix in prefixes]
        return max(found, key=lambda each: len(each.releases))

    def _tags(self, prefix: str | None) -> Tags:
        read = {scheme: Releases(self.git_tags, prefix, scheme) for scheme in SCHEMES}
        semver, pep440, loose = (read[scheme] for scheme in ("semver", "pep440", "loose"))
        scheme: Scheme = "semver"
        if any(_PEP440_ONLY.search(name) for name in {r.git_tag for r in pep440}) and len(
            pep440
        ) > len(semver):
            scheme = "pep440"
        elif len([each for each in loose if each.git_tag not in self._lines]) > 2 * len(semver):
            scheme = "loose"
        return Tags(prefix, scheme, tuple(read[scheme]))

    @cached_property
    def _lines(self) -> frozenset[str]:
        """What git tags begin with: v1 and v1.2 beside v1.2.3 move, and are no releases."""
        starts = (itertools.accumulate(name.split("."), "{}.{}".format) for name in self.git_tags)
        return frozenset(start for name in starts for start in list(name)[:-1])

    @cached_property
    def prefixes(self) -> tuple[str, ...]:
        """What stands before a version in git tags, besides an optional v: the commonest first."""
        counted = Counter(
            match[1] for name in self.git_tags if (match := _PREFIXED.fullmatch(name))
        )
        return tuple(prefix for prefix, _ in counted.most_common() if prefix not in {"", "v"})


def survey(tree: WorkTree) -> Survey:
    """Find what a project has."""
    notes = []
    remote = "origin"
    names = tree.remotes()
    if remote not in names and len(names) == 1:
        remote = names[0]
    url = urlsplit(web_url(tree.remote_url(remote) or ""))
    commits = dict(read_git_tags(tree, "local", remote).commits)
    if tree.shallow and not commits:
        notes.append("this clone is shallow and has no git tag: their names are taken to be v1.2.3")
    return Survey(
        tree.root,
        url.netloc,
        url.path.strip("/"),
        tuple(map(PurePosixPath, sorted(tree.files()))),
        commits,
        tree.known_default_branch(remote) or "main",
        tuple(notes),
    )


def is_forgejo(host: str) -> bool:
    """Whether a host is one of Forgejo or Gitea, whose registry has the same name."""
    return host == "codeberg.org" or bool(re.search(r"(?:^|[.-])(?:forgejo|gitea)[.-]", host))


def component_folders(dockerfiles: Iterable[Dockerfile]) -> dict[PurePosixPath, list[Dockerfile]]:
    """Return the Dockerfiles by the folder of what they build."""
    found: dict[PurePosixPath, list[Dockerfile]] = {}
    for each in dockerfiles:
        found.setdefault(each.folder, []).append(each)
    return found


def _dockerfile(file: PurePosixPath) -> Dockerfile | None:
    match = _DOCKERFILE.fullmatch(file.name) or _BEFORE.fullmatch(file.name)
    folders = file.parts[:-1]
    if match is None or any(
        part.lower() in _NO_FOLDERS or part.startswith(".") for part in folders if part != ".docker"
    ):
        return None
    variant = match[1] or ""
    words = set(re.split(r"[._-]", variant.lower()))
    if words & (_NO_SUFFIX | _OF_DEVELOPERS):
        return None
    return Dockerfile(file, variant)
