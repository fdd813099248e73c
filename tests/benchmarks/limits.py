"""Is the diagnosis right? Limits set on purpose on the lab link, over congestion controls, rates and round trips.

    python -m tests.benchmarks.limits [--seed N] [--part 1/2] [--rows fixed,drawn,workloads] [--kinds KIND,...]
                                      [--save FOLDER] [--window S]
    python -m tests.benchmarks.limits --judge FOLDER

Fixed rows, and as many kinds with parameters drawn at random (the seed is printed); each is judged with the line's rate
given (as by `watch --line-rate`) and without. The limit is what was set, but for a line that is full: at 95 % of what
it carries the link is the answer, whatever else was set. `--part` does every n-th row, so that a shared machine is not
held for long; `--rows workloads` are those of tests.lab.limits, with what a workload knows. `--judge` reads what
`--save` kept and judges it with the code at hand: with an older version of it, the table before.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from offloadbench.analysis.sender import theory
from offloadbench.analysis.sender.diagnosis import Diagnosis, diagnose
from offloadbench.analysis.sender.send_queue import queue
from offloadbench.model import TcpTrace
from tests.lab import limit_rows
from tests.lab.limits import CASES, lab_of, measure

_WARM_UP_S = 2.0
_LINK = "link"
_FULL_RATIO, _LINK_RATIO = 0.95, 0.9


class Recorded(msgspec.Struct):
    """A row as `--save` keeps it, and as tests/data/tcp has them.

    Attributes:
        limit, also: what is right; texts, so that older versions of the code read it too.
    """

    name: str
    limit: str
    also: list[str]
    facts: dict[str, Any]
    cpu_busy_ratio: float
    traces: list[TcpTrace]

    @property
    def of_line_ratio(self) -> float:
        """Goodput of all connections to what the line carries."""
        goodput = sum(queue(trace).goodput_bits_per_s for trace in self.traces)
        line = theory.line_rate(theory.path_of({"line_rate_bits_per_s": self.facts["line_rate_bits_per_s"]}))
        return goodput / line.bits_per_s

    def right(self, found: Diagnosis, full_ratio: float) -> bool:
        """Whether the verdict is the limit that was set, or the link's where the line is full."""
        if self.of_line_ratio >= _FULL_RATIO:
            return str(found.limit) == _LINK
        full = self.of_line_ratio >= full_ratio and str(found.limit) == _LINK
        return full or str(found.limit) in (self.limit, *self.also)


@dataclass(slots=True)
class Score:
    """What was judged so far."""

    rows: int = 0
    right: int = 0
    right_blind: int = 0
    false_links: int = 0

    def add(self, row: Recorded) -> None:
        """Judge a row, with the line's rate and without, and print it."""
        told = diagnose(row.traces, row.facts, cpu_busy_ratio=row.cpu_busy_ratio)
        unknown = {name: value for name, value in row.facts.items() if name != "line_rate_bits_per_s"}
        blind = diagnose(row.traces, unknown, cpu_busy_ratio=row.cpu_busy_ratio)
        right, right_blind = row.right(told, _LINK_RATIO), row.right(blind, _LINK_RATIO)
        trace = row.traces[0]
        self.rows += 1
        self.right += right
        self.right_blind += right_blind
        self.false_links += str(told.limit) == _LINK and row.of_line_ratio < _LINK_RATIO
        print(
            f"{'right' if right else 'WRONG'} {row.name}: {row.of_line_ratio:.0%} of the line; {told.limit}; without "
            f"the line's rate {blind.limit}{'' if right_blind else ' (WRONG)'}\n        {told.sentence}\n"
            f"        monitor: {trace.cpu_s / trace.window_s:.1%} of a CPU, "
            f"{trace.ticks_taken / trace.ticks_due:.1%} of its ticks",
            flush=True,
        )

    def __str__(self) -> str:
        return (
            f"{self.right} of {self.rows} right with the line's rate ({self.right / max(self.rows, 1):.0%}), "
            f"{self.right_blind} without; {self.false_links} called the link below {_LINK_RATIO:.0%} of a known line"
        )


def _measured(rows: list[limit_rows.Row], window_s: float) -> Iterator[Recorded]:
    for row in rows:
        with lab_of(row.case) as lab:
            measured = measure(lab, row.case, _WARM_UP_S, window_s)
        facts = row.case.all_facts if row.case.facts else {"line_rate_bits_per_s": row.case.line_rate_bits_per_s}
        also = sorted(str(limit) for limit in row.also)
        yield Recorded(row.name, str(row.case.limit), also, facts, measured.cpu_busy_ratio, measured.traces)


def _saved(folder: Path) -> Iterator[Recorded]:
    for path in sorted(folder.glob("*.json")):
        yield msgspec.json.decode(path.read_bytes(), type=Recorded)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--rows", default="fixed,drawn")
    parser.add_argument("--kinds", default="")
    parser.add_argument("--window", type=float, default=2.0)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--judge", type=Path)
    arguments = parser.parse_args()
    part, parts = (int(number) for number in arguments.part.split("/"))
    sets = {
        "fixed": limit_rows.fixed(),
        "drawn": limit_rows.drawn(arguments.seed),
        "workloads": [limit_rows.Row(f"{name} as a workload", case) for name, case in CASES.items()],
    }
    rows = [row for name in arguments.rows.split(",") for row in sets[name]][part - 1 :: parts]
    rows = [row for row in rows if not arguments.kinds or row.name.split()[0] in arguments.kinds.split(",")]
    score = Score()
    if arguments.save:
        arguments.save.mkdir(parents=True, exist_ok=True)
    if not arguments.judge:
        print(f"seed {arguments.seed}, part {arguments.part}")
    for recorded in _saved(arguments.judge) if arguments.judge else _measured(rows, arguments.window):
        if arguments.save:
            path = arguments.save / f"{recorded.name.replace(' ', '_').replace(':', '').replace('/', '-')[:120]}.json"
            path.write_bytes(msgspec.json.encode(recorded))
        score.add(recorded)
    print(score)


if __name__ == "__main__":
    main()
