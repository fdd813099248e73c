"""offloadbench: what each network offload is worth on your NIC, kernel and load.

import offloadbench

run = offloadbench.load("result.json")
run.trials.groupby("case")["cpu_s_per_gb"].mean()
"""

# nothing of the standard library is imported here: `python -m` has put the current folder before it (see __main__.py)
from offloadbench.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from offloadbench.dataset import Dataset

__all__ = ["__version__", "load"]


def load(*paths: "Path | str", profile: str = "linux") -> "Dataset":
    """One or more run files as tidy tables; see `offloadbench.dataset.Dataset`.

    Args:
        paths: run files, compressed or not.
        profile: attribution profile, a name or the path of a TOML file.

    Raises:
        offloadbench.base.errors.RunFileError: a file that cannot be read.
        offloadbench.base.errors.UsageError: no path, or no such profile.
    """
    # pandas takes its time: `import offloadbench` does not wait for it
    from offloadbench.dataset import Dataset

    return Dataset.load(paths, profile)
