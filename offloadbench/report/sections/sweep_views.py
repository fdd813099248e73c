"""A sweep as a picture: throughput against RTT, with what theory allows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.figure import Figure

from offloadbench.analysis.tables import sweep_tables as analysis
from offloadbench.model import Run
from offloadbench.report.plots.rtt import line_names, rtt


def against_rtt(sweep: analysis.Axed, runs: Sequence[Run]) -> partial[Figure] | None:
    """Draws figures 2 and 15 of the origin paper from the runs of a sweep; None where no trial is ok."""
    rows = analysis.trials(sweep, runs).query("outcome == 'ok'").dropna(subset=["goodput_bits_per_s"])
    if rows.empty:
        return None
    bounds = analysis.theory(sweep, runs)
    bounds = bounds.assign(line=line_names(bounds)) if len(bounds) else bounds.assign(line="")
    lines = {
        str(name): sorted(set(zip(group["rtt_s"].tolist(), group["bound_bits_per_s"].tolist(), strict=True)))
        for name, group in bounds.groupby("line")
    }
    return partial(rtt, rows, lines)
