"""A real registry for one test: docker-registry on loopback, with an independent look into it."""

import base64
import hashlib
import http.client
import json
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Literal, cast

from tests.support.certificates import make_authority, make_server_identity
from tests.support.engine import ended
from tests.support.token_server import ISSUER, SERVICE, TokenServer

USERNAME = "alice"
PASSWORD = "correct horse"  # with a space: it has to survive every encoding
# bcrypt of PASSWORD, of the lowest cost; `htpasswd -nbB -C 4 alice "correct horse"` makes another.
_HTPASSWD = "alice:$2b$04$lZ7T0bh4u2vBieO3WPx6R.zVYpsDhPoRQx5D4f0Wm.uGPvqAGX6te\n"

START_SECONDS = 20.0

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPES = (
    IMAGE_MANIFEST,
    IMAGE_INDEX,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)

_ACCESS = re.compile(r'"([A-Z]+) (\S+) HTTP/')


class RegistryServer:
    """docker-registry with its storage in `directory`. It keeps its port when started again.

    Args:
        auth: `htpasswd` (HTTP Basic) or `token` (see `token_server`). None: everyone may push.
        tls: serve TLS with a certificate from `ca_file`.
        host: an address of this machine to listen at.

    Attributes:
        address: host and port, as in a reference.
        username, password: who may push, with `auth`; else empty.
        ca_file: the authority's certificate (PEM), with `tls`.
        token_server: with `auth="token"`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        auth: Literal["htpasswd", "token"] | None = None,
        tls: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.directory = directory
        self.address = f"{host}:{free_port(host)}"
        self.username = USERNAME if auth else ""
        self.password = PASSWORD if auth else ""
        self.ca_file: Path | None = None
        self.token_server: TokenServer | None = None
        self._auth = auth
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        if tls:
            self.ca_file = self._write_certificates()
        if auth == "token":
            self.token_server = TokenServer(self.username, self.password, host)
            self.token_server.start()
        self._write_configuration()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:5000`, or https."""
        return f"{'https' if self.ca_file else 'http'}://{self.address}"

    def start(self) -> None:
        """Start and wait until it answers.

        Raises:
            RuntimeError: it ended, or did not answer in time.
        """
        access, log = self.directory / "access.log", self.directory / "log"
        with access.open("ab") as output, log.open("ab") as errors:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", self.directory / "config.yml"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            code = ended(self._process, 0.02)
            if code is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"docker-registry did not start\n{log.read_text()[-2000:]}")

    def stop(self) -> None:
        """Stop. What was pushed is kept, and served again after start()."""
        if self._process is not None:
            self._process.kill()  # it holds nothing back; SIGTERM it would take its time over
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Stop for good, and remove what was pushed."""
        self.stop()
        if self.token_server is not None:
            self.token_server.stop()
        shutil.rmtree(self.directory)

    def requests(self) -> list[str]:
        """What it was asked so far, oldest first: `PUT /v2/app/manifests/1.2.3`.

        Without the looks that this class itself takes at it.
        """
        # The log of a request is written after its answer: one more request, whose line is
        # waited for, has the others' lines before it.
        mark = f"/v2/?mark={secrets.token_hex(8)}"
        self._get(mark)
        deadline = time.monotonic() + START_SECONDS
        while True:
            text = (self.directory / "access.log").read_text()
            if mark in text:
                break
            if time.monotonic() > deadline:
                raise RuntimeError("docker-registry writes no access log")
        lines = [line for line in text.splitlines() if f'"{_WITNESS}"' not in line]
        return [f"{m[1]} {m[2]}" for line in lines if (m := _ACCESS.search(line))]

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository, sorted; none if there is no such repository."""
        body = self._get(f"/v2/{repository}/tags/list", repository)
        return sorted(json.loads(body)["tags"] or []) if body is not None else []

    def digest(self, repository: str, reference: str) -> str | None:
        """The digest, computed here, of what a tag or digest names; None if nothing."""
        body = self.manifest(repository, reference)
        return None if body is None else _digest(body)

    def manifest(self, repository: str, reference: str) -> bytes | None:
        """The manifest or index that a tag or digest names, as served; None if nothing."""
        return self._get(f"/v2/{repository}/manifests/{reference}", repository)

    def labels(self, repository: str, reference: str) -> dict[str, str]:
        """The labels of the image that a tag or digest names; of an index, of its first image."""
        manifest = json.loads(self.manifest(repository, reference) or b"{}")
        if "manifests" in manifest:
            return self.labels(repository, manifest["manifests"][0]["digest"])
        config = self.blob(repository, manifest["config"]["digest"])
        return json.loads(config or b"{}").get("config", {}).get("Labels") or {}

    def blob(self, repository: str, digest: str) -> bytes | None:
        """A blob; None if there is no such blob."""
        return self._get(f"/v2/{repository}/blobs/{digest}", repository)

    def put_image(
        self,
        repository: str,
        tag: str,
        labels: dict[str, str] | None = None,
        *,
        platform: str = "linux/amd64",
    ) -> str:
        """Put an image without files there, with no engine and no client; its digest."""
        system, architecture = platform.split("/")
        config = json.dumps(
            {
                "os": system,
                "architecture": architecture,
                "config": {"Labels": labels or {}},
                "rootfs": {"type": "layers", "diff_ids": []},
            }
        ).encode()
        self._put_blob(repository, config)
        manifest = {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": _digest(config),
                "size": len(config),
            },
            "layers": [],
        }
        return self.put_manifest(repository, tag, json.dumps(manifest).encode(), IMAGE_MANIFEST)

    def put_index(self, repository: str, tag: str, digests: dict[str, str]) -> str:
        """Put an index of images that are there already, by platform; its digest."""
        manifests = []
        for platform, digest in digests.items():
            system, architecture = platform.split("/")
            size = len(self.manifest(repository, digest) or b"")
            manifests.append(
                {
                    "mediaType": IMAGE_MANIFEST,
                    "digest": digest,
                    "size": size,
                    "platform": {"os": system, "architecture": architecture},
                }
            )
        index = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": manifests}
        return self.put_manifest(repository, tag, json.dumps(index).encode(), IMAGE_INDEX)

    def put_manifest(self, repository: str, reference: str, body: bytes, media_type: str) -> str:
        """Put these very bytes under a tag or digest; their digest."""
        path = f"/v2/{repository}/manifests/{reference}"
        self._request("PUT", path, repository, body, {"Content-Type": media_type})
        return _digest(body)

    def delete(self, repository: str, digest: str) -> None:
        """Delete a manifest, and so every tag that names it."""
        self._request("DELETE", f"/v2/{repository}/manifests/{digest}", repository)

    def _put_blob(self, repository: str, blob: bytes) -> None:
        _, headers = self._request("POST", f"/v2/{repository}/blobs/uploads/", repository)
        location = headers["Location"].removeprefix(self.url)
        self._request(
            "PUT",
            f"{location}&digest={_digest(blob)}",
            repository,
            blob,
            {"Content-Type": "application/octet-stream"},
        )

    def _get(self, path: str, repository: str = "") -> bytes | None:
        try:
            return self._request("GET", path, repository, headers={"Accept": _ACCEPT})[0]
        except urllib.error.HTTPError as error:
            if error.code == http.client.NOT_FOUND:
                return None
            raise

    def _request(
        self,
        method: str,
        path: str,
        repository: str = "",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[bytes, http.client.HTTPMessage]:
        headers = {"User-Agent": _WITNESS, **(headers or {})}
        if self.token_server is not None:
            scopes = (f"repository:{repository}:pull,push,delete",) if repository else ()
            headers["Authorization"] = f"Bearer {self.token_server.token(USERNAME, scopes)}"
        elif self._auth == "htpasswd":
            basic = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
            headers["Authorization"] = f"Basic {basic}"
        request = urllib.request.Request(self.url + path, body, headers, method=method)  # noqa: S310 - our own address
        with self._opener().open(request, timeout=60) as answer:
            return answer.read(), cast("http.client.HTTPMessage", answer.headers)

    def _opener(self) -> urllib.request.OpenerDirector:
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if self.ca_file:
            context = ssl.create_default_context(cafile=self.ca_file)
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            context.check_hostname = False  # the certificate names 127.0.0.1, not every `host`
            handlers.append(urllib.request.HTTPSHandler(context=context))
        return urllib.request.build_opener(*handlers)

    def _answers(self) -> bool:
        try:
            self._get("/v2/")
        except OSError:
            return False
        return True

    def _write_certificates(self) -> Path:
        authority = make_authority("releasetag test authority")
        server = make_server_identity(authority)
        (self.directory / "server.crt").write_bytes(server.certificate_pem)
        (self.directory / "server.key").write_bytes(server.key_pem)
        ca_file = self.directory / "ca.crt"
        ca_file.write_bytes(authority.certificate_pem)
        return ca_file

    def _write_configuration(self) -> None:
        http_section: dict[str, object] = {"addr": self.address}
        if self.ca_file:
            http_section["tls"] = {
                "certificate": str(self.directory / "server.crt"),
                "key": str(self.directory / "server.key"),
            }
        configuration: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {
                "filesystem": {"rootdirectory": str(self.directory / "storage")},
                "delete": {"enabled": True},
            },
            "http": http_section,
        }
        if self._auth == "htpasswd":
            (self.directory / "htpasswd").write_text(_HTPASSWD)
            configuration["auth"] = {
                "htpasswd": {"realm": "test", "path": str(self.directory / "htpasswd")}
            }
        if self.token_server is not None:
            roots = self.directory / "token.crt"
            roots.write_bytes(self.token_server.identity.certificate_pem)
            configuration["auth"] = {
                "token": {
                    "realm": self.token_server.realm,
                    "service": SERVICE,
                    "issuer": ISSUER,
                    "rootcertbundle": str(roots),
                }
            }
        # JSON is YAML.
        (self.directory / "config.yml").write_text(json.dumps(configuration))


_WITNESS = "the-tests-own-witness"
_ACCEPT = ", ".join(MANIFEST_TYPES)


def free_port(host: str = "127.0.0.1") -> int:
    """A port of that address that nothing listens at now."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        return int(listener.getsockname()[1])


def lan_address() -> str:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # of UDP: nothing is sent
        return str(probe.getsockname()[0])


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
