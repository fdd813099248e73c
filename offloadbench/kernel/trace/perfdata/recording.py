"""A perf.data file: one pass for what it says about itself and its threads, then as many over its samples as wanted."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from offloadbench.base.errors import ProfilerError
from offloadbench.kernel.trace.perfdata.byteorder import I8
from offloadbench.kernel.trace.perfdata.header import RecordingHeader, read_header
from offloadbench.kernel.trace.perfdata.ksymbols import KernelSymbol
from offloadbench.kernel.trace.perfdata.mappings import KernelMapping
from offloadbench.kernel.trace.perfdata.process_names import ProcessMaps
from offloadbench.kernel.trace.perfdata.raw_fields import RawFieldReader
from offloadbench.kernel.trace.perfdata.samples import BatchReader, SampleBatch
from offloadbench.kernel.trace.perfdata.scan import Scan
from offloadbench.kernel.trace.perfdata.stream import RecordBlock, RecordReader
from offloadbench.kernel.trace.perfdata.threads import ThreadNames


@dataclass(frozen=True, slots=True)
class Recording:
    """What a perf.data file holds.

    Attributes:
        parts: files of records; `perf record --threads` writes one a thread.
        header: facts about the file and its events.
        records: how many there are of each type, by the names of `abi.RecordType`, also inside compressed ones.
        samples: readable ones by event, in the order of `header.events`.
        lost_records: told by LOST records: the ring buffer was full. Most of what is lost are samples.
        lost_samples: told by LOST_SAMPLES records of the kernel: the PMU's own buffer was full.
        unread_samples: what perf itself read from the kernel's counters when it ended (LOST_SAMPLES without a time).
            They are the losses of LOST records once more, and those after the last one.
        kernel_mappings: the kernel and its modules.
        kernel_symbols: code that the kernel made while it ran, from KSYMBOL records, then from the description of BPF
            programs what no such record names.
        program_tags: number of a BPF program -> its tag (hexadecimal), of all that BPF_EVENT records say were loaded.
        problem: what keeps the file from being read whole, in one sentence; empty for a sound file.
        threads: who was called what, and when.
        maps: which file the code of a process was from, and when.
    """

    path: Path
    parts: tuple[Path, ...]
    header: RecordingHeader
    records: dict[str, int]
    samples: tuple[int, ...]
    lost_records: int
    lost_samples: int
    unread_samples: int
    kernel_mappings: tuple[KernelMapping, ...]
    kernel_symbols: tuple[KernelSymbol, ...]
    program_tags: dict[int, str]
    problem: str
    threads: ThreadNames
    maps: ProcessMaps

    @property
    def comms(self) -> list[str]:
        """Names of threads; grows while batches are read, by ":tid" for threads that no record names."""
        return self.threads.comms

    @property
    def total_lost(self) -> int:
        """What was lost, each loss counted once."""
        return self.lost_samples + max(self.lost_records, self.unread_samples)

    def batches(self, *, chains: bool = False) -> Iterator[SampleBatch]:
        """All readable samples, with call chains only if asked; memory is bounded whatever the file's size.

        Raises:
            ProfilerError: the file cannot be opened any more.
        """
        header = self.header
        if not header.events:
            return
        reader = BatchReader(header.events, header.order, self.threads, chains=chains)
        for block in self._blocks():
            batch = reader.read(block)
            if len(batch.ip):
                yield batch

    def traced(self, names: Sequence[str]) -> Iterator[tuple[str, list[I8]]]:
        """Some fields of all readable samples of tracepoints, see `RawFieldReader`; memory is bounded.

        Raises:
            ProfilerError: the file cannot be opened any more.
        """
        if not self.header.events:
            return
        reader = RawFieldReader(self.header, names)
        for block in self._blocks():
            yield from reader.read(block)

    def _blocks(self) -> Iterator[RecordBlock]:
        for part in self.parts:
            with _opened(part) as stream:
                yield from RecordReader(stream, self.header if part is self.parts[0] else _bare(self.header))


def read(path: Path) -> Recording:
    """Read everything but the samples of a perf.data file, written to a file or through a pipe, on any machine.

    Damage behind the header is no error: `Recording.problem` tells of it, and what is readable is kept.

    Raises:
        ProfilerError: no such file, not a perf.data file, of version 1, or cut within its header.
    """
    parts = _parts(path)
    with _opened(parts[0]) as stream:
        try:
            header, problem = read_header(stream)
        except ProfilerError as error:
            raise ProfilerError(f"{path}: {error.message}", error.hint) from error
        reader = RecordReader(stream, header)
        scan = Scan(header)
        scan.add(reader)
    others = []
    for part in parts[1:]:
        with _opened(part) as stream:
            others.append(RecordReader(stream, _bare(header)))
            scan.add(others[-1])
    if reader.problem and header.data_end_byte is not None:
        # what lies behind the records is missing because they are cut
        problem = ""
    named = {symbol.start for symbol in scan.kernel_symbols}
    problems = [problem, reader.problem, *(other.problem for other in others), *scan.problems()]
    return Recording(
        path=path,
        parts=parts,
        header=scan.header,
        records=scan.records,
        samples=tuple(scan.samples[index] for index in range(len(scan.header.events))),
        lost_records=scan.lost_records,
        lost_samples=scan.lost_samples,
        unread_samples=scan.unread_samples,
        kernel_mappings=tuple(scan.kernel_mappings),
        kernel_symbols=(*scan.kernel_symbols, *(one for one in scan.header.program_symbols if one.start not in named)),
        program_tags=scan.program_tags,
        problem="; ".join(sentence for sentence in problems if sentence),
        threads=ThreadNames(scan.tasks),
        maps=ProcessMaps(scan.process_maps),
    )


def _parts(path: Path) -> tuple[Path, ...]:
    """The files of records of a recording: itself, or those in the folder that --threads or --kcore writes."""
    if not path.is_dir():
        return (path,)
    first = path / "data"
    if not first.is_file():
        raise ProfilerError(f"{path}: a folder without a recording", "give a file that `perf record` wrote")
    return (first, *sorted(path.glob("data.[0-9]*"), key=lambda part: (len(part.name), part.name)))


def _bare(header: RecordingHeader) -> RecordingHeader:
    """The header for a file of records alone."""
    return replace(header, data_start_byte=0, data_end_byte=None)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ProfilerError(f"{path}: not a file", "give a file that `perf record` wrote")
        with path.open("rb", buffering=0) as stream:
            yield stream
    except OSError as error:
        raise ProfilerError(f"{path}: {error.strerror}", "give the path of a perf.data file") from error
