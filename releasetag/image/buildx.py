"""The work tree, built by `docker buildx`: the way to a fleet of builders that exists already.

buildx builds and pushes the first exact tag; everything else is done from its digest, so that the
attestations which buildx adds are kept under every tag.

Source: the reference of ``docker buildx build`` (``--metadata-file``, ``--progress rawjson``).
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

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
from releasetag.push_failure import kind_of
from releasetag.reference import is_digest
from releasetag.text import printable

# As build arguments these would change the docker command, if they went through its environment.
_DOCKERS_OWN = re.compile(r"PATH$|HOME$|LD_|DOCKER_|BUILDX_|BUILDKIT_")
_STOP_SECONDS = 1.0
_WORDS = 20  # lines of buildx's own that are kept

_ERROR = "ERROR: "
"""What the last of buildx's words begin with; more lines may follow."""


class BuildxImage(BuiltImage):
    """An image that a builder of buildx makes, for any number of platforms."""

    @property
    def builder(self) -> str:  # type: ignore[override]
        """``buildx``, or ``buildx:NAME``."""
        return self.plan.settings.builder

    def check(self) -> None:
        """See that there are a context, a Dockerfile, the secrets, and buildx."""
        self._context = self._open_context()
        self._secrets()
        if not self.plan.settings.push:
            raise UsageError(
                "buildx builds for the registry, not for the engine",
                "leave --no-push away, or build with --builder auto",
            )
        self._docker = shutil.which("docker", path=self.tools.environ.get("PATH")) or ""
        if not self._docker or self._run("version").returncode:
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
            self._build([*self._arguments(), "--tag", str(reference)], metadata)
            digest = str(json.loads(metadata.read_bytes()).get("containerimage.digest"))
        if not is_digest(digest):
            raise BuildError("buildx does not say what it pushed", "update buildx to 0.13 or newer")
        self.origin = reference.repository.at(digest)
        self.pushed = (reference,)
        return ""

    def _arguments(self) -> list[str]:
        settings = self.plan.settings
        words = ["--push", "--progress", "rawjson", "--file", str(self._context.dockerfile)]
        for option, values in {
            "--platform": [",".join(settings.platforms)] if settings.platforms else [],
            "--target": [settings.target] if settings.target else [],
            # A value may be a token: it goes through the environment, where only we can see it.
            "--build-arg": [
                f"{k}={v}" if _DOCKERS_OWN.match(k) else k for k, v in self.build_args().items()
            ],
            "--label": [f"{k}={v}" for k, v in self.labels(self.labels_in_dockerfile()).items()],
            "--secret": list(settings.secrets),
            "--ssh": list(settings.ssh),
            "--cache-from": list(settings.cache_from),
            "--cache-to": ["type=inline"] if settings.inline_cache else [],
            "--add-host": list(settings.add_hosts),
            "--network": [settings.network] if settings.network else [],
            "--shm-size": [str(settings.shm_size)] if settings.shm_size else [],
        }.items():
            for value in values:
                words += [option, value]
        words += ["--no-cache"] * settings.no_cache + ["--pull"] * settings.pull
        return words

    def _build(self, arguments: list[str], metadata: Path) -> None:
        name = self.builder.partition(":")[2]
        words = ["build", *(["--builder", name] if name else []), *arguments]
        process = subprocess.Popen(
            [
                self._docker,
                "buildx",
                *words,
                "--metadata-file",
                str(metadata),
                str(self._context.root),
            ],
            env=self._environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us, who end it below
        )
        try:
            assert process.stderr is not None  # noqa: S101 (a pipe was asked for)
            said, log = self._follow(process.stderr)
            code = process.wait()
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stderr is not None:
                process.stderr.close()
        if code:
            raise _failed(said, log)

    def _follow(self, lines: Iterator[bytes]) -> tuple[str, tuple[str, ...]]:
        """Tell buildx's progress; gives what it says at its end, and of the step that failed."""
        from google.protobuf.json_format import ParseDict, ParseError

        from releasetag.engine.buildkit.progress import StatusResponse, Trace

        trace, said = Trace(), deque[str](maxlen=_WORDS)
        for line in lines:
            try:
                status = ParseDict(
                    _as_trace(json.loads(line)), StatusResponse(), ignore_unknown_fields=True
                )
            except (ValueError, TypeError, AttributeError, ParseError):
                # Words, even where they happen to be JSON.
                text = line.decode("utf-8", "replace").strip()
                if text.startswith(_ERROR):
                    said.clear()
                said.append(text)
                continue
            for event in trace.take_up(status):
                self.report.building(event)
        for event in trace.end():
            self.report.building(event)
        return " ".join(filter(None, said)), trace.failed_step_log()

    def _environ(self) -> dict[str, str]:
        arguments = {k: v for k, v in self.build_args().items() if not _DOCKERS_OWN.match(k)}
        environ = {**self.tools.environ, **arguments}
        registry = self.plan.repositories[0].registry
        found = self.tools.credentials.find(registry)
        if found is not None and found.password and "DOCKER_AUTH_CONFIG" not in environ:
            # What docker does not know itself, such as GITHUB_TOKEN for ghcr.io.
            environ["DOCKER_AUTH_CONFIG"] = docker_auth_config(registry, found)
        return environ

    def _run(self, *words: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [self._docker, "buildx", *words],
            env=dict(self.tools.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )


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


def _failed(text: str, log: tuple[str, ...]) -> ReleasetagError:
    from releasetag.engine.build import build_error, without_command

    text = text.removeprefix(_ERROR).removeprefix("failed to build: ")
    message = f"buildx: {printable(text)}"
    said = without_command(text)
    if "no builder" in said:
        return UsageError(message, "see `docker buildx ls` for the builders there are")
    # Alone: a build's own time-outs say more.
    if said == "context deadline exceeded" or "code = Unavailable" in said:
        return EngineError(
            f"buildx: the builder cannot be reached: {printable(text)}",
            "see `docker buildx inspect`",
        )
    if "not supported for the docker driver" in said:
        return UsageError(
            message, "name another builder, buildx:NAME, or build with --builder auto"
        )
    if "failed to push" in said:
        if kind_of(said) == "auth":
            return AuthError(message, "log in with releasetag login REGISTRY")
        return PushError(message, "run again: what was built is in buildx's cache")
    return build_error(text, log)
