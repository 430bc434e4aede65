"""Log in to a registry for the next step, in a Docker configuration of its own.

The job's configuration stays as it is: later steps find their logins, and so do other jobs with the
same home directory. All else in it counts here too: other registries' credentials, contexts,
buildx's builders, plugins. Called by action.yml, with the inputs in the environment.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CREDENTIALS = ("auths", "credHelpers", "credsStore")


def main() -> int:
    """Log in, and write the directory of the configuration to the step's outputs.

    Returns:
        The exit code of ``releasetag login``.
    """
    job = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker").absolute()
    own = Path(tempfile.mkdtemp(prefix="releasetag-docker-", dir=os.environ["RUNNER_TEMP"]))
    try:
        code = log_in(job, own)
    except BaseException:
        shutil.rmtree(own)
        raise
    if code:
        shutil.rmtree(own)
        return code
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as outputs:
        outputs.write(f"docker-config={own}\n")
    return 0


def log_in(job: Path, own: Path) -> int:
    """Make the configuration in a new directory, with the job's credentials and one more."""
    if job.is_dir():
        for entry in job.iterdir():
            if entry.name != "config.json":
                # A link: a builder that the next step makes is the job's.
                (own / entry.name).symlink_to(entry)
    config = own / "config.json"
    settings = read(job / "config.json", config)
    code = releasetag_login(own)
    if code == 0:
        write(config, with_login(settings, json.loads(config.read_bytes())["auths"]))
    return code


def read(file: Path, copy: Path) -> dict[str, Any]:
    """Read the job's settings; write them without the credentials, for the login.

    A login would go to the job's credential helper, in place of what is stored there. What Docker
    could not read is copied as it is, for the login to say so.
    """
    if not file.exists():
        return {}
    text = file.read_bytes()
    settings: dict[str, Any] = {}
    try:
        settings = json.loads(text or b"{}")
        tables = [settings.get(name) or {} for name in CREDENTIALS[:2]]
    except (ValueError, AttributeError, RecursionError):
        tables = [None]
    if not all(isinstance(table, dict) for table in tables):
        copy.write_bytes(text)
        return {}
    write(copy, {name: value for name, value in settings.items() if name not in CREDENTIALS})
    return settings


def with_login(settings: dict[str, Any], auths: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with credentials that come before what a helper has."""
    merged = {**settings, "auths": {**(settings.get("auths") or {}), **auths}}
    if settings.get("credsStore") or settings.get("credHelpers"):
        # An empty name takes a registry out of the helpers.
        merged["credHelpers"] = {**(settings.get("credHelpers") or {}), **dict.fromkeys(auths, "")}
    return merged


def write(file: Path, settings: dict[str, Any]) -> None:
    """Write a configuration, for nobody else to read."""
    file.touch(mode=0o600)
    file.write_text(json.dumps(settings), encoding="utf-8")


def releasetag_login(directory: Path) -> int:
    """Run ``releasetag login``, which checks the credentials with the registry."""
    environ = {**os.environ, "DOCKER_CONFIG": str(directory)}
    # A secret that was pasted often ends in a line break, as docker/login-action knows, too.
    password = environ.pop("RELEASETAG_PASSWORD").rstrip("\r\n")
    username = environ.pop("RELEASETAG_USERNAME").strip()
    registry = environ.pop("RELEASETAG_REGISTRY").strip()
    login = [sys.executable, "-I", "-m", "releasetag", "login", f"--username={username}"]
    return subprocess.run(
        [*login, "--password-stdin", "--", registry],
        env=environ,
        input=password.encode("utf-8", "surrogateescape"),
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
