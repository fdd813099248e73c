"""What an initiator counts between two marks: its commands' times, its sockets' bytes and waits."""

from __future__ import annotations

import struct
import time
from array import array
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

_PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
# struct tcp_info (include/uapi/linux/tcp.h): bytes_acked, bytes_received; busy, rwnd_limited, sndbuf_limited in us
TCP_INFO_BYTES = 192
_TCP_INFO_COUNTERS = {
    "tcp_acked_bytes": 120,
    "tcp_received_bytes": 128,
    "tcp_busy_us": 168,
    "tcp_rwnd_limited_us": 176,
    "tcp_sndbuf_limited_us": 184,
}


class Completions:
    """When each command ended, and how long it took from its submission."""

    def __init__(self) -> None:
        self._done_ns = array("q")
        self._latency_ns = array("q")

    def __len__(self) -> int:
        return len(self._done_ns)

    def add(self, submitted_ns: int) -> None:
        """A command that was submitted then ends now."""
        now_ns = time.monotonic_ns()
        self._latency_ns.append(now_ns - submitted_ns)
        self._done_ns.append(now_ns)

    def latencies_ns(self, opened_ns: int, closed_ns: int) -> npt.NDArray[np.int64]:
        """Of those that ended between two moments; shape (commands,)."""
        done, latency = np.array(self._done_ns), np.array(self._latency_ns)
        return latency[(done > opened_ns) & (done <= closed_ns)]


def tcp_counters(infos: Iterable[bytes]) -> dict[str, int]:
    """Counters of several sockets, added up, from their TCP_INFO."""
    kept = list(infos)
    return {
        name: sum(struct.unpack_from("=Q", info, offset)[0] for info in kept if len(info) >= offset + 8)
        for name, offset in _TCP_INFO_COUNTERS.items()
    }


def of_commands(latencies_ns: npt.NDArray[np.int64]) -> tuple[int, dict[str, float]]:
    """How many commands, and the percentiles of their latencies in us; none where there are none.

    Args:
        latencies_ns: shape (commands,).
    """
    latency_us = latencies_ns / 1e3
    if not len(latency_us):
        return 0, {}
    return len(latency_us), {name: float(np.percentile(latency_us, share)) for name, share in _PERCENTILES.items()}
