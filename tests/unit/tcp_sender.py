"""A TCP sender in a hundred lines: send buffer, windows, pacing, a link with a rate and a delay, and an application.

What it records are the columns of a trace, with time in steps of a quarter of a tick.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from offloadbench.files.packed_columns import TCP_COLUMNS, TcpColumns, pack_columns
from offloadbench.model import TcpTrace

MSS, TIMESTAMPS = 1448, 1
TICK_US, STEPS = 1000, 4
_PACKET = 45 * MSS
# a super-packet's payload to its charge
_RATIO = 0.98
_SEGMENT_OVERHEAD = 1538 / MSS


@dataclass(frozen=True, slots=True)
class Sender:
    """What may limit it.

    Attributes:
        block_bytes: an application with blocks waits for the answer to each before it sends the next;
        every_us: or it sends one so often, answers or not.
        pacing_bytes_per_s: at which packets leave; set_rate: by SO_MAX_PACING_RATE, otherwise by BBR.
    """

    sndbuf_bytes: int = 1 << 26
    window_bytes: int = 1 << 26
    cwnd_segments: int = 20000
    line_rate_bits_per_s: int = 10**9
    rtt_us: int = 20_000
    block_bytes: int = 0
    answer_us: int = 0
    every_us: int = 0
    pacing_bytes_per_s: int = 0
    set_rate: bool = False

    def run(self, ticks: int = 1500, warm_up_ticks: int = 500) -> TcpColumns:
        """The columns after a warm-up."""
        rows = []
        world = _World(self)
        for step in range((warm_up_ticks + ticks) * STEPS):
            world.step(step * TICK_US // STEPS)
            if step % STEPS == STEPS - 1 and step >= warm_up_ticks * STEPS:
                rows.append(world.row())
        table = np.array(rows, dtype=np.int64)
        columns = {name: np.zeros(len(table), dtype=np.int64) for name in TCP_COLUMNS}
        columns |= dict(zip(_World.ROW, table.T, strict=True))
        columns["t_us"] -= columns["t_us"][0]
        columns["data_out_segments"] = columns["sent_bytes"] // MSS
        columns["min_rtt_us"][:] = self.rtt_us
        columns["pacing_rate_bytes_per_s"][:] = self.pacing_bytes_per_s
        columns["max_pacing_rate_bytes_per_s" if self.set_rate else "bbr_bytes_per_s"][:] = self.pacing_bytes_per_s
        columns["snd_mss_bytes"][:] = MSS
        columns["options"][:] = TIMESTAMPS
        columns["snd_wnd_bytes"][:] = self.window_bytes
        columns["snd_cwnd_segments"][:] = self.cwnd_segments
        columns["sndbuf_bytes"][:] = self.sndbuf_bytes
        return columns


class _World:
    ROW = (
        "t_us",
        "wmem_queued_bytes",
        "wqueue_bytes",
        "notsent_bytes",
        "unacked_segments",
        "acked_bytes",
        "sent_bytes",
        "srtt_us",
    )

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._us_per_byte = 8e6 * _SEGMENT_OVERHEAD / sender.line_rate_bits_per_s
        self._written = self._sent = self._acked = self._block_left = 0
        self._blocked = False
        self._free_us = self._next_block_us = self._next_packet_us = 0.0
        self._now_us = self._rtt_us = 0
        self._acks: deque[tuple[float, int, int]] = deque()

    @property
    def _charged(self) -> float:
        return (self._written - self._acked) / _RATIO

    @property
    def _packet_bytes(self) -> int:
        """A paced packet holds about a millisecond (tcp_tso_autosize)."""
        if not self._sender.pacing_bytes_per_s:
            return _PACKET
        return min(_PACKET, max(2 * MSS, self._sender.pacing_bytes_per_s // 1024 // MSS * MSS))

    def step(self, now_us: int) -> None:
        self._now_us = now_us
        while self._acks and self._acks[0][0] <= now_us:
            at_us, size, sent_us = self._acks.popleft()
            self._acked += size
            self._rtt_us = int(at_us) - sent_us
            if not self._sender.every_us:
                self._next_block_us = at_us + self._sender.answer_us
            self._write()
            self._send()
        self._write()
        self._send()

    def _write(self) -> None:
        one = self._sender
        if self._blocked and self._charged > one.sndbuf_bytes * 2 / 3:
            return
        self._blocked = False
        if one.block_bytes and not self._block_left and (one.every_us or self._acked == self._written):
            self._block_left = one.block_bytes if self._now_us >= self._next_block_us else 0
            self._next_block_us += one.every_us if self._block_left else 0
        while self._block_left or not one.block_bytes:
            if self._charged >= one.sndbuf_bytes:
                self._blocked = True
                return
            size = min(_PACKET, self._block_left) if one.block_bytes else _PACKET
            self._written += size
            self._block_left -= size if one.block_bytes else 0

    def _send(self) -> None:
        one = self._sender
        while self._sent < self._written and self._now_us >= self._next_packet_us:
            allowed = self._acked + min(one.window_bytes, one.cwnd_segments * MSS) - self._sent
            size = min(self._written - self._sent, allowed, self._packet_bytes)
            if size < self._written - self._sent:
                size -= size % MSS
            if size <= 0:
                return
            self._free_us = max(self._free_us, self._now_us) + size * self._us_per_byte
            self._acks.append((self._free_us + one.rtt_us, size, self._now_us))
            self._sent += size
            if one.pacing_bytes_per_s:
                self._next_packet_us = max(self._next_packet_us, self._now_us - TICK_US)
                self._next_packet_us += size * 1e6 / one.pacing_bytes_per_s

    def row(self) -> tuple[int, ...]:
        flight = self._sent - self._acked
        queued = self._written - self._acked
        return (
            self._now_us, int(self._charged), queued, queued - flight, -(-flight // MSS), self._acked, self._sent,
            self._rtt_us or self._sender.rtt_us,
        )  # fmt: skip


def trace(columns: TcpColumns, congestion_control: str = "cubic") -> TcpTrace:
    """The columns as a run file has them."""
    rows = len(columns["t_us"])
    return TcpTrace(
        connection="198.18.0.1:40000 > 198.18.0.2:3260",
        side="dut",
        congestion_control=congestion_control,
        period_us=TICK_US,
        ticks_due=rows,
        ticks_taken=rows,
        late_p99_us=0.0,
        late_max_us=0.0,
        cpu_s=0.0,
        window_s=rows * TICK_US * 1e-6,
        names=list(columns),
        rows=rows,
        columns=pack_columns(columns),
    )
