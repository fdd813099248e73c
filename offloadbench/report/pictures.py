"""The plots of one report, numbered and with the words that stand for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from offloadbench.analysis.findings import module_confidence as confidence
from offloadbench.analysis.findings.finding_tables import falls
from offloadbench.analysis.findings.findings import Finding
from offloadbench.analysis.findings.savings import Fall, by_the_clock
from offloadbench.analysis.profile.attribution import SHADOW
from offloadbench.analysis.sender.command_times import ends
from offloadbench.analysis.statistics.estimates import mean_interval
from offloadbench.analysis.statistics.holm import INDICATION
from offloadbench.analysis.tables import sweep_tables
from offloadbench.analysis.tables.results import Results, case_means
from offloadbench.base import words
from offloadbench.base.words import figure, percent
from offloadbench.model import Profile
from offloadbench.report.plot import Plot
from offloadbench.report.plots import modules_plot as module_bars
from offloadbench.report.plots.confidence_plot import confidence as draw_confidence
from offloadbench.report.plots.effects_plot import contrast_label
from offloadbench.report.plots.effects_plot import effects as draw_effects
from offloadbench.report.plots.forest import forest as draw_forest
from offloadbench.report.plots.intervals import change_words
from offloadbench.report.plots.module_series import module_series as draw_module_series
from offloadbench.report.plots.modules_plot import modules as draw_modules
from offloadbench.report.plots.packets_plot import packets_over_time
from offloadbench.report.plots.queue_plot import magnified, queue_over_time
from offloadbench.report.plots.series import series as draw_series
from offloadbench.report.plots.throughput_cpu import geometric_mean, has_interval
from offloadbench.report.plots.throughput_cpu import throughput_cpu as draw_throughput_cpu
from offloadbench.report.plots.waterfall_plot import signed
from offloadbench.report.plots.waterfall_plot import waterfall as draw_waterfall
from offloadbench.report.plots.write_commands_plot import write_commands as draw_write_commands
from offloadbench.report.sections.change_views import RunChanges, RunEffects
from offloadbench.report.sections.limit_views import TrialSender, accounts
from offloadbench.report.sections.sweep_views import against_rtt

_INTERVALS = (
    "A filled square is a change that was shown (Holm over the family), an open circle one without that verdict; a "
    "line is the interval at the confidence of its test, which leaves out 0 exactly where the square is filled"
)


class Pictures:
    """The plots of one report, numbered so that their ids never collide."""

    def __init__(self, results: Results, profile: Profile) -> None:
        self._results = results
        self._profile = profile
        self._usable = results.trials[results.trials["usable"]]
        self._modules = results.busy_modules
        self._count = 0

    def _plot(self, draw: partial[Figure], label: str, caption: str) -> Plot:
        self._count += 1
        return Plot(self._count, draw, label, caption)

    def throughput_cpu(self) -> Plot | None:
        """E1."""
        if self._usable.empty:
            return None
        cases = self._results.cases
        repeats = self._usable.groupby(["nic", "workload", "case"], sort=False)
        label = "Bars of throughput, CPU busy and CPU seconds per GB per case: " + "; ".join(
            f"{nic} {case}: {figure(geometric_mean(trials['cpu_s_per_gb']))} CPU s/GB{_interval_words(trials)}"
            for (nic, _, case), trials in repeats
        )
        dots = ", dots are trials" if repeats.size().max() > 1 else ""
        intervals = (
            ", and lines with ends are 95 % intervals of the geometric mean (Student's t on logarithms)"
            if any(has_interval(trials, "cpu_s_per_gb") for _, trials in repeats)
            else ""
        )
        return self._plot(
            partial(draw_throughput_cpu, self._usable, cases),
            label,
            "Throughput and CPU per case, each NIC on its own scale. Bars are geometric means over the repeats"
            f"{dots}{intervals}.",
        )

    def rtt(self) -> Plot | None:
        """E3: throughput against RTT, of runs that are points of a sweep."""
        grid = sweep_tables.grid(self._results.runs)
        draw = against_rtt(grid, self._results.runs) if grid else None
        if draw is None:
            return None
        return self._plot(
            draw,
            "Goodput against RTT, a line for each workload and setting, with what theory allows",
            "Goodput against RTT: lines are medians of the trials, dashed ones the lowest bound that theory sets.",
        )

    def effects(self, found: Sequence[RunEffects]) -> list[tuple[Plot, list[str]]]:
        """What each factor does by itself, with its sentences."""
        plots = []
        for one in found:
            told = "; ".join(
                f"{contrast_label(effect)} {change_words(effect.judgement) if effect.judgement else 'not estimable'}"
                for effect in one.effects
                if effect.metric == "cpu_s_per_gb"
            )
            plot = self._plot(
                partial(draw_effects, one.effects),
                f"Effects on CPU seconds per GB and throughput with intervals, {one.where}: {told}",
                f"{one.where}: what each offload changes by itself, the other two as they are. {_INTERVALS}.",
            )
            plots.append((plot, one.sentences))
        return plots

    def changes(self, found: Sequence[RunChanges]) -> list[tuple[Plot, list[str]]]:
        """What changed between runs, with its sentences."""
        return [
            (
                self._plot(
                    partial(draw_forest, one.rows),
                    f"Changes of CPU seconds per GB and throughput with intervals, {one.where}: "
                    + " ".join(one.sentences),
                    f"{one.where}, case by case. {_drawn(one)}. Method: {_methods(one)}.",
                ),
                one.sentences,
            )
            for one in found
        ]

    def waterfalls(self, headlines: Sequence[Finding]) -> list[Plot]:
        """Where the difference of each bench's headline comes from."""
        return [self._waterfall(finding, found) for finding, found in falls(self._results, headlines)]

    def _waterfall(self, finding: Finding, found: Fall) -> Plot:
        steps = ", ".join(
            f"{words.module_label(step.module) if step.module else module_bars.REST} {signed(step.change)}"
            for step in found.steps
        )
        way = f"from case {found.dearer} to case {found.cheaper}"
        return self._plot(
            partial(draw_waterfall, found),
            f"Waterfall {way}, {finding.nic}, {finding.workload}: {figure(found.start)}, {steps}, {figure(found.end)}",
            f"{finding.nic}, {finding.workload}: where the saving comes from, {way}. Each bar is what the module costs "
            "less (or more, with a plus) per byte of payload, in brackets its part of the whole; means over the "
            f"repeats, idle time left out.{by_the_clock(found, finding.size)}",
        )

    def modules(self) -> list[Plot]:
        """E2, by module; and what the profile takes apart or splits, alone and whole."""
        plots = []
        for bench, rows in _benches(self._modules):
            plots.append(self._stacked(bench, rows, None, "cost by module", self._caption(rows)))
            apart = rows[rows["module"].isin(self._apart())]
            if apart["module"].nunique() > 1:
                caption = f"of the same cost what profile {self._profile.name} takes apart, every part of it."
                plots.append(self._stacked(bench, apart, None, "cost of what is taken apart", caption, top=len(apart)))
        return plots

    def _apart(self) -> set[str]:
        """What parts of leaves, and leaves that are split, are shown under, and what no part takes of their floors."""
        profile = self._profile
        parts = {part.leaf for part in profile.parts}
        shares = {share.name for leaf in profile.split for share in profile.splits[leaf]}
        floors = {leaf.floor for leaf in profile.leaves if leaf.name in parts}
        return parts | shares | ({leaf.name for leaf in profile.leaves if leaf.floor in floors} if parts else set())

    def _caption(self, rows: pd.DataFrame) -> str:
        several = rows["module"].nunique() > module_bars.TOP
        what = "the five biggest modules, and the rest as other modules" if several else "every module"
        caption = f"{what}. Idle time and wake-up latency are left out."
        if not module_bars.has_callers(rows):
            return caption
        own, charged = (
            f"\N{LEFT DOUBLE QUOTATION MARK}{title}\N{RIGHT DOUBLE QUOTATION MARK}"
            for title in module_bars.VIEWS.values()
        )
        generic = ", ".join(
            words.SKID if leaf == SHADOW else words.module_label(leaf) for leaf in self._profile.generic
        )
        return (
            f"{caption} {own} is where the CPU was. {charged} is the same time with work that is done for others "
            f"({generic}) added to the first module on its call chain that is none of these; the sums are equal."
        )

    def floors(self) -> list[Plot]:
        """E2, by floor; nothing where the profile's modules are the floors already."""
        pairs = self._modules[["module", "floor"]].drop_duplicates()
        if self._profile.groups and pairs["module"].is_unique and pairs["floor"].is_unique:
            return []
        caption = "the same cost on the three floors of the network stack."
        return [
            self._stacked(bench, rows, self._profile.floors, "cost by floor", caption)
            for bench, rows in _benches(self._modules)
        ]

    def _stacked(
        self,
        bench: tuple[str, str],
        rows: pd.DataFrame,
        floors: dict[str, str] | None,
        what: str,
        caption: str,
        *,
        top: int = module_bars.TOP,
    ) -> Plot:
        nic, workload = bench
        cases = self._results.cases
        totals = rows.groupby("case")["value_per_byte"].sum()
        label = f"Stacked bars of {what}, {nic}, {workload}: " + ", ".join(
            f"{case} {figure(float(totals[case]))}" for case in cases if case in totals
        )
        return self._plot(
            partial(draw_modules, rows, cases, floors=floors, top=top),
            label,
            f"{nic}, {workload}: {caption}",
        )

    def confidence(self) -> list[tuple[Plot, list[tuple[str, str]]]]:
        """How sure the modules are: per bench the bars, and (workload and case, sentence) in ladder order."""
        words = confidence.sentences(self._results.methods)
        drawn = []
        for (nic, workload), rows in _benches(confidence.by_class(self._results.methods)):
            cases = [case for case in self._results.cases if (nic, workload, case) in words]
            known = rows[rows["class"] == confidence.KNOWN].set_index("case")["share_ratio"]
            label = f"Bars of how the samples found their modules, {nic}, {workload}: " + ", ".join(
                f"{case} {percent(float(known.get(case, 0.0)))} known" for case in cases
            )
            plot = self._plot(
                partial(draw_confidence, rows, self._results.cases),
                label,
                f"{nic}, {workload}: busy weight by the method that found its module.",
            )
            drawn.append((plot, [(f"{workload}, {case}", words[nic, workload, case]) for case in cases]))
        return drawn

    def queues(self) -> list[Plot]:
        """E3: the send queue of watched senders and their packets, whole and magnified, two trials side by side."""
        found = accounts(self._results)
        plots = []
        for pair in (found[at : at + 2] for at in range(0, len(found), 2)):
            names = " and ".join(one.title for one in pair)
            traces = [(one.title, one.queue) for one in pair]
            captured = [(one.title, one.packets) for one in pair if one.packets]
            stretches = [magnified(one.queue, one.queue.gaps()) for one in pair]
            beside = [stretch for one, stretch in zip(pair, stretches, strict=True) if one.packets]
            plots += [
                self._plot(
                    partial(queue_over_time, traces),
                    f"Send queue and segments sent over the window: {names}",
                    f"{names}: above, the send queue (sent and not acknowledged, and not yet sent), the congestion "
                    "window and what the send buffer holds; below, segments sent.",
                ),
                self._plot(
                    partial(queue_over_time, traces, stretches=stretches),
                    f"The same, some round trips magnified: {names}",
                    f"{names}: the same, some round trips magnified.",
                ),
            ]
            if captured:
                plots.append(
                    self._plot(
                        partial(packets_over_time, captured, stretches=beside),
                        f"Bytes sent and acknowledged, packet by packet: {names}",
                        f"{names}: packets sent and their acknowledgements over the same round trips, as captured at "
                        "the sender.",
                    )
                )
            plots += self._write_commands(pair)
        return plots

    def _write_commands(self, pair: Sequence[TrialSender]) -> list[Plot]:
        """Packets per write command, of captured trials."""
        traces = [
            (one.title, one.packets, one.mss_bytes)
            for one in pair
            if one.packets and one.has_commands and len(ends(one.packets)) > 1
        ]
        if not traces:
            return []
        names = " and ".join(title for title, _, _ in traces)
        return [
            self._plot(
                partial(draw_write_commands, traces),
                f"Segments per write command, and how they come: {names}",
                f"{names}: above, segments sent from one SCSI response to the next; below, how they come over that "
                "time, for twenty commands of the middle of the window, one of them stressed.",
            )
        ]

    def series(self) -> list[Plot]:
        """The windows, second by second: throughput and CPU, then the modules."""
        samples, seconds = self._results.samples, self._results.seconds
        courses = dict(_benches(case_means(seconds, ["second", "module"], ["value"])))
        bars = dict(_benches(self._modules))
        plots = []
        for (nic, workload), rows in _benches(samples):
            plots.append(
                self._plot(
                    partial(draw_series, rows, self._results.cases),
                    f"Throughput and CPU busy for every second of the window, {nic}, {workload}",
                    f"{nic}, {workload}: one point a second, one line a trial.",
                )
            )
            if (nic, workload) in courses and (nic, workload) in bars:
                plots.append(self._course(nic, workload, courses[nic, workload], bars[nic, workload]))
        return plots

    def _course(self, nic: str, workload: str, course: pd.DataFrame, bars: pd.DataFrame) -> Plot:
        top, length = module_bars.top_modules(bars), self._results.run_of(nic).plan.duration_s
        names = ", ".join(words.module_label(name) for name in top)
        return self._plot(
            partial(draw_module_series, course, self._results.cases, top, length),
            f"Stacked areas of the modules for every second of the window, {nic}, {workload}: {names}",
            f"{nic}, {workload}: the modules of the bars second by second, without idle; means over the repeats.",
        )


def _drawn(changes: RunChanges) -> str:
    """What squares, circles and lines are; two runs alone have no verdicts, and their intervals hold less."""
    if all(row.judgement.verdict == INDICATION for row in changes.rows):
        return "Open circles are indications: a line is the 95 % interval of the scatter inside the two runs only"
    return _INTERVALS


def _methods(changes: RunChanges) -> str:
    return "; ".join(sorted({row.judgement.estimate.method for row in changes.rows}))


def _interval_words(trials: pd.DataFrame) -> str:
    if not has_interval(trials, "cpu_s_per_gb"):
        return ""
    _, low, high = mean_interval(trials["cpu_s_per_gb"].to_numpy())
    return f" ({figure(low)} to {figure(high)})"


def _benches(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """The rows of every (nic, workload)."""
    for (nic, workload), rows in table.groupby(["nic", "workload"], sort=False):
        yield (str(nic), str(workload)), rows
