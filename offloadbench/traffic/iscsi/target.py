"""The iSCSI target at the load side, as a role (see offloadbench.roles.ends): keeps a tgtd, and ends it when it ends.

Orders: the configuration, answered by `ready`; then `mark` (CPU time), `report` (bytes moved), `words` (what tgtd
said last, or that it is gone). Standard library only, of Python 3.9, so that a load host needs tgt and nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from typing import IO, Any

from offloadbench.base import comms
from offloadbench.base.errors import OffloadbenchError
from offloadbench.kernel.system import processes
from offloadbench.traffic.iscsi import tgt


def _answer(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def open_disk(backing: str, lun_bytes: int) -> IO[bytes] | None:
    """The LUN's content as a file without a name: it is gone with the last process that has it open.

    Args:
        backing: `null` for none, `memory`, or a folder on the disk to use.
    """
    if backing == "null":
        return None
    if backing == "memory":
        disk: IO[bytes] = os.fdopen(os.memfd_create("offloadbench-lun"), "r+b", buffering=0)
    else:
        disk = tempfile.TemporaryFile(dir=backing, buffering=0)  # noqa: SIM115 - closed by the caller
    disk.truncate(lun_bytes)
    return disk


def _serve(config: dict[str, Any], daemon: tgt.Daemon, disk: IO[bytes] | None) -> None:
    inforce = daemon.tune_listener(config["receive_window_bytes"], config["congestion_control"])
    account = tgt.ChapAccount(config["initiator_name"], config["user"], config["password"])
    path = f"/proc/{os.getpid()}/fd/{disk.fileno()}" if disk else None
    daemon.serve(config["target_name"], path, config["parameters"], account)
    _answer(
        {
            "event": "ready",
            "port": daemon.port,
            "settings": {"target": f"tgt {tgt.version()}", **inforce},
        }
    )
    for line in sys.stdin:
        _follow(json.loads(line)["do"], daemon)


def _follow(order: str, daemon: tgt.Daemon) -> None:
    if order == "mark":
        _answer({"event": "mark", "cpu_s": processes.cpu_s(daemon.pid) + processes.cpu_s()})
    elif order == "report":
        _answer({"event": "report", **daemon.moved_bytes()})
    elif order == "words":
        gone = "" if daemon.running() else "tgtd is gone"
        _answer({"event": "words", "words": "; ".join(filter(None, (gone, daemon.words())))})


def main() -> None:
    comms.take(comms.TARGET)
    # as if our input had been closed: tgtd is ended in order
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    line = sys.stdin.readline()
    if not line:
        return
    if not hasattr(os, "pidfd_open"):
        _answer({"event": "error", "message": "Python 3.9 is needed here for tgt", "hint": "--workloads ftp-get"})
        return
    config = json.loads(line)
    disk: IO[bytes] | None = None
    daemon: tgt.Daemon | None = None
    try:
        disk = open_disk(config["backing"], config["lun_bytes"])
        daemon = tgt.Daemon(config["address"])
        _serve(config, daemon, disk)
    except OffloadbenchError as error:
        _answer({"event": "error", "message": error.message, "hint": error.hint})
    except OSError as error:
        _answer({"event": "error", "message": str(error), "hint": "see backing, window and congestion_control"})
    finally:
        if daemon:
            daemon.close()
        if disk:
            disk.close()


if __name__ == "__main__":
    main()
