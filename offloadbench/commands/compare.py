"""Compare two run files: throughput, CPU, cost per GB and modules of every case, and how sure."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from offloadbench.errors import OK
from offloadbench.units import format_rate

if TYPE_CHECKING:
    from offloadbench.analysis.compare import Comparison, Effect

_MODULES_SHOWN = 5
_TITLES = {
    "throughput_bits_per_s": "throughput",
    "cpu_busy_ratio": "CPU busy",
    "cpu_s_per_gb": "CPU s per GB",
}
_UNITS = {"kernel_cpu_time_ns": "ns", "instructions": "instructions", "cycles": "cycles"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Two files of the same NIC, link, window and workloads."""
    parser.add_argument("a", metavar="A.json", type=Path, help="before")
    parser.add_argument("b", metavar="B.json", type=Path, help="after")
    parser.add_argument("--profile", metavar="NAME", default="linux", help="attribution profile (default: linux)")
    parser.add_argument("--force", action="store_true", help="compare runs of other NICs, windows or workloads too")


def _value(metric: str, value: float) -> str:
    if metric == "throughput_bits_per_s":
        return format_rate(value)
    return f"{value:.1%}" if metric == "cpu_busy_ratio" else f"{value:.3f}"


def _sure(effect: Effect) -> str:
    from offloadbench.analysis.compare import CHANGED, ENOUGH, TOO_FEW

    if effect.verdict == TOO_FEW:
        return f"too few repeats ({effect.trials_a} and {effect.trials_b}; {ENOUGH} each needed)"
    interval = f"95 %: {effect.low - 1:+.1%} to {effect.high - 1:+.1%}"
    return f"changed, {interval}" if effect.verdict == CHANGED else f"~ no change shown, {interval}"


def _effects(comparison: Comparison) -> list[str]:
    lines = []
    for workload, case in dict.fromkeys((e.workload, e.case) for e in comparison.effects):
        lines += ["", f"{workload}, case {case}"]
        for effect in comparison.effects:
            if (effect.workload, effect.case) == (workload, case):
                a, b = _value(effect.metric, effect.a), _value(effect.metric, effect.b)
                head = f"  {_TITLES[effect.metric]:<13} {a:>12} -> {b:<12} {effect.ratio - 1:>+8.1%}"
                lines.append(f"{head}  {_sure(effect)}")
        changes = [c for c in comparison.modules if (c.workload, c.case) == (workload, case)]
        for change in [c for c in changes if c.a_per_byte != c.b_per_byte][:_MODULES_SHOWN]:
            unit = _UNITS[change.quantity]
            delta = change.b_per_byte - change.a_per_byte
            values = f"{change.a_per_byte:.4f} -> {change.b_per_byte:.4f} {unit} per byte"
            lines.append(f"  module {change.module:<12} {values} ({delta:+.4f})")
    return lines


def main(arguments: argparse.Namespace) -> int:
    from offloadbench import catalog, runfile
    from offloadbench.analysis import compare

    a, b = runfile.load(arguments.a), runfile.load(arguments.b)
    comparison = compare.compare(a, b, catalog.profile(arguments.profile), force=arguments.force)
    for name, path, run in (("A", arguments.a, a), ("B", arguments.b, b)):
        print(f"{name}: {path} ({run.nic.name}, {run.nic.driver}, Linux {run.host.kernel}, {run.created_utc})")
    for difference in comparison.differences:
        print(f"differs: {difference}")
    if not comparison.differences:
        print("same machine, kernel and settings")
    print("\n".join(_effects(comparison)))
    return OK
