"""Was the initial window of N segments honoured? One judgement for a capture and for a live probe.

The order of the questions is the whole method: evidence that spoils the trial first, then counts, then known limits
(cwnd from tcp_info, the peer's window, the send buffer, a TSO on/off pair), and last what the count itself excludes.

That last step needs no tcp_info. TSO deferral holds data only while the room left in cwnd is below a third of cwnd
(tcp_tso_win_divisor 3), so a flight of N segments that it stopped had cwnd < 1.5 N. A flight that data was waiting
behind, and that is no longer than two thirds of the window asked for, cannot be deferral: the window was smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

from offloadbench.analysis.initcwnd.send_path import TSO_WIN_DIVISOR

HONOURED, EXCEEDED, IGNORED = "honoured", "exceeded", "ignored"
CAPPED_BY_WINDOW, CAPPED_BY_SEND_BUFFER = "capped by window", "capped by send buffer"
DELAYED_BY_DEFERRAL, PACED, INCONCLUSIVE = "delayed by TSO deferral", "paced", "inconclusive"
VERDICTS = (
    HONOURED, EXCEEDED, IGNORED, CAPPED_BY_WINDOW, CAPPED_BY_SEND_BUFFER, DELAYED_BY_DEFERRAL, PACED, INCONCLUSIVE,
)  # fmt: skip

# tcp_wmem[1] for as long as 2.6.18 lived, and the truesize of a full segment on x86_64 with netfilter
_DEFAULT_SNDBUF_BYTES, _SKB_OVERHEAD_BYTES, _CACHE_LINE_BYTES = 16384, 440, 64
# the default window of a new socket since 2.6.39
RFC_6928_SEGMENTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is known of one flight. None means: not known.

    Attributes:
        segments, bytes: unique payload before the first ACK could act.
        expected_segments: the window asked for.
        problem: why the trial does not count (drops, a hole, no handshake); a sentence, empty if it does.
        short: the response ended with the flight, with less data than the expected window.
        cwnd_segments: from tcp_info before the write.
        window_segments: whole segments in the peer's window.
        write_blocked: the application sleeps in send().
        more_waiting: the server had more to send when the flight ended.
        pushed: the last segment ended a write (PSH), as it does when the write fell asleep for send buffer.
        segments_tso_off: the same trial with TSO off.
        unprompted: the rest came without an ACK, before any retransmission.
        tso: super-packets were seen, or the sender's setting is known.
        synack_retransmitted: then Linux starts with one segment, whatever the route says.
    """

    segments: int
    bytes: int
    mss_bytes: int
    expected_segments: int | None
    problem: str = ""
    short: bool = False
    cwnd_segments: int | None = None
    window_segments: int | None = None
    write_blocked: bool | None = None
    more_waiting: bool | None = None
    pushed: bool | None = None
    segments_tso_off: int | None = None
    unprompted: bool = False
    tso: bool | None = None
    synack_retransmitted: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """A word of `VERDICTS`, and why; the reason also says what else would look the same."""

    verdict: str
    reason: str


def default_buffer_segments(mss_bytes: int) -> int:
    """Full segments that the 16384-byte send buffer of old kernels takes without TSO: it stops when it is exceeded."""
    truesize = -(-mss_bytes // _CACHE_LINE_BYTES) * _CACHE_LINE_BYTES + _SKB_OVERHEAD_BYTES
    return -(-_DEFAULT_SNDBUF_BYTES // truesize)


def judge(seen: Observation) -> Judgement:
    """The verdict on one flight; pure, and the same for live probe and capture."""
    if seen.problem:
        return Judgement(INCONCLUSIVE, seen.problem)
    if seen.expected_segments is None:
        return Judgement(
            INCONCLUSIVE,
            f"{_many(seen.segments)} seen, nothing to compare with: give --initcwnd "
            f"({RFC_6928_SEGMENTS} is the default since Linux 2.6.39, RFC 6928)",
        )
    sent, expected = seen.segments, seen.expected_segments
    if sent > expected:
        return Judgement(EXCEEDED, f"{_many(sent)} left before an ACK could act, {expected} were expected")
    if sent == expected:
        ended = "; the response ended with them, so the window may be larger" if seen.short else ""
        return Judgement(HONOURED, f"exactly {_many(sent)} left before an ACK could act{ended}")
    if seen.short:
        return Judgement(
            INCONCLUSIVE, f"the response is too short: {_many(sent)}, {seen.bytes} bytes, cannot fill {expected}"
        )
    return _below(seen, sent, expected)


def _below(seen: Observation, sent: int, expected: int) -> Judgement:
    if seen.cwnd_segments is not None and seen.cwnd_segments < expected:
        return Judgement(IGNORED, f"the server's cwnd was {seen.cwnd_segments}, not {expected}")
    if seen.window_segments is not None and sent >= seen.window_segments:
        return Judgement(
            CAPPED_BY_WINDOW, f"the client's window holds {_many(seen.window_segments)}, {expected} expected"
        )
    if seen.write_blocked and seen.more_waiting is False:
        return Judgement(CAPPED_BY_SEND_BUFFER, f"the server's write sleeps after {_many(sent)}, nothing waits in TCP")
    if seen.more_waiting and seen.segments_tso_off is not None and seen.segments_tso_off >= expected:
        return Judgement(
            DELAYED_BY_DEFERRAL, f"{_many(sent)} with TSO, {seen.segments_tso_off} without; data was waiting"
        )
    if seen.unprompted:
        return Judgement(
            PACED,
            f"{_many(sent)} before the first ACK could act, and they kept coming without a pause: the sender paces, "
            "or a slow link spreads them; the window itself does not show",
        )
    if seen.synack_retransmitted:
        return Judgement(INCONCLUSIVE, f"{_many(sent)}: the SYN-ACK was sent twice, after which Linux starts with one")
    return _excluded(seen, sent, expected)


def _excluded(seen: Observation, sent: int, expected: int) -> Judgement:
    """No limit is known: what do the count and the shape of the flight leave?"""
    full = seen.bytes == sent * seen.mss_bytes
    buffer = full and seen.tso is not True and seen.pushed is not False and seen.write_blocked is not False
    if buffer and seen.more_waiting and sent == default_buffer_segments(seen.mss_bytes):
        return Judgement(
            CAPPED_BY_SEND_BUFFER,
            f"{_many(sent)} of {expected}, the last ends a write: what the old default send buffer of "
            f"{_DEFAULT_SNDBUF_BYTES} bytes takes without TSO; a cwnd of {sent}, or TSO deferral, would look the same: "
            "a larger tcp_wmem or an on/off pair tells",
        )
    if not seen.more_waiting:
        return Judgement(INCONCLUSIVE, f"{_many(sent)}, and nothing shows that the server had more to send at once")
    if seen.tso is False:
        return Judgement(IGNORED, f"{_many(sent)} of {expected} although data was waiting, and TSO is off")
    if TSO_WIN_DIVISOR * (expected - sent) >= expected:
        return Judgement(
            IGNORED,
            f"{_many(sent)} of {expected} although data was waiting: deferral leaves less than a third of cwnd, so "
            f"cwnd was below {-(-sent * TSO_WIN_DIVISOR // (TSO_WIN_DIVISOR - 1))}",
        )
    return Judgement(
        DELAYED_BY_DEFERRAL,
        f"{_many(sent)} of {expected} although data was waiting: {expected - sent} places are less than a third of "
        f"cwnd, where TSO deferral waits for an ACK; without tcp_info a cwnd of {sent}, or a full send buffer, would "
        "look the same: a run with TSO off tells",
    )


def _many(segments: int) -> str:
    return "1 segment" if segments == 1 else f"{segments} segments"
