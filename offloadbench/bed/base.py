"""What a trial may know about the bed it runs on."""

from __future__ import annotations

from typing import Any, Protocol

from offloadbench.bed.cpus import Placement
from offloadbench.ends import End
from offloadbench.model import WireReport


class Bed(Protocol):
    """Two ends and what joins them; opened before the first trial, closed after the last.

    Attributes:
        nic_name: how the user named the NIC under test.
        push_back: the NIC holds back a sender that outruns it. A TAP does not: it takes every packet from the
            socket at once, so the data in flight must be bounded by the receivers' windows instead.
        line_rate_bits_per_s, rtt_s: of an emulated cable; 0 where the cable is real or unlimited.
        loss_ratio, loss_seed: of an emulated cable: segments lost at random, in each direction by itself.
        queue_bytes: an emulated cable drops what exceeds this queue in front of it, so that drops tell a sender to
            slow down; 0: it drops nothing.
        settings: what else was set up, for the record.
        problems: what could not be set up as intended, as sentences.
    """

    kind: str
    nic_name: str
    placement: Placement
    push_back: bool
    line_rate_bits_per_s: int
    rtt_s: float
    loss_ratio: float
    loss_seed: int
    queue_bytes: int
    settings: dict[str, Any]
    problems: list[str]

    @property
    def dut(self) -> End: ...
    @property
    def peer(self) -> End: ...

    def mark(self) -> None:
        """Begin a window for `report`."""

    def report(self) -> WireReport | None:
        """The emulated cable's account since `mark`; None where there is no emulated cable."""

    def close(self) -> None:
        """Take down what the bed set up. Safe to call twice."""
