"""A trial begins without what TCP learned in the trial before, but with what a route's locked metrics ask for."""

from __future__ import annotations

import subprocess
import time

import pytest

from offloadbench.analysis.sender.suspect import Limit
from offloadbench.engine.run.fresh_start import forget_earlier_trials
from offloadbench.kernel.netdev import neighbour
from offloadbench.kernel.system import netns
from tests.lab.limits import SMALL_SNDBUF_BYTES, Case, lab_of, traffic

CASE = Case(Limit.NOTHING_FOUND, send={"sndbuf_bytes": SMALL_SNDBUF_BYTES})


@pytest.mark.parametrize("locked", [False, True])
def test_tcp_forgets_the_other_end_unless_a_route_holds_it(*, locked: bool) -> None:
    with lab_of(CASE) as lab:
        with netns.entered(lab.dut.namespace):
            lock = ["cwnd", "lock", "10"] if locked else []
            words = ["ip", "route", "replace", f"{lab.peer.address}/32", "dev", lab.dut.ifname, *lock]
            subprocess.run(words, check=True)
        with traffic(lab, CASE):
            time.sleep(0.3)
        assert neighbour.remembered(lab.peer.address, lab.dut.namespace)
        forget_earlier_trials(lab)
        assert bool(neighbour.remembered(lab.peer.address, lab.dut.namespace)) == locked
        assert not neighbour.remembered(lab.dut.address, lab.peer.namespace)
