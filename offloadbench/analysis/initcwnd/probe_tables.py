"""The tables of a probe file: one row a flight, one row a frame, and verdicts by setting."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from offloadbench.analysis.initcwnd import live, verdict
from offloadbench.model import FlightTrial, Probe

# as a person reads them
PATTERN_TITLES = {
    "one": "one write",
    "two": "two writes",
    "five": "five writes",
    "exact": "one write, exactly the window",
    "idle": "after idle",
    "given": "given response",
    "response": "the server's response",
}
# what the cases are at the server
CASE_TITLES = {"tso": "TSO on", "gso": "TSO off, GSO on", "csum": "TSO off, GSO off", "": "as found"}


def flights(probes: Sequence[Probe]) -> pd.DataFrame:
    """One row a trial: what was asked for, what came, the verdict with its reason and evidence."""
    rows = []
    for probe in probes:
        for trial, judged in zip(probe.trials, live.judge(probe.trials), strict=True):
            flight = live.count(trial)
            rows.append(
                {
                    "probe": probe.probe_id,
                    "nic": probe.nic,
                    "kernel": probe.host.kernel,
                    "server": probe.server,
                    "repeat": trial.repeat,
                    "case": trial.case,
                    "congestion_control": trial.congestion_control,
                    "metrics": trial.metrics,
                    "pattern": trial.pattern,
                    "writes_bytes": " ".join(map(str, trial.writes_bytes)),
                    "initcwnd": trial.initcwnd,
                    "segments": flight.segments,
                    "all_segments": flight.all_segments,
                    "bytes": flight.bytes,
                    "frames": flight.frames,
                    "super_packets": flight.super_packets,
                    "largest_segments": flight.largest_segments,
                    "spread_us": flight.spread_us,
                    "repeated_us": flight.repeated_us,
                    "mss_bytes": trial.mss_bytes,
                    "rtt_us": trial.rtt_us,
                    "window_bytes": trial.window_bytes,
                    "idle_us": trial.idle_us,
                    "cwnd_before_segments": trial.before.snd_cwnd_segments if trial.before else None,
                    "unsent_bytes": trial.after.notsent_bytes if trial.after else None,
                    "sndbuf_bytes": trial.after.sndbuf_bytes if trial.after else None,
                    "write_blocked": trial.write_blocked,
                    "released_bytes": trial.released_bytes,
                    "lost_frames": trial.lost_frames,
                    "verdict": judged.verdict,
                    "reason": judged.reason,
                    "evidence": live.evidence(trial),
                }
            )
    return pd.DataFrame(rows).astype({"initcwnd": "Int64", "repeated_us": "Int64"})


def flight_frames(probes: Sequence[Probe]) -> pd.DataFrame:
    """One row a frame of every trial, the first repetition included."""
    columns = ["probe", "repeat", "case", "congestion_control", "metrics", "pattern", "initcwnd"]
    columns += ["t_us", "offset_bytes", "payload_bytes", "gso_bytes"]
    rows = [
        (
            probe.probe_id, trial.repeat, trial.case, trial.congestion_control, trial.metrics, trial.pattern,
            trial.initcwnd, *frame,
        )
        for probe in probes
        for trial in probe.trials
        for frame in zip(
            trial.frames.t_us, trial.frames.offset_bytes, trial.frames.payload_bytes, trial.frames.gso_bytes,
            strict=True,
        )
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).astype({"initcwnd": "Int64"})


TABLES = {"flights": flights, "flight_frames": flight_frames}


@dataclass(frozen=True, slots=True)
class RepeatVerdicts:
    """The repeats of one setting under one case.

    Attributes:
        words: verdict and how often, the most frequent first; segments: the same.
        reason, evidence: of the first trial with the most frequent verdict.
    """

    trials: list[FlightTrial]
    words: list[tuple[str, int]]
    segments: list[tuple[int, int]]
    reason: str
    evidence: str

    @property
    def seen(self) -> str:
        """`10`, `9 or 10`, `62 to 70`."""
        numbers = sorted(number for number, _ in self.segments)
        if len(numbers) > 2:
            return f"{numbers[0]} to {numbers[-1]}"
        return " or ".join(map(str, numbers))

    @property
    def text(self) -> str:
        """`honoured 5/5: 10`, or `honoured 4/5, inconclusive 1/5: 9 or 10`."""
        total = len(self.trials)
        words = ", ".join(f"{word} {times}/{total}" for word, times in self.words)
        return f"{words}: {self.seen}"


@dataclass(frozen=True, slots=True)
class ProbeSetting:
    """What the trials of one row of the table have in common."""

    initcwnd: int | None
    congestion_control: str
    metrics: str
    pattern: str

    @property
    def title(self) -> str:
        words = PATTERN_TITLES.get(self.pattern, self.pattern)
        memory = {"cold": ", nothing remembered", "warm": ", RTT remembered"}.get(self.metrics, "")
        return words if self.pattern in ("idle", "given") else words + memory


def verdicts(probe: Probe) -> dict[ProbeSetting, dict[str, RepeatVerdicts]]:
    """Setting -> case -> verdicts, in the order of measuring."""
    groups: dict[ProbeSetting, dict[str, list[int]]] = {}
    judged = live.judge(probe.trials)
    for number, trial in enumerate(probe.trials):
        setting = ProbeSetting(trial.initcwnd, trial.congestion_control, trial.metrics, trial.pattern)
        groups.setdefault(setting, {}).setdefault(trial.case, []).append(number)
    found: dict[ProbeSetting, dict[str, RepeatVerdicts]] = {}
    for setting, cases in groups.items():
        for case, numbers in cases.items():
            words = Counter(judged[number].verdict for number in numbers).most_common()
            first = next(number for number in numbers if judged[number].verdict == words[0][0])
            trials = [probe.trials[number] for number in numbers]
            found.setdefault(setting, {})[case] = RepeatVerdicts(
                trials,
                words,
                Counter(live.count(trial).all_segments for trial in trials).most_common(),
                judged[first].reason,
                live.evidence(probe.trials[first]),
            )
    return found


def heading(probe: Probe, setting: ProbeSetting) -> str:
    """What the rows of one table have in common."""
    measured = [trial for trial in probe.trials if trial.rtt_us]
    words = [f"initcwnd {setting.initcwnd}" if setting.initcwnd else "no window to compare with"]
    words += [setting.congestion_control] if setting.congestion_control else []
    if measured:
        rtt_us = statistics.median(trial.rtt_us for trial in measured)
        words.append(f"RTT {rtt_us / 1e3:.3g} ms, MSS {measured[0].mss_bytes} bytes")
    return ", ".join([f"{probe.server} on {probe.nic}", *words])


def tables(probe: Probe) -> list[tuple[str, list[list[str]], list[str]]]:
    """By window and algorithm: heading, rows under a head row, and what lies behind what is not `honoured`."""
    found = verdicts(probe)
    cases = list(dict.fromkeys(trial.case for trial in probe.trials))
    made: dict[str, tuple[str, list[list[str]], list[str]]] = {}
    for setting, by_case in found.items():
        title = heading(probe, setting)
        head = ["", *(CASE_TITLES.get(case, case) for case in cases)]
        _, rows, doubts = made.setdefault(title, (title, [head], []))
        rows.append([setting.title, *(by_case[case].text if case in by_case else "" for case in cases)])
        for case, result in by_case.items():
            if result.words != [(verdict.HONOURED, len(result.trials))]:
                where = ", ".join(filter(None, (CASE_TITLES.get(case, case), setting.title)))
                doubts.append(f"{where}: {result.reason} ({result.evidence})")
    return list(made.values())
