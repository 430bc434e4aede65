"""Forward an SSH agent read-only: list keys and sign, change nothing.

Source: draft-ietf-sshm-ssh-agent, sections 3 and 5.
"""

import asyncio

_ALLOWED_REQUESTS = {11, 13}  # list the identities, sign with one
_FAILURE = b"\0\0\0\1\5"
_MAX_BYTES = 256 * 1024  # OpenSSH's limit for one message


def split_requests(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the complete requests and the remaining bytes."""
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


async def forward_request(
    request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bytes:
    """Forward a request; return the reply, or failure if not allowed.

    Both begin with their length. A build step may use the keys, and not add or remove any nor lock
    the agent, as with the docker command.
    """
    if not _ALLOWED_REQUESTS.intersection(request[4:5]):
        return _FAILURE
    writer.write(request)
    await writer.drain()
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length, "big"))
