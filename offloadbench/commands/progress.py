"""The one module that shows the engine's events: a live view on a terminal, one line a trial elsewhere.

It goes to standard error; results go to standard output. It draws at most once a second, and its cost is part of
the tool's own CPU time, which every trial records.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from typing import TextIO

from offloadbench.base.units import format_duration, format_rate
from offloadbench.definitions.plan import expected_s
from offloadbench.engine.progress_events import (
    Emit,
    Event,
    Note,
    Phase,
    PlanExtended,
    PointStarted,
    Question,
    RunStarted,
    Sampled,
    TrialEnded,
    TrialStarted,
)

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float], width: int = 30) -> str:
    """The last values as blocks, scaled from zero to their largest."""
    shown = values[-width:]
    top = max(shown, default=0.0)
    return "".join(_BARS[min(7, int(value / top * 7.999))] if top > 0 else _BARS[0] for value in shown)


def wrapped(lines: list[str], stream: TextIO) -> list[str]:
    """Long lines broken between words, where they go to a terminal."""
    if not stream.isatty():
        return lines
    width = shutil.get_terminal_size().columns - 1
    indented = textwrap.TextWrapper(width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return [part for line in lines for part in indented.wrap(line) or [""]]


def fitting(parts: list[str], width: int) -> str:
    """As many of the parts as fit beside each other, the first always: none is cut off in the middle of a figure."""
    line, *others = parts
    for part in others:
        if len(line) + 2 + len(part) > width:
            break
        line = f"{line}  {part}"
    return line[:width]


def summary(ended: TrialEnded) -> str:
    """One line about a trial that ended."""
    trial, figures = ended.trial, ended.figures
    name = f"{trial.workload} {trial.case}" + (f" (= {', '.join(trial.also_named)})" if trial.also_named else "")
    head = f"repeat {trial.repeat}: {name}: {trial.outcome}"
    if trial.outcome != "ok" or figures is None:
        return f"{head}: {trial.reason}"
    of = "one CPU" if ended.cpus == 1 else f"{ended.cpus} CPUs"
    return f"{head}: goodput {format_rate(figures.goodput_bits_per_s)}, CPU busy {figures.cpu_busy_ratio:.1%} of {of}"


def point_line(point: PointStarted, left_s: float = math.nan) -> str:
    """Which point of a sweep, and how long the sweep still takes.

    Args:
        left_s: what is left of this point; NaN where it is not known, and the points after it are counted alone.
    """
    text = f"point {point.position} of {point.total}: {point.text}"
    if math.isnan(left_s):
        return f"{text}; then about {format_duration(point.later_s)} more" if point.later_s else text
    return f"{text}; about {format_duration(point.later_s + left_s)} left in all"


def _answer(question: Question) -> None:
    """Ask a person, where one reads what is asked and types the answer."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        sys.stderr.write(question.text)
        sys.stderr.flush()
        question.answer = sys.stdin.readline().strip()


class _Plain:
    """One line a trial."""

    def __init__(self) -> None:
        self._total = 0

    def __call__(self, event: Event) -> None:
        match event:
            case Note(text):
                self._line(text)
            case Question():
                _answer(event)
            case PointStarted():
                self._line(point_line(event))
            case RunStarted(plan, done):
                self._line(f"{len(plan.order) - done} trials, about {format_duration(expected_s(plan, done))}")
            case TrialStarted(trial, number, total):
                self._line(f"[{number}/{total}] {trial.workload} {trial.case}, repeat {trial.repeat}")
            case TrialEnded() as ended:
                self._line(f"  {summary(ended)}")
            case _:
                pass

    @staticmethod
    def _line(text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


class _RunProgress:
    """Bar over trials with the time left; below it this trial's throughput and CPU."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._total = self._done = 0
        self._per_trial_s = 0.0
        self._point: PointStarted | None = None
        self._title = self._phase = ""
        self._phase_until = self._trial_began = 0.0
        self._rates: list[float] = []
        self._busy: list[float] = []

    def __enter__(self) -> _RunProgress:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Question):
            # nothing is drawn over what a person types
            self._live.stop()
            _answer(event)
            self._live.start()
            return
        match event:
            case Note(text):
                # a line to be copied must stay one line
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)
            case PointStarted():
                self._point = event
                # the bar is of this point's trials, which are not known yet
                self._total = self._done = 0
                self._title = ""
                self._rates, self._busy = [], []
            case RunStarted(plan, done):
                self._total, self._done = len(plan.order), done
                self._per_trial_s = expected_s(plan) / len(plan.order)
            case PlanExtended(plan):
                self._total = len(plan.order)
            case TrialStarted(trial, number, total):
                self._title = f"trial {number} of {total}: {trial.workload} {trial.case}, repeat {trial.repeat}"
                self._rates, self._busy = [], []
                self._trial_began = time.monotonic()
            case Phase(name, duration_s):
                self._phase, self._phase_until = name, time.monotonic() + duration_s
            case Sampled(_, rate, busy):
                self._rates.append(rate)
                self._busy.append(busy)
            case TrialEnded() as ended:
                self._done += 1
                self._title = ""
                self._console.print(summary(ended), markup=False, highlight=False)
        self._draw()

    def _draw(self) -> None:
        from rich.text import Text

        width = 30
        elapsed_s = min(time.monotonic() - self._trial_began, self._per_trial_s) if self._title else 0.0
        left_s = max(0.0, (self._total - self._done) * self._per_trial_s - elapsed_s)
        # a trial that takes longer than expected does not fill the next one's part
        share = (self._done + elapsed_s / self._per_trial_s) / self._total if self._total and self._per_trial_s else 0.0
        filled = min(width, int(width * share))
        lines = [] if self._point is None else [point_line(self._point, left_s)]
        lines.append(f"[{'█' * filled}{'·' * (width - filled)}] {self._done}/{self._total}")
        if self._point is None:
            lines[-1] += f", {format_duration(left_s)} left"
        if self._title:
            phase_left_s = max(0.0, self._phase_until - time.monotonic())
            clock = f", {format_duration(phase_left_s)} to go" if phase_left_s >= 1 else ""
            lines.append(f"{self._title}: {self._phase}{clock}")
        if self._rates:
            lines.append(f"  throughput {sparkline(self._rates):<30} {format_rate(self._rates[-1])}")
            lines.append(f"  CPU busy   {sparkline(self._busy):<30} {self._busy[-1]:.1%}")
        self._live.update(Text("\n".join(lines)), refresh=True)


@contextlib.contextmanager
def show() -> Iterator[Emit]:
    """A receiver of events, fit for where standard error goes."""
    if sys.stderr.isatty():
        with _RunProgress() as live:
            yield live
    else:
        yield _Plain()
