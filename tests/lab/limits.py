"""Limits set on purpose: a sender and a receiver on the lab link, watched for a moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from offloadbench.analysis.sender.suspect import Limit
from offloadbench.bed.lab_bed import LAB, LAB_VETH, Lab
from offloadbench.bed.testbed import Cable
from offloadbench.engine.sender.monitor import MODULE, TITLE, Monitor, Watched
from offloadbench.kernel.netdev import link
from offloadbench.kernel.system import cpu_idle, netns, processes
from offloadbench.model import TcpTrace, WireReport
from offloadbench.roles.ends import End
from tests.lab.beds import Unwritten

GIGABIT, RTT_S = 10**9, 0.02
# 212992, the default of net.core.wmem_default, as SO_SNDBUF: the kernel doubles it
SMALL_SNDBUF_BYTES = 2 * 212992
_LARGE_BYTES = 1 << 25
_BLOCK_BYTES, _BURST_BYTES = 1 << 22, 1 << 18
_PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True)
class Case:
    """One limit.

    Attributes:
        send, receive: orders of tests.lab.tcp_ends.
        facts: what a workload of that kind would know.
        loss_ratio, queue_bytes: of the link emulator.
        sysctls: of both namespaces.
        cwnd_segments: clamp of the congestion window, by the route; 0 for none.
        gso_max_segs: 1 for no super-packets, which costs the sender CPU; 0 as it is.
    """

    limit: Limit
    send: dict[str, Any] = field(default_factory=dict)
    receive: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    nic: str = LAB
    line_rate_bits_per_s: int = GIGABIT
    rtt_s: float = RTT_S
    loss_ratio: float = 0.0
    queue_bytes: int = 0
    sysctls: dict[str, str] = field(default_factory=dict)
    cwnd_segments: int = 0
    gso_max_segs: int = 0

    @property
    def all_facts(self) -> dict[str, Any]:
        """The workload's facts and the bed's."""
        line_rate = self.line_rate_bits_per_s if self.nic == LAB else 0
        return {"line_rate_bits_per_s": line_rate, "rtt_s": self.rtt_s if line_rate else 0.0} | self.facts

    @property
    def cable(self) -> Cable:
        """The link that it needs."""
        return Cable(
            line_rate_bits_per_s=self.line_rate_bits_per_s,
            rtt_s=self.rtt_s,
            loss_ratio=self.loss_ratio,
            loss_seed=1,
            queue_bytes=self.queue_bytes,
            sysctls=self.sysctls,
        )


def _asking(limit: Limit, every_bytes: int, facts: dict[str, Any], **send: Any) -> Case:
    """Two ends that wait for each other after every so many bytes."""
    return Case(
        limit,
        send={"write_bytes": every_bytes, "await_answer": True} | send,
        receive={"answer_every_bytes": every_bytes},
        facts=facts,
    )


CASES = {
    "send-buffer": Case(Limit.SEND_BUFFER, send={"sndbuf_bytes": SMALL_SNDBUF_BYTES}),
    "send-buffer-blocks": _asking(
        Limit.SEND_BUFFER, _BLOCK_BYTES, {"block_bytes": _BLOCK_BYTES}, sndbuf_bytes=SMALL_SNDBUF_BYTES
    ),
    "window": Case(Limit.RECEIVE_WINDOW, receive={"rcvbuf_bytes": 87040}),
    "slow-reader": Case(Limit.TARGET, receive={"bytes_per_s": 5_000_000, "rcvbuf_bytes": 1 << 20}),
    "congestion-window": Case(Limit.CONGESTION_WINDOW, cwnd_segments=100),
    "link": Case(Limit.LINK, line_rate_bits_per_s=10**8),
    "link-gigabit": Case(Limit.LINK, send={"sndbuf_bytes": _LARGE_BYTES}),
    "link-bbr": Case(Limit.LINK, send={"congestion_control": "bbr", "sndbuf_bytes": _LARGE_BYTES}),
    "rounds": _asking(
        Limit.R2T_ROUNDS,
        _BURST_BYTES,
        {"block_bytes": _BLOCK_BYTES, "unsolicited_bytes": _BURST_BYTES, "max_burst_bytes": _BURST_BYTES},
    ),
    "blocks": _asking(Limit.QUEUE_DEPTH, _BLOCK_BYTES, {"block_bytes": _BLOCK_BYTES}),
    "late-answers": Case(
        Limit.TARGET,
        send={"write_bytes": _BURST_BYTES, "await_answer": True},
        receive={"answer_every_bytes": _BURST_BYTES, "answer_after_s": 0.05},
        facts={"block_bytes": _BURST_BYTES},
    ),
    "cpu": Case(Limit.CPU, nic=LAB_VETH, gso_max_segs=1),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a trial would capture."""

    traces: list[TcpTrace]
    cpu_busy_ratio: float
    wire: WireReport | None


def start(end: End, role: str, order: dict[str, Any]) -> subprocess.Popen[str]:
    """One of the two ends of tests.lab.tcp_ends, on the CPUs of its side."""
    home = os.sched_getaffinity(0)
    os.sched_setaffinity(0, end.server_cpus)
    try:
        with netns.entered(end.namespace):
            arguments = [sys.executable, "-m", "tests.lab.tcp_ends", role, json.dumps(order)]
            return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    finally:
        os.sched_setaffinity(0, home)


@contextmanager
def traffic(lab: Lab, case: Case) -> Iterator[tuple[int, int]]:
    """A sender that sends; yields the receiver's port and the sender's process id."""
    if case.cwnd_segments:
        _clamp(lab, case.cwnd_segments)
    if case.gso_max_segs:
        link.set_gso_max_segs(lab.dut.ifname, case.gso_max_segs, lab.dut.namespace)
    with ExitStack() as stack:
        receiver = stack.enter_context(start(lab.peer, "receive", case.receive | {"address": lab.peer.address}))
        stack.callback(_end, receiver)
        assert receiver.stdout is not None
        port = int(receiver.stdout.readline())
        order = case.send | {"address": lab.peer.address, "port": port}
        sender = stack.enter_context(start(lab.dut, "send", order))
        stack.callback(_end, sender)
        assert sender.stdout is not None
        assert sender.stdout.readline() == "ready\n"
        yield port, sender.pid


def _end(process: subprocess.Popen[str]) -> None:
    """Let it end by itself: the sender closes, and the receiver reads to the end."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _clamp(lab: Lab, segments: int) -> None:
    """Clamp the congestion window towards the load side.

    A locked metric acts through the entry of tcp_metrics that a first connection to the destination leaves behind when
    it is closed (tcp_init_metrics and tcp_update_metrics in net/ipv4/tcp_metrics.c).
    """
    route = ["ip", "route", "replace", f"{lab.peer.address}/32", "dev", lab.dut.ifname, "cwnd", "lock", str(segments)]
    with netns.entered(lab.dut.namespace):
        subprocess.run(route, check=True)
    with traffic(lab, Case(Limit.NOTHING_FOUND, send={"sndbuf_bytes": SMALL_SNDBUF_BYTES})):
        time.sleep(0.3)


def measure(lab: Lab, case: Case, warm_up_s: float, window_s: float) -> Measured:
    """Send for a while, then watch for a window."""
    clock, cpus = cpu_idle.best_clock(), lab.placement.dut
    with traffic(lab, case) as (port, sender):
        watched = Watched(remote_address=lab.peer.address, remote_port=port)
        monitor = Monitor(lab.dut.launch(MODULE, TITLE, lab.placement.tool), watched)
        try:
            time.sleep(warm_up_s)
            lab.mark()
            idle_s, used_s, began_s = clock.times(cpus).idle_s, processes.cpu_s(sender), time.monotonic()
            monitor.open()
            time.sleep(window_s)
            length_s = time.monotonic() - began_s
            busy_ratio = 1 - (clock.times(cpus).idle_s - idle_s) / length_s / len(cpus)
            if case.nic == LAB:
                # the machine may have other work: the sender's own, as `watch` takes it
                busy_ratio = (processes.cpu_s(sender) - used_s) / length_s
            wire = lab.report()
            return Measured(monitor.finish(), busy_ratio, wire)
        finally:
            monitor.close()


@contextmanager
def lab_of(case: Case) -> Iterator[Lab]:
    """The link that the case needs."""
    lab = Lab(case.nic, case.cable, f"{os.getpid() % 10**8:08d}", Unwritten())
    try:
        yield lab
    finally:
        lab.close()
