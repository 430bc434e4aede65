"""The work tree, built by `docker buildx`: for who has a fleet of builders.

buildx builds and pushes the first exact tag; everything else is done from its digest, so that the
attestations which buildx adds are kept under every tag.

Build arguments may be secrets, and every user of the machine can read a process's arguments. So
``docker buildx build`` gets their names alone and takes the values from its environment. Where a
name means something to the docker command itself, which another value would change,
``docker buildx bake`` reads them from its standard input. Not always: it has no ``--network``
before buildx 0.17 and no ``--add-host`` before 0.25, and until then keeps what it reads in a file.

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
from pathlib import Path
from typing import Any

from releasetag.credentials.encodings import docker_auth_config
from releasetag.errors import (
    AuthError,
    BuildError,
    EngineError,
    PushError,
    ReleasetagError,
    UsageError,
)
from releasetag.image.engine_build import BuiltImage
from releasetag.json_text import InvalidJsonError, parse_json
from releasetag.push_failure import kind_of
from releasetag.reference import Reference, is_digest
from releasetag.text import printable

_READ_BY_DOCKER = re.compile(
    r"PATH$|HOME$|(?:DY)?LD_|DOCKER_|BUILDX_|BUILDKIT_|SSL_CERT_|(?i:https?|all|no)_(?i:proxy)$"
)
_STOP_SECONDS = 1.0
_MAX_MESSAGES = 20

_ERROR = "ERROR: "
"""What buildx's last message begins with; more lines may follow."""

_TARGET = "default"
"""The target that bake builds unless it is given another."""

# By the name that a bake file has for the same.
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
}


class BuildxImage(BuiltImage):
    """An image that a builder of buildx makes, for any number of platforms."""

    @property
    def builder(self) -> str:  # type: ignore[override]
        """``buildx``, or ``buildx:NAME``."""
        return self.plan.settings.builder

    def check(self) -> None:
        """Check that there are a context, a Dockerfile, the secrets, and buildx."""
        self._context = self._open_context()
        self._secrets()
        if not self.plan.settings.push:
            raise UsageError(
                "buildx builds for the registry, not for the engine",
                "omit --no-push, or build with --builder auto",
            )
        self._docker = shutil.which("docker", path=self.tools.environ.get("PATH")) or ""
        if not self._docker or not self._has_buildx():
            self.engine_error = EngineError(
                "docker buildx is not installed", "install it, or build with --builder auto"
            )

    def make(self) -> str:
        """Build, and push the first exact tag."""
        if self.engine_error is not None:
            raise self.engine_error
        reference = self.plan.repositories[0].tagged(self.plan.exact[0].name)
        self.report.step(f"Building {self._context.root} with {self.builder}", prints=True)
        with tempfile.TemporaryDirectory(prefix="releasetag-") as directory:
            metadata = Path(directory) / "metadata.json"
            self._build(reference, metadata)
            digest = _digest(metadata)
        self.origin = reference.repository.at(digest)
        self.pushed = (reference,)
        return ""

    def _build(self, reference: Reference, metadata: Path) -> None:
        name = self.builder.partition(":")[2]
        options = [
            *(["--builder", name] if name else []),
            *("--push", "--progress", "rawjson", "--metadata-file", str(metadata)),
        ]
        target, arguments = self._target(reference), self.build_args()
        if all(_is_harmless(name, value, self.tools.environ) for name, value in arguments.items()):
            words = ["build", *options, *_words(target)]
            for name in arguments:
                words += ["--build-arg", name]
            self._run([*words, str(self._context.root)], b"", arguments)
            return
        if target.get("network") == "host":
            options += ["--allow", "network.host"]
        definition = _bake_definition(
            {**target, "context": str(self._context.root), "args": arguments}
        )
        # The person has named the files to read; bake would ask whether it may.
        allowed = {"BUILDX_BAKE_ENTITLEMENTS_FS": "0"}
        self._run(["bake", *options, "--file", "-"], definition, allowed)

    def _target(self, reference: Reference) -> dict[str, Any]:
        """What to build, apart from the context and the build arguments, as bake files name it."""
        settings = self.plan.settings
        target = {
            "dockerfile": str(self._context.dockerfile),
            "tags": [str(reference)],
            "platforms": list(settings.platforms),
            "target": settings.target,
            "labels": self.labels(self.labels_in_dockerfile()),
            "secret": list(settings.secrets),
            "ssh": list(settings.ssh),
            "cache-from": list(settings.cache_from),
            "cache-to": ["type=inline"] if settings.inline_cache else [],
            "extra-hosts": list(settings.add_hosts),
            "network": settings.network,
            "shm-size": str(settings.shm_size) if settings.shm_size else None,
            "no-cache": settings.no_cache,
            "pull": settings.pull,
        }
        return {name: value for name, value in target.items() if value}

    def _run(self, words: list[str], definition: bytes, variables: dict[str, str]) -> None:
        """Run buildx and report its progress."""
        with ExitStack() as opened:
            try:
                stdin = opened.enter_context(tempfile.TemporaryFile())  # which has no name
                stdin.write(definition)
                stdin.seek(0)
                process = subprocess.Popen(
                    [self._docker, "buildx", *words],
                    env=self._environ() | variables,
                    stdin=stdin,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C is for us; the process is ended below
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
            assert process.stderr is not None  # noqa: S101 (a pipe was asked for)
            opened.enter_context(process.stderr)
            message, log = self._follow(process.stderr)
            code = process.wait()
        if code:
            raise _buildx_error(message, log)

    def _follow(self, lines: Iterator[bytes]) -> tuple[str, tuple[str, ...]]:
        """Report buildx's progress; return its last message, and the log of the failed step."""
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
        """The environment of the docker command, with credentials that it cannot find itself."""
        environ = dict(self.tools.environ)
        registry = self.plan.repositories[0].registry
        found = self.tools.credentials.find(registry)
        if found is not None and found.password and "DOCKER_AUTH_CONFIG" not in environ:
            # Such as GITHUB_TOKEN for ghcr.io.
            environ["DOCKER_AUTH_CONFIG"] = docker_auth_config(registry, found)
        return environ

    def _has_buildx(self) -> bool:
        try:
            done = subprocess.run(
                [self._docker, "buildx", "version"],
                env=dict(self.tools.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        except OSError:
            return False
        return done.returncode == 0


def _is_harmless(name: str, value: str, environ: Mapping[str, str]) -> bool:
    """Whether a build argument changes nothing but the build, if it is in the environment."""
    if name == "SOURCE_DATE_EPOCH":
        return True  # buildx reads it as this very argument
    if name in environ:  # for the docker command, or for a credential helper
        return environ[name] == value
    return not _READ_BY_DOCKER.match(name)


def _words(target: Mapping[str, Any]) -> list[str]:
    """The options of ``docker buildx build``."""
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
    return json.dumps({"target": {_TARGET: _escaped(whole)}}).encode()


def _escaped(value: Any) -> Any:
    """A value without templates, which bake expands in every string and name."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, Mapping):
        return {_escaped(name): _escaped(each) for name, each in value.items()}
    return [_escaped(each) for each in value] if isinstance(value, list) else value


def _digest(metadata: Path) -> str:
    """The digest of what buildx has pushed, from its metadata file."""
    found: Any = None
    try:
        found = parse_json(metadata.read_bytes())
        found = found.get(_TARGET, found)["containerimage.digest"]
    except (OSError, InvalidJsonError, AttributeError, KeyError, TypeError):
        found = None
    if not isinstance(found, str) or not is_digest(found):
        raise BuildError("buildx does not say what it pushed", "update buildx to 0.13 or newer")
    return found


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _as_trace(status: Mapping[str, list[dict[str, object]]]) -> dict[str, list[dict[str, object]]]:
    """A line of ``rawjson`` with the names that the engine's trace has."""
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


def _buildx_error(text: str, log: tuple[str, ...]) -> ReleasetagError:
    from releasetag.engine.build import build_error, without_command

    for prefix in (_ERROR, f"target {_TARGET}: ", "failed to build: "):
        text = text.removeprefix(prefix)
    message = f"buildx: {printable(text)}"
    reason = without_command(text)
    if "no builder" in reason:
        return UsageError(message, "see `docker buildx ls` for the builders there are")
    # Alone: a build's own time-outs say more.
    if reason == "context deadline exceeded" or "code = Unavailable" in reason:
        return EngineError(
            f"buildx: the builder cannot be reached: {printable(text)}",
            "see `docker buildx inspect`",
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
            "update buildx: to give it this build argument unseen, 0.17 is needed with --network "
            "and 0.25 with --add-host",
        )
    return build_error(text, log)
