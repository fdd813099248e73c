"""A perf.data file: one pass for what it says about itself and its threads, then as many over its samples as wanted."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from offloadbench.errors import ProfilerError
from offloadbench.kernel.perfdata.header import Header, read_header
from offloadbench.kernel.perfdata.mappings import KernelMapping
from offloadbench.kernel.perfdata.samples import Batch, BatchReader
from offloadbench.kernel.perfdata.scan import Scan
from offloadbench.kernel.perfdata.stream import RecordReader
from offloadbench.kernel.perfdata.threads import ThreadNames


@dataclass(frozen=True, slots=True)
class Recording:
    """What a perf.data file holds.

    Attributes:
        header: facts about the file and its events.
        records: how many there are of each type, by the names of `abi.RecordType`, also inside compressed ones.
        samples: readable ones by event, in the order of `header.events`.
        lost_records: told by LOST records: the ring buffer was full. Most of what is lost are samples.
        lost_samples: told by LOST_SAMPLES records of the kernel: the PMU's own buffer was full.
        unread_samples: what perf itself read from the kernel's counters when it ended (LOST_SAMPLES without a time).
            They are the losses of LOST records once more, and those after the last one.
        kernel_mappings: the kernel and its modules.
        problem: what keeps the file from being read whole, in one sentence; empty for a sound file.
        threads: who was called what, and when.
    """

    path: Path
    header: Header
    records: dict[str, int]
    samples: tuple[int, ...]
    lost_records: int
    lost_samples: int
    unread_samples: int
    kernel_mappings: tuple[KernelMapping, ...]
    problem: str
    threads: ThreadNames

    @property
    def comms(self) -> list[str]:
        """Names of threads; grows while batches are read, by ":tid" for threads that no record names."""
        return self.threads.comms

    @property
    def total_lost(self) -> int:
        """What was lost, each loss counted once."""
        return self.lost_samples + max(self.lost_records, self.unread_samples)

    def batches(self, *, chains: bool = False) -> Iterator[Batch]:
        """All readable samples, with call chains only if asked; memory is bounded whatever the file's size.

        Raises:
            ProfilerError: the file cannot be opened any more.
        """
        header = self.header
        if not header.events:
            return
        reader = BatchReader(header.events, header.order, self.threads, chains=chains)
        with _opened(self.path) as stream:
            for block in RecordReader(stream, header):
                batch = reader.read(block)
                if len(batch.ip):
                    yield batch


def read(path: Path) -> Recording:
    """Read everything but the samples of a perf.data file, written to a file or through a pipe, on any machine.

    Damage behind the header is no error: `Recording.problem` tells of it, and what is readable is kept.

    Raises:
        ProfilerError: no such file, not a perf.data file, of version 1, or cut within its header.
    """
    with _opened(path) as stream:
        try:
            header, problem = read_header(stream)
        except ProfilerError as error:
            raise ProfilerError(f"{path}: {error.message}", error.hint) from error
        reader = RecordReader(stream, header)
        scan = Scan(header)
        scan.add(reader)
    if reader.problem and header.data_end_byte is not None:
        # what lies behind the records is missing because they are cut
        problem = ""
    problems = [problem, reader.problem, *scan.problems()]
    return Recording(
        path=path,
        header=scan.header,
        records=scan.records,
        samples=tuple(scan.samples[index] for index in range(len(scan.header.events))),
        lost_records=scan.lost_records,
        lost_samples=scan.lost_samples,
        unread_samples=scan.unread_samples,
        kernel_mappings=tuple(scan.kernel_mappings),
        problem="; ".join(sentence for sentence in problems if sentence),
        threads=ThreadNames(scan.tasks),
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ProfilerError(f"{path}: not a file", "for `perf record --threads` or --kcore: record without them")
        with path.open("rb", buffering=0) as stream:
            yield stream
    except OSError as error:
        raise ProfilerError(f"{path}: {error.strerror}", "give the path of a perf.data file") from error
