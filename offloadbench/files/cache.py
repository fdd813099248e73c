"""Where files are kept that can be made again: served files, and what was read from debug information."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$OFFLOADBENCH_CACHE, else /var/cache/offloadbench."""
    return Path(os.environ.get("OFFLOADBENCH_CACHE", "/var/cache/offloadbench"))
