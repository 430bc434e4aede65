"""An SSH agent that a build step may use and not change."""

import os
from pathlib import Path

import pytest

from releasetag.build_secrets import (
    SshAgent,
)
from releasetag.engine.buildkit.ssh_agent import split_requests
from releasetag.engine.connect import Engine
from tests.support.image import busybox_files
from tests.support.session import (
    build_in_session,
    output_of,
    session_on,
    with_libraries,
)


def test_a_step_signs_with_the_ssh_agent_but_cannot_change_it(
    connected: Engine, tag: str, ssh_agent: SshAgent, tmp_path: Path
) -> None:
    steps = (
        "COPY root /\n"
        "RUN --mount=type=ssh ssh-add -l && ssh-add -T /key.pub && echo it signs"
        " && ! ssh-add -D && ! ssh-add -x </dev/null && ssh-add -L\n"
    )
    files = busybox_files(steps) | with_libraries("ssh-add")
    files["root/key.pub"] = (tmp_path / "key.pub").read_bytes()
    files["root/etc/passwd"] = "root:x:0:0::/:/bin/sh\n"
    with session_on(connected, agents=[ssh_agent]) as session_id:
        output = build_in_session(connected, session_id, files, tag)
    fingerprint = output_of("ssh-keygen", "-l", "-f", tmp_path / "key.pub").split()[1]
    assert fingerprint in output
    assert b"it signs" in output
    environ = {**os.environ, "SSH_AUTH_SOCK": str(ssh_agent.socket)}
    assert fingerprint in output_of("ssh-add", "-l", env=environ)


def test_a_step_that_requires_another_ssh_agent_fails(
    connected: Engine, tag: str, ssh_agent: SshAgent
) -> None:
    steps = "RUN --mount=type=ssh,id=deploy{} true\n"
    with session_on(connected, agents=[ssh_agent]) as session_id:
        with pytest.raises(AssertionError, match='no SSH key "deploy" forwarded'):
            build_in_session(
                connected, session_id, busybox_files(steps.format(",required=true")), tag
            )
        build_in_session(connected, session_id, busybox_files(steps.format("")), tag)


@pytest.mark.parametrize(
    ("chunks", "requests"),
    [
        ([b"\0\0\0\1\x0b"], [b"\0\0\0\1\x0b"]),
        ([b"\0", b"\0\0\1", b"\x0b"], [b"\0\0\0\1\x0b"]),
        ([b"\0\0\0\1\x0b\0\0\0\2\x0dx\0"], [b"\0\0\0\1\x0b", b"\0\0\0\2\x0dx"]),
        ([b"\0\0\0\0"], [b"\0\0\0\0"]),
    ],
)
def test_agent_requests_are_split_however_they_are_cut(
    chunks: list[bytes], requests: list[bytes]
) -> None:
    found, rest = [], b""
    for chunk in chunks:
        whole, rest = split_requests(rest + chunk)
        found += whole
    assert found == requests


def test_an_agent_request_larger_than_openssh_takes_is_not_gathered() -> None:
    with pytest.raises(ValueError, match="too long"):
        split_requests(b"\xff\xff\xff\xff")
