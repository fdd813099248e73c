"""Whose work the samples are and on which CPU: tables of a report, and the sentences beside them."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from offloadbench.analysis.profile.attribution import names_server
from offloadbench.analysis.profile.contamination import FOREIGN_RATIO
from offloadbench.analysis.tables.results import Results, case_means
from offloadbench.base.sentence import Sentence, say
from offloadbench.base.words import module_label, percent
from offloadbench.report.cells import Badge, Cell, Head, Table, number
from offloadbench.report.material import Material
from offloadbench.report.plots.modules_plot import REST, top_modules
from offloadbench.report.section import Block, Paragraph, Section

_PROCESSES = 12


def processes(results: Results) -> list[Table]:
    """Per nic and workload: share of the busy weight of each process in each case, and its part in user mode."""
    table = results.processes
    table = table.assign(user=table["value"] * table["user_ratio"], own=table["own"].astype(bool))
    means = case_means(table, ["process", "own"], ["share_ratio", "value", "user"])
    return [
        _process_table(results, f"{nic}, {workload}", rows)
        for (nic, workload), rows in means.groupby(["nic", "workload"], sort=False)
    ]


def _process_table(results: Results, bench: str, means: pd.DataFrame) -> Table:
    cases = [case for case in results.cases if case in set(means["case"])]
    sums = means.pivot_table(
        index=["process", "own"], columns="case", values=["share_ratio", "value", "user"], aggfunc="sum", fill_value=0.0
    )
    order = pd.DataFrame(sums["share_ratio"]).max(axis=1).sort_values(ascending=False, kind="stable").index
    named = any(names_server(one.profile) for run in results.runs for one in run.trials if one.profile)
    figures = sums.to_dict("index")
    rows = []
    for process, own in order[:_PROCESSES]:
        badges = () if own or not named else (Badge("not the benchmark's", "bad"),)
        row = [Cell(str(process), str(process), badges)]
        for case in cases:
            share, value, user = (figures[process, own][name, case] for name in ("share_ratio", "value", "user"))
            mode = user / value if value else float("nan")
            row += [number(share, percent(share)), number(mode, percent(mode))]
        rows.append(row)
    left_out = order[_PROCESSES:]
    if len(left_out):
        row = [Cell(f"{len(left_out)} more", "\N{TILDE}")]
        for case in cases:
            share = float(sums["share_ratio", case].loc[left_out].sum())
            row += [number(share, percent(share)), Cell("")]
        rows.append(row)
    heads = [Head("Process")]
    for case in cases:
        heads += [Head(case, True), Head("in user mode", True)]
    limit = f"more than {FOREIGN_RATIO * 100:.0f} % of processes that are not the benchmark's is a caveat"
    unnamed = "the server has no name of its own in this run, so it cannot be told from other programs"
    return Table(f"{bench}: processes by share of the busy weight; {limit if named else unnamed}", heads, rows)


def cpus(results: Results) -> tuple[list[Table], list[Sentence]]:
    """Tables for the nics that were measured on several CPUs, sentences for those with one."""
    tables, sentences = [], []
    bars = results.busy_modules
    means = case_means(results.cpus, ["cpu", "module"], ["value"])
    for (nic, workload), rows in means.groupby(["nic", "workload"], sort=False):
        bench = f"{nic}, {workload}"
        measured = results.run_of(str(nic)).bed.dut_cpus
        if len(measured) > 1:
            here = bars[(bars["nic"] == nic) & (bars["workload"] == workload)]
            tables.append(_cpu_table(results, bench, rows, top_modules(here)))
        else:
            cpu = measured[0] if measured else rows["cpu"].iloc[0]
            sentences.append(say("{bench}: CPU {cpu} alone was measured.", bench=bench, cpu=str(cpu)))
    return tables, sentences


def _cpu_table(results: Results, bench: str, means: pd.DataFrame, top: list[str]) -> Table:
    """One row per case and CPU: its share of the busy weight, and of that the share of each big module."""
    part = means["module"].where(means["module"].isin(top), REST)
    sums = means.assign(part=part).pivot_table(
        index=["case", "cpu"], columns="part", values="value", aggfunc="sum", fill_value=0.0
    )
    parts = [name for name in (*top, REST) if name in sums.columns]
    whole = sums.sum(axis=1)
    rows = []
    for rank, case in enumerate(results.cases):
        if case not in whole.index:
            continue
        for cpu, busy in whole.loc[case].items():
            row = [Cell(case, str(rank)), Cell(str(cpu), str(cpu))]
            shares = [busy / whole.loc[case].sum(), *(sums.loc[(case, cpu), name] / busy for name in parts)]
            rows.append([*row, *(number(float(share), percent(float(share))) for share in shares)])
    labels = [name if name == REST else module_label(name) for name in parts]
    heads = [
        Head("Case"),
        Head("CPU", True),
        Head("of the busy weight", True),
        *(Head(label, True) for label in labels),
    ]
    return Table(f"{bench}: share of the busy weight on each CPU, and what that CPU did", heads, rows)


def _write(material: Material) -> Iterator[Block]:
    tables, single = cpus(material.results)
    for text in material.foreign.values():
        yield Paragraph(text, "warning")
    for text in single:
        yield Paragraph(text)
    yield from processes(material.results)
    yield from tables


SECTION = Section("processes", "Processes and CPUs", 140, _write, rows=("processes", "cpus"))
