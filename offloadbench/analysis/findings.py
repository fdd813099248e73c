"""What a run says: for every offload that was switched, what it saves or costs, and the command that follows.

A finding rests on usable trials only, and compares cases that differ in the named offload.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from offloadbench.analysis import lasting, proof
from offloadbench.analysis.results import Results
from offloadbench.units import format_rate

# below this a difference of two trials is not worth a sentence of advice
_SAME_CPU_RATIO = 0.02
_SAME_THROUGHPUT_RATIO = 0.01
# the origin experiment lost less than 4 % of throughput at worst and still called it free
_FREE_THROUGHPUT_RATIO = 0.04
# what others took may be charged to one side only: beyond this share of the difference it could be the difference
_FOREIGN_OF_SAVING = 0.5
_FULL_CPU_RATIO = 0.97
_SOURCES = 4
PLACEHOLDER = "<ifname>"


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison.

    Attributes:
        title: what was compared, for a heading.
        sentence: advice and figures, one sentence.
        sources: where the difference comes from; "" without a profile.
        basis: on how many trials it rests.
        command: the line that follows the advice; "" when there is nothing to change.
        recipes: how to make what the command does last; none without a command.
        size: CPU seconds per GB of payload that the offload saves; negative when it costs, 0 where nothing can be said.
        rows: the rows of the trials table it rests on.
        on, off: names of the two cases.
    """

    nic: str
    workload: str
    title: str
    sentence: str
    sources: str
    basis: str
    command: str
    recipes: list[lasting.Recipe]
    size: float
    rows: pd.DataFrame
    on: str
    off: str


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two cases that differ in `subject`; `unless`: a case between them whose presence makes the pair redundant."""

    subject: str
    plural: bool
    on: str
    off: str
    switches: tuple[str, ...]
    unless: str = ""


# from broad to narrow
_PAIRS = (
    _Pair("TSO, GSO and checksum offload", True, "tso", "none", ("tx", "gso", "tso")),
    _Pair("TSO and GSO", True, "tso", "csum", ("gso", "tso"), unless="gso"),
    _Pair("GSO and checksum offload", True, "gso", "none", ("tx", "gso"), unless="csum"),
    _Pair("TSO", False, "tso", "gso", ("tso",)),
    _Pair("GSO", False, "gso", "csum", ("gso",)),
    _Pair("TX checksum offload", False, "csum", "none", ("tx",)),
)


def figure(value: float) -> str:
    """Three significant figures without exponents, at most three decimals: 3.71, 0.65, 12.3, 148."""
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 3
    return f"{value:.{decimals}f}"


def percent(ratio: float) -> str:
    """0.8261 -> '83 %'; small ones keep a decimal."""
    return f"{ratio * 100:.1f} %" if abs(ratio) < 0.0995 else f"{ratio * 100:.0f} %"


def share(ratio: float) -> str:
    """`percent` of something that is there, however little: never 0.0 %."""
    return percent(ratio) if ratio >= 0.0005 else "under 0.1 %"


def _side(trials: pd.DataFrame, name: str) -> pd.DataFrame:
    """The usable trials of a case; a case that came to the same state as another ran under that one's name."""
    also = trials["also_named"].map(lambda names: name in str(names).split())
    return trials[trials["usable"] & ((trials["case"] == name) | also)]


def _subject(pair: _Pair, proofs: pd.DataFrame, cases: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The subject and its switches; RX checksum is named only where both sides show that it acted."""
    receive = proofs[(proofs["subject"] == "rx-checksum") & proofs["case"].isin(cases)]
    acted = len(receive) > 0 and bool((receive["verdict"] == proof.PROVEN).all())
    if pair.off != "none" or not acted:
        return pair.subject, pair.switches
    return pair.subject.replace("TX checksum", "TX and RX checksum"), ("rx", *pair.switches)


def _throughput(on: pd.DataFrame, off: pd.DataFrame) -> tuple[str, float]:
    """What throughput did, and its relative change from off to on."""
    before, after = off["throughput_bits_per_s"].median(), on["throughput_bits_per_s"].median()
    change = after / before - 1 if before else 0.0
    if abs(change) < _SAME_THROUGHPUT_RATIO:
        return f", at the same throughput ({format_rate(after)})", change
    link, verb = (", and throughput", "rises") if change > 0 else (", but throughput", "falls")
    size = f"to {change + 1:.2g} times" if change >= 1 else f"by {percent(abs(change))}"
    return f"{link} {verb} {size} ({format_rate(before)} → {format_rate(after)})", change


def _basis(on: pd.DataFrame, off: pd.DataFrame) -> tuple[str, bool]:
    """The words for the number of trials, and whether the two sides' trials overlap."""
    counts = sorted({len(on), len(off)})
    one, other = on["cpu_s_per_gb"], off["cpu_s_per_gb"]
    if counts[0] == 1:
        few = (
            "an indication from one trial a side"
            if counts == [1]
            else f"an indication: {len(on)} against {len(off)} trials"
        )
        return few, bool(one.min() <= other.max() and other.min() <= one.max())
    apart = one.max() < other.min() or other.max() < one.min()
    count = str(counts[0]) if len(counts) == 1 else f"{len(on)} and {len(off)}"
    return f"medians of {count} trials a side, whose ranges {'do not overlap' if apart else 'overlap'}", not apart


def module_label(module: str) -> str:
    """The module as read by people; irq_shadow is no place in the kernel."""
    return {
        "irq_shadow": "irq_shadow (not attributable)",
        "other": "no rule",
        "user": "user space",
        "mem": "memory management",
        "netdev": "net device core",
        "driver": "NIC driver",
        "skb": "socket buffers (skb)",
        "ip": "IP",
        "tcp": "TCP",
        "gso": "software segmentation (gso)",
        "checksum": "software checksum",
        "copy": "data copies",
        "zero": "zeroed memory",
    }.get(module, module)


def unit_per_byte(quantity: str) -> str:
    """The unit of value_per_byte."""
    return {"kernel_cpu_time_ns": "ns of CPU time per byte"}.get(quantity, f"{quantity} per byte")


def _sources(modules: pd.DataFrame, on: str, off: str) -> str:
    """The modules that moved most, in the direction of the whole."""
    wide = modules[modules["case"].isin([on, off])].pivot_table(
        index="module", columns="case", values="value_per_byte", aggfunc="sum", fill_value=0.0
    )
    if not {on, off} <= set(wide.columns):
        return ""
    moved = (wide[off] - wide[on]).sort_values(ascending=False)
    total = float(moved.sum())
    if total < 0:
        moved = -moved.sort_values()
    chosen = [(str(name), float(value)) for name, value in moved.head(_SOURCES).items() if value > 0.05 * abs(total)]
    if not chosen or not total:
        return ""
    parts = ", ".join(f"{module_label(name)} {figure(value)}" for name, value in chosen)
    unit = unit_per_byte(str(modules["quantity"].iloc[0]))
    return f"{'Saved' if total > 0 else 'Spent'} most in: {parts} ({unit}; all modules {figure(abs(total))})."


def foreign(side: pd.DataFrame) -> float:
    """CPU seconds per GB that processes of others took on the measured CPUs, at worst; 0 where it is not known."""
    taken = side["foreign_cpu_ratio"] / side["cpu_busy_ratio"] * side["cpu_s_per_gb"]
    return float(taken.max()) if taken.notna().any() else 0.0


def _sentence(subject: str, plural: bool, on: pd.DataFrame, off: pd.DataFrame) -> tuple[str, str, float]:
    """Sentence, the state that it recommends (on, off or nothing), and the CPU seconds per GB saved."""
    cost_on, cost_off = float(on["cpu_s_per_gb"].median()), float(off["cpu_s_per_gb"].median())
    saved = cost_off - cost_on
    relative = saved / cost_off if cost_off else 0.0
    rate, change = _throughput(on, off)
    _, overlap = _basis(on, off)
    figures = f"{figure(cost_off)} → {figure(cost_on)} CPU s/GB"
    they, verb = ("together they", "") if plural else ("it", "s")
    several = min(len(on), len(off)) > 1
    taken = max(foreign(on), foreign(off))
    if taken > _FOREIGN_OF_SAVING * abs(saved):
        return (
            f"Nothing can be said about {subject}: processes of others took up to {figure(taken)} CPU seconds per GB "
            f"on the measured CPUs, too much beside the difference ({figures}); measure on a quiet machine.",
            "",
            0.0,
        )
    if abs(relative) < _SAME_CPU_RATIO or (several and overlap):
        state = "on" if change > _SAME_THROUGHPUT_RATIO else ""
        return f"{subject} make{'' if plural else 's'} no clear difference in CPU here ({figures}){rate}.", state, saved
    if saved < 0:
        cost = (
            f"{they} cost{verb} {figure(-saved)} CPU seconds per GB here ({figures}, {percent(-relative)} more){rate}"
        )
        if change > _FREE_THROUGHPUT_RATIO:
            return f"Weigh {subject}: {cost}.", "", saved
        return f"Switch {subject} off: {cost}.", "off", saved
    gain = f"{they} save{verb} {figure(saved)} CPU seconds per GB here ({figures}, {percent(relative)} less){rate}"
    if change < -_FREE_THROUGHPUT_RATIO:
        return f"Weigh {subject}: {gain}.", "", saved
    full = min(on["cpu_busy_ratio"].median(), off["cpu_busy_ratio"].median()) > _FULL_CPU_RATIO
    limit = "; the CPU was full in both cases, so it set the throughput" if full else ""
    return f"Keep {subject} on: {gain}{limit}.", "on", saved


def _compare(results: Results, nic: str, workload: str, pair: _Pair, modules: pd.DataFrame) -> Finding | None:
    trials = results.trials
    here = trials[(trials["nic"] == nic) & (trials["workload"] == workload)]
    on, off = _side(here, pair.on), _side(here, pair.off)
    # cases that came to the same state on this NIC ran once, under both names
    if on.empty or off.empty or set(on.index) & set(off.index):
        return None
    proofs = results.proofs
    proofs = proofs[(proofs["nic"] == nic) & (proofs["workload"] == workload)]
    on_case, off_case = str(on["case"].iloc[0]), str(off["case"].iloc[0])
    subject, switches = _subject(pair, proofs, [on_case, off_case])
    sentence, state, saved = _sentence(subject, pair.plural, on, off)
    run = results.run_of(nic)
    ifname = PLACEHOLDER if run.bed.kind.startswith("lab") else shlex.quote(run.nic.ifname)
    basis, _ = _basis(on, off)
    return Finding(
        nic=nic,
        workload=workload,
        title=f"{subject} (case {on_case} against {off_case})",
        sentence=sentence,
        # where a difference comes from of which nothing can be said is nothing to say either
        sources=_sources(modules, on_case, off_case) if saved else "",
        basis=basis,
        command=f"ethtool -K {ifname} {' '.join(f'{name} {state}' for name in switches)}" if state else "",
        recipes=lasting.recipes(ifname, switches, state) if state else [],
        size=saved,
        rows=pd.concat([on, off]),
        on=on_case,
        off=off_case,
    )


def find(results: Results) -> list[Finding]:
    """Every finding, the biggest saving or cost first."""
    found: list[Finding] = []
    modules = results.busy_modules
    trials = results.trials
    for nic, workload in trials[["nic", "workload"]].drop_duplicates().itertuples(index=False):
        here = trials[(trials["nic"] == nic) & (trials["workload"] == workload)]
        shares = modules[(modules["nic"] == nic) & (modules["workload"] == workload)]
        by_rows: dict[frozenset[object], Finding] = {}
        for pair in _PAIRS:
            finding = _compare(results, str(nic), str(workload), pair, shares)
            if finding is None:
                continue
            rows = frozenset(finding.rows.index)
            redundant = bool(pair.unless) and not _side(here, pair.unless).empty
            # where cases came to the same state, the narrower subject is what really differed
            if rows in by_rows or not redundant:
                by_rows[rows] = finding
        found += by_rows.values()
    return sorted(found, key=lambda finding: -abs(finding.size))


def headlines(findings: Sequence[Finding]) -> list[Finding]:
    """The biggest finding of each (nic, workload), in the order given."""
    first: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        first.setdefault((finding.nic, finding.workload), finding)
    return list(first.values())
