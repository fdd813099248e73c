"""A sweep of two points on the real link: measured, shown, and gone on with where a point failed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from offloadbench.analysis.tables import sweep_tables as analysis
from offloadbench.files import sweep_file
from tests.lab.conftest import Offloadbench

WORDS = ("--workloads", "tcp-stream", "--rtt", "0,5ms", "--line-rate", "100mbit", "--set", "sndbuf=65536")
SHORT = ("--duration", "2", "--warmup", "1", "--no-profile")


@pytest.mark.quiet
def test_two_points_are_measured_shown_and_resumed(offloadbench: Offloadbench, tmp_path: Path) -> None:
    folder = tmp_path / "rtt"
    done = offloadbench("sweep", *WORDS, *SHORT, "--output", str(folder))
    # a machine too busy for the wire voids a trial, and says so
    if done.returncode == 5 and "void: the link emulator" in done.stderr:
        done = offloadbench("sweep", "--resume", "--output", str(folder))
    assert done.returncode == 0, done.stderr
    sweep = sweep_file.load(folder)
    assert all(point.done for point in sweep.points)
    rows = analysis.trials(sweep, sweep_file.load_runs(sweep, folder)).set_index("rtt_s")["goodput_bits_per_s"]
    assert rows[0.0] > 85e6
    # twice the send buffer in a round trip is the most
    assert rows[0.005] <= 2 * 65536 * 8 / 0.005
    assert "5 ms" in offloadbench("sweep", "--show", str(folder)).stdout
    # as if it had been killed before the index was written: the point's run is found whole
    points = [msgspec.structs.replace(point, done=point.number != 2) for point in sweep.points]
    sweep_file.save(msgspec.structs.replace(sweep, points=points), folder)
    resumed = offloadbench("sweep", "--resume", "--output", str(folder))
    assert resumed.returncode == 0, resumed.stderr
    assert "0 trials" in resumed.stderr
    assert sweep_file.load(folder) == sweep
