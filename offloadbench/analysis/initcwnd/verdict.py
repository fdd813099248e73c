"""Was the initial window of N segments honoured? One judgement for a capture and for a live probe.

The order of the questions is the whole method: evidence that spoils the trial first, then counts, then known limits
(cwnd from tcp_info, the peer's window, the send buffer, a TSO on/off pair), and last what the count itself excludes.

That last step needs no tcp_info. TSO deferral holds data only while the room left in cwnd is below a third of cwnd
(tcp_tso_win_divisor 3), and the default send buffer of old kernels takes nine full segments. So a shorter flight that
data was waiting behind had a smaller cwnd: `ignored`. A longer one may have met any of them, and all that are possible
are named, the likelier first. A flight that the application may have ended proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from offloadbench.analysis.initcwnd.scenario import TSO_WIN_DIVISOR

HONOURED, EXCEEDED, IGNORED = "honoured", "exceeded", "ignored"
EXCEEDED_IN_PACKETS = "exceeded in packets, not in bytes"
CAPPED_BY_WINDOW, CAPPED_BY_SEND_BUFFER = "capped by window", "capped by send buffer"
DELAYED_BY_DEFERRAL, PACED, INCONCLUSIVE = "delayed by TSO deferral", "paced", "inconclusive"
VERDICTS = (
    HONOURED, EXCEEDED, EXCEEDED_IN_PACKETS, IGNORED, CAPPED_BY_WINDOW, CAPPED_BY_SEND_BUFFER, DELAYED_BY_DEFERRAL,
    PACED, INCONCLUSIVE,
)  # fmt: skip
# never alone, only as what else is possible
SMALLER_CWND, ENDED_BY_APPLICATION = "a smaller cwnd", "the end of a write"
CAUSES = (CAPPED_BY_SEND_BUFFER, DELAYED_BY_DEFERRAL, SMALLER_CWND, ENDED_BY_APPLICATION)

# tcp_wmem[1] for as long as 2.6.18 lived, and the truesize of a full segment on x86_64 with netfilter
_DEFAULT_SNDBUF_BYTES, _SKB_OVERHEAD_BYTES, _CACHE_LINE_BYTES = 16384, 440, 64
_PAGE_BYTES = 4096
# the default window of a new socket since 2.6.39, and the same in bytes
RFC_6928_SEGMENTS, _RFC_6928_BYTES = 10, 14600


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightFacts:
    """What is known of one flight. None means: not known.

    Attributes:
        segments, bytes: unique payload before the first ACK could act.
        expected_segments: the window asked for.
        problem: why the trial does not count (drops, a hole, no handshake); a sentence, empty if it does.
        short: the response ended with the flight, with less data than the expected window.
        cwnd_segments: from tcp_info before the write.
        window_bytes: the peer's.
        write_blocked: the application sleeps in send().
        more_waiting: the server had at least a full segment more to send when the flight ended.
        nagle: it had less than that, and the rest waits for the ACK of what was sent (RFC 896).
        write_ended: its last segment is partial and has PSH, as where a write ends.
        asked: the client sent new payload before the server went on, which may be the answer to it.
        pushed: its last segment has PSH; if data was waiting behind it all the same, another write had begun.
        segments_tso_off: the same trial with TSO off.
        unprompted: the rest came without an ACK, before any retransmission.
        tso: super-packets were seen, or the sender's setting is known.
        frames: in which it was captured; with super-packets the sender's sk_buffs.
        synack_retransmitted: then Linux starts with one segment, whatever the route says.
    """

    segments: int
    bytes: int
    mss_bytes: int
    expected_segments: int | None
    problem: str = ""
    short: bool = False
    cwnd_segments: int | None = None
    window_bytes: int | None = None
    write_blocked: bool | None = None
    more_waiting: bool | None = None
    nagle: bool = False
    write_ended: bool = False
    asked: bool = False
    pushed: bool | None = None
    segments_tso_off: int | None = None
    unprompted: bool = False
    tso: bool | None = None
    frames: int | None = None
    synack_retransmitted: bool = False


@dataclass(frozen=True, slots=True)
class FlightJudgement:
    """A word of `VERDICTS`, or several of `CAUSES` joined by "or", the likelier first; and why."""

    verdict: str
    reason: str


def default_buffer_segments(mss_bytes: int) -> int:
    """Full segments that the 16384-byte send buffer of old kernels takes without TSO: it stops when it is exceeded."""
    truesize = -(-mss_bytes // _CACHE_LINE_BYTES) * _CACHE_LINE_BYTES + _SKB_OVERHEAD_BYTES
    return -(-_DEFAULT_SNDBUF_BYTES // truesize)


def judge(seen: FlightFacts) -> FlightJudgement:
    """The verdict on one flight; pure, and the same for live probe and capture."""
    if seen.problem:
        return FlightJudgement(INCONCLUSIVE, seen.problem)
    if seen.expected_segments is None:
        return FlightJudgement(
            INCONCLUSIVE,
            f"{many(seen.segments)} seen, nothing to compare with: give --initcwnd "
            f"({RFC_6928_SEGMENTS} is the default since Linux 2.6.39, RFC 6928)",
        )
    sent, expected = seen.segments, seen.expected_segments
    if sent > expected:
        return _beyond(seen, sent, expected)
    if sent == expected:
        what = "the response" if seen.short else "a write" if seen.write_ended else ""
        ended = f"; {what} ended with them, so the window may be larger" if what else ""
        return FlightJudgement(HONOURED, f"exactly {many(sent)} left before an ACK could act{ended}{_in_bytes(seen)}")
    if seen.short:
        return FlightJudgement(
            INCONCLUSIVE, f"the response is too short: {many(sent)}, {seen.bytes} bytes, cannot fill {expected}"
        )
    return _below(seen, sent, expected)


def _window_in_bytes(seen: FlightFacts, expected: int) -> int:
    """What a stack that counts bytes may send where one that counts packets may send `expected` (RFC 6928)."""
    if expected == RFC_6928_SEGMENTS:
        return min(expected * seen.mss_bytes, max(2 * seen.mss_bytes, _RFC_6928_BYTES))
    return expected * seen.mss_bytes


def _beyond(seen: FlightFacts, sent: int, expected: int) -> FlightJudgement:
    told = f"{many(sent)} left before an ACK could act, {expected} were expected"
    allowed = _window_in_bytes(seen, expected)
    if seen.bytes > allowed:
        return FlightJudgement(EXCEEDED, told)
    return FlightJudgement(
        EXCEEDED_IN_PACKETS,
        f"{told}: too many for a stack that counts packets, as Linux does; but they are {seen.bytes} bytes, and one "
        f"that counts bytes (RFC 6928: {allowed} of them) stays within the window",
    )


def _in_bytes(seen: FlightFacts) -> str:
    allowed = _window_in_bytes(seen, seen.expected_segments or 0)
    if seen.bytes + seen.mss_bytes > allowed:
        return ""
    return (
        f"; a stack that counts packets, as Linux does, has spent its window, one that counts bytes {seen.bytes} "
        f"of {allowed}"
    )


def _below(seen: FlightFacts, sent: int, expected: int) -> FlightJudgement:
    if seen.cwnd_segments is not None and seen.cwnd_segments < expected:
        return FlightJudgement(IGNORED, f"the server's cwnd was {seen.cwnd_segments}, not {expected}")
    if seen.window_bytes is not None and _fills(seen, seen.window_bytes):
        return FlightJudgement(
            CAPPED_BY_WINDOW,
            f"{seen.bytes} bytes of the client's window of {seen.window_bytes} are spent: {many(sent)}, {expected} "
            "expected",
        )
    if seen.write_blocked and seen.more_waiting is False and not seen.nagle:
        return FlightJudgement(
            CAPPED_BY_SEND_BUFFER, f"the server's write sleeps after {many(sent)}, nothing waits in TCP"
        )
    if seen.more_waiting and seen.segments_tso_off is not None and seen.segments_tso_off >= expected:
        return FlightJudgement(
            DELAYED_BY_DEFERRAL, f"{many(sent)} with TSO, {seen.segments_tso_off} without; data was waiting"
        )
    if seen.write_ended and not _ends_with_a_page(seen):
        return FlightJudgement(
            INCONCLUSIVE,
            f"{many(sent)}, {seen.bytes} bytes: the last is partial and has PSH, so the application ended its write "
            f"there, too short to fill {expected}",
        )
    if seen.nagle:
        return FlightJudgement(
            INCONCLUSIVE,
            f"{many(sent)}, and less than a full segment was left, which waits for an ACK whatever the window (Nagle)",
        )
    if seen.unprompted:
        return FlightJudgement(
            PACED,
            f"{many(sent)} before the first ACK could act, and segments kept coming without a pause of a round trip: "
            "the sender paces, or a slow link spreads them; the window itself does not show",
        )
    if seen.synack_retransmitted:
        return FlightJudgement(
            INCONCLUSIVE, f"{many(sent)}: the SYN-ACK was sent twice, after which Linux starts with one"
        )
    if not seen.more_waiting:
        why = ": the client had sent more before the server went on, which may have been the answer to it"
        return FlightJudgement(
            INCONCLUSIVE,
            f"{many(sent)}, and nothing shows that the server had more to send at once{why if seen.asked else ''}",
        )
    return _excluded(seen, sent, expected)


def _fills(seen: FlightFacts, window_bytes: int) -> bool:
    """No further segment fits; a sender cuts them to half of a small window (RFC 9293, 3.8.6.2.1)."""
    if seen.write_ended and seen.bytes < window_bytes:
        return False
    return seen.bytes <= window_bytes < seen.bytes + min(seen.mss_bytes, max(1, window_bytes // 2))


def _memory_bytes(seen: FlightFacts) -> int:
    """The most send buffer that a flight can have taken in Linux: with TSO payload and headers of each sk_buff."""
    skbs = seen.segments if seen.frames is None or not seen.tso else min(seen.segments, seen.frames)
    return seen.bytes + skbs * _SKB_OVERHEAD_BYTES


def _buffer_may_be_full(seen: FlightFacts, sent: int) -> bool:
    if seen.write_blocked is False:
        return False
    without_tso = seen.tso is not True and sent >= default_buffer_segments(seen.mss_bytes)
    return without_tso or (seen.tso is not False and _memory_bytes(seen) >= _DEFAULT_SNDBUF_BYTES)


def _ends_with_a_page(seen: FlightFacts) -> bool:
    """A write that fell asleep with TSO pushes what it copied, which goes to whole pages: partial, with PSH."""
    return bool(seen.more_waiting) and not seen.bytes % _PAGE_BYTES and _buffer_may_be_full(seen, seen.segments)


def _excluded(seen: FlightFacts, sent: int, expected: int) -> FlightJudgement:
    """No limit is known: what do the count and the shape of the flight leave?"""
    told = f"{many(sent)} of {expected} although data was waiting"
    buffer_segments = default_buffer_segments(seen.mss_bytes)
    possible: dict[str, str] = {}
    if _buffer_may_be_full(seen, sent):
        possible[CAPPED_BY_SEND_BUFFER] = (
            f"the send buffer may have been full ({_DEFAULT_SNDBUF_BYTES} bytes, the default of old kernels, take "
            f"{buffer_segments} full segments without TSO, more with it; a larger tcp_wmem tells)"
        )
    if seen.tso is not False and TSO_WIN_DIVISOR * (expected - sent) < expected and not seen.write_ended:
        possible[DELAYED_BY_DEFERRAL] = (
            f"{expected - sent} places are less than a third of cwnd, where TSO deferral waits for an ACK (the same "
            "with TSO off tells)"
        )
    if seen.cwnd_segments is None and not seen.write_ended:
        possible[SMALLER_CWND] = f"a cwnd of {sent} would look the same (tcp_info tells)"
    if seen.write_ended or seen.pushed:
        possible[ENDED_BY_APPLICATION] = "the application may have paused there, since PSH ends a write"
    if set(possible) == {SMALLER_CWND}:
        return _smaller(seen, sent, told)
    if set(possible) <= {SMALLER_CWND, ENDED_BY_APPLICATION}:
        also = "; ".join(possible.values()) or "no limit that is known explains it"
        known = "" if seen.cwnd_segments is None else f", and cwnd was {seen.cwnd_segments}"
        return FlightJudgement(INCONCLUSIVE, f"{told}{known}: {also}")
    return FlightJudgement(" or ".join(possible), f"{told}: {'; '.join(possible.values())}")


def _smaller(seen: FlightFacts, sent: int, told: str) -> FlightJudgement:
    if seen.tso is False:
        return FlightJudgement(IGNORED, f"{told}, and TSO is off: cwnd was {sent}")
    below = -(-sent * TSO_WIN_DIVISOR // (TSO_WIN_DIVISOR - 1))
    return FlightJudgement(
        IGNORED,
        f"{told}: TSO deferral leaves less than a third of cwnd, and the smallest default send buffer takes "
        f"{default_buffer_segments(seen.mss_bytes)}, so cwnd was below {below}",
    )


def many(segments: int) -> str:
    """`1 segment`, `2 segments`."""
    return "1 segment" if segments == 1 else f"{segments} segments"
