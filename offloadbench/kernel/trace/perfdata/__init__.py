"""perf.data files, read without perf: `read` one, look at the `Recording`, go over its `batches`, or `fold` them.

A recording may come from any machine, byte order and perf since 2.6.33, written to a file or through a pipe, compressed
or not, whole or damaged. Chunks are read into numpy columns, so that memory stays bounded whatever the file's size.
"""

from __future__ import annotations

from offloadbench.kernel.trace.perfdata.abi import MODE_LETTERS, CpuMode, SampleField
from offloadbench.kernel.trace.perfdata.chains import Chains
from offloadbench.kernel.trace.perfdata.folding import fold, fold_all
from offloadbench.kernel.trace.perfdata.header import RecordingHeader
from offloadbench.kernel.trace.perfdata.mappings import NOT_MAPPED, KernelMapping, locate
from offloadbench.kernel.trace.perfdata.recording import Recording, read
from offloadbench.kernel.trace.perfdata.sampled_events import Event
from offloadbench.kernel.trace.perfdata.samples import SampleBatch

__all__ = [
    "MODE_LETTERS",
    "NOT_MAPPED",
    "Chains",
    "CpuMode",
    "Event",
    "KernelMapping",
    "Recording",
    "RecordingHeader",
    "SampleBatch",
    "SampleField",
    "fold",
    "fold_all",
    "locate",
    "read",
]
