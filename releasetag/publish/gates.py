"""Run the gates: commands that must succeed before any floating tag names the image."""

from collections.abc import Sequence

from releasetag.publish.run import Run
from releasetag.registry import Manifest


def run_gates(run: Run, commands: Sequence[Sequence[str]], manifest: Manifest) -> None:
    """Run every gate, unless the floating tags that they guard name the image already.

    Args:
        commands: the words of each gate, from `parse_gate`.

    Raises:
        GateError: one refused, or cannot be run.
    """
    if not commands:
        return
    plan = run.plan
    floats = run.references([tag.name for tag in plan.floating])
    digests = [digest for _, digest in run.each(run.registries.digest, floats)]
    if floats and all(digest == manifest.digest for digest in digests):
        run.report.step("Running no gate: the floating tags name the image already")
        return
    by_digest = [str(repository.at(manifest.digest)) for repository in plan.repositories]
    environ = {
        **run.environ,
        "RELEASETAG_VERSION": str(plan.release.version),
        "RELEASETAG_DIGEST": manifest.digest,
        "RELEASETAG_REFERENCES": "\n".join(by_digest),
    }
    for words in commands:
        run.report.step(f"Running the gate {words[0]}", prints=True)
        run.run_gate(words, environ)
