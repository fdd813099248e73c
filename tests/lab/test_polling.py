"""The load side of a veth pair polls from the beginning, so that no case depends on which ran before it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from offloadbench.bed.lab_bed import LAB_VETH, Lab
from offloadbench.bed.testbed import Cable
from offloadbench.kernel.netdev import features, steering
from tests.lab.beds import Unwritten


def _switches(pid: int) -> int:
    """How often a thread has waited (proc_pid_status(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def test_the_load_side_polls_before_any_case_has_run() -> None:
    lab = Lab(LAB_VETH, Cable(), f"{os.getpid() % 10**8:08d}", Unwritten())
    try:
        assert lab.settings["peer_receive"].endswith(f"polled every {steering.POLL_INTERVAL_NS} ns")
        found = features.read(lab.dut.ifname, lab.dut.namespace)
        assert all(found[name].active for name in ("tx-tcp-segmentation", "tx-tcp6-segmentation"))
        (thread,) = steering._threads(lab.peer.ifname)
        before = _switches(thread)
        deadline_s = time.monotonic() + 10
        # a look every 50 us, of a machine that may have other work
        while _switches(thread) < before + 1000 and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert _switches(thread) >= before + 1000
    finally:
        lab.close()
