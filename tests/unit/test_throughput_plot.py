"""The chart of throughput and CPU, at the ends of what can be measured."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

from offloadbench.report.plots import style
from offloadbench.report.plots.throughput_cpu import throughput_cpu


@pytest.mark.parametrize("busy", [1.0, 0.7])
def test_a_cpu_that_is_all_busy_has_an_interval_of_no_length(busy: float) -> None:
    # exp(mean(log(100.0))) is 100.00000000000004
    trials = pd.DataFrame(
        {
            "run": "a",
            "nic": "lab-veth",
            "workload": "ftp-get",
            "case": "tso",
            "goodput_bits_per_s": [4.0e10, 4.1e10, 4.2e10, 4.3e10],
            "cpu_busy_ratio": busy,
            "cpu_s_per_gb": [0.2, 0.21, 0.19, 0.2],
        }
    )
    with style.drawing():
        figure = throughput_cpu(trials, ["tso"])
    (bar,) = [item for item in figure.axes[1].containers if isinstance(item, ErrorbarContainer)]
    _, _, (spans,) = bar
    ((low, _), (high, _)) = spans.get_segments()[0]
    assert low <= high == pytest.approx(100 * busy)
