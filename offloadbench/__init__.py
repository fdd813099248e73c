"""offloadbench: what each network offload is worth on your NIC, kernel and load.

import offloadbench

run = offloadbench.load("result.json")
run.trials.groupby("case")["cpu_s_per_gb"].mean()
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from offloadbench.version import __version__

if TYPE_CHECKING:
    from offloadbench.dataset import Dataset

__all__ = ["__version__", "load"]


def load(*paths: Path | str, profile: str = "linux") -> Dataset:
    """One or more run files as tidy tables; see `offloadbench.dataset.Dataset`.

    Args:
        paths: run files, compressed or not.
        profile: attribution profile, a name or the path of a TOML file.

    Raises:
        offloadbench.errors.RunFileError: a file that cannot be read.
        offloadbench.errors.UsageError: no path, or no such profile.
    """
    # pandas takes its time: `import offloadbench` does not wait for it
    from offloadbench.dataset import Dataset

    return Dataset.load(paths, profile)
