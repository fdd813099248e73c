"""What one plain stream can carry under given sysctls, by theory, to stand beside what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from offloadbench.analysis.sender import theory
from offloadbench.analysis.sender.theory import Bound
from offloadbench.analysis.tcp_tuning import needs
from offloadbench.analysis.trial.headers import TIMESTAMP_BYTES, TIMESTAMPS_SYSCTL, Headers


@dataclass(frozen=True, slots=True)
class Stretch:
    """One measurement of `tune --prove`.

    Attributes:
        bound: the least of what line, receive window and send buffer allow.
        payload_bits_per_s: what the receiver got.
    """

    bound: Bound
    payload_bits_per_s: float
    interval_s: float


def bound(target: needs.PathTarget, sender: Mapping[str, str], receiver: Mapping[str, str]) -> Bound:
    """The tightest bound on one stream.

    A kernel since 6.6 learns how much of a receive buffer is payload; in super-packets nearly all of it, so this bound
    is an upper one. Before, a fixed part of the buffer is offered (`tcp_tuning.window_ratio`).

    Args:
        sender, receiver: sysctl -> value at either end, as /proc/sys shows them.
    """
    path = _path(target, stamped="0" not in (sender.get(TIMESTAMPS_SYSCTL), receiver.get(TIMESTAMPS_SYSCTL)))
    learns = target.kernel >= (6, 6)
    ratio = theory.payload_ratio() if learns else needs.window_ratio(target.kernel, target.adv_win_scale)
    window_bytes = _maximum_bytes(receiver[needs.RMEM]) * ratio
    if "0" in (sender.get(needs.WINDOW_SCALING), receiver.get(needs.WINDOW_SCALING)):
        window_bytes = min(window_bytes, needs.UNSCALED_WINDOW_BYTES)
    bounds = [
        theory.line_rate(path),
        theory.window(path, window_bytes),
        theory.send_buffer(path, _maximum_bytes(sender[needs.WMEM]), theory.payload_ratio()),
    ]
    return min(bounds, key=lambda one: one.bits_per_s)


def _path(target: needs.PathTarget, *, stamped: bool) -> theory.Path:
    """What the target's segments carry: without timestamps in them (both ends must want them), 12 bytes more."""
    usual = Headers()
    option = 0 if stamped else TIMESTAMP_BYTES
    headers = Headers(usual.network_bytes - option)
    mss_bytes = target.mss_bytes + option
    return theory.Path(float(target.bandwidth_bits_per_s), target.rtt_s, mss_bytes, headers.layer1_bytes)


def _maximum_bytes(triple: str) -> int:
    return int(triple.split()[2])
