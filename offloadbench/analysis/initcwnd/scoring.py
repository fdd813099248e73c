"""From the flights of a connection to verdicts: what a capture alone can and cannot tell.

That data was waiting shows where the next full segment came as soon as an ACK could ask for it. It does not count where
the client sent new payload in between, since what follows may answer it; less than a full segment may have waited for
Nagle; and a partial segment with PSH is the end of a write (Linux sets PSH there). Where segments come one by one, a
slow link or the sender spaces them. Where the capture ends before an ACK could act, or before its effect could be seen,
it proves nothing. cwnd and the send buffer never show; where they would change the verdict, it names them.

A burst after silence is scored against the same window, since Linux restarts there (RFC 2861; slow_start_after_idle).
Every RTO of silence only halves cwnd, so until it must have come down, a larger burst proves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from offloadbench.analysis.capture.capture_file import CapturedFrame
from offloadbench.analysis.capture.ignored_frames import Ignored, sentences
from offloadbench.analysis.capture.tcp_segment import Segment, segment
from offloadbench.analysis.initcwnd import verdict
from offloadbench.analysis.initcwnd.connections import connections, endpoint
from offloadbench.analysis.initcwnd.flight import CapturedFlight
from offloadbench.analysis.initcwnd.flow import Flow
from offloadbench.analysis.initcwnd.verdict import FlightFacts, FlightJudgement, many

# below this, the answer to an ACK cannot be told from what was under way already
_SHORTEST_RTT_NS = 1_000_000
# data that an ACK released comes within this part of a round trip of it
_PROMPT = 0.5
# a pause of this part of a round trip is one of a whole, less the time in which the frames before it left
_PAUSE = 0.75
# a silence is one where it is this many times what lies between the frames before it
_CLEARLY = 3
# slow start doubles cwnd in a round trip, so it was at most twice what one carried
_SLOW_START_GROWTH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstScore:
    """A flight after silence longer than the RTO."""

    idle_s: float
    segments: int
    bytes: int
    frames: int
    max_frame_bytes: int
    super_packets: int
    window_bytes: int
    spread_ms: float
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowScore:
    """One connection. None: the capture does not tell.

    Attributes:
        client, server: `address:port`.
        side: where the capture ran: client, server, between, unknown.
        mss_bytes: payload of a full segment of the server: the lesser MSS of both SYNs less the options of its data,
            or what it sent in one segment where that differs.
        first_flight_segments, first_flight_bytes: unique payload before an ACK could act.
        frames, super_packets: frames of the flight, and those of more than one segment, whose inner timing is unknown.
        window_bytes: what the client advertised before the flight.
        spread_ms: from the first to the last frame of the flight.
        bursts: flights after silence longer than the RTO.
    """

    client: str
    server: str
    side: str
    mss_bytes: int | None
    rtt_ms: float | None
    first_flight_segments: int | None
    first_flight_bytes: int | None
    frames: int | None
    max_frame_bytes: int | None
    super_packets: int | None
    window_bytes: int | None
    spread_ms: float | None
    verdict: str
    reason: str
    bursts: list[BurstScore] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CaptureScore:
    """All connections of a capture, and what of it could not be used, as sentences."""

    flows: list[FlowScore]
    notes: list[str]


def score_capture(frames: Iterable[CapturedFrame], expected_segments: int | None) -> CaptureScore:
    """Read frames once, in order, and judge every TCP connection among them."""
    notes: Counter[Ignored] = Counter()
    found = connections(_segments(frames, notes))
    return CaptureScore(
        [score_flow(flow, expected_segments, found.end_ns) for flow in found.flows],
        sentences(notes),
    )


def _segments(frames: Iterable[CapturedFrame], notes: Counter[Ignored]) -> Iterator[tuple[int, Segment, int]]:
    for time_ns, link_type, data, original_bytes in frames:
        found = segment(link_type, data, original_bytes, notes)
        if found is not None:
            yield time_ns, found, original_bytes


def score_flow(flow: Flow, expected_segments: int | None, end_ns: int) -> FlowScore:
    """Judge one connection; a burst after silence that exceeds the window decides over its first flight.

    Args:
        end_ns: of the capture.
    """
    first = flow.first
    judged = verdict.judge(_observe(flow, first, expected_segments, end_ns)) if first else _nothing(flow)
    bursts = [_score_burst(flow, burst, most_bytes, expected_segments, end_ns) for burst, most_bytes in flow.bursts]
    exceeding = [burst for burst in bursts if burst.verdict == verdict.EXCEEDED]
    if exceeding:
        worst = max(exceeding, key=lambda burst: burst.segments)
        judged = FlightJudgement(
            verdict.EXCEEDED, f"{worst.reason}; the first flight: {judged.verdict}, {judged.reason}"
        )
    rtt_ns = flow.rtt_ns
    return FlowScore(
        client=endpoint(flow.client),
        server=endpoint(flow.server),
        side=flow.side,
        mss_bytes=flow.mss_bytes,
        rtt_ms=None if rtt_ns is None else rtt_ns / 1e6,
        first_flight_segments=first.segments if first else None,
        first_flight_bytes=first.bytes if first else None,
        frames=first.frames if first else None,
        max_frame_bytes=first.max_frame_bytes if first else None,
        super_packets=first.super_packets if first else None,
        window_bytes=first.window_bytes if first else None,
        spread_ms=first.spread_ns / 1e6 if first else None,
        verdict=judged.verdict,
        reason=judged.reason,
        bursts=bursts,
    )


def _nothing(flow: Flow) -> FlightJudgement:
    if not flow.synacks:
        missing = "no SYN-ACK" if flow.syn_options else "no handshake"
        return FlightJudgement(
            verdict.INCONCLUSIVE, f"{missing} in the capture: MSS, RTT and the first data are unknown"
        )
    return FlightJudgement(verdict.INCONCLUSIVE, "the server sent no data")


def _problem(flow: Flow, flight: CapturedFlight, expected_segments: int | None, end_ns: int) -> str:
    if flow.cut_bytes:
        return (
            f"the SYN's options are cut off by the snap length ({flow.cut_bytes} bytes): MSS, window scale or time "
            "stamps are unknown"
        )
    if flow.disordered:
        return "the handshake is recorded out of order: the round trip and the side of the capture are unknown"
    if not flow.handshake:
        return "the handshake is incomplete: the round trip and the side of the capture are unknown"
    if not flow.rtt_ns:
        return "the capture's time stamps do not tell the round trip"
    if flight.holes:
        return "data of the flight is missing in the capture or was lost: its length is unknown"
    if flight.cut_ns is None and not flight.retransmitted and flight.spread_ns > flow.rto_ns:
        return "the client's ACKs are not in the capture"
    if expected_segments is None:
        return ""
    if flight.segments > expected_segments and flight.gap_ns >= _PAUSE * flow.rtt_ns:
        return (
            f"{many(flight.segments)}, with a pause of a round trip between them and no ACK in the capture: what "
            "came then was sent by a timer, or released by an ACK that is missing"
        )
    if flow.rtt_ns < _SHORTEST_RTT_NS and flight.segments != expected_segments:
        return (
            f"{many(flight.segments)}, but at a round trip of {flow.rtt_ns / 1e6:.2f} ms "
            "what an ACK released cannot be told from what was under way"
        )
    if flight.segments <= expected_segments and not flight.retransmitted and flight.next_ns is None:
        return _unfinished(flow, flight, end_ns)
    return ""


def _unfinished(flow: Flow, flight: CapturedFlight, end_ns: int) -> str:
    """Nothing ended the flight that a server's window could have to do with; why, or empty where silence did."""
    if flow.fin_offset == flight.end:
        return ""
    acted_ns = flight.cut_ns
    if flow.reset_ns is not None and (acted_ns is None or flow.reset_ns < acted_ns):
        return f"{many(flight.segments)}, and the connection was reset before an ACK could act"
    if acted_ns is None:
        acted_ns = flight.last_ns + (flow.rtt_ns or 0)
    if end_ns < acted_ns:
        return f"{many(flight.segments)}, and the capture ends before an ACK could act"
    return ""


def _answer_ns(flow: Flow, flight: CapturedFlight) -> int | None:
    """From when what an ACK releases is captured."""
    return None if flight.ack_ns is None else flight.ack_ns + flow.acts_after_ns


def _within_ns(flow: Flow) -> int:
    return int(_PROMPT * (flow.rtt_ns or 0))


def _released_bytes(flow: Flow, flight: CapturedFlight) -> int:
    """What the server sent as soon as an ACK could make it; 0 where it came later, or may answer the client."""
    answer_ns = _answer_ns(flow, flight)
    if flight.next_ns is None or answer_ns is None or flight.asked:
        return 0
    if flight.next_ns - answer_ns > _within_ns(flow):
        return 0
    together = flight.after_ns is not None and flight.after_ns - flight.next_ns <= _within_ns(flow)
    return flight.next_bytes + (flight.after_bytes if together else 0)


def _spaced(flow: Flow, flight: CapturedFlight) -> bool:
    """Segments come one by one, before and behind what ended the flight; a window that holds leaves one long gap."""
    if flight.next_ns is None or flight.asked:
        return False
    silence_ns = flight.next_ns - flight.last_ns
    spread = flight.spread_ns > (flow.rtt_ns or 0) / 4
    if spread and (silence_ns < (flow.rtt_ns or 0) / 4 or silence_ns < _CLEARLY * flight.gap_ns):
        return True
    # a full segment alone; of a partial one nothing has to follow
    if (
        flight.after_ns is None
        or flight.next_bytes < flight.mss_bytes
        or not flight.size.one_segment(flight.next_bytes)
    ):
        return False
    return flight.after_ns - flight.next_ns > silence_ns / 2


def _ended(flow: Flow, flight: CapturedFlight, end_ns: int) -> bool:
    """Nothing follows the flight, although there was time for it."""
    if flow.fin_offset == flight.end:
        return True
    if flight.next_ns is not None or flight.retransmitted or not flight.pushed:
        return False
    answer_ns = _answer_ns(flow, flight)
    return answer_ns is None or end_ns > answer_ns + _within_ns(flow)


def _observe(flow: Flow, flight: CapturedFlight, expected_segments: int | None, end_ns: int) -> FlightFacts:
    write_ended = flight.pushed and not flight.ends_full
    released_bytes = 0 if flow.fin_offset == flight.end else _released_bytes(flow, flight)
    return FlightFacts(
        segments=flight.segments,
        bytes=flight.bytes,
        mss_bytes=flight.mss_bytes,
        expected_segments=expected_segments,
        problem=_problem(flow, flight, expected_segments, end_ns),
        short=_ended(flow, flight, end_ns),
        window_bytes=flight.window_bytes,
        more_waiting=released_bytes >= flight.mss_bytes,
        nagle=0 < released_bytes < flight.mss_bytes,
        write_ended=write_ended,
        asked=flight.asked,
        pushed=flight.pushed,
        unprompted=not write_ended and _spaced(flow, flight),
        tso=True if flight.super_packets else None,
        frames=flight.frames,
        synack_retransmitted=flow.synacks > 1,
    )


def _score_burst(
    flow: Flow, burst: CapturedFlight, most_bytes: int, expected_segments: int | None, end_ns: int
) -> BurstScore:
    rtos = burst.idle_ns // flow.rto_ns
    judged = verdict.judge(_observe(flow, burst, expected_segments, end_ns))
    if judged.verdict in (verdict.EXCEEDED, verdict.EXCEEDED_IN_PACKETS) and expected_segments is not None:
        decayed = (_SLOW_START_GROWTH * most_bytes // burst.mss_bytes) >> rtos
        frames = "1 frame" if burst.frames == 1 else f"{burst.frames} frames"
        sent = f"after {burst.idle_ns / 1e9:.1f} s of silence {burst.segments} segments left at once in {frames}"
        if burst.segments <= max(decayed, expected_segments):
            judged = FlightJudgement(
                verdict.INCONCLUSIVE, f"{sent}; cwnd may not have come down to {expected_segments} yet"
            )
        elif judged.verdict == verdict.EXCEEDED:
            judged = FlightJudgement(
                verdict.EXCEEDED,
                f"{sent}, although cwnd must be back at {expected_segments} by then: a first GSO packet on the old "
                "window, or net.ipv4.tcp_slow_start_after_idle is 0",
            )
    return BurstScore(
        idle_s=burst.idle_ns / 1e9,
        segments=burst.segments,
        bytes=burst.bytes,
        frames=burst.frames,
        max_frame_bytes=burst.max_frame_bytes,
        super_packets=burst.super_packets,
        window_bytes=burst.window_bytes,
        spread_ms=burst.spread_ns / 1e6,
        verdict=judged.verdict,
        reason=judged.reason,
    )
