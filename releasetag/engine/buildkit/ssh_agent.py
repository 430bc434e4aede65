"""Lend an SSH agent to a build step: to list keys and to sign with them, not to change it.

Source: draft-ietf-sshm-ssh-agent, sections 3 and 5.
"""

import asyncio

_ALLOWED_REQUESTS = {11, 13}  # list the identities, sign with one
_FAILURE = b"\0\0\0\1\5"
_MAX_BYTES = 256 * 1024  # OpenSSH's limit for one message


def split_requests(data: bytes) -> tuple[list[bytes], bytes]:
    """Split off the complete requests, each with its length; also returns the remaining bytes."""
    requests = []
    while len(data) >= 4:
        end = 4 + int.from_bytes(data[:4], "big")
        if end > _MAX_BYTES:
            raise ValueError("a request to the SSH agent is too long")
        if len(data) < end:
            break
        requests.append(data[:end])
        data = data[end:]
    return requests, data


async def ask_agent(
    request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bytes:
    """Forward a request and return the reply, length first; failure if it would change the agent.

    A build step may use the keys. It may not add or remove any, nor lock the agent (nor may it with
    the docker command).
    """
    if not _ALLOWED_REQUESTS.intersection(request[4:5]):
        return _FAILURE
    writer.write(request)
    await writer.drain()
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length, "big"))
