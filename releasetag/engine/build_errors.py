"""The error for a failed build: what the builder reports, and a hint.

The messages are those of BuildKit, of the classic builder and of Podman's.
"""

import re

from releasetag.errors import BuildError
from releasetag.text import printable

# Prefixes that BuildKit's layers add to the message.
_WRAPPING = re.compile(
    r"(?:rpc error: code = \w+ desc = |failed to solve(?: with frontend [\w./:-]+)?: "
    r"|failed to create LLB definition: )*"
)

_LOG_IN = "log in to the registry of the base image, or # syntax image: releasetag login REGISTRY"
_NO_EMULATOR = (
    "the image's platform is not the engine's: omit --platform, or install emulators "
    "(docker run --privileged --rm tonistiigi/binfmt --install all)"
)
_FULL = "free disk space of the engine: docker system prune"

# In order: patterns of the builder's message, in lower case.
_HINTS = (
    ("exec format error", _NO_EMULATOR),
    ("no space left on device", _FULL),
    ("requires buildkit", "build with BuildKit: --builder buildkit"),
    (
        "experimental features",
        "build with BuildKit (--builder buildkit), or enable the engine's experimental features",
    ),
    ("pull access denied", "check the base image's name, and log in to its registry"),
    ("authorization failed|no basic auth credentials|401 unauthorized", _LOG_IN),
    ("no result for incomplete build", "the image on the # syntax line is no BuildKit frontend"),
    ("parse error", "correct the Dockerfile at that line"),
    (
        r"\bdial tcp\b|\bno such host\b|connection refused",
        "the engine cannot reach that host: check its name, and the engine's network",
    ),
    ("build target|target stage", "--target names a stage of the Dockerfile: FROM … AS STAGE"),
    (r"\bsecret \S+ not found", "give it with --secret id=ID,src=FILE or id=ID,env=VARIABLE"),
    ("no ssh key", "forward an agent with --ssh default"),
    ("not supported by build server", "use a newer Docker Engine, or omit that feature"),
    (
        "cache key: failed to (?:calculate checksum|walk)|cache key: .*not found|build context",
        "COPY takes files of the context that .dockerignore does not exclude, or of --from",
    ),
    (r"\bnot found$", "check the image's name, in FROM or on the # syntax line"),
)

# Quotes of a failed RUN instruction, which may contain any text.
_QUOTED = re.compile(
    r"process \".*\" did not complete|executor failed running \[.*\]|command '.*' returned",
    re.DOTALL,
)

# Patterns of the failed step's output: only what no program prints about itself.
_LOG_HINTS = (("exec format error", _NO_EMULATOR), ("no space left on device", _FULL))


def without_command(message: str) -> str:
    """Return a builder's message without the instruction that it quotes."""
    return _QUOTED.sub("", message)


def build_error(message: str, log: tuple[str, ...]) -> BuildError:
    """Return the error for a builder's message.

    Args:
        log: the end of the failed step's output; only this reveals a missing emulator.
    """
    general = (
        "the last lines of the failed step show why"
        if log
        else "correct the Dockerfile, or what it runs"
    )
    texts = [(without_command(message), _HINTS), ("\n".join(log), _LOG_HINTS)]
    found = (h for text, hints in texts for words, h in hints if re.search(words, text.lower()))
    hint = next(found, general)
    reason = printable(_WRAPPING.sub("", message, count=1))
    return BuildError(f"the build failed: {reason}", hint, log)
