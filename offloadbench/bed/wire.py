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
import json
import os
import select
import struct
import sys
import time

from offloadbench.base import comms
from offloadbench.bed.cable import QUANTUM_NS, EmulatedCable

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


def _answer(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _report(cable: EmulatedCable, asleep_ns: int, now_ns: int) -> None:
    first, second = cable.directions
    _answer(
        {
            "event": "mark",
            "t_ns": now_ns,
            "asleep_ns": asleep_ns,
            "behind_ns": first.behind_ns + second.behind_ns,
            "late_max_s": cable.late_max_ns * 1e-9,
            "late_p99_s": _percentile_s(cable.late_histogram, 0.99),
            "to_peer": first.totals(),
            "to_dut": second.totals(),
        }
    )
    cable.late_max_ns = 0
    cable.late_histogram = [0] * 21


def main() -> None:
    comms.take(comms.WIRE)
    order = json.loads(sys.stdin.readline())
    libc = ctypes.CDLL(None, use_errno=True)
    # a timer slack of 1 ns: the default 50 us would be half a quantum
    libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    taps = [open_tap(libc, namespace, ifname) for namespace, ifname in order["taps"]]
    problem = ""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(TIMER_PRIORITY))
    except OSError as error:
        problem = f"the wire runs without real-time priority: {error.strerror}"
    _answer({"event": "ready", "problem": problem})
    cable = EmulatedCable.of(taps[0], taps[1], order["link"])
    cable.wake(time.monotonic_ns())
    stdin = sys.stdin.fileno()
    asleep_ns, last_look_ns = 0, 0
    monotonic_ns = time.monotonic_ns
    while True:
        now_ns = monotonic_ns()
        cable.step(now_ns)
        before_ns = monotonic_ns()
        if cable.active(before_ns):
            time.sleep(QUANTUM_NS * 1e-9)
        else:
            select.select([*taps, stdin], [], [])
            cable.wake(monotonic_ns())
        after_ns = monotonic_ns()
        asleep_ns += after_ns - before_ns
        if after_ns - last_look_ns > 1_000_000:
            last_look_ns = after_ns
            if select.select([stdin], [], [], 0)[0]:
                if not os.read(stdin, 4096):
                    return
                _report(cable, asleep_ns, monotonic_ns())


if __name__ == "__main__":
    main()
