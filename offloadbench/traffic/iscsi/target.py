"""The iSCSI target at the load side, as a role (see offloadbench.roles.ends): keeps a tgtd, and ends it when it ends.

Standard library only, of Python 3.9, so that a load host needs tgt and nothing else.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import IO

from offloadbench.base import comms
from offloadbench.base.errors import OffloadbenchError
from offloadbench.kernel.system import processes
from offloadbench.roles.messages import (
    AskTargetWords,
    CountTargetCpu,
    OpenTarget,
    ReportTarget,
    TargetCpu,
    TargetMoved,
    TargetReady,
    TargetWords,
)
from offloadbench.roles.orders import Desk, RefusedOrder, refusing
from offloadbench.traffic.iscsi import tgt

_NO_FILE = ("null", "memory")


def open_disk(backing: str, lun_bytes: int) -> IO[bytes] | None:
    """The LUN's content as a file without a name: it is gone with the last process that has it open.

    Args:
        backing: `null` for none, `memory`, or a folder on the disk to use.

    Raises:
        RefusedOrder: there is no such folder here, or it takes no file of that size.
    """
    if backing == "null":
        return None
    if backing not in _NO_FILE:
        if not Path(backing).is_absolute():
            raise RefusedOrder("backing", backing, "no whole path", "write null, memory, or the folder's whole path")
        if not Path(backing).is_dir():
            raise RefusedOrder("backing", backing, "no such folder", "make it there, or --set backing=memory")
    with refusing("backing", backing, "name a folder that root may write to, or --set backing=memory"):
        if backing == "memory":
            disk: IO[bytes] = os.fdopen(os.memfd_create("offloadbench-lun"), "r+b", buffering=0)
        else:
            disk = tempfile.TemporaryFile(dir=backing, buffering=0)  # noqa: SIM115 - closed by the caller
    try:
        with refusing("lun_bytes", lun_bytes, "use a smaller LUN: --set lun_size=64MiB"):
            disk.truncate(lun_bytes)
    except RefusedOrder:
        disk.close()
        raise
    return disk


class TargetRole:
    """A tgtd that serves one LUN."""

    def __init__(self, desk: Desk, order: OpenTarget, daemon: tgt.Daemon, disk: IO[bytes] | None) -> None:
        self._daemon = daemon
        receive_buffer_bytes = daemon.tune_listener(order.receive_window_bytes, order.congestion_control)
        account = tgt.ChapAccount(order.initiator_name, order.user, order.password)
        path = f"/proc/{os.getpid()}/fd/{disk.fileno()}" if disk else None
        daemon.serve(order.target_name, path, order.parameters, account)
        desk.on(CountTargetCpu, self._count_cpu)
        desk.on(ReportTarget, self._report)
        desk.on(AskTargetWords, self._words)
        desk.answer(TargetReady(daemon.port, f"tgt {tgt.version()}", receive_buffer_bytes))

    def _count_cpu(self, order: CountTargetCpu) -> TargetCpu:
        del order
        return TargetCpu(processes.cpu_s(self._daemon.pid) + processes.cpu_s())

    def _report(self, order: ReportTarget) -> TargetMoved:
        del order
        read_bytes, written_bytes = self._daemon.moved_bytes()
        return TargetMoved(read_bytes, written_bytes)

    def _words(self, order: AskTargetWords) -> TargetWords:
        del order
        gone = "" if self._daemon.running() else "tgtd is gone"
        return TargetWords("; ".join(filter(None, (gone, self._daemon.words()))))


def _play(desk: Desk) -> None:
    order = desk.first(OpenTarget)
    if not hasattr(os, "pidfd_open"):
        raise OffloadbenchError("Python 3.9 is needed here for tgt", "--workloads ftp-get")
    disk: IO[bytes] | None = None
    daemon: tgt.Daemon | None = None
    try:
        disk = open_disk(order.backing, order.lun_bytes)
        daemon = tgt.Daemon(order.address)
        TargetRole(desk, order, daemon, disk)
        desk.serve()
    finally:
        if daemon:
            daemon.close()
        if disk:
            disk.close()


def main() -> None:
    comms.take(comms.TARGET)
    # as if our input had been closed: tgtd is ended in order
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    desk = Desk(OffloadbenchError)
    with desk.reporting(hint="see backing, window and congestion_control"):
        _play(desk)


if __name__ == "__main__":
    main()
