"""Throughput and the line's bound follow the header bytes that the connection really has."""

from __future__ import annotations

from pathlib import Path

import pytest

from offloadbench.analysis.sender import limit_tables, theory
from offloadbench.analysis.tables import trial_tables
from offloadbench.files import run_file
from offloadbench.model import Run
from tests.lab.conftest import Offloadbench

pytestmark = pytest.mark.quiet
_NO_TIMESTAMPS = "net.ipv4.tcp_timestamps=0"


def _run(offloadbench: Offloadbench, path: Path, *arguments: str) -> Run:
    done = offloadbench(
        "run", "--cases", "tso", "--warmup", "1", "--duration", "3", "--no-profile", "--overwrite", *arguments,
        "--output", str(path),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return run_file.load(path)


def test_without_timestamps_the_line_carries_949_megabits(offloadbench: Offloadbench, tmp_path: Path) -> None:
    arguments = ("--nic", "lab", "--workloads", "tcp-stream", "--sysctl", _NO_TIMESTAMPS)
    found = limit_tables.bounds([_run(offloadbench, tmp_path / "lab.json", *arguments)])
    line = found[found["bound"] == theory.LINE_RATE].iloc[0]
    assert line["bound_bits_per_s"] == pytest.approx(1e9 * 1460 / 1538)
    assert 0.97 <= line["of_bound_ratio"] <= 1.003


@pytest.mark.parametrize(("sysctl", "segment_bytes"), [((), 1448), (("--sysctl", _NO_TIMESTAMPS), 1460)])
def test_throughput_over_goodput_is_a_frame_over_its_payload(
    offloadbench: Offloadbench, tmp_path: Path, sysctl: tuple[str, ...], segment_bytes: int
) -> None:
    one = _run(offloadbench, tmp_path / "veth.json", "--nic", "lab-veth", "--workloads", "ftp-get", *sysctl)
    (trial,) = trial_tables.trials([one]).to_dict("records")
    ratio = trial["throughput_bits_per_s"] / trial["goodput_bits_per_s"]
    # acknowledgements and the ends of the window are the rest
    assert ratio == pytest.approx(1514 / segment_bytes, rel=0.004)
