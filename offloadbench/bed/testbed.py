"""What a trial may know about the bed it runs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, get_args

from offloadbench.bed.cpus import Placement
from offloadbench.model import EmulatedLink, PeerReport, WireReport
from offloadbench.roles.ends import End

# a process between two TAPs, the kernel's own emulator on a hop, or the second where the kernel has it
Wire = Literal["tap", "netem", "auto"]
WIRES: tuple[Wire, ...] = get_args(Wire)


class Cable(EmulatedLink, frozen=True, kw_only=True):
    """What joins the two ends.

    Attributes:
        sysctls: values of both ends' namespaces.
        wire: who emulates the link: one of `WIRES`.
    """

    sysctls: Mapping[str, str] = {}
    wire: Wire = "tap"


class Bed(Protocol):
    """Two ends and what joins them; opened before the first trial, closed after the last.

    What it changes at the machine itself is in the `ChangeLog` of whoever builds it, and taken back from there after
    `close`; what lies in a namespace that it makes vanishes with that.

    Attributes:
        nic_name: how the user named the NIC under test.
        peer_name: how the user named the load side; empty where the bed is both.
        push_back: the NIC holds back a sender that outruns it. A TAP does not: it takes every packet from the
            socket at once, so the data in flight must be bounded by the receivers' windows instead.
        settings: what else was set up, for the record.
        problems: what could not be set up as intended, as sentences.
    """

    kind: str
    nic_name: str
    peer_name: str
    placement: Placement
    push_back: bool
    cable: Cable
    settings: dict[str, Any]
    problems: list[str]

    @property
    def dut(self) -> End: ...
    @property
    def peer(self) -> End: ...

    def settle(self) -> None:
        """Return when the link carries traffic, which a toggle may have reset.

        Raises:
            TrafficError: it does not come back.
        """

    def check(self) -> None:
        """Raise TrafficError when an end is gone; called while a window lasts, so it must cost nothing."""

    def mark(self) -> None:
        """Begin a window for `report` and `peer_report`."""

    def report(self) -> WireReport | None:
        """The emulated cable's account since `mark`; None where there is no emulated cable."""

    def peer_report(self) -> PeerReport | None:
        """The load side's account since `mark`: of its host, or of its CPUs where that is this machine."""

    def close(self) -> None:
        """End the processes of the bed. Safe to call twice."""
