"""What limits a sender: one sentence and its evidence.

The link comes first: at its rate it hides every other limit, for whatever bounds the data in flight then only sets the
length of a queue. Below 90 % of a known line it is not the answer, and where the rate is unknown it needs evidence of
its own (offloadbench.analysis.sender.bottleneck). Then comes what the sender waited for, as far as it explains the rate
(offloadbench.analysis.sender.suspects).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from offloadbench.analysis.sender import bottleneck, theory, wait_tables
from offloadbench.analysis.sender.bottleneck import Surroundings
from offloadbench.analysis.sender.send_queue import Queue, SendGap, State, gap_ratio, queue
from offloadbench.analysis.sender.suspect import KnownConnection, Limit, Suspect, milliseconds, percent
from offloadbench.analysis.sender.suspects import suspects
from offloadbench.analysis.sender.told_figures import Figures, whole
from offloadbench.analysis.trial import headers
from offloadbench.base.units import format_rate
from offloadbench.model import TcpTrace, Waits

_BUSY_RATIO = 0.9
# what explains less than this is no explanation
_ENOUGH = 0.3
_SILENT_BITS_PER_S = 1e4
# a bound so far above the throughput tells nothing
_FAR = 100
_NO_ARTICLE = frozenset({Limit.PACING, Limit.LOSS})
_WAITS_FOR = {
    State.SEND_BUFFER: "send memory",
    State.RECEIVE_WINDOW: "the receiver's window",
    State.CONGESTION_WINDOW: "the congestion window",
    State.PACING: "pacing",
    State.LOWER_LAYERS: "layers below TCP",
    State.SMALL_WRITES: "acknowledgements of small writes",
    State.APPLICATION: "the application",
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The verdict on one window.

    Attributes:
        sentence: one, with its most telling figures.
        evidence: the figures that it rests on, as clauses.
        figures: of sentence and evidence, by name; those of theory are in the bounds.
        shares: of the ticks, by what the sender waited for.
        bounds: the theory, the lowest first, those that were exceeded last.
        gaps: times in which nothing was sent; `gap_ratio` is their share of the time.
    """

    limit: Limit
    sentence: str
    evidence: list[str]
    figures: Figures
    shares: dict[State, float]
    bounds: list[theory.Bound]
    gaps: list[SendGap]
    gap_ratio: float

    @property
    def bound(self) -> theory.Bound | None:
        """The lowest one that holds; None where none is known."""
        return next((bound for bound in self.bounds if not bound.exceeded), None)


def diagnose(
    traces: Sequence[TcpTrace],
    facts: Mapping[str, Any] | None = None,
    *,
    cpu_busy_ratio: float | None = None,
    wire_bits_per_s: float | None = None,
    waited: Waits | None = None,
) -> Diagnosis:
    """Judge the connections of one sender over one window.

    Args:
        traces: the one that sent most is looked at closely; the others count for the link.
        facts: what bed and workload know, for each connection; see `theory.path_of` and `theory.exchange_of`, and
            mtu_bytes and vlan_bytes. MSS, headers, and RTT where it is not given, are those of the trace.
        cpu_busy_ratio: of the sender's CPUs.
        wire_bits_per_s: layer 2, all that the sender's end put on the cable.
        waited: the sender's waits, recorded in a window like this one.

    Raises:
        RunFileError: a trace is damaged.
    """
    followed = [(one, trace) for trace in traces if trace.rows > 1 and len(one := queue(trace)) > 1]
    if not followed:
        return Diagnosis(
            Limit.NOTHING_FOUND, "Nothing found: no connection was watched.", [], Figures(), {}, [], [], 0.0
        )
    queues = [one for one, _ in followed]
    busiest, trace = max(followed, key=lambda one: one[0].change("sent_bytes"))
    known = _known(busiest, trace, facts or {}, waited)
    around = Surroundings(
        goodput_bits_per_s=sum(one.goodput_bits_per_s for one in queues),
        plateau_ratio=bottleneck.plateau_ratio(queues),
        cpu_busy_ratio=cpu_busy_ratio,
        wire_bits_per_s=wire_bits_per_s,
    )
    bounds = _bounds(known, around)
    gaps = busiest.gaps(theory.line_rate(known.path).bits_per_s)
    told = Figures()
    limit, reason = _judge(known, around, told)
    article = "" if limit in _NO_ARTICLE else "the "
    head = "Nothing found" if limit is Limit.NOTHING_FOUND else f"Limited by {article}{limit}"
    goodput = told.tell("sender_goodput_bits_per_s", around.goodput_bits_per_s, format_rate)
    return Diagnosis(
        limit=limit,
        sentence=f"{head} at {goodput}: {reason}.",
        evidence=_evidence(known, around, gaps, bounds, told),
        figures=told,
        shares={state: busiest.share(state) for state in State},
        bounds=bounds,
        gaps=gaps,
        gap_ratio=gap_ratio(gaps, busiest.duration_s),
    )


def _known(busiest: Queue, trace: TcpTrace, facts: Mapping[str, Any], waited: Waits | None) -> KnownConnection:
    network_bytes = headers.of_connection(trace, facts.get("mtu_bytes", 0))
    seen = {
        "rtt_s": busiest.min_rtt_s,
        "mss_bytes": int(np.median(busiest["snd_mss_bytes"])),
        "header_bytes": headers.with_network(network_bytes, facts.get("vlan_bytes", 0)).layer1_bytes,
    }
    path = theory.path_of(seen | {name: value for name, value in facts.items() if value})
    return KnownConnection(busiest, path, theory.exchange_of(facts), wait_tables.share(waited) if waited else None)


def _bounds(known: KnownConnection, around: Surroundings) -> list[theory.Bound]:
    """The theory beside what was reached; those that were exceeded come last."""
    one = known.queue
    found = theory.bounds(
        known.path,
        known.exchange,
        window_bytes=float(one["snd_wnd_bytes"].mean()),
        cwnd_bytes=float(one["snd_cwnd_segments"].mean()) * known.path.mss_bytes,
        sndbuf_bytes=float(one["sndbuf_bytes"].mean()),
        over_bytes=one.over_sndbuf_bytes,
        ratio=one.payload_ratio,
    )
    reached = {theory.LINE_RATE: around.goodput_bits_per_s}
    marked = [bound.against(reached.get(bound.name, one.goodput_bits_per_s)) for bound in found]
    return sorted(marked, key=lambda bound: bound.exceeded)


def _judge(known: KnownConnection, around: Surroundings, told: Figures) -> tuple[Limit, str]:
    if around.goodput_bits_per_s < _SILENT_BITS_PER_S:
        return Limit.NOTHING_FOUND, "it sent next to nothing"
    full = bottleneck.line_is_full(known, around, told)
    if full:
        return Limit.LINK, full
    best = _best(known, around)
    busy = around.cpu_busy_ratio or 0.0
    if busy >= _BUSY_RATIO and (best is None or best.score < _ENOUGH or not best.firm):
        reason = (
            f"the sender's CPU is busy {told.tell('cpu_busy_ratio', busy, percent)} of the time, and neither windows "
            "nor buffer explain the rate"
        )
        return Limit.CPU, reason
    best = bottleneck.standing_queue(known, around, best) or best
    if best is None or best.score < _ENOUGH or (best.limit is Limit.LOSS and not best.firm):
        best = bottleneck.own_estimate(known, around, best) or best
    if best is None:
        return Limit.NOTHING_FOUND, "no limit explains the rate"
    told.add(best.figures)
    if best.score < _ENOUGH:
        return Limit.NOTHING_FOUND, f"no limit explains the rate; nearest is the {best.limit}: {best.reason}"
    return best.limit, best.reason


def _best(known: KnownConnection, around: Surroundings) -> Suspect | None:
    """What explains the rate best, the link only where it can."""
    found = suspects(known)
    if not bottleneck.may_be_link(known, around):
        found = [suspect for suspect in found if suspect.limit is not Limit.LINK]
    nearly_full = bottleneck.nearly_full(known, around)
    return max([*found, *([nearly_full] if nearly_full else [])], key=lambda suspect: suspect.score, default=None)


def _evidence(
    known: KnownConnection, around: Surroundings, gaps: Sequence[SendGap], bounds: Sequence[theory.Bound], told: Figures
) -> list[str]:
    one = known.queue
    fill = np.median(one["wmem_queued_bytes"] / np.maximum(one["sndbuf_bytes"], 1))
    medians = {
        "median_send_queue_segments": np.median(one.segments),
        "median_cwnd_segments": np.median(one["snd_cwnd_segments"]),
    }
    queued, cwnd = (told.tell(name, value, whole) for name, value in medians.items())
    duration_us = max(one.duration_s * 1e6, 1.0)
    kernel = {name: one.change(f"{name}_us") / duration_us for name in ("busy", "rwnd_limited", "sndbuf_limited")}
    found = [
        "it waits for "
        + ", ".join(
            f"{name} {told.tell(f'{state.name.lower()}_ratio', one.share(state), percent)}"
            for state, name in _WAITS_FOR.items()
        ),
        f"medians: send queue {queued}, cwnd {cwnd} segments, "
        f"sk_wmem_queued {told.tell('median_fill_ratio', fill, percent)} of sk_sndbuf, "
        f"srtt {told.tell('median_srtt_s', np.median(one['srtt_us']) * 1e-6, milliseconds)}; "
        f"shortest RTT {told.tell('min_rtt_s', one.min_rtt_s, milliseconds)}",
        "the kernel's own account: "
        + ", ".join(f"{name} {told.tell(f'kernel_{name}_ratio', ratio, percent)}" for name, ratio in kernel.items()),
    ]
    if one["app_limited"].any():
        ratio = told.tell("app_limited_ratio", float(one["app_limited"].mean()), percent)
        found[-1] += f", delivery rate limited by the application in {ratio} of the readings"
    if gaps:
        median = float(np.median([gap.length_rtts for gap in gaps]))
        found.append(
            f"gaps without sending: {told.tell('gap_count', len(gaps), whole)} in "
            f"{told.tell('watched_s', one.duration_s, '{:.1f}'.format)} s, "
            f"{told.tell('gap_ratio', gap_ratio(gaps, one.duration_s), percent)} of the time, median "
            f"{told.tell('median_gap_rtts', median, '{:.2f}'.format)} RTT"
        )
    if known.waited_ratio is not None:
        waited = told.tell("stacks_waiting_ratio", known.waited_ratio, percent)
        found.append(f"stacks: {waited} of the time in {wait_tables.SEND_MEMORY}")
    if around.cpu_busy_ratio is not None:
        found.append(f"the sender's CPU is busy {told.tell('cpu_busy_ratio', around.cpu_busy_ratio, percent)}")
    if bounds and not bounds[0].exceeded and bounds[0].bits_per_s < _FAR * around.goodput_bits_per_s:
        most = "at most" if around.goodput_bits_per_s <= bounds[0].bits_per_s else "about"
        found.append(f"theory: {most} {bounds[0]}")
    found += [f"exceeded, so no bound here: {bound}" for bound in bounds if bound.exceeded]
    return found
