"""Do the statistics keep their promises? False alarms, coverage of intervals, power: by simulation, and on real runs.

    python -m tests.benchmarks.statistics [SIMULATIONS]
    python -m tests.benchmarks.statistics --real FOLDER [--plant PERCENT] [--most SPLITS]

Everything is drawn from fixed seeds. Exit code 1 when a promise is broken:

- between runs, under run effects of 0, 0.5, 1 and 1.6 times the scatter of trials: plain 95 % intervals hold the truth
  in 93 to 97 %; at most 5 % of families without change are called (up to simulation noise), by case and by workload;
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

from offloadbench.analysis.comparison.precision import FIRST_LOOK
from offloadbench.analysis.comparison.usable_trials import HEADLINES
from offloadbench.analysis.statistics.estimates import Estimate, Values, paired
from offloadbench.analysis.statistics.holm import CHANGED, judge
from tests.benchmarks import between_runs, real_runs
from tests.benchmarks.between_runs import HIGHEST, LOWEST, near_80, told

NOISE = Path(__file__).parents[1] / "data" / "aa-trials.json"
COMPARISONS, MOST_CALLED = 200, 16
TRIALS = (3, 5, 8)
EFFECT = 0.05
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
    # the median must be known better than the share
    shown = [
        one.detectable_change
        for _ in range(4 * simulations // tests)
        for one in judge([paired(*null(trials)) for _ in range(tests)])
    ]
    change = float(np.median(shown))
    return change, power(white(sigma, change, seed + 1), trials, tests, simulations)


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


def _inside(noise: Noise, simulations: int) -> bool:
    print("inside a run, paired within blocks:")
    good = True
    for trials in TRIALS:
        count = false_alarms_in_blocks(noise, trials, COMPARISONS, seed=trials)
        good &= told(f"A/A calls of {COMPARISONS} on real noise, {trials} blocks", count, count <= MOST_CALLED)
        for name, draw in (
            ("coverage", white(noise.sigma, EFFECT, trials)),
            ("coverage, drift and resemblance", drifting(noise.sigma, noise.resemblance, EFFECT, trials)),
        ):
            share = coverage(paired, draw, trials, EFFECT, simulations)
            good &= told(f"{name}, {trials} blocks", share, LOWEST <= share <= HIGHEST)
    return good


def _promised_power(simulations: int) -> bool:
    print('"would have shown X": the median X, and the share of changes of X that were shown')
    good = True
    for trials in (3, 5, 8, 10, 20):
        for tests in (2, 6):
            change, share = shown_at(trials, tests, simulations, trials)
            name = f"{trials} blocks, {tests} tests: X {change:.1%}"
            good &= told(name, share, near_80(share, simulations))
    good &= between_runs.promised_power(simulations)
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
    good &= between_runs.between(simulations)
    good &= _promised_power(simulations)
    good &= between_runs.gates(simulations)
    between_runs.other_tests(simulations)
    between_runs.power_between(simulations)
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
