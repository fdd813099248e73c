"""What segmentation, TX and RX checksum each do to the headline metrics of a factorial run, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from offloadbench.analysis.comparison.factor_effects import Effect
from offloadbench.report.plots.intervals import Panel, intervals

TITLES = {
    "cpu_s_per_gb": "CPU seconds per GB (less is better)",
    "throughput_bits_per_s": "Throughput (more is better)",
}


def contrast_label(effect: Effect) -> str:
    """What was compared, in words: the cases, or the levels of a contrast that several pairs of cases stand for."""
    contrast = effect.contrast
    ((off, on),) = effect.pairs if len(effect.pairs) == 1 else ((contrast.off, contrast.on),)
    return f"{contrast.subject}: {on} vs {off}"


def effects(found: Sequence[Effect], *, narrow: bool = False) -> Figure:
    """One row a contrast, one panel a metric.

    Args:
        found: of one run and workload, every contrast once for each metric of `TITLES`.
        narrow: one panel below the other.
    """
    panels = [
        Panel(title, [effect.judgement for effect in found if effect.metric == metric])
        for metric, title in TITLES.items()
    ]
    labels = [contrast_label(effect) for effect in found if effect.metric == "cpu_s_per_gb"]
    return intervals(labels, panels, narrow=narrow)
