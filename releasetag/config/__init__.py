"""Settings from options, environment, file and defaults.

`schema` has the table of settings, one row each; `layers` merges what every place gives.
"""

from releasetag.config.layers import load
from releasetag.config.settings import BUILDERS, Configuration, Settings

__all__ = ["BUILDERS", "Configuration", "Settings", "load"]
