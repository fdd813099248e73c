"""What limited each trial, from what the run knows of link and workload and what the sender's TCP told.

One row a trial: the diagnosis; one row a figure of its evidence; one row a bound: the theory beside the measurement;
one row a gap in sending.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from offloadbench.analysis.sender import theory
from offloadbench.analysis.sender.diagnosis import Diagnosis, diagnose
from offloadbench.analysis.sender.send_queue import State, queue
from offloadbench.analysis.sender.told_figures import found_in
from offloadbench.analysis.trial import headers, metrics
from offloadbench.base.sentence import NamedFigure, Quantity, Quoted, Sentence, Source
from offloadbench.base.units import format_rate
from offloadbench.model import Run, TcpTrace, Trial

_TRIAL = ["run", "nic", "workload", "case", "repeat"]
_STATES = [f"{state.name.lower()}_ratio" for state in State]
LIMIT_COLUMNS = [*_TRIAL, "limit", "sentence", "evidence", "goodput_bits_per_s", "bound_bits_per_s", "bound"]
LIMIT_COLUMNS += ["segments_per_command", "gap_count", "gap_ratio", *_STATES]
BOUND_COLUMNS = [
    *_TRIAL,
    "bound",
    "bound_bits_per_s",
    "formula",
    "source",
    "goodput_bits_per_s",
    "of_bound_ratio",
    "exceeded",
]
EVIDENCE_COLUMNS = [*_TRIAL, "limit", "figure", "value"]
GAP_COLUMNS = [*_TRIAL, "start_s", "length_s", "length_rtts"]


def facts(run: Run, trial: Trial) -> dict[str, Any]:
    """What bed and workload say, by the names that `theory.path_of` and `theory.exchange_of` read."""
    # a NIC without a bus claims a speed that nothing keeps to
    speed = run.nic.speed_bits_per_s if run.nic.bus else 0
    known: dict[str, Any] = {
        "line_rate_bits_per_s": run.bed.line_rate_bits_per_s or speed,
        "rtt_s": run.bed.rtt_s,
        "mtu_bytes": run.nic.mtu_bytes,
        "vlan_bytes": headers.vlan_bytes(run.nic),
    }
    settings = trial.load.settings if trial.load else {}
    negotiated = settings.get("negotiated")
    if not negotiated or settings.get("operation") != "write":
        return known
    block = int(settings["transfer_bytes"])
    return known | {
        "block_bytes": block,
        "queue_depth": int(settings["queue_depth"]),
        "max_burst_bytes": int(negotiated["max_burst_bytes"]),
        "unsolicited_bytes": theory.unsolicited_bytes(
            block,
            initial_r2t=bool(negotiated["initial_r2t"]),
            immediate_data=bool(negotiated["immediate_data"]),
            first_burst_bytes=int(negotiated["first_burst_bytes"]),
            max_segment_bytes=int(negotiated["max_send_segment_bytes"]),
        ),
    }


def of_trial(run: Run, trial: Trial) -> Diagnosis | None:
    """The diagnosis of a trial; None where nobody watched its sender."""
    figures = metrics.of_trial(run, trial)
    if not trial.tcp or figures is None:
        return None
    wire = trial.wire.to_peer.l2_bytes * 8 / trial.wire.interval_s if trial.wire else None
    return diagnose(
        trial.tcp, facts(run, trial), cpu_busy_ratio=figures.cpu_busy_ratio, wire_bits_per_s=wire, waited=trial.waits
    )


def _segments_per_command(trial: Trial) -> float:
    """Segments that the followed connections sent for each command that ended in the window; NaN without commands."""
    commands = trial.load.settings.get("commands_in_window", 0) if trial.load else 0
    sent = sum(_sent_segments(trace) for trace in trial.tcp if trace.rows > 1)
    return sent / commands if commands else float("nan")


def _sent_segments(trace: TcpTrace) -> int:
    return queue(trace).change("data_out_segments") if trace.sent_segments is None else trace.sent_segments


Judged = tuple[dict[str, Any], float, Diagnosis, float]


def judged(runs: Sequence[Run]) -> list[Judged]:
    """Every watched trial: what names it, its goodput in bits per second, its diagnosis, its segments per command."""
    found = []
    for run in runs:
        for trial in run.trials:
            verdict = of_trial(run, trial)
            if verdict is None or trial.load is None:
                continue
            names = [run.run_id, run.nic.name, trial.workload, trial.case, trial.repeat]
            goodput = trial.load.payload_bytes * 8 / trial.load.interval_s
            found.append((dict(zip(_TRIAL, names, strict=True)), goodput, verdict, _segments_per_command(trial)))
    return found


def limits(runs: Sequence[Run], found: Sequence[Judged] | None = None) -> pd.DataFrame:
    """One row per watched trial; `found`: of these runs, where it is known already.

    Columns: run, nic, workload, case, repeat, limit (`suspect.Limit`), sentence, evidence, goodput_bits_per_s, bound,
    bound_bits_per_s (the lowest of theory that holds), segments_per_command (NaN without commands), gap_count,
    gap_ratio (of the time, nothing was sent), and for each state of the sender its share of the time, `..._ratio`.
    """
    rows = [
        {
            **names,
            "limit": str(verdict.limit),
            "sentence": verdict.sentence,
            "evidence": "; ".join(verdict.evidence),
            "goodput_bits_per_s": goodput,
            "bound": verdict.bound.name if verdict.bound else "",
            "bound_bits_per_s": verdict.bound.bits_per_s if verdict.bound else float("nan"),
            "segments_per_command": segments,
            "gap_count": len(verdict.gaps),
            "gap_ratio": verdict.gap_ratio,
            **dict(zip(_STATES, verdict.shares.values(), strict=False)),
        }
        for names, goodput, verdict, segments in (judged(runs) if found is None else found)
    ]
    return pd.DataFrame(rows, columns=LIMIT_COLUMNS)


def bounds(runs: Sequence[Run], found: Sequence[Judged] | None = None) -> pd.DataFrame:
    """Theory beside the measurement: one row per bound of every watched trial, the lowest first.

    Columns: run, nic, workload, case, repeat, bound, bound_bits_per_s, formula, source, goodput_bits_per_s,
    of_bound_ratio (goodput over the bound), exceeded (the throughput was above it, so it bounds nothing; these come
    last).
    """
    rows = [
        {
            **names,
            "bound": bound.name,
            "bound_bits_per_s": bound.bits_per_s,
            "formula": bound.formula,
            "source": bound.source,
            "goodput_bits_per_s": goodput,
            "of_bound_ratio": goodput / bound.bits_per_s if bound.bits_per_s else float("nan"),
            "exceeded": bound.exceeded,
        }
        for names, goodput, verdict, _ in (judged(runs) if found is None else found)
        for bound in verdict.bounds
    ]
    return pd.DataFrame(rows, columns=BOUND_COLUMNS)


def evidence(runs: Sequence[Run]) -> pd.DataFrame:
    """The figures of sentence and evidence: one row each of every watched trial; those of theory are in `bounds`.

    Columns: run, nic, workload, case, repeat, limit, figure (its name, with its unit), value.
    """
    rows = [
        {**names, "limit": str(verdict.limit), "figure": figure, "value": value}
        for names, _, verdict, _ in judged(runs)
        for figure, value in verdict.figures.items()
    ]
    return pd.DataFrame(rows, columns=EVIDENCE_COLUMNS)


def gaps(runs: Sequence[Run]) -> pd.DataFrame:
    """Times in which nothing was sent: run, nic, workload, case, repeat, start_s, length_s, length_rtts."""
    rows = [
        {**names, "start_s": gap.start_s, "length_s": gap.length_s, "length_rtts": gap.length_rtts}
        for names, _, verdict, _ in judged(runs)
        for gap in verdict.gaps
    ]
    return pd.DataFrame(rows, columns=GAP_COLUMNS)


def sentences(trial: Mapping[str, object], verdict: Diagnosis) -> tuple[Sentence, Sentence]:
    """Verdict and evidence of a watched trial, their figures with the cells that they stand in.

    Args:
        trial: column -> value of its rows.
    """
    known: dict[str, NamedFigure | Quoted] = {}
    for bound in verdict.bounds:
        source = Source("bounds", "bound_bits_per_s", {**trial, "bound": bound.name})
        rate = Quantity(bound.bits_per_s, format_rate, source)
        known |= {text: Quoted("bound", text) for text in (bound.name, bound.formula, bound.source)}
        known[str(rate)] = NamedFigure("bound_bits_per_s", rate)
    for name, value in verdict.figures.items():
        figure = Quantity(value, verdict.figures.forms[name], Source("evidence", "value", {**trial, "figure": name}))
        known[str(figure)] = NamedFigure(name, figure)
    return found_in(verdict.sentence, known), found_in("; ".join(verdict.evidence), known)
