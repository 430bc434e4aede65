"""``python -m releasetag.cli.check_config FILE…``: the pre-commit hook.

A module and no command: whoever is at a command line has `releasetag plan`, which says more but
needs a release.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from releasetag.config import load
from releasetag.errors import UsageError
from releasetag.history import GitTags
from releasetag.plan import plan_for, refuse_shared_images
from releasetag.report.messages import Messages
from releasetag.version import Release, parse_version

_VERSIONS = ("1.2.3", "1.3.0-rc.1", "1.3.0rc1")
"""What a release may be: one of SemVer, and prereleases of SemVer and PEP 440."""

_COMMIT = "0" * 40


def check(file: Path) -> None:
    """See that a file is a configuration with which a release can be planned.

    Variables of the environment do not count: they are not those of the run that publishes.

    Raises:
        UsageError: it is not.
    """
    directory = file.absolute().parent
    options = {"config": str(file)}
    configuration = load(options, {}, directory, directory, Path.cwd())
    for settings in configuration.all():
        refuse_shared_images(configuration, settings)
        for text in _VERSIONS:
            version = parse_version(text, settings.versions)
            if version is not None:
                git_tag = settings.policy.git_tags(version)[0]
                tags = GitTags({git_tag: _COMMIT}, "local", "", False, "local", "")
                plan_for(Release(git_tag, version, _COMMIT), settings, tags)


def main(files: Sequence[str]) -> int:
    """Check every file, and print what is wrong with each."""
    messages = Messages(os.environ)
    failed = 0
    for file in files:
        try:
            check(Path(file))
        except UsageError as error:
            messages.error(error)
            failed = error.exit_code
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
