"""Do the statistics keep their promises? False alarms, coverage of intervals, power: by simulation, and on real runs.

    python -m tests.benchmarks.statistics [SIMULATIONS]
    python -m tests.benchmarks.statistics --real FOLDER [--plant PERCENT] [--most SPLITS]

Everything is drawn from fixed seeds. Exit code 1 when a promise is broken:

- between runs, under run effects of 0, 0.5, 1 and 1.6 times the scatter of trials: plain 95 % intervals hold the truth
  in 93 to 97 %, and at most 5 % of families without change are called (up to simulation noise), by case and by workload;
- inside a run: the same, on noise of the real size (tests/data/aa-trials.json, 48 trials of one case one after another
  on a machine that other work shared), also where it drifts and resembles itself from block to block;
- "would have shown X" is shown in 78 to 82 % of the simulations where the change is X;
- a gate fails without a regression beyond it in at most 2.5 % and, with the change at its bound, in at most 5 %.

The rest is printed and not demanded: power, what other tests would do, stopping by --precision.

--real takes a folder of run files of one configuration, apart in time: every pair and every 3 against 3 (at most SPLITS
of them), with PERCENT more CPU seconds planted in the candidate's runs.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from offloadbench.analysis.compare import Comparison, Row
from offloadbench.analysis.family import CHANGED, judge
from offloadbench.analysis.gate import Gate, exit_code
from offloadbench.analysis.observations import HEADLINES
from offloadbench.analysis.pairs import Question
from offloadbench.analysis.precision import FIRST_LOOK
from offloadbench.analysis.statistics import Estimate, Values, paired
from offloadbench.errors import REGRESSION
from tests.benchmarks import real_runs
from tests.benchmarks.run_noise import (
    METRICS,
    Design,
    estimates,
    mixed_model,
    trials_as_units,
)
from tests.benchmarks.run_noise import (
    Noise as RunNoise,
)
from tests.benchmarks.run_noise import (
    called as called_between,
)
from tests.benchmarks.run_noise import (
    coverage as coverage_between,
)

NOISE = Path(__file__).parents[1] / "data" / "aa-trials.json"
COMPARISONS, MOST_CALLED = 200, 16
LOWEST, HIGHEST = 0.93, 0.97
TRIALS = (3, 5, 8)
EFFECT = 0.05
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

Rows = npt.NDArray[np.intp]
Test = Callable[[Values, Values], Estimate]
Draw = Callable[[int], tuple[Values, Values]]


@dataclass(frozen=True)
class Noise:
    """The real trials, and how they scatter.

    Attributes:
        sigma: standard deviation of the logarithms of cpu_s_per_gb.
        resemblance: lag-1 autocorrelation of these.
    """

    trials: dict[str, Values]

    @property
    def logs(self) -> Values:
        return np.array(np.log(self.trials["cpu_s_per_gb"]))

    @property
    def sigma(self) -> float:
        return float(self.logs.std(ddof=1))

    @property
    def resemblance(self) -> float:
        return float(np.corrcoef(self.logs[:-1], self.logs[1:])[0, 1])


def real_noise() -> Noise:
    """The trials of the data file."""
    document = json.loads(NOISE.read_text())
    return Noise({metric: np.array(document[metric]) for metric in HEADLINES})


def called(noise: Noise, rows_a: Rows, rows_b: Rows, test: Test) -> bool:
    """Whether a comparison of these trials calls either headline metric changed."""
    family = [test(noise.trials[m][rows_a], noise.trials[m][rows_b]) for m in HEADLINES]
    return any(judgement.verdict == CHANGED for judgement in judge(family))


def false_alarms_in_blocks(noise: Noise, trials: int, comparisons: int, seed: int) -> int:
    """Inside a run: neighbours form a block, which of them is A is drawn, as the seeded order does."""
    random = np.random.default_rng(seed)
    found = 0
    for _ in range(comparisons):
        start = int(random.integers(0, len(noise.logs) - 2 * trials + 1))
        blocks = random.permuted(np.arange(start, start + 2 * trials).reshape(trials, 2), axis=1)
        found += called(noise, blocks[:, 0], blocks[:, 1], paired)
    return found


def white(sigma: float, effect: float, seed: int) -> Draw:
    """Lognormal trials that know nothing of each other."""
    random = np.random.default_rng(seed)

    def draw(trials: int) -> tuple[Values, Values]:
        a, b = random.normal(0, sigma, (2, trials))
        return np.exp(a), (1 + effect) * np.exp(b)

    return draw


def drifting(sigma: float, resemblance: float, effect: float, seed: int) -> Draw:
    """Trials that resemble their predecessor and climb by a third over a run; A and B in random order inside blocks."""
    random = np.random.default_rng(seed)

    def draw(trials: int) -> tuple[Values, Values]:
        steps = random.normal(0, sigma * math.sqrt(1 - resemblance**2), 2 * trials)
        steps[0] = random.normal(0, sigma)
        series = np.empty(2 * trials)
        series[0] = steps[0]
        for i in range(1, 2 * trials):
            series[i] = resemblance * series[i - 1] + steps[i]
        series += np.linspace(0, math.log(4 / 3), 2 * trials)
        pairs = random.permuted(series.reshape(trials, 2), axis=1)
        return np.exp(pairs[:, 0]), (1 + effect) * np.exp(pairs[:, 1])

    return draw


def coverage(test: Test, draw: Draw, trials: int, effect: float, simulations: int) -> float:
    """Share of 95 % intervals that hold the true ratio."""
    truth = math.log1p(effect)
    held = 0
    for _ in range(simulations):
        low, high = test(*draw(trials)).interval()
        held += low <= truth <= high
    return held / simulations


def power(draw: Draw, trials: int, tests: int, simulations: int) -> float:
    """Share of runs that call the change of one of so many tests, paired in blocks, where nothing else changes."""
    null = white(0.02, 0.0, 99)
    found = 0
    for _ in range(simulations):
        family = [paired(*draw(trials)), *(paired(*null(trials)) for _ in range(tests - 1))]
        found += judge(family)[0].verdict == CHANGED
    return found / simulations


def shown_at(trials: int, tests: int, simulations: int, seed: int) -> tuple[float, float]:
    """The median of "would have shown X", and the share of changes of X that are shown, paired in blocks."""
    sigma, null = 0.02, white(0.02, 0.0, seed)
    told = [
        judge([paired(*null(trials)) for _ in range(tests)])[0].detectable_change
        for _ in range(max(200, simulations // 4))
    ]
    change = float(np.median(told))
    return change, power(white(sigma, change, seed + 1), trials, tests, simulations)


def shown_between(design: Design, simulations: int, seed: int) -> tuple[float, float]:
    """The same between runs, for the first case's CPU per GB."""
    noise, random = RunNoise(0.02, 0.03), np.random.default_rng(seed)
    told = [judge(estimates(random, noise, design))[1].detectable_change for _ in range(max(200, simulations // 4))]
    change = float(np.median(told))
    shown = 0
    for _ in range(simulations):
        # one case alone changes: the others are drawn without
        changed, same = (estimates(random, noise, design, change=by) for by in (change, 0.0))
        shown += judge([same[0], changed[1], *same[METRICS:]])[1].verdict == CHANGED
    return change, shown / simulations


def failed(bound: float, change: float, noise: RunNoise, design: Design, simulations: int) -> float:
    """Share of comparisons whose gate on CPU per GB fails."""
    gate, random, hits = Gate("cpu_s_per_gb", bound), np.random.default_rng(8), 0
    questions = [Question("a", "b", "w", f"case{case}", metric) for case in range(design.cases) for metric in HEADLINES]
    for _ in range(simulations):
        judged = judge(estimates(random, noise, design, change=change))
        rows = [Row(question, one) for question, one in zip(questions, judged, strict=True)]
        hits += exit_code([gate], Comparison("", [], [], rows), strict=False) == REGRESSION
    return hits / simulations


def stopped(sigma: float, precision: float, most: int, seed: int, simulations: int) -> tuple[float, float]:
    """Coverage and mean number of blocks of a run that ends at the first interval that is narrow enough."""
    random = np.random.default_rng(seed)
    held, blocks_run = 0, 0
    for _ in range(simulations):
        a, b = np.exp(random.normal(0, sigma, (2, most)))
        for blocks in range(FIRST_LOOK, most + 1):
            low, high = paired(a[:blocks], b[:blocks]).interval()
            if math.expm1((high - low) / 2) <= precision:
                break
        held += low <= 0 <= high
        blocks_run += blocks
    return held / simulations, blocks_run / simulations


def _told(name: str, value: float, good: bool) -> bool:
    print(f"  {name:<66} {value:7.3f}  {'ok' if good else 'BROKEN'}")
    return good


def _inside(noise: Noise, simulations: int) -> bool:
    print("inside a run, paired within blocks:")
    good = True
    for trials in TRIALS:
        count = false_alarms_in_blocks(noise, trials, COMPARISONS, seed=trials)
        good &= _told(f"A/A calls of {COMPARISONS} on real noise, {trials} blocks", count, count <= MOST_CALLED)
        for name, draw in (
            ("coverage", white(noise.sigma, EFFECT, trials)),
            ("coverage, drift and resemblance", drifting(noise.sigma, noise.resemblance, EFFECT, trials)),
        ):
            share = coverage(paired, draw, trials, EFFECT, simulations)
            good &= _told(f"{name}, {trials} blocks", share, LOWEST <= share <= HIGHEST)
    return good


def _between(simulations: int) -> bool:
    print(f"between runs, {CASES} cases, {CASES * METRICS} tests (workload: {METRICS}); run effect in trial sd:")
    print(f"  {'':<50} effect   coverage   false changed   by workload: coverage, false   ")
    good = True
    # three standard deviations of a share of 5 % among so many families
    most = 0.05 + 3 * math.sqrt(0.05 * 0.95 / simulations)
    for design in DESIGNS:
        for effect in RUN_EFFECTS:
            noise = RunNoise(0.05, 0.05 * effect)
            held = [coverage_between(noise, design, simulations, 1, by_workload=whole) for whole in (False, True)]
            false = [called_between(noise, design, simulations, 2, by_workload=whole) for whole in (False, True)]
            # of more trials than the scatter was given for, the error is an upper bound
            highest = HIGHEST if design.trials_a == design.trials_b else 1.0
            fine = all(LOWEST <= share <= highest for share in held) and max(false) <= most
            good &= fine
            print(
                f"  {design!s:<50} {effect:6.1f}   {held[0]:8.3f}   {false[0]:13.3f}   {held[1]:21.3f}  {false[1]:6.3f}"
                f"   {'ok' if fine else 'BROKEN'}"
            )
    return good


def _other_tests(simulations: int) -> None:
    print("printed, not demanded. A/A called changed by other tests:")
    print("  run effect in trial sd                            " + "".join(f"{e:8.1f}" for e in RUN_EFFECTS))
    for trials in (3, 5, 20):
        found = [
            trials_as_units(RunNoise(0.05, 0.05 * e), Design(1, 1, trials, trials), simulations, 3) for e in RUN_EFFECTS
        ]
        print(
            f"  {f'trials as units, 1 against 1 runs of {trials} (before)':<50}" + "".join(f"{x:8.3f}" for x in found)
        )
    for runs in (2, 3):
        found = [mixed_model(RunNoise(0.05, 0.05 * e), Design(runs, runs), simulations, 3) for e in RUN_EFFECTS]
        name = f"mixed model (REML), {runs} against {runs} runs of 5"
        print(f"  {name:<50}" + "".join(f"{x:8.3f}" for x in found))
    print("  share of a run scatter of 1.6 trial sd that every block draws anew: false changed with blocks as units")
    for share in (0.0, 0.5, 0.9, 0.95, 0.99, 1.0):
        total = 0.05 * 1.6
        noise = RunNoise(0.05, total * math.sqrt(1 - share), total * math.sqrt(share))
        false = [trials_as_units(noise, Design(1, 1, trials, trials), simulations, 4) for trials in (5, 20)]
        print(f"    {share:4.0%}: 5 blocks {false[0]:.3f}, 20 blocks {false[1]:.3f}")


def _power_between(simulations: int) -> None:
    print("power to find 15 % more CPU per GB in all of 3 cases, by run scatter (sd); by case, by workload:")
    designs = (Design(3, 3), Design(3, 3, others=6), Design(5, 5), Design(10, 3))
    print("  sd      " + "".join(f"{design!s:>36}" for design in designs) + "   one test, scatter known, 3 against 3")
    for sd in (0.02, 0.03, 0.04, 0.05, 0.08):
        noise = RunNoise(0.05, sd)
        cells = [
            [called_between(noise, design, simulations // 2, 5, change=0.15, by_workload=w) for w in (False, True)]
            for design in designs
        ]
        error = math.sqrt(2 / 3 * (sd**2 + 0.05**2 / 5))
        best = 0.5 * math.erfc((1.959964 - math.log(1.15) / error) / math.sqrt(2))
        print(f"  {sd:.3f}   " + "".join(f"{f'{a:.2f}, {b:.2f}':>36}" for a, b in cells) + f"   {best:.2f}")


def _promised_power(simulations: int) -> bool:
    print('"would have shown X": the median X, and the share of changes of X that were shown')
    good = True
    for trials in (3, 5, 8, 10, 20):
        for tests in (2, 6):
            change, share = shown_at(trials, tests, simulations, trials)
            name = f"{trials} blocks, {tests} tests: X {change:.1%}"
            good &= _told(name, share, _near_80(share, simulations))
    for design in (Design(2, 2), Design(3, 3), Design(5, 5), Design(3, 10), Design(1, 1, others=6)):
        change, share = shown_between(design, simulations, 7)
        good &= _told(f"{design}, {CASES * METRICS} tests: X {change:.1%}", share, _near_80(share, simulations))
    return good


def _near_80(share: float, simulations: int) -> bool:
    slack = max(0.0, 3 * math.sqrt(0.16 / simulations) - 0.02)
    return 0.78 - slack <= share <= 0.82 + slack


def _gates(simulations: int) -> bool:
    print("--fail-on 'cpu_s_per_gb>+5%', 3 against 3 runs of 5, exit code 1:")
    good = True
    for sd in (0.01, 0.03, 0.08):
        shares = {
            change: failed(0.05, change, RunNoise(0.02, sd), Design(3, 3), simulations // 2)
            for change in (-0.1, 0.0, 0.05, 0.1, 0.2, 0.5)
        }
        fine = shares[-0.1] <= 0.01 and shares[0.0] <= 0.025 and shares[0.05] <= 0.05
        good &= fine
        told = ", ".join(f"{change:+.0%}: {share:.3f}" for change, share in shares.items())
        print(f"  run sd {sd}: true change {told}   {'ok' if fine else 'BROKEN'}")
    return good


def _told_power(noise: Noise, simulations: int) -> None:
    print("a 5 % effect with 8 repeats, inside a run, is found by the family of:")
    for sigma in (0.01, 0.02, 0.03, 0.05):
        shares = [power(white(sigma, EFFECT, 1), 8, tests, simulations) for tests in (6, 8, 20)]
        words = ", ".join(f"{tests} tests {share:.0%}" for tests, share in zip((6, 8, 20), shares, strict=True))
        print(f"  noise {sigma:.2f}: {words}")
    change, _ = shown_at(8, 6, simulations // 4, 11)
    typical = math.expm1(math.log1p(change) / 0.02 * noise.sigma)
    print(f"  at the noise of the real trials ({noise.sigma:.2f}) 6 tests would show {typical:.0%}")
    for sigma, wanted in ((0.02, 0.02), (0.03, 0.02), (0.05, 0.03)):
        share, blocks = stopped(sigma, wanted, 40, 5, simulations)
        print(f"  --precision {wanted:.0%} at noise {sigma}: coverage {share:.3f} after {blocks:.1f} blocks")


def main(simulations: int) -> int:
    noise = real_noise()
    print(
        f"{len(noise.logs)} real trials: standard deviation of ln(CPU s per GB) {noise.sigma:.3f}, "
        f"lag-1 autocorrelation {noise.resemblance:.2f}; {simulations} simulations each"
    )
    good = _inside(noise, simulations)
    good &= _between(simulations)
    good &= _promised_power(simulations)
    good &= _gates(simulations)
    _other_tests(simulations)
    _power_between(simulations)
    _told_power(noise, simulations)
    return 0 if good else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="see the head of the file")
    parser.add_argument("simulations", type=int, nargs="?", default=2000)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--plant", type=float, default=0.0)
    parser.add_argument("--most", type=int, default=2000)
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    code = real_runs.main(given.real, given.plant / 100, given.most) if given.real else main(given.simulations)
    raise SystemExit(code)
