"""The way to the consent for an existing target: look at its LUN through a session of our own, choose a part, ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from offloadbench.base.errors import HostError, UsageError
from offloadbench.base.units import format_bytes
from offloadbench.kernel.system import resolver
from offloadbench.roles.ends import End
from offloadbench.roles.messages import InspectUnit, UnitInspected, UnitLogin
from offloadbench.traffic.iscsi import consent, open_iscsi
from offloadbench.traffic.iscsi.consent import Device, Region
from offloadbench.traffic.iscsi.existing import Existing
from offloadbench.traffic.kind_of_traffic import Ask

# a bed that was built for the run was not there before: who serves on it is started now
_WAIT_S = 60.0
_ANSWER_S = 90.0


@dataclass(frozen=True, slots=True)
class LunLoad:
    """What a workload would do to a LUN.

    Attributes:
        initiator: `user` or `kernel`.
        wanted_bytes, needed_bytes: of the LUN, as of `consent.region`.
        offers: operational keys of the login.
    """

    initiator: str
    write: bool
    transfer_bytes: int
    wanted_bytes: int
    needed_bytes: int
    offers: dict[str, str]
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Grant:
    """A LUN that was looked at, and the part of it that the run may use."""

    device: Device
    region: Region

    def facts(self, existing: Existing, address: str) -> dict[str, Any]:
        """For the record."""
        return {
            "name": existing.portal.name,
            "address": address,
            "port": existing.portal.port,
            "lun": existing.lun,
            "product": self.device.product,
            "serial": self.device.serial,
            "size_bytes": self.device.size_bytes,
            "holds": self.device.content,
            "start_bytes": self.region.start_bytes,
            "used_bytes": self.region.size_bytes,
        }


def grant(existing: Existing, load: LunLoad, dut: End, peer: End, *, ask: Ask, tell: Callable[[str], None]) -> Grant:
    """Look, and have it confirmed.

    Raises:
        UsageError: it is not confirmed, does not fit, or cannot be known.
        HostError: the kernel's initiator cannot be used here.
        TrafficError: the target cannot be reached, or refuses.
    """
    consent.require_first(existing, write=load.write)
    _check_address(existing, peer)
    _check_this_machine(existing, load, dut)
    device = _look(existing, load, dut, peer, tell)
    if load.initiator == "kernel":
        consent.require_untouched_by_kernel(device)
    elif 0 < device.longest_transfer_bytes < load.transfer_bytes:
        longest = device.longest_transfer_bytes
        raise UsageError(
            f"LUN {existing.lun} of {existing.portal.name} takes {format_bytes(longest)} in one command at most",
            f"use a smaller block_size: --set block_size={longest >> 12 << 12}",
        )
    part = consent.region(
        existing, device, write=load.write, wanted_bytes=load.wanted_bytes, needed_bytes=load.needed_bytes
    )
    if load.write:
        answer = None if existing.confirm else ask(consent.question(existing, device, part))
        consent.require_second(existing, device, part, answer)
        tell(f"overwriting {part.words} of LUN {existing.lun} of {existing.portal.name}, {device.identity}")
    return Grant(device, part)


def _check_address(existing: Existing, peer: End) -> None:
    found = resolver.addresses(existing.portal.host)
    if peer.address not in found:
        raise UsageError(
            f"target: {existing.portal.host} is {found[0]}, and the load side of this test link is {peer.address}",
            f"write target={peer.address}/{existing.portal.name}, or leave --peer out",
        )


def _check_this_machine(existing: Existing, load: LunLoad, dut: End) -> None:
    """This machine may have the disk in use."""
    if load.initiator == "kernel" and dut.namespace is not None:
        raise HostError(
            "the kernel's initiator lives in the first network namespace, and this device under test does not",
            "use a real NIC, or --set initiator=user",
        )
    others = open_iscsi.others(existing.portal.name)
    if others and (load.initiator == "kernel" or (load.write and existing.start_bytes is not None)):
        raise UsageError(
            f"this machine is logged in to {existing.portal.name} already ({', '.join(others)}), and may use its disks",
            "log out of it first, or: --set initiator=user --set lun_start=free",
        )


def _look(existing: Existing, load: LunLoad, dut: End, peer: End, tell: Callable[[str], None]) -> Device:
    wait_s = 0.0
    if peer.namespace is not None:
        wait_s = _WAIT_S
        tell(f"waiting {wait_s:.0f} s at most for {existing.portal}, in namespace {peer.namespace}")
    role = dut.launch("offloadbench.traffic.iscsi.inspection", "the look at the LUN")
    try:
        transport = Transport(
            offers=load.offers,
            congestion_control="",
            send_buffer_bytes=0,
            receive_window_bytes=0,
            timeout_s=load.timeout_s,
        )
        order = InspectUnit(login(existing, peer.address, **transport), wait_s)
        return Device.from_answer(role.request(order, UnitInspected, wait_s + _ANSWER_S))
    finally:
        role.close()


class Transport(TypedDict):
    """The fields of `UnitLogin` that say how its connection is set up."""

    offers: dict[str, str]
    congestion_control: str
    send_buffer_bytes: int
    receive_window_bytes: int
    timeout_s: float


def login(existing: Existing, address: str, **transport: Unpack[Transport]) -> UnitLogin:
    """Who logs in where."""
    return UnitLogin(
        address=address,
        port=existing.portal.port,
        target_name=existing.portal.name,
        initiator_name=existing.initiator_name,
        user=existing.credentials.user,
        password=existing.credentials.password,
        lun=existing.lun,
        **transport,
    )
