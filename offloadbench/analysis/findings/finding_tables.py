"""The findings of a report and the way of each saving as tidy tables: the rows that its sentences rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from offloadbench.analysis.comparison import foreign_work
from offloadbench.analysis.comparison.judging import blocks
from offloadbench.analysis.findings import findings
from offloadbench.analysis.findings.findings import Finding
from offloadbench.analysis.findings.savings import Fall, fall
from offloadbench.analysis.tables.results import Results, gather
from offloadbench.model import Profile, Run

FINDING_COLUMNS = ["nic", "workload", "title", "advice", "on", "off", "trials_on", "trials_off", "cpu_s_per_gb_on"]
FINDING_COLUMNS += ["cpu_s_per_gb_off", "saved_cpu_s_per_gb", "saved_ratio", "saved_ratio_low", "saved_ratio_high"]
FINDING_COLUMNS += ["detectable_change", "p_holm", "trials_needed", "verdict", "throughput_bits_per_s_on"]
FINDING_COLUMNS += ["throughput_bits_per_s_off", "throughput_change_ratio", "throughput_change_low"]
FINDING_COLUMNS += ["throughput_change_high", "throughput_detectable_change", "throughput_verdict"]
FINDING_COLUMNS += ["foreign_cpu_s_per_gb", "sentence", "basis", "sources", "command"]
FALL_COLUMNS = ["nic", "workload", "dearer", "cheaper", "quantity", "module", "dearer_per_byte", "cheaper_per_byte"]
FALL_COLUMNS += ["change_per_byte", "share_of_change"]
TOTAL, REST = "all modules", "other modules"


def finding_rows(runs: Sequence[Run], profile: Profile) -> pd.DataFrame:
    """One row per finding: the advice of each NIC and workload, then what explains it, each the biggest first.

    Columns: nic, workload, title, advice (keep, switch, weigh, best, open, apart; "" for what only explains), on, off
    (cases), trials_on, trials_off, cpu_s_per_gb_on, cpu_s_per_gb_off (geometric means over the blocks compared),
    saved_cpu_s_per_gb (off minus on), saved_ratio (of off) with its interval at the confidence of its test,
    detectable_change, p_holm, trials_needed, verdict (as `compare` has them), throughput_bits_per_s_on,
    throughput_bits_per_s_off, throughput_change_ratio (from off to on) with its interval, throughput_detectable_change,
    throughput_verdict, foreign_cpu_s_per_gb (taken by other processes, on the side where they took more), sentence,
    basis, sources, command.
    """
    results = gather(runs, profile)
    return pd.DataFrame([_finding(results, found) for found in findings.find(results)], columns=FINDING_COLUMNS)


def _finding(results: Results, found: Finding) -> dict[str, object]:
    cost, rate = found.cost, found.rate
    ratio, low, high = cost.ratios()
    change, change_low, change_high = rate.ratios()
    seen = results.answers[found.nic].seen
    pairs = [pair for block in blocks(seen, found.workload, ((found.off, found.on),)) for pair in block]
    return {
        "nic": found.nic,
        "workload": found.workload,
        "title": found.title,
        "advice": found.advice.kind.name.lower() if found.advice else "",
        "on": found.on,
        "off": found.off,
        "trials_on": cost.estimate.trials_b,
        "trials_off": cost.estimate.trials_a,
        "cpu_s_per_gb_on": cost.estimate.b,
        "cpu_s_per_gb_off": cost.estimate.a,
        "saved_cpu_s_per_gb": -cost.differences()[0],
        "saved_ratio": 1 - ratio,
        "saved_ratio_low": 1 - high,
        "saved_ratio_high": 1 - low,
        "detectable_change": cost.detectable_change,
        "p_holm": cost.p_holm,
        "trials_needed": cost.trials_needed,
        "verdict": cost.verdict,
        "throughput_bits_per_s_on": rate.estimate.b,
        "throughput_bits_per_s_off": rate.estimate.a,
        "throughput_change_ratio": change - 1,
        "throughput_change_low": change_low - 1,
        "throughput_change_high": change_high - 1,
        "throughput_detectable_change": rate.detectable_change,
        "throughput_verdict": rate.verdict,
        "foreign_cpu_s_per_gb": max(foreign_work.mean_cost([pair[side] for pair in pairs]) for side in (0, 1)),
        "sentence": str(found.sentence),
        "basis": str(found.basis),
        "sources": str(found.sources),
        "command": found.command,
    }


def falls(results: Results, found: Sequence[Finding]) -> Iterator[tuple[Finding, Fall]]:
    """The way of each finding whose modules may be named as its parts, module by module."""
    modules = results.busy_modules
    benches = dict(iter(modules.groupby(["nic", "workload"], sort=False)))
    for finding in found:
        rows = benches.get((finding.nic, finding.workload))
        way = fall(rows, finding.on, finding.off) if rows is not None and finding.attributable else None
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
