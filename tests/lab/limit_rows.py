"""Limits over congestion controls, rates and round trips: kinds, whose parameters are fixed or drawn at random.

Each kind makes sure by arithmetic that its limit lies well below the line, so that the truth is known before anything
is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from offloadbench.analysis.sender.suspect import Limit
from tests.lab.limits import Case

ALGORITHMS = ("cubic", "bbr", "reno")
_MBIT, _KIB, _MSS = 10**6, 1 << 10, 1448
_PAYLOAD = _MSS / 1538
_QUEUE_BYTES = 1 << 18
_SMALL_WRITES_BYTES_PER_S = 10**7
_LARGE_BUFFERS = {f"net.ipv4.tcp_{side}mem": f"4096 131072 {1 << 26}" for side in "rw"}
# how far below the line a limit is set
_BELOW = (0.1, 0.6)


@dataclass(frozen=True, slots=True)
class Row:
    """A case with its name, and what else would be as true."""

    name: str
    case: Case
    also: frozenset[Limit] = frozenset()


@dataclass(frozen=True, slots=True)
class Around:
    """What a limit is set in: the congestion control, the line and the round trip."""

    algorithm: str
    line_bits_per_s: int
    rtt_s: float

    @property
    def payload_bytes_per_s(self) -> float:
        return self.line_bits_per_s * _PAYLOAD / 8

    def window_bytes(self, share: float) -> int:
        """What lets so much of the line through in a round trip."""
        return int(self.payload_bytes_per_s * share * self.rtt_s)

    def case(self, limit: Limit, send: dict[str, Any] | None = None, **more: Any) -> Case:
        """The limit on this line, whose queue and whose ends' buffers limit nothing."""
        queue_bytes = max(_QUEUE_BYTES, int(1.5 * self.line_bits_per_s / 8 * self.rtt_s))
        return Case(
            limit,
            send={"congestion_control": self.algorithm} | (send or {}),
            line_rate_bits_per_s=self.line_bits_per_s,
            rtt_s=self.rtt_s,
            queue_bytes=more.pop("queue_bytes", queue_bytes),
            sysctls=_LARGE_BUFFERS | more.pop("sysctls", {}),
            **more,
        )

    def row(self, kind: str, what: str, case: Case, *also: Limit) -> Row:
        line = f"{self.line_bits_per_s // _MBIT}M {self.rtt_s * 1e3:g} ms"
        return Row(f"{kind} {self.algorithm} {line}: {what}", case, frozenset(also))


Kind = Callable[[Around, Random], Row]


def send_buffer(around: Around, draw: Random) -> Row:
    payload = around.window_bytes(draw.uniform(*_BELOW))
    size = max(64 * _KIB, int(payload / 0.95))
    # small writes cost a CPU of their own at high rates
    small = [1000] if payload / around.rtt_s < _SMALL_WRITES_BYTES_PER_S else []
    write = draw.choice([*small, 16 * _KIB, 256 * _KIB])
    case = around.case(Limit.SEND_BUFFER, {"sndbuf_bytes": size, "write_bytes": write})
    return around.row("send-buffer", f"{size} B, writes of {write}", case)


def receive_buffer(around: Around, draw: Random) -> Row:
    size = max(32 * _KIB, 2 * around.window_bytes(draw.uniform(*_BELOW)))
    return around.row("receive-buffer", f"{size} B", around.case(Limit.RECEIVE_WINDOW, receive={"rcvbuf_bytes": size}))


def no_scaling(around: Around, draw: Random) -> Row:
    del draw
    longest_s = 65535 / (around.payload_bytes_per_s * _BELOW[1])
    longer = replace(around, rtt_s=max(around.rtt_s, math.ceil(longest_s * 1e3) * 1e-3))
    case = longer.case(Limit.RECEIVE_WINDOW, sysctls={"net.ipv4.tcp_window_scaling": "0"})
    return longer.row("no-scaling", "64 KiB window", case)


def clamp(around: Around, draw: Random) -> Row:
    size = max(16 * _KIB, around.window_bytes(draw.uniform(*_BELOW)))
    return around.row("clamp", f"{size} B", around.case(Limit.RECEIVE_WINDOW, receive={"clamp_bytes": size}))


def slow_reader(around: Around, draw: Random) -> Row:
    rate = int(around.payload_bytes_per_s * draw.uniform(*_BELOW))
    receive = {"bytes_per_s": rate, "read_bytes": draw.choice([16, 64, 256]) * _KIB}
    return around.row("slow-reader", f"{rate * 8 / 1e6:.1f} Mbit/s", around.case(Limit.TARGET, receive=receive))


def intervals(around: Around, draw: Random) -> Row:
    every_s = draw.choice([0.002, 0.005, 0.02, 0.1])
    share = draw.uniform(0.03, 0.4)
    size = int(around.payload_bytes_per_s * share * every_s)
    case = around.case(Limit.APPLICATION, {"write_bytes": size, "every_s": every_s})
    return around.row("intervals", f"{size} B every {every_s * 1e3:g} ms", case)


def small_writes(around: Around, draw: Random) -> Row:
    first, second = draw.randrange(100, 700), draw.randrange(100, 700)
    send = {"write_bytes": first + second, "split_bytes": first, "nagle": True, "await_answer": True}
    case = around.case(Limit.SMALL_WRITES, send, receive={"answer_every_bytes": first + second})
    return around.row("small-writes", f"{first} + {second} B, Nagle", case)


def ping_pong(around: Around, draw: Random) -> Row:
    size = draw.choice([4, 16, 64, 256]) * _KIB
    size = min(size, max(_KIB, around.window_bytes(0.8)))
    case = around.case(
        Limit.APPLICATION, {"write_bytes": size, "await_answer": True}, receive={"answer_every_bytes": size}
    )
    return around.row("ping-pong", f"{size} B", case, Limit.TARGET)


def pacing(around: Around, draw: Random) -> Row:
    rate = int(around.payload_bytes_per_s * draw.uniform(*_BELOW))
    case = around.case(Limit.PACING, {"pacing_bytes_per_s": rate})
    return around.row("pacing", f"{rate * 8 / 1e6:.1f} Mbit/s", case)


def loss(around: Around, draw: Random) -> Row:
    """Random losses that leave reno and cubic well below the line; bbr goes on unless its buffers are full."""
    ratio = 10 ** draw.uniform(math.log10(0.0005), -2)
    if around.algorithm == "bbr":
        return around.row("loss", f"{ratio:.2%}", around.case(Limit.LOSS, loss_ratio=ratio), Limit.SEND_BUFFER)
    # Mathis et al., 1997; cubic's response is up to a third above it where it is not reno's
    segments = 1.6 / math.sqrt(ratio)
    rtt_s = max(around.rtt_s, segments * _MSS / (around.payload_bytes_per_s * _BELOW[1]))
    longer = replace(around, rtt_s=math.ceil(rtt_s * 1e3) * 1e-3)
    return longer.row("loss", f"{ratio:.2%}", longer.case(Limit.LOSS, loss_ratio=ratio))


def short_queue(around: Around, draw: Random) -> Row:
    size = draw.choice([20, 60, 100]) * _KIB
    return around.row("short-queue", f"{size} B", around.case(Limit.LOSS, queue_bytes=size))


def several(around: Around, draw: Random) -> Row:
    count = draw.randrange(3, 9)
    case = around.case(Limit.LINK, {"connections": count}, receive={"connections": count})
    return around.row("several", f"{count} connections", case)


def burning(around: Around, draw: Random) -> Row:
    rate = around.payload_bytes_per_s * draw.uniform(0.05, 0.3)
    size = draw.choice([16, 64]) * _KIB
    case = around.case(Limit.CPU, {"write_bytes": size, "burn_s": size / rate})
    return around.row("burning", f"{size / rate * 1e3:.1f} ms of CPU for each {size} B", case)


def full_line(around: Around, draw: Random) -> Row:
    del draw
    return around.row("full-line", "control", around.case(Limit.LINK))


KINDS: tuple[Kind, ...] = (
    send_buffer, receive_buffer, no_scaling, clamp, slow_reader, intervals, small_writes, ping_pong, pacing, loss,
    short_queue, several, burning, full_line,
)  # fmt: skip


def _around(draw: Random, algorithm: str) -> Around:
    line = round(10 ** draw.uniform(math.log10(20), 3)) * _MBIT
    return Around(algorithm, line, round(math.exp(draw.uniform(0, math.log(80)))) * 1e-3)


def drawn(seed: int, kinds: tuple[Kind, ...] = KINDS) -> list[Row]:
    """A row a kind, all its parameters drawn at random."""
    draw = Random(seed)
    return [kind(_around(draw, draw.choice(ALGORITHMS)), draw) for kind in kinds]


def fixed() -> list[Row]:
    """Rows that are the same every time: each kind once, and those of an audit that were judged wrong."""
    rows = [kind(*_place(number)) for number, kind in enumerate(KINDS)]
    return [
        *rows,
        _row("send-buffer", Around("bbr", 200 * _MBIT, 0.04), Limit.SEND_BUFFER, {"sndbuf_bytes": 128 * _KIB}),
        _row("send-buffer", Around("bbr", 500 * _MBIT, 0.005), Limit.SEND_BUFFER, {"sndbuf_bytes": 200 * _KIB}),
        _row(
            "send-buffer",
            Around("bbr", 300 * _MBIT, 0.08),
            Limit.SEND_BUFFER,
            {"sndbuf_bytes": 800_000, "write_bytes": 1000},
        ),
        _row("send-buffer", Around("cubic", 200 * _MBIT, 0.04), Limit.SEND_BUFFER, {"sndbuf_bytes": 800_000}),
        _row("intervals", Around("bbr", 500 * _MBIT, 0.01), Limit.APPLICATION, _TWENTY_KB),
        _row("intervals", Around("cubic", 500 * _MBIT, 0.01), Limit.APPLICATION, _TWENTY_KB),
        _row(
            "intervals", Around("cubic", 500 * _MBIT, 0.02), Limit.APPLICATION, {"write_bytes": 1 << 20, "every_s": 0.1}
        ),
        _row("slow-reader", Around("bbr", 500 * _MBIT, 0.015), Limit.TARGET, receive={"bytes_per_s": 3_000_000}),
        _row("loss", Around("bbr", 500 * _MBIT, 0.03), Limit.LOSS, also=Limit.SEND_BUFFER, loss_ratio=0.01),
        _row("loss", Around("reno", 200 * _MBIT, 0.04), Limit.LOSS, loss_ratio=0.0005),
        _row("small-writes", Around("bbr", 500 * _MBIT, 0.001), Limit.SMALL_WRITES, _HALVES, receive=_HALVES_ANSWERED),
        _row(
            "small-writes", Around("cubic", 500 * _MBIT, 0.001), Limit.SMALL_WRITES, _HALVES, receive=_HALVES_ANSWERED
        ),
        _row("pacing", Around("cubic", 500 * _MBIT, 0.01), Limit.PACING, {"pacing_bytes_per_s": 5_000_000}),
        _row("full-line", Around("bbr", 200 * _MBIT, 0.04), Limit.LINK),
        _row("full-line", Around("reno", 100 * _MBIT, 0.02), Limit.LINK),
    ]


_TWENTY_KB = {"write_bytes": 20_000, "every_s": 0.005}
_HALVES = {"write_bytes": 1000, "split_bytes": 500, "nagle": True, "await_answer": True}
_HALVES_ANSWERED = {"answer_every_bytes": 1000}
_PLACES = ((200, 0.04), (500, 0.005), (300, 0.08), (500, 0.01), (500, 0.015), (500, 0.03), (20, 0.02), (1000, 0.002))


def _place(number: int) -> tuple[Around, Random]:
    megabits, rtt_s = _PLACES[number % len(_PLACES)]
    return Around(ALGORITHMS[number % len(ALGORITHMS)], megabits * _MBIT, rtt_s), Random(number)


def _row(
    kind: str, around: Around, limit: Limit, send: dict[str, Any] | None = None, also: Limit | None = None, **more: Any
) -> Row:
    what = ", ".join(f"{name} {value}" for name, value in ((send or {}) | more).items() if name != "receive")
    return around.row(kind, what or "as is", around.case(limit, send, **more), *([also] if also else []))


SMALL_SET = [
    row
    for row in fixed()
    if row.name.split(":")[0]
    in (
        "send-buffer bbr 500M 5 ms", "intervals bbr 500M 10 ms", "slow-reader bbr 500M 15 ms",
        "pacing cubic 500M 10 ms", "small-writes cubic 500M 1 ms", "loss reno 200M 40 ms", "full-line bbr 200M 40 ms",
    )
]  # fmt: skip
"""A row for each kind that was misjudged once, for the tests: a few seconds each."""
