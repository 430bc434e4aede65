"""What the action's installer takes from a lock, from pip's settings and from an index.

That it installs all of the lock, and nothing else, is in tests/test_action.py.
"""

import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from action import install
from tests.support.http_server import QuietHTTPServer

MINOR = sys.version_info.minor
LOCK = """\
# made by make lock
one==1.0 \\
    --hash=sha256:{one} \\
    --hash=sha256:{other}
    # via two
two-three==2.0 ; sys_platform == 'win32' \\
    --hash=sha256:{one}
"""


def test_a_lock_is_read_without_what_is_for_windows() -> None:
    one, other = "1" * 64, "a" * 64
    assert install.read_lock(LOCK.format(one=one, other=other)) == {"one": {one, other}}


@pytest.mark.parametrize(
    "entry",
    [
        "one==1 ; python_version < '3.12' \\\n    --hash=sha256:0\n",
        "one>=1 \\\n    --hash=sha256:0\n",
        "one @ https://x/one.whl\n",
    ],
)
def test_what_is_not_known_in_a_lock_is_left_to_pip(entry: str) -> None:
    with pytest.raises(install.UnsuitableError):
        install.read_lock(entry)


@pytest.mark.parametrize(
    ("file", "environ", "url"),
    [
        ("", {}, install.PYPI),
        ("[global]\nextra-index-url = https://other/\nfind-links = /wheels\n", {}, install.PYPI),
        ("[global]\nindex-url = https://mirror/simple/\n", {}, "https://mirror/simple"),
        (
            "[global]\nindex-url = https://a/\n[install]\nindex-url = https://b/\n",
            {},
            "https://b",
        ),
        ("[global]\nindex-url = https://a/\n", {"PIP_INDEX_URL": "https://c/"}, "https://c"),
        ("[global]\nno-index = true\n", {"PIP_NO_INDEX": "0"}, install.PYPI),
        ("[global]\nno-index = true\n", {}, None),
        ("", {"PIP_NO_INDEX": "1"}, None),
        ("[install]\nproxy = http://proxy:3128\n", {}, None),
        ("", {"PIP_INDEX_URL": "https://user:password@mirror/simple"}, None),
    ],
)
def test_the_index_is_the_one_that_pip_would_ask(
    file: str, environ: dict[str, str], url: str | None, tmp_path: Path
) -> None:
    (tmp_path / "pip.conf").write_text(file)
    nowhere = str(tmp_path / "nowhere")
    settings = install.pip_settings(
        {
            "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
            "XDG_CONFIG_HOME": nowhere,
            "XDG_CONFIG_DIRS": nowhere,
            **environ,
        }
    )

    if url is None:
        with pytest.raises(install.UnsuitableError):
            install.open_index(settings)
    else:
        assert install.open_index(settings).url == url


@pytest.mark.parametrize(
    ("tags", "is_supported"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        ("py2-none-any", False),
        (f"cp3{MINOR}-cp3{MINOR}-manylinux2014_x86_64.manylinux_2_17_x86_64", True),
        (f"cp3{MINOR}-cp3{MINOR}-manylinux_2_17_aarch64", False),
        (f"cp3{MINOR}-cp3{MINOR}-manylinux_2_999_x86_64", False),
        (f"cp3{MINOR}-cp3{MINOR}-musllinux_1_2_x86_64", False),
        (f"cp3{MINOR}-cp3{MINOR}-macosx_11_0_arm64", False),
        (f"cp3{MINOR}-cp3{MINOR}t-manylinux_2_17_x86_64", False),
        (f"cp3{MINOR + 1}-cp3{MINOR + 1}-manylinux_2_17_x86_64", False),
        ("cp37-abi3-manylinux_2_17_x86_64", True),
        (f"cp3{MINOR + 1}-abi3-manylinux_2_17_x86_64", False),
        ("pp311-pypy311_pp73-manylinux_2_17_x86_64", False),
    ],
)
def test_a_wheel_is_for_this_python_and_machine(
    tags: str, is_supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert install.is_supported(*tags.split("-")) is is_supported


class OneWheelIndex:
    """An index of the package ``one``, which has a compiled wheel and one that is not."""

    def __init__(self) -> None:
        names = ("one-1.0-py3-none-any.whl", f"one-1.0-cp3{MINOR}-abi3-any.whl")
        self.wheels = {name: wheel(f"one/{name}.py") for name in names}

    def page(self) -> bytes:
        files = [
            {"filename": name, "url": name, "hashes": {"sha256": digest(content)}}
            for name, content in self.wheels.items()
        ]
        return json.dumps({"files": files}).encode()


def wheel(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, "")
    return content.getvalue()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def served() -> Iterator[tuple[OneWheelIndex, install.Index]]:
    index = OneWheelIndex()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(index.wheels[name] if name else index.page())

        def log_message(self, *_: object) -> None:
            pass

    with QuietHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}/simple"
        yield index, install.open_index({"index-url": url})


def test_a_wheel_is_one_that_the_lock_names(
    served: tuple[OneWheelIndex, install.Index],
) -> None:
    index, address = served
    pure = next(iter(index.wheels))

    fetched = install.fetch(address, "one", frozenset({digest(index.wheels[pure])}))

    assert fetched.namelist() == [f"one/{pure}.py"]
    with pytest.raises(install.UnsuitableError, match="no wheel of one"):
        install.fetch(address, "one", frozenset({"0" * 64}))


def test_a_wheel_that_wants_more_than_unpacking_is_left_to_pip(
    served: tuple[OneWheelIndex, install.Index],
) -> None:
    index, address = served
    pure = next(iter(index.wheels))
    index.wheels[pure] = wheel("one-1.0.data/scripts/one")

    with pytest.raises(install.UnsuitableError, match="not merely unpacked"):
        install.fetch(address, "one", frozenset({digest(index.wheels[pure])}))
