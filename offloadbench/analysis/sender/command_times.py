"""Packets per write command, from a capture at an iSCSI initiator: what was sent from one SCSI response to the next.

With several commands on their way these are not the packets of the command that ended, but as many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from offloadbench.analysis.sender.send_queue import queue
from offloadbench.analysis.sender.sent_packets import Packets, packets
from offloadbench.model import Run, Trial

COLUMNS = ("run", "nic", "workload", "case", "repeat", "command", "start_s", "end_s", "packets", "segments",
           "payload_bytes")  # fmt: skip


def mss_bytes(trial: Trial) -> int:
    """Payload of a full segment of the trial's busiest connection; 0 where none was followed."""
    found = [queue(trace) for trace in trial.tcp if trace.rows > 1]
    return int(max(found, key=lambda one: one.change("sent_bytes"))["snd_mss_bytes"][-1]) if found else 0


def segments(one: Packets, mss: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Segments of every packet, shape (packets,); of a super-packet, those that it is cut into."""
    return -(-one.payload_bytes // max(mss, 1))


def ends(one: Packets) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Rows at which a SCSI response came."""
    return np.flatnonzero(np.diff(one.responses, prepend=0))


def per_command(one: Packets, mss: int) -> pd.DataFrame:
    """One row per SCSI response of the capture but the first.

    Columns: command (number of the response), start_s, end_s (of the window), packets (as handed to the NIC), segments,
    payload_bytes. Responses that came in one packet share its row; command is the last of them.
    """
    rows = ends(one)
    if len(rows) < 2:
        return pd.DataFrame(columns=list(COLUMNS[5:]))
    of_data = (one.payload_bytes > 0).astype(np.int64)
    totals = [np.cumsum(values) for values in (of_data, segments(one, mss), one.payload_bytes)]
    counts = [total[rows[1:]] - total[rows[:-1]] for total in totals]
    return pd.DataFrame(
        {
            "command": one.responses[rows[1:]],
            "start_s": one.t_us[rows[:-1]] * 1e-6,
            "end_s": one.t_us[rows[1:]] * 1e-6,
            **dict(zip(COLUMNS[8:], counts, strict=True)),
        }
    )


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """`per_command` of every captured trial, with run, nic, workload, case and repeat."""
    parts = []
    for run in runs:
        for trial in run.trials:
            if trial.packets is None or not has_commands(trial):
                continue
            rows = per_command(packets(trial.packets), mss_bytes(trial))
            place: tuple[Any, ...] = (run.run_id, run.nic.name, trial.workload, trial.case, trial.repeat)
            for number, (name, value) in enumerate(zip(COLUMNS, place, strict=False)):
                rows.insert(number, name, value)
            parts.append(rows)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))


def has_commands(trial: Trial) -> bool:
    """Whether the trial's load was SCSI commands."""
    return bool(trial.load and trial.load.settings.get("commands_in_window"))
