"""What a run says of each trial: its figures are those of the file."""

from __future__ import annotations

import msgspec
import pytest

from offloadbench.analysis.trial import metrics
from offloadbench.commands.progress import fitting, point_line, summary
from offloadbench.engine.progress_events import PointStarted, TrialEnded
from offloadbench.model import Run


@pytest.mark.parametrize(("cpus", "words"), [([0], "of one CPU"), ([0, 1, 2, 3], "of 4 CPUs")])
def test_a_trial_is_told_with_the_busy_share_of_all_its_cpus(sample_run: Run, cpus: list[int], words: str) -> None:
    run = msgspec.structs.replace(sample_run, bed=msgspec.structs.replace(sample_run.bed, dut_cpus=cpus))
    trial = run.trials[0]
    figures = metrics.of_trial(run, trial)
    assert figures is not None
    line = summary(TrialEnded(trial, figures, len(cpus)))
    assert line.endswith(f"CPU busy {figures.cpu_busy_ratio:.1%} {words}")
    assert 0 <= figures.cpu_busy_ratio <= 1


def test_a_trial_without_a_window_is_told_with_its_reason(sample_run: Run) -> None:
    failed = msgspec.structs.replace(sample_run.trials[0], outcome="failed", reason="no carrier", samples=None)
    assert summary(TrialEnded(failed, None, 1)).endswith("failed: no carrier")


@pytest.mark.parametrize(
    ("width", "line"),
    [(80, "3 s  94.4 Mbit/s  cwnd 370"), (26, "3 s  94.4 Mbit/s  cwnd 370"), (25, "3 s  94.4 Mbit/s"), (2, "3 ")],
)
def test_a_line_ends_with_a_whole_part(width: int, line: str) -> None:
    assert fitting(["3 s", "94.4 Mbit/s", "cwnd 370"], width) == line


def test_a_sweep_says_which_point_and_how_long_all_of_it_takes() -> None:
    point = PointStarted(3, 4, "RTT 20 ms", 95.0)
    assert point_line(point) == "point 3 of 4: RTT 20 ms; then about 1m35s more"
    assert point_line(point, 25.0) == "point 3 of 4: RTT 20 ms; about 2m00s left in all"
    assert point_line(PointStarted(4, 4, "RTT 20 ms", 0.0)) == "point 4 of 4: RTT 20 ms"
