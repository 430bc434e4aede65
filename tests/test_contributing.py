"""CONTRIBUTING.md: its picture is the one of the import contract."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_picture_of_the_layers_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/layers"], capture_output=True, text=True, check=True
    )
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")

    assert "publish " in done.stdout
    assert done.stdout in page, "run scripts/layers --write"
