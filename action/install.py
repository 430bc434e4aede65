"""Install what requirements.txt names, with its hashes, in a second: pip takes ten.

pip reads the page of one package after the other, fetches one wheel after the other, and starts
twice. This is for CPython on Linux and an index with JSON; where it does not do, action.yml leaves
it to pip. Nothing is unpacked before the hash of every wheel is right.

Source: PEP 691 and 700 (the JSON of an index), 427 (wheels), 425 and 600 (their tags).
"""

import configparser
import gzip
import hashlib
import io
import json
import os
import platform
import re
import site
import socket
import ssl
import sys
import threading
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin
from urllib.request import Request, urlopen

PYPI = "https://pypi.org/simple"
TIMEOUT = 10
WINDOWS = "sys_platform == 'win32'"

Hashes = frozenset[str]


class UnsuitableError(Exception):
    """Nothing was installed, and pip may still be able to."""


FAILURES = (
    UnsuitableError,
    OSError,
    EOFError,
    TypeError,
    zlib.error,
    HTTPException,
    ValueError,
    KeyError,
    configparser.Error,
    zipfile.BadZipFile,
)


class Index(NamedTuple):
    """A package index.

    Attributes:
        tls: of all connections: to read the authorities takes longer than a request.
    """

    url: str
    tls: ssl.SSLContext


def main() -> int:
    """Install the packages of a lock into the environment of this Python.

    Returns:
        1 if it is left to pip.
    """
    try:
        pins = read_lock(Path(sys.argv[1]).read_text("utf-8"))
        index = open_index(pip_settings(os.environ))
        resolve_each_host_once()
        with ThreadPoolExecutor(8) as pool:
            wheels = list(pool.map(lambda pin: fetch(index, *pin), pins.items()))
        for wheel in wheels:
            wheel.extractall(site.getsitepackages()[0])
    except FAILURES as error:
        print(f"left to pip: {type(error).__name__}: {error}")
        return 1
    return 0


def read_lock(text: str) -> dict[str, Hashes]:
    """Return the hashes of the files of each package, by name."""
    pins = {}
    for entry in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]:
        pin = re.match(r"([\w.-]+)==\S+(?: ; (.*\S))? \\\n", entry)
        if pin is None or pin[2] not in {None, WINDOWS}:
            raise UnsuitableError(f"a line of the lock that is not known here: {entry[:80]!r}")
        if pin[2] is None:
            pins[pin[1]] = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry))
    return pins


def pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what pip is set to, of what counts here."""
    settings: dict[str, str] = {}
    for file in config_files(environ):
        parser = configparser.RawConfigParser()
        parser.read(file, "utf-8")
        for section in ("global", "install"):
            if parser.has_section(section):
                settings |= parser[section]
    for name in ("cert", "index-url", "no-index", "proxy"):
        if value := environ.get(f"PIP_{name.replace('-', '_').upper()}"):
            settings[name] = value
    return settings


def open_index(settings: Mapping[str, str]) -> Index:
    """Return the index that pip would ask.

    Others that it would ask besides are not needed: the hashes say what is wanted.
    """
    url = settings.get("index-url", PYPI).rstrip("/")
    if settings.get("no-index", "false").lower() not in {"false", "no", "off", "0"}:
        raise UnsuitableError("pip is to ask no index")
    if "proxy" in settings or "@" in url:
        raise UnsuitableError("the index needs a proxy of pip's, or a password")
    return Index(url, ssl.create_default_context(cafile=settings.get("cert")))


def config_files(environ: Mapping[str, str]) -> list[Path]:
    """Return where pip's settings may be, the ones that win last."""
    home = Path.home()
    of_system = [Path(each) for each in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")]
    of_user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    return [
        *(each / "pip/pip.conf" for each in of_system),
        Path("/etc/pip.conf"),
        home / ".pip/pip.conf",
        of_user / "pip/pip.conf",
        *([Path(file)] if (file := environ.get("PIP_CONFIG_FILE")) else []),
    ]


def fetch(index: Index, name: str, hashes: Hashes) -> zipfile.ZipFile:
    """Fetch the wheel of a package that is for this Python."""
    page = f"{index.url}/{name}/"
    files = json.loads(get(index, page, "application/vnd.pypi.simple.v1+json"))["files"]
    url, digest = choose_wheel(name, files, hashes)
    content = get(index, urljoin(page, url), "*/*")
    if hashlib.sha256(content).hexdigest() != digest:
        raise UnsuitableError(f"{url} is not what the lock names")
    wheel = zipfile.ZipFile(io.BytesIO(content))
    if any(".data/" in each for each in wheel.namelist()):
        raise UnsuitableError(f"{url} is not merely unpacked")
    return wheel


def resolve_each_host_once() -> None:
    """Ask for the address of each host once: a resolver may drop what it is asked all at once."""
    resolve, lock = cache(socket.getaddrinfo), threading.Lock()

    def resolve_once(*args: Any) -> Any:
        with lock:
            return resolve(*args)

    socket.getaddrinfo = resolve_once  # type: ignore[assignment]


def get(index: Index, url: str, accept: str) -> bytes:
    """Return what a URL of an index names."""
    if not url.startswith(("https://", "http://")):
        raise UnsuitableError(f"not a web address: {url}")
    request = Request(url, headers={"Accept": accept, "Accept-Encoding": "gzip"})  # noqa: S310 (see above)
    with urlopen(request, timeout=TIMEOUT, context=index.tls) as response:  # noqa: S310
        content: bytes = response.read()
        is_zipped = response.headers.get("Content-Encoding") == "gzip"
        return gzip.decompress(content) if is_zipped else content


def choose_wheel(
    name: str, files: Iterable[Mapping[str, object]], hashes: Hashes
) -> tuple[str, str]:
    """Return the URL and the hash of the wheel to install, a compiled one if there is any."""
    found = []
    for file in files:
        digest = dict(file["hashes"]).get("sha256")  # type: ignore[call-overload]
        tags = re.search(r"-([^-]+)-([^-]+)-([^-]+)\.whl$", str(file["filename"]))
        if tags and digest in hashes and is_supported(*tags.groups()):
            found.append((tags[3] != "any", str(file["url"]), digest))
    if not found:
        raise UnsuitableError(f"no wheel of {name} is for this Python")
    _, url, digest = max(found)
    return url, digest


def is_supported(python: str, abi: str, platforms: str) -> bool:
    """Whether a wheel with these tags is for this Python."""
    if not any(map(is_supported_platform, platforms.split("."))):
        return False
    minor = sys.version_info.minor
    if sys.implementation.name == "cpython" and (python, abi) == (
        f"cp3{minor}",
        f"cp3{minor}{sys.abiflags}",
    ):
        return True
    if sys.implementation.name == "cpython" and abi == "abi3" and not sys.abiflags:
        return any(f"cp3{each}" == python for each in range(minor + 1))
    return "py3" in python.split(".") and abi == "none"


def is_supported_platform(tag: str) -> bool:
    """Whether a platform's tag is for this machine: manylinux with no newer C library than here."""
    if tag == "any":
        return True
    tag = tag.replace("manylinux2014_", "manylinux_2_17_")
    wanted = re.fullmatch(r"manylinux_2_(\d+)_(\w+)", tag)
    library, version = platform.libc_ver()
    if wanted is None or library != "glibc" or sys.maxsize < 2**32:
        return False
    return wanted[2] == platform.machine() and int(wanted[1]) <= int(version.split(".")[1])


if __name__ == "__main__":
    sys.exit(main())
