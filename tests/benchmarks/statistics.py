"""Do the statistics keep their promises? False alarms on real noise, coverage of intervals, power.

    python -m tests.benchmarks.statistics [SIMULATIONS]

Noise: tests/data/aa-trials.json, 48 trials of one case one after another, on a machine that other work shared; that is
why it is so wide. Everything is drawn from fixed seeds. Exit code 1 when a promise is broken:

- of 200 A/A comparisons drawn from the real trials, at most 16 call anything different;
- 95 % intervals hold the truth in 93 to 97 % of the simulations: 3, 5 and 8 trials, lognormal noise of the real size;
  inside a run also with noise that drifts and resembles itself from block to block.

The rest is told and not demanded: power, stopping by --precision, and where the promises end (runs one after another
while the machine drifts).
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from offloadbench.analysis.family import CHANGED, judge
from offloadbench.analysis.observations import HEADLINES
from offloadbench.analysis.precision import FIRST_LOOK
from offloadbench.analysis.statistics import Estimate, Values, paired, welch

NOISE = Path(__file__).parents[1] / "data" / "aa-trials.json"
COMPARISONS, MOST_CALLED = 200, 16
LOWEST, HIGHEST = 0.93, 0.97
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


def false_alarms(noise: Noise, test: Test, trials: int, comparisons: int, seed: int) -> int:
    """A/A comparisons that call a change; both sides drawn without replacement."""
    random = np.random.default_rng(seed)
    count = len(noise.logs)
    drawn = [random.permutation(np.arange(count))[: 2 * trials] for _ in range(comparisons)]
    return sum(called(noise, rows[:trials], rows[trials:], test) for rows in drawn)


def false_alarms_in_blocks(noise: Noise, trials: int, comparisons: int, seed: int) -> int:
    """Inside a run: neighbours form a block, which of them is A is drawn, as the seeded order does."""
    random = np.random.default_rng(seed)
    found = 0
    for _ in range(comparisons):
        start = int(random.integers(0, len(noise.logs) - 2 * trials + 1))
        blocks = random.permuted(np.arange(start, start + 2 * trials).reshape(trials, 2), axis=1)
        found += called(noise, blocks[:, 0], blocks[:, 1], paired)
    return found


def one_after_another(noise: Noise, trials: int) -> tuple[int, int]:
    """A/A comparisons of trials that follow each other, as two runs in a row would: calls, comparisons."""
    starts = range(len(noise.logs) - 2 * trials + 1)
    rows = np.arange(len(noise.logs))
    return sum(called(noise, rows[s : s + trials], rows[s + trials : s + 2 * trials], welch) for s in starts), len(
        starts
    )


def white(sigma: float, effect: float, seed: int) -> Draw:
    """Lognormal trials that know nothing of each other."""
    random = np.random.default_rng(seed)

    def draw(trials: int) -> tuple[Values, Values]:
        a, b = random.normal(0, sigma, (2, trials))
        return np.exp(a), (1 + effect) * np.exp(b)

    return draw


def drifting(sigma: float, resemblance: float, effect: float, seed: int, *, blocks: bool) -> Draw:
    """Trials that resemble their predecessor and climb by a third over a run.

    Args:
        blocks: A and B alternate in random order inside blocks; else all of A come before all of B, the climb left out.
    """
    random = np.random.default_rng(seed)

    def draw(trials: int) -> tuple[Values, Values]:
        steps = random.normal(0, sigma * math.sqrt(1 - resemblance**2), 2 * trials)
        steps[0] = random.normal(0, sigma)
        series = np.empty(2 * trials)
        series[0] = steps[0]
        for i in range(1, 2 * trials):
            series[i] = resemblance * series[i - 1] + steps[i]
        if not blocks:
            return np.exp(series[:trials]), (1 + effect) * np.exp(series[trials:])
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


def power(test: Test, draw: Draw, trials: int, simulations: int) -> float:
    """Share of comparisons of one metric that call the change."""
    return sum(judge([test(*draw(trials))])[0].verdict == CHANGED for _ in range(simulations)) / simulations


def detectable(test: Test, draw: Draw, trials: int, simulations: int) -> float:
    """The median smallest detectable change."""
    return float(np.median([judge([test(*draw(trials))])[0].detectable_change for _ in range(simulations)]))


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


def _covered(noise: Noise, simulations: int) -> bool:
    good = True
    designs: list[tuple[str, Test, Callable[[int], Draw]]] = [
        ("between runs", welch, lambda seed: white(noise.sigma, EFFECT, seed)),
        ("inside a run", paired, lambda seed: white(noise.sigma, EFFECT, seed)),
        (
            "inside a run, drift and resemblance",
            paired,
            lambda seed: drifting(noise.sigma, noise.resemblance, EFFECT, seed, blocks=True),
        ),
    ]
    for name, test, make in designs:
        for trials in TRIALS:
            share = coverage(test, make(trials), trials, EFFECT, simulations)
            good &= _told(f"coverage, {name}, {trials} trials a side", share, LOWEST <= share <= HIGHEST)
    return good


def main(simulations: int) -> int:
    noise = real_noise()
    print(
        f"{len(noise.logs)} real trials: standard deviation of ln(CPU s per GB) {noise.sigma:.3f}, "
        f"lag-1 autocorrelation {noise.resemblance:.2f}; {simulations} simulations each"
    )
    good = True
    for trials in TRIALS:
        for name, count in (
            ("between runs", false_alarms(noise, welch, trials, COMPARISONS, seed=trials)),
            ("inside a run", false_alarms_in_blocks(noise, trials, COMPARISONS, seed=trials)),
        ):
            good &= _told(f"A/A calls of {COMPARISONS}, {name}, {trials} trials a side", count, count <= MOST_CALLED)
    good &= _covered(noise, simulations)
    print("told, not demanded:")
    calls, comparisons = one_after_another(noise, 8)
    print(f"  A/A of 8 trials and the 8 that follow: {calls} of {comparisons} call a change")
    for trials in TRIALS:
        draw = drifting(noise.sigma, noise.resemblance, EFFECT, trials, blocks=False)
        share = coverage(welch, draw, trials, EFFECT, simulations)
        print(
            f"  coverage between runs one after another that resemble themselves, {trials} trials a side: {share:.3f}"
        )
    for sigma in (0.01, 0.02, 0.03, 0.05, noise.sigma):
        found = [power(test, white(sigma, EFFECT, 1), 8, simulations) for test in (welch, paired)]
        least = [detectable(test, white(sigma, 0.0, 2), 8, 500) for test in (welch, paired)]
        print(
            f"  noise {sigma:.3f}: a {EFFECT:.0%} effect with 8 repeats is found in {found[0]:.0%} between runs and "
            f"{found[1]:.0%} inside one; detectable with 80 % power: {least[0]:.1%} and {least[1]:.1%}"
        )
    for sigma, wanted in ((0.02, 0.02), (0.03, 0.02), (0.05, 0.03)):
        share, blocks = stopped(sigma, wanted, 40, 5, simulations)
        print(f"  --precision {wanted:.0%} at noise {sigma}: coverage {share:.3f} after {blocks:.1f} blocks")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000))
