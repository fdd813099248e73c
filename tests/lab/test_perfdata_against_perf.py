"""Our reader against the perf that is installed, sample for sample, on recordings made here."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from offloadbench.files.packed_columns import unpack_profile
from offloadbench.kernel.trace import perfdata, tracepoints
from offloadbench.kernel.trace.perfdata import MODE_LETTERS
from offloadbench.model import ProfileEvent

CLOCK = ("-e", "cpu-clock", "-c", "1000000")
# short-lived processes that change their names, threads with names of their own, system calls, page faults
WORK = """
import subprocess, threading
def busy():
    open('/proc/self/task/%d/comm' % threading.get_native_id(), 'w').write('a name: [1] 2')
    sum(range(12_000_000))
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(8): subprocess.run(['sh', '-c', 'ls -R /usr/share/doc | sort | head -1'], stdout=subprocess.DEVNULL)
for thread in threads: thread.join()
"""
RECORDINGS = {
    "clock": (*CLOCK, "-a"),
    "chains": (*CLOCK, "-a", "-g"),
    "compressed": (*CLOCK, "-a", "-z"),
    "compressed chains by frequency": ("-e", "cpu-clock", "-F", "2000", "-a", "-g", "-z"),
    "two events": ("-e", "cpu-clock,task-clock", "-c", "1000000", "-a"),
    "events by frequency": ("-e", "cpu-clock,page-faults", "-F", "1000", "-a"),
    "one process": ("-e", "cpu-clock,page-faults", "-F", "1000", "-d"),
    "only user": ("-e", "cpu-clock:u", "-F", "1000", "-g", "-a"),
}
Row = tuple[int, str, int, int, int, str, int, str, int]
Chain = tuple[int, int, tuple[int, ...]]
_LINE = re.compile(
    r"^\s*(?P<comm>.*?)\s+(?P<pid>-?\d+)/(?P<tid>-?\d+)\s+(?:\[(?P<cpu>\d+)\]\s+)?(?P<mode>[KUHGg])\S*\s+"
    r"(?P<s>\d+)\.(?P<ns>\d{9}):\s+(?P<period>\d+)\s+(?P<event>\S+):\s+(?P<ip>[0-9a-f]+)\s*$"
)


def _perf(*arguments: str) -> str:
    done = subprocess.run(["perf", *arguments], capture_output=True, check=True, timeout=120)
    return done.stdout.decode(errors="replace")


def _record(folder: Path, options: tuple[str, ...], *, piped: bool = False) -> Path:
    path = folder / "perf.data"
    command = ["perf", "record", "-q", *options, "-o", "-" if piped else str(path), "--", "python3", "-c", WORK]
    with path.open("wb") as output:
        target = output if piped else subprocess.DEVNULL
        subprocess.run(command, stdout=target, stderr=subprocess.DEVNULL, check=True, timeout=120)
    return path


@pytest.fixture(scope="module", params=[*RECORDINGS, "clock through a pipe", "compressed through a pipe"])
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool]:
    """A recording, and whether it has a CPU column."""
    name, _, piped = request.param.partition(" through ")
    path = _record(tmp_path_factory.mktemp("recording"), RECORDINGS[name], piped=bool(piped))
    return path, "-a" in RECORDINGS[name]


def _rows_of_perf(path: Path, *, has_cpu: bool) -> list[Row]:
    fields = "comm,pid,tid,time,event,ip,period,misc" + (",cpu" if has_cpu else "")
    rows = []
    for line in _perf("script", "-i", str(path), "--ns", "-G", "-F", fields).splitlines():
        match = _LINE.match(line)
        assert match, line
        time_ns = int(match["s"]) * 10**9 + int(match["ns"])
        numbers = int(match["pid"]), int(match["tid"]), int(match["cpu"] or -1)
        row = (time_ns, match["comm"], *numbers, match["event"], int(match["ip"], 16), match["mode"])
        rows.append((*row, int(match["period"])))
    return rows


def _rows_of_ours(path: Path, *, has_cpu: bool) -> list[Row]:
    recording = perfdata.read(path)
    assert recording.problem == ""
    names = [event.name for event in recording.header.events]
    rows: list[Row] = []
    for batch in recording.batches():
        columns = (
            batch.time_ns.tolist(),
            [recording.comms[number] for number in batch.comm.tolist()],
            batch.pid.tolist(),
            batch.tid.tolist(),
            batch.cpu.tolist() if has_cpu else [-1] * len(batch.cpu),
            [names[number] for number in batch.event.tolist()],
            batch.ip.tolist(),
            [MODE_LETTERS[number] for number in batch.mode.tolist()],
            batch.period.tolist(),
        )
        rows += zip(*columns, strict=True)
    return rows


def test_every_sample_is_the_one_that_perf_prints(recorded: tuple[Path, bool]) -> None:
    path, has_cpu = recorded
    ours, theirs = _rows_of_ours(path, has_cpu=has_cpu), _rows_of_perf(path, has_cpu=has_cpu)
    assert len(ours) > 100
    assert sorted(ours) == sorted(theirs)


def test_totals_are_those_of_perf_report(recorded: tuple[Path, bool]) -> None:
    path, _ = recorded
    recording = perfdata.read(path)
    statistics = _perf("report", "--stats", "-i", str(path))
    if not statistics.strip():
        pytest.skip("this perf's report does not decompress what came through a pipe; its script does")
    counted = {name: int(count) for name, count in re.findall(r"(\w+) events:\s+(\d+)  \(", statistics)}
    # perf counts what is inside compressed records, not the records
    ours = {name: count for name, count in recording.records.items() if not name.startswith("COMPRESSED")}
    assert {name: counted.get(name) for name in ours} == ours
    report = _perf("report", "--stdio", "-g", "none", "--sort", "comm", "-i", str(path))
    theirs = re.findall(r"# Samples: .* of events? '(\S+)'\n# Event count \(approx.\): (\d+)", report)
    weights = Counter[str]()
    for batch in recording.batches():
        for index, event in enumerate(recording.header.events):
            weights[event.name] += int(batch.period[batch.event == index].sum())
    assert {name: weight for name, weight in weights.items() if weight} == {n: int(c) for n, c in theirs if c != "0"}


def test_a_group_with_counts_is_a_sample_of_each_member_that_counted(tmp_path: Path) -> None:
    """As perf makes them: the leader's are the records, a member's weight is what its count grew by."""
    path = _record(tmp_path, ("-e", "{cpu-clock,page-faults}:S", "-F", "1000", "-g"))
    ours, theirs = _rows_of_ours(path, has_cpu=False), _rows_of_perf(path, has_cpu=False)
    assert len(ours) > 20
    assert {row[5] for row in ours} == {"cpu-clock", "page-faults"}
    assert sorted(row[:-1] for row in ours) == sorted(row[:-1] for row in theirs)
    chains = [batch.chains for batch in perfdata.read(path).batches(chains=True)]
    assert all(chain is not None and (np.diff(chain.offsets) > 0).all() for chain in chains)


def _comparable(ips: Iterable[int]) -> tuple[int, ...]:
    """perf prints user addresses relative to their file: what stays is the place in the page."""
    return tuple(ip if ip >> 63 else ip & 0xFFF for ip in ips)


@pytest.mark.parametrize("name", ["chains", "compressed chains by frequency", "only user"])
def test_call_chains_are_those_that_perf_prints(name: str, tmp_path: Path) -> None:
    path = _record(tmp_path, RECORDINGS[name])
    theirs, ours, modes = Counter[Chain](), Counter[Chain](), set[str]()
    # perf drops a whole chain in which a user's frame pointer led to what looks like a marker; we keep the rest of it
    dropped: set[tuple[int, int]] = set()
    for sample in _perf("script", "-i", str(path), "--ns", "--no-inline", "-F", "time,cpu,ip").split("\n\n"):
        head, _, ips = sample.strip().partition(":")
        cpu, s, ns = re.findall(r"\d+", head) or (0, 0, 0)
        time_ns = int(s) * 10**9 + int(ns)
        if ips.split():
            theirs[time_ns, int(cpu), _comparable(int(ip, 16) for ip in ips.split())] += 1
        else:
            dropped.add((time_ns, int(cpu)))
    for batch in perfdata.read(path).batches(chains=True):
        chains = batch.chains
        assert chains is not None
        assert (chains.ip[chains.mode == perfdata.CpuMode.KERNEL] >> np.uint64(63) == 1).all()
        for index, (time_ns, cpu) in enumerate(zip(batch.time_ns.tolist(), batch.cpu.tolist(), strict=True)):
            place = slice(chains.offsets[index], chains.offsets[index + 1])
            if (time_ns, cpu) not in dropped:
                ours[time_ns, cpu, _comparable(chains.ip[place].tolist())] += 1
                modes |= {MODE_LETTERS[number] for number in chains.mode[place].tolist()}
    # the more others do on this machine, the more of them
    assert ours.total() > max(100, 100 * len(dropped))
    assert ours == theirs
    assert modes == ({"U"} if name == "only user" else {"K", "U"})


def test_folding_counts_what_perf_prints(tmp_path: Path) -> None:
    path = _record(tmp_path, RECORDINGS["clock"])
    printed = _rows_of_perf(path, has_cpu=True)
    start_s = min(row[0] for row in printed) * 1e-9
    event = ProfileEvent(name="cpu-clock", quantity="kernel_cpu_time_ns", period=1_000_000)
    counts = perfdata.fold(perfdata.read(path), [event], start_s - 0.5, 60.0)
    columns = unpack_profile(counts)
    names = ("address", "mode", "process", "cpu", "second", "count")
    folded = Counter[tuple[int, str, str, int, int]]()
    for address, mode, process, cpu, second, count in zip(*(columns[name].tolist() for name in names), strict=True):
        folded[address, mode.decode(), counts.comms[process], cpu, second] += count
    expected = Counter(
        (ip, mode, comm, cpu, int(time_ns * 1e-9 - start_s + 0.5))
        for time_ns, comm, _, _, cpu, _, ip, mode, _ in printed
    )
    assert folded == expected
    assert counts.samples == len(printed)
    assert int(columns["weight"].astype(int).sum()) == sum(row[-1] for row in printed)


def test_fields_of_tracepoints_are_those_that_perf_prints(tmp_path: Path) -> None:
    path = tmp_path / "perf.data"
    names = (tracepoints.QUEUE, tracepoints.TRANSMIT, *tracepoints.RECEIVE)
    events = [word for name in names for word in ("-e", name)]
    work = ["ping", "-q", "-c", "20", "-i", "0.01", "-s", "3000", "127.0.0.1"]
    subprocess.run(
        ["perf", "record", "-q", "-a", *events, "-o", str(path), "--", *work], check=True, capture_output=True
    )
    printed: Counter[tuple[str, int, int, int]] = Counter()
    for line in _perf("script", "-i", str(path), "-F", "event,trace").splitlines():
        name, _, text = line.strip().partition(": ")
        fields = dict(word.split("=") for word in text.split() if word.count("=") == 1)
        length, gso_size, ip_summed = (int(fields.get(field, -1)) for field in ("len", "gso_size", "ip_summed"))
        printed[name, length, gso_size, ip_summed] += 1
    assert sum(printed.values()) >= 40
    assert {
        (one.tracepoint, row[0], row[1], row[2]): row[3] for one in tracepoints.shapes(path) for row in one.shapes
    } == printed
