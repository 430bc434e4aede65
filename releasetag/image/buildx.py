"""Build the work tree with `docker buildx`, on any of its builders.

buildx builds and pushes the first exact tag; everything else is done from its digest, so that the
attestations that buildx adds are kept under every tag.

Build arguments may be secrets, and every user of the machine can read a process's arguments. So
``docker buildx build`` gets their names only and takes the values from its environment. Where the
docker command itself reads the variable and another value would change what it does,
``docker buildx bake`` reads them from its standard input. Before buildx 0.17 that has no
``--network``, before 0.25 no ``--add-host``, and until then it stores what it reads in a file.

Sources: the references of ``docker buildx build`` (``--metadata-file``, ``--progress rawjson``) and
of bake files; ``bake`` and ``commands`` of github.com/docker/buildx (0.13 to 0.29).
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from releasetag.build_inputs import BuildInputs
from releasetag.credentials.encodings import docker_auth_config
from releasetag.errors import (
    AuthError,
    BuildError,
    EngineError,
    PushError,
    ReleasetagError,
    UsageError,
)
from releasetag.image import parts
from releasetag.image.bake import attests, escape, label_annotations
from releasetag.image.builders import run_buildx
from releasetag.image.source import ImageSource, MadeImage, PlatformImage, Preflight
from releasetag.json_text import InvalidJsonError, parse_json
from releasetag.push_failure import kind_of
from releasetag.reference import Reference, Repository, is_digest
from releasetag.registry import Manifest
from releasetag.tagging import Status, TagResult
from releasetag.text import printable
from releasetag.version import Snapshot

_READ_BY_DOCKER = re.compile(
    r"PATH$|HOME$|(?:DY)?LD_|DOCKER_|BUILDX_|BUILDKIT_|SSL_CERT_|(?i:https?|all|no)_(?i:proxy)$"
)
_STOP_SECONDS = 1.0
_MAX_MESSAGES = 20

_ERROR = "ERROR: "
"""The start of buildx's last message; more lines may follow."""

_TARGET = "default"
"""The target that bake builds by default."""

# By the name of the same setting in a bake file.
_OPTIONS = {
    "dockerfile": "--file",
    "tags": "--tag",
    "platforms": "--platform",
    "target": "--target",
    "labels": "--label",
    "secret": "--secret",
    "ssh": "--ssh",
    "cache-from": "--cache-from",
    "cache-to": "--cache-to",
    "extra-hosts": "--add-host",
    "network": "--network",
    "shm-size": "--shm-size",
    "no-cache": "--no-cache",
    "pull": "--pull",
    "annotations": "--annotation",
    "attest": "--attest",
    "contexts": "--build-context",
    "ulimits": "--ulimit",
    "cgroup-parent": "--cgroup-parent",
}


@dataclass(frozen=True)
class BuildxImage(ImageSource):
    """An image that a builder of buildx makes, for any number of platforms."""

    inputs: BuildInputs
    builder: str

    def check(self) -> Preflight:
        """Check that buildx is installed, and that the image is to be pushed."""
        # Without a push, a snapshot is a test of the build, whatever becomes of the image.
        if not self.plan.settings.push and not isinstance(self.plan.subject, Snapshot):
            raise UsageError(
                "buildx builds for the registry, not for the engine",
                f"omit --no-push, or {self._way_out}",
            )
        return Preflight(self.builder, engine_error=self._missing_error())

    def _make(self, preflight: Preflight) -> MadeImage:
        """Build, and push the first exact tag unless nothing is to be pushed."""
        self.require_ready(preflight)
        reference = self.plan.repositories[0].tagged(self.plan.exact[0].name)
        self.report_build(self.inputs.context.root, preflight.builder)
        origin = self.build(reference)
        return MadeImage(origin=origin, pushed=(reference,) if origin else ())

    def build(self, reference: Reference) -> Reference | None:
        """Build, and push under a tag; return what was pushed, by digest, if it was to be."""
        with tempfile.TemporaryDirectory(prefix="releasetag-") as directory:
            metadata = Path(directory) / "metadata.json"
            self._build(reference, metadata)
            if not self.plan.settings.push:
                return None
            return reference.repository.at(_digest(metadata))

    def _build(self, reference: Reference, metadata: Path) -> None:
        name = self.builder.partition(":")[2]
        context, arguments = str(self.inputs.context.root), self.inputs.build_args
        options = [
            *(["--builder", name] if name else []),
            *(["--push"] if self.plan.settings.push else []),
            *("--progress", "rawjson", "--metadata-file", str(metadata)),
        ]
        for each in self.inputs.settings.allow:
            options += ["--allow", each]
        target = _target(self.inputs, reference)
        if all(_is_harmless(name, value, self.tools.environ) for name, value in arguments.items()):
            words = ["build", *options, *_words(target)]
            for name in arguments:
                words += ["--build-arg", name]
            self._run([*words, context], b"", arguments)
            return
        if target.pop("cgroup-parent", None):
            raise UsageError(
                "buildx cannot take both --cgroup-parent and such a build argument",
                "give the build argument a name that the docker command does not read",
            )
        if target.get("network") == "host" and "network.host" not in self.inputs.settings.allow:
            options += ["--allow", "network.host"]
        definition = _bake_definition({**target, "context": context, "args": arguments})
        # The user has named the files to read; bake would prompt for permission.
        allowed = {"BUILDX_BAKE_ENTITLEMENTS_FS": "0"}
        self._run(["bake", *options, "--file", "-"], definition, allowed)

    def _run(self, words: list[str], definition: bytes, variables: Mapping[str, str]) -> None:
        """Run buildx and report its progress."""
        with ExitStack() as opened:
            try:
                stdin = opened.enter_context(tempfile.TemporaryFile())  # which has no name
                stdin.write(definition)
                stdin.seek(0)
                process = subprocess.Popen(
                    [self._docker, "buildx", *words],
                    env={**self._environ(), **variables},
                    stdin=stdin,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C ends this process, which stops buildx
                )
            except OSError as error:
                raise EngineError(
                    f"docker buildx cannot be run: {error.strerror}",
                    "see whether docker buildx version runs",
                ) from None
            except ValueError:
                raise UsageError(
                    "a setting of the build holds a NUL character", "remove it"
                ) from None
            opened.callback(_stop, process)
            assert process.stderr is not None  # noqa: S101 (it is a pipe)
            opened.enter_context(process.stderr)
            message, log = self._follow(process.stderr)
            code = process.wait()
        if code:
            several = len(self.inputs.settings.platforms) > 1
            raise _buildx_error(message, log, several=several)

    def _follow(self, lines: Iterator[bytes]) -> tuple[str, tuple[str, ...]]:
        """Report progress; return the last message and the failed step's log."""
        from google.protobuf.json_format import ParseDict, ParseError

        from releasetag.engine.buildkit.progress import StatusResponse, Trace

        trace, messages = Trace(), deque[str](maxlen=_MAX_MESSAGES)
        for line in lines:
            try:
                status: Any = parse_json(line)
                response = ParseDict(
                    _as_trace(status), StatusResponse(), ignore_unknown_fields=True
                )
            except (ValueError, TypeError, AttributeError, ParseError):
                # A message, even where it happens to be JSON.
                text = line.decode("utf-8", "replace").strip()
                if text.startswith(_ERROR):
                    messages.clear()
                messages.append(text)
                continue
            for event in trace.handle(response):
                self.report.building(event)
        for event in trace.end():
            self.report.building(event)
        return " ".join(filter(None, messages)), trace.failed_step_log()

    def _environ(self) -> dict[str, str]:
        """Return docker's environment, with credentials that it cannot find."""
        environ = dict(self.tools.environ)
        registry = self.plan.repositories[0].registry
        found = self.tools.credentials.find(registry)
        if found is not None and found.password and "DOCKER_AUTH_CONFIG" not in environ:
            # Such as GITHUB_TOKEN for ghcr.io.
            environ["DOCKER_AUTH_CONFIG"] = docker_auth_config(registry, found)
        return environ

    @property
    def _docker(self) -> str:
        return shutil.which("docker", path=self.tools.environ.get("PATH")) or ""

    def _missing_error(self) -> EngineError | None:
        """Return the error for a missing buildx; None if it is installed."""
        if run_buildx(self.tools.environ, "version") is not None:
            return None
        return EngineError("docker buildx is not installed", f"install it, or {self._way_out}")

    @property
    def _way_out(self) -> str:
        option = self.inputs.settings.needs_buildx
        return f"omit {option}" if option else "build with --builder auto"


@dataclass(frozen=True)
class BuildxPart(BuildxImage):
    """An index of which a builder of buildx makes the image of one platform."""

    def _make(self, preflight: Preflight) -> MadeImage:
        """Build and push this run's platform, and look for those of others."""
        registries, part = self.tools.registries, self.plan.settings.part
        images, results = [], []
        for image in parts.find_all(registries, self.plan):
            status: Status = "unchanged"
            if image.platform == part:
                if image.origin is None:
                    self.require_ready(preflight)
                    reference = parts.reference_of(self.plan, self.plan.repositories[0], part)
                    self.report_build(self.inputs.context.root, preflight.builder, [part])
                    image, status = replace(image, origin=self._build_part(reference)), "pushed"
                for repository in self.plan.repositories:
                    manifest = self._put_part(image, repository)
                    reference = parts.reference_of(self.plan, repository, part)
                    results.append(TagResult(reference, manifest.digest, status))
            images.append(image)
        made = MadeImage(platforms=tuple(images))
        return parts.wait_for_others(registries, self.plan, made, results)

    def push(self, preflight: Preflight, made: MadeImage, reference: Reference) -> str:  # noqa: ARG002
        """Put every platform's image into the repository, and the index under the tag."""
        children = [
            (image.platform, self._put_part(image, reference.repository))
            for image in made.platforms
        ]
        index = parts.make_index(children, self._annotations()[0])
        return self.tools.registries.put_manifest(reference, index)

    def _put_part(self, image: PlatformImage, repository: Repository) -> Manifest:
        registries, report = self.tools.registries, self.report.pushing
        manifest = parts.put(registries, self.plan, image, repository, report)
        if manifest is None:
            assert image.origin is not None  # noqa: S101 (put has looked)
            reference = parts.reference_of(self.plan, repository, image.platform)
            raise parts.gone_error(reference, image.origin.digest)
        return manifest

    def _build_part(self, reference: Reference) -> Reference | None:
        """Build without the annotations of the index: a part may be none, and buildx refuses."""
        settings = replace(self.inputs.settings, annotations=self._annotations()[1])
        return replace(self, inputs=replace(self.inputs, settings=settings)).build(reference)

    def _annotations(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """Return the annotations of the index, where those that are given win, and the others."""
        of_index, others = dict(self.inputs.labels_of_index), []
        for each in self.inputs.settings.annotations:
            before, colon, annotation = each.partition(":")
            levels = before.split(",") if colon and "=" not in before else []
            if "index" in levels:
                name, _, of_index[name] = annotation.partition("=")
                levels.remove("index")
                if levels:
                    others.append(f"{','.join(levels)}:{annotation}")
            else:
                others.append(each)
        return of_index, tuple(others)


def _target(inputs: BuildInputs, reference: Reference) -> dict[str, Any]:
    """Return a bake target, without context and build arguments."""
    settings = inputs.settings
    target = {
        "dockerfile": str(inputs.context.dockerfile),
        "tags": [str(reference)],
        "platforms": list(settings.platforms),
        "target": settings.target,
        "labels": dict(inputs.labels),
        "secret": list(settings.secrets),
        "ssh": list(settings.ssh),
        "cache-from": list(settings.cache_from),
        "cache-to": [*(["type=inline"] if settings.inline_cache else []), *settings.cache_to],
        "annotations": [*label_annotations(settings, inputs.labels), *settings.annotations],
        "attest": attests(settings),
        "contexts": dict(each.partition("=")[::2] for each in settings.build_contexts),
        "ulimits": list(settings.ulimits),
        "cgroup-parent": settings.cgroup_parent,
        "extra-hosts": list(settings.add_hosts),
        "network": settings.network,
        "shm-size": str(settings.shm_size) if settings.shm_size else None,
        "no-cache": settings.no_cache,
        "pull": settings.pull,
    }
    return {name: value for name, value in target.items() if value}


def _is_harmless(name: str, value: str, environ: Mapping[str, str]) -> bool:
    """Whether the docker command ignores an environment variable's value."""
    if name == "SOURCE_DATE_EPOCH":
        return True  # buildx reads it as this very argument
    if name in environ:  # for the docker command, or for a credential helper
        return environ[name] == value
    return not _READ_BY_DOCKER.match(name)


def _words(target: Mapping[str, Any]) -> list[str]:
    """Return the options of ``docker buildx build``."""
    words = []
    for name, value in target.items():
        option = _OPTIONS[name]
        if value is True:
            words.append(option)
            continue
        values = [value] if isinstance(value, str) else value
        if isinstance(value, dict):
            values = [f"{key}={each}" for key, each in value.items()]
        for each in values:
            words += [option, each]
    return words


def _bake_definition(target: Mapping[str, Any]) -> bytes:
    hosts: dict[str, str] = {}
    for each in target.get("extra-hosts", ()):
        name, _, address = each.partition("=" if "=" in each else ":")
        # A name has one address: buildx refuses two.
        hosts[name] = f"{hosts[name]},{address}" if name in hosts else address
    whole = {**target, "extra-hosts": hosts} if hosts else target
    return json.dumps({"target": {_TARGET: escape(whole)}}).encode()


def _digest(metadata: Path) -> str:
    """Read the digest of what buildx has pushed from its metadata file."""
    try:
        found: Any = parse_json(metadata.read_bytes())
        found = found.get(_TARGET, found)["containerimage.digest"]
    except (OSError, InvalidJsonError, AttributeError, KeyError, TypeError):
        found = None
    if not isinstance(found, str) or not is_digest(found):
        raise BuildError("buildx does not report what it pushed", "update buildx to 0.13 or newer")
    return found


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _as_trace(status: Mapping[str, list[dict[str, object]]]) -> dict[str, list[dict[str, object]]]:
    """Rename a line of ``rawjson`` to the field names of the engine's trace."""
    renamed = {"id": "ID", "data": "msg"}
    return {
        kind: [
            {
                renamed.get(name, name) if kind in {"statuses", "logs"} else name: value
                for name, value in item.items()
            }
            for item in items
        ]
        for kind, items in status.items()
    }


def _buildx_error(text: str, log: tuple[str, ...], *, several: bool) -> ReleasetagError:
    from releasetag.engine.build_errors import build_error, without_command

    for prefix in (_ERROR, f"target {_TARGET}: ", "failed to build: "):
        text = text.removeprefix(prefix)
    message = f"buildx: {printable(text)}"
    reason = without_command(text)
    if "no builder" in reason:
        return UsageError(message, "`docker buildx ls` lists the builders")
    # Nothing else: a build's own timeouts have more text.
    if reason == "context deadline exceeded" or "code = Unavailable" in reason:
        return EngineError(
            f"buildx: the builder cannot be reached: {printable(text)}",
            "see `docker buildx inspect`",
        )
    if "index annotations not supported" in reason:
        # The labels of several platforms are annotations of their index.
        return UsageError(
            "buildx: the builder cannot build for several platforms" if several else message,
            "name another builder, buildx:NAME, or build with --builder buildkit"
            if several
            else "omit index: from --annotation, or build several platforms or an attestation",
        )
    if "not supported for the docker driver" in reason:
        return UsageError(
            message, "name another builder, buildx:NAME, or build with --builder auto"
        )
    if "failed to push" in reason:
        if kind_of(reason) == "auth":
            return AuthError(message, "log in with releasetag login REGISTRY")
        return PushError(message, "run again: what was built is in buildx's cache")
    if "Unsupported argument" in reason or "unknown flag" in reason:
        return UsageError(
            message,
            "update buildx: to pass this build argument in secret, 0.17 is needed with --network "
            "and 0.25 with --add-host",
        )
    return build_error(text, log)
