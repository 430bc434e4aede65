"""What the tests of the command line share."""

from pathlib import Path

from tests.support.registry import RegistryServer
from tests.support.run import Finished

LABEL = "org.opencontainers.image."


def assert_refused(done: Finished, code: int, kind: str, *said: str) -> None:
    """A command line with ``--json`` and ``--quiet`` failed: two lines, and one JSON object."""
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr, done
    error = done.json["error"]
    assert done.json["schema"] == 1, done
    assert list(error) == ["code", "kind", "message", "hint"], done
    assert (error["code"], error["kind"]) == (code, kind), done
    assert error["message"], done
    assert error["hint"], done
    assert done.stderr == f"error: {error['message']}\nhint: {error['hint']}\n", done
    for text in said:
        assert text in done.stderr, done


def writes(registry: RegistryServer) -> list[str]:
    """The requests so far that could change something."""
    return [r for r in registry.requests() if not r.startswith(("GET ", "HEAD "))]


def no_engine(tmp_path: Path) -> dict[str, str]:
    """An environment whose engine is not there."""
    return {"DOCKER_HOST": f"unix://{tmp_path}/no-engine.sock"}


def put_release(
    registry: RegistryServer, version: str, *tags: str, path: str = "acme/app", revision: str = ""
) -> str:
    """An image of a release under its exact tag and others, by no client of ours; its digest."""
    labels = {f"{LABEL}version": version}
    if revision:
        labels[f"{LABEL}revision"] = revision
    digest = ""
    for tag in (version, *tags):
        digest = registry.put_image(path, tag, labels)
    return digest
