"""What each run was made on, as a tidy table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from offloadbench.base.settings import LINK_FIELDS
from offloadbench.model import Run

_NIC = ("driver", "driver_version", "firmware", "bus", "mtu_bytes", "speed_bits_per_s")
_HOST = ("kernel", "distribution", "cpu_model", "cpus", "memory_bytes", "virtualization", "governor")
_BED = (*LINK_FIELDS, "peer")
COLUMNS = ["run", "created_utc", "tool_version", "nic", *_NIC, *_HOST, "bed", *_BED, "dut_cpus", "shared_cpus"]
COLUMNS += ["duration_s", "trials_planned", "trials", "trials_missing", "warnings"]


def benches(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run.

    Columns: run, created_utc, tool_version, nic, driver, driver_version, firmware, bus, mtu_bytes, speed_bits_per_s,
    kernel, distribution, cpu_model, cpus, memory_bytes, virtualization, governor, bed (its kind), `LINK_FIELDS` (0
    where no cable is emulated), peer, dut_cpus (numbers, a space between them), shared_cpus and warnings (sentences, a
    semicolon between them), duration_s (of a window), trials_planned, trials, trials_missing.
    """
    rows = [
        {
            "run": run.run_id,
            "created_utc": run.created_utc,
            "tool_version": run.tool_version,
            "nic": run.nic.name,
            **{name: getattr(run.nic, name) for name in _NIC},
            **{name: getattr(run.host, name) for name in _HOST},
            "bed": run.bed.kind,
            **{name: getattr(run.bed, name) for name in _BED},
            "dut_cpus": " ".join(map(str, run.bed.dut_cpus)),
            "shared_cpus": "; ".join(run.bed.shared_cpus),
            "duration_s": run.plan.duration_s,
            "trials_planned": len(run.plan.order),
            "trials": len(run.trials),
            "trials_missing": max(0, len(run.plan.order) - len(run.trials)),
            "warnings": "; ".join(run.warnings),
        }
        for run in runs
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
