"""Is the diagnosis right, and what does watching cost? Every limit of tests.lab.limits, set on purpose.

    python -m tests.benchmarks.limits [--save FOLDER] [--window S] [CASE...]

With --save the traces are kept as test data (tests/data/tcp).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from offloadbench.analysis.diagnosis import diagnose
from tests.lab.limits import CASES, Measured, lab_of, measure

_WARM_UP_S = 3.0


def _say(name: str, measured: Measured) -> None:
    case = CASES[name]
    verdict = diagnose(measured.traces, case.all_facts, cpu_busy_ratio=measured.cpu_busy_ratio)
    blind = diagnose(measured.traces)
    trace = measured.traces[0]
    print(f"{name}: {'right' if verdict.limit is case.limit else 'WRONG'}: {verdict.sentence}")
    print("\n".join(f"    {line}" for line in verdict.evidence))
    print(f"    without facts: {blind.sentence}")
    print(
        f"    monitor: {trace.cpu_s / trace.window_s:.1%} of a CPU, {trace.ticks_taken} of {trace.ticks_due} ticks "
        f"({trace.ticks_taken / trace.ticks_due:.2%}), late p99 {trace.late_p99_us:.0f} us, "
        f"{len(trace.columns) * 60 / trace.window_s / 1e3:.0f} kB a minute",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--save", type=Path)
    parser.add_argument("--window", type=float, default=3.0)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    arguments = parser.parse_args()
    for name in arguments.cases:
        with lab_of(CASES[name]) as lab:
            measured = measure(lab, CASES[name], _WARM_UP_S, arguments.window)
        _say(name, measured)
        if arguments.save:
            document = {
                "limit": CASES[name].limit,
                "facts": CASES[name].all_facts,
                "cpu_busy_ratio": round(measured.cpu_busy_ratio, 3),
                "trace": measured.traces[0],
            }
            (arguments.save / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1))


if __name__ == "__main__":
    main()
