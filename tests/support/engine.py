"""A real engine for the tests: one that answers already, or a private one.

A private engine lives in a mount and a process namespace of its own: when its first process ends,
the kernel ends its containers and takes its mounts away, whatever the tests did to it.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

KINDS = ("docker", "docker-28", "podman")
"""Debian's or Ubuntu's own docker.io; Docker 28 with the containerd image store; Podman."""

START_SECONDS = 60.0
STOP_SECONDS = 30.0

_SCRIPTS = Path(__file__).parents[2] / "scripts"
_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


class EngineUnavailableError(Exception):
    """No engine answers, and none can be started; says why."""


class Engine:
    """An engine that was there before the tests, which may use it and must not stop it.

    Args:
        kind: one of KINDS, or `found` for an engine that was there already.
        host: as in DOCKER_HOST.
    """

    def __init__(self, kind: str, host: str) -> None:
        self.kind = kind
        self.host = host

    @property
    def environ(self) -> dict[str, str]:
        """What a program needs in its environment to use this engine."""
        return {"DOCKER_HOST": self.host}

    def get(self, path: str) -> bytes:
        """The body of the API's answer to GET `path`, read without any Docker client.

        Raises:
            OSError, http.client.HTTPException: no answer.
        """
        return self.request("GET", path)

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of the API's answer, of whatever status.

        Args:
            body: JSON, if the request has one.
        """
        connection = _connection(self.host)
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            connection.request(method, path, body or None, headers)
            return connection.getresponse().read()
        finally:
            connection.close()

    def answers(self) -> bool:
        """Whether the engine says that it is up."""
        try:
            return self.get("/_ping") == b"OK"
        except (OSError, http.client.HTTPException):
            return False

    def stop(self) -> None:
        """Nothing: the engine is not ours."""


class PrivateEngine(Engine):
    """An engine of our own, in `directory`, which is removed when it stops.

    Args:
        command: starts the engine in the foreground. It is to listen at `directory`/docker.sock.
        environ: its whole environment.
        runtime: the folder of what lives only as long as the engine's processes.
    """

    def __init__(
        self,
        kind: str,
        directory: Path,
        command: list[str],
        *,
        runtime: Path,
        environ: Mapping[str, str],
    ) -> None:
        super().__init__(kind, f"unix://{directory}/docker.sock")
        self.directory = directory
        self.log = directory / "log"
        self._command = command
        self._runtime = runtime
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until the engine answers.

        Raises:
            EngineUnavailableError: it ended, or did not answer in time; with the end of its log.
        """
        # The old process numbers in here mean other processes in a new namespace.
        shutil.rmtree(self._runtime, ignore_errors=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_NAMESPACES, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self._environ),
                start_new_session=True,  # Ctrl-C is for the tests, which then stop the engine
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            code = ended(self._process, 0.05)
            if code is not None or time.monotonic() > deadline:
                self._end()
                what = "did not answer in time" if code is None else f"ended with exit code {code}"
                raise EngineUnavailableError(
                    f"the private {self.kind} engine {what}\n{self.tail()}"
                )

    def restart(self) -> None:
        """Stop the engine and start it again with the same images."""
        self._end()
        self.start()

    def stop(self) -> None:
        """Stop the engine, for good, and remove all that it had. Nothing, if that was done."""
        self._end()
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def tail(self) -> str:
        """The end of the engine's log."""
        return self.log.read_text(errors="replace")[-4000:]

    def _end(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                # Or the engine would give each of them ten seconds to end by itself.
                for container in json.loads(self.get("/containers/json?all=true")):
                    self.request("DELETE", f"/containers/{container['Id']}?force=true")
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            with contextlib.suppress(OSError):  # it may just have ended
                for child in children.read_text().split():
                    os.kill(int(child), signal.SIGTERM)
            if ended(self._process, STOP_SECONDS) is None:
                self._process.kill()  # and, by --kill-child, everything in the namespace
                self._process.wait()
        self._process = None


def ended(process: "subprocess.Popen[bytes]", seconds: float) -> int | None:
    """Wait at most so many seconds for a process to end: its exit code, or None if it goes on."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def find_engine(environ: Mapping[str, str]) -> Engine | None:
    """The engine that answers at DOCKER_HOST or, without one, at the usual socket."""
    engine = Engine("found", environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    return engine if engine.answers() else None


def start_engine(
    kind: str, environ: Mapping[str, str], insecure: Sequence[str] = ()
) -> PrivateEngine:
    """Start a private engine.

    Args:
        kind: one of KINDS.
        environ: PATH, HOME, XDG_CACHE_HOME and the proxy settings are looked for here.
        insecure: its insecure registries.

    Raises:
        EngineUnavailableError: it cannot be started here; says why and what to do.
    """
    if os.geteuid() != 0:
        raise EngineUnavailableError(
            "no Docker Engine answers at DOCKER_HOST or /var/run/docker.sock, "
            "and starting a private one needs root: start Docker (and join the group docker), "
            "or run this as root"
        )
    # Not pytest's temporary directory: the path of a Unix socket is at most 107 bytes long.
    directory = Path(tempfile.mkdtemp(prefix="engine-"))
    make = {"docker": _docker, "docker-28": _docker_28, "podman": _podman}[kind]
    try:
        engine = make(directory, environ, insecure)
        engine.start()
    except BaseException:
        shutil.rmtree(directory)
        raise
    return engine


def _dockerd(directory: Path, insecure: Sequence[str]) -> list[str]:
    return [
        "dockerd",
        f"--host=unix://{directory}/docker.sock",
        f"--data-root={directory}/data",
        f"--exec-root={directory}/run",
        f"--pidfile={directory}/run/pid",
        # No network of its own, so nothing of the machine's is changed: RUN needs network none or
        # host.
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        *(f"--insecure-registry={name}" for name in insecure),
    ]


def _docker(directory: Path, environ: Mapping[str, str], insecure: Sequence[str]) -> PrivateEngine:
    _need("dockerd", "apt-get install docker.io")
    return PrivateEngine(
        "docker",
        directory,
        _dockerd(directory, insecure),
        runtime=directory / "run",
        environ=_system(environ),
    )


def _docker_28(
    directory: Path, environ: Mapping[str, str], insecure: Sequence[str]
) -> PrivateEngine:
    root = forky(environ)
    # In the engine's own mount namespace, so there is nothing to unmount afterwards. The engine's
    # directory has the same path inside of the changed root as outside; what is made for that goes
    # with the engine.
    script = """
        root=$1 directory=$2
        shift 2
        mount --bind "$root" "$root"
        mount -t proc proc "$root/proc"
        mount --rbind /sys "$root/sys"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/run"
        above=$root${directory%/*}
        mkdir -p "$above"
        mount -t tmpfs tmpfs "$above"
        mkdir "$root$directory"
        mount --bind "$directory" "$root$directory"
        exec chroot "$root" "$@"
    """
    return PrivateEngine(
        "docker-28",
        directory,
        [
            *("sh", "-euc", script, "sh", str(root), str(directory)),
            *_dockerd(directory, insecure),
            "--feature=containerd-snapshotter=true",
        ],
        runtime=directory / "run",
        environ=_system(environ),
    )


def _podman(directory: Path, environ: Mapping[str, str], insecure: Sequence[str]) -> PrivateEngine:
    _need("podman", "apt-get install podman")
    # The Docker Engine takes every loopback registry without TLS; Podman has to be told.
    registries = directory / "registries.conf"
    entries = (
        f'[[registry]]\nlocation = "{name}"\ninsecure = true\n' for name in ["127.0.0.1", *insecure]
    )
    registries.write_text("".join(entries))
    return PrivateEngine(
        "podman",
        directory,
        [
            *("podman", f"--root={directory}/data", f"--runroot={directory}/run"),
            *("--cgroup-manager=cgroupfs", "--events-backend=file"),
            *("system", "service", "--time=0", f"unix://{directory}/docker.sock"),
        ],
        runtime=directory / "run",
        environ=_system(environ)
        | {"TMPDIR": str(directory), "CONTAINERS_REGISTRIES_CONF": str(registries)},
    )


def forky(environ: Mapping[str, str]) -> Path:
    """The folder with Debian forky in it, made first if it is not there (minutes).

    Raises:
        EngineUnavailableError: it cannot be made.
    """
    made = subprocess.run(
        [_SCRIPTS / "engine-forky"],
        env=dict(environ),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise EngineUnavailableError("scripts/engine-forky failed; its output says why")
    return Path(made.stdout.strip())


def _need(program: str, remedy: str) -> None:
    if shutil.which(program) is None:
        raise EngineUnavailableError(f"there is no {program}: {remedy}")


def _system(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a system service: nothing of the person's who runs the tests."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
    } | {name: environ[name] for name in ("LANG",) if name in environ}


def _connection(host: str) -> http.client.HTTPConnection:
    parts = urlsplit(host)
    if parts.scheme == "unix":
        return _UnixConnection(parts.path)
    if parts.scheme in ("tcp", "http"):
        return http.client.HTTPConnection(parts.hostname or "", parts.port or 2375, timeout=60)
    raise OSError(f"the tests cannot use the engine at {host}")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
