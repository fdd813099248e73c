"""What a live probe has seen, counted and judged (see model.FlightTrial, verdict).

Segments = ceil(payload / gso_size), 1 where the frame is no super-packet. Everything counts that comes before data are
repeated, as no ACK has asked for it. What comes later than a round trip after the first frame, when the ACK of
an ordinary client would have acted, is told apart: a window that is not spent by then was paced, or the application
paused.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from offloadbench.analysis.initcwnd import verdict
from offloadbench.analysis.initcwnd.verdict import FlightFacts, FlightJudgement
from offloadbench.model import FlightTrial

# on a link without delay: what a busy machine may put between two frames of one flight
_LEAST_WINDOW_US = 10_000
# the only state of the offloads in which a socket builds no super-packets, so that nothing can be deferred
_NO_SUPER_PACKETS = "csum"
IDLE = "idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedFlight:
    """A flight, counted.

    Attributes:
        segments, bytes: unique, within one round trip of the first frame.
        all_segments, all_bytes: unique, before anything was repeated.
        largest_segments: of the largest frame; more than 1 in a super-packet.
        steps: (microseconds since the first frame, segments so far with this frame) before the repetition.
        repeated_us: when data came again, since the first frame; None where none did.
        hole: data are missing before others that came.
    """

    segments: int
    bytes: int
    all_segments: int
    all_bytes: int
    frames: int
    super_packets: int
    largest_segments: int
    spread_us: int
    steps: list[tuple[int, int]]
    repeated_us: int | None
    hole: bool


def count(trial: FlightTrial) -> CountedFlight:
    """Count a trial's frames."""
    frames = trial.frames
    start_us = frames.t_us[0] if frames.t_us else 0
    window_us = max(trial.rtt_us, _LEAST_WINDOW_US)
    covered: list[tuple[int, int]] = []
    steps: list[tuple[int, int]] = []
    total = total_bytes = within = within_bytes = supers = largest = spread_us = 0
    repeated_us = None
    rows = zip(frames.t_us, frames.offset_bytes, frames.payload_bytes, frames.gso_bytes, strict=True)
    for t_us, offset, payload, gso_bytes in rows:
        if any(low < offset + payload and offset < high for low, high in covered):
            repeated_us = t_us - start_us
            break
        covered.append((offset, offset + payload))
        segments = -(-payload // gso_bytes) if gso_bytes else 1
        total += segments
        total_bytes += payload
        if t_us - start_us <= window_us:
            within += segments
            within_bytes += payload
            spread_us = t_us - start_us
        supers += segments > 1
        largest = max(largest, segments)
        steps.append((t_us - start_us, total))
    covered.sort()
    hole = any(first[1] != second[0] for first, second in zip([(0, 0), *covered], covered, strict=False))
    return CountedFlight(
        segments=within,
        bytes=within_bytes,
        all_segments=total,
        all_bytes=total_bytes,
        frames=len(steps),
        super_packets=supers,
        largest_segments=largest,
        spread_us=spread_us,
        steps=steps,
        repeated_us=repeated_us,
        hole=hole,
    )


def _problem(trial: FlightTrial, flight: CountedFlight) -> str:
    if trial.problem:
        return trial.problem
    if trial.lost_frames:
        return f"the observer lost {trial.lost_frames} frames"
    if not flight.frames:
        return "the server sent no data"
    if flight.hole:
        return "data of the flight were lost on the way: its length is unknown"
    return ""


def observe(trial: FlightTrial, segments_tso_off: int | None = None) -> FlightFacts:
    """What is known of a trial's flight, for `verdict.judge`.

    Args:
        segments_tso_off: of the same flight where the socket builds no super-packets.
    """
    flight = count(trial)
    expected = trial.initcwnd
    spent = expected is not None and flight.all_segments >= expected
    unsent_bytes = trial.after.notsent_bytes if trial.after else trial.released_bytes
    return FlightFacts(
        segments=flight.all_segments if spent else flight.segments,
        bytes=flight.all_bytes if spent else flight.bytes,
        mss_bytes=trial.mss_bytes,
        expected_segments=expected,
        problem=_problem(trial, flight),
        short=not trial.released_bytes and flight.all_segments == flight.segments,
        # what an idle restart starts from says nothing of what it comes to
        cwnd_segments=trial.before.snd_cwnd_segments if trial.before and trial.pattern != IDLE else None,
        window_bytes=trial.window_bytes or None,
        write_blocked=trial.write_blocked,
        more_waiting=unsent_bytes >= max(1, trial.mss_bytes),
        nagle=0 < unsent_bytes < trial.mss_bytes,
        segments_tso_off=segments_tso_off,
        unprompted=flight.all_segments > flight.segments,
        tso=False if trial.case == _NO_SUPER_PACKETS else True if flight.super_packets else None,
        frames=flight.frames,
        synack_retransmitted=trial.synacks > 1,
    )


def judge(trials: Sequence[FlightTrial]) -> list[FlightJudgement]:
    """A verdict for each trial, with those beside it as the on/off pair that tells deferral from the rest."""
    without: dict[tuple[object, ...], Counter[int]] = defaultdict(Counter)
    for trial in trials:
        if trial.case == _NO_SUPER_PACKETS and not trial.problem:
            without[_setting(trial)][count(trial).segments] += 1
    judged = []
    for trial in trials:
        pairs = without[_setting(trial)].most_common(1) if trial.case != _NO_SUPER_PACKETS else []
        found = verdict.judge(observe(trial, pairs[0][0] if pairs else None))
        if found.verdict == verdict.EXCEEDED and trial.pattern == IDLE:
            found = FlightJudgement(found.verdict, f"{found.reason}; {_idle_reason(trial)}")
        judged.append(found)
    return judged


def _setting(trial: FlightTrial) -> tuple[object, ...]:
    return trial.initcwnd, trial.congestion_control, trial.metrics, trial.pattern


def _idle_reason(trial: FlightTrial) -> str:
    before = f"cwnd was {trial.before.snd_cwnd_segments} before" if trial.before else "cwnd before is not known"
    return (
        f"after {trial.idle_us / 1e6:.1f} s of silence ({before}): Linux does not restart under an algorithm that sets "
        "cwnd by itself, as bbr does (tcp_slow_start_after_idle_check, net/ipv4/tcp.h), nor with "
        "net.ipv4.tcp_slow_start_after_idle 0"
    )


def evidence(trial: FlightTrial) -> str:
    """What the verdict rests on, in one sentence."""
    flight = count(trial)
    if not flight.frames:
        return "no data"
    frames = "1 frame" if flight.frames == 1 else f"{flight.frames} frames"
    over_ms = flight.steps[-1][0] / 1e3
    words = [f"{flight.all_segments} segments in {frames} of up to {flight.largest_segments} within {over_ms:.2f} ms"]
    if trial.before and trial.after:
        words.append(
            f"cwnd {trial.before.snd_cwnd_segments} before the write, then {trial.after.unacked_segments} segments "
            f"unacknowledged and {trial.after.notsent_bytes} B unsent, send buffer {trial.after.sndbuf_bytes} B"
            + (", the write asleep" if trial.write_blocked else "")
        )
    words.append(f"window {trial.window_bytes} B")
    if flight.repeated_us is None:
        words.append(f"nothing repeated in {trial.waited_us / 1e6:.1f} s")
    else:
        words.append(f"first repetition after {flight.repeated_us / 1e3:.0f} ms")
    released = "new data" if trial.released_bytes else "the end" if trial.finished else "silence"
    words.append(f"an ACK with room for two segments brought {released}")
    return "; ".join(words)
