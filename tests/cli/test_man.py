"""docs/releasetag.1: the manual page is made from the command line's help."""

import re
import subprocess
import sys

from releasetag.config.schema import SETTINGS
from tests.conftest import Run
from tests.support.run import ROOT

PAGE = ROOT / "docs/releasetag.1"


def test_the_page_is_up_to_date() -> None:
    made = subprocess.check_output([sys.executable, ROOT / "scripts/man"], text=True)

    assert made == PAGE.read_text("utf-8"), "run make generated"


def test_the_page_renders_without_a_warning_and_has_every_command_option_and_variable() -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-P-c", "-rLL=10000n", PAGE],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    page = re.sub(r".\x08", "", done.stdout)  # bold and italics, as a typewriter has them

    assert done.stderr == ""
    for name in ("plan", "publish", "promote VERSION", "explain TAG", "login", "init"):
        assert f"releasetag {name} [" in page
    for setting in SETTINGS.values():
        names = ", ".join(filter(None, (setting.short, setting.option)))
        assert f" {names} {setting.value_name}".rstrip() in page
        assert setting.help in page
        assert setting.variable in page
    for code in range(11):
        assert re.search(rf"^ +{code} +\S", page, re.MULTILINE)


def test_the_page_has_the_commands_of_help(run_here: Run) -> None:
    listed = re.findall(r"^  ([a-z]+)  ", run_here("--help", cwd=ROOT).stdout, re.MULTILINE)

    page = PAGE.read_text("utf-8")

    assert len(listed) > 10
    assert re.findall(r'^\.SS "releasetag ([a-z]+) ', page, re.MULTILINE) == listed
