"""Whose work a sample is: of the benchmark and what the kernel does for it, or of others on the same CPU.

A sample is taken in the context of a process. An interrupt borrows that context: softirqs that send and receive the
benchmark's packets run on top of whatever was running. So the process alone does not decide; in a process of others,
network work below the sockets is the benchmark's. With call chains that is seen; without, it is taken from the layer of
the function, which also excuses most of the network work that a process of others does for itself.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from offloadbench.analysis.profile.attribution.rules import OTHER
from offloadbench.analysis.profile.attribution.verdicts import Verdicts
from offloadbench.base import comms
from offloadbench.files.packed_columns import Columns, unpack_chains
from offloadbench.model import ProfileCounts

# the idle task, and kernel threads that run softirqs, poll NICs, or do the scheduler's and RCU's work for everybody.
# All others (kdamond, kswapd, kcompactd, khugepaged, writeback, a journal) serve no network: their work is foreign.
_SERVING = ("swapper*", "ksoftirqd/*", "napi/*", "irq/*", "migration/*", "rcu*", "cpuhp/*", "iscsi_*", "scsi_*")
# network functions that only system calls enter: never a softirq's
_OF_SYSTEM_CALLS = ("*sendmsg*", "*recvmsg*", "*sockopt*", "*_splice_read", "*_accept")
# it runs no softirqs of its own, but maybe a NIC driver's work or that of iscsi_tcp: the layer decides, with chains too
_WORKERS = "kworker*"
_WORKER = -2


def serves_network(comm: str) -> bool:
    """Whether a process of this name is the idle task, or a kernel thread that works for the network or everybody."""
    return any(fnmatchcase(comm, name) for name in _SERVING)


def is_worker(comm: str) -> bool:
    """Whether a process of this name is a thread of the kernel's work queues."""
    return fnmatchcase(comm, _WORKERS)


def own_processes(counts: ProfileCounts) -> list[bool]:
    """For each of the profile's processes whether all its work is the benchmark's, or the kernel's for the network."""
    # files of earlier versions did not record which processes were the run's own
    run = counts.own or [comm in comms.ROLES for comm in counts.comms]
    return [own or serves_network(comm) for comm, own in zip(counts.comms, run, strict=True)]


def names_server(counts: ProfileCounts) -> bool:
    """Whether the run's own processes are known: in files of early versions a server was `python` like others."""
    return bool(counts.own) or any(comm in comms.ROLES for comm in counts.comms)


def foreign_rows(counts: ProfileCounts, verdicts: Verdicts, columns: Columns) -> npt.NDArray[np.bool_]:
    """Which rows of a profile are the work of others, shape (rows,); none where the run's processes are not known.

    Args:
        columns: of the profile, see `packed.unpack_profile`.
    """
    process = columns["process"].astype(np.int64)
    if not len(process) or not names_server(counts):
        return np.zeros(len(process), dtype=bool)
    foreign = ~np.array(own_processes(counts), dtype=bool)[process]
    kernel = np.flatnonzero(foreign & ~np.isin(columns["mode"], (b"U", b"u", b"G", b"g")))
    if not len(kernel):
        return foreign
    index = verdicts.symbols.lookup(columns["address"][kernel].astype(np.uint64)).astype(np.int64)
    chain = columns["chain"][kernel].astype(np.int64) if "chain" in columns else np.full(len(kernel), -1)
    worker = np.array([is_worker(comm) for comm in counts.comms], dtype=bool)[process[kernel]]
    chain = np.where(worker, _WORKER, chain)
    chains = (
        [verdicts.symbols.lookup(frames).tolist() for frames in unpack_chains(counts)] if (chain >= 0).any() else []
    )
    # a pair of function and chain as one number: sorting pairs takes ten times as long
    pairs, pair = np.unique(index * (len(chains) - _WORKER) + chain - _WORKER, return_inverse=True)
    functions, of_chain = np.divmod(pairs, len(chains) - _WORKER)

    def serves(at: int, of: int) -> bool:
        if of >= 0:
            return any(verdicts.ends_interrupt(frame) for frame in (at, *chains[of]))
        network, system_call = _kinds(verdicts, at)
        return network and (of == _WORKER or not system_call)

    served = [serves(at, of) for at, of in zip(functions.tolist(), (of_chain + _WORKER).tolist(), strict=True)]
    foreign[kernel] = ~np.array(served, dtype=bool)[pair]
    return foreign


# the same few thousand functions come up in every trial of a kernel
@lru_cache(maxsize=1 << 16)
def _kinds(verdicts: Verdicts, index: int) -> tuple[bool, bool]:
    """Whether a function works for the network in general, and whether only system calls enter it."""
    return _is_network(verdicts, index), _is_of_system_call(verdicts, index)


def _is_network(verdicts: Verdicts, index: int) -> bool:
    """Whether a function sends or receives packets, by its layer, or begins a softirq."""
    return verdicts.ends_interrupt(index) or verdicts.rules.floors.get(verdicts.of(index).leaf, OTHER) != OTHER


def _is_of_system_call(verdicts: Verdicts, index: int) -> bool:
    name = verdicts.symbols.symbol(index).name
    return any(fnmatchcase(name, called) for called in _OF_SYSTEM_CALLS)
