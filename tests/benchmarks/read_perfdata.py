"""How fast is a perf.data file read? Our reader against `perf report --sort sym` on the same files, in turn.

    python -m tests.benchmarks.read_perfdata [ROUNDS] [SAMPLES...]

A real recording of the CPU clock is made, and its samples are repeated up to 1 and 10 million (48 bytes each). For each
size come the medians over the rounds, the median of the paired ratios, and the peak resident memory of each reader in a
process of its own. `read` is header, records and all columns of all samples; `fold` is what a run file keeps, packed;
`attribute` is every sample in its module, after the start-up (symbols and name table), whose memory its peak includes.
`modules` is the whole command with its start-up, on the recording as it was made. `chains` is as many samples with call
chains, read with them. perf looks symbols up as well, which is its job. Times are CPU seconds.
"""

from __future__ import annotations

import os
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from offloadbench.analysis.profile import module_tables
from offloadbench.analysis.profile.attribution import Rules, SymbolTable, Verdicts, attribute
from offloadbench.definitions import catalog
from offloadbench.kernel.trace import kallsyms, perf, perfdata
from offloadbench.model import ProfileEvent

SIZES = (1_000_000, 10_000_000)
CHAIN_SAMPLES = 1_000_000
CLOCK = ProfileEvent(name="cpu-clock", quantity="kernel_cpu_time_ns", period=20_000)
_DATA_SECTION, _FEATURES, _SAMPLE = 40, 72, 9
_CHUNK = 1 << 24


def record(path: Path, *options: str) -> None:
    """Record the CPU clock of all CPUs while something runs, 50,000 times a second."""
    work = ["sh", "-c", "for i in 1 2 3 4; do ls -R /usr | sort | md5sum; done"]
    command = ["perf", "record", "-q", "-e", "cpu-clock", "-c", "20000", "-a", *options, "-o", str(path), "--", *work]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def enlarge(source: Path, target: Path, samples: int) -> None:
    """A recording with the other records of `source` once, and its samples over and over."""
    content = source.read_bytes()
    offset, size = struct.unpack_from("<QQ", content, _DATA_SECTION)
    once: list[bytes] = []
    repeated: list[bytes] = []
    at = offset
    while at < offset + size:
        kind, _, length = struct.unpack_from("<IHH", content, at)
        (repeated if kind == _SAMPLE else once).append(content[at : at + length])
        at += length
    rounds, rest = divmod(samples, len(repeated))
    data_bytes = len(b"".join(once)) + rounds * len(b"".join(repeated)) + len(b"".join(repeated[:rest]))
    header, features = bytearray(content[:offset]), bytearray(content[offset + size :])
    struct.pack_into("<QQ", header, _DATA_SECTION, offset, data_bytes)
    for index in range(sum(word.bit_count() for word in struct.unpack_from("<4Q", header, _FEATURES))):
        (begin,) = struct.unpack_from("<Q", features, 16 * index)
        struct.pack_into("<Q", features, 16 * index, begin + data_bytes - size)
    with target.open("wb") as stream:
        stream.writelines([header, *once])
        block = b"".join(repeated)
        for _ in range(rounds):
            stream.write(block)
        stream.writelines([*repeated[:rest], features])


def read(path: Path, *, chains: bool = False) -> None:
    """Every column of every sample."""
    recording = perfdata.read(path)
    assert sum(len(batch.ip) for batch in recording.batches(chains=chains)) == sum(recording.samples)


def read_chains(path: Path) -> None:
    """Every column and every call chain."""
    read(path, chains=True)


def fold(path: Path) -> None:
    """What a run file keeps."""
    recording = perfdata.read(path)
    start_s = min(batch.time_ns.min() for batch in recording.batches()) * 1e-9
    perfdata.fold(recording, [CLOCK], start_s, 60.0)


@lru_cache(maxsize=1)
def _verdicts() -> Verdicts:
    """Start-up: the running kernel's symbols and the name table, read once for all rounds."""
    profile = catalog.profile("linux")
    names = catalog.name_table(profile)
    return Verdicts(
        SymbolTable(kallsyms.snapshot(), names, modules=catalog.module_names(profile)), Rules(profile), names, {}
    )


def attribute_all(path: Path) -> None:
    """Every sample in its module: what `offloadbench modules FILE` does after its start-up."""
    verdicts = _verdicts()
    (counts,) = perf.read_all(perfdata.read(path), verdicts.symbols.addresses)
    assert module_tables.by_module(attribute([counts], verdicts))["samples"].sum() == counts.samples


def modules(path: Path) -> None:
    """The whole command, with its start-up."""
    command = [sys.executable, "-m", "offloadbench", "modules", str(path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def perf_report(path: Path) -> None:
    """perf's own table of symbols."""
    command = ["perf", "report", "-i", str(path), "--sort", "sym", "--stdio", "-g", "none"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


TASKS: dict[str, Callable[[Path], None]] = {
    "read": read,
    "fold": fold,
    "chains": read_chains,
    "attribute": attribute_all,
    "modules": modules,
    "perf report": perf_report,
}


def _cpu_s() -> float:
    """CPU seconds of this process and its children so far: the machine may be busy."""
    return sum(os.times()[:4])


def peak_bytes(task: str, path: Path) -> int:
    """Peak resident memory of a task in a process of its own, its children included."""
    command = [sys.executable, "-m", "tests.benchmarks.read_perfdata", "--peak", task, str(path)]
    return int(subprocess.check_output(command, text=True))


def compare(path: Path, tasks: list[str], samples: int, rounds: int) -> None:
    """Time the tasks in turn, and print medians, ratios to the last one, and peak memory."""
    taken: dict[str, list[float]] = {task: [] for task in tasks}
    for _ in range(rounds):
        for task in tasks:
            begun_s = _cpu_s()
            TASKS[task](path)
            taken[task].append(_cpu_s() - begun_s)
    print(f"{samples:,} samples, {path.stat().st_size / 1e6:.0f} MB, {rounds} rounds")
    for task in tasks:
        median_s = statistics.median(taken[task])
        ratio = statistics.median(last / each for each, last in zip(taken[task], taken[tasks[-1]], strict=True))
        print(
            f"  {task:<12} {median_s:7.3f} s  {samples / median_s / 1e6:6.2f} M samples/s"
            f"  {ratio:5.2f} times as fast as {tasks[-1]}  peak {peak_bytes(task, path) / 1e6:.0f} MB"
        )


def main(rounds: int, sizes: list[int]) -> None:
    _verdicts()
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.data", Path(folder) / "large.data"
        record(small)
        compare(small, ["modules", "perf report"], sum(perfdata.read(small).samples), rounds)
        for samples in sizes:
            enlarge(small, large, samples)
            compare(large, ["read", "fold", "attribute", "perf report"], samples, rounds)
        record(small, "-g")
        enlarge(small, large, CHAIN_SAMPLES)
        compare(large, ["chains", "perf report"], CHAIN_SAMPLES, rounds)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        TASKS[sys.argv[2]](Path(sys.argv[3]))
        # ru_maxrss of this process would include its parent's from before the exec
        (own,) = (line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
        print(max(int(own), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024)
    else:
        counts = [int(word) for word in sys.argv[1:]]
        main(counts[0] if counts else 3, counts[1:] or list(SIZES))
