"""One flight, from the handshake to the proof of what ended it; the same against a server that is ours or is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from offloadbench.engine.probe.probe_client import Client
from offloadbench.kernel.netdev.packet_socket import PacketSocket
from offloadbench.model import FlightTrial, TcpState

# beside the round trip: for processes that a busy machine lets wait
_SPARE_S = 0.03
_PATIENCE_S = 3.0
# off at the observer: a merged frame would hide where the sender cut. A NIC without one of them is not asked for it
MERGING = dict.fromkeys(("rx-gro", "rx-lro", "rx-gro-hw"), False)
_SILENCE_S = 0.2
UNSCALED_BYTES = 65535


@dataclass(frozen=True, slots=True)
class Looked:
    """The server's socket before the write and now; None where the server is not ours."""

    before: TcpState | None
    after: TcpState | None
    write_blocked: bool | None


NOT_OURS = Looked(None, None, None)


def ample_window_bytes(*payload_bytes: int) -> int:
    """Twice the largest of these, so that a larger flight shows; at least what goes without scaling."""
    return max(UNSCALED_BYTES, *(2 * size for size in payload_bytes))


def flight(
    client: Client, wire: PacketSocket, planned: FlightTrial, ask: Callable[[], None], look: Callable[[], Looked]
) -> FlightTrial:
    """Ask, acknowledge nothing until data is repeated or 3 s have passed, then prove what the limit was.

    Args:
        client: connected.
        planned: what is known before.
        ask: makes the server send.
        look: called once the flight must have left, before the server's retransmission timer can expire.

    Returns:
        The trial, filled.

    Raises:
        TrafficError: the server does not answer.
    """
    wire.lost()
    asked_s = time.monotonic()
    ask()
    client.await_data(_PATIENCE_S)
    client.collect(1.5e-6 * client.rtt_us + _SPARE_S)
    looked = look()
    client.collect(_PATIENCE_S - (time.monotonic() - asked_s))
    waited_us = int((time.monotonic() - asked_s) * 1e6)
    frames, repeated = client.flight(), client.repeated
    released_bytes = 0
    if frames.t_us:
        client.acknowledge(2 * client.mss_bytes)
        released_bytes = client.released(4e-6 * client.rtt_us + _SILENCE_S)
    return msgspec.structs.replace(
        planned,
        mss_bytes=client.mss_bytes,
        rtt_us=client.rtt_us,
        window_bytes=client.window_bytes,
        synacks=client.synacks,
        frames=frames,
        repeated=repeated,
        waited_us=waited_us,
        lost_frames=wire.lost(),
        released_bytes=released_bytes,
        finished=client.finished,
        before=looked.before,
        after=looked.after,
        write_blocked=looked.write_blocked,
    )
