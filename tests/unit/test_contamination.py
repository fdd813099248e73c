"""A stray process on the measured CPU is told."""

from __future__ import annotations

import numpy as np

from offloadbench.analysis import contamination
from offloadbench.model import ProfileCounts, ProfileEvent
from offloadbench.packed import pack_profile


def _counts(**samples: int) -> ProfileCounts:
    return counts_of({name.replace("_", "-"): count for name, count in samples.items()})


def counts_of(samples: dict[str, int]) -> ProfileCounts:
    """A profile that holds so many samples of each process."""
    rows = len(samples)
    columns = {
        "address": np.zeros(rows),
        "mode": np.array([b"K"] * rows, dtype="S1"),
        "process": np.arange(rows),
        "cpu": np.zeros(rows),
        "second": np.zeros(rows),
        "event": np.zeros(rows),
        "count": np.array(list(samples.values())),
        "weight": np.array(list(samples.values())),
    }
    return ProfileCounts(
        events=[ProfileEvent(name="cpu-clock", quantity="kernel_cpu_time_ns", period=1)],
        comms=list(samples),
        rows=rows,
        columns=pack_profile(columns),
        samples=sum(samples.values()),
        lost_samples=0,
        throttled=0,
        outside_window=0,
    )


def test_the_server_and_the_kernel_are_at_home() -> None:
    assert contamination.warnings(_counts(ob_ftp_server=700, swapper=300)) == []


def test_a_stray_process_is_named_with_its_share() -> None:
    (warning,) = contamination.warnings(_counts(ob_ftp_server=600, swapper=300, pip=100))
    assert "10.0%" in warning
    assert "pip" in warning


def test_a_stray_process_below_the_limit_is_no_warning() -> None:
    counts = _counts(ob_ftp_server=700, swapper=290, pip=10)
    assert contamination.foreign_shares(counts) == {"pip": 0.01}
    assert contamination.warnings(counts) == []
