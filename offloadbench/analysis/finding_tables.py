"""The findings of a report and the way of each saving as tidy tables: the rows that its sentences rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from offloadbench.analysis import findings
from offloadbench.analysis.findings import Finding
from offloadbench.analysis.results import Results, gather
from offloadbench.analysis.waterfall import Fall, fall
from offloadbench.model import Profile, Run

FINDING_COLUMNS = ["nic", "workload", "title", "on", "off", "trials_on", "trials_off", "cpu_s_per_gb_on"]
FINDING_COLUMNS += ["cpu_s_per_gb_off", "saved_cpu_s_per_gb", "saved_ratio", "throughput_bits_per_s_on"]
FINDING_COLUMNS += ["throughput_bits_per_s_off", "throughput_change_ratio", "foreign_cpu_s_per_gb", "sentence", "basis"]
FINDING_COLUMNS += ["sources", "command"]
FALL_COLUMNS = ["nic", "workload", "dearer", "cheaper", "quantity", "module", "dearer_per_byte", "cheaper_per_byte"]
FALL_COLUMNS += ["change_per_byte", "share_of_change"]
TOTAL, REST = "all modules", "other modules"


def finding_rows(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """One row per finding, the biggest saving or cost first; figures are medians over the usable trials of a side.

    Columns: nic, workload, title, on, off (cases), trials_on, trials_off, cpu_s_per_gb_on, cpu_s_per_gb_off,
    saved_cpu_s_per_gb (off minus on), saved_ratio (of off), throughput_bits_per_s_on, throughput_bits_per_s_off,
    throughput_change_ratio (from off to on), foreign_cpu_s_per_gb (taken by processes of others, at worst), sentence,
    basis, sources, command.
    """
    return pd.DataFrame([_finding(found) for found in findings.find(gather(runs, profile))], columns=FINDING_COLUMNS)


def _finding(found: Finding) -> dict[str, object]:
    sides = {name: found.rows[found.rows["case"] == case] for name, case in (("on", found.on), ("off", found.off))}
    medians = {
        f"{metric}_{name}": float(side[metric].median())
        for metric in ("cpu_s_per_gb", "throughput_bits_per_s")
        for name, side in sides.items()
    }
    cost_on, cost_off = medians["cpu_s_per_gb_on"], medians["cpu_s_per_gb_off"]
    before = medians["throughput_bits_per_s_off"]
    return {
        "nic": found.nic,
        "workload": found.workload,
        "title": found.title,
        "on": found.on,
        "off": found.off,
        **{f"trials_{name}": len(side) for name, side in sides.items()},
        **medians,
        "saved_cpu_s_per_gb": cost_off - cost_on,
        "saved_ratio": (cost_off - cost_on) / cost_off if cost_off else 0.0,
        "throughput_change_ratio": medians["throughput_bits_per_s_on"] / before - 1 if before else 0.0,
        "foreign_cpu_s_per_gb": max(findings.foreign(side) for side in sides.values()),
        "sentence": found.sentence,
        "basis": found.basis,
        "sources": found.sources,
        "command": found.command,
    }


def falls(results: Results, found: Sequence[Finding]) -> Iterator[tuple[Finding, Fall]]:
    """The way of each finding that says something and whose cases were profiled and differ, module by module."""
    modules = results.busy_modules
    benches = dict(iter(modules.groupby(["nic", "workload"], sort=False)))
    for finding in found:
        rows = benches.get((finding.nic, finding.workload))
        way = fall(rows, finding.on, finding.off) if rows is not None and finding.size else None
        if way:
            yield finding, way


def fall_rows(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """From the dearer to the cheaper case of every finding: one row per module, and one for `all modules`.

    Columns: nic, workload, dearer, cheaper (cases), quantity, module, dearer_per_byte, cheaper_per_byte (means over the
    usable trials, in the quantity's unit per byte of payload, without idle), change_per_byte, share_of_change.
    """
    results = gather(runs, profile)
    rows = [
        (finding.nic, finding.workload, way.dearer, way.cheaper, way.quantity, module, before, after, after - before)
        for finding, way in falls(results, findings.find(results))
        for module, before, after in [(TOTAL, way.start, way.end), *way.modules]
    ]
    table = pd.DataFrame(rows, columns=FALL_COLUMNS[:-1])
    by = ["nic", "workload", "dearer", "cheaper"]
    whole = table[table["module"] == TOTAL].set_index(by)["change_per_byte"].rename("whole")
    return table.assign(share_of_change=table["change_per_byte"] / table.join(whole, on=by)["whole"])
