"""Promises of the comparison between runs, by simulation: the tables that `tests.benchmarks.statistics` prints."""

from __future__ import annotations

import math

import numpy as np

from offloadbench.analysis.comparison.changes import Comparison, Row
from offloadbench.analysis.comparison.gate import Gate, exit_code
from offloadbench.analysis.comparison.pairs import PairQuestion
from offloadbench.analysis.comparison.usable_trials import HEADLINES
from offloadbench.analysis.statistics.holm import CHANGED, judge
from offloadbench.base.errors import REGRESSION
from tests.benchmarks.run_noise import (
    METRICS,
    Design,
    Noise,
    called,
    coverage,
    estimates,
    mixed_model,
    trials_as_units,
)

LOWEST, HIGHEST = 0.93, 0.97
RUN_EFFECTS = (0.0, 0.5, 1.0, 1.6)
CASES = 3
DESIGNS = (
    Design(1, 1, exact=True),
    Design(1, 1, others=6),
    Design(2, 2),
    Design(3, 3),
    Design(5, 5),
    Design(3, 10),
    Design(3, 3, 3, 20),
    Design(1, 1, 3, 20, exact=True),
)


def told(name: str, value: float, good: bool) -> bool:
    """Print a figure and whether it keeps its promise, which is returned."""
    print(f"  {name:<66} {value:7.3f}  {'ok' if good else 'BROKEN'}")
    return good


def near_80(share: float, simulations: int) -> bool:
    """Whether a share is 78 to 82 %, as far as so many simulations can say."""
    slack = max(0.0, 3 * math.sqrt(0.16 / simulations) - 0.02)
    return 0.78 - slack <= share <= 0.82 + slack


def shown_between(design: Design, simulations: int, seed: int) -> tuple[float, float]:
    """The same between runs, for the first case's CPU per GB."""
    noise, random = Noise(0.02, 0.03), np.random.default_rng(seed)
    # the median must be known better than the share
    medians = [
        one.detectable_change
        for _ in range(2 * simulations)
        for one in judge(estimates(random, noise, design))[1::METRICS]
    ]
    change = float(np.median(medians))
    shown = 0
    for _ in range(simulations):
        # one case alone changes: the others are drawn without
        changed, same = (estimates(random, noise, design, change=by) for by in (change, 0.0))
        shown += judge([same[0], changed[1], *same[METRICS:]])[1].verdict == CHANGED
    return change, shown / simulations


def failed(bound: float, change: float, noise: Noise, design: Design, simulations: int) -> float:
    """Share of comparisons whose gate on CPU per GB fails."""
    gate, random, hits = Gate("cpu_s_per_gb", bound), np.random.default_rng(8), 0
    questions = [
        PairQuestion("a", "b", "w", f"case{case}", metric) for case in range(design.cases) for metric in HEADLINES
    ]
    for _ in range(simulations):
        judged = judge(estimates(random, noise, design, change=change))
        rows = [Row(question, one) for question, one in zip(questions, judged, strict=True)]
        hits += exit_code([gate], Comparison("", [], [], rows), strict=False) == REGRESSION
    return hits / simulations


def promised_power(simulations: int) -> bool:
    """ "would have shown X" between runs."""
    good = True
    for design in (Design(2, 2), Design(3, 3), Design(5, 5), Design(3, 10), Design(1, 1, others=6)):
        change, share = shown_between(design, simulations, 7)
        good &= told(f"{design}, {CASES * METRICS} tests: X {change:.1%}", share, near_80(share, simulations))
    return good


def between(simulations: int) -> bool:
    """Coverage and false alarms under run effects."""
    print(f"between runs, {CASES} cases, {CASES * METRICS} tests (workload: {METRICS}); run effect in trial sd:")
    print(f"  {'':<50} effect   coverage   false changed   by workload: coverage, false   ")
    good = True
    # three standard deviations of a share of 5 % among so many families
    most = 0.05 + 3 * math.sqrt(0.05 * 0.95 / simulations)
    for design in DESIGNS:
        for effect in RUN_EFFECTS:
            noise = Noise(0.05, 0.05 * effect)
            held = [coverage(noise, design, simulations, 1, by_workload=whole) for whole in (False, True)]
            false = [called(noise, design, simulations, 2, by_workload=whole) for whole in (False, True)]
            # of more trials than the scatter was given for, the error is an upper bound
            highest = HIGHEST if design.trials_a == design.trials_b else 1.0
            fine = all(LOWEST <= share <= highest for share in held) and max(false) <= most
            good &= fine
            print(
                f"  {design!s:<50} {effect:6.1f}   {held[0]:8.3f}   {false[0]:13.3f}   {held[1]:21.3f}  {false[1]:6.3f}"
                f"   {'ok' if fine else 'BROKEN'}"
            )
    return good


def other_tests(simulations: int) -> None:
    """What other tests would call."""
    print("printed, not demanded. A/A called changed by other tests:")
    print("  run effect in trial sd                            " + "".join(f"{e:8.1f}" for e in RUN_EFFECTS))
    for trials in (3, 5, 20):
        found = [
            trials_as_units(Noise(0.05, 0.05 * e), Design(1, 1, trials, trials), simulations, 3) for e in RUN_EFFECTS
        ]
        print(
            f"  {f'trials as units, 1 against 1 runs of {trials} (before)':<50}" + "".join(f"{x:8.3f}" for x in found)
        )
    for runs in (2, 3):
        found = [mixed_model(Noise(0.05, 0.05 * e), Design(runs, runs), simulations, 3) for e in RUN_EFFECTS]
        name = f"mixed model (REML), {runs} against {runs} runs of 5"
        print(f"  {name:<50}" + "".join(f"{x:8.3f}" for x in found))
    print("  share of a run scatter of 1.6 trial sd that every block draws anew: false changed with blocks as units")
    for share in (0.0, 0.5, 0.9, 0.95, 0.99, 1.0):
        total = 0.05 * 1.6
        noise = Noise(0.05, total * math.sqrt(1 - share), total * math.sqrt(share))
        false = [trials_as_units(noise, Design(1, 1, trials, trials), simulations, 4) for trials in (5, 20)]
        print(f"    {share:4.0%}: 5 blocks {false[0]:.3f}, 20 blocks {false[1]:.3f}")


def power_between(simulations: int) -> None:
    """What is found of a change that is there."""
    print("power to find 15 % more CPU per GB in all of 3 cases, by run scatter (sd); by case, by workload:")
    designs = (Design(3, 3), Design(3, 3, others=6), Design(5, 5), Design(10, 3))
    print("  sd      " + "".join(f"{design!s:>36}" for design in designs) + "   one test, scatter known, 3 against 3")
    for sd in (0.02, 0.03, 0.04, 0.05, 0.08):
        noise = Noise(0.05, sd)
        cells = [
            [called(noise, design, simulations // 2, 5, change=0.15, by_workload=w) for w in (False, True)]
            for design in designs
        ]
        error = math.sqrt(2 / 3 * (sd**2 + 0.05**2 / 5))
        best = 0.5 * math.erfc((1.959964 - math.log(1.15) / error) / math.sqrt(2))
        print(f"  {sd:.3f}   " + "".join(f"{f'{a:.2f}, {b:.2f}':>36}" for a, b in cells) + f"   {best:.2f}")


def gates(simulations: int) -> bool:
    """False and true exit codes."""
    print("--fail-on 'cpu_s_per_gb>+5%', 3 against 3 runs of 5, exit code 1:")
    good = True
    for sd in (0.01, 0.03, 0.08):
        shares = {
            change: failed(0.05, change, Noise(0.02, sd), Design(3, 3), simulations // 2)
            for change in (-0.1, 0.0, 0.05, 0.1, 0.2, 0.5)
        }
        fine = shares[-0.1] <= 0.01 and shares[0.0] <= 0.025 and shares[0.05] <= 0.05
        good &= fine
        told = ", ".join(f"{change:+.0%}: {share:.3f}" for change, share in shares.items())
        print(f"  run sd {sd}: true change {told}   {'ok' if fine else 'BROKEN'}")
    return good
