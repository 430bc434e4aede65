"""The options --secret and --ssh."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from releasetag.build_secrets import (
    MAX_SECRET_BYTES,
    Secret,
    SshAgent,
    parse_secret,
    parse_ssh,
)
from releasetag.errors import UsageError


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "token"
    path.write_bytes(b"from the file\n")
    (tmp_path / "a,b").write_bytes(b"comma")
    return path


@pytest.mark.usefixtures("token_file")
@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("id=x,src=token", "x", b"from the file\n"),
        ("id=x,source=token", "x", b"from the file\n"),
        ("src=token,ID=x", "x", b"from the file\n"),
        ("type=file,id=x,src=token", "x", b"from the file\n"),
        ("id=x,env=TOKEN", "x", b"from the environment"),
        ("type=env,id=x,env=TOKEN", "x", b"from the environment"),
        ("type=env,id=x,src=TOKEN", "x", b"from the environment"),
        ("id=TOKEN", "TOKEN", b"from the environment"),
        ("type=env,id=TOKEN", "TOKEN", b"from the environment"),
        ("id=token", "token", b"from the file\n"),
        ("type=file,id=token", "token", b"from the file\n"),
        ('id=x,"src=a,b"', "x", b"comma"),
        ("id=x,env=EQUALS", "x", b"a=b=="),
        ("id=x,env=EMPTY", "x", b""),
        ("id=x,env=BYTES", "x", b"\xff\xfe"),
    ],
)
def test_a_secret_is_read_as_the_docker_command_reads_it(
    text: str, name: str, value: bytes
) -> None:
    environ = {
        "TOKEN": "from the environment",
        "EQUALS": "a=b==",
        "EMPTY": "",
        "BYTES": os.fsdecode(b"\xff\xfe"),
    }
    assert parse_secret(text, environ) == Secret(name, value)


@pytest.mark.usefixtures("token_file")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no id"),
        ("hunter2", "not written as key=value"),
        ("hunter2==", "not written as key=value"),
        ("id=x,password=hunter2", "not written as key=value"),
        ("src=token", "has no id"),
        ("id=,src=token", "has no id"),
        ("id=x,type=hunter2", "the secret 'x' has an unknown type"),
        ("id=x,src=token,env=hunter2", "the secret 'x' has a file and a variable"),
        ("id=x,type=file,env=hunter2", "the secret 'x' has a file and a variable"),
        ("id=x,env=hunter2", "the variable of the secret 'x' is not set"),
        ("id=x,type=env", "the variable of the secret 'x' is not set"),
        ("id=x,src=hunter2", "the file of the secret 'x' cannot be read: No such file"),
        ("id=x", "the file of the secret 'x' cannot be read: No such file"),
        ("id=x,src=.", "the file of the secret 'x' cannot be read: Is a directory"),
        ("id=x,src=hunter2\0", "the file of the secret 'x' cannot be read: not a file name"),
        ('id=x,src="hunter2"', "stray quote"),
        ('id=x,"src=hunter2', "stray quote"),
        ("id=x\nsrc=hunter2", "stray quote or line break"),
        ("id=x,src=" + "hunter2" * 50_000, "too long"),
        ("x" * 200_000, "too long"),
    ],
)
def test_a_wrong_secret_is_refused_without_repeating_what_may_be_its_value(
    text: str, message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        parse_secret(text, {})
    assert message in raised.value.message
    assert "hunter2" not in raised.value.message + raised.value.hint
    assert raised.value.__cause__ is None


def test_a_secret_may_be_as_large_as_buildkit_takes_it_and_no_larger(token_file: Path) -> None:
    token_file.write_bytes(b"x" * MAX_SECRET_BYTES)
    assert len(parse_secret("id=token", {}).value) == MAX_SECRET_BYTES
    token_file.write_bytes(b"x" * (MAX_SECRET_BYTES + 1))
    with pytest.raises(UsageError, match="'token' is larger than 500 KiB"):
        parse_secret("id=token", {})


def test_a_secret_does_not_show_its_value() -> None:
    assert repr(Secret("x", b"hunter2")) == "Secret(id='x')"


@pytest.fixture
def agent_socket(tmp_path: Path) -> Iterator[Path]:
    # Not in tmp_path as a whole name: a Unix socket's is at most 107 bytes long.
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        yield path


@pytest.mark.parametrize(
    ("text", "name", "named"),
    [
        ("default", "default", False),
        ("", "default", False),
        ("deploy", "deploy", False),
        ("default={}", "default", True),
        ("deploy={}", "deploy", True),
    ],
)
def test_an_ssh_option_names_an_agent(
    text: str, name: str, named: bool, agent_socket: Path
) -> None:
    environ = {} if named else {"SSH_AUTH_SOCK": str(agent_socket)}
    assert parse_ssh(text.format(agent_socket), environ) == SshAgent(name, agent_socket)


@pytest.mark.usefixtures("token_file")
@pytest.mark.parametrize(
    ("text", "environ", "message"),
    [
        ("default", {}, "SSH_AUTH_SOCK is not set"),
        ("default", {"SSH_AUTH_SOCK": ""}, "SSH_AUTH_SOCK is not set"),
        ("default", {"SSH_AUTH_SOCK": "gone"}, "'default' has no socket: No such file"),
        ("deploy=", {"SSH_AUTH_SOCK": "gone"}, "'deploy' has no socket"),
        ("deploy=gone", {}, "'deploy' has no socket: No such file"),
        ("deploy=token", {}, "'deploy' is a file and not the socket of an agent"),
    ],
)
def test_an_ssh_option_without_an_agent_is_refused(
    text: str, environ: Mapping[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_ssh(text, environ)


def test_options_are_parsed_without_loading_grpc_and_protobuf() -> None:
    code = (
        "import sys, releasetag.build_secrets as secrets\n"
        "secrets.parse_secret('id=x,env=X', {'X': 'x'})\n"
        "print([name for name in ('docker', 'google.protobuf', 'grpclib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
