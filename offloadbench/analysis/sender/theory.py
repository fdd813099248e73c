"""What a sender can reach at most: one bound a formula, each with its name and source. The lowest is the theory.

All bounds are of payload, in bits per second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from offloadbench.analysis.trial.headers import Headers
from offloadbench.base.units import format_bytes, format_rate

MSS_BYTES = 1448
# struct sk_buff with its clone, its shared info and the room for headers; what tcp_stream_alloc_skb() charges to
# sk_wmem_queued besides the payload, on 64-bit kernels since 5.x
SKB_OVERHEAD_BYTES = 1280
# a socket builds super-packets of up to this payload (sk_gso_max_size)
SUPER_PACKET_BYTES = 65536


# windows and buffers are means of a trace that change in it; more than this above the bound is no scatter
EXCEEDED_FACTOR = 1.1


@dataclass(frozen=True, slots=True)
class Bound:
    """An upper bound.

    Attributes:
        name: of the formula.
        formula: with its figures.
        source: where the formula comes from.
        exceeded: the throughput was above it, so on this kernel and connection it bounds nothing.
    """

    name: str
    formula: str
    bits_per_s: float
    source: str
    exceeded: bool = False

    def against(self, bits_per_s: float) -> Bound:
        """The bound beside a throughput, marked where that is above it by more than the means of a trace explain."""
        return replace(self, exceeded=bits_per_s > EXCEEDED_FACTOR * self.bits_per_s)

    def __str__(self) -> str:
        return f"{format_rate(self.bits_per_s)} by {self.name} ({self.formula}; {self.source})"


@dataclass(frozen=True, slots=True)
class Path:
    """What the sender sends over; 0 where unknown.

    Attributes:
        line_rate_bits_per_s: of the link, layer 1.
        rtt_s: at idle, without queues.
        header_bytes: what a segment takes up on the line besides its payload, layer 1; see
            `offloadbench.analysis.trial.headers`.
    """

    line_rate_bits_per_s: float = 0.0
    rtt_s: float = 0.0
    mss_bytes: int = MSS_BYTES
    header_bytes: int = Headers().layer1_bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """How an application talks: blocks that are each answered, some of them at a time.

    Attributes:
        block_bytes: of one command; 0 for a plain stream.
        queue_depth: commands that are under way at a time.
        unsolicited_bytes: of a block, sent without being asked for.
        max_burst_bytes: what the target asks for at a time; 0 where it never asks.
    """

    block_bytes: int = 0
    queue_depth: int = 1
    unsolicited_bytes: int = 0
    max_burst_bytes: int = 0

    @property
    def rounds(self) -> int:
        """How often the target asks in a block, one round trip each."""
        if not self.max_burst_bytes:
            return 0
        return math.ceil(max(0, self.block_bytes - self.unsolicited_bytes) / self.max_burst_bytes)


LINE_RATE, WINDOW, CONGESTION_WINDOW = "line rate", "receive window / RTT", "congestion window / RTT"
SEND_BUFFER, QUEUE_DEPTH, R2T_ROUNDS = "send buffer / RTT", "queue depth x block / (RTT + transfer)", "R2T rounds"


def path_of(facts: Mapping[str, Any]) -> Path:
    """The path from what a bed knows: line_rate_bits_per_s, rtt_s, mss_bytes, header_bytes, each optional."""
    return Path(
        float(facts.get("line_rate_bits_per_s", 0.0)),
        float(facts.get("rtt_s", 0.0)),
        int(facts.get("mss_bytes", MSS_BYTES)),
        int(facts.get("header_bytes", Headers().layer1_bytes)),
    )


def exchange_of(facts: Mapping[str, Any]) -> Exchange | None:
    """The exchange from what a workload knows: block_bytes, queue_depth, unsolicited_bytes, max_burst_bytes.

    Returns:
        None for a plain stream, which has no block_bytes.
    """
    if not facts.get("block_bytes"):
        return None
    return Exchange(
        int(facts["block_bytes"]),
        int(facts.get("queue_depth", 1)),
        int(facts.get("unsolicited_bytes", 0)),
        int(facts.get("max_burst_bytes", 0)),
    )


def unsolicited_bytes(
    block_bytes: int, *, initial_r2t: bool, immediate_data: bool, first_burst_bytes: int, max_segment_bytes: int
) -> int:
    """What an iSCSI initiator may send of a block before it is asked (RFC 7143, 13.10 to 13.14).

    Args:
        max_segment_bytes: the target's MaxRecvDataSegmentLength, which one PDU of immediate data cannot exceed.
    """
    if not initial_r2t:
        return min(block_bytes, first_burst_bytes)
    return min(block_bytes, first_burst_bytes, max_segment_bytes) if immediate_data else 0


def line_rate(path: Path) -> Bound:
    """Payload of full segments on Ethernet: with IPv4 and TCP timestamps 1448 of 1538 bytes, 941 of 1000 Mbit/s."""
    segment_bytes = path.mss_bytes + path.header_bytes
    return Bound(
        LINE_RATE,
        f"{format_rate(path.line_rate_bits_per_s)} x {path.mss_bytes} / {segment_bytes} B",
        path.line_rate_bits_per_s * path.mss_bytes / segment_bytes,
        "IEEE 802.3, RFC 9293, RFC 7323",
    )


def window(path: Path, window_bytes: float, name: str = WINDOW) -> Bound:
    """A window, the receiver's or that of congestion control, is sent once in a round trip."""
    source = "RFC 9293, 3.8.6" if name == WINDOW else "RFC 5681"
    return Bound(name, f"{format_bytes(window_bytes)} / {_ms(path.rtt_s)}", window_bytes * 8 / path.rtt_s, source)


def payload_ratio(packet_bytes: int = SUPER_PACKET_BYTES) -> float:
    """What part of the charge to a send buffer is payload, in packets of this payload: 0.98 with GSO, 0.53 without."""
    return packet_bytes / (packet_bytes + SKB_OVERHEAD_BYTES)


def send_buffer(path: Path, sndbuf_bytes: float, ratio: float, over_bytes: float = 0.0) -> Bound:
    """Data stay in the send buffer until they are acknowledged, so it is sent once in a round trip.

    No bound where the kernel lets a sender exceed sk_sndbuf as long as nothing is unsent, as some 6.18 kernels do.

    Args:
        sndbuf_bytes: sk_sndbuf, twice the value given to SO_SNDBUF.
        ratio: of payload to charge; see `payload_ratio`.
        over_bytes: by which the queue exceeds it, up to a packet: a buffer with any room takes a whole one.
    """
    over = f" + {format_bytes(over_bytes)}" if over_bytes else ""
    size = f"({format_bytes(sndbuf_bytes)}{over})" if over else format_bytes(sndbuf_bytes)
    return Bound(
        SEND_BUFFER,
        f"{size} x {ratio:.2f} / {_ms(path.rtt_s)}",
        (sndbuf_bytes + over_bytes) * ratio * 8 / path.rtt_s,
        "net/core/stream.c, sk_stream_memory_free()",
    )


def queue_depth(path: Path, exchange: Exchange) -> Bound:
    """Every command takes a round trip and its own time on the link."""
    command_s = path.rtt_s + _transfer_s(path, exchange)
    return Bound(
        QUEUE_DEPTH,
        f"{exchange.queue_depth} x {format_bytes(exchange.block_bytes)} / {_ms(command_s)}",
        exchange.queue_depth * exchange.block_bytes * 8 / command_s,
        "Little's law",
    )


def r2t_rounds(path: Path, exchange: Exchange) -> Bound:
    """A round trip for the command, and one for every burst that the target asks for (MaxOutstandingR2T=1)."""
    rounds = exchange.rounds
    command_s = (rounds + 1) * path.rtt_s + _transfer_s(path, exchange)
    return Bound(
        R2T_ROUNDS,
        f"{exchange.queue_depth} x {format_bytes(exchange.block_bytes)} / ((1 + {rounds}) x {_ms(path.rtt_s)} + "
        "transfer)",
        exchange.queue_depth * exchange.block_bytes * 8 / command_s,
        "RFC 7143, 11.8 and 13.17",
    )


def bounds(
    path: Path,
    exchange: Exchange | None = None,
    *,
    window_bytes: float = 0,
    cwnd_bytes: float = 0,
    sndbuf_bytes: float = 0,
    over_bytes: float = 0,
    ratio: float | None = None,
) -> list[Bound]:
    """Every bound for which the figures are known, the lowest first."""
    found = [line_rate(path)] if path.line_rate_bits_per_s else []
    if path.rtt_s:
        if window_bytes:
            found.append(window(path, window_bytes))
        if cwnd_bytes:
            found.append(window(path, cwnd_bytes, CONGESTION_WINDOW))
        if sndbuf_bytes:
            found.append(send_buffer(path, sndbuf_bytes, payload_ratio() if ratio is None else ratio, over_bytes))
        if exchange:
            found.append(queue_depth(path, exchange))
            if exchange.rounds:
                found.append(r2t_rounds(path, exchange))
    return sorted(found, key=lambda bound: bound.bits_per_s)


def named(found: Sequence[Bound], name: str) -> Bound | None:
    """The bound of that name."""
    return next((bound for bound in found if bound.name == name), None)


def send_buffer_needed_bytes(path: Path, exchange: Exchange | None) -> int:
    """sk_sndbuf that does not limit: the bandwidth-delay product and what the application has under way at a time.

    Half as much again, since a writer that had to wait is woken only when a third of the buffer is free
    (sk_stream_write_space in net/core/stream.c).
    """
    bdp_bytes = line_rate(path).bits_per_s / 8 * path.rtt_s
    under_way = exchange.queue_depth * exchange.block_bytes if exchange else 0
    return math.ceil(max(bdp_bytes, under_way) * 1.5 / payload_ratio())


def _transfer_s(path: Path, exchange: Exchange) -> float:
    if not path.line_rate_bits_per_s:
        return 0.0
    return exchange.block_bytes * 8 / line_rate(path).bits_per_s


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
