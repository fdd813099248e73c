"""The windows, second by second: throughput and CPU, then the modules."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from offloadbench.analysis.tables.results import case_means
from offloadbench.base import words
from offloadbench.base.sentence import say
from offloadbench.report.material import Material, benches
from offloadbench.report.plot import Plot
from offloadbench.report.plots import modules_plot as module_bars
from offloadbench.report.plots.module_series import module_series
from offloadbench.report.plots.series import series
from offloadbench.report.section import Block, Section


def _write(material: Material) -> Iterator[Block]:
    results = material.results
    courses = dict(benches(case_means(results.seconds, ["second", "module"], ["value"])))
    bars = dict(benches(results.busy_modules))
    for (nic, workload), rows in benches(results.samples):
        names = {"nic": nic, "workload": workload}
        yield material.plot(
            partial(series, rows, results.cases),
            say("Throughput and CPU busy for every second of the window, {nic}, {workload}", **names),
            say("{nic}, {workload}: one point a second, one line a trial.", **names),
        )
        if (nic, workload) in courses and (nic, workload) in bars:
            yield _course(material, nic, workload, courses[nic, workload], bars[nic, workload])


def _course(material: Material, nic: str, workload: str, course: pd.DataFrame, bars: pd.DataFrame) -> Plot:
    top, length_s = module_bars.top_modules(bars), material.results.run_of(nic).plan.duration_s
    told = ", ".join(words.module_label(name) for name in top)
    names = {"nic": nic, "workload": workload}
    return material.plot(
        partial(module_series, course, material.results.cases, top, length_s),
        say(
            "Stacked areas of the modules for every second of the window, {nic}, {workload}: {told}", told=told, **names
        ),
        say(
            "{nic}, {workload}: the modules of the bars second by second, without idle; means over the repeats.",
            **names,
        ),
    )


SECTION = Section(
    "seconds",
    "Second by second",
    100,
    _write,
    nav="second by second",
    rows=("samples", "module_seconds"),
    measured=True,
)
