"""Who runs on which CPU. CPU is measured on the server's CPUs only, so nothing else may run there."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Placement:
    """Disjoint CPU sets where there are enough; `shared` says in sentences where there are not."""

    dut: frozenset[int]
    wire: frozenset[int]
    peer: frozenset[int]
    tool: frozenset[int]
    shared: list[str] = field(default_factory=list)


def place(available: frozenset[int] | None = None, *, with_wire: bool = True) -> Placement:
    """Give one CPU to the server, one to the wire, one to the tool, the rest to the clients, as far as they go."""
    cpus = sorted(available if available is not None else os.sched_getaffinity(0))
    dut = frozenset(cpus[:1])
    if len(cpus) == 1:
        who = "server, clients, wire" if with_wire else "server, clients"
        return Placement(
            dut,
            dut if with_wire else frozenset(),
            dut,
            dut,
            [f"{who} and tool share one CPU: the clients' work is charged to the server"],
        )
    if len(cpus) == 2:
        other = frozenset(cpus[1:])
        wire = other if with_wire else frozenset()
        who = "wire, clients and tool" if with_wire else "clients and tool"
        return Placement(dut, wire, other, other, [f"{who} share CPU {cpus[1]}; the server has CPU {cpus[0]} alone"])
    if len(cpus) == 3 and with_wire:
        rest = frozenset(cpus[2:])
        return Placement(dut, frozenset(cpus[1:2]), rest, rest, [f"clients and tool share CPU {cpus[2]}"])
    wire = frozenset(cpus[1:2]) if with_wire else frozenset()
    return Placement(dut, wire, frozenset(cpus[2 if with_wire else 1 : -1]), frozenset(cpus[-1:]))


def whole(available: frozenset[int] | None = None) -> Placement:
    """Every CPU is under test where the load side is another host."""
    every = available if available is not None else frozenset(os.sched_getaffinity(0))
    told = "the tool runs on the CPUs under test; its own CPU time is recorded with every trial"
    return Placement(every, frozenset(), frozenset(), every, [told])


def halve(available: frozenset[int] | None = None) -> Placement:
    """Half of the CPUs for each end where both ends are real NICs of this machine; the tool has the last one."""
    cpus = sorted(available if available is not None else os.sched_getaffinity(0))
    half = len(cpus) // 2
    if half < 2:
        return place(frozenset(cpus), with_wire=False)
    return Placement(frozenset(cpus[:half]), frozenset(), frozenset(cpus[half:-1]), frozenset(cpus[-1:]))
