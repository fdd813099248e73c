"""Names of metrics as people type them: `cpu`, `throughput`, `latency_p99`, beside the names of columns."""

from __future__ import annotations

from offloadbench.analysis.comparison.usable_trials import LESS_IS_BETTER, MORE_IS_BETTER
from offloadbench.base import similar
from offloadbench.base.errors import UsageError

# a column's name ends in its unit
_UNITS = ("_bits_per_s", "_s_per_gb", "_us", "_ratio")


def short(metric: str) -> str:
    """A column's name without its unit: `cpu_s_per_gb` -> `cpu`."""
    return next((metric.removesuffix(unit) for unit in _UNITS if metric.endswith(unit)), metric)


METRICS = {short(metric): metric for metric in sorted(LESS_IS_BETTER | MORE_IS_BETTER)}


def metric_named(text: str, option: str) -> str:
    """The column of a metric, by its short name or by its own.

    Args:
        option: where it was typed, for the error.

    Raises:
        UsageError: no such metric.
    """
    if text in METRICS:
        return METRICS[text]
    if text in METRICS.values():
        return text
    known = f"known: {', '.join(METRICS)}"
    raise UsageError(f"{option}: no metric {text!r}", similar.hint(text, [*METRICS, *METRICS.values()], known))
