"""The measured windows, second by second: throughput and CPU busy as small multiples, one panel a case."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from offloadbench.report.plots import style
from offloadbench.report.plots.panels import Panels, joined

_AXES_PX, _NARROW_AXES_PX = 110, 96
# as many points a case can be told apart as dots
_DOTS_MAX = 120
_NAME_PX = 42


def series(samples: pd.DataFrame, cases: Sequence[str], *, narrow: bool = False) -> Figure:
    """Each point is the mean of its own second, each line a trial; all panels share their scales, from zero.

    Args:
        samples: of one nic and workload: columns run, repeat, case, t_s, tx_bits_per_s, cpu_busy_ratio.
        cases: names in ladder order.
        narrow: for a narrow page.
    """
    trials: dict[str, list[pd.DataFrame]] = {}
    for (case, _, _), trial in samples.groupby(["case", "run", "repeat"], sort=False):
        trials.setdefault(str(case), []).append(trial)
    largest = float(samples["tx_bits_per_s"].max())
    factor, unit = (1e-9, "Gbit/s") if largest >= 2e9 else (1e-6, "Mbit/s")
    metrics = (("tx_bits_per_s", factor, unit, largest * factor * 1.1), ("cpu_busy_ratio", 100.0, "CPU busy, %", 105.0))
    here = [case for case in cases if case in trials]
    panels = Panels(
        here, round(samples["t_s"].max()), metrics=len(metrics),
        axes_px=_NARROW_AXES_PX if narrow else _AXES_PX, head_px=0, narrow=narrow,
    )  # fmt: skip
    for chunk, stack in panels.rows:
        for axes, (name, scale, label, top) in zip(stack, metrics, strict=True):
            for position, case in enumerate(chunk):
                x = joined([trial["t_s"].to_numpy() + panels.offset(position) for trial in trials[case]])
                y = joined([trial[name].to_numpy() * scale for trial in trials[case]])
                dot = "o" if len(x) <= _DOTS_MAX else ""
                axes.plot(x, y, color=style.case_colour(case), linewidth=1.4, marker=dot, markersize=2.6)
            axes.set_ylim(0, top or 1)
            style.name_axes(axes, y=label, left_px=_NAME_PX)
    return panels.figure
