"""The emulated wire: a cable between two TAP devices, as a process of its own.

The device under test's "NIC hardware" is here, outside its CPU: super-packets pass whole (IFF_VNET_HDR) and are charged
as segments (see cable.py).

The process never waits in poll while traffic flows: a waiting reader would make every transmission of the
device under test send a wake-up interrupt, which no NIC asks of its host. It looks every QUANTUM_NS instead.

Run as a role (see offloadbench.roles.ends); standard library only.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
import time

from offloadbench.base import comms
from offloadbench.bed.cable import QUANTUM_NS, EmulatedCable
from offloadbench.roles.messages import CountWire, OpenWire, WireCounted, WireReady
from offloadbench.roles.orders import Desk, RefusedOrder, refusing

TIMER_PRIORITY = 10

_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
# TUN_F_CSUM, TSO4, TSO6, TSO_ECN (include/uapi/linux/if_tun.h)
_OFFLOADS = 0x01 | 0x02 | 0x04 | 0x08
_CLONE_NEWNET = 0x40000000
_PR_SET_TIMERSLACK = 29


def open_tap(libc: ctypes.CDLL, namespace: str, ifname: str) -> int:
    """A TAP device made inside the namespace; it lives as long as the returned file descriptor."""
    folder = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if libc.setns(folder, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"setns {namespace}")
    os.close(folder)
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", ifname.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR))
    fcntl.ioctl(tap, _TUNSETOFFLOAD, _OFFLOADS)
    return tap


def _percentile_s(histogram: list[int], share: float) -> float:
    total, seen = sum(histogram), 0
    for power, count in enumerate(histogram):
        seen += count
        if seen >= share * total:
            return (1 << power) * 1e-6
    return 0.0


class Wire:
    """The cable between two TAP devices, and the loop that drives it."""

    def __init__(self, desk: Desk, order: OpenWire) -> None:
        self._desk = desk
        self._asleep_ns = 0
        libc = ctypes.CDLL(None, use_errno=True)
        # a timer slack of 1 ns: the default 50 us would be half a quantum
        libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
        self._taps = []
        for namespace, ifname in order.taps:
            with refusing("taps", f"{ifname} in {namespace}"):
                self._taps.append(open_tap(libc, namespace, ifname))
        try:
            self._cable = EmulatedCable.of(self._taps[0], self._taps[1], order.link)
        except (KeyError, ValueError, ZeroDivisionError) as error:
            raise RefusedOrder("link", order.link, f"no link is like that ({error})") from error
        desk.on(CountWire, self._count)

    def run(self) -> None:
        """Carry frames until the engine is gone."""
        problem = ""
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(TIMER_PRIORITY))
        except OSError as error:
            problem = f"the wire runs without real-time priority: {error.strerror}"
        self._desk.answer(WireReady(problem))
        cable, desk, taps = self._cable, self._desk, self._taps
        cable.wake(time.monotonic_ns())
        last_look_ns = 0
        monotonic_ns = time.monotonic_ns
        while not desk.over:
            now_ns = monotonic_ns()
            cable.step(now_ns)
            before_ns = monotonic_ns()
            if cable.active(before_ns):
                time.sleep(QUANTUM_NS * 1e-9)
            else:
                select.select([*taps, desk.reading], [], [])
                cable.wake(monotonic_ns())
            after_ns = monotonic_ns()
            self._asleep_ns += after_ns - before_ns
            if after_ns - last_look_ns > 1_000_000:
                last_look_ns = after_ns
                desk.poll()

    def _count(self, order: CountWire) -> WireCounted:
        del order
        cable = self._cable
        first, second = cable.directions
        counted = WireCounted(
            t_ns=time.monotonic_ns(),
            asleep_ns=self._asleep_ns,
            behind_ns=first.behind_ns + second.behind_ns,
            late_max_s=cable.late_max_ns * 1e-9,
            late_p99_s=_percentile_s(cable.late_histogram, 0.99),
            to_peer=first.totals(),
            to_dut=second.totals(),
        )
        cable.late_max_ns = 0
        cable.late_histogram = [0] * 21
        return counted


def main() -> None:
    comms.take(comms.WIRE)
    desk = Desk()
    with desk.reporting(hint="see `dmesg`"):
        Wire(desk, desk.first(OpenWire)).run()


if __name__ == "__main__":
    main()
