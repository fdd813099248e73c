"""Throughput and CPU of every case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pandas as pd

from offloadbench.analysis.statistics.estimates import mean_interval
from offloadbench.base.sentence import Quantity, Sentence, Source, join, say
from offloadbench.base.words import figure
from offloadbench.report.material import Material
from offloadbench.report.plots.throughput_cpu import geometric_mean, has_interval, throughput_cpu
from offloadbench.report.section import Block, Section


def _write(material: Material) -> Iterator[Block]:
    usable = material.usable
    if usable.empty:
        return
    repeats = usable.groupby(["nic", "workload", "case"], sort=False)
    costs = [
        say(
            "{nic} {case}: {cost} CPU s/GB{interval}",
            nic=str(nic),
            case=str(case),
            cost=Quantity(geometric_mean(trials["cpu_s_per_gb"]), figure, _cells(trials, geometric_mean)),
            interval=_interval_words(trials),
        )
        for (nic, _, case), trials in repeats
    ]
    yield material.plot(
        partial(throughput_cpu, usable, material.results.cases),
        say("Bars of throughput, CPU busy and CPU seconds per GB per case: {costs}", costs=join("; ", costs)),
        say(
            "Throughput and CPU per case, each NIC on its own scale. Bars are geometric means over the repeats{dots}"
            "{intervals}.",
            dots=say(", dots are trials") if repeats.size().max() > 1 else "",
            intervals=say(", and lines with ends are 95 % intervals of the geometric mean (Student's t on logarithms)")
            if any(has_interval(trials, "cpu_s_per_gb") for _, trials in repeats)
            else "",
        ),
    )


def _cells(trials: pd.DataFrame, derive: Callable[[Sequence[float]], float]) -> Source:
    names = ("run", "workload", "case", "repeat")
    where = {name: tuple(dict.fromkeys(trials[name])) for name in names}
    return Source("trials", "cpu_s_per_gb", where, derive)


def _end(number: int, cells: Sequence[float]) -> float:
    """Mean, low or high end of the interval."""
    return mean_interval(cells)[number]


def _interval_words(trials: pd.DataFrame) -> Sentence:
    if not has_interval(trials, "cpu_s_per_gb"):
        return say("")
    _, low, high = mean_interval(trials["cpu_s_per_gb"].to_numpy())
    return say(
        " ({low} to {high})",
        low=Quantity(low, figure, _cells(trials, partial(_end, 1))),
        high=Quantity(high, figure, _cells(trials, partial(_end, 2))),
    )


SECTION = Section("saved", "What the offloads save", 40, _write, nav="savings", rows=("trials",), measured=True)
