"""Throughput against RTT of runs that are points of a sweep, with what theory allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.figure import Figure

from offloadbench.analysis.tables import sweep_tables
from offloadbench.base.sentence import say
from offloadbench.model import Run
from offloadbench.report.material import Material
from offloadbench.report.plots.rtt import line_names, rtt
from offloadbench.report.section import Block, Section


def against_rtt(sweep: sweep_tables.Axed, runs: Sequence[Run]) -> partial[Figure] | None:
    """Draws figures 2 and 15 of the origin paper from the runs of a sweep; None where no trial is ok."""
    rows = sweep_tables.trials(sweep, runs).query("outcome == 'ok'").dropna(subset=["goodput_bits_per_s"])
    if rows.empty:
        return None
    bounds = sweep_tables.theory(sweep, runs)
    bounds = bounds.assign(line=line_names(bounds)) if len(bounds) else bounds.assign(line="")
    lines = {
        str(name): sorted(set(zip(group["rtt_s"].tolist(), group["bound_bits_per_s"].tolist(), strict=True)))
        for name, group in bounds.groupby("line")
    }
    return partial(rtt, rows, lines)


def _write(material: Material) -> Iterator[Block]:
    grid = sweep_tables.grid(material.results.runs)
    draw = against_rtt(grid, material.results.runs) if grid else None
    if draw:
        yield material.plot(
            draw,
            say("Goodput against RTT, a line for each workload and setting, with what theory allows"),
            say("Goodput against RTT: lines are medians of the trials, dashed ones the lowest bound that theory sets."),
        )


SECTION = Section("rtt", "Throughput against RTT", 30, _write, nav="against RTT", measured=True)
